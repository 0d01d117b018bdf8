"""Fits bodies to skeletons, and to silhouettes where there are masks, without networks.

Ours; HUPOR uses networks. Body shapes are fitted to the joints by Gauss-Newton steps, then to the silhouettes by a few
dozen steps of Adam. All people are fitted together.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.bodies.body import SEGMENTS, BodyModel, gram_schmidt
from occlupose.bodies.fitting import SHAPE_WEIGHT, STRIDE, TWISTED, BodyFit, fit_pose, rotation_about
from occlupose.methods.hupor.ssf import losses
from occlupose.methods.hupor.ssf.people import PersonCrops
from occlupose.methods.hupor.ssf.reconstruct import (
    UPRIGHT,
    fit_to_joints,
    limb_axes,
    to_camera_frame,
    translate_to_joints,
)
from occlupose.methods.hupor.ssf.silhouette import inscribed_spheres, render_silhouette
from occlupose.skeletons import BODY26

POSE_STEPS = 4
"""Steps of the pose after a small change of the shape; ours."""

SHAPE_GRID = 9
"""Number of values of each shape parameter that `initial_shape` tries."""


@dataclass(frozen=True)
class FitSettings:
    """Numbers of steps and weights of the fit; all defaults are ours."""

    rounds: int = 6
    """Alternations of pose and shape."""
    steps: int = 30
    """Steps of Adam, if there are masks."""
    learning_rate: float = 0.03
    """Of Adam: in ranges of a shape parameter, or radians."""
    joint_weight: float = 10.0
    """Weight of the distance of the joints, as published."""
    silhouette_weight: float = 1.0
    """Weight of the silhouette. With the published 0.1, which is for networks trained on many people, a single fit
    hardly changes.
    """
    prior_weight: float = 0.05
    """Weight of the squared change since the fit to the joints alone, in ranges and radians."""


DEFAULT_SETTINGS = FitSettings()


def fit_bodies(
    people: PersonCrops,
    body: BodyModel,
    *,
    fit_mask: Bool[Tensor, "26"] | None = None,
    settings: FitSettings = DEFAULT_SETTINGS,
) -> BodyFit:
    """Bodies of these people in the camera frame; people without a mask are fitted to their joints only.

    Arguments:
        fit_mask: joints to fit; the others only initialise the orientation.
    """
    fitted = fit_joints(people.joints, body, fit_mask=fit_mask, settings=settings)
    has_mask = (people.mask * people.valid).flatten(1).sum(1) > 0
    if not has_mask.any() or not settings.steps:
        return fitted
    return fit_silhouettes(people, body, fitted, fit_mask=fit_mask, settings=settings)


def fit_joints(
    joints: Float[Tensor, "person 26 3"],
    body: BodyModel,
    *,
    fit_mask: Bool[Tensor, "26"] | None = None,
    settings: FitSettings = DEFAULT_SETTINGS,
) -> BodyFit:
    """Bodies with joints as close as possible to these: pose and shape in turns, like `bodies.fitting.fit_shape` for
    one person.

    Starts from the shape with the most similar bone lengths. A round that increases a person's error is undone and
    repeated with half the step.
    """
    weights = torch.ones(joints.shape[1]) if fit_mask is None else fit_mask.float()
    upright = joints @ UPRIGHT
    known = joints.isfinite().all(-1) & (weights > 0)
    span = body.high - body.low
    shape = initial_shape(joints, body, fit_mask)
    best = fit_pose(upright, body, shape, joint_weights=weights)
    stride = torch.full((len(joints), 1), STRIDE)
    for _ in range(settings.rounds):
        step = _shape_step(upright, known, body, best)
        shape = (best.shape + step.clamp(-stride * span, stride * span)).clamp(body.low, body.high)
        candidate = fit_pose(upright, body, shape, pose=best.pose, joint_weights=weights, steps=POSE_STEPS)
        better = candidate.error < best.error
        stride = torch.where(better[:, None], stride, stride / 2)
        best = _choose(better, candidate, best)
    return to_camera_frame(fit_pose(upright, body, best.shape, pose=best.pose, joint_weights=weights))


def _choose(condition: Bool[Tensor, " person"], one: BodyFit, other: BodyFit) -> BodyFit:
    """The first fit where the condition holds, else the other."""
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return BodyFit(*(torch.where(condition.view(-1, *[1] * (new.ndim - 1)), new, old) for new, old in pairs))


def initial_shape(
    joints: Float[Tensor, "person 26 3"], body: BodyModel, fit_mask: Bool[Tensor, "26"] | None = None
) -> Float[Tensor, "person shape"]:
    """For each person the shape with the most similar bone lengths, among shapes with at most one parameter that is not
    neutral.
    """
    span = body.high - body.low
    count = len(body.low)
    values = body.low + torch.linspace(0, 1, SHAPE_GRID)[:, None] * span
    shapes = body.neutral.repeat(SHAPE_GRID, count, 1)
    shapes.diagonal(dim1=1, dim2=2).copy_(values)
    shapes = torch.cat([body.neutral[None], shapes.flatten(0, 1)])
    known = joints.isfinite().all(-1) if fit_mask is None else joints.isfinite().all(-1) & fit_mask
    start = BODY26.index(*(limb[0] for limb in BODY26.limbs))
    end = BODY26.index(*(limb[1] for limb in BODY26.limbs))
    lengths = (joints[:, start] - joints[:, end]).norm(dim=-1)
    rest = body.rest(shapes)
    rest_lengths = (rest[:, start] - rest[:, end]).norm(dim=-1)
    squares = (lengths[:, None] - rest_lengths) ** 2
    error = torch.where((known[:, start] & known[:, end])[:, None], squares, 0.0).sum(-1)
    return shapes[error.argmin(1)]


def _shape_step(
    upright: Float[Tensor, "person 26 3"], known: Bool[Tensor, "person 26"], body: BodyModel, fitted: BodyFit
) -> Float[Tensor, "person shape"]:
    """A Gauss-Newton step of each shape, with free translation."""
    span = body.high - body.low

    def joints_after(change: Tensor) -> Tensor:
        return body.joints(fitted.pose, fitted.shape + change, fitted.translation)

    with torch.no_grad():
        jacobian = torch.func.jacfwd(joints_after)(torch.zeros(len(span)))  # person joint 3 shape
        count = known.sum(1).clamp_min(1)[:, None, None, None]
        mean = (jacobian * known[..., None, None]).sum(1, keepdim=True) / count
        rows = torch.where(known[..., None, None], jacobian - mean, 0.0).flatten(1, 2)
        residual = torch.where(known[..., None], upright - fitted.joints, 0.0).flatten(1)
        normal = rows.mT @ rows + torch.diag((SHAPE_WEIGHT / span) ** 2)
        slope = (rows.mT @ residual[..., None])[..., 0] - (SHAPE_WEIGHT / span) ** 2 * (fitted.shape - body.neutral)
        return torch.linalg.solve(normal, slope)


def fit_silhouettes(
    people: PersonCrops,
    body: BodyModel,
    fitted: BodyFit,
    *,
    fit_mask: Bool[Tensor, "26"] | None = None,
    settings: FitSettings = DEFAULT_SETTINGS,
) -> BodyFit:
    """The same bodies with shapes and twists that bring their silhouettes closer to the masks; then fitted to their
    joints again.
    """
    intrinsics, mask, valid = people.on_grid()
    spheres = inscribed_spheres(body)
    axes = limb_axes(people.joints)
    span = body.high - body.low
    joints = people.joints
    change = torch.zeros_like(fitted.shape).requires_grad_()
    twist = torch.zeros(len(joints), len(TWISTED)).requires_grad_()
    optimiser = torch.optim.Adam([change, twist], lr=settings.learning_rate)
    for _ in range(settings.steps):
        shape = (fitted.shape + change * span).clamp(body.low, body.high)
        placed = translate_to_joints(joints, body, shape, _twist(fitted.pose, axes, twist), fit_mask)
        silhouette = render_silhouette(*spheres(placed.pose, shape, placed.translation), intrinsics, mask.shape[-1])
        joint_loss = losses.position_loss(placed.joints, joints, fit_mask)
        silhouette_loss = losses.silhouette_loss(silhouette, mask, valid)
        prior = ((change**2).sum(1) + (twist**2).sum(1)).mean()
        loss = settings.joint_weight * joint_loss + settings.silhouette_weight * silhouette_loss
        loss = loss + settings.prior_weight * prior
        optimiser.zero_grad()
        (len(joints) * loss).backward()
        optimiser.step()
    with torch.no_grad():
        shape = (fitted.shape + change * span).clamp(body.low, body.high)
        return fit_to_joints(joints, body, shape, gram_schmidt(_twist(fitted.pose, axes, twist)), fit_mask)


def _twist(
    pose: Float[Tensor, "person 17 3 3"], axes: Float[Tensor, "person 8 3"], twist: Float[Tensor, "person 8"]
) -> Float[Tensor, "person 17 3 3"]:
    """A pose with its limbs rotated about themselves, radians."""
    rotations = rotation_about(axes.flatten(0, 1), twist.flatten()).unflatten(0, twist.shape)
    segments = torch.tensor([SEGMENTS.index(segment) for segment in TWISTED])
    return pose.index_copy(1, segments, rotations @ pose[:, segments])
