import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from occlupose.methods.lifter.losses import (
    CERTAINTY,
    MISSING,
    ROOT,
    SIZE,
    VELOCITY,
    LifterTraining,
    _surprise,
    fit_size,
    measure,
)
from occlupose.methods.lifter.network import LifterOutput

FPS = 20.0


class Told(nn.Module):
    """A network that says what it is told to say."""

    def __init__(self, lifted):
        super().__init__()
        self.lifted = lifted

    def forward(self, frames, ahead, joints, time, horizon):
        return self.lifted


def truth(batch=2, frames=4, seed=0):
    """The truth of a batch, and a perfect answer with a standard deviation of 1 m."""
    generator = torch.Generator().manual_seed(seed)
    xyz = torch.randn(batch, frames, 17, 3, generator=generator)
    root = torch.randn(batch, frames, 3, generator=generator) + torch.tensor([0, 0, 5.0])
    one = torch.eye(3)
    lifted = LifterOutput(
        xyz.clone(), one.expand(batch, frames, 17, 3, 3).clone(), root.clone(), one.expand(batch, frames, 3, 3).clone()
    )
    return (
        SimpleNamespace(
            frames=None,
            ahead=None,
            joints=None,
            horizon=None,
            time=(torch.arange(frames).double() / FPS).expand(batch, -1),
            missing=torch.zeros(batch, frames, 17, dtype=torch.bool),
            known=torch.ones(batch, frames, dtype=torch.bool),
            xyz=xyz,
            root=root,
        ),
        lifted,
    )


def losses(batch, lifted, *size):
    size = torch.tensor(size) if size else torch.ones(2)
    return {name: value.item() for name, value in measure(lifted, batch, size).items()}


NOTHING = {"position": 0, "velocity": 0, "root": 0, "size": 0, "certainty": 0}


def test_a_perfect_answer_has_no_loss():
    batch, lifted = truth()
    assert losses(batch, lifted) == NOTHING


def test_errors_of_known_size():
    batch, lifted = truth()
    lifted.xyz[:, :, 3] += torch.tensor([0.3, 0.0, -0.4])
    lifted.root += 0.1 * batch.root
    found = losses(batch, lifted)
    assert found["position"] == pytest.approx(0.5 / 17)
    assert found["velocity"] == pytest.approx(0, abs=1e-6)
    assert found["root"] == pytest.approx(ROOT * 0.1)
    squares = 0.5 * 0.25 / 17 + 0.5 * 0.01 * batch.root.square().sum(-1).mean().item()
    assert found["certainty"] == pytest.approx(CERTAINTY * squares, rel=1e-4)


def test_an_error_that_moves_is_a_wrong_velocity():
    batch, lifted = truth(frames=3)
    lifted.xyz[:, 1] += torch.tensor([0.1, 0, 0])  # there and back, m
    velocity = losses(batch, lifted)["velocity"]
    assert velocity == pytest.approx(VELOCITY * 2 * 0.1 * FPS / 3, rel=1e-4)
    batch.time = batch.time * 2
    assert losses(batch, lifted)["velocity"] == pytest.approx(velocity / 2, rel=1e-4)


def test_missing_joints_weigh_more():
    batch, lifted = truth()
    lifted.xyz[:, :, 3] += 0.1
    seen = losses(batch, lifted)["position"]
    batch.missing[:, :, 3] = True
    assert losses(batch, lifted)["position"] == pytest.approx(MISSING * seen)
    batch.missing[:, :, 3] = False
    batch.missing[:, :, 4] = True
    assert losses(batch, lifted)["position"] == pytest.approx(seen)


def test_frames_before_anything_was_seen_do_not_count():
    batch, lifted = truth()
    lifted.xyz[:, 2:] += 0.1
    whole = losses(batch, lifted)
    batch.known[:, 0] = False
    lifted.xyz[:, 0] += 5
    lifted.root[:, 0] += 5
    lifted.factor[:, 0] *= 0.1
    found = losses(batch, lifted)
    assert found["position"] == pytest.approx(whole["position"] * 4 / 3, rel=1e-4)
    assert found["velocity"] == pytest.approx(whole["velocity"] * 4 / 3, rel=1e-4)
    assert found["root"] == 0
    batch.known[:] = False
    assert losses(batch, lifted) == NOTHING


def random_covariance(seed=0):
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(3, 3, generator=generator).double()
    return factor @ factor.mT + 0.1 * torch.eye(3).double()


def to_factor(covariance):
    """The lower triangular A with A.T A = the precision, as the network states it."""
    precision = torch.linalg.inv(covariance)
    turned = torch.linalg.cholesky(precision.flip(0, 1))  # a triangle of the other kind, turned around
    return turned.flip(0, 1).mT


def test_surprise_is_the_likelihood_of_a_normal_distribution():
    covariance = random_covariance()
    error = torch.tensor([0.3, -0.2, 0.7]).double()
    factor = to_factor(covariance)
    assert (factor.triu(1) == 0).all()
    normal = torch.distributions.MultivariateNormal(torch.zeros(3).double(), covariance)
    expected = -normal.log_prob(error).item() - 1.5 * math.log(2 * math.pi)
    assert _surprise(factor, error).item() == pytest.approx(expected)
    # in other axes, too
    axes = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(2)).double()).Q
    axes = axes * torch.linalg.det(axes)
    assert _surprise(factor @ axes, axes.mT @ error).item() == pytest.approx(expected)


def test_surprise_is_least_at_the_true_covariance():
    covariance = random_covariance()
    generator = torch.Generator().manual_seed(1)
    errors = torch.randn(500, 3, generator=generator).double()
    errors = errors @ torch.linalg.inv(torch.linalg.cholesky(errors.mT @ errors / len(errors))).mT  # exactly white
    errors = errors @ torch.linalg.cholesky(covariance).mT
    torch.testing.assert_close(errors.mT @ errors / len(errors), covariance)
    factor = to_factor(covariance).requires_grad_()
    least = _surprise(factor, errors).mean()
    (slope,) = torch.autograd.grad(least, factor)
    torch.testing.assert_close(slope.tril(), torch.zeros(3, 3).double(), atol=1e-9, rtol=0)
    for _ in range(50):
        other = factor.detach() + 0.1 * torch.randn(3, 3, generator=generator).double().tril()
        if (other.diagonal() > 0).all():
            assert _surprise(other, errors).mean() > least


def test_certainty_trains_covariances_alone():
    batch, lifted = truth()
    for part in vars(lifted).values():
        part.requires_grad_()
    measure(lifted, batch, torch.ones(2))["certainty"].backward()
    assert lifted.xyz.grad is None
    assert lifted.root.grad is None
    assert lifted.factor.grad.abs().sum() > 0
    assert lifted.root_factor.grad.abs().sum() > 0


# -------------------------------------------------------------------------------------------------------------- size


def scaled(batch, lifted, *size):
    """The answer with people of other sizes, so much further away."""
    factor = torch.tensor(size)[:, None, None]
    return LifterOutput(lifted.xyz * factor[..., None], lifted.factor, lifted.root * factor, lifted.root_factor)


def test_the_size_is_found():
    batch, lifted = truth()
    torch.testing.assert_close(fit_size(lifted, batch), torch.ones(2))
    found = fit_size(scaled(batch, lifted, 1.25, 0.8), batch)
    torch.testing.assert_close(found, torch.tensor([0.8, 1.25]))
    limited = fit_size(scaled(batch, lifted, 4.0, 0.25), batch)
    torch.testing.assert_close(limited, torch.tensor([0.5, 2.0]))
    nothing = fit_size(scaled(batch, lifted, 0.0, 1.0), batch)
    assert nothing.isfinite().all()


def test_the_size_is_that_of_the_known_frames_with_the_least_error():
    batch, lifted = truth()
    generator = torch.Generator().manual_seed(3)
    lifted.xyz = 1.1 * lifted.xyz + 0.1 * torch.randn(lifted.xyz.shape, generator=generator)
    lifted.xyz[:, 0] *= 7
    batch.known[:, 0] = False
    best = fit_size(lifted, batch)

    def squares(size):
        error = size[:, None, None, None] * lifted.xyz - batch.xyz
        return error[:, 1:].square().sum((1, 2, 3))

    for change in (-0.01, 0.01):
        assert (squares(best + change) > squares(best)).all()


def test_errors_without_that_of_the_size():
    batch, lifted = truth()
    found = losses(batch, scaled(batch, lifted, 1.25, 0.8), 0.8, 1.25)
    for name in ("position", "velocity", "root"):
        assert found[name] == pytest.approx(0, abs=1e-5)
    assert found["size"] == pytest.approx(SIZE * math.log(1.25), rel=1e-4)
    # how certain the answer is is measured as it is told
    assert found["certainty"] == pytest.approx(losses(batch, scaled(batch, lifted, 1.25, 0.8))["certainty"], rel=1e-4)


def test_sizes_are_adjusted_from_a_step_on():
    batch, lifted = truth()
    training = LifterTraining(Told(scaled(batch, lifted, 1.25, 0.8)), 2)
    terms = [training(batch) for _ in range(4)]
    assert int(training.step) == 4
    for number, found in enumerate(terms):
        adjusted = number >= 2
        assert (found["size"] > 0.01) == adjusted
        assert (found["position"] < 1e-4) == adjusted
    again = LifterTraining(Told(lifted), 2)
    again.load_state_dict(training.state_dict())
    assert int(again.step) == 4
