"""The Cylinder Man: which joints a body hides from the camera by itself.

OANet section 4. The body is ten cylinders between its joints; seen from the camera each is a rectangle, and a joint
behind a rectangle that does not belong to it is hidden. The paper looks along +z (orthographic). The perspective
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
    """A body part: its two end joints (alternatives in order of preference), its radius in metres, and further joints
    that it carries.
    """

    start: tuple[str, ...]
    end: tuple[str, ...]
    radius: float
    carries: tuple[str, ...] = ()


NECK = ("thorax", "neck")
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
LIMB = 0.05
HEAD = 0
TORSO = 1

CYLINDERS = (
    Cylinder(NECK, ("head_top", "head", "nose"), 0.10, ("neck_nose", *FACE)),
    Cylinder(NECK, ("pelvis",), 0.0, ("spine",)),
    *(
        Cylinder((f"{side}_{start}",), (f"{side}_{end}",), LIMB)
        for side in ("left", "right")
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    ),
)
"""Head, torso, upper arms, forearms, thighs, shanks (section 4). The torso's radius is the distance from neck to
shoulder.
"""

MARGIN = 0.02
"""A joint is behind a part when it is this many metres further from the camera (paper: 0; ours, against flicker at
equal depth).
"""

FAR_SIDE = 0.03
"""A face joint is hidden when it lies this many metres behind the head's axis as the camera sees it. Ours: the paper
has no face.
"""


@dataclass(frozen=True)
class Rules:
    """What hides a joint, where one may differ from the paper."""

    margin: float = MARGIN
    """Metres that a joint must be further away than the part before it."""
    discs: bool = True
    """A part that looks shorter than its radius hides as a disc of that radius as well; its rectangle has almost
    vanished.
    """
    face: bool = True
    """The head hides its own far side."""


PAPER = Rules(margin=0.0, discs=False, face=False)
OURS = Rules()

TEMPERATURE = 0.02
"""Metres over which the soft version fades. Ours: the paper prints a sigmoid without a scale."""

CHUNK = 2048
"""Bodies that are looked at together: so many that torch is busy, so few that they stay in the processor's cache."""

TINY = 1e-12
"""What is less counts as nothing: squared metres under a root, and the squared area of a rectangle that can hide
something.
"""

SHORTEST = 1e-6
"""Squared metres: shorter parts count as this long where the soft version divides by their length, so that its
gradients are finite.
"""


def hidden(
    joints: Float[Tensor, "*batch joint 3"], skeleton: Skeleton, *, perspective: bool = True, rules: Rules = OURS
) -> Bool[Tensor, "*batch joint"]:
    """Which joints the body hides from the camera by itself.

    OANet section 4, hard version; with `perspective=False, rules=PAPER` exactly the paper's.

    Arguments:
        joints: metres, camera frame (z forward); a perspective camera stands at the origin, an orthographic one looks
            along +z.
        skeleton: names of the joints; needs a neck or thorax, a head, shoulders, elbows, wrists, hips, knees, ankles.
        perspective: ours; False is the paper's orthographic camera.
        rules: PAPER or OURS.

    Returns:
        True where hidden. NaN joints are never hidden and hide nothing.

    Raises:
        OccluposeError: the skeleton lacks an end of a cylinder.
    """
    plan = _plan(skeleton)
    bodies = joints.detach().reshape(prod(joints.shape[:-2]), len(skeleton), 3)
    result = torch.empty(bodies.shape[:2], dtype=torch.bool, device=joints.device)
    free = plan.free.to(joints.device).expand(-1, -1, min(len(bodies), CHUNK)).contiguous()
    for chunk, answer in zip(bodies.split(CHUNK), result.split(CHUNK), strict=True):
        answer.copy_(_hidden(_Bodies(chunk, plan), free[..., : len(chunk)], plan.face, perspective, rules).T)
    return result.view(joints.shape[:-1])


def visibility(
    joints: Float[Tensor, "*batch joint 3"],
    skeleton: Skeleton,
    *,
    temperature: float = TEMPERATURE,
    perspective: bool = False,
    rules: Rules = PAPER,
) -> Float[Tensor, "*batch joint"]:
    """How far each joint is visible, differentiably: near 1 in the open, near 0 behind another part of the body.

    OANet section 4: V_P is the product over the parts that are not the joint's own, with sigmoids in place of both
    tests (inside the rectangle, behind its plane). It tends to `~hidden(...)` under the same rules as the temperature
    tends to 0.

    Arguments:
        joints: as `hidden` takes them.
        skeleton: likewise.
        temperature: metres over which a test fades from 0.27 to 0.73, above 0.
        perspective: ours; False is the paper's orthographic camera.
        rules: PAPER or OURS.

    Returns:
        0..1, 1 for NaN joints. Its gradients are finite everywhere, and 0 for NaN joints.

    Raises:
        OccluposeError: the skeleton lacks an end of a cylinder.
    """
    plan = _plan(skeleton)
    bodies = joints.reshape(prod(joints.shape[:-2]), len(skeleton), 3)
    result = torch.cat([_visible(chunk, plan, temperature, perspective, rules).T for chunk in bodies.split(CHUNK)])
    return result.reshape(joints.shape[:-1])


def shapes(
    joints: Float[Tensor, "*batch joint 3"], skeleton: Skeleton
) -> tuple[Float[Tensor, "*batch 10 3"], Float[Tensor, "*batch 10 3"], Float[Tensor, "*batch 10"]]:
    """The cylinders themselves, in the order of CYLINDERS: where they begin, where they end, and their radii (m)."""
    bodies = _Bodies(joints.reshape(prod(joints.shape[:-2]), len(skeleton), 3), _plan(skeleton))
    shape = (*joints.shape[:-2], len(CYLINDERS))
    start, end = (
        value[:, 0].permute(2, 1, 0).reshape(*shape, 3) for value in (bodies.start, bodies.start + bodies.axis)
    )
    return start, end, bodies.radius.T.reshape(shape)


def _visible(
    flat: Float[Tensor, "body joint 3"], plan: "_Plan", temperature: float, perspective: bool, rules: Rules
) -> Float[Tensor, "joint body"]:
    missing = flat.isnan().any(-1)
    bodies = _Bodies(flat.masked_fill(missing.unsqueeze(-1), 0.0), plan)
    known = _Bodies(flat.detach(), plan)  # NaN where something is missing
    pairs = plan.free.to(flat.device) & ~(known.joint[0] + known.axis[0] + known.radius).isnan()
    see = _look(bodies.joint, bodies.start, bodies.axis, perspective)

    def soft(metres: Tensor) -> Tensor:
        return torch.sigmoid(metres / temperature)

    length = see.length.clamp_min(SHORTEST).sqrt()
    whole = see.whole.clamp_min(SHORTEST)
    along = see.along / length
    aside = see.aside / length
    inside = soft(along) * soft(see.length / length - along) * soft(bodies.radius - aside) * soft(bodies.radius + aside)
    clear = 1 - inside * soft((see.plane - rules.margin * see.length) / (length * whole.sqrt()))
    if rules.discs:
        off, further = see.nearest()
        round_ = soft(bodies.radius - length) * soft(bodies.radius - off.clamp_min(SHORTEST).sqrt())
        clear = clear * (1 - round_ * soft(further - rules.margin))
    result = clear.masked_fill(~pairs, 1.0).prod(1)
    if rules.face and plan.face:
        near = 1 - soft((see.plane / whole)[plan.face, HEAD] - FAR_SIDE)
        of_known = ~(known.joint[0, plan.face, 0] + known.axis[0, 0, HEAD]).isnan()
        near = torch.where(of_known, near, 1.0)
        result = result.index_copy(0, torch.tensor(plan.face, device=flat.device), result[plan.face] * near)
    return result


def _hidden(
    bodies: "_Bodies", free: Bool[Tensor, "joint part body"], face: list[int], perspective: bool, rules: Rules
) -> Bool[Tensor, "joint body"]:
    """Shaped after what torch does quickly on a processor: few comparisons, whole masks, bytes instead of truth
    values.
    """
    see = _look(bodies.joint, bodies.start, bodies.axis, perspective)
    reach = bodies.radius**2
    across = torch.addcmul(torch.addcmul(reach.new_tensor(-TINY), reach, see.length), see.aside, see.aside, value=-1)
    inside = torch.minimum(see.along, see.length - see.along).minimum(across)
    behind = (inside.minimum(torch.sub(see.plane, see.length, alpha=rules.margin)) >= 0).contiguous()
    if rules.discs:
        # few, so that they are looked at one by one
        short = (free & (see.length < reach)).flatten().nonzero().squeeze(1)
        part = short % reach.numel()
        joint = short // reach.numel() * reach.shape[1] + part % reach.shape[1]
        pairs = bodies.joint.flatten(1)[:, joint], bodies.start.flatten(1)[:, part], bodies.axis.flatten(1)[:, part]
        off, further = _look(*pairs, perspective).nearest()
        behind.view(-1)[short[(off <= reach.flatten()[part]) & (further >= rules.margin)]] = True
    result = behind.logical_and_(free).view(torch.uint8).amax(1).bool()
    if rules.face and face:
        result[face] |= (see.plane > FAR_SIDE * see.whole)[face, HEAD]
    return result


@dataclass(frozen=True, eq=False)
class _Plan:
    """Where a skeleton has what the Cylinder Man needs; a pelvis that it lacks comes after its joints, as the middle of
    the hips.
    """

    start: list[int]
    end: list[int]
    shoulder: int
    hips: list[int]
    """Of a skeleton without a pelvis; else none."""
    free: Bool[Tensor, "joint part 1"]
    """Which parts may hide which joints: those that are not their own."""
    face: list[int]


@cache
def _plan(skeleton: Skeleton) -> _Plan:
    places = {name: place for place, name in enumerate(skeleton.joints)}
    places |= {shared: places[own] for shared, own in skeleton.aliases}

    def find(*choice: str) -> int:
        for name in choice:
            if name in places:
                return places[name]
        raise OccluposeError(f"skeleton {skeleton.name}: no {' or '.join(choice)}; the Cylinder Man needs one")

    hips = [] if "pelvis" in places else [find("left_hip"), find("right_hip")]
    if hips:
        places["pelvis"] = len(skeleton)
    ends = [(find(*part.start), find(*part.end)) for part in CYLINDERS]
    owned = [
        {*pair, *(places[name] for name in part.carries if name in places)}
        for part, pair in zip(CYLINDERS, ends, strict=True)
    ]
    return _Plan(
        start=[start for start, _ in ends],
        end=[end for _, end in ends],
        shoulder=find("left_shoulder"),
        hips=hips,
        free=torch.tensor([[joint not in own for own in owned] for joint in range(len(skeleton))]).unsqueeze(-1),
        face=[places[name] for name in FACE if name in places],
    )


class _Bodies:
    """Joints and parts with the coordinates first and the bodies last: what is treated alike lies together in memory,
    which is quick.
    """

    def __init__(self, bodies: Float[Tensor, "body joint 3"], plan: _Plan) -> None:
        points = bodies.permute(2, 1, 0).contiguous()
        self.joint: Float[Tensor, "3 joint 1 body"] = points.unsqueeze(2)
        if plan.hips:
            points = torch.cat([points, points[:, plan.hips].mean(1, keepdim=True)], 1)
        self.start: Float[Tensor, "3 1 part body"] = points[:, plan.start].unsqueeze(1)
        self.axis: Float[Tensor, "3 1 part body"] = points[:, plan.end].unsqueeze(1) - self.start
        radius = bodies.new_tensor([part.radius for part in CYLINDERS]).unsqueeze(-1).expand(-1, len(bodies))
        torso = _dot(*2 * (points[:, [plan.shoulder]] - self.start[:, 0, [TORSO]],)).clamp_min(TINY).sqrt()
        self.radius: Float[Tensor, "part body"] = torch.cat([radius[:TORSO], torso, radius[TORSO + 1 :]])


@dataclass(frozen=True, eq=False)
class _Sights:
    """How lines of sight to joints pass parts, in the plane across each line."""

    joint: Float[Tensor, "3 *pairs"]
    start: Float[Tensor, "3 *pairs"]
    view: Float[Tensor, "3 *pairs"]
    """The direction of sight, of length 1."""
    along: Float[Tensor, "*pairs"]
    """How far the joint is from the part's start along the part as seen (m), times the root of `length`."""
    aside: Float[Tensor, "*pairs"]
    """How far the joint is from the part's axis as seen (m, either way), times the root of `length`."""
    depth: Float[Tensor, "*pairs"]
    """How much further away the joint is than the part's start (m)."""
    tilt: Float[Tensor, "*pairs"]
    """How much further away the part's end is than its start (m)."""
    length: Float[Tensor, "*pairs"]
    """How long the part is as seen, squared (m2)."""

    @cached_property
    def plane(self) -> Float[Tensor, "*pairs"]:
        """How much further away the joint is than the plane of the part's rectangle (m), times `length`."""
        return torch.addcmul(self.depth * self.length, self.along, self.tilt, value=-1)

    @property
    def whole(self) -> Float[Tensor, "*pairs"]:
        """How long the part is, squared (m2)."""
        return self.length + self.tilt**2

    def nearest(self) -> tuple[Float[Tensor, "*pairs"], Float[Tensor, "*pairs"]]:
        """From the point of the part's axis that looks nearest to the joint: how far off (m2, squared), and how much
        further away (m).
        """
        share = (self.along / self.length.clamp_min(SHORTEST)).clamp(0, 1)
        across = self.joint - self.start - self.depth * self.view
        return _dot(across, across) - 2 * share * self.along + share**2 * self.length, self.depth - share * self.tilt


def _look(
    joint: Float[Tensor, "3 *pairs"],
    start: Float[Tensor, "3 *pairs"],
    axis: Float[Tensor, "3 *pairs"],
    perspective: bool,
) -> _Sights:
    """The paper's camera looks along +z. In perspective each joint has a line of sight of its own, from the origin."""
    if not perspective:
        x, y, z = joint
        view = joint.new_tensor([0.0, 0.0, 1.0]).view(3, *[1] * (joint.ndim - 1))
        along = torch.addcmul(torch.addcmul(-_dot(start[:2], axis[:2]), x, axis[0]), y, axis[1])
        aside = torch.addcmul(torch.addcmul(start[1] * axis[0] - start[0] * axis[1], x, axis[1]), y, axis[0], value=-1)
        return _Sights(joint, start, view, along, aside, z - start[2], axis[2], _dot(axis[:2], axis[:2]))
    distance = _dot(joint, joint).clamp_min(TINY).sqrt()
    view = joint / distance
    tilt = _dot(view, axis)
    away = _dot(view, start)
    # (joint - start) across the view, which passes the joint and the origin
    along = torch.addcmul(-_dot(start, axis), away, tilt)
    aside = _dot(view, torch.linalg.cross(axis, start, dim=0))
    return _Sights(
        joint, start, view, along, aside, distance - away, tilt, torch.addcmul(_dot(axis, axis), tilt, tilt, value=-1)
    )


def _dot(one: Float[Tensor, "d *one"], other: Float[Tensor, "d *other"]) -> Float[Tensor, "*both"]:
    """Inner product along the first dimension, which torch's own reductions are slow along."""
    result = one[0] * other[0]
    for a, b in zip(one[1:], other[1:], strict=True):
        result = torch.addcmul(result, a, b)
    return result
