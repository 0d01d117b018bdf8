import numpy as np
import torch

from moving_skeletons import TREE, moving_points, moving_rotation, own_bones
from occlupose.kinematics.lengths import measure_bones, shape_rigid_parts
from occlupose.kinematics.observations import observe
from occlupose.skeletons import H36M17, convert

UNIT = np.array([1.0, 1, 1, 0, 0, 0])


def measured(noise, frames=300, skeleton=H36M17, hidden=()):
    """Lengths as measured and as they are."""
    random = np.random.default_rng(0)
    bones = own_bones(random)
    xyz = convert(moving_points(random, frames, bones)[:, 0], TREE.skeleton, skeleton)
    xyz = xyz + noise * random.standard_normal(xyz.shape)
    xyz[:, skeleton.index(*hidden)] = np.nan
    covariance = np.broadcast_to(UNIT * max(noise, 1e-3) ** 2, (*xyz.shape[:2], 6))
    found = measure_bones(TREE, observe(TREE, xyz, skeleton, covariance=covariance), 60.0)
    return found.norm(dim=-1).numpy(), bones.norm(dim=-1).numpy()


def test_bones_between_known_joints_have_their_lengths():
    found, true = measured(0.0)
    limbs = [TREE.points.index(f"left_{end}") - 1 for end in ("elbow", "wrist", "hip", "knee", "ankle", "shoulder")]
    np.testing.assert_allclose(found[limbs], true[limbs], atol=1e-4)


def test_noise_does_not_make_them_longer():
    found, true = measured(0.04)
    limbs = [TREE.points.index(f"{side}_{end}") - 1 for side in ("left", "right") for end in ("elbow", "knee", "wrist")]
    assert abs(np.mean(found[limbs] / true[limbs]) - 1) < 0.01
    np.testing.assert_allclose(found[limbs], true[limbs], rtol=0.04)


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
