"""What the lifter is trained for. All ours."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occlupose.methods.lifter.network import Lifted
from occlupose.methods.lifter.samples import LifterBatch
from occlupose.training.loop import Terms

MISSING = 2.0
"""Weight of a joint that is not seen."""

VELOCITY = 0.03
"""Weight of the error of the velocity (m/s)."""

ROOT = 0.5
"""Weight of the error of the root, as a share of its distance."""

CERTAINTY = 0.003
"""Weight of the likelihood of the errors. It trains the covariances, not the joints."""


def lifter_loss(network: nn.Module, batch: LifterBatch) -> Terms:
    """Errors of position and velocity, of the root, and the likelihood of both under the stated covariances."""
    lifted = network(batch.frames, batch.ahead, batch.joints, batch.time, batch.horizon)
    assert isinstance(lifted, Lifted)
    known = batch.known.float()
    count = known.sum().clamp_min(1)
    error = lifted.xyz - batch.xyz
    weight = torch.where(batch.missing, MISSING, 1.0)
    position = ((error.norm(dim=-1) * weight).mean(-1) * known).sum() / count
    seconds = batch.time.diff(dim=1).float()[..., None]
    velocity = (error.diff(dim=1).norm(dim=-1) / seconds).mean(-1) * known[:, :-1]
    distance = batch.root.norm(dim=-1)
    root_error = lifted.root - batch.root
    root = (root_error.norm(dim=-1) / distance * known).sum() / count
    likelihood = (_surprise(lifted.factor, error).mean(-1) + _surprise(lifted.root_factor, root_error)) * known
    return {
        "position": position,
        "velocity": VELOCITY * velocity.sum() / count,
        "root": ROOT * root,
        "certainty": CERTAINTY * likelihood.sum() / count,
    }


def _surprise(factor: Float[Tensor, "*batch 3 3"], error: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Negative logarithm of the likelihood of errors, without its constant."""
    scaled = (factor * error.detach()[..., None, :]).sum(-1)
    x, y, z = factor.unbind(-2)
    volume = (torch.linalg.cross(x, y) * z).sum(-1)
    return 0.5 * scaled.square().sum(-1) - volume.log()
