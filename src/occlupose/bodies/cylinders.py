"""A body model of capsules after the Cylinder Man (OANet, section 4): fast, closed, and free of licences.

Limb radii average OANet's 0.05 m, the head has its 0.10 m, and the trunk reaches from shoulder to shoulder. Tapered
limbs, flattened trunk and head, the proportions (an adult of 1.75 m) and the shape numbers are ours.
"""

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from occlupose.bodies.body import PARTS, SIDES, BodyModel, BoneDriver
from occlupose.skeletons import BODY26

SHAPE = ("trunk", "shoulders", "hips", "head", "upper_arm", "forearm", "hand", "thigh", "shank", "foot", "girth")
"""The numbers of a shape, 1 is average: length of each piece (width of shoulders and hips; neck and head together), and
thickness of all pieces.
"""

LOW = 0.75
HIGH = 1.3


class CapsuleBone(NamedTuple):
    """A bone: its parent, the shape number that scales its offset, the offset of its head from the parent's head
    (metres), and what rotates it.
    """

    parent: str
    length: str
    offset: tuple[float, float, float]
    driver: BoneDriver


_NECK = BoneDriver("chest", "head", 0.5)
_HEAD = BoneDriver("head")

_MIDDLE = {
    "pelvis": CapsuleBone("", "trunk", (0, 0, 0), BoneDriver("pelvis")),
    "spine": CapsuleBone("pelvis", "trunk", (0, 0.27, 0), BoneDriver("chest")),
    "thorax": CapsuleBone("spine", "trunk", (0, 0.30, 0), _NECK),
    "neck_nose": CapsuleBone("thorax", "head", (0, 0.10, 0.02), _HEAD),
    "head_top": CapsuleBone("neck_nose", "head", (0, 0.16, 0.01), _HEAD),
    "nose": CapsuleBone("neck_nose", "head", (0, 0.02, 0.10), _HEAD),
}
_LEFT = {
    "eye": CapsuleBone("neck_nose", "head", (0.03, 0.05, 0.09), _HEAD),
    "ear": CapsuleBone("neck_nose", "head", (0.075, 0.04, 0), _HEAD),
    "clavicle": CapsuleBone("thorax", "shoulders", (0, 0, 0), BoneDriver("clavicle")),
    "shoulder": CapsuleBone("clavicle", "shoulders", (0.17, -0.06, 0), BoneDriver("upper_arm")),
    "elbow": CapsuleBone("shoulder", "upper_arm", (0.27, 0, 0), BoneDriver("forearm")),
    "wrist": CapsuleBone("elbow", "forearm", (0.243, 0, 0.03), BoneDriver("hand")),
    "hand": CapsuleBone("wrist", "hand", (0.085, 0, 0.01), BoneDriver("hand")),
    "hip": CapsuleBone("pelvis", "hips", (0.095, 0, 0), BoneDriver("thigh")),
    "knee": CapsuleBone("hip", "thigh", (0, -0.42, 0), BoneDriver("shank")),
    "ankle": CapsuleBone("knee", "shank", (0, -0.42, 0), BoneDriver("foot")),
    "foot": CapsuleBone("ankle", "foot", (0, -0.04, 0.15), BoneDriver("foot")),
}
"""Each joint is the head of a bone of the same name; the clavicles are two more bones. The arms point sideways with the
elbows slightly bent, which defines the axis they bend about.
"""


class Capsule(NamedTuple):
    """A piece of the surface: two half ellipsoids and their connection, rigid with the bone at its start.

    Attributes:
        part: of PARTS without the side; `head` is a face in front and a skull behind.
        start, end: bones between whose heads it lies.
        radius: at both ends, metres at average shape; `grows` names the shape number that scales it.
        across: the same sideways, if not round; `widens` names the shape number.
        between: positions of the centres of its ends between start (0) and end (1).
    """

    part: str
    start: str
    end: str
    radius: tuple[float, float]
    across: tuple[float, float] | None = None
    between: tuple[float, float] = (0.0, 1.0)
    grows: str = "girth"
    widens: str = "girth"


MIDDLE = (
    Capsule("trunk", "pelvis", "spine", (0.105, 0.10), (0.15, 0.13), widens="hips"),
    Capsule("trunk", "spine", "thorax", (0.10, 0.08), (0.13, 0.17), (0, 0.75), widens="shoulders"),
    Capsule("neck", "thorax", "neck_nose", (0.055, 0.055)),
    Capsule("head", "neck_nose", "head_top", (0.10, 0.10), (0.078, 0.078), (0.35, 0.375), grows="head", widens="head"),
)
SIDE = (
    Capsule("trunk", "clavicle", "shoulder", (0.05, 0.05), between=(0.35, 1)),
    Capsule("upper_arm", "shoulder", "elbow", (0.05, 0.045)),
    Capsule("forearm", "elbow", "wrist", (0.045, 0.03)),
    Capsule("hand", "wrist", "hand", (0.03, 0.035), between=(0.3, 1.5)),
    Capsule("thigh", "hip", "knee", (0.08, 0.055)),
    Capsule("shank", "knee", "ankle", (0.055, 0.04)),
    Capsule("foot", "ankle", "foot", (0.04, 0.03), between=(-0.1, 1.3)),
)
"""Capsules of one side; built on the left and mirrored."""

AROUND = 16
CAP = 4
"""Vertices around a capsule, a multiple of 4 so that some lie on the midline; and rings per cap, with the widest."""

_SEAM = 1e-5
"""Points closer to a cut lie on it, and count as left and front."""

_MIRROR = torch.tensor([-1.0, 1, 1])


@cache
def cylinders() -> BodyModel:
    """The body model of capsules. Its joints are exactly the heads of its bones."""
    bones = [*_MIDDLE, *(f"{side}_{name}" for side in SIDES for name in _LEFT)]
    own = _all_bones()
    pieces = [(capsule, "") for capsule in MIDDLE] + [(capsule, side) for side in SIDES for capsule in SIDE]
    sphere, end, faces = _sphere()
    count = len(sphere)
    neutral = torch.ones(len(SHAPE))
    weights = torch.zeros(len(pieces) * count, len(bones))
    for index, (capsule, side) in enumerate(pieces):
        weights[index * count : (index + 1) * count, bones.index(_named(capsule.start, side))] = 1
    head_regressor = torch.zeros(len(BODY26), len(bones))
    head_regressor[range(len(BODY26)), [bones.index(joint) for joint in BODY26.joints]] = 1

    def heads(size: Float[Tensor, "shape"]) -> Float[Tensor, "bone 3"]:
        positions = _heads(size)
        return torch.stack([positions[name] for name in bones])

    def surface(size: Float[Tensor, "shape"]) -> Float[Tensor, "vertex 3"]:
        positions = _heads(size)
        return torch.cat([_surface(capsule, side, positions, size, sphere, end) for capsule, side in pieces])

    return BodyModel(
        name="cylinders",
        parents=tuple(bones.index(own[name].parent) if own[name].parent else -1 for name in bones),
        drivers=tuple(own[name].driver for name in bones),
        template=surface(neutral),
        directions=torch.stack([surface(one) for one in torch.eye(len(SHAPE))]),  # the surface is linear in the shape
        heads=heads(neutral),
        head_directions=torch.stack([heads(one) for one in torch.eye(len(SHAPE))]),
        weights=weights,
        faces=torch.cat([_faces(*piece, faces, sphere) + index * count for index, piece in enumerate(pieces)]),
        part=torch.cat([_parts(capsule, side, sphere) for capsule, side in pieces]),
        regressor=torch.zeros(len(BODY26), len(weights)),
        head_regressor=head_regressor,
        shape_names=SHAPE,
        low=torch.full((len(SHAPE),), LOW),
        high=torch.full((len(SHAPE),), HIGH),
        neutral=neutral,
        blend=lambda shape: shape - 1,
        texture=surface(neutral),
    )


def _named(name: str, side: str) -> str:
    return f"{side}_{name}" if side and name in _LEFT else name


def _all_bones() -> dict[str, CapsuleBone]:
    """The bones of the middle and of both sides, by name."""
    bones = dict(_MIDDLE)
    for side, sign in zip(SIDES, (1, -1), strict=True):
        for name, bone in _LEFT.items():
            x, y, z = bone.offset
            drive = bone.driver if bone.driver == _HEAD else BoneDriver(f"{side}_{bone.driver.segment}")
            bones[f"{side}_{name}"] = CapsuleBone(_named(bone.parent, side), bone.length, (sign * x, y, z), drive)
    return bones


def _heads(size: Float[Tensor, "shape"]) -> dict[str, Float[Tensor, "3"]]:
    """Heads of the bones for this shape."""
    heads = {"": torch.zeros(3)}
    for name, bone in _all_bones().items():
        heads[name] = heads[bone.parent] + size[SHAPE.index(bone.length)] * torch.tensor(bone.offset)
    return heads


def _sphere() -> tuple[Float[Tensor, "point 3"], Int[Tensor, "point"], Int[Tensor, "face 3"]]:
    """A unit sphere of two halves: points (sideways, along, ahead), the half of each, and outward-facing triangles.

    A capsule is its two halves moved apart along the second axis.
    """
    up = torch.arange(1, CAP + 1) / CAP * torch.pi / 2
    # rings from pole to equator, and from equator to pole
    tilt = torch.cat([up - torch.pi / 2, up.flip(0).neg() + torch.pi / 2])
    angle = torch.arange(AROUND) / AROUND * 2 * torch.pi
    rings = torch.stack(
        [tilt.cos()[:, None] * angle.sin(), tilt.sin()[:, None].expand(-1, AROUND), tilt.cos()[:, None] * angle.cos()],
        -1,
    )
    poles = torch.tensor([[0.0, -1, 0], [0, 1, 0]])
    half = torch.arange(len(tilt)) // CAP
    south = rings[..., 0].numel()
    north = rings[..., 0].numel() + 1
    grid = torch.arange(south).view(len(tilt), AROUND)
    beside = grid.roll(-1, 1)
    walls = [(grid[:-1], beside[:-1], grid[1:]), (beside[:-1], beside[1:], grid[1:])]
    caps = [(torch.full((AROUND,), south), beside[0], grid[0]), (torch.full((AROUND,), north), grid[-1], beside[-1])]
    faces = torch.cat([torch.stack(corners, -1).view(-1, 3) for corners in walls + caps])
    return (
        torch.cat([rings.flatten(0, 1), poles]),
        torch.cat([half.repeat_interleave(AROUND), torch.tensor([0, 1])]),
        faces,
    )


def _surface(
    capsule: Capsule,
    side: str,
    heads: dict[str, Float[Tensor, "3"]],
    size: Float[Tensor, "shape"],
    sphere: Float[Tensor, "point 3"],
    end: Int[Tensor, "point"],
) -> Float[Tensor, "point 3"]:
    """Vertices of a capsule for this shape."""
    left = "left" if side else ""
    start = heads[_named(capsule.start, left)]
    stop = heads[_named(capsule.end, left)]
    centre = torch.stack([torch.lerp(start, stop, share) for share in capsule.between])
    radius = size[SHAPE.index(capsule.grows)] * torch.tensor(capsule.radius)
    across = size[SHAPE.index(capsule.widens)] * torch.tensor(capsule.across or capsule.radius)
    points = centre[end] + sphere * torch.stack([across, radius, radius], 1)[end] @ _axes(capsule)
    return points * _MIRROR if side == "right" else points


def _axes(capsule: Capsule) -> Float[Tensor, "3 3"]:
    """Axes of a capsule of the average body as rows: sideways, along, ahead; of the left one of two."""
    positions = _heads(torch.ones(len(SHAPE)))
    left = "left" if capsule in SIDE else ""
    along = positions[_named(capsule.end, left)] - positions[_named(capsule.start, left)]
    along = along / along.norm()
    sideways = torch.eye(3)[0 if along[0].abs() < 0.5 else 1]
    sideways = torch.nn.functional.normalize(sideways - (sideways @ along) * along, dim=0)
    return torch.stack([sideways, along, torch.linalg.cross(sideways, along)])


def _parts(capsule: Capsule, side: str, sphere: Float[Tensor, "point 3"]) -> Tensor:
    """Body part of each point of a capsule; points of a capsule on the midline belong to their own half."""
    result = []
    for x, _, z in sphere.tolist():
        part = ("face" if z > -_SEAM else "skull") if capsule.part == "head" else capsule.part
        result.append(PARTS.index(f"{side or SIDES[x < -_SEAM]}_{part}"))
    return torch.tensor(result, dtype=torch.uint8)


def _faces(
    capsule: Capsule, side: str, faces: Int[Tensor, "face 3"], sphere: Float[Tensor, "point 3"]
) -> Int[Tensor, "face 3"]:
    """Triangles of a capsule. On the midline they start with the vertex furthest from the cut, which determines their
    part.
    """
    if side == "right":
        faces = faces.flip(1)  # a mirrored triangle faces inwards
    if side:
        return faces
    away = sphere[:, 0].abs() if capsule.part != "head" else sphere[:, [0, 2]].abs().amin(1)
    first = away[faces].argmax(1)
    return faces.gather(1, (first[:, None] + torch.arange(3)) % 3)
