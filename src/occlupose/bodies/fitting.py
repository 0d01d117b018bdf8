"""From joints to a body: which way its segments are turned, where it stands, and how it is built.

`skeleton2pose` is analytic, after HybrIK (Li et al., 2021): what has three or more joints is turned by a rigid fit, a
limb swings the shortest way from its parent, and a twist about the limb, which joints do not show, comes from the hinge
that it bends in or is given. `fit` then moves all segments together until the joints are met, by damped Gauss-Newton
steps (ours).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.bodies.body import SEGMENTS, SIDES, Skinned, square
from occlupose.skeletons import BODY26


class Limb(NamedTuple):
    """A segment between two joints, the segment that it swings from, and the joint that its bend is seen by, if any."""

    segment: str
    start: str
    end: str
    parent: str
    bend: str = ""


LIMBS = tuple(
    Limb(
        f"{side}_{segment}",
        start if start == "thorax" else f"{side}_{start}",
        f"{side}_{end}",
        parent if parent in SEGMENTS else f"{side}_{parent}",
        bend and f"{side}_{bend}",
    )
    for side in SIDES
    for segment, start, end, parent, bend in (
        ("clavicle", "thorax", "shoulder", "chest", ""),
        ("upper_arm", "shoulder", "elbow", "chest", "wrist"),
        ("forearm", "elbow", "wrist", "upper_arm", ""),
        ("hand", "wrist", "hand", "forearm", ""),
        ("thigh", "hip", "knee", "pelvis", "ankle"),
        ("shank", "knee", "ankle", "thigh", ""),
        ("foot", "ankle", "foot", "shank", ""),
    )
)

TWISTED = tuple(
    limb.segment for limb in LIMBS if limb.segment.split("_", 1)[1] in ("upper_arm", "forearm", "thigh", "shank")
)
"""The limbs whose twist may be given."""

RIGID = {
    "trunk": ("pelvis", ("left_hip", "right_hip", "spine", "thorax", "left_shoulder", "right_shoulder"), ""),
    "pelvis": ("pelvis", ("left_hip", "right_hip", "spine"), "trunk"),
    "chest": ("thorax", ("left_shoulder", "right_shoulder", "spine"), "pelvis"),
    "head": ("neck_nose", ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top"), "chest"),
}
"""What is turned by a rigid fit: about which joint, by which others, and what it turns with where these do not tell.

The trunk is no segment: it tells which way up a body is whose spine is unknown."""

PRIOR = 1e-3
"""Square metres by which a rigid fit leans on the parent's rotation."""

BENT = 0.35
"""Sine of the bend above which a limb's hinge is believed, half of it at half the sine; ours."""


def skeleton2pose(
    joints: Float[Tensor, "batch 26 3"],
    body: Skinned,
    shape: Float[Tensor, "batch shape"],
    twist: Float[Tensor, "batch 8"] | None = None,
) -> Float[Tensor, "batch 17 3 3"]:
    """How the segments are turned whose joints these are (swing and twist, HybrIK section 3.2).

    Arguments:
        joints: metres, any axes in which y is up or down alike for everybody; NaN where unknown.
        body: whose rest pose the rotations are from.
        shape: how it is built.
        twist: radians about each of TWISTED, from the shortest swing; None takes it from the hinges of elbows and
            knees.
    """
    rest = body.rest(shape)
    turn: dict[str, Tensor] = {}
    for segment, (centre, around, carrier) in RIGID.items():
        prior = turn[carrier] if carrier else torch.eye(3).expand(len(joints), 3, 3)
        turn[segment] = _rigid(_from(rest, centre, around), _from(joints, centre, around), prior)
    for limb in LIMBS:
        parent = turn[limb.parent]
        before = torch.einsum("bij,bj->bi", parent, _from(rest, limb.start, (limb.end,))[:, 0])
        now = _from(joints, limb.start, (limb.end,))[:, 0]
        swung = swing(before, torch.where(now.isnan(), before, now)) @ parent
        if twist is not None and limb.segment in TWISTED:
            swung = about(now, twist[:, TWISTED.index(limb.segment)]) @ swung
        elif limb.bend:
            swung = about(now, _hinge(rest, joints, limb, swung)) @ swung
        turn[limb.segment] = swung
    return torch.stack([turn[segment] for segment in SEGMENTS], 1)


def swing(one: Float[Tensor, "batch 3"], other: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """The shortest rotation from one direction to another."""
    one = torch.nn.functional.normalize(one, dim=-1)
    other = torch.nn.functional.normalize(other, dim=-1)
    cross = torch.linalg.cross(one, other)
    cosine = (one * other).sum(-1)[:, None, None]
    matrix = skew(cross)
    return torch.eye(3) + matrix + matrix @ matrix / (1 + cosine).clamp_min(1e-4)


def about(axis: Float[Tensor, "batch 3"], angle: Float[Tensor, "batch"]) -> Float[Tensor, "batch 3 3"]:
    """Rotations by some radians about some directions; none where the direction is unknown."""
    matrix = skew(torch.nn.functional.normalize(axis, dim=-1).nan_to_num())
    angle = angle[:, None, None]
    return torch.eye(3) + angle.sin() * matrix + (1 - angle.cos()) * (matrix @ matrix)


def skew(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The matrix that takes x to vector x x."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def unskew(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Twice the vector whose `skew` is the odd part of a matrix: of a rotation its axis, as long as twice the sine of
    its angle.
    """
    twice = matrix - matrix.mT
    return torch.stack([twice[..., 2, 1], twice[..., 0, 2], twice[..., 1, 0]], -1)


def _from(joints: Float[Tensor, "batch 26 3"], centre: str, around: tuple[str, ...]) -> Float[Tensor, "batch n 3"]:
    return joints[:, BODY26.index(*around)] - joints[:, BODY26.index(centre)]


def _rigid(
    one: Float[Tensor, "batch n 3"], other: Float[Tensor, "batch n 3"], prior: Float[Tensor, "batch 3 3"]
) -> Float[Tensor, "batch 3 3"]:
    """The rotation that takes vectors to others best (Kabsch), and is the prior's where they do not tell."""
    covariance = torch.einsum("bni,bnj->bij", other.nan_to_num(), one) + PRIOR * prior
    u, _, vh = torch.linalg.svd(covariance.detach())
    sign = torch.ones_like(u[:, 0])
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    return (u * sign[:, None]) @ vh


def _hinge(rest: Tensor, joints: Tensor, limb: Limb, swung: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch"]:
    """The twist that turns the axis which the body bends this limb about into the one that it is bent about."""
    axis = torch.linalg.cross(_from(rest, limb.start, (limb.end,)), _from(rest, limb.end, (limb.bend,)))[:, 0]
    if "thigh" in limb.segment:  # the knees of a body at rest are straight; they bend back
        axis = torch.tensor([1.0, 0, 0]).expand_as(axis)
    along = torch.nn.functional.normalize(_from(joints, limb.start, (limb.end,))[:, 0], dim=-1)
    seen = torch.linalg.cross(along, torch.nn.functional.normalize(_from(joints, limb.end, (limb.bend,))[:, 0], dim=-1))
    bent = (seen.norm(dim=-1) / BENT).clamp(max=1)
    now = torch.einsum("bij,bj->bi", swung, axis)
    angle = torch.atan2((torch.linalg.cross(now, seen) * along).sum(-1), (now * seen).sum(-1))
    return (angle * bent**2).nan_to_num()


@dataclass(frozen=True, eq=False)
class Fit:
    """Bodies that stand where joints are. `error` is the mean distance of the joints that are known, metres."""

    pose: Float[Tensor, "batch 17 3 3"]
    shape: Float[Tensor, "batch shape"]
    translation: Float[Tensor, "batch 3"]
    joints: Float[Tensor, "batch 26 3"]
    error: Float[Tensor, "batch"]


STEPS = 8
DAMPING = 2e-3
"""Square metres: a segment that no joint turns stays as it is; ours."""

STIFF = 0.01
"""Metres of error that a radian of bend beyond the first pose is worth; ours. Keeps twists, hands and feet sane."""


def fit(
    joints: Float[Tensor, "batch 26 3"],
    body: Skinned,
    shape: Float[Tensor, "batch shape"],
    *,
    pose: Float[Tensor, "batch 17 3 3"] | None = None,
    believe: Float[Tensor, "26"] | None = None,
    steps: int = STEPS,
) -> Fit:
    """Bodies of a known shape whose joints are as near as can be to those given.

    Arguments:
        joints: metres; NaN where unknown.
        body: which.
        shape: of each.
        pose: to begin with; None is `skeleton2pose`.
        believe: weight of each joint; those of 0 only tell how the body is turned at first. None is 1 for all.
        steps: how often all segments are moved; 0 leaves what it begins with, put where the joints are.
    """
    with torch.no_grad():
        belief = torch.ones(len(BODY26)) if believe is None else believe
        first = skeleton2pose(joints, body, shape) if pose is None else pose
        pose = first
        known = joints.isfinite().all(-1) & (belief > 0)
        weights = torch.where(known, belief, 0.0)
        translation = torch.zeros(len(joints), 3)
        away = torch.where(known[..., None], joints - body.joints(pose, shape, translation), 0.0)
        translation = away.sum(1) / known.sum(1, keepdim=True).clamp_min(1)
        count = 3 * len(SEGMENTS)
        for _ in range(steps):
            now, lever = body.levers(pose, shape, translation)
            miss = torch.where(known[..., None], joints - now, 0.0)
            jacobian = torch.zeros(len(joints), *now.shape[1:], count + 3)
            jacobian[..., :count] = -skew(lever).permute(0, 1, 3, 2, 4).flatten(3)
            jacobian[..., count:] = torch.eye(3)
            weighted = (jacobian * weights[..., None, None]).flatten(1, 2).mT
            gone = log(pose @ first.mT)
            damping = torch.cat([torch.full((count,), DAMPING + STIFF**2), torch.full((3,), 1e-6)])
            slope = (weighted @ miss.flatten(1).unsqueeze(-1)).squeeze(-1)
            slope[:, :count] -= STIFF**2 * gone.flatten(1)
            step = torch.linalg.solve(weighted @ jacobian.flatten(1, 2) + torch.diag(damping), slope)
            pose = turn(step[:, :count].unflatten(1, (-1, 3))) @ pose
            translation = translation + step[:, count:]
        now = body.joints(pose, shape, translation)
        error = torch.where(known, (now - joints).norm(dim=-1), 0.0).sum(1) / known.sum(1).clamp_min(1)
    return Fit(square(pose), shape, translation, now, error)


def turn(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotations about some vectors by their lengths, radians."""
    angle = vector.norm(dim=-1, keepdim=True)[..., None]
    matrix = skew(vector)
    return (
        torch.eye(3)
        + torch.sinc(angle / torch.pi) * matrix
        + (torch.sinc(angle / 2 / torch.pi) ** 2 / 2) * (matrix @ matrix)
    )


def log(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """The vectors that `turn` makes these rotations of, for turns below half a turn."""
    odd = unskew(rotation)
    sine = odd.norm(dim=-1, keepdim=True) / 2
    cosine = (rotation.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1) / 2
    return odd / 2 * torch.where(sine > 1e-6, torch.atan2(sine, cosine) / sine.clamp_min(1e-6), 1.0)


ROUNDS = 6
STRIDE = 0.2
"""The most that a shape changes in a round, as a share of its range: blend shapes are only linear between anchors."""

SHAPE_WEIGHT = 0.02
"""Metres of error that a shape all the way from neutral is worth; ours."""


def fit_shape(
    joints: Float[Tensor, "frame 26 3"],
    body: Skinned,
    *,
    believe: Float[Tensor, "26"] | None = None,
    rounds: int = ROUNDS,
) -> Float[Tensor, "shape"]:
    """How one person is built, from some of their poses: pose and shape in turns.

    Arguments:
        joints: metres; a few dozen frames are enough; NaN where unknown.
        believe: as `fit`.
    """
    belief = torch.ones(len(BODY26)) if believe is None else believe
    shape = body.neutral.clone()
    known = joints.isfinite().all(-1) & (belief > 0)

    for _ in range(rounds):
        every = shape.expand(len(joints), -1)
        fitted = fit(joints, body, every, believe=believe)

        def places(one: Tensor, fitted: Fit = fitted) -> Tensor:
            return body.joints(fitted.pose, one.expand(len(joints), -1), fitted.translation)

        with torch.no_grad():
            jacobian = torch.func.jacfwd(places)(shape)  # frame joint 3 shape
        jacobian = jacobian - jacobian.mean(1, keepdim=True)  # the translation is free
        miss = torch.where(known[..., None], joints - fitted.joints, 0.0)
        weight = torch.where(known, belief, 0.0)[..., None, None]
        rows = (jacobian * weight).flatten(0, 2)
        normal = rows.T @ rows / len(joints) + SHAPE_WEIGHT**2 * torch.eye(len(shape)) / (body.high - body.low) ** 2
        slope = (
            rows.T @ miss.flatten() / len(joints)
            - SHAPE_WEIGHT**2 * (shape - body.neutral) / (body.high - body.low) ** 2
        )
        step = torch.linalg.solve(normal, slope).clamp(
            -STRIDE * (body.high - body.low), STRIDE * (body.high - body.low)
        )
        shape = (shape + step).clamp(body.low, body.high)
    return shape
