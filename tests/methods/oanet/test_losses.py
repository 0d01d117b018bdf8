import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlupose.methods.oanet.losses import (
    adversarial,
    completion_2d,
    discrimination,
    position_3d,
    projection,
    regularisation,
    squared_2d,
    squared_3d,
    symmetry,
    velocity_3d,
)
from occlupose.skeletons import COCO17, H36M17

SHAPE = (2, 4, 17)


def random(d, seed=0):
    return torch.randn(*SHAPE, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some(seed=0):
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)) < 0.6


def weights(seed=0):
    return 0.5 + 2 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LOSSES = {
    "completion_2d": lambda predicted: completion_2d(predicted[..., :2], random(2, 1), some()),
    "position_3d": lambda predicted: position_3d(predicted, random(3, 1), weights()),
    "velocity_3d": lambda predicted: velocity_3d(predicted, random(3, 1)),
    "symmetry": lambda predicted: symmetry(predicted, H36M17),
    "squared_2d": lambda predicted: squared_2d(predicted[..., :2], random(2, 1), some()),
    "squared_3d": lambda predicted: squared_3d(predicted, random(3, 1)),
    "regularisation": lambda predicted: regularisation(0.4 * predicted, some(), H36M17),
    "adversarial": lambda predicted: adversarial(predicted[:, 0, 0, 0]),
    "discrimination": lambda predicted: discrimination(predicted[:, 0, 0, 0], predicted[:, 1, 1, 1]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_values(name):
    predicted = random(3, 2).requires_grad_()
    assert LOSSES[name](predicted).shape == ()
    assert LOSSES[name](predicted) > 0
    assert torch.autograd.gradcheck(LOSSES[name], (predicted,))


def test_losses_are_zero_at_the_truth_and_so_are_their_gradients():
    truth = random(3).requires_grad_()
    everywhere = torch.ones(SHAPE, dtype=torch.bool)
    same = truth.detach()
    for value in (
        completion_2d(truth, same, everywhere),
        position_3d(truth, same, weights()),
        velocity_3d(truth, same),
    ):
        (gradient,) = torch.autograd.grad(value, truth)
        assert value == 0
        assert gradient.isfinite().all()


def test_errors_are_mean_distances():
    truth = random(3)
    off = torch.tensor([2.0, 3.0, 6.0], dtype=torch.float64)
    assert position_3d(truth + off, truth, weights()).item() == pytest.approx(7)
    assert velocity_3d(truth + off, truth).item() == pytest.approx(0, abs=1e-12)
    drift = torch.arange(4.0, dtype=torch.float64).view(1, -1, 1, 1) * off
    assert velocity_3d(truth + drift, truth).item() == pytest.approx(7)


def test_with_equal_weights_the_3d_error_is_the_mean_of_all_joints():
    predicted = random(3)
    truth = random(3, 1)
    mpjpe = (predicted - truth).norm(dim=-1).mean().item()
    for weight in (1.0, 2.5):
        assert position_3d(predicted, truth, torch.full(SHAPE, weight, dtype=torch.float64)).item() == pytest.approx(
            mpjpe
        )


def test_a_joint_counts_by_its_weight():
    truth = random(3)
    heavy = some()
    predicted = truth + torch.where(heavy[..., None], 4.0, 1.0) * torch.tensor([1.0, 0, 0], dtype=torch.float64)
    share = heavy.double().mean().item()
    for weight in (0.0, 1.0, 3.0):
        expected = (4 * weight * share + 1 - share) / (weight * share + 1 - share)
        assert position_3d(predicted, truth, torch.where(heavy, weight, 1.0)).item() == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1))
def test_only_the_wanted_joints_count_in_the_completion(seed):
    truth = random(2, seed)
    where = some(seed)
    predicted = torch.where(where[..., None], truth + torch.tensor([3.0, 4.0]), random(2, seed + 1)).requires_grad_()
    value = completion_2d(predicted, truth, where)
    assert value.item() == pytest.approx(5)
    value.backward()
    assert torch.equal((predicted.grad != 0).any(-1), where)


def test_where_no_joint_is_wanted_there_is_no_loss_and_nothing_to_learn():
    predicted = random(2).requires_grad_()
    value = completion_2d(predicted, random(2, 1), torch.zeros(SHAPE, dtype=torch.bool))
    value.backward()
    assert value == 0
    assert (predicted.grad == 0).all()


@pytest.mark.parametrize("skeleton", [H36M17, COCO17])
def test_symmetry_asks_for_equal_bones_left_and_right(skeleton):
    left = random(3)
    for number, partner in enumerate(skeleton.mirror):
        left[:, :, number, 0] *= number != partner  # joints on the midline
    symmetric = left.clone()
    mirrored = left[:, :, list(skeleton.mirror)] * torch.tensor([-1.0, 1, 1], dtype=torch.float64)
    for number, name in enumerate(skeleton.joints):
        if name.startswith("right_"):
            symmetric[:, :, number] = mirrored[:, :, number]
    assert symmetry(symmetric, skeleton).item() == pytest.approx(0, abs=1e-20)
    wrist, elbow = skeleton.index("left_wrist", "left_elbow")
    forearm = symmetric[:, :, wrist] - symmetric[:, :, elbow]
    symmetric[:, :, wrist] += 0.1 * forearm / forearm.norm(dim=-1, keepdim=True)
    assert symmetry(symmetric, skeleton).item() == pytest.approx(2 * 0.01)  # each pair from both sides


FURTHER_OUT = {
    "pelvis left_hip": "left_hip left_knee left_ankle",
    "thorax right_shoulder": "right_shoulder right_elbow right_wrist",
    "right_knee right_ankle": "right_ankle",
}
"""Bones, and the joints that move along when one becomes longer."""


@pytest.mark.parametrize("bone", FURTHER_OUT)
def test_symmetry_is_asked_of_every_bone(bone):
    poses = random(3, 4)
    for number, partner in enumerate(H36M17.mirror):
        poses[:, :, partner] = poses[:, :, number] * torch.tensor([-1.0 if number != partner else 0.0, 1, 1])
    assert symmetry(poses, H36M17).item() == pytest.approx(0, abs=1e-20)
    start, end = H36M17.index(*bone.split())
    along = poses[:, :, end] - poses[:, :, start]
    poses[:, :, H36M17.index(*FURTHER_OUT[bone].split())] += (0.3 * along / along.norm(dim=-1, keepdim=True)).unsqueeze(
        2
    )
    assert symmetry(poses, H36M17).item() == pytest.approx(2 * 0.09)


def test_squared_errors_are_sums_over_joints_and_means_over_frames():
    truth = random(3)
    assert squared_3d(truth + torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64), truth).item() == pytest.approx(17 * 9)
    one = torch.zeros(SHAPE, dtype=torch.bool)
    one[..., 3] = True
    assert squared_2d(truth[..., :2] + 3.0, truth[..., :2], one).item() == pytest.approx(18)


def test_unreliable_joints_do_not_count_in_equation_3():
    truth = random(2)
    where = some()
    assert squared_2d(torch.where(where[..., None], truth, random(2, 1)), truth, where) == 0


def everything():
    return torch.ones(SHAPE, dtype=torch.bool)


@given(st.floats(0.26, 3.9), st.floats(-10, 10))
def test_where_size_and_place_are_unknown_the_projection_does_not_ask_for_them(scale, shift):
    xyz = random(3).requires_grad_()
    value = projection(xyz, scale * xyz.detach()[..., :2] + shift, everything())
    assert value.item() == pytest.approx(0, abs=1e-10)
    value.backward()
    assert xyz.grad.abs().max() < 1e-6


@given(st.floats(0.3, 3))
def test_a_pose_can_not_be_shrunk_to_fit_better(size):
    xyz = random(3).requires_grad_()
    visible = some()
    seen = xyz.detach()[..., :2] + 0.5 * random(2, 1)
    value = projection(xyz, seen, visible)
    assert projection(size * xyz, seen, visible).item() == pytest.approx(value.item())
    value.backward()
    along = (xyz.grad * xyz.detach()).sum((1, 2, 3))
    assert along.abs().max() < 1e-9
    assert xyz.grad.abs().max() > 1e-3


@pytest.mark.parametrize("turned", [0.0, 0.01, -1.0])
def test_a_pose_that_is_tiny_or_turned_away_still_learns_from_the_image(turned):
    truth = random(3)
    start = turned * truth * torch.tensor([1.0, 1.0, -1.0])
    xyz = start.clone().requires_grad_()
    value = projection(xyz, truth[..., :2], everything())
    value.backward()
    assert xyz.grad.norm() > 0.1 * truth.norm() / SHAPE[1]
    assert projection(start - 0.2 * xyz.grad, truth[..., :2], everything()) < value


def test_the_projection_asks_for_the_visible_joints_only():
    xyz = random(3)
    visible = some()
    seen = torch.where(visible[..., None], xyz[..., :2], 100.0)
    assert projection(xyz, seen, visible).item() == pytest.approx(0, abs=1e-12)
    assert projection(xyz, seen, everything()).item() > 1
    free = (xyz + 0.3 * random(3, 7)).requires_grad_()
    projection(free, xyz[..., :2], visible).backward()
    assert (free.grad[..., 2] == 0).all()
    assert (free.grad[~visible] == 0).all()
    assert free.grad[visible][..., :2].abs().sum() > 0


def test_the_gradient_of_the_projection_is_that_at_the_fitted_scale():
    xyz = random(3)
    visible = some()
    seen = xyz[..., :2] + 0.5 * random(2, 1)
    one = xyz.clone().requires_grad_()
    other = xyz.clone().requires_grad_()
    projection(one, seen, visible).backward()
    weight = visible[..., None].double()

    def centred(p):
        return (p - (p * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True)) * weight

    pairs = zip(centred(xyz[..., :2]), centred(seen), strict=True)
    scale = torch.stack([(a * b).sum() / (a * a).sum() for a, b in pairs]).view(-1, 1, 1, 1)

    def fixed(p):
        return ((scale * centred(p[..., :2]) - centred(seen)) ** 2).sum((-1, -2)).mean()

    fixed(other).backward()
    torch.testing.assert_close(one.grad, other.grad)
    assert torch.autograd.gradcheck(fixed, (other,))


def test_an_undecided_judge_costs_both_sides_the_logarithm_of_two():
    undecided = torch.zeros(4)
    assert adversarial(undecided).item() == pytest.approx(0.6931, abs=1e-4)
    assert discrimination(undecided, undecided).item() == pytest.approx(0.6931, abs=1e-4)
    right = torch.full((4,), 20.0)
    wrong = torch.full((4,), -20.0)
    assert discrimination(right, wrong).item() == pytest.approx(0, abs=1e-6)
    assert adversarial(right).item() == pytest.approx(0, abs=1e-6)
    assert adversarial(wrong).item() == pytest.approx(20, abs=1e-4)


def standing():
    """A person who faces the camera, one frame: metres, x right, y down, z forward."""
    body = {
        "pelvis": (0, 0, 0),
        "hip": (0.12, 0, 0),
        "knee": (0.12, 0.42, 0),
        "ankle": (0.12, 0.84, 0),
        "spine": (0, -0.22, 0),
        "thorax": (0, -0.48, 0),
        "neck_nose": (0, -0.58, 0),
        "head_top": (0, -0.75, 0),
        "shoulder": (0.18, -0.46, 0),
        "elbow": (0.3, -0.2, 0),
        "wrist": (0.35, 0.05, 0),
    }
    places = [body[name.removeprefix("left_").removeprefix("right_")] for name in H36M17.joints]
    side = torch.tensor(
        [[-1.0 if name.startswith("right_") else 1.0, 1, 1] for name in H36M17.joints], dtype=torch.float64
    )
    return (torch.tensor(places, dtype=torch.float64) * side).view(1, 1, 17, 3)


def test_an_unseen_hand_is_drawn_behind_the_body():
    (wrist,) = H36M17.index("left_wrist")
    unseen = torch.zeros(1, 1, 17, dtype=torch.bool)
    unseen[..., wrist] = True
    before = standing()
    behind = standing()
    aside = standing()
    before[..., wrist, :] = torch.tensor([0.05, -0.25, -0.02])
    behind[..., wrist, :] = torch.tensor([0.05, -0.25, 0.25])
    assert regularisation(before, unseen, H36M17) > 0.5
    assert regularisation(behind, unseen, H36M17) < 0.05
    assert regularisation(aside, unseen, H36M17) > 0.9
    assert regularisation(before, torch.zeros_like(unseen), H36M17) == 0
    before.requires_grad_()
    regularisation(before, unseen, H36M17).backward()
    assert before.grad[0, 0, wrist, 2] < 0  # further away is better
