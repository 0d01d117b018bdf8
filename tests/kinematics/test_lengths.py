import numpy as np
import pytest
import torch

from moving_skeletons import TREE, moving_points, moving_rotation, own_bones
from occlupose.kinematics.lengths import measure_bones, shape_rigid_parts
from occlupose.kinematics.observations import observe
from occlupose.skeletons import H36M17, convert

UNIT = np.array([1.0, 1, 1, 0, 0, 0])


def measured(noise, frames=300, skeleton=H36M17, hidden=(), stated=None, lasting=0.0, shrunk=1.0):
    """Lengths as measured and as they are.

    Arguments:
        stated: standard deviation of the joints; by default that of the noise.
        shrunk: factor of the joints relative to the pelvis.
    """
    random = np.random.default_rng(0)
    bones = own_bones(random)
    xyz = convert(moving_points(random, frames, bones)[:, 0], TREE.skeleton, skeleton)
    xyz = xyz[:, :1] + shrunk * (xyz - xyz[:, :1]) + noise * random.standard_normal(xyz.shape)
    xyz[:, skeleton.index(*hidden)] = np.nan
    sigma = np.broadcast_to(max(noise, 1e-3) if stated is None else stated, xyz.shape[:2])
    covariance = UNIT * sigma[..., None] ** 2
    found = measure_bones(TREE, observe(TREE, xyz, skeleton, covariance=covariance, lasting=lasting), 60.0)
    return found.norm(dim=-1).numpy(), bones.norm(dim=-1).numpy()


def test_bones_between_known_joints_have_their_lengths():
    found, true = measured(0.0)
    limbs = [TREE.points.index(f"left_{end}") - 1 for end in ("elbow", "wrist", "hip", "knee", "ankle", "shoulder")]
    np.testing.assert_allclose(found[limbs], true[limbs], atol=1e-4)


def test_noise_does_not_make_them_longer():
    found, true = measured(0.04)
    assert abs(np.mean(found[LIMBS] / true[LIMBS]) - 1) < 0.01
    np.testing.assert_allclose(found[LIMBS], true[LIMBS], rtol=0.04)


LIMBS = [TREE.points.index(f"{side}_{end}") - 1 for side in ("left", "right") for end in ("elbow", "knee", "wrist")]


@pytest.mark.parametrize("frames", [0.2, 1.0, 12.0])
def test_estimates_that_are_shrunken_are_not_made_shorter_still_for_their_errors(frames):
    """An estimate is as likely too short as too long, unlike a measurement with noise; also at few frames a second."""
    lasting, true = measured(0.0, stated=0.03, lasting=frames, shrunk=0.95)
    np.testing.assert_allclose(lasting[LIMBS], 0.95 * true[LIMBS], rtol=0.005)
    independent, _ = measured(0.0, stated=0.03, shrunk=0.95)
    assert (independent[LIMBS] < 0.985 * lasting[LIMBS]).all()


def test_of_estimates_with_lasting_errors_the_surer_ones_count():
    sigma = np.where(np.arange(300) % 2, 0.01, 0.1)[:, None]
    errors = []
    for stated in (sigma, sigma[::-1]):  # as it is, and the other way round
        found, true = measured(sigma[..., None], stated=stated, lasting=12.0)
        errors.append(np.abs(found[LIMBS] / true[LIMBS] - 1).mean())
    assert errors[0] < 0.01 < 0.2 * errors[1]


def test_a_bone_with_an_unknown_end_is_that_of_an_average_person_of_this_size():
    found, _ = measured(0.0, hidden=("left_wrist",))
    wrist = TREE.points.index("left_wrist") - 1
    assert abs(found[wrist] / (0.9 * float(TREE.rest[wrist].norm())) - 1) < 0.03


def test_nothing_known_is_an_average_person():
    found = measure_bones(TREE, observe(TREE, np.full((4, 17, 3), np.nan), H36M17), 30.0)
    assert torch.equal(found, TREE.rest)


def test_joints_in_one_place_are_short_bones_not_none():
    found = measure_bones(TREE, observe(TREE, np.zeros((9, 17, 3)), H36M17), 30.0)
    assert (found.norm(dim=-1) > 0).all()


def test_the_shape_of_a_head_is_this_persons():
    random = np.random.default_rng(3)
    bones = TREE.rest.clone()
    nose = TREE.points.index("nose") - 1
    bones[nose] += torch.tensor([0.0, 0.02, -0.01])
    rotation = moving_rotation(random, 50)
    points = TREE.place(rotation, bones).numpy()
    found = shape_rigid_parts(TREE, TREE.rest, rotation, observe(TREE, points, TREE.skeleton))
    np.testing.assert_allclose(found, bones, atol=1e-3)
    alone = observe(TREE, points[:, [0, 4, 6]], TREE.skeleton.subset([TREE.points[row] for row in (0, 4, 6)]))
    assert torch.equal(shape_rigid_parts(TREE, TREE.rest, rotation, alone), TREE.rest)
