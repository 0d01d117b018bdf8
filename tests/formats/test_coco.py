"""COCO's results and annotations (COCO, "Results Format" and "Data Format") and AlphaPose's results (AlphaPose, "Output
format").
"""

import json
from contextlib import suppress

import numpy as np
import pytest

from foreign_files import FPS, SIZE, assert_lifts_as_ours, json_file, read_quietly, triples, walkers
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17, CROWDPOSE14, H36M17, HALPE26, Skeleton
from pose_records import record


def results(xy, name=lambda frame: frame, **identity):
    """A list of results; `identity` are functions of the person's row, by the name of the member."""
    return [
        {
            "image_id": name(frame),
            "category_id": 1,
            "keypoints": triples(person),
            "score": 0.8,
            **{key: make(row) for key, make in identity.items()},
        }
        for frame, people in enumerate(xy)
        for row, person in enumerate(people)
    ]


def annotations(xy, skeleton: Skeleton = COCO17, *, size=SIZE, v=2, identity=True):
    """Annotations of the frames of a video; ids of images that are no frame numbers."""
    name = "{:06d}.jpg".format
    width, height = size
    images = [
        {"id": 10_000_000 + 17 * frame, "file_name": f"video/{name(frame)}", "width": width, "height": height}
        for frame in range(len(xy))
    ]
    people = [
        {
            "id": 2 * frame + row,
            "image_id": images[frame]["id"],
            "category_id": 1,
            "keypoints": triples(person, v),
            "bbox": [0, 0, 10, 10],
            "iscrowd": 0,
            **({"track_id": 5 - row} if identity else {}),
        }
        for frame, people in enumerate(xy)
        for row, person in enumerate(people)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.joints), "skeleton": []}
    return {"images": images[::-1], "annotations": people, "categories": [category]}


@pytest.mark.parametrize(
    "name",
    [lambda frame: frame, lambda frame: f"{frame}.jpg", lambda frame: f"img_{frame:04d}.png"],
    ids=["numbers", "AlphaPose's names", "names of images"],
)
def test_results_lift_as_ours(tmp_path, name):
    xy = walkers()
    xy[3:6, 0, 4] = np.nan
    read = formats.read(json_file(tmp_path / "results.json", results(xy, name)), fps=FPS, size=SIZE)
    assert read.tool == ("COCO" if name(0) == 0 else "AlphaPose")
    assert_lifts_as_ours(read, xy, COCO17, tmp_path)


@pytest.mark.parametrize("skeleton", [HALPE26], ids=lambda skeleton: skeleton.name)
def test_results_with_other_joints(tmp_path, skeleton):
    xy = walkers(skeleton)
    read = formats.read(json_file(tmp_path / "results.json", results(xy)), fps=FPS, size=SIZE)
    assert_lifts_as_ours(read, xy, skeleton, tmp_path)


def test_halpes_whole_body_begins_with_halpe26(tmp_path):
    xy = np.concatenate([walkers(HALPE26, 2), np.full((2, 2, 110, 2), 50.0)], axis=2)
    poses = read_quietly(json_file(tmp_path / "results.json", results(xy)))
    assert poses.skeleton == HALPE26


@pytest.mark.parametrize("idx", [lambda row: row + 3, lambda row: [row + 3.0], lambda row: [[row + 3]]])
def test_alphaposes_ids(tmp_path, idx):
    read = formats.read(json_file(tmp_path / "a.json", results(walkers(), "{}.jpg".format, idx=idx)), fps=25)
    assert read.poses.track_id.tolist() == [3, 4]
    assert not any("tracked" in note for note in read.notes)


def test_an_id_twice_in_a_frame_is_not_believed(tmp_path):
    read = formats.read(json_file(tmp_path / "a.json", results(walkers(), idx=lambda row: 1)), fps=25)
    assert read.poses.track_id.tolist() == [1, 2]
    assert any("an id twice in a frame: people are tracked" in note for note in read.notes)


def test_a_negative_id_is_none(tmp_path):
    read = formats.read(json_file(tmp_path / "a.json", results(walkers(), idx=lambda row: row - 1)), fps=25)
    assert read.poses.track_id.tolist() == [1, 2]
    assert any("does not say who is who" in note for note in read.notes)


def test_scores_of_alphapose_may_be_above_one(tmp_path):
    """AlphaPose: "c is the confidence score in the range [0,1] for MPII dataset and range [0,6] for COCO dataset"."""
    document = results(walkers())
    document[0]["keypoints"][2] = 5.5
    read = formats.read(json_file(tmp_path / "a.json", document))
    assert read.poses.score.max() == 1
    assert any("scores of up to 5.5 are cut to 1" in note for note in read.notes)


def test_the_third_number_may_be_v_as_in_annotations(tmp_path):
    document = results(walkers())
    for result in document:
        result["keypoints"][2::3] = [2] * 16 + [1]
    poses = read_quietly(json_file(tmp_path / "a.json", document), fps=FPS)
    assert (poses.state[..., :16] == 2).all() and (poses.state[..., 16] == 1).all() and (poses.score == 1).all()


def test_images_without_results_are_gaps(tmp_path):
    document = [result for result in results(walkers()) if not 10 <= result["image_id"] < 15]
    poses = read_quietly(json_file(tmp_path / "a.json", document), fps=FPS)
    assert len(poses) == 30 and poses.track_id.tolist() == [1, 2] and not poses.state[10:15].any()


def test_image_ids_that_are_no_frame_numbers_are_taken_in_order(tmp_path):
    document = results(walkers(), lambda frame: 139 + 7001 * frame)
    read = formats.read(json_file(tmp_path / "a.json", document), fps=FPS)
    assert len(read.poses) == 30
    assert any("in the order of their names" in note for note in read.notes)


def test_annotations_lift_as_ours(tmp_path):
    xy = walkers()
    read = formats.read(json_file(tmp_path / "a.json", annotations(xy)), fps=FPS)
    assert (read.poses.width, read.poses.height) == SIZE and read.notes == []
    assert read.poses.track_id.tolist() == [4, 5]
    assert_lifts_as_ours(read, xy[:, ::-1], COCO17, tmp_path, score=1)


def test_annotations_are_matched_by_the_names_of_their_joints(tmp_path):
    xy = walkers(CROWDPOSE14)
    document = annotations(xy, CROWDPOSE14, identity=False)
    document["categories"].insert(0, {"id": 9, "name": "cat", "keypoints": ["nose", "tail"]})
    read = formats.read(json_file(tmp_path / "a.json", document), fps=FPS)
    assert read.poses.skeleton == CROWDPOSE14
    assert_lifts_as_ours(read, xy, CROWDPOSE14, tmp_path, score=1)


def test_v_is_the_state(tmp_path):
    poses = read_quietly(json_file(tmp_path / "a.json", annotations(walkers(frames=2), v=1)))
    assert (poses.state == 1).all() and np.isfinite(poses.xy).all()


def test_images_without_people_are_frames(tmp_path):
    document = annotations(walkers())
    document["annotations"] = [each for each in document["annotations"] if each["id"] < 40]
    assert len(read_quietly(json_file(tmp_path / "a.json", document))) == 30


@pytest.mark.parametrize("idx", [10**400, [[10**400]], 1e308, [float("inf")], [], [["a"]]])
def test_people_with_numbers_that_are_none(tmp_path, idx):
    document = [{"image_id": 0, "category_id": 1, "keypoints": triples(walkers()[0, 0]), "score": 0.9, "idx": idx}]
    with suppress(OccluposeError):
        read_quietly(json_file(tmp_path / "a.json", document))


def broken(change):
    document = annotations(walkers(frames=2))
    change(document)
    return document


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (broken(lambda document: document["images"][0].update(width=320)), "images of 1280 x 960 and 320 x 960"),
        (broken(lambda document: document["annotations"][0].update(image_id=3)), "image 3, which is not among"),
        (broken(lambda document: document["annotations"][0].update(keypoints=[1, 2])), "2 numbers"),
        (broken(lambda document: document["categories"][0].update(keypoints=[])), "no category with keypoints"),
        (broken(lambda document: document["categories"][0].update(keypoints=["tail"])), "only tail"),
        (broken(lambda document: document["images"].append({"file_name": "a"})), "images.2.id"),
        ([{"image_id": 1, "keypoints": [1, 2, 3, 4]}], "4 numbers"),
        ([{"image_id": 1, "keypoints": [1, 2, 1] * 15}], "does not name its 15 joints"),
        ([{"image_id": 1, "keypoints": ["a"]}], "0.keypoints.0"),
        ([{"image_id": 1, "keypoints": [1e30, 5, 1] * 17}], r"a joint is at 1e\+09 px"),
        ([{"image_id": 1, "keypoints": [0.3, 0.2, 1] * 17}], "lie in 0..1; give pixels"),
        ([{"image_id": 1, "keypoints": [0, 0, 0] * 17}], "nobody is in it"),
    ],
)
def test_what_is_refused(tmp_path, document, words):
    path = json_file(tmp_path / "a.json", document)
    with pytest.raises(OccluposeError, match=rf"^{path}: [^\n]*{words}[^\n]*$"):
        formats.read(path)


def test_a_skeleton_may_be_given(tmp_path):
    document = [{"image_id": frame, "keypoints": triples(walkers(CROWDPOSE14)[frame, 0])} for frame in range(4)]
    assert read_quietly(json_file(tmp_path / "a.json", document), skeleton="crowdpose14").skeleton == CROWDPOSE14


def test_what_is_written_is_read_again(tmp_path):
    poses = record(5, 2, COCO17, observed=None)
    (path,) = poses.export(tmp_path / "walk.json", "coco")
    read = read_quietly(path, fps=poses.fps, size=(640, 480))
    np.testing.assert_array_equal(read.xy, poses.xy)
    np.testing.assert_array_equal(read.state, poses.state)
    assert read.track_id.tolist() == poses.track_id.tolist()
    scores = [result["keypoint_scores"] for result in json.loads(path.read_text())]
    np.testing.assert_array_equal(np.float32(scores), np.where(poses.state > 0, poses.score, 0).reshape(-1, 17))


def test_joints_that_the_poses_lack_are_those_detected(tmp_path):
    poses = record(5, 2, H36M17)
    read = read_quietly(poses.export(tmp_path / "walk.json", "coco")[0])
    nose, wrist = COCO17.index("nose", "left_wrist")
    np.testing.assert_array_equal(read.xy[:, :, nose], poses.observed.xy[:, :, nose])
    known = poses.select(joint="left_wrist").state[..., 0] > 0
    np.testing.assert_array_equal(read.xy[known, wrist], poses.select(joint="left_wrist").xy[known, 0])


def test_cocos_own_tools_take_the_results(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    (path,) = record(5, 2, COCO17).export(tmp_path / "walk.json", "coco")
    truth = json_file(tmp_path / "truth.json", annotations(walkers()[:5]))
    document = json.loads(truth.read_text())
    for number, image in enumerate(document["images"][::-1]):
        image["id"] = number
    document["annotations"] = []
    found = coco.COCO(json_file(truth, document)).loadRes(str(path))
    assert len(found.anns) == 10 and len(found.anns[1]["keypoints"]) == 51
