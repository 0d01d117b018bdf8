"""The tree of rigid segments that a person is, at rest in a T-pose, and its forward kinematics.

At rest the body stands upright with straight legs, arms stretched sideways and palms down; x points to its left, y up,
z forward, and so do the local axes of every segment. A rotation is relative to the parent segment, from rest; that of
the pelvis is relative to the axes of the data (of the camera: x right, y down, z forward).

A segment's angles are its flexion, its swing to the side and its twist about its own length, in this order; see
`angles`. Left and right have the same signs. They turn about the axes below, which are given for the left side:

| segment   | length | flexion +                | to the side +     | twist +           |
| --------- | ------ | ------------------------ | ----------------- | ----------------- |
| abdomen, chest, neck, head | +y | about +x: forward | to the left       | to the left       |
| clavicle  | +x     | about -y: protraction    | depression        | front downwards   |
| upper_arm | +x     | about -y: forward        | down, to the body | internal rotation |
| forearm   | +x     | about -y: elbow flexion  | none (hinge)      | pronation         |
| hand      | +x     | about -z: palmar flexion | ulnar deviation   | none              |
| thigh     | -y     | about -x: hip flexion    | adduction         | internal rotation |
| shank     | -y     | about +x: knee flexion   | none (hinge)      | internal rotation |
| foot      | +z     | about -x: dorsiflexion   | toes inwards      | eversion          |
| toes      | +z     | about -x: extension      | none (hinge)      | none              |
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from occlupose.bodies.anny import anny
from occlupose.bodies.body import SEGMENTS, SIDES
from occlupose.bodies.feet import feet
from occlupose.skeletons import BODY26, FEET4, Skeleton

LUMBAR = 0.45
"""Where the abdomen begins, as a share of the way from the pelvis to the spine joint. Ours."""


@dataclass(frozen=True)
class SegmentJoint:
    """How a segment hangs on its parent; of a pair, the left one.

    Attributes:
        parent: segment; with the same side if it has one.
        along: the segment's length at rest.
        flexion: the axis of positive flexion at rest.
        ranges: lowest and highest angle of flexion, to the side, and of twist, degrees. A hinge has an empty range.
    """

    parent: str
    along: tuple[int, int, int]
    flexion: tuple[int, int, int]
    ranges: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


_X = (1, 0, 0)
_Y = (0, 1, 0)
_Z = (0, 0, 1)
_MINUS_X = (-1, 0, 0)
_MINUS_Y = (0, -1, 0)
_MINUS_Z = (0, 0, -1)
_HINGE = (0, 0)

MIDLINE = {
    "abdomen": SegmentJoint("pelvis", _Y, _X, ((-20, 50), (-25, 25), (-30, 30))),
    "chest": SegmentJoint("abdomen", _Y, _X, ((-20, 50), (-25, 25), (-30, 30))),
    "neck": SegmentJoint("chest", _Y, _X, ((-40, 50), (-30, 30), (-45, 45))),
    "head": SegmentJoint("neck", _Y, _X, ((-40, 50), (-30, 30), (-45, 45))),
}
LIMBS = {
    "clavicle": SegmentJoint("chest", _X, _MINUS_Y, ((-40, 40), (-50, 25), (-30, 50))),
    "upper_arm": SegmentJoint("clavicle", _X, _MINUS_Y, ((-60, 140), (-95, 110), (-95, 95))),
    "forearm": SegmentJoint("upper_arm", _X, _MINUS_Y, ((-5, 150), _HINGE, (-170, 20))),
    "hand": SegmentJoint("forearm", _X, _MINUS_Z, ((-75, 85), (-25, 40), _HINGE)),
    "thigh": SegmentJoint("pelvis", _MINUS_Y, _MINUS_X, ((-30, 130), (-60, 35), (-50, 50))),
    "shank": SegmentJoint("thigh", _MINUS_Y, _X, ((-8, 155), _HINGE, (-20, 20))),
    "foot": SegmentJoint("shank", _Z, _MINUS_X, ((-55, 35), (-25, 25), (-35, 25))),
    "toes": SegmentJoint("foot", _Z, _MINUS_X, ((-40, 70), _HINGE, _HINGE)),
}
"""Ranges of motion, rounded outwards since a few degrees more are no error: the American Academy of Orthopaedic
Surgeons' (Joint Motion, 1965) for trunk, neck, hip, knee, ankle, elbow and wrist, with half of trunk and neck in each
of their two segments; Kapandji's (The Physiology of the Joints) for the axial rotation of a bent knee; Inman et al.
(1944) for the clavicle. Those of the upper arm are the Academy's, turned into angles from the T-pose; ours.
"""

_FACE = ("head_top", "nose", *(f"{side}_{part}" for side in SIDES for part in ("eye", "ear")))
BONES = {
    "lumbar": ("pelvis", "pelvis"),
    "spine": ("lumbar", "abdomen"),
    "thorax": ("spine", "chest"),
    "neck_nose": ("thorax", "neck"),
    **dict.fromkeys(_FACE, ("neck_nose", "head")),
}
"""Of each joint but the pelvis: the joint from which a bone leads to it, and the segment that the bone is part of."""
for _side in SIDES:
    BONES |= {
        f"{_side}_shoulder": ("thorax", f"{_side}_clavicle"),
        f"{_side}_elbow": (f"{_side}_shoulder", f"{_side}_upper_arm"),
        f"{_side}_wrist": (f"{_side}_elbow", f"{_side}_forearm"),
        f"{_side}_hand": (f"{_side}_wrist", f"{_side}_hand"),
        f"{_side}_hip": ("pelvis", "pelvis"),
        f"{_side}_knee": (f"{_side}_hip", f"{_side}_thigh"),
        f"{_side}_ankle": (f"{_side}_knee", f"{_side}_shank"),
        f"{_side}_foot": (f"{_side}_ankle", f"{_side}_foot"),
        f"{_side}_heel": (f"{_side}_ankle", f"{_side}_foot"),
        f"{_side}_big_toe": (f"{_side}_foot", f"{_side}_toes"),
    }


def _bare(name: str) -> tuple[str, str]:
    """Side and name without it."""
    side, _, rest = name.partition("_")
    return (side, rest) if side in SIDES else ("", name)


def joint_of(segment: str) -> SegmentJoint:
    """The joint of a segment; the parent has the segment's side, axes are those of the left one."""
    side, name = _bare(segment)
    joint = LIMBS[name] if side else MIDLINE[name]
    if joint.parent not in LIMBS:
        return joint
    return SegmentJoint(f"{side}_{joint.parent}", joint.along, joint.flexion, joint.ranges)


@dataclass(frozen=True, eq=False)
class BodyTree:
    """Segments, the points on them, and their place at rest.

    Attributes:
        segments: names, the pelvis first, parents before children.
        parents: of each segment, by index; -1 for the pelvis.
        points: joints by name, the pelvis first, then the end of each bone.
        start: of each bone, the point from which it leads, by index.
        carrier: of each bone, its segment.
        rest: of each bone, from its start to its end, of an average adult, metres.
        axes: of each segment but the pelvis, the axes of its angles as columns: flexion, to the side, twist. A right
            segment's are mirrored, so that its angles have the left one's signs.
        low, high: range of each angle, radians.
    """

    segments: tuple[str, ...]
    parents: tuple[int, ...]
    points: tuple[str, ...]
    start: tuple[int, ...]
    carrier: Int[Tensor, "bone"]
    rest: Float[Tensor, "bone 3"]
    axes: Float[Tensor, "joint 3 3"]
    low: Float[Tensor, "joint 3"]
    high: Float[Tensor, "joint 3"]

    @property
    def skeleton(self) -> Skeleton:
        """The points, so that `skeletons.convert` gets h36m17, coco17, coco21 and others from them by name."""
        limbs = tuple((self.points[start], end) for start, end in zip(self.start, self.points[1:], strict=True))
        return Skeleton("body_tree", self.points, limbs, root=self.points[0])

    @cached_property
    def reach(self) -> Float[Tensor, "point bone"]:
        """1 where a bone lies on the way from the pelvis to a point."""
        reach = torch.zeros(len(self.points), len(self.start), dtype=torch.float64)
        for bone, start in enumerate(self.start):
            reach[bone + 1] = reach[start]
            reach[bone + 1, bone] = 1
        return reach

    @cached_property
    def carried(self) -> Float[Tensor, "point segment bone"]:
        """1 where a bone of a segment lies on the way from the pelvis to a point."""
        of_segment = torch.nn.functional.one_hot(self.carrier, len(self.segments)).double()
        return self.reach[:, None] * of_segment.T

    def bones(
        self, rotation: Float[Tensor, "time segment 3 3"], offsets: Float[Tensor, "bone 3"]
    ) -> Float[Tensor, "time bone 3"]:
        """Each bone as a vector.

        Arguments:
            rotation: of each segment from rest, not relative to its parent.
            offsets: of each bone at rest, metres.
        """
        return (rotation[:, self.carrier] @ offsets[:, :, None]).squeeze(-1)

    def place(
        self, rotation: Float[Tensor, "time segment 3 3"], offsets: Float[Tensor, "bone 3"]
    ) -> Float[Tensor, "time point 3"]:
        """All points relative to the pelvis, metres; arguments as of `bones`."""
        return self.reach @ self.bones(rotation, offsets)

    def lever_arms(
        self,
        rotation: Float[Tensor, "time segment 3 3"],
        offsets: Float[Tensor, "bone 3"],
        points: Int[Tensor, "point"] | slice = slice(None),
    ) -> Float[Tensor, "time point segment 3"]:
        """The lever arm of each segment on some points: a small rotation vector w of the segment alone, in the axes of
        the data, moves the point by w x lever.
        """
        carried = self.carried[points]
        return (carried.flatten(0, 1) @ self.bones(rotation, offsets)).unflatten(1, carried.shape[:2])

    def to_parent_relative(self, rotation: Float[Tensor, "*any segment 3 3"]) -> Float[Tensor, "*any segment 3 3"]:
        """Rotations relative to the parent; the pelvis keeps its own."""
        relative = rotation[..., self.parents[1:], :, :].mT @ rotation[..., 1:, :, :]
        return torch.cat([rotation[..., :1, :, :], relative], -3)

    def compose(self, relative: Float[Tensor, "*any segment 3 3"]) -> Float[Tensor, "*any segment 3 3"]:
        """The inverse of `to_parent_relative`."""
        rotation = [relative[..., 0, :, :]]
        for segment, parent in enumerate(self.parents[1:], 1):
            rotation.append(rotation[parent] @ relative[..., segment, :, :])
        return torch.stack(rotation, -3)

    def lengthwise(self, segment: str) -> Float[np.ndarray, "3"]:
        """The direction of a segment's length at rest; of the pelvis, up."""
        if segment == self.segments[0]:
            return np.array([0.0, 1, 0])
        along = np.array(joint_of(segment).along, float)
        return along * (-1 if segment.startswith("right") else 1, 1, 1)

    @cached_property
    def rigid(self) -> Bool[Tensor, "bone"]:
        """Bones that share a segment with others, as those of the head: their directions differ between people."""
        alone = torch.bincount(self.carrier, minlength=len(self.segments)) == 1
        return ~alone[self.carrier] & (self.carrier > 0)


@cache
def body_tree() -> BodyTree:
    """The tree of the default body."""
    segments = ("pelvis", *MIDLINE, *(f"{side}_{name}" for side in SIDES for name in LIMBS))
    joints = [joint_of(segment) for segment in segments[1:]]
    points = ("pelvis", *BONES)
    ranges = torch.tensor([joint.ranges for joint in joints], dtype=torch.float64).deg2rad()
    carriers = [segment for _, segment in BONES.values()]
    return BodyTree(
        segments=segments,
        parents=(-1, *(segments.index(joint.parent) for joint in joints)),
        points=points,
        start=tuple(points.index(start) for start, _ in BONES.values()),
        carrier=torch.tensor([segments.index(segment) for segment in carriers]),
        rest=torch.stack([_rest_offset(end) for end in BONES]),
        axes=torch.stack([_axes(segment) for segment in segments[1:]]),
        low=ranges[..., 0],
        high=ranges[..., 1],
    )


def _axes(segment: str) -> Float[Tensor, "3 3"]:
    joint = joint_of(segment)
    flexion = np.array(joint.flexion, float)
    along = np.array(joint.along, float)
    axes = np.stack([flexion, np.cross(along, flexion), along], -1)
    if segment.startswith("right"):  # mirrored, as rotation vectors are
        axes = axes * np.array([[1], [-1], [-1]])
    return torch.from_numpy(axes)


@cache
def _body_at_rest() -> dict[str, Float[np.ndarray, "3"]]:
    """The points of the average default body in its own rest pose, with both sides made equal."""
    body = anny(captured=True)
    posed = body(torch.eye(3).expand(1, len(SEGMENTS), 3, 3), body.neutral[None], torch.zeros(1, 3))
    toes = feet(posed.vertices.numpy())[0]
    places = np.concatenate([posed.joints[0].numpy(), toes]).astype(float)
    mirror = (*BODY26.mirror, *(len(BODY26) + other for other in FEET4.mirror))
    places = (places + places[list(mirror)] * (-1, 1, 1)) / 2
    at = dict(zip((*BODY26.joints, *FEET4.joints), places, strict=True))
    return at | {"lumbar": at["pelvis"] + LUMBAR * (at["spine"] - at["pelvis"])}


def body_bone(end: str) -> Float[np.ndarray, "3"]:
    """A bone of the average default body in its own rest pose, metres."""
    at = _body_at_rest()
    return at[end] - at[BONES[end][0]]


_STRAIGHT = ("elbow", "wrist", "hand", "knee", "ankle")
"""Bones that point exactly along their segment in the T-pose. Others are as in the body's own rest pose."""


def _rest_offset(end: str) -> Float[Tensor, "3"]:
    offset = body_bone(end)
    side, name = _bare(end)
    if name in _STRAIGHT:
        along = np.array(joint_of(BONES[end][1]).along, float)
        offset = np.linalg.norm(offset) * along * (-1 if side == "right" else 1, 1, 1)
    return torch.from_numpy(offset)
