"""Training one network in several processes: ranks, and batch normalisation over the whole batch.

torchrun starts the processes and sets their ranks in environment variables. The result equals that of one process with
the same batch, up to the order of summation.
"""

import os
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Process:
    """One of the processes that train a network together.

    Attributes:
        rank: from 0.
        world_size: number of processes.
        local_world_size: number of processes on this machine.
    """

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1

    @classmethod
    def current(cls) -> "Process":
        """This process: as torchrun numbers it, or the only one."""
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        variables = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}
        return cls(*(int(os.environ.get(name, default)) for name, default in variables.items()))

    @property
    def nodes(self) -> int:
        """Number of machines."""
        return self.world_size // self.local_world_size

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    @property
    def share(self) -> slice:
        """This process's part of a batch: every `world_size`-th sample."""
        return slice(self.rank, None, self.world_size)


class _Sum(torch.autograd.Function):
    """Sum over all processes; the gradient is summed too."""

    @staticmethod
    def forward(ctx: object, x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return _Sum.forward(ctx, gradients[0])


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with mean and variance over all processes, on any device; torch's own needs GPUs.

    Every process must have the same number of images.
    """

    def forward(self, x: Float[Tensor, "batch channel y x"]) -> Float[Tensor, "batch channel y x"]:
        """Normalised features; by the running statistics in evaluation mode."""
        if not self.training:
            return super().forward(x)
        processes = torch.distributed.get_world_size()
        count = processes * x.numel() // x.shape[1]
        full = x.float()
        mean = _Sum.apply(full.sum((0, 2, 3))) / count
        centred = full - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum or 0.1)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def sync_batch_norm(network: nn.Module) -> nn.Module:
    """The network with every batch normalisation replaced by one over all processes; names and values do not change."""
    for name, part in network.named_children():
        if isinstance(part, nn.BatchNorm2d):
            synced = SyncBatchNorm(part.num_features, part.eps, part.momentum, part.affine, part.track_running_stats)
            synced.load_state_dict(part.state_dict())
            setattr(network, name, synced)
        else:
            sync_batch_norm(part)
    return network
