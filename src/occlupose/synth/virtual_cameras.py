"""Virtual cameras: rotations from a world with y up to the camera frame.

In the world, a standing person who faces +z has their left hand at +x; without rotation, the camera views their front.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

GRID_STEP = 0.02 * torch.pi
"""Step of the angles of the paper's grid, radians."""

GRID_STEPS = 10
"""Number of angles about each of the two axes of the grid."""

AngleGrid = Literal["signed", "centred", "one-sided"]
"""Readings of "limited to 0.2 pi with a step of 0.02 pi": 0.02 pi to 0.2 pi with a random sign, -0.1 pi to 0.08 pi,
and 0 to 0.18 pi. The first is never level: its mean angle about each axis is 0.11 pi (20 degrees).
"""

FIRST_STEP: dict[AngleGrid, int] = {"signed": 1, "centred": -GRID_STEPS // 2, "one-sided": 0}
"""First angle of each grid, in steps."""

ELEVATION = (-20.0, 45.0)
"""Range of angles, degrees, by which our cameras look down."""

ROLL = 4.0
"""Standard deviation of a camera's roll, degrees; ours."""


def paper_rotations(
    generator: Generator, count: int = GRID_STEPS**2, grid: AngleGrid = "signed"
) -> Float[Tensor, "count 3 3"]:
    """The paper's virtual views, in random order.

    OANet section 4.2 rotates poses about x, y and z. The grid is an interpretation (the paper has no code): every pair
    of ten angles about x (forward and back) and of ten about z (in the image), after a random rotation about the
    vertical y. They are meant for an orthographic camera.

    Arguments:
        count: up to 100 are of different cells of the grid; more repeat it.
        grid: which angles.

    Returns:
        Rotations from a world with y up to x right, y down, z forward.
    """
    cells = [torch.randperm(GRID_STEPS**2, generator=generator) for _ in range(0, count, GRID_STEPS**2)]
    cell = torch.cat([torch.empty(0, dtype=torch.long), *cells])[:count]
    steps = FIRST_STEP[grid] + torch.stack([cell // GRID_STEPS, cell % GRID_STEPS])
    if grid == "signed":
        steps = steps * (1 - 2 * torch.randint(2, (2, count), generator=generator))
    pitch, roll = GRID_STEP * steps
    return camera_rotation(_azimuth(count, generator), pitch, roll)


def level_rotations(generator: Generator, count: int) -> Float[Tensor, "count 3 3"]:
    """Views of hand-held cameras: all azimuths, from 20 degrees below to 45 above, nearly level. Ours.

    Returns:
        Rotations from a world with y up to x right, y down, z forward.
    """
    azimuth = _azimuth(count, generator)
    pitch = torch.deg2rad(torch.empty(count).uniform_(*ELEVATION, generator=generator))
    return camera_rotation(azimuth, pitch, torch.deg2rad(ROLL * torch.randn(count, generator=generator)))


def camera_rotation(
    azimuth: Float[Tensor, "batch"], pitch: Float[Tensor, "batch"], roll: Float[Tensor, "batch"]
) -> Float[Tensor, "batch 3 3"]:
    """Rotations of cameras from azimuth (about the vertical), pitch (about the camera's x) and roll (about its z),
    radians.

    A positive azimuth shows more of the person's right side, a positive pitch more of the top.
    """
    front = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # half a turn about x: y down, z away from the viewer
    return axis_rotation(2, roll) @ axis_rotation(0, pitch) @ front @ axis_rotation(1, azimuth)


def axis_rotation(axis: int, angle: Float[Tensor, "batch"]) -> Float[Tensor, "batch 3 3"]:
    """Rotations by angles (radians) about one coordinate axis."""
    c = angle.cos()
    s = angle.sin()
    matrix = torch.zeros(len(angle), 3, 3)
    i = (axis + 1) % 3
    j = (axis + 2) % 3
    matrix[:, axis, axis] = 1
    matrix[:, i, i] = c
    matrix[:, j, j] = c
    matrix[:, i, j] = -s
    matrix[:, j, i] = s
    return matrix


def _azimuth(count: int, generator: Generator) -> Float[Tensor, "count"]:
    return torch.empty(count).uniform_(-torch.pi, torch.pi, generator=generator)
