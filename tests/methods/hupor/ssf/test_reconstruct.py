import pytest
import torch

from occlupose.bodies.anny import anny
from occlupose.bodies.body import SEGMENTS
from occlupose.bodies.cylinders import cylinders
from occlupose.bodies.fitting import TWISTED, skeleton2pose, unskew
from occlupose.methods.hupor.ssf.reconstruct import UPRIGHT, limb_axes, reconstruct, translate_to_joints
from ssf_scenes import make_people, three_people

LIMBS = [SEGMENTS.index(segment) for segment in TWISTED]


def twist_angles(joints, body, shape, pose):
    """The twists with which `reconstruct` turns the limbs as in a pose, radians, -pi to pi.

    Those of forearms and shanks depend on those of their parent limbs, so they are computed second.
    """
    twist = torch.zeros(len(joints), len(TWISTED))
    for names in (("upper_arm", "thigh"), ("forearm", "shank")):
        swung = (UPRIGHT @ skeleton2pose(joints @ UPRIGHT, body, shape, twist))[:, LIMBS]
        difference = pose[:, LIMBS] @ swung.mT
        axis = limb_axes(joints)
        along = torch.einsum("bli,blij,blj->bl", axis, difference, axis)
        angle = torch.atan2((unskew(difference) * axis).sum(-1), difference.diagonal(dim1=-2, dim2=-1).sum(-1) - along)
        selected = torch.tensor([segment.split("_", 1)[1] in names for segment in TWISTED])
        twist = torch.where(selected, angle, twist)
    return twist


@pytest.mark.parametrize("body", [anny, cylinders])
@pytest.mark.parametrize("seed", range(3))
def test_twists_that_are_given_are_those_of_the_body(body, seed):
    truth = make_people(seed, body=body()).fit
    twist = torch.empty(1, len(TWISTED)).uniform_(-1.5, 1.5, generator=torch.Generator().manual_seed(seed))
    turned = reconstruct(truth.joints, body(), truth.shape, twist)
    assert torch.allclose(twist_angles(truth.joints, body(), truth.shape, turned.pose), twist, atol=1e-3)


def test_with_the_true_twists_limbs_are_turned_as_they_were():
    truth = three_people(3)
    fitted = reconstruct(
        truth.fit.joints,
        truth.body,
        truth.fit.shape,
        twist_angles(truth.fit.joints, truth.body, truth.fit.shape, truth.fit.pose),
    )
    assert (fitted.pose - truth.fit.pose)[:, LIMBS].abs().mean() < 0.1
    assert fitted.error.max() < 0.06


def test_gradients_reach_shape_and_twist():
    truth = three_people()
    shape = truth.fit.shape.clone().requires_grad_()
    twist = torch.zeros(3, len(TWISTED)).requires_grad_()
    fitted = reconstruct(truth.fit.joints, truth.body, shape, twist)
    (fitted.error.sum() + fitted.pose.square()[..., 0].sum()).backward()
    for value in (shape, twist):
        assert value.grad.isfinite().all() and (value.grad != 0).any()


def test_bodies_are_translated_to_the_fitted_joints():
    truth = three_people()
    joints = truth.fit.joints.clone()
    fit_mask = torch.ones(26, dtype=torch.bool)
    joints[:, 3] += 5
    joints[:, 7] = torch.nan
    fit_mask[3] = False
    placed = translate_to_joints(joints, truth.body, truth.fit.shape, truth.fit.pose, fit_mask)
    assert torch.allclose(placed.translation, truth.fit.translation, atol=1e-5)
    assert placed.error.max() < 1e-5


def test_limbs_without_joints_have_no_axis():
    joints = three_people().fit.joints.clone()
    joints[0] = torch.nan
    assert (limb_axes(joints)[0] == 0).all()
    assert torch.allclose(limb_axes(joints)[1:].norm(dim=-1), torch.ones(2, len(TWISTED)))
