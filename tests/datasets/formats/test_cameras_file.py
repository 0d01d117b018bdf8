import json

import numpy as np
import pytest

from occlupose.datasets.formats.cameras_file import read_cameras_file
from occlupose.errors import OccluposeError
from pose_dataset_files import cameras_json, extrinsics, h36m_pixels, in_camera, walking


def test_a_file_of_cameras_says_where_they_stand_and_what_they_see(tmp_path):
    path = tmp_path / "cameras.json"
    world = walking()
    path.write_text(cameras_json(["a", "b"]))
    views = read_cameras_file(path, ("S9",))["S9"]
    assert [view.name for view in views] == ["a", "b"]
    for number, view in enumerate(views):
        xyz = view.from_world(world)
        np.testing.assert_allclose(xyz, in_camera(world, number), atol=1e-9)
        position = extrinsics(number)[1]
        np.testing.assert_allclose(view.from_world(position), 0, atol=1e-9)
        straight = view.undistort(h36m_pixels(xyz))
        # Human3.6M's tangential distortion is not quite OpenCV's
        assert np.abs(straight - view.pinhole.project(xyz)).max() < 0.3
        assert np.abs(h36m_pixels(xyz) - view.pinhole.project(xyz)).max() > 3


def test_cameras_may_be_those_of_some_subjects(tmp_path):
    cameras = json.loads(cameras_json(["a", "b", "a"]))["cameras"]
    cameras[0]["subjects"] = ["S9"]
    cameras[2]["subjects"] = ["S11"]
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": cameras}))
    views = read_cameras_file(tmp_path / "cameras.json", ("S9", "S11", "S1"))
    assert {subject: [view.name for view in theirs] for subject, theirs in views.items()} == {
        "S9": ["a", "b"],
        "S11": ["b", "a"],
        "S1": ["b"],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "the file: invalid json"),
        ("[]", "the file: "),
        ("{}", "cameras: field required"),
        ('{"cameras": []}', "cameras: list should have at least 1 item"),
        (cameras_json(["a"], fx=None), r"cameras\.0\.fx: field required"),
        (cameras_json(["a"], focal=3), r"cameras\.0\.focal: extra inputs"),
        (cameras_json(["a"], fx=0), "focal lengths 0.0, "),
        (cameras_json(["a"], fx="x"), r"cameras\.0\.fx: input should be a valid number"),
        (cameras_json(["a"], distortion=[0, 0]), r"cameras\.0\.distortion\.2: field required"),
        (cameras_json(["a"], rotation=[[1, 0, 0], [0, 1, 0], [0, 0, 2]]), "camera a: not a rotation"),
        (cameras_json(["a"], rotation=[[1, 0, 0], [0, 1, 0], [0, 0, -1]]), "camera a: not a rotation"),
        (cameras_json(["a"], translation=[0, 0, float("nan")]), "not finite|cameras.0.translation"),
        (cameras_json(["a", "a"]), "two cameras of one name for S9"),
        (cameras_json(["a"], subjects=["S1"]), "no camera for S9"),
    ],
)
def test_another_file_is_refused(tmp_path, text, message):
    path = tmp_path / "cameras.json"
    path.write_text(text)
    with pytest.raises(OccluposeError, match=message) as refusal:
        read_cameras_file(path, ("S9",))
    assert str(refusal.value).startswith(f"{path}: ") and "; " in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_or_no_json_is_refused(tmp_path):
    with pytest.raises(OccluposeError, match=r"cameras\.json: cannot be read \(no such file or directory\)"):
        read_cameras_file(tmp_path / "cameras.json", ("S9",))
    (tmp_path / "cameras.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OccluposeError, match=r"cameras\.json: the file: invalid json"):
        read_cameras_file(tmp_path / "cameras.json", ("S9",))
