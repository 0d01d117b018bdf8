"""Bodies fitted to skeletons, and to outlines where there are masks, without networks.

Ours, for HUPOR has networks do this: how somebody is built follows from the lengths between
the joints by Gauss-Newton steps, then from the outline by a few dozen steps of Adam. All people are fitted together.
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


@dataclass(frozen=True)
class FitSettings:
    """How long, and what counts. All numbers are ours."""

    rounds: int = 6
    """Of pose and shape in turns."""
    steps: int = 30
    """Of Adam, where there are masks."""
    rate: float = 0.03
    """Shares of a shape's span, or radians, that a step of Adam moves."""
    pos: float = 10.0
    """Weight of the joints' distance, as published."""
    sil: float = 1.0
    """Weight of the outline. The published 0.1 is for networks that many people teach; a single one gives way to it too
    little.
    """
    prior: float = 0.05
    """Weight of the squared distance from what the joints alone say, shares of the span."""


DEFAULT_SETTINGS = FitSettings()


def fit_bodies(
    people: PersonCrops,
    body: BodyModel,
    *,
    believed: Bool[Tensor, "26"] | None = None,
    plan: FitSettings = DEFAULT_SETTINGS,
) -> BodyFit:
    """Bodies of these people, in the camera frame; of those without a mask as their joints alone say.

    Arguments:
        believed: joints that are met; the others only tell how the body is turned at first.
    """
    fitted = fit_joints(people.joints, body, believed=believed, plan=plan)
    masked = (people.seen * people.open).flatten(1).sum(1) > 0
    if not masked.any() or not plan.steps:
        return fitted
    return fit_silhouettes(people, body, fitted, believed=believed, plan=plan)


def fit_joints(
    joints: Float[Tensor, "person 26 3"],
    body: BodyModel,
    *,
    believed: Bool[Tensor, "26"] | None = None,
    plan: FitSettings = DEFAULT_SETTINGS,
) -> BodyFit:
    """Bodies whose joints are as near as can be to those given: pose and shape in turns, as `bodies.fitting.fit_shape`
    for one person.

    Begins with the build whose bones are most alike; a round that makes somebody worse is taken back and tried again
    half as far.
    """
    belief = torch.ones(joints.shape[1]) if believed is None else believed.float()
    upright = joints @ UPRIGHT
    known = joints.isfinite().all(-1) & (belief > 0)
    span = body.high - body.low
    shape = initial_shape(joints, body, believed)
    best = fit_pose(upright, body, shape, joint_weights=belief)
    stride = torch.full((len(joints), 1), STRIDE)
    for _ in range(plan.rounds):
        step = _shape_step(upright, known, body, best)
        shape = (best.shape + step.clamp(-stride * span, stride * span)).clamp(body.low, body.high)
        tried = fit_pose(upright, body, shape, pose=best.pose, joint_weights=belief, steps=POSE_STEPS)
        better = tried.error < best.error
        stride = torch.where(better[:, None], stride, stride / 2)
        both = zip(vars(tried).values(), vars(best).values(), strict=True)
        best = BodyFit(*(torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old) for new, old in both))
    return to_camera_frame(fit_pose(upright, body, best.shape, pose=best.pose, joint_weights=belief))


POSE_STEPS = 4
"""Steps that a pose needs after its shape has changed a little; ours."""


def initial_shape(
    joints: Float[Tensor, "person 26 3"], body: BodyModel, believed: Bool[Tensor, "26"] | None = None
) -> Float[Tensor, "person shape"]:
    """The build whose bones are most alike to everybody's, of those with all numbers ordinary but one."""
    span = body.high - body.low
    count = len(body.low)
    odd = body.low + torch.linspace(0, 1, SHAPE_GRID)[:, None] * span
    shapes = body.neutral.repeat(SHAPE_GRID, count, 1)
    shapes.diagonal(dim1=1, dim2=2).copy_(odd)
    shapes = torch.cat([body.neutral[None], shapes.flatten(0, 1)])
    known = joints.isfinite().all(-1) if believed is None else joints.isfinite().all(-1) & believed
    start, end = (BODY26.index(*(limb[place] for limb in BODY26.limbs)) for place in (0, 1))
    seen = (joints[:, start] - joints[:, end]).norm(dim=-1)
    rest = body.rest(shapes)
    lengths = (rest[:, start] - rest[:, end]).norm(dim=-1)
    away = torch.where((known[:, start] & known[:, end])[:, None], (seen[:, None] - lengths) ** 2, 0.0).sum(-1)
    return shapes[away.argmin(1)]


SHAPE_GRID = 9
"""Values of a number that `first_guess` tries."""


def _shape_step(
    upright: Float[Tensor, "person 26 3"], known: Bool[Tensor, "person 26"], body: BodyModel, fitted: BodyFit
) -> Float[Tensor, "person shape"]:
    """By how much each shape is to change, by Gauss and Newton, the translation being free."""
    span = body.high - body.low

    def places(change: Tensor) -> Tensor:
        return body.joints(fitted.pose, fitted.shape + change, fitted.translation)

    with torch.no_grad():
        jacobian = torch.func.jacfwd(places)(torch.zeros(len(span)))  # person joint 3 shape
        middle = (jacobian * known[..., None, None]).sum(1, keepdim=True) / known.sum(1).clamp_min(1)[
            :, None, None, None
        ]
        rows = torch.where(known[..., None, None], jacobian - middle, 0.0).flatten(1, 2)
        miss = torch.where(known[..., None], upright - fitted.joints, 0.0).flatten(1)
        normal = rows.mT @ rows + torch.diag((SHAPE_WEIGHT / span) ** 2)
        slope = (rows.mT @ miss[..., None])[..., 0] - (SHAPE_WEIGHT / span) ** 2 * (fitted.shape - body.neutral)
        return torch.linalg.solve(normal, slope)


def fit_silhouettes(
    people: PersonCrops,
    body: BodyModel,
    fitted: BodyFit,
    *,
    believed: Bool[Tensor, "26"] | None = None,
    plan: FitSettings = DEFAULT_SETTINGS,
) -> BodyFit:
    """The same bodies, built and twisted so that their outlines are more like the masks; then their joints are met
    again.
    """
    lens, seen, open_ = people.on_grid()
    surface = inscribed_spheres(body)
    axes = limb_axes(people.joints)
    span = body.high - body.low
    joints = people.joints
    change = torch.zeros_like(fitted.shape).requires_grad_()
    twist = torch.zeros(len(joints), len(TWISTED)).requires_grad_()
    optimiser = torch.optim.Adam([change, twist], lr=plan.rate)
    for _ in range(plan.steps):
        shape = (fitted.shape + change * span).clamp(body.low, body.high)
        placed = translate_to_joints(joints, body, shape, _twisted(fitted.pose, axes, twist), believed)
        outline = render_silhouette(*surface(placed.pose, shape, placed.translation), lens, seen.shape[-1])
        loss = plan.pos * losses.position_loss(placed.joints, joints, believed) + plan.sil * losses.silhouette_loss(
            outline, seen, open_
        )
        loss = loss + plan.prior * ((change**2).sum(1) + (twist**2).sum(1)).mean()
        optimiser.zero_grad()
        (len(joints) * loss).backward()
        optimiser.step()
    with torch.no_grad():
        shape = (fitted.shape + change * span).clamp(body.low, body.high)
        return fit_to_joints(joints, body, shape, gram_schmidt(_twisted(fitted.pose, axes, twist)), believed)


def _twisted(
    pose: Float[Tensor, "person 17 3 3"], axes: Float[Tensor, "person 8 3"], twist: Float[Tensor, "person 8"]
) -> Float[Tensor, "person 17 3 3"]:
    """A pose with its limbs turned about themselves by so many radians."""
    turns = rotation_about(axes.flatten(0, 1), twist.flatten()).unflatten(0, twist.shape)
    places = torch.tensor([SEGMENTS.index(segment) for segment in TWISTED])
    return pose.index_copy(1, places, turns @ pose[:, places])
