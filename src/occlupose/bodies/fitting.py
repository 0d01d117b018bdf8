"""Fits a body model to joints: segment rotations, position and shape.

`skeleton2pose` is analytic, after HybrIK (Li et al., 2021): segments with three or more joints are rotated by a rigid
fit, limbs swing the shortest way from their parent, and the twist about a limb, which its joints do not determine, is
given or follows from the hinge at its end. `fit_pose` then refines all segments together by damped Gauss-Newton steps
(ours).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from occlupose.bodies.body import SEGMENTS, SIDES, BodyModel, gram_schmidt
from occlupose.skeletons import BODY26


class Limb(NamedTuple):
    """A segment between two joints, its parent segment, and the joint that shows its bend, if any."""

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
"""The limbs whose twist can be given."""

RIGID = {
    "trunk": ("pelvis", ("left_hip", "right_hip", "spine", "thorax", "left_shoulder", "right_shoulder"), ""),
    "pelvis": ("pelvis", ("left_hip", "right_hip", "spine"), "trunk"),
    "chest": ("thorax", ("left_shoulder", "right_shoulder", "spine"), "pelvis"),
    "head": ("neck_nose", ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top"), "chest"),
}
"""Segments that are rotated by a rigid fit: the joint at their centre, the joints around it, and the segment with the
rotation to use where these joints do not determine one. The trunk is not a segment; it orients bodies with an unknown
spine.
"""

PRIOR = 1e-3
"""Weight of the parent's rotation in a rigid fit, square metres."""

HINGE_SINE = 0.35
"""Sine of a limb's bend from which on its hinge determines the twist fully; at smaller bends partly. Ours."""


def skeleton2pose(
    joints: Float[Tensor, "batch 26 3"],
    body: BodyModel,
    shape: Float[Tensor, "batch shape"],
    twist: Float[Tensor, "batch 8"] | None = None,
) -> Float[Tensor, "batch 17 3 3"]:
    """Segment rotations of these joints (swing and twist, HybrIK section 3.2).

    Arguments:
        joints: metres, in axes where y is up (or down) for all bodies; NaN where unknown.
        body: model whose rest pose the rotations start from.
        shape: of each body.
        twist: radians about each of TWISTED, after the shortest swing; None derives it from the hinges of elbows and
            knees.
    """
    rest = body.rest(shape)
    rotation: dict[str, Tensor] = {}
    for segment, (centre, around, fallback) in RIGID.items():
        prior = rotation[fallback] if fallback else torch.eye(3).expand(len(joints), 3, 3)
        rotation[segment] = _rigid(_from(rest, centre, around), _from(joints, centre, around), prior)
    for limb in LIMBS:
        parent = rotation[limb.parent]
        carried = torch.einsum("bij,bj->bi", parent, _from(rest, limb.start, (limb.end,))[:, 0])
        target = _from(joints, limb.start, (limb.end,))[:, 0]
        swung = swing_rotation(carried, torch.where(target.isnan(), carried, target)) @ parent
        if twist is not None and limb.segment in TWISTED:
            swung = rotation_about(target, twist[:, TWISTED.index(limb.segment)]) @ swung
        elif limb.bend:
            swung = rotation_about(target, _hinge(rest, joints, limb, swung)) @ swung
        rotation[limb.segment] = swung
    return torch.stack([rotation[segment] for segment in SEGMENTS], 1)


OPPOSITE = 1e-4
"""Two directions are nearly opposite where 1 + the cosine of their angle is less."""


def swing_rotation(one: Float[Tensor, "batch 3"], other: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """The shortest rotations from one direction to another."""
    one = torch.nn.functional.normalize(one, dim=-1)
    other = torch.nn.functional.normalize(other, dim=-1)
    cross = torch.linalg.cross(one, other)
    cosine = (one * other).sum(-1)[:, None, None]
    matrix = skew(cross)
    usual = torch.eye(3) + matrix + matrix @ matrix / (1 + cosine).clamp_min(OPPOSITE)
    return torch.where(cosine < OPPOSITE - 1, _half_turn(one, other), usual)


def _half_turn(one: Float[Tensor, "batch 3"], other: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """Rotations between nearly opposite directions: half turns about the first and about the direction between them, or
    any direction across where there is none.
    """
    across = torch.nn.functional.one_hot(one.abs().argmin(-1), 3).to(one.dtype)
    across = across - (across * one).sum(-1, keepdim=True) * one
    between = torch.where((one + other).norm(dim=-1, keepdim=True) > 1e-6, one + other, across)
    turns = []
    for axis in (one, torch.nn.functional.normalize(between, dim=-1)):
        turns.append(2 * axis[:, :, None] * axis[:, None] - torch.eye(3))
    return turns[1] @ turns[0]


def rotation_about(axis: Float[Tensor, "batch 3"], angle: Float[Tensor, "batch"]) -> Float[Tensor, "batch 3 3"]:
    """Rotations by angles (radians) about axes; the identity where the axis is NaN."""
    matrix = skew(torch.nn.functional.normalize(axis, dim=-1).nan_to_num())
    angle = angle[:, None, None]
    return torch.eye(3) + angle.sin() * matrix + (1 - angle.cos()) * (matrix @ matrix)


def skew(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The matrices of the cross product: `skew(v) @ x` is v x x."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def unskew(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Twice the vector whose `skew` is the antisymmetric part of a matrix; of a rotation its axis times twice the sine
    of its angle.
    """
    twice = matrix - matrix.mT
    return torch.stack([twice[..., 2, 1], twice[..., 0, 2], twice[..., 1, 0]], -1)


def _from(joints: Float[Tensor, "batch 26 3"], centre: str, around: tuple[str, ...]) -> Float[Tensor, "batch n 3"]:
    return joints[:, BODY26.index(*around)] - joints[:, BODY26.index(centre)]


def _rigid(
    one: Float[Tensor, "batch n 3"], other: Float[Tensor, "batch n 3"], prior: Float[Tensor, "batch 3 3"]
) -> Float[Tensor, "batch 3 3"]:
    """The rotation that maps `one` to `other` best (Kabsch), or `prior` where they do not determine it."""
    covariance = torch.einsum("bni,bnj->bij", other.nan_to_num(), one) + PRIOR * prior
    u, _, vh = torch.linalg.svd(covariance.detach())
    sign = torch.ones_like(u[:, 0])
    sign[:, 2] = torch.linalg.det(u @ vh).sign()
    return (u * sign[:, None]) @ vh


def _hinge(rest: Tensor, joints: Tensor, limb: Limb, swung: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch"]:
    """The twist that aligns the model's hinge axis of this limb with the axis that the joints bend about."""
    axis = torch.linalg.cross(_from(rest, limb.start, (limb.end,)), _from(rest, limb.end, (limb.bend,)))[:, 0]
    if "thigh" in limb.segment:  # knees are straight at rest, and bend backwards
        axis = torch.tensor([1.0, 0, 0]).expand_as(axis)
    along = torch.nn.functional.normalize(_from(joints, limb.start, (limb.end,))[:, 0], dim=-1)
    beyond = torch.nn.functional.normalize(_from(joints, limb.end, (limb.bend,))[:, 0], dim=-1)
    hinge = torch.linalg.cross(along, beyond)
    bend = (hinge.norm(dim=-1) / HINGE_SINE).clamp(max=1)
    swung_axis = torch.einsum("bij,bj->bi", swung, axis)
    angle = torch.atan2((torch.linalg.cross(swung_axis, hinge) * along).sum(-1), (swung_axis * hinge).sum(-1))
    return (angle * bend**2).nan_to_num()


@dataclass(frozen=True, eq=False)
class BodyFit:
    """Bodies fitted to joints. `error` is the mean distance of the known joints, metres."""

    pose: Float[Tensor, "batch 17 3 3"]
    shape: Float[Tensor, "batch shape"]
    translation: Float[Tensor, "batch 3"]
    joints: Float[Tensor, "batch 26 3"]
    error: Float[Tensor, "batch"]


STEPS = 8
DAMPING = 2e-3
"""Square metres: a segment that no joint determines keeps its rotation; ours."""

STIFFNESS = 0.01
"""Metres of joint error that count as much as a radian of rotation from the initial pose; ours. Keeps twists, hands and
feet plausible.
"""


def fit_pose(
    joints: Float[Tensor, "batch 26 3"],
    body: BodyModel,
    shape: Float[Tensor, "batch shape"],
    *,
    pose: Float[Tensor, "batch 17 3 3"] | None = None,
    joint_weights: Float[Tensor, "26"] | None = None,
    steps: int = STEPS,
) -> BodyFit:
    """Fits bodies of known shape to joints.

    Arguments:
        joints: metres; NaN where unknown.
        body: model.
        shape: of each body.
        pose: initial pose; None is `skeleton2pose`.
        joint_weights: weight of each joint; joints with weight 0 only influence the initial pose. None is 1 for all.
        steps: Gauss-Newton steps; with 0 the initial pose is only translated to the joints.
    """
    with torch.no_grad():
        weight = torch.ones(len(BODY26)) if joint_weights is None else joint_weights
        initial = skeleton2pose(joints, body, shape) if pose is None else pose
        pose = initial
        known = joints.isfinite().all(-1) & (weight > 0)
        weights = torch.where(known, weight, 0.0)
        translation = torch.zeros(len(joints), 3)
        offset = torch.where(known[..., None], joints - body.joints(pose, shape, translation), 0.0)
        translation = offset.sum(1) / known.sum(1, keepdim=True).clamp_min(1)
        angles = 3 * len(SEGMENTS)
        damping = torch.cat([torch.full((angles,), DAMPING + STIFFNESS**2), torch.full((3,), 1e-6)])
        for _ in range(steps):
            fitted, lever = body.lever_arms(pose, shape, translation)
            residual = torch.where(known[..., None], joints - fitted, 0.0)
            jacobian = torch.zeros(len(joints), *fitted.shape[1:], angles + 3)
            jacobian[..., :angles] = -skew(lever).permute(0, 1, 3, 2, 4).flatten(3)
            jacobian[..., angles:] = torch.eye(3)
            weighted = (jacobian * weights[..., None, None]).flatten(1, 2).mT
            slope = (weighted @ residual.flatten(1).unsqueeze(-1)).squeeze(-1)
            slope[:, :angles] -= STIFFNESS**2 * to_rotation_vector(pose @ initial.mT).flatten(1)
            step = torch.linalg.solve(weighted @ jacobian.flatten(1, 2) + torch.diag(damping), slope)
            pose = from_rotation_vector(step[:, :angles].unflatten(1, (-1, 3))) @ pose
            translation = translation + step[:, angles:]
        fitted = body.joints(pose, shape, translation)
        error = torch.where(known, (fitted - joints).norm(dim=-1), 0.0).sum(1) / known.sum(1).clamp_min(1)
    return BodyFit(gram_schmidt(pose), shape, translation, fitted, error)


def from_rotation_vector(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of rotation vectors (axis times angle in radians)."""
    angle = vector.norm(dim=-1, keepdim=True)[..., None]
    matrix = skew(vector)
    return (
        torch.eye(3)
        + torch.sinc(angle / torch.pi) * matrix
        + (torch.sinc(angle / 2 / torch.pi) ** 2 / 2) * (matrix @ matrix)
    )


def to_rotation_vector(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Rotation vectors of rotation matrices; the inverse of `from_rotation_vector` below 180 degrees."""
    axis = unskew(rotation)  # times twice the sine
    sine = axis.norm(dim=-1, keepdim=True) / 2
    cosine = (rotation.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True) - 1) / 2
    return axis / 2 * torch.where(sine > 1e-6, torch.atan2(sine, cosine) / sine.clamp_min(1e-6), 1.0)


ROUNDS = 6
STRIDE = 0.2
"""Largest change of a shape in a round, relative to its range: blend shapes are linear only between anchors."""

SHAPE_WEIGHT = 0.02
"""Metres of joint error that count as much as a shape number at the end of its range; ours."""


def fit_shape(
    joints: Float[Tensor, "frame 26 3"],
    body: BodyModel,
    *,
    joint_weights: Float[Tensor, "26"] | None = None,
    rounds: int = ROUNDS,
) -> Float[Tensor, "shape"]:
    """The shape of one person from several poses, alternating between pose and shape.

    Arguments:
        joints: metres, a few dozen frames are enough; NaN where unknown.
        joint_weights: as for `fit_pose`.
        rounds: of pose and shape.
    """
    weights = torch.ones(len(BODY26)) if joint_weights is None else joint_weights
    shape = body.neutral.clone()
    span = body.high - body.low
    known = joints.isfinite().all(-1) & (weights > 0)
    for _ in range(rounds):
        fitted = fit_pose(joints, body, shape.expand(len(joints), -1), joint_weights=joint_weights)

        def joints_of_shape(one: Tensor, fitted: BodyFit = fitted) -> Tensor:
            return body.joints(fitted.pose, one.expand(len(joints), -1), fitted.translation)

        with torch.no_grad():
            jacobian = torch.func.jacfwd(joints_of_shape)(shape)  # frame joint 3 shape
        jacobian = jacobian - jacobian.mean(1, keepdim=True)  # the translation is free
        residual = torch.where(known[..., None], joints - fitted.joints, 0.0)
        weight = torch.where(known, weights, 0.0)[..., None, None]
        rows = (jacobian * weight).flatten(0, 2)
        normal = rows.T @ rows / len(joints) + SHAPE_WEIGHT**2 * torch.eye(len(shape)) / span**2
        prior = SHAPE_WEIGHT**2 * (shape - body.neutral) / span**2
        slope = rows.T @ residual.flatten() / len(joints) - prior
        step = torch.linalg.solve(normal, slope).clamp(-STRIDE * span, STRIDE * span)
        shape = (shape + step).clamp(body.low, body.high)
    return shape
