from dataclasses import replace

import numpy as np
import pytest
import torch

from moving_skeletons import TREE, moving_points
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.kinematics.observations import FREEDOM, KEYPOINT_SIGMA, observe
from occlupose.skeletons import BLAZEPOSE33, COCO17, H36M17, Skeleton, convert

CAMERA = Camera.from_fov(640, 480)
UNIT = np.array([1.0, 1, 1, 0, 0, 0])


def h36m(frames=3, seed=0):
    points = moving_points(np.random.default_rng(seed), frames)[:, 0]
    return points, convert(points, TREE.skeleton, H36M17)


def test_a_joint_is_found_by_its_name_and_unknown_ones_tell_nothing():
    _, xyz = h36m()
    xyz[0, 3] = np.nan
    observations = observe(TREE, xyz, H36M17)
    assert [TREE.points[point] for point in observations.points] == list(H36M17.joints)
    assert not observations.known[0, 3] and observations.known[1:].all()
    information = observations.information(torch.from_numpy(xyz).nan_to_num(), torch.zeros(3, 3).double())
    assert information.curvature[0, 3].abs().max() == 0


def test_joints_that_the_tree_does_not_have_are_left_out():
    observations = observe(TREE, np.zeros((1, 33, 3)), BLAZEPOSE33)
    assert "left_heel" in [TREE.points[point] for point in observations.points]
    assert len(observations.points) < 33


@pytest.mark.parametrize("relative", [False, True])
def test_slopes_are_those_of_students_t(relative):
    random = np.random.default_rng(1)
    _, xyz = h36m()
    factor = random.standard_normal((3, 17, 3, 3))
    covariance = 1e-4 * (factor @ factor.swapaxes(-1, -2) + np.eye(3))
    six = covariance[..., [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    root_covariance = np.broadcast_to(4e-4 * UNIT, (3, 6)) if relative else None
    xy = CAMERA.project(xyz) + 3 * random.standard_normal((3, 17, 2))
    known = {"covariance": six, "root_covariance": root_covariance, "xy": xy, "spread": np.full((3, 17), 3.0)}
    observations = observe(TREE, xyz, H36M17, **known, camera=CAMERA)
    root = torch.from_numpy(xyz[:, 0] + 0.02).requires_grad_()
    places = torch.from_numpy(xyz - xyz[:, :1] + 0.02 * random.standard_normal(xyz.shape)).requires_grad_()

    def log_t(squared, dimensions):
        return ((FREEDOM + dimensions) / 2 * torch.log1p(squared / FREEDOM)).sum()

    at = places if relative else places + root[:, None]
    residual = torch.from_numpy(xyz - xyz[:, :1] if relative else xyz) - at
    precision = torch.from_numpy(np.linalg.inv(covariance))
    cost = log_t((residual[..., None, :] @ precision @ residual[..., None]).flatten(), 3)
    seen = places + root[:, None]
    focal = torch.tensor([CAMERA.fx, CAMERA.fy], dtype=torch.float64)
    centre = torch.tensor([CAMERA.cx, CAMERA.cy], dtype=torch.float64)
    pixels = torch.from_numpy(xy) - (seen[..., :2] / seen[..., 2:] * focal + centre)
    cost = cost + log_t(pixels.square().sum(-1) / 9, 2)
    if relative:
        cost = cost + (torch.from_numpy(xyz[:, 0]) - root).square().sum() / 4e-4 / 2
    by_places, by_root = torch.autograd.grad(cost, [places, root])
    found = observations.information(places.detach(), root.detach())
    np.testing.assert_allclose(found.slope, -by_places, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.absolute_slope.sum(1) + found.root_slope, -by_root, rtol=1e-6, atol=1e-5)


def test_spans_are_joined_and_selected():
    _, xyz = h36m(5)
    whole = observe(TREE, xyz, H36M17)
    again = whole.select(slice(0, 2)).join(whole.select(slice(2, 5)))
    assert torch.equal(again.xyz, whole.xyz) and torch.equal(again.precision, whole.precision)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"xyz": np.full((2, 17, 3), np.inf)}, "xyz: has numbers beyond 10000"),
        ({"covariance": np.tile(-UNIT, (2, 17, 1))}, "covariance: not a covariance"),
        ({"root_covariance": np.full((2, 6), 1e30)}, "root_covariance: has numbers beyond"),
        ({"spread": np.full((2, 17), -np.inf)}, "spread: has numbers beyond"),
        ({"skeleton": Skeleton("plant", ("stem", "leaf"), ())}, "plant: no joint that can be fitted; known are pelvis"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(arguments, message):
    given = {"xyz": np.zeros((2, 17, 3)), "skeleton": H36M17} | arguments
    with pytest.raises(OccluposeError) as error:
        observe(TREE, given.pop("xyz"), given.pop("skeleton"), **given)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_without_a_root_the_joints_have_its_covariance_too():
    covariance = np.tile(UNIT * 0.01, (2, 17, 1))
    observations = observe(
        TREE, np.zeros((2, 17, 3)), COCO17, covariance=covariance, root_covariance=np.tile(UNIT * 0.03, (2, 1))
    )
    assert observations.root_precision is None and observations.known.any(0).all()
    expected = torch.eye(3, dtype=torch.float64).expand_as(observations.precision) / 0.04
    torch.testing.assert_close(observations.precision, expected)
    alone = observe(TREE, np.zeros((2, 17, 3)), COCO17, root_covariance=np.tile(UNIT * 0.03, (2, 1)))
    torch.testing.assert_close(alone.precision, torch.eye(3).double().expand_as(alone.precision) / 0.0301)
    unknown = observe(TREE, np.zeros((2, 17, 3)), COCO17, root_covariance=np.full((2, 6), np.nan))
    assert not unknown.known.any()


def test_a_point_is_pulled_to_its_anchor_by_points_and_root():
    points, xyz = h36m(1)
    observations = observe(TREE, xyz, H36M17, covariance=np.full((1, 17, 6), np.nan))
    anchor = torch.from_numpy(xyz).clone()
    anchor[0, 3, 1] += 0.01
    precision = torch.zeros(1, 17, 3, 3).double()
    precision[0, 3] = torch.eye(3) * 400
    anchored = replace(observations, anchor=anchor, anchor_precision=precision)
    root = torch.from_numpy(points[:, 0])
    information = anchored.information(torch.from_numpy(xyz) - root[:, None], root)
    expected = torch.zeros(1, 17, 3).double()
    expected[0, 3, 1] = 4.0
    torch.testing.assert_close(information.slope, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(information.absolute_slope, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(information.absolute_curvature, precision)
    assert anchored.select(slice(0, 0)).anchor.shape == (0, 17, 3)


def test_errors_in_3d_that_last_for_several_frames_tell_as_much_as_one():
    _, xyz = h36m()
    known = {
        "covariance": np.tile(UNIT * 0.01, (3, 17, 1)),
        "root_covariance": np.tile(UNIT * 0.03, (3, 1)),
        "xy": CAMERA.project(xyz),
        "camera": CAMERA,
    }
    once = observe(TREE, xyz, H36M17, **known)
    lasting = observe(TREE, xyz, H36M17, **known, lasting=6.0)
    torch.testing.assert_close(6 * lasting.precision, once.precision)
    torch.testing.assert_close(6 * lasting.root_precision, once.root_precision)
    assert torch.equal(lasting.xy_precision, once.xy_precision)
    assert lasting.lasting == lasting.select(slice(0, 1)).lasting == 6 and once.lasting == 0
    rare = observe(TREE, xyz, H36M17, **known, lasting=0.2)  # shorter than a frame
    torch.testing.assert_close(rare.precision, once.precision)


def test_keypoints_without_a_spread_are_as_exact_as_people_who_look_at_the_person():
    xyz = np.zeros((2, 17, 3))
    xyz[..., 2] = np.linspace(1, 9, 17)
    xyz[1] = np.nan
    stated = np.full((2, 17), np.nan)
    stated[0, 4] = 2.0
    seen = observe(TREE, xyz, H36M17, xy=np.ones((2, 17, 2)), spread=stated, camera=CAMERA)
    pixels = KEYPOINT_SIGMA * CAMERA.fx / 5  # of somebody whose joints are 5 m away in the middle
    expected = torch.full((17,), pixels**-2, dtype=torch.float64)
    expected[4] = 0.25
    torch.testing.assert_close(seen.xy_precision[0], expected)
    assert not seen.xy_precision[1].any()  # of whom nothing tells how far away they are
