"""A body of capsules after the Cylinder Man (OANet, section 4): quick, closed, nobody's likeness and nobody's licence.

The limbs have OANet's 0.05 m on average and the head its 0.10 m; the trunk reaches from shoulder to shoulder as OANet's
does. That limbs taper, that trunk and head are flattened, the proportions (an adult of 1.75 m) and the shape numbers
are ours.
"""

from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from occlupose.bodies.body import PARTS, SIDES, Drive, Skinned
from occlupose.skeletons import BODY26

SHAPE = ("trunk", "shoulders", "hips", "head", "upper_arm", "forearm", "hand", "thigh", "shank", "foot", "girth")
"""What a shape says: how long (shoulders and hips: how wide, head: neck and head) a piece is, and how thick all are, 1
as the average.
"""

LOW = 0.75
HIGH = 1.3


class Bone(NamedTuple):
    """Where a bone begins: metres from the beginning of its parent, times a number of the shape; and what turns it."""

    parent: str
    number: str
    offset: tuple[float, float, float]
    drive: Drive


_NECK = Drive("chest", "head", 0.5)
_HEAD = Drive("head")

_MIDDLE = {
    "pelvis": Bone("", "trunk", (0, 0, 0), Drive("pelvis")),
    "spine": Bone("pelvis", "trunk", (0, 0.27, 0), Drive("chest")),
    "thorax": Bone("spine", "trunk", (0, 0.30, 0), _NECK),
    "neck_nose": Bone("thorax", "head", (0, 0.10, 0.02), _HEAD),
    "head_top": Bone("neck_nose", "head", (0, 0.16, 0.01), _HEAD),
    "nose": Bone("neck_nose", "head", (0, 0.02, 0.10), _HEAD),
}
_LEFT = {
    "eye": Bone("neck_nose", "head", (0.03, 0.05, 0.09), _HEAD),
    "ear": Bone("neck_nose", "head", (0.075, 0.04, 0), _HEAD),
    "clavicle": Bone("thorax", "shoulders", (0, 0, 0), Drive("clavicle")),
    "shoulder": Bone("clavicle", "shoulders", (0.17, -0.06, 0), Drive("upper_arm")),
    "elbow": Bone("shoulder", "upper_arm", (0.27, 0, 0), Drive("forearm")),
    "wrist": Bone("elbow", "forearm", (0.243, 0, 0.03), Drive("hand")),
    "hand": Bone("wrist", "hand", (0.085, 0, 0.01), Drive("hand")),
    "hip": Bone("pelvis", "hips", (0.095, 0, 0), Drive("thigh")),
    "knee": Bone("hip", "thigh", (0, -0.42, 0), Drive("shank")),
    "ankle": Bone("knee", "shank", (0, -0.42, 0), Drive("foot")),
    "foot": Bone("ankle", "foot", (0, -0.04, 0.15), Drive("foot")),
}
"""A bone begins at every joint and bears its name, so that the joints are the beginnings of the bones; and two
clavicles. The arms are stretched out sideways, the elbows a little bent, which tells about which axis they bend."""


class Capsule(NamedTuple):
    """A piece of the surface: two half ellipsoids and what joins them, rigid with the bone that it starts at.

    Attributes:
        part: of PARTS without the side; `head` is a face in front and a skull behind.
        start, end: bones between whose beginnings it lies.
        radius: at both ends, metres, times the number `grows` of the shape.
        across: the same sideways, where it is not round, times the number `widens`.
        between: where the centres of its ends are, as shares of the way.
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
"""Of either side; built on the left and mirrored."""

AROUND = 16
CAP = 4
"""Vertices around a capsule, a multiple of 4 so that some lie on the midline; and rings on each cap, the widest
included.
"""

_SEAM = 1e-5
"""Points that are nearer to a cut lie on it and count as left and front."""

_MIRROR = torch.tensor([-1.0, 1, 1])


@cache
def cylinders() -> Skinned:
    """The body of capsules. Its joints are exactly the ends of its bones."""
    bones = [*_MIDDLE, *(f"{side}_{name}" for side in SIDES for name in _LEFT)]
    own = _both()
    pieces = [(capsule, "") for capsule in MIDDLE] + [(capsule, side) for side in SIDES for capsule in SIDE]
    ball, end, faces = _ball()
    count = len(ball)
    neutral = torch.ones(len(SHAPE))
    weights = torch.zeros(len(pieces) * count, len(bones))
    for place, (capsule, side) in enumerate(pieces):
        weights[place * count : (place + 1) * count, bones.index(_named(capsule.start, side))] = 1
    head_regressor = torch.zeros(len(BODY26), len(bones))
    head_regressor[range(len(BODY26)), [bones.index(joint) for joint in BODY26.joints]] = 1

    def heads(size: Float[Tensor, "shape"]) -> Float[Tensor, "bone 3"]:
        places = _places(size)
        return torch.stack([places[name] for name in bones])

    def surface(size: Float[Tensor, "shape"]) -> Float[Tensor, "vertex 3"]:
        places = _places(size)
        return torch.cat([_surface(capsule, side, places, size, ball, end) for capsule, side in pieces])

    return Skinned(
        name="cylinders",
        parents=tuple(bones.index(own[name].parent) if own[name].parent else -1 for name in bones),
        drives=tuple(own[name].drive for name in bones),
        template=surface(neutral),
        directions=torch.stack([surface(one) for one in torch.eye(len(SHAPE))]),  # the surface is linear in the shape
        heads=heads(neutral),
        head_directions=torch.stack([heads(one) for one in torch.eye(len(SHAPE))]),
        weights=weights,
        faces=torch.cat(
            [_faces(capsule, side, faces, ball) + place * count for place, (capsule, side) in enumerate(pieces)]
        ),
        part=torch.cat([_parts(capsule, side, ball) for capsule, side in pieces]),
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


def _both() -> dict[str, Bone]:
    """The bones of the middle and of both sides, under their names."""
    bones = dict(_MIDDLE)
    for side, sign in zip(SIDES, (1, -1), strict=True):
        for name, bone in _LEFT.items():
            x, y, z = bone.offset
            drive = bone.drive if bone.drive == _HEAD else Drive(f"{side}_{bone.drive.segment}")
            bones[f"{side}_{name}"] = Bone(_named(bone.parent, side), bone.number, (sign * x, y, z), drive)
    return bones


def _places(size: Float[Tensor, "shape"]) -> dict[str, Float[Tensor, "3"]]:
    """Where the bones begin, of a body with these numbers."""
    places = {"": torch.zeros(3)}
    for name, bone in _both().items():
        places[name] = places[bone.parent] + size[SHAPE.index(bone.number)] * torch.tensor(bone.offset)
    return places


def _ball() -> tuple[Float[Tensor, "point 3"], Int[Tensor, "point"], Int[Tensor, "face 3"]]:
    """A ball that is cut in two at its equator: its points (sideways, along, ahead), which half each belongs to, and
    its triangles.

    Pulled apart along the second axis it is a capsule. The triangles look outwards.
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
    places: dict[str, Float[Tensor, "3"]],
    size: Float[Tensor, "shape"],
    ball: Float[Tensor, "point 3"],
    end: Int[Tensor, "point"],
) -> Float[Tensor, "point 3"]:
    """The vertices of a capsule, of a body with these numbers."""
    start, stop = (places[_named(name, "left" if side else "")] for name in (capsule.start, capsule.end))
    centre = torch.stack([torch.lerp(start, stop, share) for share in capsule.between])
    radius = size[SHAPE.index(capsule.grows)] * torch.tensor(capsule.radius)
    across = size[SHAPE.index(capsule.widens)] * torch.tensor(capsule.across or capsule.radius)
    points = centre[end] + ball * torch.stack([across, radius, radius], 1)[end] @ _axes(capsule)
    return points * _MIRROR if side == "right" else points


def _axes(capsule: Capsule) -> Float[Tensor, "3 3"]:
    """Rows: sideways, along, ahead of a capsule of the average body; of the left where there are two."""
    places = _places(torch.ones(len(SHAPE)))
    left = "left" if capsule in SIDE else ""
    along = places[_named(capsule.end, left)] - places[_named(capsule.start, left)]
    along = along / along.norm()
    sideways = torch.eye(3)[0 if along[0].abs() < 0.5 else 1]
    sideways = torch.nn.functional.normalize(sideways - (sideways @ along) * along, dim=0)
    return torch.stack([sideways, along, torch.linalg.cross(sideways, along)])


def _parts(capsule: Capsule, side: str, ball: Float[Tensor, "point 3"]) -> Tensor:
    """Which of PARTS the points of a capsule are of: of their own half, where it is cut."""
    result = []
    for x, _, z in ball.tolist():
        part = ("face" if z > -_SEAM else "skull") if capsule.part == "head" else capsule.part
        result.append(PARTS.index(f"{side or SIDES[x < -_SEAM]}_{part}"))
    return torch.tensor(result, dtype=torch.uint8)


def _faces(
    capsule: Capsule, side: str, faces: Int[Tensor, "face 3"], ball: Float[Tensor, "point 3"]
) -> Int[Tensor, "face 3"]:
    """The triangles of a capsule. Where it is cut they begin with the corner that is furthest from the cut, which tells
    their part.
    """
    if side == "right":
        faces = faces.flip(1)  # a mirrored triangle looks inwards
    if side:
        return faces
    away = ball[:, 0].abs() if capsule.part != "head" else ball[:, [0, 2]].abs().amin(1)
    first = away[faces].argmax(1)
    return faces.gather(1, (first[:, None] + torch.arange(3)) % 3)
