"""The Cylinder Man: which joints a body occludes from the camera by itself.

OANet section 4. The body is ten cylinders between joints. The camera sees each as a rectangle, and a joint behind a
rectangle that it does not belong to is occluded. The paper's camera looks along +z (orthographic); the perspective
camera, and what `OURS` adds to the paper's rules, are ours.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from math import prod

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.errors import OccluposeError
from occlupose.skeletons import Skeleton


@dataclass(frozen=True)
class Cylinder:
    """A body part: its end joints (alternatives in order of preference), its radius in metres, and other joints that
    belong to it.
    """

    start: tuple[str, ...]
    end: tuple[str, ...]
    radius: float
    carries: tuple[str, ...] = ()


NECK = ("thorax", "neck")
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
LIMB_RADIUS = 0.05
HEAD = 0
TORSO = 1

CYLINDERS = (
    Cylinder(NECK, ("head_top", "head", "nose"), 0.10, ("neck_nose", *FACE)),
    Cylinder(NECK, ("pelvis",), 0.0, ("spine",)),
    *(
        Cylinder((f"{side}_{start}",), (f"{side}_{end}",), LIMB_RADIUS)
        for side in ("left", "right")
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    ),
)
"""Head, torso, upper arms, forearms, thighs, shanks (section 4). The torso's radius is the distance from neck to
shoulder.
"""

DEPTH_MARGIN = 0.02
"""Metres that a joint must be behind a part to be occluded. The paper has 0; ours prevents flicker at equal depths."""

FAR_SIDE = 0.03
"""A face joint is occluded if it lies this many metres behind the head's axis, seen from the camera. Ours: the paper
has no face.
"""


@dataclass(frozen=True)
class OcclusionRules:
    """What occludes a joint, where it can differ from the paper.

    Attributes:
        margin: metres that a joint must lie behind a part.
        discs: a part whose rectangle looks shorter than its radius also occludes as a disc of that radius.
        face: the head occludes the far side of the face.
    """

    margin: float = DEPTH_MARGIN
    discs: bool = True
    face: bool = True


PAPER = OcclusionRules(margin=0.0, discs=False, face=False)
OURS = OcclusionRules()

TEMPERATURE = 0.02
"""Metres over which the soft version changes. Ours: the paper's sigmoid has no scale."""

CHUNK_SIZE = 2048
"""Bodies processed together: enough to keep torch busy, few enough to stay in the processor's cache."""

EPSILON = 1e-12
"""Lower limit of squared metres under a root, and of the squared area of a rectangle that can occlude."""

MIN_LENGTH_SQUARED = 1e-6
"""Square metres: lower limit of a part's squared length in divisions of the soft version, for finite gradients."""


def self_occluded(
    joints: Float[Tensor, "*batch joint 3"],
    skeleton: Skeleton,
    *,
    perspective: bool = True,
    rules: OcclusionRules = OURS,
) -> Bool[Tensor, "*batch joint"]:
    """Which joints the body itself occludes from the camera.

    OANet section 4, hard version; exactly the paper's with `perspective=False, rules=PAPER`.

    Arguments:
        joints: metres, camera frame (z forward). A perspective camera is at the origin; an orthographic one looks along
            +z.
        skeleton: names of the joints; needs a neck or thorax, a head, shoulders, elbows, wrists, hips, knees, ankles.
        perspective: ours; False is the paper's orthographic camera.
        rules: PAPER or OURS.

    Returns:
        True where occluded. NaN joints are never occluded and occlude nothing.

    Raises:
        OccluposeError: the skeleton lacks an end of a cylinder.
    """
    index = _index(skeleton)
    bodies = joints.detach().reshape(prod(joints.shape[:-2]), len(skeleton), 3)
    return _occluded(bodies, bodies, index, index.other_parts, index.face, perspective, rules).view(joints.shape[:-1])


def occluded_by(
    joints: Float[Tensor, "*batch joint 3"], other: Float[Tensor, "*batch joint 3"], skeleton: Skeleton
) -> Bool[Tensor, "*batch joint"]:
    """Which joints the body of somebody else occludes from a perspective camera at the origin.

    The parts of the other body occlude as those of `self_occluded` with OURS. Ours: the paper has one person.

    Arguments:
        joints, other: metres, camera frame (z forward).
        skeleton: of both; as for `self_occluded`.

    Returns:
        True where occluded. NaN joints are never occluded and occlude nothing.

    Raises:
        OccluposeError: the skeleton lacks an end of a cylinder.
    """
    index = _index(skeleton)
    bodies = joints.detach().reshape(prod(joints.shape[:-2]), len(skeleton), 3)
    others = other.detach().reshape(bodies.shape)
    all_parts = torch.ones_like(index.other_parts)
    return _occluded(bodies, others, index, all_parts, [], True, OURS).view(joints.shape[:-1])


def visibility(
    joints: Float[Tensor, "*batch joint 3"],
    skeleton: Skeleton,
    *,
    temperature: float = TEMPERATURE,
    perspective: bool = False,
    rules: OcclusionRules = PAPER,
) -> Float[Tensor, "*batch joint"]:
    """Differentiable visibility of each joint: near 1 if nothing is in front of it, near 0 behind another body part.

    OANet section 4: V_P is the product over the parts that the joint does not belong to, with sigmoids in place of both
    tests (inside the rectangle, behind its plane). It tends to `~self_occluded(...)` with the same rules as the
    temperature tends to 0.

    Arguments:
        joints: as for `self_occluded`.
        skeleton: as for `self_occluded`.
        temperature: metres over which a test changes from 0.27 to 0.73, above 0.
        perspective: ours; False is the paper's orthographic camera.
        rules: PAPER or OURS.

    Returns:
        0..1, and 1 for NaN joints. Gradients are finite everywhere, and 0 for NaN joints.

    Raises:
        OccluposeError: the skeleton lacks an end of a cylinder.
    """
    index = _index(skeleton)
    bodies = joints.reshape(prod(joints.shape[:-2]), len(skeleton), 3)
    chunks = bodies.split(CHUNK_SIZE)
    result = torch.cat([_soft_visibility(chunk, index, temperature, perspective, rules).T for chunk in chunks])
    return result.reshape(joints.shape[:-1])


def place_cylinders(
    joints: Float[Tensor, "*batch joint 3"], skeleton: Skeleton
) -> tuple[Float[Tensor, "*batch 10 3"], Float[Tensor, "*batch 10 3"], Float[Tensor, "*batch 10"]]:
    """Start, end and radius (m) of each cylinder, in the order of CYLINDERS."""
    parts = _BodyParts(joints.reshape(prod(joints.shape[:-2]), len(skeleton), 3), _index(skeleton))
    shape = (*joints.shape[:-2], len(CYLINDERS))
    start = parts.start[:, 0].permute(2, 1, 0).reshape(*shape, 3)
    end = (parts.start + parts.axis)[:, 0].permute(2, 1, 0).reshape(*shape, 3)
    return start, end, parts.radius.T.reshape(shape)


def _soft_visibility(
    bodies: Float[Tensor, "body joint 3"],
    index: "_SkeletonIndex",
    temperature: float,
    perspective: bool,
    rules: OcclusionRules,
) -> Float[Tensor, "joint body"]:
    missing = bodies.isnan().any(-1)
    parts = _BodyParts(bodies.masked_fill(missing.unsqueeze(-1), 0.0), index)
    known = _BodyParts(bodies.detach(), index)  # NaN where something is missing
    testable = index.other_parts.to(bodies.device) & ~(known.joint[0] + known.axis[0] + known.radius).isnan()
    rays = _cast_rays(parts.joint, parts.start, parts.axis, perspective)

    def soft(metres: Tensor) -> Tensor:
        return torch.sigmoid(metres / temperature)

    length = rays.length.clamp_min(MIN_LENGTH_SQUARED).sqrt()
    true_length = rays.true_length.clamp_min(MIN_LENGTH_SQUARED)
    along = rays.along / length
    aside = rays.aside / length
    inside = soft(along) * soft(rays.length / length - along) * soft(parts.radius - aside) * soft(parts.radius + aside)
    clear = 1 - inside * soft((rays.plane - rules.margin * rays.length) / (length * true_length.sqrt()))
    if rules.discs:
        squared_distance, behind = rays.nearest()
        distance = squared_distance.clamp_min(MIN_LENGTH_SQUARED).sqrt()
        disc = soft(parts.radius - length) * soft(parts.radius - distance)
        clear = clear * (1 - disc * soft(behind - rules.margin))
    result = clear.masked_fill(~testable, 1.0).prod(1)
    if rules.face and index.face:
        near_side = 1 - soft((rays.plane / true_length)[index.face, HEAD] - FAR_SIDE)
        is_known = ~(known.joint[0, index.face, 0] + known.axis[0, 0, HEAD]).isnan()
        near_side = torch.where(is_known, near_side, 1.0)
        face = torch.tensor(index.face, device=bodies.device)
        result = result.index_copy(0, face, result[index.face] * near_side)
    return result


def _occluded(
    bodies: Float[Tensor, "body joint 3"],
    others: Float[Tensor, "body joint 3"],
    index: "_SkeletonIndex",
    occluding: Bool[Tensor, "joint part 1"],
    face: list[int],
    perspective: bool,
    rules: OcclusionRules,
) -> Bool[Tensor, "body joint"]:
    """Which joints of bodies the parts of others, or of the same, occlude; `occluding` are those that may."""
    result = torch.empty(bodies.shape[:2], dtype=torch.bool, device=bodies.device)
    occluding = occluding.to(bodies.device).expand(-1, -1, min(len(bodies), CHUNK_SIZE)).contiguous()
    chunks = zip(bodies.split(CHUNK_SIZE), others.split(CHUNK_SIZE), result.split(CHUNK_SIZE), strict=True)
    for joints, owners, occluded in chunks:
        parts = _BodyParts(owners, index, joints)
        occluded.copy_(_hard_occlusion(parts, occluding[..., : len(joints)], face, perspective, rules).T)
    return result


def _hard_occlusion(
    parts: "_BodyParts",
    other_parts: Bool[Tensor, "joint part body"],
    face: list[int],
    perspective: bool,
    rules: OcclusionRules,
) -> Bool[Tensor, "joint body"]:
    """Optimised for torch on a CPU: few comparisons, whole masks, bytes instead of booleans."""
    rays = _cast_rays(parts.joint, parts.start, parts.axis, perspective)
    squared_radius = parts.radius**2
    # (radius^2 - distance aside^2) * length - EPSILON
    across = torch.addcmul(squared_radius.new_tensor(-EPSILON), squared_radius, rays.length)
    across = torch.addcmul(across, rays.aside, rays.aside, value=-1)
    inside = torch.minimum(rays.along, rays.length - rays.along).minimum(across)
    occluded = (inside.minimum(torch.sub(rays.plane, rays.length, alpha=rules.margin)) >= 0).contiguous()
    if rules.discs:
        # only for the few pairs whose part looks short
        short = (other_parts & (rays.length < squared_radius)).flatten().nonzero().squeeze(1)
        part = short % squared_radius.numel()
        bodies = squared_radius.shape[1]
        joint = short // squared_radius.numel() * bodies + part % bodies
        pairs = parts.joint.flatten(1)[:, joint], parts.start.flatten(1)[:, part], parts.axis.flatten(1)[:, part]
        squared_distance, behind = _cast_rays(*pairs, perspective).nearest()
        in_disc = (squared_distance <= squared_radius.flatten()[part]) & (behind >= rules.margin)
        occluded.view(-1)[short[in_disc]] = True
    result = occluded.logical_and_(other_parts).view(torch.uint8).amax(1).bool()
    if rules.face and face:
        result[face] |= (rays.plane > FAR_SIDE * rays.true_length)[face, HEAD]
    return result


@dataclass(frozen=True, eq=False)
class _SkeletonIndex:
    """Joint numbers of the Cylinder Man in a skeleton. A missing pelvis is appended as the midpoint of the hips.

    Attributes:
        start, end: joints at the ends of each part.
        shoulder: joint that gives the torso's radius.
        hips: of a skeleton without a pelvis; otherwise empty.
        other_parts: parts that a joint does not belong to, which can occlude it.
        face: joints of the face.
    """

    start: list[int]
    end: list[int]
    shoulder: int
    hips: list[int]
    other_parts: Bool[Tensor, "joint part 1"]
    face: list[int]


@cache
def _index(skeleton: Skeleton) -> _SkeletonIndex:
    numbers = {name: number for number, name in enumerate(skeleton.joints)}
    numbers |= {shared: numbers[own] for shared, own in skeleton.aliases}

    def find(*names: str) -> int:
        for name in names:
            if name in numbers:
                return numbers[name]
        raise OccluposeError(f"skeleton {skeleton.name}: no {' or '.join(names)}; the Cylinder Man needs one")

    hips = [] if "pelvis" in numbers else [find("left_hip"), find("right_hip")]
    if hips:
        numbers["pelvis"] = len(skeleton)
    ends = [(find(*part.start), find(*part.end)) for part in CYLINDERS]
    owned = [
        {*pair, *(numbers[name] for name in part.carries if name in numbers)}
        for part, pair in zip(CYLINDERS, ends, strict=True)
    ]
    return _SkeletonIndex(
        start=[start for start, _ in ends],
        end=[end for _, end in ends],
        shoulder=find("left_shoulder"),
        hips=hips,
        other_parts=torch.tensor([[joint not in own for own in owned] for joint in range(len(skeleton))]).unsqueeze(-1),
        face=[numbers[name] for name in FACE if name in numbers],
    )


class _BodyParts:
    """Joints and parts, with coordinates first and bodies last, so that operations on many bodies run over contiguous
    memory. The joints are those of the same bodies, or of others.
    """

    def __init__(
        self,
        bodies: Float[Tensor, "body joint 3"],
        index: _SkeletonIndex,
        joints: Float[Tensor, "body joint 3"] | None = None,
    ) -> None:
        points = bodies.permute(2, 1, 0).contiguous()
        seen = points if joints is None or joints is bodies else joints.permute(2, 1, 0).contiguous()
        self.joint: Float[Tensor, "3 joint 1 body"] = seen.unsqueeze(2)
        if index.hips:
            points = torch.cat([points, points[:, index.hips].mean(1, keepdim=True)], 1)
        self.start: Float[Tensor, "3 1 part body"] = points[:, index.start].unsqueeze(1)
        self.axis: Float[Tensor, "3 1 part body"] = points[:, index.end].unsqueeze(1) - self.start
        radius = bodies.new_tensor([part.radius for part in CYLINDERS]).unsqueeze(-1).expand(-1, len(bodies))
        neck_to_shoulder = points[:, [index.shoulder]] - self.start[:, 0, [TORSO]]
        torso = _dot(neck_to_shoulder, neck_to_shoulder).clamp_min(EPSILON).sqrt()
        self.radius: Float[Tensor, "part body"] = torch.cat([radius[:TORSO], torso, radius[TORSO + 1 :]])


@dataclass(frozen=True, eq=False)
class _Rays:
    """Rays from the camera to joints, relative to body parts.

    Attributes:
        joint, start: positions of the joint and of the part's start (m).
        view: unit direction of the ray.
        along: distance of the joint from the part's start along the part, as seen by the camera (m), times the square
            root of `length`.
        aside: signed distance of the joint from the part's axis, as seen by the camera (m), times the same.
        depth: how much further away the joint is than the part's start (m).
        tilt: how much further away the part's end is than its start (m).
        length: squared length of the part as seen by the camera (m2).
    """

    joint: Float[Tensor, "3 *pairs"]
    start: Float[Tensor, "3 *pairs"]
    view: Float[Tensor, "3 *pairs"]
    along: Float[Tensor, "*pairs"]
    aside: Float[Tensor, "*pairs"]
    depth: Float[Tensor, "*pairs"]
    tilt: Float[Tensor, "*pairs"]
    length: Float[Tensor, "*pairs"]

    @cached_property
    def plane(self) -> Float[Tensor, "*pairs"]:
        """How much further away the joint is than the plane of the part's rectangle (m), times `length`."""
        return torch.addcmul(self.depth * self.length, self.along, self.tilt, value=-1)

    @property
    def true_length(self) -> Float[Tensor, "*pairs"]:
        """Squared length of the part in space (m2)."""
        return self.length + self.tilt**2

    def nearest(self) -> tuple[Float[Tensor, "*pairs"], Float[Tensor, "*pairs"]]:
        """Squared distance of the joint from the nearest point of the part's axis, as seen by the camera (m2), and how
        much further away than that point the joint is (m).
        """
        fraction = (self.along / self.length.clamp_min(MIN_LENGTH_SQUARED)).clamp(0, 1)
        across = self.joint - self.start - self.depth * self.view
        squared_distance = _dot(across, across) - 2 * fraction * self.along + fraction**2 * self.length
        return squared_distance, self.depth - fraction * self.tilt


def _cast_rays(
    joint: Float[Tensor, "3 *pairs"],
    start: Float[Tensor, "3 *pairs"],
    axis: Float[Tensor, "3 *pairs"],
    perspective: bool,
) -> _Rays:
    """The rays to joints: all along +z with the paper's camera, from the origin in perspective."""
    if not perspective:
        x, y, z = joint
        view = joint.new_tensor([0.0, 0.0, 1.0]).view(3, *[1] * (joint.ndim - 1))
        along = torch.addcmul(torch.addcmul(-_dot(start[:2], axis[:2]), x, axis[0]), y, axis[1])
        aside = torch.addcmul(torch.addcmul(start[1] * axis[0] - start[0] * axis[1], x, axis[1]), y, axis[0], value=-1)
        return _Rays(joint, start, view, along, aside, z - start[2], axis[2], _dot(axis[:2], axis[:2]))
    distance = _dot(joint, joint).clamp_min(EPSILON).sqrt()
    view = joint / distance
    tilt = _dot(view, axis)
    away = _dot(view, start)
    # the origin and the joint lie on the ray, so that joint - start is -start across the ray
    along = torch.addcmul(-_dot(start, axis), away, tilt)
    aside = _dot(view, torch.linalg.cross(axis, start, dim=0))
    length = torch.addcmul(_dot(axis, axis), tilt, tilt, value=-1)
    return _Rays(joint, start, view, along, aside, distance - away, tilt, length)


def _dot(one: Float[Tensor, "d *one"], other: Float[Tensor, "d *other"]) -> Float[Tensor, "*both"]:
    """Inner product along the first dimension, where torch's own reductions are slow."""
    result = one[0] * other[0]
    for a, b in zip(one[1:], other[1:], strict=True):
        result = torch.addcmul(result, a, b)
    return result
