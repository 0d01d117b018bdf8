"""Losses of the temporal networks: those of the paper, and the unsquared distances that the shipped lifter is trained
with.

Sums over joints are averaged over frames and sequences, so that the paper's weights apply to any batch size. The paper
states no units. Here 3D lengths are in metres and 2D lengths in normalised units, roughly metres, so eq. 3 to 5 and
L_sym are in m^2 a frame; the adversarial terms are in nats a verdict, and L_reg is a number of joints a frame.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from occlupose.occlusion.cylinders import visibility
from occlupose.skeletons import Skeleton
from occlupose.training.distributed import batch_count

SCALE_RANGE = (0.25, 4.0)
"""Range of the scale of a projection, in normalised units (roughly metres); ours."""


def completion_2d(
    predicted: Float[Tensor, "batch time joint 2"],
    truth: Float[Tensor, "batch time joint 2"],
    mask: Bool[Tensor, "batch time joint"],
) -> Float[Tensor, ""]:
    """Mean distance between completed and true 2D joints, over the joints of the mask.

    OANet eq. 3 squares it and takes reliable joints only. Motion capture has the occluded ones too; that and the
    unsquared distance are ours.
    """
    return _mean((predicted - truth).norm(dim=-1), mask)


def position_3d(
    predicted: Float[Tensor, "batch time joint 3"],
    truth: Float[Tensor, "batch time joint 3"],
    weight: Float[Tensor, "batch time joint"],
) -> Float[Tensor, ""]:
    """Weighted mean distance of 3D joints (with equal weights, the MPJPE). OANet eq. 4 squares it; the unsquared
    distance is ours.
    """
    return _mean((predicted - truth).norm(dim=-1), weight)


def velocity_3d(
    predicted: Float[Tensor, "batch time joint 3"], truth: Float[Tensor, "batch time joint 3"]
) -> Float[Tensor, ""]:
    """Mean error of the velocity (m per frame). Ours, against jitter."""
    return (predicted.diff(dim=1) - truth.diff(dim=1)).norm(dim=-1).mean()


def squared_2d(
    predicted: Float[Tensor, "batch time joint 2"],
    truth: Float[Tensor, "batch time joint 2"],
    reliable: Bool[Tensor, "batch time joint"],
) -> Float[Tensor, ""]:
    """Squared error of the refined 2D joints, over the reliable ones, in normalised units^2. OANet eq. 3, L_2D^T."""
    return _average((((predicted - truth) ** 2).sum(-1) * reliable).sum(-1))


def squared_3d(
    predicted: Float[Tensor, "batch time joint 3"], truth: Float[Tensor, "batch time joint 3"]
) -> Float[Tensor, ""]:
    """Squared error of the 3D joints, m^2. OANet eq. 4."""
    return _average(((predicted - truth) ** 2).sum((-1, -2)))


def projection(
    xyz: Float[Tensor, "batch time joint 3"],
    xy: Float[Tensor, "batch time joint 2"],
    visible: Bool[Tensor, "batch time joint"],
) -> Float[Tensor, ""]:
    """Squared distance of the orthographic projection from the visible 2D joints, in normalised units. OANet eq. 5,
    L_proj.

    An image does not determine metres, so the projection is scaled (one factor per sequence) and translated (frame by
    frame) to fit the 2D joints best. There is no gradient through the scale, and at the optimum none along the size of
    the pose, which images cannot supervise. The scale is limited to SCALE_RANGE so that a degenerate pose still gets a
    gradient. Ours.
    """
    weight = visible.unsqueeze(-1).to(xyz.dtype)
    count = weight.sum(2, keepdim=True).clamp_min(1)
    projected = _centred(xyz[..., :2], weight, count)
    observed = _centred(xy, weight, count)
    with torch.no_grad():
        fit = (projected * observed).sum((1, 2, 3), keepdim=True)
        scale = fit / (projected**2).sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return _average(((scale.clamp(*SCALE_RANGE) * projected - observed) ** 2).sum((-1, -2)))


def _centred(points: Tensor, weight: Tensor, count: Tensor) -> Tensor:
    return (points - (points * weight).sum(2, keepdim=True) / count) * weight


def adversarial(fake: Float[Tensor, "*verdict"]) -> Float[Tensor, ""]:
    """OANet's loss from the discriminator's logits of its poses: -log q, non-saturating (ours; the paper gives no
    formula), in nats.
    """
    return _average(binary_cross_entropy_with_logits(fake, torch.ones_like(fake), reduction="none"))


def discrimination(real: Float[Tensor, "*verdict"], fake: Float[Tensor, "*verdict"]) -> Float[Tensor, ""]:
    """The discriminator's loss: binary cross entropy, 1 for real and 0 for predicted poses. OANet section 3.2,
    L_dis.
    """
    real_loss = _average(binary_cross_entropy_with_logits(real, torch.ones_like(real), reduction="none"))
    fake_loss = _average(binary_cross_entropy_with_logits(fake, torch.zeros_like(fake), reduction="none"))
    return (real_loss + fake_loss) / 2


def regularisation(
    xyz: Float[Tensor, "batch time joint 3"], occluded: Bool[Tensor, "batch time joint"], skeleton: Skeleton
) -> Float[Tensor, ""]:
    """Sum of the soft visibility, by the Cylinder Man, of joints that were occluded. OANet eq. 8, L_reg.

    Arguments:
        xyz: metres, relative to the root; the camera is orthographic and looks along +z.
    """
    return _average((visibility(xyz, skeleton) * occluded).sum(-1))


def symmetry(xyz: Float[Tensor, "batch time joint 3"], skeleton: Skeleton) -> Float[Tensor, ""]:
    """Squared difference in length of every bone and its mirror image, m^2, summed over bones. OANet section 3.2,
    L_sym.

    E has all bones, pelvis to hip and thorax to shoulder too, so that each pair counts twice (the printed second term
    is garbled). A bone on the midline is its own image.
    """
    ends = torch.tensor([skeleton.index(*bone) for bone in skeleton.limbs], device=xyz.device)
    images = torch.tensor(skeleton.mirror, device=xyz.device)[ends]

    def length(bones: Tensor) -> Tensor:
        return (xyz[..., bones[:, 0], :] - xyz[..., bones[:, 1], :]).norm(dim=-1)

    return _average(((length(ends) - length(images)) ** 2).sum(-1))


def _average(values: Tensor) -> Tensor:
    """The mean over the whole batch, of which a process may have any part or none; 0 if there is none at all."""
    return values.sum() / batch_count(torch.tensor(values.numel()))


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / batch_count(weight.sum())
