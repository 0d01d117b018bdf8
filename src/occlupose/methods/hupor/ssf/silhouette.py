"""A differentiable silhouette of a body, fast on a CPU.

HUPOR does not publish how it renders the silhouettes of its loss. Ours: a body is approximated by some hundred spheres
that touch its surface from inside, and each is splatted as a Gaussian. A Gaussian is the product of one along x and one
along y, so one matrix product splats all spheres of a person; a cell is covered unless every sphere misses it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from occlupose.bodies.body import BodyModel

SPHERES = 800
"""Number of spheres of a body."""

GRID = 64
"""Cells along each side of a rendered silhouette."""

MAX_RADIUS = 0.022
"""Radius of the largest spheres at rest, relative to the body's height. Larger ones have softer borders, smaller ones
leave holes.
"""

SURFACE_POINTS = 8000
"""Number of points of the surface among which the contacts of the spheres are chosen."""

MIN_SIGMA = 0.5
"""Minimum standard deviation of a Gaussian, cells."""

SIGMA = 0.45
"""Standard deviation of a sphere's Gaussian, relative to its radius."""

DENSITY = 1.25
"""Optical density of the centre of a sphere. Chosen with SIGMA by comparison with exact silhouettes."""

Intrinsics = Float[Tensor, "batch 2 3"]
"""From (x/z, y/z, 1) to the cells of a map, with cell centres at integers."""


@dataclass(frozen=True, eq=False)
class Spheres:
    """A body as spheres inside it. Each lies between a contact point and the opposite point of the surface, and scales
    with their distance.

    Attributes:
        body: a model of these points only, all contact points first; its joints are meaningless.
        share: position of the centre between the two points, 0 to 1.
        radius: relative to their distance.
    """

    body: BodyModel
    share: Float[Tensor, "sphere"]
    radius: Float[Tensor, "sphere"]

    def __call__(
        self,
        pose: Float[Tensor, "batch 17 3 3"],
        shape: Float[Tensor, "batch shape"],
        translation: Float[Tensor, "batch 3"],
    ) -> tuple[Float[Tensor, "batch sphere 3"], Float[Tensor, "batch sphere"]]:
        """Centres and radii of the spheres, metres."""
        contact, across = self.body(pose, shape, translation).vertices.chunk(2, 1)
        vector = across - contact
        return contact + self.share[:, None] * vector, self.radius * (vector.square().sum(-1) + 1e-9).sqrt()


@lru_cache(8)
def inscribed_spheres(body: BodyModel, count: int = SPHERES) -> Spheres:
    """Spheres that touch a body's surface from inside, spread as evenly as possible: the largest that fit, up to
    MAX_RADIUS.
    """
    corner, barycentric, normal = _surface_points(body)
    points = torch.einsum("sk,skc->sc", barycentric, body.template[corner])
    chosen = _farthest_points(points, count)
    offset = points[chosen, None] - points  # contact point 3
    inwards = torch.einsum("tsc,tc->ts", offset, normal[chosen])
    across = (inwards > 1e-4) & (normal[chosen] @ normal.T < 0)
    # the radius at which a sphere also reaches another point
    radii = torch.where(across, offset.square().sum(-1) / (2 * inwards), torch.inf)
    radius, other = radii.min(1)
    radius = radius.clamp_max(MAX_RADIUS * float(body.template[:, 1].max() - body.template[:, 1].min()))
    vector = points[other] - points[chosen]
    length = vector.norm(dim=-1).clamp_min(1e-6)
    both = torch.cat([chosen, other])
    reduced = replace(
        body,
        template=points[both],
        directions=torch.einsum("sk,bskc->bsc", barycentric[both], body.directions[:, corner[both]]),
        weights=torch.einsum("sk,skn->sn", barycentric[both], body.weights[corner[both]]),
        faces=body.faces[:0],
        part=body.part[corner[both, 0]],
        regressor=torch.zeros(len(body.regressor), len(both)),
        pose_directions=None,  # smaller than the error of the spheres
    )
    return Spheres(reduced, -radius * (normal[chosen] * vector).sum(-1) / length**2, radius / length)


def _surface_points(
    body: BodyModel,
) -> tuple[Int[Tensor, "point 3"], Float[Tensor, "point 3"], Float[Tensor, "point 3"]]:
    """Points all over the surface at rest: vertices of their faces, barycentric coordinates and normals."""
    generator = torch.Generator().manual_seed(0)
    a, b, c = body.template[body.faces].unbind(1)
    across = torch.linalg.cross(b - a, c - a)
    face = torch.multinomial(across.norm(dim=-1), SURFACE_POINTS, replacement=True, generator=generator)
    one, two = torch.rand(2, SURFACE_POINTS, generator=generator)
    share = torch.stack([1 - one.sqrt(), one.sqrt() * (1 - two), one.sqrt() * two], 1)
    return body.faces[face], share, torch.nn.functional.normalize(across[face], dim=-1)


def _farthest_points(points: Float[Tensor, "point 3"], count: int) -> Int[Tensor, "sphere"]:
    """Farthest point sampling."""
    chosen = [0]
    distance = torch.full((len(points),), float("inf"))
    while len(chosen) < min(count, len(points)):
        distance = torch.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(distance.argmax()))
    return torch.tensor(chosen)


def render_silhouette(
    centre: Float[Tensor, "batch sphere 3"],
    radius: Float[Tensor, "batch sphere"],
    intrinsics: Intrinsics,
    size: int = GRID,
) -> Float[Tensor, "batch size size"]:
    """Coverage of each cell by the body, 0 to 1; differentiable with respect to centres and radii.

    Arguments:
        centre, radius: of its spheres, metres, camera frame.
        intrinsics: of the map.
        size: of the map, cells.
    """
    depth = centre[..., 2].clamp_min(0.05)
    across = _project(centre, depth, intrinsics[:, 0])
    down = _project(centre, depth, intrinsics[:, 1])
    scale = torch.linalg.det(intrinsics[:, :, :2]).abs().sqrt()[:, None] / depth  # cells per metre
    true_sigma = SIGMA * radius * scale
    sigma = true_sigma.clamp_min(MIN_SIGMA)
    cell = torch.arange(size, dtype=centre.dtype)
    columns = torch.exp(-((cell - across[..., None]) ** 2) / (2 * sigma[..., None] ** 2))
    rows = torch.exp(-((cell - down[..., None]) ** 2) / (2 * sigma[..., None] ** 2))
    density = rows.mT @ (columns * (DENSITY * (true_sigma / sigma) ** 2)[..., None])
    return 1 - torch.exp(-density)


def _project(
    centre: Float[Tensor, "batch sphere 3"], depth: Float[Tensor, "batch sphere"], row: Float[Tensor, "batch 3"]
) -> Float[Tensor, "batch sphere"]:
    """One coordinate of the projected centres, by a row of the intrinsics."""
    return row[:, 0, None] * centre[..., 0] / depth + row[:, 1, None] * centre[..., 1] / depth + row[:, 2, None]
