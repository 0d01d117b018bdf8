"""Virtual cameras: directions from which a pose is looked at, as rotations from a world with y up into the camera's
frame.

In the world a person who stands and faces +z has their left hand at +x; unturned, the camera sees them from the front.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

STEP = 0.02 * torch.pi
"""Between the angles of the paper's grid, radians."""

STEPS = 10
"""Angles about each of the two axes of the grid: 0.02 pi to 0.2 pi."""

ELEVATION = (-20.0, 45.0)
"""Degrees by which a camera of ours looks down on the person."""

ROLL = 4.0
"""Standard deviation of a camera's roll, degrees; ours."""


def paper_views(generator: Generator, count: int = STEPS**2) -> Float[Tensor, "count 3 3"]:
    """The paper's virtual views, in random order.

    OANet section 4.2 turns poses about x, y and z. The grid is an interpretation (the paper has no code): every pair of
    angles about x (forward and back) and z (in the picture) from 0.02 pi to 0.2 pi in ten steps, with a sign each at
    random, after a random turn about the vertical y. They are meant for an orthographic camera.

    Arguments:
        count: up to 100 are all of different cells of the grid, 100 are each cell once; more begin again.

    Returns:
        Rotations that take a world with y up to x right, y down, z forward.
    """
    cells = [torch.randperm(STEPS**2, generator=generator) for _ in range(0, count, STEPS**2)]
    cell = torch.cat([torch.empty(0, dtype=torch.long), *cells])[:count]
    sign = 1 - 2.0 * torch.randint(2, (2, count), generator=generator)
    pitch, roll = STEP * sign * (1 + torch.stack([cell // STEPS, cell % STEPS]))
    return facing(_azimuth(count, generator), pitch, roll)


def level_views(generator: Generator, count: int) -> Float[Tensor, "count 3 3"]:
    """Views as people hold cameras: from all around, between 20 degrees from below and 45 from above, nearly level.
    Ours.

    Returns:
        Rotations that take a world with y up to x right, y down, z forward.
    """
    azimuth = _azimuth(count, generator)
    pitch = torch.deg2rad(torch.empty(count).uniform_(*ELEVATION, generator=generator))
    return facing(azimuth, pitch, torch.deg2rad(ROLL * torch.randn(count, generator=generator)))


def facing(
    azimuth: Float[Tensor, "batch"], pitch: Float[Tensor, "batch"], roll: Float[Tensor, "batch"]
) -> Float[Tensor, "batch 3 3"]:
    """Rotations that turn a world with y up about its vertical, face it, and turn it about the camera's x and z;
    radians.

    With a positive azimuth more of the person's right side is seen, with a positive pitch more of the top.
    """
    front = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # half a turn about x: y down, z away from the viewer
    return turn(2, roll) @ turn(0, pitch) @ front @ turn(1, azimuth)


def turn(axis: int, angle: Float[Tensor, "batch"]) -> Float[Tensor, "batch 3 3"]:
    """Rotations by some angles (radians) about one coordinate axis."""
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
