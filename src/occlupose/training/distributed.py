"""Training one network in several processes: ranks, their shares of a batch, and what is counted over the whole batch.

torchrun starts the processes and sets their ranks in environment variables. Every process draws the random numbers of
the whole batch and computes its own part. The result equals that of one process with the same batch, up to the order of
summation: normalisation, dropout and the divisors of losses are those of the whole batch, and gradients are averaged.
"""

import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Generator, Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from occlupose.errors import OccluposeError
from occlupose.networks.vitpose import DropPath

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long processes wait for each other: one of them may label data for hours."""


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
    def local_rank(self) -> int:
        """From 0 on this machine."""
        return self.rank % self.local_world_size

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """This process's part of a batch: every `world_size`-th sample.

        Arguments:
            batch: number of samples, of all processes together.

        Raises:
            OccluposeError: the processes cannot share it evenly.
        """
        if batch % self.world_size:
            raise OccluposeError(
                f"batch {batch}: cannot be shared evenly by {self.world_size} processes; give a multiple of"
                f" {self.world_size}"
            )
        return slice(self.rank, None, self.world_size)


def share_batches(draw: Callable[[Generator], T], batch: int) -> Callable[[Generator], T]:
    """A function that draws this process's part of what `draw` draws.

    Arguments:
        draw: makes a dataclass of tensors with a row for each sample, or of such dataclasses.
        batch: number of samples.

    Raises:
        OccluposeError: as `Process.share`.
    """
    share = Process.current().share(batch)
    return lambda generator: _rows(draw(generator), share)


def _rows(values: Any, share: slice) -> Any:
    """These rows of all tensors."""
    if is_dataclass(values) and not isinstance(values, type):
        return replace(values, **{each.name: _rows(getattr(values, each.name), share) for each in fields(values)})
    return values[share] if isinstance(values, Tensor) else values


def join() -> None:
    """Connects the processes that torchrun started; nothing happens in the only one, or if they are connected."""
    if Process.current().world_size == 1 or distributed.is_initialized():
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    atexit.register(_leave)  # otherwise Python may abort in a thread of gloo as it exits


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def wait_for_all() -> None:
    """Waits until every process is here."""
    join()
    if distributed.is_initialized():
        distributed.all_reduce(torch.zeros(()))


@contextmanager
def main_first() -> Iterator[None]:
    """The main process goes first; the others wait, and read the files that it wrote."""
    process = Process.current()
    if not process.is_main:
        wait_for_all()
    yield
    if process.is_main:
        wait_for_all()


def gather(values: dict[str, str]) -> dict[str, str]:
    """The entries of all processes."""
    if Process.current().world_size == 1:
        return values
    join()
    parts = [dict[str, str]() for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(parts, values)
    return {name: value for part in parts for name, value in part.items()}


def average_gradients(network: nn.Module) -> None:
    """Replaces the gradients of this process by the means over all; a parameter without any keeps none, and waits for a
    later phase of the training.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    found = torch.tensor([float(parameter.grad is not None) for parameter in parameters])
    distributed.all_reduce(found)
    used = [parameter for parameter, number in zip(parameters, found.tolist(), strict=True) if number]
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in used]
    means = torch.cat([gradient.flatten() for gradient in gradients]) / distributed.get_world_size()
    distributed.all_reduce(means)
    sizes = [gradient.numel() for gradient in gradients]
    for parameter, gradient, mean in zip(used, gradients, means.split(sizes), strict=True):
        parameter.grad = gradient.copy_(mean.view_as(gradient))


_IN_STEP: ContextVar[bool] = ContextVar("in_step", default=False)


@contextmanager
def shared_step(process: Process) -> Iterator[None]:
    """A step in which every process has a part of the batch; `batch_total`, `batch_count` and `batch_rand` concern the
    whole batch in it.
    """
    token = _IN_STEP.set(process.world_size > 1)
    try:
        yield
    finally:
        _IN_STEP.reset(token)


def batch_total(values: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
    """The sum over all processes, without gradient; in one process the values themselves."""
    if not _IN_STEP.get():
        return values.detach()
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


def batch_count(count: Shaped[Tensor, ""]) -> Shaped[Tensor, ""]:
    """What a sum over this process's part of a batch is divided by, so that the mean of the quotients over processes is
    the mean over the whole batch: the count of the whole batch, at least 1, per process.

    Arguments:
        count: of this part; the processes may have different ones.
    """
    processes = distributed.get_world_size() if _IN_STEP.get() else 1
    return batch_total(count).clamp_min(1) / processes


def batch_rand(count: int, *, device: torch.device | str = "cpu") -> Float[Tensor, " count"]:
    """Uniform random numbers for the samples of this process, from torch's global generator: its part, as
    `Process.share` has it, of those of the whole batch, so that the generators of all processes remain the same.
    """
    process = Process.current() if _IN_STEP.get() else Process()
    whole = int(batch_total(torch.tensor(count)))
    return torch.rand(whole, device=device)[process.rank :: process.world_size]


class _Sum(torch.autograd.Function):
    """Sum over all processes; the gradient is summed too."""

    @staticmethod
    def forward(ctx: object, x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return _Sum.forward(ctx, gradients[0])


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation with mean and variance over all processes, on any device; torch's own needs GPUs.

    The processes may have different numbers of samples, and none.
    """

    def forward(self, x: Float[Tensor, "batch channel *place"]) -> Float[Tensor, "batch channel *place"]:
        """Normalised features; by the running statistics in evaluation mode."""
        if not self.training:
            return super().forward(x)
        places = [axis for axis in range(x.ndim) if axis != 1]
        full = x.float()
        shape = [-1] + [1] * (x.ndim - 2)
        count = full.new_tensor(x.numel() // x.shape[1])
        distributed.all_reduce(count)
        mean = _Sum.apply(full.sum(places)) / count
        centred = full - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(places)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum or 0.1)
                self.running_var.lerp_(variance * count / (count - 1), self.momentum or 0.1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions."""


class SyncDropout(nn.Dropout):
    """Dropout whose random numbers are this process's part of those of the whole batch."""

    def forward(self, x: Float[Tensor, "batch *place"]) -> Float[Tensor, "batch *place"]:
        """The features, some of them 0; unchanged in evaluation mode."""
        if not self.training or not self.p:
            return x
        process = Process.current()
        whole = int(batch_total(torch.tensor(len(x))))
        kept = torch.empty((whole, *x.shape[1:]), dtype=x.dtype, device=x.device)
        kept.bernoulli_(1 - self.p).div_(1 - self.p)
        return x * kept[process.rank :: process.world_size]


class SyncDropPath(DropPath):
    """Stochastic depth whose random numbers are this process's part of those of the whole batch."""

    def draw(self, count: int, device: torch.device) -> Float[Tensor, " count"]:
        """Uniform random numbers for the samples of this process."""
        return batch_rand(count, device=device)


def synchronise(network: nn.Module) -> nn.Module:
    """The network with batch normalisation, dropout and stochastic depth over all processes; names and values do not
    change.
    """
    for name, part in network.named_children():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            synced = SyncBatchNorm(part.num_features, part.eps, part.momentum, part.affine, part.track_running_stats)
            synced.load_state_dict(part.state_dict())
            setattr(network, name, synced)
        elif isinstance(part, nn.Dropout):
            setattr(network, name, SyncDropout(part.p))
        elif isinstance(part, DropPath):
            setattr(network, name, SyncDropPath(part.rate))
        else:
            synchronise(part)
    return network
