"""MMPose's predictions (MMPose, "Inference with existing models": predictions of the inferencer, and
demo/topdown_demo_with_mmdet.py --save-predictions).
"""

import numpy as np
import pytest

from foreign_files import FPS, SCORE, SIZE, assert_lifts_as_ours, json_file, walkers
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17, H36M17


def instances(people, **more):
    return [
        {
            "keypoints": np.nan_to_num(person).tolist(),
            "keypoint_scores": [SCORE] * len(person),
            "bbox": [[0.0, 0.0, 9.0, 9.0]],
            "bbox_score": 0.9,
            **{key: make(row) for key, make in more.items()},
        }
        for row, person in enumerate(people)
    ]


def video(xy, first=0, **more):
    return [{"frame_id": number, "instances": instances(people, **more)} for number, people in enumerate(xy, first)]


def meta(skeleton):
    return {"dataset_name": "x", "keypoint_id2name": {str(place): joint for place, joint in enumerate(skeleton.joints)}}


def test_a_video_lifts_as_ours(tmp_path):
    xy = walkers()
    read = formats.read(json_file(tmp_path / "walk.json", video(xy)), fps=FPS, size=SIZE)
    assert read.tool == "MMPose"
    assert_lifts_as_ours(read, xy, COCO17, tmp_path)


def test_the_demos_name_the_joints(tmp_path):
    names = [*H36M17.joints]
    names[0] = "root"
    xy = walkers(H36M17)
    document = {"meta_info": meta(H36M17), "instance_info": video(xy, 1, track_id=lambda row: row)}
    document["meta_info"]["keypoint_id2name"] = dict(enumerate(names))
    read = formats.read(json_file(tmp_path / "results.json", document), fps=FPS, size=SIZE)
    assert read.poses.skeleton == H36M17 and read.notes == []
    assert_lifts_as_ours(read, xy, H36M17, tmp_path)


def test_an_image_and_a_folder_of_images(tmp_path):
    xy = walkers()
    folder = tmp_path / "predictions"
    folder.mkdir()
    for number, people in enumerate(xy):
        json_file(folder / f"frame{number:03d}.json", instances(people))
    assert_lifts_as_ours(formats.read(folder, fps=FPS, size=SIZE), xy, COCO17, tmp_path)
    image = formats.read(folder / "frame003.json", size=SIZE).poses
    assert image.xy.shape == (1, 2, 17, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"keypoints": [[1, 2, 3]] * 17}, "keypoints in 3D"),
        ({"keypoints": [[1, 2], [1]]}, "not x and y of every joint"),
        ({"keypoint_scores": [1.0]}, "not x and y of every joint"),
        ({"keypoints": 5}, "0.instances.0.keypoints"),
    ],
)
def test_what_is_refused(tmp_path, change, words):
    document = video(walkers(frames=2))
    document[0]["instances"][0] |= change
    path = json_file(tmp_path / "a.json", document)
    with pytest.raises(OccluposeError, match=rf"^{path}: [^\n]*{words}[^\n]*; give 2D predictions"):
        formats.read(path)
