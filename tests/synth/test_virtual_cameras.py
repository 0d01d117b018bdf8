import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.stats import kstest, norm, uniform

from occlupose.synth.virtual_cameras import (
    ELEVATION,
    GRID_STEP,
    GRID_STEPS,
    ROLL,
    axis_rotation,
    camera_rotation,
    level_rotations,
    paper_rotations,
)

FRONT = Rotation.from_euler("x", 180, degrees=True)
"""What a camera in front of a person who faces +z sees, y up, as x right, y down, z away."""


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def angles(views):
    """Azimuth, pitch and roll (radians) of which rotations are made, found by another library."""
    roll, pitch, azimuth = (Rotation.from_matrix(views.double().numpy()) * FRONT).as_euler("ZXY").T
    return -azimuth, pitch, roll  # half a turn about x turns the vertical over


@pytest.mark.parametrize(
    "views", [paper_rotations(rng()), level_rotations(rng(), 50), camera_rotation(*torch.randn(3, 50, generator=rng()))]
)
def test_views_are_rotations(views):
    torch.testing.assert_close(views @ views.mT, torch.eye(3).expand(len(views), 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(views), torch.ones(len(views)))


def test_every_cell_of_the_papers_grid_is_there_once():
    _, pitch, roll = angles(paper_rotations(rng(3)))
    grid = 0.02 * np.pi * np.arange(1, 11)
    cells = {(np.abs(grid - abs(p)).argmin(), np.abs(grid - abs(r)).argmin()) for p, r in zip(pitch, roll, strict=True)}
    assert len(cells) == 100
    for angle in (pitch, roll):
        np.testing.assert_allclose(np.sort(np.abs(angle)), np.repeat(grid, 10), atol=1e-5)
        assert 25 < (angle > 0).sum() < 75
    assert (np.sign(pitch) * np.sign(roll) < 0).any() and (np.sign(pitch) * np.sign(roll) > 0).any()


@pytest.mark.parametrize(("grid", "first"), [("centred", -5), ("one-sided", 0)])
def test_other_readings_of_the_grid_have_level_views(grid, first):
    _, pitch, roll = angles(paper_rotations(rng(3), grid=grid))
    for angle in (pitch, roll):
        expected = np.repeat(0.02 * np.pi * np.arange(first, first + 10), 10)
        np.testing.assert_allclose(np.sort(angle), expected, atol=1e-5)


def test_the_vertical_turn_is_even_all_around():
    for views in (paper_rotations(rng(1), 1000), level_rotations(rng(1), 1000)):
        azimuth, _, _ = angles(views)
        assert kstest(azimuth, uniform(-np.pi, 2 * np.pi).cdf).pvalue > 0.01


@pytest.mark.parametrize("count", [0, 1, 7, 100, 101, 250])
def test_any_number_of_views_uses_the_cells_evenly(count):
    views = paper_rotations(rng(2), count)
    assert views.shape == (count, 3, 3)
    if count:
        _, pitch, roll = angles(views)
        cells = np.rint(np.abs(np.stack([pitch, roll])) / GRID_STEP).astype(int) - 1
        used = np.bincount(GRID_STEPS * cells[0] + cells[1], minlength=100)
        assert used.max() <= -(-count // 100)
        assert used.max() - used.min() <= 1


def test_level_views_are_nearly_level():
    _, pitch, roll = np.degrees(angles(level_rotations(rng(4), 2000)))
    assert kstest(pitch, uniform(ELEVATION[0], ELEVATION[1] - ELEVATION[0]).cdf).pvalue > 0.01
    assert kstest(roll, norm(0, ROLL).cdf).pvalue > 0.01
    assert level_rotations(rng(), 0).shape == (0, 3, 3)


@pytest.mark.parametrize("views", [paper_rotations, lambda generator: level_rotations(generator, 10)])
def test_the_same_seed_gives_the_same_views(views):
    assert torch.equal(views(rng(5)), views(rng(5)))
    assert not torch.equal(views(rng(5)), views(rng(6)))


def test_angles_turn_the_way_they_say():
    def seen(azimuth, pitch, roll):
        (view,) = camera_rotation(*(torch.tensor([float(angle)]) for angle in (azimuth, pitch, roll)))
        return dict(zip(("left hand", "head", "nose"), (view @ torch.eye(3)).T, strict=True))

    torch.testing.assert_close(seen(0, 0, 0)["left hand"], torch.tensor([1.0, 0, 0]))  # on the image's right
    torch.testing.assert_close(seen(0, 0, 0)["head"], torch.tensor([0, -1.0, 0]))  # up
    torch.testing.assert_close(seen(0, 0, 0)["nose"], torch.tensor([0, 0, -1.0]))  # towards the camera
    assert seen(0.5, 0, 0)["left hand"][2] > 0.4  # away: the right side is seen
    assert seen(0, 0.5, 0)["head"][2] < -0.4  # nearer: the top is seen
    torch.testing.assert_close(seen(0, 0, 0.5)["nose"], torch.tensor([0, 0, -1.0]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turn_is_about_its_axis(axis):
    angle = torch.tensor([-2.0, 0.3, 1.0])
    expected = Rotation.from_rotvec(angle.unsqueeze(1).numpy() * np.eye(3)[axis]).as_matrix()
    np.testing.assert_allclose(axis_rotation(axis, angle), expected, atol=1e-6)
