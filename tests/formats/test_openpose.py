"""OpenPose's JSON files (OpenPose Doc - Output, doc/02_output.md: "JSON Output Format", "Keypoint Ordering")."""

import json

import numpy as np
import pytest

from foreign_files import (
    FPS,
    SIZE,
    assert_lifts_as_ours,
    json_file,
    openpose_folder,
    openpose_people,
    read_quietly,
    triples,
    walkers,
)
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.poses import Poses
from occlupose.skeletons import BODY25, BODY25B, COCO17, COCO18, HALPE26, Skeleton

every_model = pytest.mark.parametrize(
    "skeleton", [BODY25, BODY25B, COCO18, HALPE26, COCO17], ids=lambda each: each.name
)


@every_model
def test_a_folder_lifts_as_ours(tmp_path, skeleton: Skeleton):
    xy = walkers(skeleton)
    read = formats.read(openpose_folder(tmp_path / "json", xy), fps=FPS, size=SIZE)
    assert (read.tool, read.poses.skeleton) == ("OpenPose", skeleton)
    np.testing.assert_allclose(read.poses.xy, xy, atol=1e-2)
    assert_lifts_as_ours(read, xy, skeleton, tmp_path)


def test_joints_that_are_zero_are_missing(tmp_path):
    xy = walkers(BODY25)
    xy[5:8, 0, 3] = np.nan
    poses = read_quietly(openpose_folder(tmp_path / "json", xy), fps=FPS, size=SIZE)
    assert (poses.state[5:8, 0, 3] == 0).all() and poses.state[4, 0, 3] == 2
    person = openpose_people(xy[0])
    person["people"][0]["pose_keypoints_2d"][2] = 0  # confidence 0, with a position
    poses = read_quietly(json_file(tmp_path / "one.json", person))
    assert poses.state[0, 0, 0] == 0


def test_low_confidence_is_occluded_and_high_ones_are_one(tmp_path):
    people = openpose_people(walkers(BODY25)[0])
    people["people"][0]["pose_keypoints_2d"][2] = 0.1
    people["people"][0]["pose_keypoints_2d"][5] = 1.02
    poses = read_quietly(json_file(tmp_path / "a.json", people))
    assert poses.state[0, 0, :2].tolist() == [1, 2]
    np.testing.assert_allclose(poses.score[0, 0, :2], [0.1, 1])


def test_missing_files_are_frames_without_people_and_numbers_are_times(tmp_path):
    folder = openpose_folder(tmp_path / "json", walkers(BODY25), first=100)
    for number in (110, 111):
        (folder / f"walk_{number:012d}_keypoints.json").unlink()
    poses = read_quietly(folder, fps=FPS, size=SIZE)
    assert len(poses) == 30 and poses.track_id.tolist() == [1, 2]
    assert poses.time[0] == 100 / FPS
    assert not poses.state[10:12].any() and poses.state[9].any() and poses.state[12].any()


def test_frames_without_people_at_the_ends_are_kept(tmp_path):
    folder = openpose_folder(tmp_path / "json", walkers(BODY25))
    json_file(folder / "walk_000000000035_keypoints.json", openpose_people([]))
    assert len(read_quietly(folder)) == 36


def test_more_and_fewer_people_by_frame(tmp_path):
    folder = openpose_folder(tmp_path / "json", walkers(BODY25))
    for number in range(10, 14):
        path = folder / f"walk_{number:012d}_keypoints.json"
        document = json.loads(path.read_text())
        document["people"] = document["people"][::-1][: 1 + number % 2]
        path.write_text(json.dumps(document))
    poses = read_quietly(folder, fps=FPS)
    present = (poses.state > 0).any(-1)
    assert poses.track_id.tolist() == [1, 2]
    assert present[:, 1].all() and (~present[:, 0]).nonzero()[0].tolist() == [10, 12]


def test_people_whose_ids_are_in_the_file_are_not_tracked(tmp_path):
    xy = walkers(BODY25)
    folder = tmp_path / "json"
    folder.mkdir()
    for number, people in enumerate(xy):
        document = openpose_people(people)
        for person, identity in zip(document["people"], (7, 3), strict=True):
            person["person_id"] = [identity]
        json_file(folder / f"a_{number:012d}_keypoints.json", document)
    read = formats.read(folder, fps=FPS, size=SIZE)
    assert read.poses.track_id.tolist() == [3, 7] and read.notes == []
    np.testing.assert_allclose(read.poses.xy, xy[:, ::-1], atol=1e-2)


def test_people_without_a_body_are_left_out(tmp_path):
    document = openpose_people(walkers(BODY25)[0])
    document["people"].append({"pose_keypoints_2d": [], "face_keypoints_2d": [1, 2, 0.5]})
    assert len(read_quietly(json_file(tmp_path / "a.json", document)).track_id) == 2


def test_an_earlier_version(tmp_path):
    """OpenPose 1.0 called the numbers `pose_keypoints`."""
    document = {"version": 1.0, "people": [{"pose_keypoints": triples(walkers(COCO18)[0, 0])}]}
    assert read_quietly(json_file(tmp_path / "a.json", document)).skeleton == COCO18


def test_fractions_of_the_image(tmp_path):
    """--keypoint_scale 3."""
    xy = walkers(BODY25)
    folder = openpose_folder(tmp_path / "json", (xy + 0.5) / SIZE * 1000)
    for path in folder.iterdir():
        document = json.loads(path.read_text())
        for person in document["people"]:
            numbers = np.reshape(person["pose_keypoints_2d"], (-1, 3)) * (1e-3, 1e-3, 1)
            person["pose_keypoints_2d"] = numbers.ravel().tolist()
        path.write_text(json.dumps(document))
    read = formats.read(folder, fps=FPS, size=SIZE)
    np.testing.assert_allclose(read.poses.xy, xy, atol=0.01)
    assert any("fractions" in note for note in read.notes)
    with pytest.raises(OccluposeError, match=r"json: x and y are fractions of the image; give its size"):
        formats.read(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pose_keypoints_2d": [1, 2, 0.5, 3]}, "4 numbers"),
        ({"pose_keypoints_2d": "text"}, "people.1.pose_keypoints_2d"),
        ({"pose_keypoints_2d": [1.0, 2.0, 0.5] * 18}, "25 joints and 18"),
        ({"person_id": "a"}, "person_id"),
    ],
)
def test_what_is_refused(tmp_path, change, words):
    document = openpose_people(walkers(BODY25)[0])
    document["people"][1] |= change
    path = json_file(tmp_path / "a.json", document)
    with pytest.raises(OccluposeError, match=rf"^{path}: [^\n]*{words}[^\n]*; give [^\n]*$"):
        formats.read(path)


def test_a_folder_of_two_videos_is_refused(tmp_path):
    folder = openpose_folder(tmp_path / "json", walkers(BODY25, 3))
    json_file(folder / "run_000000000001_keypoints.json", openpose_people(walkers(BODY25)[0]))
    with pytest.raises(
        OccluposeError, match=r"run_000000000001_keypoints.json and walk_.*; give a folder of one video$"
    ):
        formats.read(folder)


def test_a_truncated_file_is_named(tmp_path):
    folder = openpose_folder(tmp_path / "json", walkers(BODY25, 3))
    path = folder / "walk_000000000001_keypoints.json"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        OccluposeError, match=r"walk_000000000001_keypoints.json: not JSON, or not all of it \(.*\); write"
    ):
        formats.read(folder)


def test_nobody_in_it(tmp_path):
    with pytest.raises(OccluposeError, match=r"a.json: nobody is in it; give"):
        formats.read(json_file(tmp_path / "a.json", {"version": 1.3, "people": []}))


def test_what_is_written_is_read_again(tmp_path):
    xy = walkers(COCO17)
    state = np.full(xy.shape[:3], 2)
    state[3, 0, 9] = 0
    state[:4, 1] = 0
    xy[state == 0] = np.nan
    score = np.where(state > 0, 0.7, 0)
    poses = Poses(xy, score, state, None, np.array([5, 2]), np.arange(len(xy)) / FPS, COCO17, FPS, *SIZE)
    (folder,) = poses.export(tmp_path / "walk", "openpose")
    assert len([*folder.iterdir()]) == len(poses)
    read = formats.read(folder, fps=FPS, size=SIZE)
    expected = poses.to(BODY25).select(person=[2, 5])
    assert read.notes == [] and read.poses.track_id.tolist() == [2, 5] and read.poses.skeleton == BODY25
    np.testing.assert_array_equal(read.poses.xy, expected.xy)
    np.testing.assert_array_equal(read.poses.score, expected.score)
    document = json.loads((folder / "poses_000000000000_keypoints.json").read_text())
    assert document["version"] == 1.3 and [person["person_id"] for person in document["people"]] == [[5]]
