import numpy as np
import pytest
import torch

from occlupose.methods.lifter import smoothing
from occlupose.methods.lifter.network import LifterOutput
from occlupose.methods.lifter.smoothing import (
    AFTER,
    BEFORE,
    CURVATURE_COST,
    SLOPE_COST,
    WIDTH,
    smooth,
    smooth_lifted,
)

FRAMES = 40
WHOLE = slice(0, FRAMES)


def record(fps=30.0, people=2, points=3, seed=0):
    """Random values and variances, frames in which people are there, and times."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(people, FRAMES, points, 3, generator=generator)
    variance = torch.rand(people, FRAMES, points, generator=generator) + 0.1
    return values, variance, torch.ones(people, FRAMES, dtype=torch.bool), torch.arange(FRAMES).double() / fps


def fit(values, variance, time, now):
    """The constant of the parabola through the values of one point, by least squares with costs."""
    near = (time >= now - BEFORE - 1e-6) & (time <= now + AFTER + 1e-6)
    place = (time[near] - now) / WIDTH
    weight = np.exp(-0.5 * place**2) / variance[near]
    root = np.sqrt(weight / weight.sum())[:, None]
    costs = np.sqrt([[0, SLOPE_COST, 0], [0, 0, CURVATURE_COST]])
    rows = np.concatenate([root * place[:, None] ** np.arange(3), costs])
    target = np.concatenate([root * values[near], np.zeros((2, 3))])
    return np.linalg.lstsq(rows, target, rcond=None)[0][0]


@pytest.mark.parametrize("fps", [8.0, 30.0, 60.0])
def test_values_are_those_of_a_fitted_parabola(fps):
    values, variance, there, time = record(fps)
    there[1, :7] = False
    there[1, 20:22] = False
    found = smooth(values, variance, there, time, WHOLE)
    for person, frame, point in (
        (0, 0, 0),
        (0, 1, 1),
        (0, 20, 2),
        (0, FRAMES - 1, 0),
        (1, 7, 1),
        (1, 19, 0),
        (1, 23, 2),
    ):
        known = there[person].numpy()
        parts = (part[person, known, point].double().numpy() for part in (values, variance))
        expected = fit(*parts, time.numpy()[known], time[frame].item())
        np.testing.assert_allclose(found[person, frame, point], expected, atol=1e-5)


def test_what_stands_still_stays():
    values, variance, there, time = record()
    still = values[:, :1].expand_as(values)
    torch.testing.assert_close(smooth(still, variance, there, time, WHOLE), still, atol=1e-5, rtol=0)


def test_what_moves_evenly_does_not_lag_where_later_frames_are_known():
    _, variance, there, time = record(60.0)
    line = time[:, None, None].expand(2, -1, 3, 3).float()
    found = smooth(line, torch.ones_like(variance), there, time, WHOLE)
    lag = (line - found)[:, 15:-7]
    assert lag.abs().max() < 0.003  # seconds
    assert 0.01 < (line - found)[:, -1].min() < 0.03


def test_noise_becomes_less():
    values, variance, there, time = record(60.0)
    found = smooth(values, torch.ones_like(variance), there, time, WHOLE)
    assert found[:, 15:-7].std() < 0.5 * values.std()


def test_certain_values_count_more():
    values, variance, there, time = record()
    variance[:, 20] = 1e-9
    found = smooth(values, variance, there, time, WHOLE)
    torch.testing.assert_close(found[:, 20], values[:, 20], atol=1e-4, rtol=0)
    unsure = values.clone()
    unsure[:, 20] += 5
    variance[:, 20] = 1e9
    found = smooth(unsure, variance, there, time, WHOLE)
    torch.testing.assert_close(found, smooth(values, variance, there, time, WHOLE), atol=1e-4, rtol=0)


def test_only_frames_that_are_near_and_there_count():
    values, variance, there, time = record(30.0)
    plain = smooth(values, variance, there, time, WHOLE)
    other = values.clone()
    other[:, 20] += 1
    moved = (smooth(other, variance, there, time, WHOLE) - plain).abs().amax((0, 2, 3)) > 1e-6
    assert moved.nonzero().flatten().tolist() == list(range(20 - round(30 * AFTER), 20 + round(30 * BEFORE) + 1))
    there[:, 20] = False
    hidden = smooth(values, variance, there, time, slice(0, 20))
    other[:, 20] = torch.nan
    torch.testing.assert_close(smooth(other, variance, there, time, slice(0, 20)), hidden, rtol=0, atol=0)


def test_some_frames_alone_and_in_parts(monkeypatch):
    values, variance, there, time = record()
    whole = smooth(values, variance, there, time, WHOLE)
    torch.testing.assert_close(smooth(values, variance, there, time, slice(13, 14)), whole[:, 13:14])
    near = slice(13 - round(30 * BEFORE), 13 + round(30 * AFTER) + 1)
    parts = (values[:, near], variance[:, near], there[:, near], time[near])
    torch.testing.assert_close(smooth(*parts, slice(6, 7)), whole[:, 13:14])
    monkeypatch.setattr(smoothing, "CHUNK", 7)
    torch.testing.assert_close(smooth(values, variance, there, time, WHOLE), whole)


def test_one_frame_stays():
    values, variance, there, time = record()
    found = smooth(values[:, :1], variance[:, :1], there[:, :1], time[:1], slice(0, 1))
    torch.testing.assert_close(found, values[:, :1])


def test_answers_are_weighed_by_their_covariances():
    values, _, there, time = record(points=18)
    generator = torch.Generator().manual_seed(1)
    factor = torch.randn(2, FRAMES, 18, 3, 3, generator=generator) + 3 * torch.eye(3)
    lifted = LifterOutput(values[:, :, :17], factor[:, :, :17], values[:, :, 17], factor[:, :, 17])
    there[1, :5] = False
    lifted.factor[1, :5] = 0  # meaningless, where nobody is there
    found = smooth_lifted(lifted, there, time, slice(8, 30))
    inverse = torch.linalg.inv(torch.where(there[..., None, None, None], factor, torch.eye(3)))
    variance = (inverse @ inverse.mT).diagonal(dim1=-2, dim2=-1).sum(-1)
    expected = smooth(values, variance, there, time, slice(8, 30))
    torch.testing.assert_close(found.xyz, expected[:, :, :17], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.root, expected[:, :, 17], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.factor, lifted.factor[:, 8:30])
    torch.testing.assert_close(found.root_factor, lifted.root_factor[:, 8:30])
