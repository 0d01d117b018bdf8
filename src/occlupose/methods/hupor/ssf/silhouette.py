"""The outline of a body, soft enough to learn from and quick on a processor.

How HUPOR draws the silhouettes of its loss is not published. Ours: a body is some hundred balls that touch its surface
from within, and each is splatted as a Gaussian. A Gaussian is a product of one across and one down, so all balls of a
person make a map by one product of matrices; a cell shows the body unless every ball misses it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from occlupose.bodies.body import BodyModel

SPHERES = 800
"""Of a body."""

GRID = 64
"""Cells across and down that a silhouette is drawn in."""

MAX_RADIUS = 0.022
"""Radius of the largest balls at rest, as a share of the body's height. Larger ones have softer borders, smaller ones
leave holes.
"""

SURFACE_POINTS = 8000
"""Places of the surface among which the balls' are chosen."""

MIN_SIGMA = 0.5
"""Cells that a Gaussian is wide at least (standard deviation)."""

SIGMA = 0.45
"""Standard deviation of a ball's Gaussian, as a share of its radius."""

DENSITY = 1.25
"""How much the middle of a ball hides, as the logarithm of what it lets through. With WIDTH found by comparing with
exact silhouettes.
"""

Intrinsics = Float[Tensor, "batch 2 3"]
"""From (x/z, y/z, 1) to the cells of a map, cell centres at integers."""


@dataclass(frozen=True, eq=False)
class Spheres:
    """A body as balls within it. Each lies between a place that it touches and another one across from it, and grows
    with their distance.

    Attributes:
        body: of these places alone, first those that are touched, then those across; its joints mean nothing.
        share: of the way across at which the middle is.
        radius: as a share of the way across.
    """

    body: BodyModel
    share: Float[Tensor, "ball"]
    radius: Float[Tensor, "ball"]

    def __call__(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> tuple[Float[Tensor, "batch ball 3"], Float[Tensor, "batch ball"]]:
        """Where the balls are, and how large (radius), metres."""
        touched, across = self.body(pose, shape, translation).vertices.chunk(2, 1)
        way = across - touched
        return touched + self.share[:, None] * way, self.radius * (way.square().sum(-1) + 1e-9).sqrt()


@lru_cache(8)
def inscribed_spheres(body: BodyModel, count: int = SPHERES) -> Spheres:
    """Balls that touch a body's surface from within, spread over it as evenly as can be: the largest that fit in, or
    LARGEST.
    """
    corner, share, normal = _spots(body)
    place = torch.einsum("sk,skc->sc", share, body.template[corner])
    chosen = _spread(place, count)
    between = place[chosen, None] - place  # touched spot 3
    inwards = torch.einsum("tsc,tc->ts", between, normal[chosen])
    across = (inwards > 1e-4) & (normal[chosen] @ normal.T < 0)
    fits = torch.where(across, between.square().sum(-1) / (2 * inwards), torch.inf)  # such a ball reaches this spot too
    radius, other = fits.min(1)
    radius = radius.clamp_max(MAX_RADIUS * float(body.template[:, 1].max() - body.template[:, 1].min()))
    way = place[other] - place[chosen]
    length = way.norm(dim=-1).clamp_min(1e-6)
    both = torch.cat([chosen, other])
    few = replace(
        body,
        template=place[both],
        directions=torch.einsum("sk,bskc->bsc", share[both], body.directions[:, corner[both]]),
        weights=torch.einsum("sk,skn->sn", share[both], body.weights[corner[both]]),
        faces=body.faces[:0],
        part=body.part[corner[both, 0]],
        regressor=torch.zeros(len(body.regressor), len(both)),
        pose_directions=None,  # what a pose adds to the skin is less than the balls leave out
    )
    return Spheres(few, -radius * (normal[chosen] * way).sum(-1) / length**2, radius / length)


def _spots(body: BodyModel) -> tuple[Int[Tensor, "spot 3"], Float[Tensor, "spot 3"], Float[Tensor, "spot 3"]]:
    """Places all over the surface at rest: between which vertices, the share of each, and which way the surface looks
    there.
    """
    generator = torch.Generator().manual_seed(0)
    a, b, c = body.template[body.faces].unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    face = torch.multinomial(across.norm(dim=-1), SURFACE_POINTS, replacement=True, generator=generator)
    one, two = torch.rand(2, SURFACE_POINTS, generator=generator)
    share = torch.stack([1 - one.sqrt(), one.sqrt() * (1 - two), one.sqrt() * two], 1)
    return body.faces[face], share, torch.nn.functional.normalize(across[face], dim=-1)


def _spread(place: Float[Tensor, "spot 3"], count: int) -> Int[Tensor, "ball"]:
    """The farthest place from all before, again and again."""
    chosen = [0]
    away = torch.full((len(place),), float("inf"))
    while len(chosen) < min(count, len(place)):
        away = torch.minimum(away, ((place - place[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(away.argmax()))
    return torch.tensor(chosen)


def render_silhouette(
    place: Float[Tensor, "batch ball 3"], radius: Float[Tensor, "batch ball"], lens: Intrinsics, size: int = GRID
) -> Float[Tensor, "batch size size"]:
    """How far each cell shows the body, 0 to 1; differentiable in places and radii.

    Arguments:
        place, radius: of its balls, metres, camera frame.
        lens: of the map.
        size: of the map, cells.
    """
    depth = place[..., 2].clamp_min(0.05)
    across, down = (
        lens[:, axis, 0, None] * place[..., 0] / depth
        + lens[:, axis, 1, None] * place[..., 1] / depth
        + lens[:, axis, 2, None]
        for axis in (0, 1)
    )
    scale = torch.linalg.det(lens[:, :, :2]).abs().sqrt()[:, None] / depth  # cells a metre
    true = SIGMA * radius * scale
    spread = true.clamp_min(MIN_SIGMA)
    cell = torch.arange(size, dtype=place.dtype)
    columns = torch.exp(-((cell - across[..., None]) ** 2) / (2 * spread[..., None] ** 2))
    rows = torch.exp(-((cell - down[..., None]) ** 2) / (2 * spread[..., None] ** 2))
    hides = rows.mT @ (columns * (DENSITY * (true / spread) ** 2)[..., None])
    return 1 - torch.exp(-hides)
