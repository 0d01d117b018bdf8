"""The one training loop: steps, checkpoints that resume to the same result, averaged weights, a log that opens as a
table.

Devices, precision and processes are Lightning Fabric's. Everything random comes from one seed: batches from a
generator, dropout from torch's own state; both are in the checkpoint. Begun by torchrun, all processes train one
network together (`training.together`).
"""

import csv
import logging
import time
import zlib
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Generator, Tensor, nn

from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.networks.precision import bf16_is_native
from occlupose.threads import compute_ahead
from occlupose.training.together import Place, in_one_batch

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # otherwise it says which precision it was given

Terms = dict[str, Tensor]

STEPS = "steps"
"""Among the sums of the log: how many steps they are of."""


@dataclass(frozen=True)
class Optimisation:
    """How long and how fast. AdamW (Adam, where nothing decays) with a linear warm-up; the weights kept are an
    exponential average.

    Raises:
        OccluposeError: a number that cannot be.
    """

    steps: int = 24_000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    warm_up: int = 300
    clip: float = 1.0
    average: float = 0.999
    """Share of the average that stays at each step; 0 keeps the last weights as they are."""
    drops: tuple[float, ...] = ()
    """Shares of the training after which the rate is a tenth of what it was, 1 and more being never; none leaves it to
    `fall`.
    """
    fall: Literal["cosine", "linear"] = "cosine"
    """How the rate goes to nothing where it does not drop."""
    save_every: int = 500
    log_every: int = 100
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """bf16 halves the time of a step on processors that have it, and takes ten times as long on others; auto is the
    faster one.
    """

    def __post_init__(self) -> None:
        for name in ("steps", "warm_up", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise OccluposeError(f"{name} {getattr(self, name)}: a number of steps is at least 1")
        for name in ("learning_rate", "weight_decay"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise OccluposeError(f"{name} {getattr(self, name)}: must be 0 or more")
        if not self.clip > 0:
            raise OccluposeError(f"clip {self.clip}: the most that gradients may measure, more than 0")
        if not 0 <= self.average < 1:
            raise OccluposeError(
                f"average {self.average}: the share of the average that stays at each step, 0 or more and less than 1"
            )
        if not all(drop > 0 for drop in self.drops):
            raise OccluposeError(f"drops {self.drops}: shares of the training, each more than 0")

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        progress = min(1.0, step / self.steps)
        if self.drops:
            fall = 0.1 ** sum(progress >= drop for drop in self.drops)
        elif self.fall == "linear":
            fall = 1 - progress
        else:
            fall = 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item())
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up) * fall


def fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """Eight characters that tell data from other data."""
    check = 0
    for array in arrays:
        check = zlib.crc32(np.ascontiguousarray(array).tobytes(), check)
    return f"{check:08x}"


def fastest_precision(device: str) -> Literal["32-true", "bf16-mixed"]:
    """bf16 where the device calculates in it, else float32."""
    return "bf16-mixed" if bf16_is_native(device) else "32-true"


def train(
    network: nn.Module,
    batch: Callable[[Generator], Any],
    loss: Callable[[nn.Module, Any], Terms],
    optimisation: Optimisation,
    folder: Path,
    *,
    groups: Callable[[nn.Module], list[dict[str, Any]]] = lambda network: [{"params": list(network.parameters())}],
    recipe: object = None,
    seed: int = 0,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> dict[str, Tensor]:
    """Trains a network and returns its averaged weights; `folder` holds `last.pt` (checkpoint) and `log.csv`.

    Arguments:
        batch: draws a batch from a generator; of several processes each its own share of it.
        groups: the network's parameters in groups, as torch's optimisers take them; one may have a `weight_decay` of
            its own, and a `scale` that multiplies its learning rate.
        loss: named terms of a batch; their sum is descended, all are logged.
        recipe: what else the result depends on, also the `fingerprint` of the data; a run is resumed only with what
            prints the same.
        resume: go on from `folder/last.pt` if it is there. On the CPU the result equals that of an uninterrupted run
            bit by bit (in several processes: of a network without dropout).

    Raises:
        OccluposeError: the folder holds a run and `resume` is False, or a checkpoint of another network or recipe; the
            folder cannot be written to, or the device is not there; a term is not a number (the last checkpoint stays).
    """
    checkpoint = free(folder, resume=resume)
    precision = fastest_precision(device) if optimisation.precision == "auto" else optimisation.precision
    place = Place.here()
    try:
        fabric = Fabric(
            accelerator=device,
            devices=place.neighbours,
            num_nodes=place.nodes,
            strategy="ddp" if place.of > 1 else "auto",
            **(
                {"plugins": Mixed(precision, torch.device(device).type)}
                if precision == "bf16-mixed"
                else {"precision": precision}
            ),
        )
        fabric.launch()
    except (RuntimeError, ValueError):
        raise OccluposeError(
            f"device {device}: not on this machine, or not known; give cpu, or cuda where there is a GPU"
        ) from None
    torch.manual_seed(seed + place.number)
    generator = torch.Generator().manual_seed(seed)
    if place.of > 1:
        network = in_one_batch(network)
    network.to(fabric.device)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.AdamW(
        groups(network), lr=optimisation.learning_rate, weight_decay=optimisation.weight_decay, fused=True
    )
    step = 0
    sums = dict[str, float]()
    if checkpoint.exists():
        step, sums = _restore(checkpoint, network, optimiser, average, generator, repr(recipe))
    fabric.barrier()  # nobody writes the first checkpoint before everybody has looked for one
    log = _Log(folder / "log.csv", step, sums, writes=place.first)
    model, optimiser = fabric.setup(network, optimiser)
    model.train()

    def draw() -> tuple[Any, Tensor]:
        """A batch, and the state of the generator behind it: by the time it is used another is drawn."""
        return batch(generator), generator.get_state()

    with (
        closing(compute_ahead("batches", (draw for _ in range(optimisation.steps - step)))) as batches,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
            disable=not progress or not place.first,
        ) as bar,
    ):
        task = bar.add_task("training", total=optimisation.steps, completed=step, terms="")
        for given, drawn in batches:
            for group in optimiser.param_groups:
                group["lr"] = optimisation.rate(step) * group.get("scale", 1.0)
            terms = loss(model, fabric.to_device(given))
            optimiser.zero_grad()
            fabric.backward(torch.stack(list(terms.values())).sum())
            fabric.clip_gradients(model, optimiser, max_norm=optimisation.clip)
            optimiser.step()
            step += 1
            _average(average, network, min(optimisation.average, step / (step + 9)))
            said = log.add({name: _mean(fabric, term) for name, term in terms.items()} if place.of > 1 else terms)
            if wrong := [name for name, value in said.items() if not isfinite(value)]:
                raise OccluposeError(
                    f"{folder}: step {step}: {wrong[0]} is not a number any more; begin anew with a lower learning rate"
                )
            if step % optimisation.log_every == 0 or step == optimisation.steps:
                bar.update(task, terms="  ".join(f"{name} {value:.4f}" for name, value in log.write(step).items()))
            if place.first and (step % optimisation.save_every == 0 or step == optimisation.steps):
                _save(checkpoint, network, optimiser, average, drawn, step, repr(recipe), log.sums)
            bar.update(task, completed=step)
    return {name: value.cpu() for name, value in average.items()}


class Mixed(MixedPrecision):
    """Calculates in bf16 what is safe in it. Batches stay as they are: their coordinates and targets want more than
    three digits.
    """

    def convert_input(self, data: Any) -> Any:
        """The same."""
        return data


def free(folder: Path, *, resume: bool) -> Path:
    """The checkpoint of a folder, which may be trained in.

    Raises:
        OccluposeError: the folder holds a run and `resume` is False.
    """
    checkpoint = folder / "last.pt"
    if checkpoint.exists() and not resume:
        raise OccluposeError(
            f"{folder}: holds a training run already; give --resume to go on with it, or another folder"
        )
    return checkpoint


def _mean(fabric: Fabric, term: Tensor) -> Tensor:
    """Of all processes."""
    mean = fabric.all_reduce(term.detach())
    assert isinstance(mean, Tensor)
    return mean


def _average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def _save(
    path: Path,
    network: nn.Module,
    optimiser: Any,
    average: dict[str, Tensor],
    generator: Tensor,
    step: int,
    recipe: str,
    sums: dict[str, float],
) -> None:
    state = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
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
    path: Path, network: nn.Module, optimiser: Any, average: dict[str, Tensor], generator: Generator, recipe: str
) -> tuple[int, dict[str, float]]:
    """Puts everything back as it was; the step, and the log's sums since its last row."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, KeyError, ValueError, TypeError, EOFError, OSError, UnpicklingError) as error:
        raise OccluposeError(
            f"{path}: cannot be read, damaged or no checkpoint; begin anew in another folder"
        ) from error
    try:
        if state["recipe"] != recipe:
            raise ValueError("begun with other settings or data")
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        for name, value in state["average"].items():
            average[name].copy_(value)
        return int(state["step"]), dict(state["log"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or ["empty"])[0]
        raise OccluposeError(
            f"{path}: not a checkpoint of this run ({reason}); resume with the recipe and the data that began it"
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
        rows = list(csv.reader(path.open())) if step and path.exists() else []
        whole = [row for row in rows if len(row) == len(rows[0])]
        kept = [row for row in whole if not row[0].isdigit() or int(row[0]) <= step]
        with atomic(path) as temporary:
            temporary.write_text("".join(",".join(row) + "\n" for row in kept))

    def add(self, terms: Terms) -> dict[str, float]:
        values = {name: value.item() for name, value in terms.items()}
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
            file.write(
                ",".join(
                    [str(step), *(f"{value:.6g}" for value in means.values()), f"{time.monotonic() - self.start:.1f}"]
                )
                + "\n"
            )
        return means
