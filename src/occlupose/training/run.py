"""One training run for every task: from a recipe and data to weights, their card and a log."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Generator, nn

from occlupose.errors import OccluposeError
from occlupose.files import remove_leftovers
from occlupose.folder_lock import locked
from occlupose.training import card, recipe
from occlupose.training.distributed import Process, gather
from occlupose.training.loop import Optimisation, Terms, all_parameters, claim_run_folder, train

T = TypeVar("T")

MAX_LISTED = 3
"""Unreadable images that are listed with the reason."""


class UnreadableImages:
    """Images that cannot be read are skipped, and named at the end of a run.

    Arguments:
        strict: an unreadable image is an error.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.reasons: dict[str, str] = {}
        """Why they cannot be read, by name."""

    def read(self, image: object, read: Callable[[], T]) -> T | None:
        """What `read` returns; None for an image that cannot be read, which is tried once.

        Raises:
            OccluposeError: it cannot be read, and `strict` is set.
        """
        name = str(image)
        if name in self.reasons:
            return None
        try:
            return read()
        except OccluposeError as error:
            if self.strict:
                raise
            self.reasons[name] = str(error)
            return None

    def lines(self) -> list[str]:
        """The first reasons, and the number of images; nothing if all could be read."""
        count = [f"images that could not be read, skipped: {len(self.reasons)}"] if self.reasons else []
        return [*self.reasons.values()][:MAX_LISTED] + count


def forward(module: nn.Module, batch: Any) -> Terms:
    """The loss of a module that computes its own."""
    terms: Terms = module(batch)
    return terms


@dataclass(frozen=True)
class TrainingStage:
    """A part of a training with its own schedule; most trainings have one.

    Attributes:
        module: what is trained: the network, or a module that contains it.
        sample_batch: draws a batch from a generator; in several processes, the share of this process.
        loss: named terms of the loss of a batch.
        name: of the subfolder with its checkpoint and log; "" is the folder of the run.
        seed: of batches and dropout; None is the recipe's.
        parameter_groups: as for `training.loop.train`.
    """

    module: nn.Module
    sample_batch: Callable[[Generator], Any]
    loss: Callable[[nn.Module, Any], Terms]
    optimisation: Optimisation
    name: str = ""
    seed: int | None = None
    parameter_groups: Callable[[nn.Module], list[dict[str, Any]]] = all_parameters


class TrainingTask(ABC):
    """What a trainer adds to a run: network, batches, loss, weights file and the entries of its card.

    Attributes:
        recipe: a dataclass with a `seed`; all that the result depends on, except data and initial weights.
    """

    recipe: Any

    @property
    def name(self) -> str:
        """Of the weights file, without suffix."""
        return str(self.recipe.name)

    def about(self) -> str:
        """A line to print before the training: what is trained on what."""
        return ""

    @abstractmethod
    def data(self) -> object:
        """A description or fingerprint of the data; a run is resumed only with the same."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The network with its first weights, random ones except for parts that were trained elsewhere."""

    def load_initial_weights(self, network: nn.Module, path: Path) -> str:
        """Copies initial weights into the network; returns what was copied, in words.

        Raises:
            OccluposeError: they do not fit the network, or the task takes none.
        """
        raise OccluposeError(f"{path}: {self.name} takes no initial weights; leave them out")

    @abstractmethod
    def stages(self, network: nn.Module) -> Iterable[TrainingStage]:
        """The stages in order; the next one is asked for when the one before has been trained."""

    @abstractmethod
    def save(self, network: nn.Module, path: Path) -> None:
        """Writes the weights file."""

    @abstractmethod
    def describe(self, network: nn.Module) -> dict[str, object]:
        """Entries of the card: task, licence, data, and others; these replace the common ones of the same name."""


@dataclass
class TrainingRun:
    """Where and how a task is trained. Under torchrun all processes train one network together.

    Attributes:
        folder: gets last.pt (checkpoint), log.csv, NAME.safetensors and its card NAME.json.
        resume: continue the run in the folder; the result is that of an uninterrupted run.
        device: as torch names it: cpu, cuda, ...
        init_from: initial weights; by default those of `TrainingTask.build`.
        strict: an unreadable image is an error; otherwise it is skipped and named at the end.
        progress: show a progress bar, in the main process.
        say: receives lines about the data and skipped images, in the main process.
        places: names that replace paths in the command on the card.

    Raises:
        OccluposeError: the folder holds a run and `resume` is False.
    """

    folder: Path
    resume: bool = False
    device: str = "cpu"
    init_from: Path | None = None
    strict: bool = False
    progress: bool = True
    say: Callable[[str], None] = print
    places: Mapping[Path | None, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        claim_run_folder(self.folder, resume=self.resume)
        self.images = UnreadableImages(self.strict)
        if not Process.current().is_main:
            self.say = lambda line: None
            self.progress = False

    def fit(self, task: TrainingTask) -> Path:
        """Trains a task; returns its weights file, which has a card beside it.

        Raises:
            OccluposeError: a name with a folder; initial weights that do not fit; another process trains in the folder;
                as `training.loop.train`.
        """
        if Path(task.name).name != task.name:
            raise OccluposeError(f"name {task.name}: not possible for the weights file; give one without a folder")
        path = self.folder / f"{task.name}.safetensors"
        with self._taken():
            network, origin = self._train(task)
            if Process.current().is_main:
                remove_leftovers(self.folder, [task.name])
                task.save(network, path)
                places = {**self.places, self.folder: "FOLDER", self.init_from: "WEIGHTS"}
                parameters = sum(value.numel() for value in network.parameters())
                entries = {"name": task.name, "parameters": parameters, "metrics": {}} | task.describe(network)
                card.write(path, places, **entries | {"recipe": recipe.to_json(task.recipe)} | origin)
        self.images.reasons = gather(self.images.reasons)
        for line in self.images.lines():
            self.say(line)
        return path

    def train(self, task: TrainingTask) -> nn.Module:
        """Trains a task; returns its network on the CPU, in evaluation mode, and writes no weights file.

        Raises:
            OccluposeError: as `fit`.
        """
        with self._taken():
            return self._train(task)[0]

    def _taken(self) -> AbstractContextManager[None]:
        """Keeps other runs out of the folder, in the main process."""
        return locked(self.folder) if Process.current().is_main else nullcontext()

    def _train(self, task: TrainingTask) -> tuple[nn.Module, dict[str, str]]:
        """The trained network, and where its initial weights come from."""
        seed = task.recipe.seed
        torch.manual_seed(seed)
        network = task.build()
        origin: dict[str, str] = {}
        if self.init_from is not None:
            origin["begun_with"] = task.load_initial_weights(network, self.init_from)
            origin["sha256"] = hashlib.sha256(self.init_from.read_bytes()).hexdigest()
        if task.about():
            self.say(task.about())
        for stage in task.stages(network):
            average = train(
                stage.module,
                stage.sample_batch,
                stage.loss,
                stage.optimisation,
                self.folder / stage.name,
                parameter_groups=stage.parameter_groups,
                recipe=(task.recipe, origin, task.data()),
                seed=seed if stage.seed is None else stage.seed,
                resume=self.resume,
                device=self.device,
                progress=self.progress,
            )
            stage.module.load_state_dict(average)
        return network.cpu().eval(), origin
