from dataclasses import replace

import numpy as np
import torch

from moving_skeletons import TREE, moving_points, moving_rotation, own_bones
from occlupose.bodies.fitting import from_rotation_vector
from occlupose.kinematics.observations import FREEDOM, observe
from occlupose.kinematics.prior import LIMIT, captured_prior
from occlupose.kinematics.solver import (
    Equations,
    Motion,
    RigidBody,
    acceleration,
    angle_jacobian,
    approach,
    equations,
    improve,
    smoothness,
    solve,
)
from occlupose.skeletons import H36M17, convert

PRIOR = captured_prior()
UNKNOWNS = 3 * len(TREE.segments) + 3


def problem(frames=4, seed=0):
    random = np.random.default_rng(seed)
    bones = own_bones(random)
    body = RigidBody(TREE, PRIOR, bones)
    xyz = convert(moving_points(random, frames, bones)[:, 0], TREE.skeleton, H36M17)
    motion = Motion(moving_rotation(random, frames), torch.from_numpy(xyz[:, 0] + 0.05))
    return body, motion, observe(TREE, xyz, H36M17)


def small(change):
    """A motion changed by a small amount, without the limit of a step."""
    return lambda motion: Motion(
        from_rotation_vector(change[:, :-3].unflatten(1, (-1, 3))) @ motion.rotation, motion.root + change[:, -3:]
    )


def test_the_slope_is_that_of_the_cost_of_joints():
    body, motion, observations = problem()
    loose = replace(PRIOR, precision=0 * PRIOR.precision, low=PRIOR.low - 9, high=PRIOR.high + 9)
    body = replace(body, prior=loose)

    def cost(moved):
        places = moved.root[:, None] + TREE.place(moved.rotation, body.offsets)[:, observations.points]
        squared = (observations.xyz - places).square().sum(-1) * 1e4
        return float(((FREEDOM + 3) / 2 * torch.log1p(squared / FREEDOM)).sum())

    slope = equations(body, motion, observations).slope
    random = np.random.default_rng(5)
    for _ in range(5):
        change = 1e-6 * torch.from_numpy(random.standard_normal((4, UNKNOWNS)))
        difference = cost(small(change)(motion)) - cost(small(-change)(motion))
        np.testing.assert_allclose(difference / 2, -float((slope * change).sum()), rtol=1e-4)


def test_the_slope_is_that_of_the_cost_of_angles():
    body, motion, observations = problem()
    nothing = replace(observations, precision=0 * observations.precision)

    def cost(moved):
        angles = angle_jacobian(TREE, moved)[0]
        nearest = angles.clamp(PRIOR.low, PRIOR.high)
        away = (PRIOR.mean - angles).flatten(1)
        outside = (nearest - angles).square().sum() / LIMIT**2
        return float((away @ PRIOR.precision * away).sum() + outside) / 2

    slope = equations(body, motion, nothing).slope
    random = np.random.default_rng(6)
    for _ in range(5):
        change = 1e-6 * torch.from_numpy(random.standard_normal((4, UNKNOWNS)))
        difference = cost(small(change)(motion)) - cost(small(-change)(motion))
        np.testing.assert_allclose(difference / 2, -float((slope * change).sum()), rtol=1e-3)


def test_all_frames_together_are_the_dense_equations():
    body, motion, observations = problem(5)
    normal = equations(body, motion, observations)
    smooth = smoothness(TREE, 30.0)
    change = solve(normal, motion, smooth)
    dense = torch.block_diag(*normal.curvature)
    dense = dense + 1e-3 * torch.diag(dense.diagonal())
    second = torch.zeros(3, 5, dtype=torch.float64)
    for row in range(3):
        second[row, row : row + 3] = torch.tensor([1.0, -2, 1], dtype=torch.float64)
    stacked = torch.kron(second, torch.eye(UNKNOWNS, dtype=torch.float64))
    weights = torch.diag(smooth.repeat(3))
    dense = dense + stacked.T @ weights @ stacked
    right = normal.slope.flatten() - stacked.T @ weights @ acceleration(motion).flatten()
    np.testing.assert_allclose(change.flatten(), torch.linalg.solve(dense, right), rtol=1e-6, atol=1e-9)


def test_a_steady_turn_and_walk_do_not_accelerate():
    turn = from_rotation_vector(torch.tensor([0.0, 0.1, 0.0], dtype=torch.float64))
    rotation = torch.stack([torch.linalg.matrix_power(turn, frame) for frame in range(6)])
    motion = Motion(rotation[:, None].expand(6, len(TREE.segments), 3, 3), torch.arange(18.0).reshape(6, 3).double())
    np.testing.assert_allclose(acceleration(motion), 0, atol=1e-9)


def test_iterations_come_near_the_joints():
    body, motion, observations = problem(6)
    moved, curvature = improve(body, approach(body, motion, observations), observations, 60.0)
    places = moved.root[:, None] + TREE.place(moved.rotation, body.offsets)[:, observations.points]
    assert (places - observations.xyz).norm(dim=-1).mean() < 0.02
    assert torch.linalg.eigvalsh(curvature).min() > 0


def test_a_frame_alone_is_solved_alone():
    _, motion, _ = problem(2)
    normal = Equations(torch.eye(UNKNOWNS).double().expand(2, -1, -1), torch.ones(2, UNKNOWNS).double())
    np.testing.assert_allclose(solve(normal, motion, smoothness(TREE, 30.0)), 1 / 1.001, rtol=1e-9)
