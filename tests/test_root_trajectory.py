import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlupose.cameras import Camera
from occlupose.root_trajectory import MIN_DEPTH, estimate_root_trajectory

FPS = 30.0
CAMERA = Camera.from_fov(1920, 1080)
SEEDS = st.integers(0, 2**32 - 1)


def pose(rng, frames, fps=FPS):
    """A body of human size about its root (joint 0), with joints that swing by 15 cm."""
    body = rng.normal(0, (0.2, 0.45, 0.15), (1, 17, 3))
    swing = 0.15 * np.sin(2 * np.pi * np.arange(frames)[:, None, None] / fps + rng.uniform(0, 6, (17, 3)))
    return (body + swing) * (np.arange(17) > 0)[:, None]


def walk_towards(frames, depth, fps=FPS):
    """About 1 m/s to and fro, up and down with the steps."""
    time = np.arange(frames) / fps
    return np.stack([np.sin(0.7 * time), 0.1 + 0.03 * np.sin(9 * time), depth + 0.7 * np.sin(0.9 * time)], -1)


def project_with_noise(relative, root, rng=None, noise=0.03, outliers=0.0):
    """The joints in the image, px, with noise in metres at their depth."""
    joints = relative + root[:, None]
    xy = CAMERA.project(joints)
    if rng is not None:
        pixels = CAMERA.fx / joints[..., 2:]
        xy = xy + rng.normal(0, noise, xy.shape) * pixels
        wrong = rng.random(xy.shape[:2]) < outliers
        xy[wrong] += rng.normal(0, 0.5, (wrong.sum(), 2)) * pixels[wrong]
    return xy


def placed(relative, xy, fps=FPS, camera=CAMERA):
    return estimate_root_trajectory(relative, xy, np.ones(xy.shape[:2]), camera, fps)


def distance(a, b):
    return np.linalg.norm(a - b, axis=-1)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(-3, 3), st.floats(-1, 1), st.floats(2, 12), st.tuples(*[st.floats(-1, 1)] * 3))
def test_perfect_joints_give_the_root_back(seed, x, y, z, speed):
    relative = pose(np.random.default_rng(seed), 30)
    root = np.array([x, y, z]) + np.array(speed) * np.arange(30)[:, None] / FPS
    found = placed(relative, project_with_noise(relative, root))
    assert found.dtype == np.float32
    assert distance(found, root).max() < 0.011  # at 12 m, towards the camera, 10.4 mm at the ends


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.floats(2.5, 8))
def test_a_walking_person_is_located_within_two_centimetres(seed, depth):
    relative = pose(np.random.default_rng(seed), 120)
    root = walk_towards(120, depth)
    assert distance(placed(relative, project_with_noise(relative, root)), root).max() < 0.02


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_few_frames_are_enough(frames):
    relative = pose(np.random.default_rng(0), frames)
    root = np.tile([0.5, 0.2, 4.0], (frames, 1))
    assert distance(placed(relative, project_with_noise(relative, root)), root).max() < 1e-3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("depth", [3.0, 6.0])
def test_a_fifth_of_the_joints_wrong_costs_little(seed, depth):
    rng = np.random.default_rng(seed)
    relative = pose(rng, 150)
    root = walk_towards(150, depth)
    error = distance(placed(relative, project_with_noise(relative, root, rng, outliers=0.2)), root)
    assert error.mean() < 0.04 and error.max() < 0.25


def test_joints_moved_anywhere_in_the_image_are_ignored():
    rng = np.random.default_rng(0)
    relative = pose(rng, 150)
    root = walk_towards(150, 4.0)
    xy = project_with_noise(relative, root)
    wrong = rng.random(xy.shape[:2]) < 0.2
    xy[wrong] = rng.uniform(0, 1000, (wrong.sum(), 2))
    assert distance(placed(relative, xy), root).max() < 0.03


@pytest.mark.parametrize("seed", range(3))
def test_a_gap_of_one_second_is_bridged(seed):
    rng = np.random.default_rng(seed)
    relative = pose(rng, 150)
    root = walk_towards(150, 4.0)
    xy = project_with_noise(relative, root, rng)
    xy[60:90] = np.nan
    found = placed(relative, xy)
    assert distance(found, root).max() < 0.25
    assert distance(found[1:], found[:-1]).max() < 0.08, "no leap at the edges of the gap"


def test_before_the_first_and_after_the_last_observation_the_speed_decays():
    relative = pose(np.random.default_rng(0), 210)
    root = np.array([0.0, 0, 5]) + np.array([0.5, 0, 0.5]) * np.arange(210)[:, None] / FPS
    xy = project_with_noise(relative, root)
    xy[:60] = xy[-60:] = np.nan
    found = placed(relative, xy)
    speed = distance(found[1:], found[:-1]) * FPS
    assert (np.diff(speed[:59]) > -1e-3).all() and (np.diff(speed[151:]) < 1e-3).all()
    assert speed[0] < 0.3 and speed[-1] < 0.3 and speed[100] == pytest.approx(0.5**0.5, abs=0.02)
    assert distance(found[-60:], root[-60:])[:10].max() < 0.1


@pytest.mark.parametrize(("depth", "tolerance"), [(3.0, 0.01), (6.0, 0.01), (12.0, 0.03)])
def test_a_window_with_a_second_on_either_side_equals_the_whole(depth, tolerance):
    rng = np.random.default_rng(0)
    relative = pose(rng, 600)
    root = walk_towards(600, depth)
    xy = project_with_noise(relative, root, rng, outliers=0.1)
    whole = placed(relative, xy)
    for middle in range(100, 500, 40):
        window = slice(middle - 30, middle + 31)
        assert distance(placed(relative[window], xy[window])[30], whole[middle]) < tolerance


@pytest.mark.parametrize("known", [1, 2])
def test_a_path_goes_on_from_known_roots(known):
    rng = np.random.default_rng(0)
    relative = pose(rng, 300)
    xy = project_with_noise(relative, walk_towards(300, 4.0), rng, outliers=0.1)
    xy[150:180] = np.nan
    whole = placed(relative, xy)
    for start in (known, 100, 155):
        window = slice(start, 260)
        weight = np.ones((260 - start, 17))
        before = whole[start - known : start]
        found = estimate_root_trajectory(relative[window], xy[window], weight, CAMERA, FPS, before=before)
        assert distance(found[:60], whole[start : start + 60]).max() < (0.002 if known == 2 else 0.1)


def test_without_observations_a_known_path_decays():
    relative = pose(np.random.default_rng(0), 60)
    before = np.array([[0.0, 0, 4], [0.02, 0, 4]])
    found = estimate_root_trajectory(
        relative, np.full((60, 17, 2), np.nan), np.ones((60, 17)), CAMERA, FPS, before=before
    )
    steps = np.diff(found[:, 0])
    assert found[0, 0] > 0.03 and (steps > 0).all() and (np.diff(steps) < 0).all()
    assert steps[-1] < 0.3 * steps[0]


def test_the_frame_rate_does_not_matter():
    rng = np.random.default_rng(0)
    relative = pose(rng, 240, 60.0)
    root = walk_towards(240, 5.0, 60.0)
    xy = project_with_noise(relative, root)
    xy[100:160] = np.nan
    assert distance(placed(relative, xy, 60.0)[::2], placed(relative[::2], xy[::2], 30.0)).max() < 0.02


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.floats(0.5, 2))
def test_a_person_twice_as_large_is_twice_as_far(seed, scale):
    relative = pose(np.random.default_rng(seed), 40)
    root = np.tile([0.3, -0.1, 5.0], (40, 1))
    np.testing.assert_allclose(placed(scale * relative, project_with_noise(relative, root)), scale * root, atol=0.01)


def test_a_longer_lens_puts_the_person_farther_away():
    relative = pose(np.random.default_rng(0), 40)
    root = np.tile([0.0, 0.0, 5.0], (40, 1))
    wide = CAMERA
    tele = Camera(1920, 1080, 2 * CAMERA.fx, 2 * CAMERA.fy, CAMERA.cx, CAMERA.cy)
    flat = relative * (1, 1, 0)
    xy = project_with_noise(flat, root)
    np.testing.assert_allclose(placed(flat, xy, camera=tele)[:, 2], 2 * placed(flat, xy, camera=wide)[:, 2], rtol=1e-3)


def test_joints_of_weight_0_do_not_count():
    relative = pose(np.random.default_rng(0), 40)
    root = np.tile([0.3, -0.1, 5.0], (40, 1))
    xy = project_with_noise(relative, root)
    xy[:, ::2] += 300
    weight = np.ones(xy.shape[:2])
    weight[:, ::2] = 0
    np.testing.assert_allclose(estimate_root_trajectory(relative, xy, weight, CAMERA, FPS), root, atol=1e-3)


def test_missing_joints_are_left_out_whatever_is_missing():
    relative = pose(np.random.default_rng(0), 40)
    root = np.tile([0.3, -0.1, 5.0], (40, 1))
    xy = project_with_noise(relative, root)
    weight = np.ones((40, 17))
    xy[:, 1, 0] = np.nan
    weight[:, 3] = np.nan
    relative[:, 2, 2] = np.nan
    np.testing.assert_allclose(estimate_root_trajectory(relative, xy, weight, CAMERA, FPS), root, atol=1e-3)


def test_nobody_seen_gives_nan():
    relative = pose(np.random.default_rng(0), 5)
    found = placed(relative, np.full((5, 17, 2), np.nan))
    assert found.shape == (5, 3) and np.isnan(found).all()


def test_one_joint_alone_gives_a_place_on_its_line_of_sight():
    relative = pose(np.random.default_rng(0), 5)
    xy = np.full((5, 17, 2), np.nan)
    xy[2, 4] = (1200, 400)
    found = placed(relative, xy)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(CAMERA.project((found[2] + relative[2, 4]).astype(np.float64)), (1200, 400), atol=1)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_the_root_is_never_behind_the_camera(seed):
    rng = np.random.default_rng(seed)
    relative = pose(rng, 20) * rng.choice([0.01, 1, 10])
    found = placed(relative, rng.uniform(-2000, 4000, (20, 17, 2)))
    assert np.isfinite(found).all() and (found[:, 2] >= np.float32(MIN_DEPTH)).all()
