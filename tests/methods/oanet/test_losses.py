import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlupose.methods.oanet.losses import SYMMETRIC_BONES, complete_2d, position_3d, symmetry, velocity_3d
from occlupose.skeletons import COCO17, H36M17

SHAPE = (2, 4, 17)


def random(d, seed=0):
    return torch.randn(*SHAPE, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some(seed=0):
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)) < 0.6


def weights(seed=0):
    return 0.5 + 2 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LOSSES = {
    "complete_2d": lambda predicted: complete_2d(predicted[..., :2], random(2, 1), some()),
    "position_3d": lambda predicted: position_3d(predicted, random(3, 1), weights()),
    "velocity_3d": lambda predicted: velocity_3d(predicted, random(3, 1)),
    "symmetry": lambda predicted: symmetry(predicted, H36M17),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_the_values(name):
    predicted = random(3, 2).requires_grad_()
    assert LOSSES[name](predicted).shape == ()
    assert LOSSES[name](predicted) > 0
    assert torch.autograd.gradcheck(LOSSES[name], (predicted,))


def test_losses_are_zero_at_the_truth_and_so_are_their_gradients():
    truth = random(3).requires_grad_()
    everywhere, same = torch.ones(SHAPE, dtype=torch.bool), truth.detach()
    for value in (complete_2d(truth, same, everywhere), position_3d(truth, same, weights()), velocity_3d(truth, same)):
        (gradient,) = torch.autograd.grad(value, truth)
        assert value == 0
        assert gradient.isfinite().all()


def test_errors_are_mean_distances():
    truth, off = random(3), torch.tensor([2.0, 3.0, 6.0], dtype=torch.float64)
    assert position_3d(truth + off, truth, weights()).item() == pytest.approx(7)
    assert velocity_3d(truth + off, truth).item() == pytest.approx(0, abs=1e-12)
    drift = torch.arange(4.0, dtype=torch.float64).view(1, -1, 1, 1) * off
    assert velocity_3d(truth + drift, truth).item() == pytest.approx(7)


def test_with_equal_weights_the_3d_error_is_the_mean_of_all_joints():
    predicted, truth = random(3), random(3, 1)
    mpjpe = (predicted - truth).norm(dim=-1).mean().item()
    for weight in (1.0, 2.5):
        assert position_3d(predicted, truth, torch.full(SHAPE, weight, dtype=torch.float64)).item() == pytest.approx(mpjpe)


def test_a_joint_counts_by_its_weight():
    truth, heavy = random(3), some()
    predicted = truth + torch.where(heavy[..., None], 4.0, 1.0) * torch.tensor([1.0, 0, 0], dtype=torch.float64)
    share = heavy.double().mean().item()
    for weight in (0.0, 1.0, 3.0):
        expected = (4 * weight * share + 1 - share) / (weight * share + 1 - share)
        assert position_3d(predicted, truth, torch.where(heavy, weight, 1.0)).item() == pytest.approx(expected)


@given(st.integers(0, 2**32 - 1))
def test_only_the_wanted_joints_count_in_the_completion(seed):
    truth, where = random(2, seed), some(seed)
    predicted = torch.where(where[..., None], truth + torch.tensor([3.0, 4.0]), random(2, seed + 1)).requires_grad_()
    value = complete_2d(predicted, truth, where)
    assert value.item() == pytest.approx(5)
    value.backward()
    assert torch.equal((predicted.grad != 0).any(-1), where)


def test_where_no_joint_is_wanted_there_is_no_loss_and_nothing_to_learn():
    predicted = random(2).requires_grad_()
    value = complete_2d(predicted, random(2, 1), torch.zeros(SHAPE, dtype=torch.bool))
    value.backward()
    assert value == 0
    assert (predicted.grad == 0).all()


@pytest.mark.parametrize("skeleton", [H36M17, COCO17])
def test_symmetry_asks_for_equal_bones_left_and_right(skeleton):
    left = random(3)
    symmetric = left.clone()
    mirrored = left[:, :, list(skeleton.mirror)] * torch.tensor([-1.0, 1, 1], dtype=torch.float64)
    for number, name in enumerate(skeleton.joints):
        if name.startswith("right_"):
            symmetric[:, :, number] = mirrored[:, :, number]
    assert symmetry(symmetric, skeleton).item() == pytest.approx(0, abs=1e-20)
    wrist, elbow = skeleton.index("left_wrist", "left_elbow")
    forearm = symmetric[:, :, wrist] - symmetric[:, :, elbow]
    symmetric[:, :, wrist] += 0.1 * forearm / forearm.norm(dim=-1, keepdim=True)
    assert symmetry(symmetric, skeleton).item() == pytest.approx(0.01 / len(SYMMETRIC_BONES))
