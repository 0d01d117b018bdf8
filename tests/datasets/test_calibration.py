import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.cameras import Camera
from occlupose.datasets.calibration import CalibratedCamera, read_cameras_file
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


@given(st.floats(-0.3, 0.3), st.floats(-0.1, 0.1), st.floats(-3e-3, 3e-3), st.floats(-3e-3, 3e-3))
def test_distortion_as_opencv_makes_it_is_taken_out(k1, k2, p1, p2):
    view = CalibratedCamera(
        "a", Camera(1000, 1000, 1145, 1144, 512, 515), np.eye(3), np.zeros(3), np.array([k1, k2, p1, p2, 0])
    )
    xyz = np.random.default_rng(0).uniform((-1, -1, 4), (1, 1, 5), (50, 3))
    bent = cv2.projectPoints(xyz, np.zeros(3), np.zeros(3), view.pinhole.matrix, view.distortion)[0][:, 0]
    np.testing.assert_allclose(view.undistort(bent), view.pinhole.project(xyz), atol=0.05)


def test_what_is_missing_stays_missing_and_no_distortion_changes_nothing():
    plain = CalibratedCamera("a", Camera(1000, 1000, 1145, 1144, 512, 515), np.eye(3), np.zeros(3), np.zeros(5))
    bent = CalibratedCamera("a", plain.pinhole, np.eye(3), np.zeros(3), np.array([0.1, 0, 0, 0, 0]))
    xy = np.array([[[100.0, 200.0], [np.nan, np.nan]]])
    np.testing.assert_array_equal(plain.undistort(xy), xy)
    assert np.isnan(bent.undistort(xy)[0, 1]).all() and np.isfinite(bent.undistort(xy)[0, 0]).all()
    assert np.isnan(bent.undistort(np.full((2, 3, 2), np.nan))).all()


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
        ("no JSON", "cameras: Invalid JSON"),
        ("[]", "cameras: "),
        ("{}", "cameras: Field required"),
        ('{"cameras": []}', "cameras: List should have at least 1 item"),
        (cameras_json(["a"], fx=None), r"cameras\.0\.fx: Field required"),
        (cameras_json(["a"], focal=3), r"cameras\.0\.focal: Extra inputs"),
        (cameras_json(["a"], fx=0), "focal lengths 0.0, "),
        (cameras_json(["a"], fx="x"), r"cameras\.0\.fx: Input should be a valid number"),
        (cameras_json(["a"], distortion=[0, 0]), r"cameras\.0\.distortion\.2: Field required"),
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


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(OccluposeError, match=r"cameras\.json: cannot be read \(no such file or directory\)"):
        read_cameras_file(tmp_path / "cameras.json", ("S9",))
    (tmp_path / "cameras.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OccluposeError, match=r"cameras\.json: not text; "):
        read_cameras_file(tmp_path / "cameras.json", ("S9",))
