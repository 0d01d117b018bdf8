import json
from dataclasses import replace

import numpy as np
import pytest

from floor_records import record_of, standing
from moving_skeletons import TREE, moving_poses
from occlupose.kinematics import measure_angles
from occlupose.skeletons import H36M17
from occlupose.viewer.ends import ENDS
from occlupose.viewer.page.content import DEGREE, METRE, PIXEL, pack, page_content, unpack
from walking_people import HEIGHT, make_poses, stand, tilt

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
    np.testing.assert_allclose(unpack(second["xy"]), poses.xy[2:, 1].ravel(), atol=HALF * PIXEL)
    assert second["spread"] is None and second["deviation"] is None and second["angles"] is None
    assert len({anna["colours"][side] for side in ("middle", "left", "right")} | {second["colours"]["middle"]}) == 4
    assert len(content["limbs"]) == 16 and content["panels"] == [] and len(unpack(content["time"])) == 5


def test_people_stand_on_the_floor_of_their_world():
    truth = standing()
    content = page_content(record_of(truth, H36M17), None, (), "walk")
    place = unpack(content["people"][0]["xyz"]).reshape(len(truth.xyz), -1, 3)
    points = [TREE.points.index(joint) for joint in content["joints"]]
    np.testing.assert_allclose(place, truth.xyz[:, 0, points], atol=2 * METRE)
    assert content["bands"] == 17 and content["joints"][17:] == ENDS
    assert max(end for limb in content["limbs"] for end in limb) == 16 + len(ENDS)


def test_the_camera_is_above_the_origin_in_the_axes_of_the_page():
    camera = page_content(record_of(standing(), pitch=30, roll=8), None, (), "walk")["camera"]
    assert camera["place"] == pytest.approx([0, HEIGHT, 0], abs=1e-6)
    np.testing.assert_allclose(camera["axes"], tilt(30, 8) * (1, -1, -1), atol=1e-6)


def test_without_a_world_people_stand_on_the_floor_that_they_tell():
    content = page_content(make_poses(stand(0, 4, 5), pitch=20), None, (), "walk")
    place = unpack(content["people"][0]["xyz"]).reshape(5, 17, 3)
    assert place[:, H36M17.index("left_ankle"), 1] == pytest.approx(0.08, abs=0.05)
    assert content["camera"]["place"] == pytest.approx([0, HEIGHT, 0], abs=0.2)
    assert content["people"][0]["contact"] is None and content["bands"] == 17


def test_contacts_of_soles_are_told_from_one_half_on():
    poses = record_of(standing())
    poses.contact[1, 0] = 0.49
    poses.contact[2, 0] = np.nan
    content = page_content(poses, None, (), "walk")
    states = unpack(content["people"][0]["contact"]).reshape(len(poses), -1)
    assert content["soles"] == ("left_heel", "right_heel", "left_big_toe", "right_big_toe")
    assert states[:, 0].tolist() == [2, 0, 0, 2, 2] and (states[:, 1:] == 0).all()


def test_poses_in_2d_have_no_places_and_no_camera():
    content = page_content(make_poses(stand(0, 4, 2)).to_2d(), None, (), "walk")
    assert content["camera"] is None and content["people"][0]["xyz"] is None


@pytest.mark.parametrize("frames", [0, 2])
def test_nobody(frames):
    content = page_content(make_poses(stand(0, 4, frames)).select(person=[]), None, (), "walk")
    assert content["people"] == []


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
