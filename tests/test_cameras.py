"""The camera projects as the textbook says, and back again."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError

cameras = st.builds(
    Camera,
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
    fx=st.floats(50, 5000),
    fy=st.floats(50, 5000),
    cx=st.floats(-500, 4000),
    cy=st.floats(-500, 4000),
)


@given(cameras, st.floats(-20, 20), st.floats(-20, 20), st.floats(0.1, 100))
def test_projecting_and_back_projecting_agree(camera, x, y, z):
    point = np.array([[x, y, z]])
    xy = camera.project(point)
    np.testing.assert_allclose(camera.back_project(xy, point[..., 2]), point, atol=1e-9 * (1 + abs(point).max()))


@given(cameras, st.floats(-5000, 5000), st.floats(-5000, 5000), st.floats(0.1, 100))
def test_a_ray_at_any_depth_is_seen_at_its_pixel(camera, x, y, depth):
    xy = np.array([x, y])
    ray = camera.rays(xy)
    assert ray[2] == 1
    np.testing.assert_allclose(camera.project(ray * depth), xy, atol=1e-7)


@given(cameras)
def test_projection_is_multiplication_with_the_matrix(camera):
    point = np.array([0.3, -0.7, 2.5])
    u, v, w = camera.matrix @ point
    np.testing.assert_allclose(camera.project(point), [u / w, v / w])
    assert Camera.from_matrix(camera.matrix, camera.width, camera.height) == camera


def test_points_behind_the_camera_are_not_seen():
    camera = Camera.from_fov(640, 480)
    xy = camera.project(np.array([[0, 0, 2], [0, 0, 0], [0.1, 0.2, -1], [np.nan, 0, 1]], np.float32))
    assert xy.dtype == np.float32
    np.testing.assert_array_equal(xy[0], [319.5, 239.5])
    assert np.isnan(xy[1:]).any(-1).all() and np.isnan(xy[1:3]).all()


def test_y_points_down_and_x_right():
    camera = Camera.from_fov(100, 100)
    x, y = camera.project(np.array([0.1, 0.2, 1.0]))
    assert x > 49.5 and y > x


@pytest.mark.parametrize(("width", "height"), [(1000, 500), (500, 1000)])
def test_field_of_view_is_over_the_long_side(width, height):
    camera = Camera.from_fov(width, height, 90)
    assert camera.fx == camera.fy == pytest.approx(500)
    assert (camera.cx, camera.cy) == ((width - 1) / 2, (height - 1) / 2)
    edge = camera.rays(np.array([camera.cx + (width > height) * 500, camera.cy + (height > width) * 500]))
    assert math.degrees(math.atan(edge[:2].max())) == pytest.approx(45)


def test_default_field_of_view():
    assert Camera.from_fov(1920, 1080).fx == pytest.approx(1844.14, abs=0.01)
    assert not Camera.from_fov(1920, 1080).assumed and Camera.from_fov(1920, 1080, assumed=True).assumed


@pytest.mark.parametrize("fov", [0, -10, 180, math.nan])
def test_impossible_fields_of_view(fov):
    with pytest.raises(OccluposeError, match=r"between 0 and 180 degrees"):
        Camera.from_fov(640, 480, fov)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((0, 480, 500, 500, 0, 0), "image size 0 x 480"),
        ((640, 480, -500, 500, 0, 0), "focal lengths -500, 500"),
        ((640, 480, 500, math.inf, 0, 0), "focal lengths"),
        ((640, 480, 1e-300, 500, 0, 0), "focal lengths 1e-300, 500"),
        ((640, 10**30, 500, 500, 0, 0), "image size 640 x 10{30}; it must be positive, in pixels, at most 1000000"),
        ((640, 480, 500, 500, 1e300, 0), r"principal point 1e\+300"),
        ((640, 480, 500, 500, math.nan, 0), "principal point"),
    ],
)
def test_impossible_cameras(numbers, message):
    with pytest.raises(OccluposeError, match=message):
        Camera(*numbers)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(4),
        [[500, 1, 320], [0, 500, 240], [0, 0, 1]],
        [[500, 0, 320], [0, 500, 240], [0, 0, 2]],
        np.full((3, 3), np.nan),
    ],
)
def test_matrices_that_are_not_intrinsic(matrix):
    with pytest.raises(OccluposeError, match="not an intrinsic matrix"):
        Camera.from_matrix(matrix, 640, 480)


@pytest.mark.parametrize(
    "content",
    [{"fx": 500, "fy": 510, "cx": 320, "cy": 240}, {"K": [[500, 0, 320], [0, 510, 240], [0, 0, 1]]}],
    ids=["numbers", "matrix"],
)
def test_loading(tmp_path, content):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"width": 640, "height": 480} | content))
    assert Camera.load(path) == Camera(640, 480, 500, 510, 320, 240)


@pytest.mark.parametrize(
    "content",
    [{"fx": 500, "fy": 510, "cx": 320, "cy": 240}, {"K": [[500, 0, 320], [0, 510, 240], [0, 0, 1]]}],
    ids=["numbers", "matrix"],
)
def test_loading_up(tmp_path, content):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"width": 640, "height": 480, "up": [0, -2, 0.5]} | content))
    assert Camera.load(path) == Camera(640, 480, 500, 510, 320, 240, up=(0, -2, 0.5))
    assert Camera.load(path) != Camera(640, 480, 500, 510, 320, 240)


@pytest.mark.parametrize("up", [(0, 0, 0), (0, math.nan, 1), (math.inf, 0, 0)])
def test_up_without_a_direction(up):
    with pytest.raises(
        OccluposeError, match=r"^camera: up \(.*\); it has no direction; \(0, -1, 0\) is that of a level"
    ):
        Camera(640, 480, 500, 500, 320, 240, up=up)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fx: 500", "not JSON; give width, height and either"),
        ("[" * 100_000, "not JSON; give width, height and either"),
        ("[1]", "camera: .*; give width"),
        ('{"height": 480, "fx": 500, "fy": 500, "cx": 1, "cy": 1}', "width: Field required; give width"),
        ('{"width": 640, "height": 480}', "neither all of fx, fy, cx, cy nor K alone"),
        ('{"width": 640, "height": 480, "fx": 500, "K": [[500, 0, 320], [0, 510, 240], [0, 0, 1]]}', "neither all"),
        ('{"width": 640, "height": 480, "fx": "long", "fy": 500, "cx": 1, "cy": 1}', "fx: .*number"),
        (
            '{"width": 640, "height": 480, "fx": 500, "fy": 500, "cx": 1, "cy": 1, "k1": 0.1}',
            "k1: Extra inputs are not permitted",
        ),
        ('{"width": 640, "height": 480, "fx": -5, "fy": 500, "cx": 1, "cy": 1}', "camera: focal lengths -5"),
        ('{"width": 640, "height": 480, "K": [[1, 2], [3]]}', "K: Field required|K.0.2: Field required"),
        (
            '{"width": 640, "height": 480, "fx": 500, "fy": 500, "cx": 1, "cy": 1, "up": [0, 0, 0]}',
            r"camera: up \(0\.0, 0\.0, 0\.0\); it has no direction; \(0, -1, 0\)",
        ),
        (
            '{"width": 640, "height": 480, "K": [[1, 0, 9], [0, 1, 9], [0, 0, 1]], "up": [0, 0, 0]}',
            r"camera: up \(0\.0, 0\.0, 0\.0\); it has no direction",
        ),
        ('{"width": 640, "height": 480, "fx": 5, "fy": 5, "cx": 1, "cy": 1, "up": [0, 1]}', r"up\.2: Field required"),
        ('{"width": 640, "height": 480, "fx": 5, "fy": 5, "cx": 1, "cy": 1, "up": "y"}', "up: Input should be"),
    ],
)
def test_camera_files_that_are_refused(tmp_path, text, message):
    path = tmp_path / "camera.json"
    path.write_text(text)
    with pytest.raises(OccluposeError, match=rf"^.*camera\.json: .*({message})") as caught:
        Camera.load(path)
    assert "\n" not in str(caught.value)


def test_a_camera_file_that_is_not_there(tmp_path):
    with pytest.raises(OccluposeError, match=r"none\.json: cannot be read \(no such file or directory\)"):
        Camera.load(tmp_path / "none.json")
