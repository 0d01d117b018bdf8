import numpy as np
import torch

from moving_skeletons import TREE
from occlupose.kinematics.prior import captured_prior

PRIOR = captured_prior()


def test_expected_angles_are_within_their_ranges_or_hinges():
    hinge = PRIOR.low == PRIOR.high
    assert ((PRIOR.low - 0.05 <= PRIOR.mean) & (PRIOR.mean <= PRIOR.high + 0.05))[~hinge].all()
    assert torch.linalg.eigvalsh(PRIOR.precision).min() > 0


def test_left_and_right_are_expected_alike():
    names = TREE.segments[1:]
    for name in ("upper_arm", "forearm", "thigh", "shank"):
        left = PRIOR.mean[names.index(f"left_{name}")]
        np.testing.assert_allclose(PRIOR.mean[names.index(f"right_{name}")], left, atol=0.1)


def test_an_angle_outside_of_its_range_is_pulled_back_firmly():
    knee = TREE.segments.index("left_shank") - 1
    over = PRIOR.mean[None].clone()
    over[0, knee, 0] = PRIOR.low[knee, 0] - 0.2
    slope, curvature = PRIOR.penalty(over)
    change = torch.linalg.solve(curvature, slope[..., None])[0, 3 * knee, 0]
    assert 0.1 < change < 0.3
    assert slope[0, 3 * knee] > 50


def test_the_slope_is_that_of_the_cost():
    angles = PRIOR.mean[None] + 0.1
    slope, curvature = PRIOR.penalty(angles)
    step = 1e-6 * torch.from_numpy(np.random.default_rng(0).standard_normal(angles.shape))
    after, _ = PRIOR.penalty(angles + step)
    np.testing.assert_allclose(after - slope, -(curvature @ step.flatten(1)[..., None]).squeeze(-1), atol=1e-8)
