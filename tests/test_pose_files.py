"""Poses survive both file formats, and bad files are refused in one line."""

import json
import resource
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from occlupose.body_parts import BEARING, BONES, SEGMENTS, SHAPE
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.poses import Poses
from occlupose.skeletons import BODY22, COCO17, H36M17, Skeleton
from pose_records import fitted, record, records, uncertain

formats = pytest.mark.parametrize("suffix", [".npz", ".json"])


@formats
@settings(max_examples=60)
@given(poses=records())
def test_saving_and_loading_give_an_equal_record(tmp_path_factory, suffix, poses):
    path = tmp_path_factory.mktemp("poses") / f"poses{suffix}"
    poses.save(path)
    loaded = Poses.load(path)
    assert loaded == poses
    for name, value in vars(poses).items():
        if isinstance(value, np.ndarray):
            assert getattr(loaded, name).dtype == value.dtype


@formats
@pytest.mark.parametrize("frames", [0, 2])
@pytest.mark.parametrize("people", [0, 1])
def test_skeletons_of_nobody_and_of_no_frames_are_kept(tmp_path, suffix, frames, people):
    poses = fitted(record(frames, people))
    poses.save(tmp_path / f"few{suffix}")
    assert Poses.load(tmp_path / f"few{suffix}") == poses


@formats
@pytest.mark.parametrize("up", [(0, -1, 0), (0.25, -1.5, 0.1), None])
def test_up_of_the_camera_is_kept(tmp_path, suffix, up):
    camera = replace(Camera.from_fov(640, 480, 60), up=up)
    replace(record(), camera=camera).save(tmp_path / f"up{suffix}")
    assert Poses.load(tmp_path / f"up{suffix}").camera == camera


@formats
def test_the_same_record_is_the_same_bytes(tmp_path, suffix):
    for name in ("a", "b"):
        record().save(tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_npz_holds_the_documented_keys(tmp_path):
    record().save(tmp_path / "full.npz")
    record(lifted=False, observed=None, camera=False).save(tmp_path / "flat.npz")
    header = {"version", "skeleton", "joint_names", "fps", "width", "height", "time", "track_id"}
    plain = header | {"row_frame", "row_track_id", "xy", "score", "state"}
    with np.load(tmp_path / "flat.npz") as flat:
        assert set(flat) == plain
    with np.load(tmp_path / "full.npz") as full:
        observed = {f"observed_{name}" for name in (*plain - header, "skeleton", "joint_names")}
        assert set(full) == plain | observed | {"xyz", "camera", "camera_assumed"}
        np.testing.assert_array_equal(full["camera"], Camera.from_fov(640, 480).matrix)
        assert (
            full["camera"].dtype == np.float64
            and full["camera_assumed"]
            and full["version"] == 4
            and full["skeleton"] == "body22"
        )
        assert full["joint_names"].tolist() == list(BODY22.joints) and full["observed_skeleton"] == "coco17"
    uncertain(record()).save(tmp_path / "uncertain.npz")
    with np.load(tmp_path / "full.npz") as full, np.load(tmp_path / "uncertain.npz") as more:
        assert set(more) - set(full) == {"spread", "covariance", "root_covariance", "observed_spread"}
        assert more["covariance"].shape == (8, 22, 6) and more["root_covariance"].shape == (8, 6)
        assert (
            more["row_frame"].tolist() == [*range(4), *range(4)] and more["row_track_id"].tolist() == [1] * 4 + [4] * 4
        )


def test_npz_holds_the_documented_keys_of_skeletons(tmp_path):
    poses = fitted(replace(record(), camera=replace(Camera.from_fov(640, 480), up=(0, -2, 1))))
    record().save(tmp_path / "full.npz")
    poses.save(tmp_path / "fitted.npz")
    with np.load(tmp_path / "full.npz") as full, np.load(tmp_path / "fitted.npz") as more:
        arrays = {"xyz_lifted", "rotation", "rotation_covariance", "contact", "bone_offsets", "shape"}
        names = {"segments", "bearing", "bones", "shape_names"}
        world = {f"world_{name}" for name in ("rotation", "translation", "centre", "covariance")}
        assert set(more) - set(full) == arrays | names | world | {"camera_up"}
        assert more["segments"].tolist() == list(SEGMENTS) and more["bearing"].tolist() == list(BEARING)
        assert more["bones"].tolist() == list(BONES) and more["shape_names"].tolist() == list(SHAPE)
        assert more["rotation"].shape == (8, len(SEGMENTS), 4) and more["rotation"].dtype == np.float32
        assert more["bone_offsets"].shape == (2, len(BONES), 3) and more["camera_up"].tolist() == [0, -2, 1]
        np.testing.assert_array_equal(more["world_rotation"], poses.world.rotation)
    replace(poses, contact=None, shape=None).save(tmp_path / "less.npz")
    with np.load(tmp_path / "less.npz") as less:
        assert {"segments", "bones"} <= set(less) and not {"bearing", "shape_names"} & set(less)


def test_json_says_its_units_frame_and_version(tmp_path):
    poses = record()
    poses.save(tmp_path / "poses.json")
    document = json.loads((tmp_path / "poses.json").read_text())
    assert document["units"] == "metres, pixels, seconds" and document["frame"] == "camera: x right, y down, z forward"
    assert (document["version"], document["skeleton"], document["fps"], document["width"], document["height"]) == (
        4,
        "body22",
        25,
        640,
        480,
    )
    assert [person["track_id"] for person in document["people"]] == [1, 4]
    row = document["people"][1]["frames"][2]
    assert row["frame"] == 2 and row["state"] == poses.state[2, 1].tolist()
    np.testing.assert_array_equal(np.array(row["xyz"], np.float32), poses.xyz[2, 1])
    assert document["per_joint"] == ["xy", "xyz", "score", "state"] and "per_person" not in document


def test_json_says_how_uncertain_joints_and_people_are(tmp_path):
    poses = uncertain(record())
    poses.save(tmp_path / "poses.json")
    document = json.loads((tmp_path / "poses.json").read_text())
    assert document["per_joint"] == ["xy", "xyz", "score", "state", "spread", "covariance"]
    assert document["per_person"] == ["root_covariance"]
    row = document["people"][1]["frames"][2]
    for name in ("spread", "covariance", "root_covariance"):
        np.testing.assert_array_equal(np.array(row[name], np.float32), getattr(poses, name)[2, 1])
    observed = document["observed"]
    assert observed["per_joint"] == ["xy", "score", "state", "spread"] and "per_person" not in observed


def test_json_says_the_skeletons_of_people_and_the_world(tmp_path):
    poses = fitted(record())
    poses.save(tmp_path / "poses.json")
    text = (tmp_path / "poses.json").read_text()
    document = json.loads(text)
    assert document["per_joint"] == ["xy", "xyz", "score", "state", "xyz_lifted"] and "NaN" not in text
    assert document["per_person"] == ["rotation", "rotation_covariance", "contact"]
    assert document["segments"] == list(SEGMENTS) and document["bones"] == list(BONES)
    for number, person in enumerate(document["people"]):
        assert list(person) == ["track_id", "bone_offsets", "shape", "frames"]
        for name in ("bone_offsets", "shape"):
            np.testing.assert_array_equal(np.array(person[name], np.float32), getattr(poses, name)[number])
        for row in person["frames"]:
            for name in ("xyz_lifted", "rotation", "rotation_covariance", "contact"):
                values = getattr(poses, name)[row["frame"], number]
                np.testing.assert_array_equal(np.array(row[name], np.float32), values)
    for name in ("rotation", "translation", "centre", "covariance"):
        np.testing.assert_array_equal(document[f"world_{name}"], getattr(poses.world, name))


def test_json_leaves_out_absent_people_and_shortens_numbers(tmp_path):
    poses = record(100, 1, observed=None, lifted=False)
    away = np.arange(100) % 10 > 0
    poses.xy[away] = np.nan
    poses.state[away] = 0
    poses.score[away] = 0
    poses.xy[~away] = np.where(np.isnan(poses.xy[~away]), np.nan, 0.1)
    poses.save(tmp_path / "poses.json")
    text = (tmp_path / "poses.json").read_text()
    assert Poses.load(tmp_path / "poses.json") == poses
    assert [row["frame"] for row in json.loads(text)["people"][0]["frames"]] == list(range(0, 100, 10))
    assert "[0.1,0.1]" in text and "NaN" not in text


def test_json_shortens_small_numbers(tmp_path):
    poses = record(1, 1, H36M17, observed=None)
    covariance = np.where(np.isnan(poses.xyz[..., :1]), np.nan, [0.1, 1e-6, 1.2345e-5, -3e-15, 0, 1e-30])
    poses = replace(poses, covariance=covariance)
    poses.save(tmp_path / "poses.json")
    assert Poses.load(tmp_path / "poses.json") == poses
    assert "[0.1,1e-06,1.2345e-05,-3e-15,0.0," in (tmp_path / "poses.json").read_text()


@pytest.mark.slow
@formats
def test_five_minutes_of_four_people_take_seconds(tmp_path, suffix):
    poses = record(9000, 4)
    start = time.process_time()
    poses.save(tmp_path / f"poses{suffix}")
    assert Poses.load(tmp_path / f"poses{suffix}") == poses
    assert time.process_time() - start < 40
    assert (tmp_path / f"poses{suffix}").stat().st_size < 90e6


HAND = Skeleton("hand4", ("palm", "left_tip", "right_tip", "thumb"), (("palm", "left_tip"), ("palm", "thumb")), "palm")


@formats
@pytest.mark.parametrize("skeleton", [HAND, Skeleton("dots3", ("a", "b", "c"), ()), HAND.subset(["palm", "thumb"])])
def test_a_skeleton_of_ones_own_is_kept(tmp_path, suffix, skeleton):
    poses = record(skeleton=skeleton, observed=HAND)
    poses.save(tmp_path / f"own{suffix}")
    loaded = Poses.load(tmp_path / f"own{suffix}")
    assert loaded == poses and loaded.skeleton.mirror == skeleton.mirror


@formats
def test_another_skeleton_s_name_is_refused(tmp_path, suffix):
    impostor = Skeleton("coco17", HAND.joints, HAND.limbs)
    with pytest.raises(OccluposeError, match=rf"own{suffix}: skeleton coco17 has other joints than .*another name$"):
        record(skeleton=impostor).save(tmp_path / f"own{suffix}")
    assert not any(tmp_path.iterdir())


@formats
def test_a_selection_can_be_saved(tmp_path, suffix):
    some = record().select(joint=["left_wrist", "nose"])
    some.save(tmp_path / f"some{suffix}")
    assert Poses.load(tmp_path / f"some{suffix}") == some


# one frame, as format version 1 was written
VERSION_1_JSON = """{"format": "occlupose poses", "units": "metres, pixels, seconds", \
"frame": "camera: x right, y down, z forward", "version": 1, "skeleton": "dots3", "joint_names": ["a", "b", "c"], \
"limbs": [["a", "b"]], "root": "a", "fps": 25.0, "width": 100, "height": 50, "time": [0.5], \
"camera": [[50.0, 0.0, 49.5], [0.0, 50.0, 24.5], [0.0, 0.0, 1.0]], "camera_assumed": true, \
"per_joint": ["xy", "xyz", "score", "state"], "people": [
{"track_id": 7, "frames": [
{"frame":0,"xy":[[1.5,2.0],[3.0,4.25],[null,null]],"xyz":[[0.1,0.2,3.0],[null,null,null],[null,null,null]],\
"score":[0.9,0.25,0.0],"state":[2,1,0]}
]}], "observed": {"skeleton": "ends2", "joint_names": ["a", "b"], "per_joint": ["xy", "score", "state"], "people": [
{"track_id": 7, "frames": [
{"frame":0,"xy":[[10.0,20.0],[30.0,40.0]],"score":[0.9,0.5],"state":[2,1]}
]}]}}
"""
VERSION_1_NPZ = {
    "version": 1,
    "skeleton": "dots3",
    "joint_names": ["a", "b", "c"],
    "limbs": [["a", "b"]],
    "root": "a",
    "fps": 25.0,
    "width": 100,
    "height": 50,
    "time": np.array([0.5]),
    "track_id": np.array([7]),
    "camera": np.array([[50, 0, 49.5], [0, 50, 24.5], [0, 0, 1]]),
    "camera_assumed": True,
    "xy": np.array([[[[1.5, 2], [3, 4.25], [np.nan] * 2]]], np.float32),
    "xyz": np.array([[[[0.1, 0.2, 3], [np.nan] * 3, [np.nan] * 3]]], np.float32),
    "score": np.array([[[0.9, 0.25, 0]]], np.float32),
    "state": np.array([[[2, 1, 0]]], np.uint8),
    "observed_skeleton": "ends2",
    "observed_joint_names": ["a", "b"],
    "observed_xy": np.array([[[[10, 20], [30, 40]]]], np.float32),
    "observed_score": np.array([[[0.9, 0.5]]], np.float32),
    "observed_state": np.array([[[2, 1]]], np.uint8),
}


def test_files_of_version_1_are_still_read(tmp_path):
    (tmp_path / "old.json").write_text(VERSION_1_JSON)
    np.savez_compressed(tmp_path / "old.npz", **VERSION_1_NPZ)
    poses = Poses.load(tmp_path / "old.json")
    assert poses == Poses.load(tmp_path / "old.npz")
    assert poses.spread is poses.covariance is poses.root_covariance is poses.observed.spread is None
    assert (poses.fps, poses.track_id.tolist(), poses.time.tolist()) == (25, [7], [0.5])
    assert poses.skeleton == Skeleton("dots3", ("a", "b", "c"), (("a", "b"),), "a")
    assert poses.camera == Camera(100, 50, 50, 50, 49.5, 24.5, assumed=True)
    np.testing.assert_array_equal(poses.xyz[0, 0], np.float32([[0.1, 0.2, 3], [np.nan] * 3, [np.nan] * 3]))
    assert poses.state.tolist() == [[[2, 1, 0]]] and poses.observed.xy.tolist() == [[[[10, 20], [30, 40]]]]


# the same frame with what format version 2 added
VERSION_2_JSON = (
    VERSION_1_JSON.replace('"version": 1', '"version": 2')
    .replace(
        '"per_joint": ["xy", "xyz", "score", "state"]',
        '"per_joint": ["xy", "xyz", "score", "state", "spread", "covariance"], "per_person": ["root_covariance"]',
    )
    .replace(
        '"state":[2,1,0]}',
        '"state":[2,1,0],"spread":[1.5,null,null],"covariance":[[0.1,0.2,0.3,0.0,0.0,0.05],'
        "[null,null,null,null,null,null],[null,null,null,null,null,null]],"
        '"root_covariance":[0.01,0.01,0.25,0.0,0.0,0.0]}',
    )
    .replace('"per_joint": ["xy", "score", "state"]', '"per_joint": ["xy", "score", "state", "spread"]')
    .replace('"state":[2,1]}', '"state":[2,1],"spread":[2.0,null]}')
)
VERSION_2_NPZ = VERSION_1_NPZ | {
    "version": 2,
    "spread": np.array([[[1.5, np.nan, np.nan]]], np.float32),
    "covariance": np.array([[[[0.1, 0.2, 0.3, 0, 0, 0.05], [np.nan] * 6, [np.nan] * 6]]], np.float32),
    "root_covariance": np.array([[[0.01, 0.01, 0.25, 0, 0, 0]]], np.float32),
    "observed_spread": np.array([[[2, np.nan]]], np.float32),
}


def test_files_of_version_2_are_still_read(tmp_path):
    (tmp_path / "old.json").write_text(VERSION_2_JSON)
    np.savez_compressed(tmp_path / "old.npz", **VERSION_2_NPZ)
    (tmp_path / "first.json").write_text(VERSION_1_JSON)
    poses = Poses.load(tmp_path / "old.json")
    assert poses == Poses.load(tmp_path / "old.npz")
    np.testing.assert_array_equal(poses.spread, np.float32([[[1.5, np.nan, np.nan]]]))
    np.testing.assert_array_equal(poses.covariance[0, 0, 0], np.float32([0.1, 0.2, 0.3, 0, 0, 0.05]))
    np.testing.assert_array_equal(poses.root_covariance, np.float32([[[0.01, 0.01, 0.25, 0, 0, 0]]]))
    certain = replace(poses, spread=None, covariance=None, root_covariance=None)
    certain = replace(certain, observed=replace(poses.observed, spread=None))
    assert certain == Poses.load(tmp_path / "first.json") and poses.observed.spread.tolist()[0][0][0] == 2
    assert poses.rotation is poses.bone_offsets is poses.shape is poses.world is poses.camera.up is None


def content_of(poses, path):
    """What the .npz of a record holds."""
    poses.save(path)
    with np.load(path) as file:
        return dict(file)


def test_files_of_version_3_are_still_read(tmp_path):
    """Arrays were (time, person, ...)."""
    poses = fitted(uncertain(record()))
    content = content_of(poses, tmp_path / "new.npz")
    header = {name: value for name, value in content.items() if not name.removeprefix("observed_").startswith("row_")}
    observed = {f"observed_{name}": values for name, values in poses.observed.arrays.items()}
    np.savez_compressed(tmp_path / "old.npz", **header | poses.arrays | observed | {"version": 3})
    assert Poses.load(tmp_path / "old.npz") == poses
    poses.save(tmp_path / "new.json")
    text = (tmp_path / "new.json").read_text().replace('"version": 4', '"version": 3')
    (tmp_path / "old.json").write_text(text)
    assert Poses.load(tmp_path / "old.json") == poses


WRONG_ROWS = {
    "a frame twice": ({"row_frame": np.zeros(8, int)}, r"row_frame, row_track_id: are not in order"),
    "a frame too late": ({"row_frame": np.arange(8)}, r"row_frame, row_track_id: .* numbers of frames below 4"),
    "a frame before the first": ({"row_frame": np.arange(8) % 4 - 1}, r"row_frame, row_track_id: are not in order"),
    "frames of another kind": ({"row_frame": np.arange(8) % 4 + 0.5}, r"row_frame, row_track_id: are not in order"),
    "an unknown person": ({"row_track_id": np.full(8, 9)}, r"row_frame, row_track_id: are not in order"),
    "other people first": ({"row_track_id": np.repeat([4, 1], 4)}, r"row_frame, row_track_id: are not in order"),
    "fewer frames": ({"row_frame": np.arange(7) % 4}, r"row_frame, row_track_id: are not in order"),
    "no people": ({"row_track_id": None}, r"row_track_id: is missing; rows need their frames and people"),
    "no time": ({"time": None}, r"time: is missing; a poses file with row_frame needs it"),
    "no width": ({"width": None}, r"width: is missing; a poses file with row_frame needs it"),
    "no places": ({"xy": None}, r"xy: is missing"),
    "other joints": ({"xy": np.zeros((8, 5, 2))}, r"xy: has rows of shape \(5, 2\), not \(22, 2\)"),
    "fewer rows": ({"score": np.zeros((7, 22))}, r"score: has 7 rows, not 8"),
    "no rows": ({"score": np.zeros(())}, r"\(score: its rows do not follow each other\)"),
    "texts": ({"score": np.full((8, 22), "a")}, r"score: holds values of type .*; it must hold numbers"),
    "an unknown state": ({"state": np.full((8, 22), 3)}, r"state: holds an unknown state"),
    "an unknown key": ({"row_person": np.zeros(8)}, r"row_person: is not known"),
    "times in a table": ({"time": np.zeros((4, 1))}, r"time: has shape \(4, 1\); .* it must be \(4,\)"),
    "one time": ({"time": np.array(0.5)}, r"row_frame, .*: .* numbers of frames below 1"),
    "ids in a table": ({"track_id": np.array([[1], [4]])}, r"track_id: has shape \(2, 1\); .* it must be \(2,\)"),
    "people seen elsewhere": ({"observed_row_track_id": np.full(8, 9)}, r"observed_row_frame, .*: are not in order"),
}


@pytest.mark.parametrize(("change", "message"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_wrong_rows_are_refused(tmp_path, change, message):
    content = content_of(record(), tmp_path / "good.npz") | change
    path = write(tmp_path / "bad.npz", **{name: value for name, value in content.items() if value is not None})
    with pytest.raises(OccluposeError, match=f"bad.npz: .*{message}") as caught:
        Poses.load(path)
    assert "\n" not in str(caught.value)


def test_more_rows_than_people_have_are_refused(tmp_path):
    content = content_of(record(), tmp_path / "good.npz")
    path = write(tmp_path / "bad.npz", **content | {"xy": np.concatenate([content["xy"], content["xy"][:1]])})
    with pytest.raises(OccluposeError, match=r"bad\.npz: xy: has 9 rows, not 8"):
        Poses.load(path)


def write(path, **content):
    np.savez(path, **content)
    return path


def points(frames=3, joints=17):
    xy = np.random.default_rng(0).uniform(0, 100, (frames, joints, 2))
    xy[1, 5] = np.nan
    return xy


def test_the_least_that_can_be_lifted(tmp_path):
    poses = Poses.load(write(tmp_path / "hand.npz", xy=points(), skeleton="coco17", fps=50))
    finite = np.isfinite(points()).all(-1)
    assert poses.xy.shape == (3, 1, 17, 2) and poses.xyz is None and poses.camera is None and poses.observed is None
    np.testing.assert_array_equal(poses.score[:, 0], finite)
    np.testing.assert_array_equal(poses.state[:, 0], 2 * finite)
    assert poses.time.tolist() == [0, 0.02, 0.04] and poses.track_id.tolist() == [0]
    assert (poses.width, poses.height) == tuple(np.ceil(np.nanmax(points(), (0, 1))) + 1)


def test_one_person_with_more(tmp_path):
    finite = np.isfinite(points()).all(-1)
    given = {
        "score": finite * 0.5,
        "state": finite * 1,
        "xyz": np.where(finite[..., None], 1.5, np.nan) * np.ones(3),
        "spread": np.where(finite, 2, np.nan),
        "covariance": np.where(finite[..., None], 0.1, np.nan) * np.ones(6),
        "root_covariance": np.ones((3, 6)),
        "rotation": np.tile([0.0, 1, 0, 0], (3, len(SEGMENTS), 1)),
        "contact": np.full((3, len(BEARING)), 0.5),
        "bone_offsets": np.ones((len(BONES), 3)),
        "shape": np.zeros(len(SHAPE)),
        "world_rotation": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
        "world_translation": [0, 0, 1.5],
        "track_id": [7],
    }
    path = write(
        tmp_path / "hand.npz", xy=points(), skeleton="coco17", fps=50, time=[1, 2, 4], width=200, height=300, **given
    )
    poses = Poses.load(path)
    assert (
        poses.score.max() == 0.5
        and poses.covariance.shape == (3, 1, 17, 6)
        and poses.root_covariance.shape == (3, 1, 6)
        and np.nanmax(poses.spread) == 2
        and poses.state.max() == 1
        and poses.xyz.shape == (3, 1, 17, 3)
        and poses.track_id.tolist() == [7]
    )
    assert poses.time.tolist() == [1, 2, 4] and (poses.width, poses.height) == (200, 300)
    assert poses.rotation.shape == (3, 1, len(SEGMENTS), 4) and poses.contact.shape == (3, 1, len(BEARING))
    assert poses.bone_offsets.shape == (1, len(BONES), 3) and poses.shape.shape == (1, len(SHAPE))
    np.testing.assert_array_equal(poses.world.up, (0, -1, 0))
    assert not poses.world.covariance.any() and not poses.world.centre.any() and poses.world.translation[2] == 1.5


@pytest.mark.parametrize(
    "camera", [[500, 510, 99.5, 49.5], [[500, 0, 99.5], [0, 510, 49.5], [0, 0, 1]]], ids=["vector", "matrix"]
)
def test_the_image_size_from_the_camera(tmp_path, camera):
    poses = Poses.load(write(tmp_path / "hand.npz", xy=points(), skeleton="coco17", fps=50, camera=camera))
    assert poses.camera == Camera(200, 100, 500, 510, 99.5, 49.5)


def test_json_made_by_hand(tmp_path):
    row = [[float(joint), 10.0] for joint in range(17)]
    people = [{"track_id": 3, "frames": [{"frame": 0, "xy": row}, {"frame": 2, "xy": [[None, None], *row[1:]]}]}]
    (tmp_path / "hand.json").write_text(json.dumps({"skeleton": "coco17", "fps": 10, "people": people}))
    poses = Poses.load(tmp_path / "hand.json")
    assert (
        poses.xy.shape == (3, 1, 17, 2) and (poses.width, poses.height) == (17, 11) and poses.track_id.tolist() == [3]
    )
    assert poses.state[:, 0, 0].tolist() == [2, 0, 0] and poses.state[:, 0, 1].tolist() == [2, 0, 2]


def good():
    return {"xy": points()[:, None], "skeleton": "coco17", "fps": 25.0, "width": 100, "height": 100}


def with_joint(values, at, number):
    values = np.array(values)
    values[at] = number
    return values


finite = np.isfinite(points()[:, None]).all(-1)


states = np.where(finite, 2, 0)


lifted = np.where(finite[..., None], 1.5, np.nan) * np.ones(3)


REFUSED = {
    "a later version": ({"version": 7}, r"written by format version 7; this occlupose reads up to 4; update occlupose"),
    "no xy": ({"xy": None}, r"xy: is missing; a poses file needs at least xy, skeleton and fps"),
    "no skeleton": ({"skeleton": None}, r"skeleton: is missing"),
    "no fps": ({"fps": None}, r"fps: is missing"),
    "a misspelt key": ({"scores": finite}, r"scores: is not known; a poses file may hold version, skeleton, .*score"),
    "an unknown skeleton": ({"skeleton": "coco19"}, r"coco19: not a known skeleton; known are coco17"),
    "another order of joints": (
        {"joint_names": COCO17.joints[::-1]},
        r"joint_names: are right_ankle, .*; coco17's are nose, .*in this order",
    ),
    "a joint name twice": (
        {"skeleton": "own", "joint_names": ["a"] * 17},
        r"joint_names: has a name twice; every joint needs",
    ),
    "a limb without a joint": (
        {"skeleton": "own", "joint_names": list("abcdefghijklmnopq"), "limbs": [["a", "z"]]},
        r"limbs, root: z is not among the joint_names a, b",
    ),
    "a skeleton that is a number": ({"skeleton": 17}, r"skeleton: Input should be a valid string"),
    "text for coordinates": (
        {"xy": np.full((3, 1, 17, 2), "left")},
        r"xy: holds values of type <U4; it must hold numbers",
    ),
    "complex coordinates": (
        {"xy": points()[:, None] * 1j},
        r"xy: holds values of type complex128; it must hold numbers",
    ),
    "fractional states": ({"state": finite * 1.5}, r"state: holds values of type float64; it must hold whole numbers"),
    "fractional track ids": ({"track_id": [0.5]}, r"track_id: holds values of type float64"),
    "flat xy": (
        {"xy": points()[:, 0]},
        r"xy: has shape \(3, 2\); it must be \(time, person, joint, 2\), or \(time, joint, 2\)",
    ),
    "three coordinates in xy": ({"xy": np.zeros((3, 1, 17, 3))}, r"xy: has shape \(3, 1, 17, 3\)"),
    "too few joints": (
        {"xy": np.zeros((3, 1, 16, 2))},
        r"xy: has shape \(3, 1, 16, 2\); it must be .* the 17 joints of coco17",
    ),
    "too few scores": (
        {"score": finite[:2] * 1.0},
        r"score: has shape \(2, 1, 17\); beside xy \(3, 1, 17, 2\) it must be \(3, 1, 17\)",
    ),
    "flat xyz": ({"xyz": points()[:, None]}, r"xyz: has shape .* it must be \(3, 1, 17, 3\)"),
    "too many track ids": ({"track_id": [1, 2]}, r"track_id: has shape \(2,\).* it must be \(1,\)"),
    "too few times": ({"time": [0.0]}, r"time: has shape \(1,\).* it must be \(3,\)"),
    "time going back": ({"time": [0.0, 2.0, 1.0]}, r"time: is not finite or goes back"),
    "time not a number": ({"time": [0.0, 2.0, np.nan]}, r"time: is not finite or goes back"),
    "the same person twice": ({"xy": np.zeros((3, 2, 17, 2)), "track_id": [4, 4]}, r"track_id: has a number twice"),
    "negative fps": ({"fps": -25.0}, r"fps: Input should be greater than 0"),
    "infinite fps": ({"fps": np.inf}, r"fps: Input should be a finite number"),
    "fps in words": ({"fps": "fast"}, r"fps: Input should be a valid number"),
    "an image without width": ({"width": 0}, r"width, height: are 0 x 100; they must be positive"),
    "half a point": (
        {"xy": with_joint(points()[:, None], (0, 0, 3, 0), np.nan)},
        r"xy: frame 0, person 0: left_ear has some coord.* lacks",
    ),
    "an infinite point": (
        {"xy": with_joint(points()[:, None], (0, 0, 3), np.inf)},
        r"xy: frame 0, person 0: left_ear is infinitely far",
    ),
    "an unknown state": (
        {"state": with_joint(states, (0, 0, 0), 3)},
        r"state: holds an unknown state; states are 0 absent",
    ),
    "a negative state": ({"state": with_joint(states, (0, 0, 0), -1)}, r"state: holds an unknown state"),
    "seen without coordinates": (
        {"state": with_joint(states, (1, 0, 5), 2)},
        r"state: frame 1, person 0: left_shoulder has no coordinates; .*",
    ),
    "absent with coordinates": (
        {"state": with_joint(states, (2, 0, 4), 0)},
        r"state: frame 2, person 0: right_ear is absent but has coord",
    ),
    "absent in 2D only": (
        {"xyz": np.zeros((3, 1, 17, 3))},
        r"xyz: frame 1, person 0: left_shoulder is absent but has coordinates",
    ),
    "scores in percent": (
        {"score": finite * 90.0},
        r"score: frame 0, person 0: nose has a score outside 0..1; scale scores to 0..1",
    ),
    "a score that is no number": (
        {"score": with_joint(finite * 1.0, (0, 0, 0), np.nan)},
        r"score: frame 0, person 0: nose has a score",
    ),
    "spreads in words": (
        {"spread": np.full((3, 1, 17), "wide")},
        r"spread: holds values of type <U4; it must hold numb",
    ),
    "too few spreads": ({"spread": finite[:2] * 1.0}, r"spread: has shape \(2, 1, 17\); .* it must be \(3, 1, 17\)"),
    "a negative spread": (
        {"spread": with_joint(finite * 1.0, (0, 0, 0), -1)},
        r"spread: frame 0, person 0: nose has a negative or infinite spread; give pixels, NaN where unknown",
    ),
    "spread where there is nobody": (
        {"spread": finite * 1.0},
        r"spread: frame 1, person 0: left_shoulder is absent but has a spread",
    ),
    "covariances without xyz": (
        {"covariance": np.ones((3, 1, 17, 6))},
        r"covariance: is there without xyz; leave it out in 2D",
    ),
    "square covariances": (
        {"xyz": lifted, "covariance": np.ones((3, 1, 17, 3, 3))},
        r"covariance: has shape .* it must be \(3, 1, 17, 6\)",
    ),
    "covariances of a lost joint": (
        {"xyz": lifted, "covariance": np.ones((3, 1, 17, 6))},
        r"covariance: frame 1, person 0: left_shoulder has a covariance but no xyz",
    ),
    "a negative variance of the root": (
        {"xyz": lifted, "root_covariance": -np.ones((3, 1, 6))},
        r"root_covariance: frame 0, person 0 has a negative or infinite variance",
    ),
    "a covariance of detections": (
        {
            "observed_xy": points()[:, None],
            "observed_skeleton": "coco17",
            "observed_covariance": np.ones((3, 1, 17, 6)),
        },
        r"observed_covariance: is not known",
    ),
    "a negative spread of a detection": (
        {"observed_xy": points()[:, None], "observed_skeleton": "coco17", "observed_spread": finite * -1.0},
        r"observed: spread: frame 0, person 0: nose has a negative or infinite spread",
    ),
    "rotations in 2D": (
        {"rotation": np.tile([1.0, 0, 0, 0], (3, 1, len(SEGMENTS), 1))},
        r"rotation: is there without xyz; leave it out in 2D",
    ),
    "rotations as matrices": (
        {"xyz": lifted, "rotation": np.tile(np.eye(3), (3, 1, len(SEGMENTS), 1, 1))},
        rf"rotation: has shape .* it must be \(3, 1, {len(SEGMENTS)}, 4\)",
    ),
    "rotations of another length": (
        {"xyz": lifted, "rotation": np.tile([2.0, 0, 0, 0], (3, 1, len(SEGMENTS), 1))},
        r"rotation: frame 0, person 0 has no unit quaternion; give w, x, y, z of length 1",
    ),
    "other segments": (
        {"segments": [*SEGMENTS[:-1], "tail"]},
        r"segments: are not those of this version; they must be pelvis, abdomen",
    ),
    "bones in another order": ({"bones": BONES[::-1]}, r"bones: are not those of this version; they must be lumbar"),
    "contacts in percent": (
        {"xyz": lifted, "contact": np.full((3, 1, len(BEARING)), 90)},
        r"contact: frame 0, person 0 has a probability outside 0\.\.1",
    ),
    "bones of every frame": (
        {"xyz": lifted, "bone_offsets": np.ones((3, 1, len(BONES), 3))},
        rf"bone_offsets: has shape \(3, 1, {len(BONES)}, 3\); .* it must be \(1, {len(BONES)}, 3\)",
    ),
    "half a world": (
        {"xyz": lifted, "world_rotation": np.eye(3)},
        r"world_rotation, world_translation: one is there without the other; give both or neither",
    ),
    "a world that is only uncertain": (
        {"xyz": lifted, "world_covariance": np.eye(3)},
        r"world_rotation, world_translation: one is there without the other",
    ),
    "a world in 2D": (
        {"world_rotation": np.eye(3), "world_translation": np.zeros(3)},
        r"world: is there without xyz; leave it out in 2D",
    ),
    "a world in a mirror": (
        {"xyz": lifted, "world_rotation": np.diag([1, 1, -1]), "world_translation": np.zeros(3)},
        r"world_rotation: is no rotation; its rows must be orthogonal unit vectors, right-handed",
    ),
    "a world of another scale": (
        {"xyz": lifted, "world_rotation": 2 * np.eye(3), "world_translation": np.zeros(3)},
        r"world_rotation: is no rotation; ",
    ),
    "a world that is nowhere": (
        {"xyz": lifted, "world_rotation": np.eye(3), "world_translation": [0, np.nan, 0]},
        r"world_translation: has shape \(3,\); it must be \(3,\), all finite",
    ),
    "up without a direction": (
        {"camera": [500, 500, 49.5, 49.5], "camera_up": [0.0, 0, 0]},
        r"camera: up \(0\.0, 0\.0, 0\.0\); it has no direction; \(0, -1, 0\) is that of a level camera",
    ),
    "up in two numbers": (
        {"camera": [500, 500, 49.5, 49.5], "camera_up": [0.0, -1]},
        r"camera_up: has shape \(2,\); it must be \(3,\), all finite",
    ),
    "an odd camera": ({"camera": np.eye(4)}, r"camera: is neither fx, fy, cx, cy nor a 3 x 3 intrinsic matrix"),
    "a camera of another form": (
        {"camera": np.ones((3, 3))},
        r"camera: not an intrinsic matrix; it must be \[\[fx, 0, cx\]",
    ),
    "a camera without focal length": (
        {"camera": [0, 0, 50, 50]},
        r"camera: focal lengths 0.0, 0.0; they must be positive",
    ),
    "nothing to take the size from": (
        {"xy": np.full((1, 1, 17, 2), np.nan), "width": None},
        r"width, height: are missing",
    ),
    "observed without its skeleton": (
        {"observed_xy": points()[:, None]},
        r"observed_xy, observed_skeleton: one is there without the other",
    ),
    "other frames in observed": (
        {"observed_xy": np.zeros((2, 1, 17, 2)), "observed_skeleton": "coco17"},
        r"observed: .*has shape",
    ),
    "observed in another skeleton": (
        {"observed_xy": points()[:, None], "observed_skeleton": "h36m18"},
        r"h36m18: not a known skeleton",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_npz_files(tmp_path, change, message):
    content = {name: value for name, value in (good() | change).items() if value is not None}
    path = write(tmp_path / "poses.npz", **content)
    with pytest.raises(OccluposeError, match=rf"^{path}: {message}") as caught:
        Poses.load(path)
    assert "\n" not in str(caught.value)


def test_what_the_refusals_start_from_is_accepted(tmp_path):
    assert Poses.load(write(tmp_path / "poses.npz", **good())).xy.shape == (3, 1, 17, 2)


def spoil_zip(path):
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def pickle_an_object(path):
    np.savez(path, **good() | {"track_id": np.array([{"a": 1}])}, allow_pickle=True)


def add_text(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "hello")


def claim(shape, kind="<f8"):
    """Makes `width` an array of this shape, without data."""
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"

    def add(path):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("height.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())

    return add


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (claim("(10000000000,)"), r"damaged or not plain arrays \(height: its data are not of shape"),
        (claim("(3000000000, 0)"), r"damaged or not plain arrays \(height: shape .* is too large"),
        (lambda path: path.write_text("not a zip"), r"not a whole \.npz archive; write it again with numpy\.savez"),
        (lambda path: path.write_bytes(b""), r"not a whole \.npz archive"),
        (cut, r"not a whole \.npz archive"),
        (spoil_zip, r"damaged or not plain arrays \(.*\); write it again"),
        (pickle_an_object, r"damaged or not plain arrays \(track_id: objects, which are not read\); write it again"),
        (add_text, r"notes\.txt: is not known"),
        (lambda path: path.unlink(), r"cannot be read \(no such file or directory\); give a \.npz or \.json file"),
    ],
)
def test_broken_npz_files(tmp_path, spoil, message):
    path = write(tmp_path / "poses.npz", **good())
    spoil(path)
    with pytest.raises(OccluposeError, match=rf"^{path}: {message}") as caught:
        Poses.load(path)
    assert "\n" not in str(caught.value)


def frame(**change):
    return {"frame": 0, "xy": [[1.0, 2.0]] * 17, "score": [1.0] * 17, "state": [2] * 17} | change


def person(*frames, **change):
    return {"track_id": 1, "frames": frames or [frame()]} | change


BAD_JSON = {
    "a later version": ({"version": 7}, r"written by format version 7; this occlupose reads up to 4; update occlupose"),
    "no people": ({"people": None}, r"people: is missing; a poses file needs at least people, skeleton and fps"),
    "no skeleton": ({"skeleton": None}, r"skeleton: is missing"),
    "no fps": ({"fps": None}, r"fps: is missing"),
    "other units": (
        {"units": "millimetres"},
        r"units: is not ours; it must be 'metres, pixels, seconds' or be left out",
    ),
    "another frame": ({"frame": "z up"}, r"frame: is not ours; it must be 'camera: x right, y down, z forward'"),
    "an unknown key": ({"scores": []}, r"scores: is not known"),
    "an unknown skeleton": ({"skeleton": "coco19"}, r"coco19: not a known skeleton"),
    "another order of joints": ({"joint_names": ["nose"]}, r"joint_names: are nose; coco17's are nose, left_eye"),
    "people that are numbers": ({"people": [1, 2]}, r"people: not a list of people"),
    "people that are a number": ({"people": 1}, r"people: not a list of people"),
    "a person without a number": (
        {"people": [{"frames": []}]},
        r"people: not a list of people with track_id .*'track_id'",
    ),
    "a frame without a number": ({"people": [person({"xy": [[1, 2]] * 17})]}, r"people: .*'frame'"),
    "a frame without scores": ({"people": [person(frame(), {"frame": 1, "xy": [[1, 2]] * 17})]}, r"people: .*'score'"),
    "frames without xy": ({"people": [person({"frame": 0, "score": [1] * 17})]}, r"people: .*'xy'"),
    "too few joints": (
        {"people": [person(frame(xy=[[1.0, 2.0]] * 16))]},
        r"people: .*xy of shape \(16, 2\), float64, not \(17, 2\)",
    ),
    "ragged joints": ({"people": [person(frame(xy=[[1.0]] + [[1.0, 2.0]] * 16))]}, r"people: not a list of people"),
    "text for a joint": ({"people": [person(frame(xy=[["a", "b"]] * 17))]}, r"people: not a list of people"),
    "a negative frame": ({"people": [person(frame(frame=-1))]}, r"people: .*frame numbers from -1 to -1"),
    "a frame after the last": (
        {"people": [person(frame(frame=3))], "time": [0.0]},
        r"people: .*frame numbers from 3 to 3, not 1 different ones",
    ),
    "the same frame twice": ({"people": [person(frame(), frame())]}, r"people: .*not 1 different ones"),
    "an absurd frame": ({"people": [person(frame(frame=10**12))]}, r"1 people in 1000000000001 frames are too many"),
    "a frame far away": (
        {"people": [person(frame(frame=20_000_000))]},
        r"1 people in 20000001 frames are too many to hold; give a part of it",
    ),
    "many people in many frames": (
        {"time": list(range(2000)), "people": [person(track_id=number) for number in range(1, 2000)]},
        r"1999 people in 2000 frames are too many to hold",
    ),
    "a number without end": ({"people": [person(frame(xy=[[10**400, 2]] * 17))]}, r"people: not a list of people"),
    "a state without end": ({"people": [person(frame(state=[10**400] * 17))]}, r"people: not a list of people"),
    "a track id of 65 bits": ({"people": [person(track_id=2**63 + 5)]}, r"track_id: holds 9223372036854775813"),
    "a track id without end": ({"people": [person(track_id=10**400)]}, r"track_id: holds values of type object"),
    "an endless image": ({"width": 10**30}, r"width, height: are 10{30} x 100; they must be positive, in pixels"),
    "a principal point far away": (
        {"width": None, "camera": [500, 500, 1e308, 50]},
        r"camera: .*is neither fx, fy, cx, cy nor",
    ),
    "microseconds": ({"fps": 1e300}, r"fps: is 1e\+300; it must be a positive number of frames per second"),
    "almost no time": ({"fps": 1e-300}, r"fps: is 1e-300; it must be a positive number of frames per second"),
    "seen without coordinates": (
        {"people": [person(frame(xy=[[None, None]] * 17))]},
        r"state: frame 0, person 1: nose has no coordinates",
    ),
    "half a point": (
        {"people": [person(frame(xy=[[None, 1.0]] * 17))]},
        r"xy: frame 0, person 1: nose has some coordinates",
    ),
    "a fractional state": (
        {"people": [person(frame(state=[1.5] * 17))]},
        r"people: .*state of shape \(17,\), float64, not \(17,\), int64",
    ),
    "a spread of some frames": (
        {"people": [person(frame(spread=[1.0] * 17), frame(frame=1))]},
        r"people: .*'spread'",
    ),
    "a negative spread": (
        {"people": [person(frame(spread=[-1.0] * 17))]},
        r"spread: frame 0, person 1: nose has a negative or infinite spread",
    ),
    "half a covariance": (
        {"people": [person(frame(xyz=[[1.0] * 3] * 17, covariance=[[1.0] * 3] * 17))]},
        r"people: .*covariance of shape \(17, 3\), float64, not \(17, 6\)",
    ),
    "a covariance in 2D": (
        {"people": [person(frame(root_covariance=[1.0] * 6))]},
        r"root_covariance: is there without xyz; leave it out in 2D",
    ),
    "a covariance of the root for each joint": (
        {"people": [person(frame(xyz=[[1.0] * 3] * 17, root_covariance=[[1.0] * 6] * 17))]},
        r"people: .*root_covariance of shape \(17, 6\), float64, not \(6,\)",
    ),
    "rotations of some frames": (
        {"people": [person(frame(rotation=[[1.0, 0, 0, 0]] * len(SEGMENTS)), frame(frame=1))]},
        r"people: .*'rotation'",
    ),
    "bones of some people": (
        {"people": [person(bone_offsets=[[0.0, 1, 0]] * len(BONES)), person(track_id=2)]},
        r"people: .*'bone_offsets'",
    ),
    "bones in 2D": (
        {"people": [person(bone_offsets=[[0.0, 1, 0]] * len(BONES))]},
        r"bone_offsets: is there without xyz; leave it out in 2D",
    ),
    "ragged bones": (
        {"people": [person(bone_offsets=[[0.0, 1], [1.0]])]},
        r"people: not a list of people",
    ),
    "other bones": ({"bones": ["femur"]}, r"bones: are not those of this version; they must be lumbar, spine"),
    "up without a direction": (
        {"camera": [500, 500, 49.5, 49.5], "camera_up": [0, 0, 0]},
        r"camera: up \(0\.0, 0\.0, 0\.0\); it has no direction",
    ),
    "names that are a number": ({"per_person": 3}, r"people: not a list of people"),
    "names of nothing": ({"per_person": ["root"]}, r"people: not a list of people.*'root'"),
    "observed that is a number": ({"observed": 3}, r"observed: not a list of people"),
    "observed without people": ({"observed": {"skeleton": "coco17"}}, r"observed: not a list of people.*'people'"),
    "an unknown key in observed": (
        {"observed": {"skeleton": "coco17", "fps": 3, "people": [person()]}},
        r"observed_fps: is not known",
    ),
    "observed of other people": (
        {"observed": {"skeleton": "coco17", "people": [person(track_id=2)]}},
        r"observed: has other people",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD_JSON.values(), ids=BAD_JSON)
def test_refused_json_files(tmp_path, change, message):
    content = {"skeleton": "coco17", "fps": 25, "width": 100, "height": 100, "people": [person()]}
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(content))
    assert Poses.load(path).state.min() == 2
    path.write_text(json.dumps({name: value for name, value in (content | change).items() if value is not None}))
    with pytest.raises(OccluposeError, match=rf"^{path}: ({message})") as caught:
        Poses.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe\x00", b"[" * 100_000, b""], ids=["cut", "binary", "nested", "empty"]
)
def test_broken_json_files(tmp_path, content):
    path = tmp_path / "poses.json"
    path.write_bytes(content)
    with pytest.raises(OccluposeError, match=rf"^{path}: not JSON \(.*\); write it with Poses\.save$"):
        Poses.load(path)


@pytest.mark.parametrize("name", ["poses.csv", "poses", "poses.npy"])
def test_other_suffixes(tmp_path, name):
    for use in (record().save, Poses.load):
        with pytest.raises(
            OccluposeError, match=rf"{name}: not a poses file by its suffix; poses are \.npz or \.json$"
        ):
            use(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@formats
def test_a_null_byte_in_the_name(suffix):
    with pytest.raises(OccluposeError, match="null byte"):
        Poses.load(f"a\0b{suffix}")


@formats
def test_a_full_disk_leaves_no_file(tmp_path, suffix):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OccluposeError, match=rf"^.*poses{suffix}: could not be written \(file too large\)"):
            record(200).save(tmp_path / f"poses{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
