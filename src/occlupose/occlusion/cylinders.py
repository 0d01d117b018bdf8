"""The Cylinder Man: which joints a body hides from the camera by itself.

OANet section 4. The body is ten cylinders between its joints; seen from the camera each is a rectangle, and a joint behind a
rectangle that does not belong to it is hidden. The paper looks along +z (orthographic). The perspective camera, the disc of a
cylinder seen end-on and the rule for the face are ours.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.errors import OccluposeError
from occlupose.skeletons import Skeleton


@dataclass(frozen=True)
class Cylinder:
    """A body part: its two end joints (alternatives in order of preference), its radius in metres, and further joints that it carries."""

    start: tuple[str, ...]
    end: tuple[str, ...]
    radius: float
    carries: tuple[str, ...] = ()


NECK = ("thorax", "neck")
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
LIMB = 0.05

CYLINDERS = (
    Cylinder(NECK, ("head_top", "head", "nose"), 0.10, ("neck_nose", *FACE)),
    Cylinder(NECK, ("pelvis",), 0.0, ("spine",)),
    *(
        Cylinder((f"{side}_{start}",), (f"{side}_{end}",), LIMB)
        for side in ("left", "right")
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    ),
)
"""Head, torso, upper arms, forearms, thighs, shanks (section 4). The torso's radius is the distance from neck to shoulder."""

MARGIN = 0.02
"""A joint is behind a part when it is this many metres further from the camera (paper: 0; ours, against flicker at equal depth)."""

FAR_SIDE = 0.03
"""A face joint is hidden when it lies this many metres behind the head's axis as the camera sees it. Ours: the paper has no face."""


def hidden(joints: Float[Tensor, "*batch joint 3"], skeleton: Skeleton, *, perspective: bool = True) -> Bool[Tensor, "*batch joint"]:
    """Which joints the body hides from the camera by itself.

    OANet section 4, hard version.

    Arguments:
        joints: metres, camera frame (z forward); a perspective camera stands at the origin, an orthographic one looks along +z.
        skeleton: names of the joints; needs a neck or thorax, a pelvis, a head, shoulders, elbows, wrists, hips, knees, ankles.
        perspective: ours; False is the paper's orthographic camera.

    Returns:
        True where hidden. NaN joints are never hidden and hide nothing.

    Raises:
        OccluposeError: the skeleton lacks an end of a cylinder.
    """
    names = skeleton.joints
    ends = [(_first(cylinder.start, skeleton), _first(cylinder.end, skeleton)) for cylinder in CYLINDERS]
    start, end = (joints[..., list(side), :] for side in zip(*ends, strict=True))
    shoulder, neck = (joints[..., _first(choice, skeleton), :] for choice in (("left_shoulder",), NECK))
    radius = torch.tensor([cylinder.radius for cylinder in CYLINDERS], dtype=joints.dtype).expand(*start.shape[:-1]).clone()
    radius[..., 1] = (shoulder - neck).norm(dim=-1)

    view = torch.nn.functional.normalize(joints, dim=-1) if perspective else joints.new_tensor([0.0, 0.0, 1.0]).expand_as(joints)
    behind = _behind(joints, view, start, end, radius)
    carried = torch.tensor(
        [[name in (names[a], names[b], *part.carries) for part, (a, b) in zip(CYLINDERS, ends, strict=True)] for name in names]
    )
    result = (behind & ~carried).any(-1)

    face = [number for number, name in enumerate(names) if name in FACE]
    if face:
        axis = end[..., :1, :] - start[..., :1, :]
        outward = joints[..., face, :] - start[..., :1, :]
        outward = outward - axis * (outward * axis).sum(-1, keepdim=True) / (axis * axis).sum(-1, keepdim=True)
        result[..., face] |= (outward * view[..., face, :]).sum(-1) > FAR_SIDE
    return result


def _behind(
    joint: Float[Tensor, "*b j 3"],
    view: Float[Tensor, "*b j 3"],
    start: Float[Tensor, "*b p 3"],
    end: Float[Tensor, "*b p 3"],
    radius: Float[Tensor, "*b p"],
) -> Bool[Tensor, "*b j p"]:
    """Whether each joint lies behind each part's rectangle, along the joint's own line of sight (all pairs by inner products)."""
    axis = end - start
    from_start = joint.unsqueeze(-2) - start.unsqueeze(-3)
    axis_view = view @ axis.mT
    joint_view = (from_start * view.unsqueeze(-2)).sum(-1)
    joint_axis = (from_start * axis.unsqueeze(-3)).sum(-1)
    # everything across the line of sight: the axis as seen, and where along it the joint falls
    seen_axis = ((axis * axis).sum(-1).unsqueeze(-2) - axis_view**2).clamp_min(1e-12)
    along = (joint_axis - joint_view * axis_view) / seen_axis
    seen_joint = (from_start * from_start).sum(-1) - joint_view**2
    radius = radius.unsqueeze(-2)

    def distance(s: Tensor) -> Tensor:
        return seen_joint - 2 * s * along * seen_axis + s * s * seen_axis

    clamped = along.clamp(0, 1)
    end_on = (seen_axis < radius**2) & (distance(clamped) <= radius**2)
    inside = (along >= 0) & (along <= 1) & (distance(along) <= radius**2)
    return (inside | end_on) & (joint_view - clamped * axis_view > MARGIN)


def _first(choice: tuple[str, ...], skeleton: Skeleton) -> int:
    for name in choice:
        if name in skeleton.joints:
            return skeleton.joints.index(name)
    raise OccluposeError(f"skeleton {skeleton.name}: no {' or '.join(choice)}; the Cylinder Man needs one")
