"""LJOF's training (arXiv 2410.09885): people cut out and varied, blocks on their limb joints, the structure loss that
grows in.

What the paper adds costs nothing afterwards: the network that comes out is the estimator itself.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor, nn

from occlupose.codecs.maps import pool_maps
from occlupose.datasets.coco import Annotations, Person
from occlupose.datasets.topdown import CHANCES, MEMORY, Gallery, show
from occlupose.errors import OccluposeError
from occlupose.frontends.estimator import begin, save
from occlupose.methods.ljof.losses import DynamicStructureLoss, heatmap_loss
from occlupose.methods.ljof.recipe import LJOFRecipe
from occlupose.networks.estimators import normalised
from occlupose.networks.vitpose import ViTPose, layer
from occlupose.poses import ABSENT
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton
from occlupose.threads import opencv_on_one_thread
from occlupose.training import card
from occlupose.training.distributed import Process
from occlupose.training.loop import Terms, train

THREADS = 4
"""That read pictures."""


@dataclass
class LJOFBatch:
    """What the network sees and where the joints are."""

    pictures: UInt8[Tensor, "batch height width 3"]
    xy: Float[Tensor, "batch joint 2"]
    weight: Float[Tensor, "batch joint"]
    """1 where a joint is annotated, seen or hidden; 0 where nobody knows."""


class LJOFSampler:
    """Batches of people, drawn evenly, varied, with blocks on their limbs.

    Each person's chance is their own, whoever else is in the batch and however many processes share it.

    Pictures that cannot be read are left out, and others take their places; `unreadable` names them.

    Arguments:
        share: this process's part of every batch.
        strict: an unreadable picture ends the training.
        memory: bytes of decoded pictures that are kept, so that they are not read again.
    """

    def __init__(
        self,
        data: Annotations,
        recipe: LJOFRecipe,
        *,
        share: slice = slice(None),
        strict: bool = False,
        memory: int = MEMORY,
        threads: int = THREADS,
    ) -> None:
        self.data = data
        self.recipe = recipe
        self.share = share
        self.strict = strict
        self.unreadable: dict[str, str] = {}
        self._gallery = Gallery(memory)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="pictures")

    def draw(self, generator: Generator) -> LJOFBatch:
        """This process's share of the batch of a step."""
        recipe = self.recipe
        skeleton = self.data.skeleton
        blocks = recipe.blocks
        who = torch.randint(len(self.data.people), (recipe.batch,), generator=generator)[self.share].tolist()
        of_view, of_blocks = (
            torch.rand(recipe.batch, count, dtype=torch.float64, generator=generator)[self.share].numpy()
            for count in (CHANCES, 0 if blocks is None else blocks.random_count(skeleton))
        )
        people, images = zip(*self._readable(who), strict=True)
        shown = show(people, images, recipe.crop, skeleton, recipe.variation, of_view)
        pictures = shown.pictures
        if blocks is not None:
            pictures, _ = blocks.cover_images(pictures, shown.xy, shown.state, skeleton, of_blocks, shown.boxes)
        weight = torch.from_numpy(shown.state != ABSENT).float()
        return LJOFBatch(torch.from_numpy(pictures), torch.from_numpy(shown.xy).float(), weight)

    def _readable(self, who: Sequence[int]) -> list[tuple[Person, Pyramid]]:
        """People with these numbers and their pictures; those that are not at hand are read side by side.

        Raises:
            OccluposeError: as `_one`.
        """
        people = [self.data.people[number] for number in who]
        at_hand = [self._gallery.kept(person) for person in people]
        missing = [number for number, image in zip(who, at_hand, strict=True) if image is None]
        read = self._workers.map(self._one, missing) if missing else iter(())
        return [next(read) if image is None else (person, image) for person, image in zip(people, at_hand, strict=True)]

    def _one(self, number: int) -> tuple[Person, Pyramid]:
        """This person, or the next whose picture can be read.

        Raises:
            OccluposeError: no picture can be read; or this one, where that is an error.
        """
        people = self.data.people
        for step in range(len(people)):
            person = people[(number + step) % len(people)]
            image = self._read(person)
            if image is not None:
                return person, image
        raise OccluposeError(
            f"{people[number].picture}: cannot be read, nor can any other picture; give the dataset's own pictures"
        )

    def _read(self, person: Person) -> Pyramid | None:
        """The person's picture; None where it cannot be read."""
        name = str(person.picture)
        if name in self.unreadable:
            return None
        try:
            return self._gallery.read(person)
        except OccluposeError as error:
            if self.strict:
                raise
            self.unreadable[name] = str(error)
            return None


class LJOFTraining(nn.Module):
    """An estimator in training: it says how wrong it is about a batch, by losses that change as the training goes on.

    Arguments:
        steps: of the whole training.
    """

    step: Tensor
    """Batches that were learnt from; in the checkpoint like the weights."""

    def __init__(self, estimator: nn.Module, recipe: LJOFRecipe, skeleton: Skeleton, steps: int) -> None:
        super().__init__()
        self.estimator = estimator
        self.recipe = recipe
        self.steps = steps
        self.maps = recipe.maps()
        structure = recipe.structure
        self.structure = (
            None if structure is None else DynamicStructureLoss(skeleton, structure.schedule, structure.kind)
        )
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, batch: LJOFBatch) -> Terms:
        """The terms of the loss: LJOF eq. 4 on the finest maps; of a network with several heads also the plain loss of
        each coarser one, on targets that are pooled to its size (SRPose)."""
        *coarse, finest = self.estimator(normalised(batch.pictures))
        truth, weight = self.maps.encode(batch.xy, batch.weight)
        *shares, share = self.recipe.heads or (1.0,)
        terms = {
            f"head {number}": factor * heatmap_loss(said.float(), pool_maps(truth, *said.shape[-2:]), weight)
            for number, (factor, said) in enumerate(zip(shares, coarse, strict=True))
        }
        done = self.step.item() / self.steps
        self.step += 1
        if self.structure is None:
            return terms | {"heatmap": share * heatmap_loss(finest.float(), truth, weight)}
        of_finest = self.structure.terms(finest.float(), truth, weight, done)
        return terms | {name: share * term for name, term in of_finest.items()}


def parameter_groups(network: nn.Module, recipe: LJOFRecipe) -> list[dict[str, Any]]:
    """Parameters by how fast they learn: those of a transformer's lower layers more slowly, and biases, norms and
    positions without decay.

    BEiT's scheme (Bao et al. 2022), as ViTPose's recipes have it.
    """
    if recipe.layer_decay == 1:
        return [{"params": list(network.parameters())}]
    assert isinstance(network, LJOFTraining) and isinstance(network.estimator, ViTPose), (
        "only transformers have a decay by layer"
    )
    depth = len(network.estimator.backbone.blocks)
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.estimator.named_parameters():
        plain = parameter.ndim < 2 or name.endswith("pos_embed")
        found.setdefault((layer(name, depth), plain), []).append(parameter)
    return [
        {
            "params": parameters,
            "scale": recipe.layer_decay ** (depth + 1 - number),
            **({"weight_decay": 0.0} if plain else {}),
        }
        for (number, plain), parameters in sorted(found.items(), key=lambda item: item[0])
    ]


def train_estimator(
    data: Annotations,
    folder: Path,
    recipe: LJOFRecipe,
    *,
    start: Path | None = None,
    strict: bool = False,
    memory: int = MEMORY,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    say: Callable[[str], None] = print,
    places: Mapping[Path | None, str] | None = None,
) -> Path:
    """Trains an estimator on annotated people; returns the weights file. Begun by torchrun, all processes share the
    work.

    Arguments:
        data: who is learnt from (`datasets.coco.load`); their joints are those of the network.
        folder: gets last.pt, log.csv, MODEL.safetensors and its card MODEL.json.
        start: weights to begin with, whole or of the backbone alone, as `occlupose convert checkpoint` writes them.
        strict: a picture that cannot be read ends the training; otherwise it is left out and named at the end.
        memory: bytes of decoded pictures that are kept, by all processes of this machine together.
        resume: go on where the folder's run was stopped; the result is that of an uninterrupted run.
        say: is told in a line who is learnt from, and what was left out.
        places: names for further paths in the command line, which the card shows.

    Raises:
        OccluposeError: starting weights of another network; a batch that processes cannot share evenly; what
            `training.loop.train` refuses.
    """
    process = Process.current()
    if recipe.batch % process.world_size:
        raise OccluposeError(
            f"batch {recipe.batch}: {process.world_size} processes cannot share it evenly; give a multiple of"
            f" {process.world_size}"
        )
    torch.manual_seed(recipe.seed)
    design = recipe.design(data.skeleton)
    plan = recipe.optimisation(len(data.people))
    estimator = design.build()
    begun = (
        {}
        if start is None
        else {"begun_with": begin(estimator, design, start), "sha256": hashlib.sha256(start.read_bytes()).hexdigest()}
    )
    if process.is_main:
        say(
            f"{recipe.model}: learns from {len(data.people)} people of {data.truth.path.name} ({data.truth.dataset}),"
            f" {data.skeleton.name}"
        )
    training = LJOFTraining(estimator, recipe, data.skeleton, plan.steps).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    samples = LJOFSampler(data, recipe, share=process.share, strict=strict, memory=memory // process.local_world_size)
    learnt = data.describe()
    with opencv_on_one_thread():
        average = train(
            training,
            samples.draw,
            lambda training, batch: training(batch),
            plan,
            folder,
            parameter_groups=partial(parameter_groups, recipe=recipe),
            recipe=(recipe, begun, learnt),
            seed=recipe.seed,
            resume=resume,
            device=device,
            progress=progress,
        )
    path = folder / f"{recipe.model}.safetensors"
    if process.is_main:
        weights = {
            name.removeprefix("estimator."): value for name, value in average.items() if name.startswith("estimator.")
        }
        save(weights, design, path)
        card.write(
            path,
            {**(places or {}), data.truth.path: "ANNOTATIONS", folder: "FOLDER", start: "WEIGHTS"},
            name=recipe.model,
            task=f"crop of one person to heatmaps of {data.skeleton.name}",
            parameters=sum(value.numel() for value in estimator.parameters()),
            licence="that of its pictures and annotations",
            data=learnt,
            metrics={},
            recipe=asdict(recipe) | {"max_grad_norm": recipe.max_grad_norm if isfinite(recipe.max_grad_norm) else None},
            **begun,
        )
        for reason in list(samples.unreadable.values())[:3]:
            say(reason)
        if samples.unreadable:
            say(f"pictures that could not be read, left out: {len(samples.unreadable)}")
    return path
