"""Several processes that train one network: who is who, and batch normalisation over what all of them see.

They are begun by torchrun, which tells each its place in variables of the environment. The result is that of one
process with the same batch, but for the order in which numbers are added.
"""

import os
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Place:
    """Which of the processes this is.

    Attributes:
        number: from 0.
        of: all of them.
        neighbours: those on this machine.
    """

    number: int = 0
    of: int = 1
    neighbours: int = 1

    @classmethod
    def here(cls) -> "Place":
        """As torchrun says; alone without it."""
        number, of, neighbours = (
            int(os.environ.get(name, alone))
            for name, alone in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_WORLD_SIZE", 1))
        )
        return cls(number, of, neighbours) if "TORCHELASTIC_RUN_ID" in os.environ else cls()

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.of // self.neighbours

    @property
    def first(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.number == 0

    @property
    def share(self) -> slice:
        """Its part of a batch: every so-manieth."""
        return slice(self.number, None, self.of)


class _Sum(torch.autograd.Function):
    """Over all processes; so is the gradient."""

    @staticmethod
    def forward(ctx: object, x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return _Sum.forward(ctx, gradients[0])


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the mean and the variance of what all processes see, on any device: torch's own works on
    GPUs alone.

    All must see equally many pictures.
    """

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        """Normalised; outside of training by the running statistics."""
        if not self.training:
            return super().forward(x)
        processes = torch.distributed.get_world_size()
        count = processes * x.numel() // x.shape[1]
        wide = x.float()
        mean = _Sum.apply(wide.sum((0, 2, 3))) / count
        apart = wide - mean[:, None, None]
        variance = _Sum.apply(apart.square().sum((0, 2, 3))) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum or 0.1)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (apart * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def in_one_batch(network: nn.Module) -> nn.Module:
    """The same network, its batch normalisation over the batches of all processes; names and numbers stay."""
    for name, part in network.named_children():
        if isinstance(part, nn.BatchNorm2d):
            joined = BatchNorm(part.num_features, part.eps, part.momentum, part.affine, part.track_running_stats)
            joined.load_state_dict(part.state_dict())
            setattr(network, name, joined)
        else:
            in_one_batch(part)
    return network
