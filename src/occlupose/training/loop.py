"""The training loop of all methods: checkpoints, exact resumption, averaged weights and a log as CSV.

Lightning Fabric handles devices and precision. All randomness derives from one seed: batches from a
generator, dropout from torch's global state; the checkpoint has both. Started by torchrun, all processes train one
network together (`training.distributed`).
"""

import logging
import time
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Interval
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.utilities.exceptions import MisconfigurationException
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Generator, Tensor, nn

from occlupose.bounds import Bounded, Count, NonNegative
from occlupose.errors import OccluposeError
from occlupose.files import atomic, remove_leftovers
from occlupose.networks.checkpoints import load_pickled
from occlupose.networks.precision import bf16_is_native
from occlupose.threads import compute_ahead
from occlupose.training.distributed import (
    Process,
    average_gradients,
    batch_total,
    shared_step,
    synchronise,
    wait_for_all,
)

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # otherwise it prints the precision

Terms = dict[str, Tensor]

Decay = Annotated[float, Interval(ge=0, lt=1)]
MaxNorm = Annotated[float, Interval(gt=0)]
Milestone = Annotated[float, Interval(gt=0)]
DropFactor = Annotated[float, Interval(gt=0, le=1)]
Precision = Literal["auto", "32-true", "bf16-mixed"]

STEPS = "steps"
"""Key of the log's sums for the number of their steps."""


@dataclass(frozen=True)
class Optimisation(Bounded):
    """Length and learning rates of a training run: AdamW with linear warm-up and an exponential moving average (EMA) of
    the weights, which is the result.

    Raises:
        OccluposeError: a value out of range.
    """

    steps: Count = 24_000
    learning_rate: NonNegative = 1e-3
    weight_decay: NonNegative = 1e-3
    warm_up_steps: Count = 300
    max_grad_norm: MaxNorm = 1.0
    ema_decay: Decay = 0.999
    """Decay of the moving average of the weights at each step; 0 keeps the last weights."""
    milestones: tuple[Milestone, ...] = ()
    """Fractions of the training at which the learning rate is multiplied by `drop_factor` (never at 1 or more); without
    any, `lr_schedule` applies.
    """
    drop_factor: DropFactor = 0.1
    lr_schedule: Literal["cosine", "linear"] = "cosine"
    """How the learning rate falls to 0 without milestones."""
    save_every: Count = 500
    log_every: Count = 100
    precision: Precision = "auto"
    """bf16 halves the time of a step on processors that support it, and takes ten times as long on others; auto is the
    faster one.
    """

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        progress = min(1.0, step / self.steps)
        if self.milestones:
            factor = self.drop_factor ** sum(progress >= milestone for milestone in self.milestones)
        elif self.lr_schedule == "linear":
            factor = 1 - progress
        else:
            factor = 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item())
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up_steps) * factor


def fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """Checksum of arrays, eight hexadecimal characters."""
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
    return f"{checksum:08x}"


def fastest_precision(device: str) -> Literal["32-true", "bf16-mixed"]:
    """bf16 where the device supports it natively, else float32."""
    return "bf16-mixed" if bf16_is_native(device) else "32-true"


def all_parameters(network: nn.Module) -> list[dict[str, Any]]:
    """All parameters as one group of torch's optimisers, which skip those without gradients."""
    return [{"params": list(network.parameters())}]


def build_optimisers(groups: list[dict[str, Any]], optimisation: Optimisation) -> list[Any]:
    """AdamW for most parameters, and Muon (Jordan et al., 2024) for those of groups with `muon`.

    Muon's steps have the size of AdamW's (Liu et al., 2025), so that one learning rate fits both. They do not depend on
    the size of the gradient: only the gradients of the first optimiser, AdamW, are clipped.
    """
    usual: dict[str, Any] = {"lr": optimisation.learning_rate, "weight_decay": optimisation.weight_decay}
    matrices = [group for group in groups if group.get("muon")]
    others = [group for group in groups if not group.get("muon")]
    optimisers: list[Any] = [torch.optim.AdamW(others, **usual, fused=True)]
    if matrices:
        optimisers.append(torch.optim.Muon(matrices, **usual, adjust_lr_fn="match_rms_adamw"))
    return optimisers


def train(
    network: nn.Module,
    sample_batch: Callable[[Generator], Any],
    loss: Callable[[nn.Module, Any], Terms],
    optimisation: Optimisation,
    folder: Path,
    *,
    parameter_groups: Callable[[nn.Module], list[dict[str, Any]]] = all_parameters,
    recipe: object = None,
    seed: int = 0,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, Tensor]:
    """Trains a network and returns its averaged weights; `folder` holds `last.pt` (checkpoint) and `log.csv`.

    Arguments:
        sample_batch: draws a batch from a generator; in several processes, the share of this process.
        loss: named terms of the loss of a batch; their sum is minimised, each is logged.
        parameter_groups: the network's parameters as torch's optimisers take them; a group may have its own
            `weight_decay`, a `scale` that multiplies its learning rate, and `muon`: true for matrices that are updated
            by Muon instead of AdamW.
        recipe: everything else that the result depends on, including the `fingerprint` of the data; a run resumes only
            if its repr is the same.
        resume: continue from `folder/last.pt` if it exists, with as many processes as before or others. On the CPU the
            result equals that of an uninterrupted run with the same number of processes bit by bit.

    Raises:
        OccluposeError: the folder holds a run and `resume` is False, or a checkpoint of another network or recipe; the
            folder cannot be written to; there is no such device; a term is not finite (the last checkpoint stays).
    """
    checkpoint = claim_run_folder(folder, resume=resume)
    precision = fastest_precision(device) if optimisation.precision == "auto" else optimisation.precision
    process = Process.current()
    if process.is_main:
        remove_leftovers(folder, ["last", "log"])
    options: dict[str, Any] = {"precision": precision}
    try:
        if precision == "bf16-mixed":
            options = {"plugins": BF16Precision(precision, torch.device(device).type)}
        devices = 1 if device == "cpu" else [process.local_rank]
        fabric = Fabric(accelerator=device, devices=devices, **options)
        fabric.launch()
    except (RuntimeError, ValueError, MisconfigurationException):
        raise OccluposeError(
            f"device {device}: unknown, or not on this machine; give cpu, or cuda where there is a GPU"
        ) from None
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    if process.world_size > 1:
        network = synchronise(network)
    network.to(fabric.device)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimisers = build_optimisers(parameter_groups(network), optimisation)
    step = 0
    sums = dict[str, float]()
    if checkpoint.exists():
        step, sums = _restore(checkpoint, network, optimisers, average, generator, repr(recipe))
    wait_for_all()  # the first checkpoint is written after all processes have looked for one
    log = _Log(folder / "log.csv", step, sums, writes=process.is_main)
    model, *optimisers = fabric.setup(network, *optimisers)
    model.train()

    def draw() -> tuple[Any, Tensor]:
        """A batch, and the generator's state after it: batches are drawn ahead of their use."""
        return sample_batch(generator), generator.get_state()

    with (
        closing(compute_ahead("batches", (draw for _ in range(optimisation.steps - step)))) as batches,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
            disable=not progress or not process.is_main,
        ) as bar,
    ):
        task = bar.add_task("training", total=optimisation.steps, completed=step, terms="")
        for batch, generator_state in batches:
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = optimisation.learning_rate_at(step) * group.get("scale", 1.0)
                optimiser.zero_grad()
            with shared_step(process):
                terms = loss(model, fabric.to_device(batch))
                means = batch_total(torch.stack(list(terms.values()))) / process.world_size
            fabric.backward(torch.stack(list(terms.values())).sum())
            if process.world_size > 1:
                average_gradients(network)
            fabric.clip_gradients(model, optimisers[0], max_norm=optimisation.max_grad_norm)
            for optimiser in optimisers:
                optimiser.step()
            step += 1
            _update_average(average, network, min(optimisation.ema_decay, step / (step + 9)))
            values = log.add(dict(zip(terms, means.tolist(), strict=True)))
            if wrong := [name for name, value in values.items() if not isfinite(value)]:
                raise OccluposeError(
                    f"{folder}: step {step}: {wrong[0]} is not a number any more; start again with a lower learning"
                    " rate"
                )
            if step % optimisation.log_every == 0 or step == optimisation.steps:
                bar.update(task, terms="  ".join(f"{name} {value:.4f}" for name, value in log.write(step).items()))
            if process.is_main and (step % optimisation.save_every == 0 or step == optimisation.steps):
                _save(checkpoint, network, optimisers, average, generator_state, step, repr(recipe), log.sums)
            bar.update(task, completed=step)
    return {name: value.cpu() for name, value in average.items()}


class BF16Precision(MixedPrecision):
    """Automatic mixed precision in bf16 that leaves batches in float32: coordinates and targets need more digits."""

    def convert_input(self, data: Any) -> Any:
        """The batch, unchanged."""
        return data


def claim_run_folder(folder: Path, *, resume: bool) -> Path:
    """Checks that a run may start or resume in a folder; returns the path of its checkpoint.

    Raises:
        OccluposeError: the folder holds a run and `resume` is False.
    """
    checkpoint = folder / "last.pt"
    if checkpoint.exists() and not resume:
        raise OccluposeError(f"{folder}: already holds a training run; give --resume to continue it, or another folder")
    return checkpoint


def _update_average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def _save(
    path: Path,
    network: nn.Module,
    optimisers: list[Any],
    average: dict[str, Tensor],
    generator: Tensor,
    step: int,
    recipe: str,
    sums: dict[str, float],
) -> None:
    state = {
        "network": network.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "average": average,
        "generator": generator,
        "torch": torch.get_rng_state(),
        "step": step,
        "recipe": recipe,
        "log": sums,
    }
    with atomic(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


def _restore(
    path: Path,
    network: nn.Module,
    optimisers: list[Any],
    average: dict[str, Tensor],
    generator: Generator,
    recipe: str,
) -> tuple[int, dict[str, float]]:
    """Restores the state of a run; returns its step, and the log's sums since its last row."""
    try:
        state = load_pickled(path)
    except Exception as error:  # a damaged file may fail in any way
        raise OccluposeError(
            f"{path}: cannot be read, damaged or not a checkpoint; start again in another folder"
        ) from error
    try:
        if state["recipe"] != recipe:
            raise ValueError("started with other settings or data")
        network.load_state_dict(state["network"])
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        for name, value in state["average"].items():
            average[name].copy_(value)
        return int(state["step"]), dict(state["log"])
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise OccluposeError(
            f"{path}: not a checkpoint of this run ({reason}); resume with the recipe and the data it was started with"
        ) from error


class _Log:
    """Means of the loss terms since the last row, appended to a CSV file; rows past the checkpoint are dropped on
    resume.
    """

    def __init__(self, path: Path, step: int, sums: dict[str, float], *, writes: bool = True) -> None:
        self.path = path
        self.sums = sums
        self.start = time.monotonic()
        self.writes = writes
        if not writes:
            return
        lines = path.read_text(errors="replace").splitlines() if step and path.exists() else []
        kept = [line for line in lines[1:] if line.count(",") == lines[0].count(",") and _step_of(line) <= step]
        with atomic(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in [*lines[:1], *kept]))

    def add(self, values: dict[str, float]) -> dict[str, float]:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.sums[STEPS] = self.sums.get(STEPS, 0.0) + 1
        return values

    def write(self, step: int) -> dict[str, float]:
        count = self.sums.pop(STEPS)
        means = {name: total / count for name, total in self.sums.items()}
        self.sums = {}
        if not self.writes:
            return means
        with self.path.open("a", newline="") as file:
            if file.tell() == 0:
                file.write(",".join(["step", *means, "seconds"]) + "\n")
            seconds = time.monotonic() - self.start
            row = [str(step), *(f"{value:.6g}" for value in means.values()), f"{seconds:.1f}"]
            file.write(",".join(row) + "\n")
        return means


def _step_of(line: str) -> float:
    """The step of a row of a log; infinity if it is no row."""
    step = line.partition(",")[0]
    return int(step) if step.isdecimal() and len(step) < 20 else inf
