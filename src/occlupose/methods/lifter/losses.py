"""What the lifter is trained for. All ours."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occlupose.methods.lifter.network import LifterNetwork, LifterOutput
from occlupose.methods.lifter.samples import LifterBatch
from occlupose.training.distributed import batch_count
from occlupose.training.loop import Terms

MISSING = 2.0
"""Weight of a joint that is not seen."""

VELOCITY = 0.03
"""Weight of the error of the velocity (m/s)."""

ROOT = 0.5
"""Weight of the error of the root, as a share of its distance."""

SIZE = 0.2
"""Weight of the error of the size, as a logarithm."""

CERTAINTY = 0.003
"""Weight of the likelihood of the errors. It trains the covariances, not the joints."""


class LifterTraining(nn.Module):
    """The training module: the network and its loss, which depends on the progress of the training.

    A person's size can hardly be told from a picture. At first, errors contain that of the size; from a step on, the
    size of each sequence is adjusted before they are measured, and is a term of its own, so that what can be told
    counts.

    Arguments:
        sized_until: the step.
        only_covariances: nothing else is trained.
    """

    step: Tensor
    """Batches so far; saved in the checkpoint like the weights."""

    def __init__(self, network: LifterNetwork, sized_until: int, *, only_covariances: bool = False) -> None:
        super().__init__()
        self.network = network
        self.sized_until = sized_until
        self.only_covariances = only_covariances
        if only_covariances:
            network.requires_grad_(False)
            network.transformer.out[-1].requires_grad_(True)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, batch: LifterBatch) -> Terms:
        """Errors of position and velocity, of the root, and the likelihood of both under the stated covariances."""
        lifted = self.network(batch.frames, batch.ahead, batch.joints, batch.time, batch.horizon)
        if self.only_covariances:
            return {"certainty": measure_certainty(lifted, batch)}
        size = torch.ones(len(batch.time), device=batch.time.device)
        if self.step >= self.sized_until:
            size = fit_size(lifted, batch)
        self.step += 1
        return measure(lifted, batch, size)


def fit_size(lifted: LifterOutput, batch: LifterBatch) -> Float[Tensor, "batch"]:
    """The factor that brings the joints of each sequence nearest to the truth, between 0.5 and 2."""
    known = batch.known[..., None, None]
    both = (lifted.xyz * batch.xyz * known).sum((1, 2, 3))
    return (both / (lifted.xyz.square() * known).sum((1, 2, 3)).clamp_min(1e-6)).clamp(0.5, 2.0)


def measure(lifted: LifterOutput, batch: LifterBatch, size: Float[Tensor, "batch"]) -> Terms:
    """The terms of the loss.

    Arguments:
        size: factor of each sequence before errors of joints and root are measured.
    """
    known = batch.known.float()
    count = batch_count(known.sum())
    error = size[:, None, None, None] * lifted.xyz - batch.xyz
    weight = torch.where(batch.missing, MISSING, 1.0)
    position = ((error.norm(dim=-1) * weight).mean(-1) * known).sum() / count
    seconds = batch.time.diff(dim=1).float()[..., None]
    velocity = (error.diff(dim=1).norm(dim=-1) / seconds).mean(-1) * known[:, :-1]
    distance = batch.root.norm(dim=-1)
    root_error = (size[:, None, None] * lifted.root - batch.root).norm(dim=-1)
    root = (root_error / distance * known).sum() / count
    return {
        "position": position,
        "velocity": VELOCITY * velocity.sum() / count,
        "root": ROOT * root,
        "size": SIZE * size.log().abs().mean(),
        "certainty": CERTAINTY * measure_certainty(lifted, batch),
    }


def measure_certainty(lifted: LifterOutput, batch: LifterBatch) -> Float[Tensor, ""]:
    """Mean negative logarithm of the likelihood of the errors of joints and root. It trains the covariances only."""
    known = batch.known.float()
    joints = _surprise(lifted.factor, lifted.xyz - batch.xyz).mean(-1)
    root = _surprise(lifted.root_factor, lifted.root - batch.root)
    return ((joints + root) * known).sum() / batch_count(known.sum())


def _surprise(factor: Float[Tensor, "*batch 3 3"], error: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Negative logarithm of the likelihood of errors, without its constant."""
    scaled = (factor * error.detach()[..., None, :]).sum(-1)
    x, y, z = factor.unbind(-2)
    volume = (torch.linalg.cross(x, y) * z).sum(-1)
    return 0.5 * scaled.square().sum(-1) - volume.log()
