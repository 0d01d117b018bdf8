"""Meshes of objects that occlude people: furniture, boxes, pillars, and bars and leaves near the camera. Ours."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Mesh = tuple[Float[np.ndarray, "vertex 3"], Int[np.ndarray, "face 3"]]
"""Vertices (metres; y up, the ground at 0, about the origin) and the corners of each triangle."""

_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
_SIDES = np.array(
    [
        [0, 1, 3],
        [0, 3, 2],
        [4, 6, 7],
        [4, 7, 5],
        [0, 4, 5],
        [0, 5, 1],
        [2, 3, 7],
        [2, 7, 6],
        [0, 2, 6],
        [0, 6, 4],
        [1, 5, 7],
        [1, 7, 3],
    ]
)


def block(width: float, height: float, depth: float, *, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
    """A box whose base is at height y."""
    return _CORNERS * (width, height, depth) + (x, y + height / 2, z), _SIDES


def merge(*meshes: Mesh) -> Mesh:
    """Join several meshes."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    faces = [faces + start for (_, faces), start in zip(meshes, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)


def cylinder(radius: float, length: float, sides: int = 12) -> Mesh:
    """A closed cylinder on the ground."""
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.stack([radius * np.cos(angle), 0 * angle, radius * np.sin(angle)], 1)
    vertices = np.concatenate([ring, ring + np.array([0, length, 0]), [(0, 0, 0), (0, length, 0)]])
    current = np.arange(sides)
    following = (np.arange(sides) + 1) % sides
    low = np.full(sides, 2 * sides)
    high = np.full(sides, 2 * sides + 1)
    corners = [
        (current, following, current + sides),
        (following, following + sides, current + sides),
        (low, following, current),
        (high, current + sides, following + sides),
    ]
    return vertices, np.concatenate([np.stack(triangle, 1) for triangle in corners])


def _legs(width: float, depth: float, height: float, thickness: float) -> list[Mesh]:
    return [
        block(thickness, height, thickness, x=side * (width - thickness) / 2, z=end * (depth - thickness) / 2)
        for side in (-1, 1)
        for end in (-1, 1)
    ]


def table(random: np.random.Generator) -> Mesh:
    """A table, or a desk with a closed front."""
    width = random.uniform(0.9, 1.8)
    depth = random.uniform(0.5, 0.9)
    height = random.uniform(0.68, 1.05)
    parts = [
        block(width, 0.04, depth, y=height - 0.04),
        *_legs(width, depth, height - 0.04, random.uniform(0.04, 0.09)),
    ]
    if random.random() < 0.35:
        parts.append(block(width, height - 0.2, 0.02, y=0.16, z=depth / 2 - 0.03))
    return merge(*parts)


def chair(random: np.random.Generator, seat: float = 0.45) -> Mesh:
    """A chair with a seat at this height (metres) that faces +z."""
    width = random.uniform(0.4, 0.5)
    depth = random.uniform(0.38, 0.46)
    parts = [block(width, 0.04, depth, y=seat - 0.04), *_legs(width, depth, seat - 0.04, 0.035)]
    if random.random() < 0.75:
        parts.append(block(width, random.uniform(0.3, 0.5), 0.03, y=seat + 0.06, z=-depth / 2 - 0.03))
    return merge(*parts)


def sofa(random: np.random.Generator) -> Mesh:
    """A sofa."""
    width = random.uniform(1.2, 2.0)
    depth = 0.8
    arms = [block(0.18, 0.6, depth, x=side * (width / 2 + 0.09)) for side in (-1, 1)]
    return merge(block(width, 0.42, depth), block(width, 0.45, 0.2, y=0.42, z=-depth / 2 + 0.1), *arms)


def box(random: np.random.Generator) -> Mesh:
    """A box, a crate, a machine or a counter."""
    return block(random.uniform(0.3, 1.1), random.uniform(0.3, 1.3), random.uniform(0.3, 0.9))


def pillar(random: np.random.Generator) -> Mesh:
    """A pillar, trunk or post."""
    return cylinder(random.uniform(0.06, 0.25), random.uniform(2.2, 4.0), int(random.integers(6, 20)))


def bar(random: np.random.Generator) -> Mesh:
    """A railing near the camera: one to three slanted bars."""
    count = int(random.integers(1, 4))
    radius = random.uniform(0.015, 0.05)
    length = 5.0
    bars = []
    for index in range(count):
        vertices, faces = cylinder(radius, length, 8)
        bars.append((vertices - (0, length / 2, 0) + (index * random.uniform(0.12, 0.3), 0, 0), faces))
    vertices, faces = merge(*bars)
    slant = random.choice([0.0, np.pi / 2]) + random.normal(0, 0.12)
    c = np.cos(slant)
    s = np.sin(slant)
    return vertices @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + (0, random.uniform(0.4, 1.6), 0), faces


def foliage(random: np.random.Generator) -> Mesh:
    """Clusters of leaves, about a metre wide."""
    count = int(random.integers(40, 160))
    length = random.uniform(0.05, 0.16)
    centre = random.uniform((-0.6, 0.2, -0.2), (0.6, 1.9, 0.2), (int(random.integers(2, 6)), 3))
    stems = centre[random.integers(len(centre), size=count)] + random.normal(0, 0.22, (count, 3))
    along = _unit(random.normal(size=(count, 3)))
    aside = _unit(random.normal(size=(count, 3)))
    aside = _unit(aside - (aside * along).sum(1, keepdims=True) * along)
    leaf = np.array([[0, 0], [0.35, 0.35], [1, 0], [0.35, -0.35]]) * length
    vertices = stems[:, None] + leaf[None, :, :1] * along[:, None] + leaf[None, :, 1:] * aside[:, None]
    faces = (4 * np.arange(count)[:, None, None] + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
    return vertices.reshape(-1, 3), faces


STANDING_OBJECTS: dict[str, Callable[[np.random.Generator], Mesh]] = {
    "table": table,
    "sofa": sofa,
    "box": box,
    "pillar": pillar,
}
"""Objects that stand among the people."""

FOREGROUND_OBJECTS: dict[str, Callable[[np.random.Generator], Mesh]] = {"bar": bar, "foliage": foliage}
"""Objects near the camera."""


def place(mesh: Mesh, yaw: float, x: float, z: float) -> Mesh:
    """Rotate a mesh about the vertical axis (radians) and move it on the ground."""
    return mesh[0] @ yaw_rotation(yaw).T + (x, 0, z), mesh[1]


def yaw_rotation(yaw: float) -> Float[np.ndarray, "3 3"]:
    """Rotation about the vertical axis by an angle (radians), from +z towards +x."""
    c = np.cos(yaw)
    s = np.sin(yaw)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _unit(vector: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return vector / np.linalg.norm(vector, axis=1, keepdims=True)
