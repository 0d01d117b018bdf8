import json
from dataclasses import replace

import numpy as np
import pytest

from moving_skeletons import moving_poses
from occlupose.kinematics import measure_angles
from occlupose.viewer.page.content import DEGREE, METRE, PIXEL, pack, page_content, unpack
from walking_people import HEIGHT, make_poses, stand

HALF = 0.5001  # of a step, with room for rounding


def late_and_hidden():
    """Two people in five frames; the second comes in the third, with a hidden wrist."""
    poses = make_poses(stand(-1, 4, 5), stand(1, 4, 5))
    for values in (poses.xy, poses.xyz):
        values[:2, 1] = np.nan
    poses.state[:2, 1] = 0
    poses.state[2:, 1, poses.skeleton.index("left_wrist")] = 1
    return poses


@pytest.mark.parametrize("step", [1e-4, 0.1, 3.0])
@pytest.mark.parametrize("extent", [1.0, 1e5])
def test_packed_numbers_are_rounded_to_steps(step, extent):
    values = np.random.default_rng(0).normal(0, extent, (7, 3))
    values[2, 1] = np.nan
    packed = pack(values, step)
    read = unpack(json.loads(json.dumps(packed)))
    np.testing.assert_allclose(read, values.ravel(), rtol=0, atol=HALF * step)
    assert packed["bits"] == (16 if np.nanmax(values) - np.nanmin(values) < 65534 * step else 32)


@pytest.mark.parametrize("values", [np.zeros(0), np.full(3, np.nan), np.array([5.0]), np.array([np.inf, 1.0])])
def test_few_or_unknown_numbers(values):
    np.testing.assert_array_equal(unpack(pack(values, 1.0)), np.where(np.isfinite(values), values, np.nan))


def test_people_are_there_from_their_first_frame_on():
    poses = late_and_hidden()
    content = page_content(poses, None, ["Anna"], "walk")
    anna, second = content["people"]
    assert (anna["name"], anna["start"], second["name"], second["start"]) == ("Anna", 0, "person 1", 2)
    np.testing.assert_array_equal(unpack(second["state"]).reshape(3, 17), poses.state[2:, 1])
    np.testing.assert_allclose(unpack(second["xyz"]), poses.xyz[2:, 1].ravel(), atol=HALF * METRE)
    np.testing.assert_allclose(unpack(second["xy"]), poses.xy[2:, 1].ravel(), atol=HALF * PIXEL)
    assert second["spread"] is None and second["deviation"] is None and second["angles"] is None
    assert len({anna["colours"][side] for side in ("middle", "left", "right")} | {second["colours"]["middle"]}) == 4
    assert len(content["limbs"]) == 16 and content["panels"] == [] and len(unpack(content["time"])) == 5


def test_the_floor_is_that_of_the_video():
    floor = page_content(make_poses(stand(0, 4, 5)), None, (), "walk")["floor"]
    assert floor["normal"] == pytest.approx([0, -1, 0], abs=0.05) and floor["offset"] == pytest.approx(-HEIGHT, abs=0.1)


def test_poses_in_2d_have_no_floor_and_no_camera():
    content = page_content(make_poses(stand(0, 4, 2)).to_2d(), None, (), "walk")
    assert content["floor"] is None and content["camera"] is None and content["people"][0]["xyz"] is None


@pytest.mark.parametrize("frames", [0, 2])
def test_nobody(frames):
    content = page_content(make_poses(stand(0, 4, frames)).select(person=[]), None, (), "walk")
    assert content["people"] == [] and content["floor"] is None


def test_uncertainty_in_the_image_and_in_space():
    poses = make_poses(stand(0, 4, 2))
    covariance = np.zeros((*poses.state.shape, 6))
    covariance[..., :3] = 0.04**2
    person = page_content(replace(poses, covariance=covariance), None, (), "walk")["people"][0]
    assert unpack(person["deviation"]) == pytest.approx(0.04, abs=METRE)
    assert unpack(person["spread"]) == pytest.approx(0.04 * poses.camera.fx / 4, rel=0.1)


def test_angles_are_in_degrees_with_both_sides_in_one_panel():
    poses = moving_poses(np.random.default_rng(0), 6)
    angles = measure_angles(poses)
    angles.value[3, 1] = np.nan
    content = page_content(poses, angles, (), "walk")
    panels = {panel["title"]: panel["curves"] for panel in content["panels"]}
    knee = panels["knee flexion"]
    assert [curve["side"] for curve in knee] == ["left", "right"] and panels["trunk flexion"][0]["side"] == "middle"
    second = content["people"][1]["angles"]
    value = unpack(second["value"]).reshape(6, -1)
    assert np.isnan(value[3]).all() and unpack(second["state"]).min() == 2
    expected = np.degrees(angles.value[:, 1, knee[0]["index"]])
    np.testing.assert_allclose(value[:, knee[0]["index"]], expected, atol=HALF * DEGREE)


def test_angles_go_on_where_they_turn_over():
    poses = make_poses(stand(0, 4, 4))
    angles = measure_angles(moving_poses(np.random.default_rng(0), 4, people=1))
    angles.value[:, 0, 0] = np.radians([170, 179, -175, -170])
    value = unpack(page_content(poses, angles, (), "walk")["people"][0]["angles"]["value"]).reshape(4, -1)
    assert value[:, 0] == pytest.approx([170, 179, 185, 190], abs=0.1)
