"""OANet's 2D network: the stacked hourglass, taught that a hidden joint has no place in the picture (section 3.1, eq.
1).

What is the paper's: the network, its sigmoid maps, a map of zeros for an occluded joint, the loss. The paper begins
with a network that was trained on COCO and does not say how its pictures were varied; that, the schedule and the
optimiser are ours.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor, nn

from occlupose.codecs.crops import Crop, radius
from occlupose.codecs.heatmaps import Heatmaps
from occlupose.datasets.coco import Annotations, Person, load
from occlupose.datasets.topdown import cut
from occlupose.errors import OccluposeError
from occlupose.frontends.hourglass import save
from occlupose.networks.hourglass import STRIDE, StackedHourglass
from occlupose.skeletons import Skeleton
from occlupose.training import card
from occlupose.training.loop import Optimisation, Terms, train


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run of the 2D network depends on, besides the pictures.

    Raises:
        OccluposeError: a network that could not be built, or that does not fit the crop; a variation out of its range.
    """

    name: str = "oanet_keypoints"
    stacks: int = 2
    width: int = 256
    depth: int = 4
    crop: Crop = field(default_factory=Crop)
    batch: int = 16
    flip: float = 0.5
    """Share of people who are mirrored."""
    scale: float = 0.25
    """By how much a person is larger or smaller, relative, at most (as Newell et al.)."""
    turn: float = 30.0
    """Degrees by which a person is tilted, at most (as Newell et al.)."""
    optimisation: Optimisation = field(
        default_factory=lambda: Optimisation(steps=100_000, learning_rate=5e-4, warm_up=1000, clip=0.1)
    )
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"stacks": 1, "width": 4, "depth": 1, "batch": 1}.items():
            if getattr(self, name) < least:
                raise OccluposeError(f"{name} {getattr(self, name)}: must be {least} or more")
        for name, most in {"flip": 1.0, "scale": 0.9, "turn": 180.0}.items():
            if not 0 <= getattr(self, name) <= most:
                raise OccluposeError(f"{name} {getattr(self, name):g}: must lie between 0 and {most:g}")
        halves = STRIDE * 2**self.depth
        if self.crop.width % halves or self.crop.height % halves:
            sides = f"crop {self.crop.width} x {self.crop.height}"
            raise OccluposeError(f"{sides}: at depth {self.depth} its sides must be multiples of {halves}")

    @property
    def codec(self) -> Heatmaps:
        """Between joints and maps."""
        return Heatmaps(self.crop, STRIDE)


@dataclass
class Batch:
    """What the network sees and what it should say."""

    pictures: UInt8[Tensor, "batch height width 3"]
    maps: Float[Tensor, "batch joint y x"]
    weight: Float[Tensor, "batch joint"]
    """1 where a joint is annotated, seen or hidden; 0 where nobody knows."""


@dataclass(frozen=True)
class View:
    """How one person is varied.

    Attributes:
        mirrored: left and right exchanged.
        scale: size in the crop against the usual.
        angle: by which the person is tilted, radians.
    """

    mirrored: bool = False
    scale: float = 1.0
    angle: float = 0.0


class Samples:
    """Batches of people, drawn evenly, varied, cut out and encoded.

    Arguments:
        threads: that read pictures; what is drawn does not depend on them.
    """

    def __init__(self, data: Annotations, recipe: Recipe, *, threads: int = 4) -> None:
        self.data = data
        self.recipe = recipe
        self.threads = threads

    def draw(self, generator: Generator) -> Batch:
        """The batch of a step."""
        recipe = self.recipe
        count = self.recipe.batch
        who = torch.randint(len(self.data.people), (count,), generator=generator).tolist()
        chance, size, tilt = torch.rand(3, count, dtype=torch.float64, generator=generator)
        scales = (1 + recipe.scale * (2 * size - 1)).tolist()
        angles = torch.deg2rad(recipe.turn * (2 * tilt - 1)).tolist()
        views = [View(*view) for view in zip((chance < recipe.flip).tolist(), scales, angles, strict=True)]
        people = [self.data.people[number] for number in who]
        with ThreadPoolExecutor(self.threads) as workers:
            samples = list(workers.map(partial(sample, skeleton=self.data.skeleton, codec=recipe.codec), people, views))
        return Batch(*(torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True)))


def sample(
    person: Person, view: View, *, skeleton: Skeleton, codec: Heatmaps
) -> tuple[UInt8[np.ndarray, "height width 3"], Float[np.ndarray, "joint y x"], Float[np.ndarray, "joint"]]:
    """One person as the network is shown them, the maps that it should give, and the weight of each.

    Raises:
        OccluposeError: the picture cannot be read.
    """
    crop = codec.crop
    region = crop.regions(person.box[None])
    top = radius(region) / view.scale * np.array([np.sin(view.angle), -np.cos(view.angle)])
    turned = np.concatenate([region[0, :2], region[0, :2] + top])
    shown = cut([person], [person.read()], crop, skeleton, turned[None], np.array([view.mirrored]))
    return shown.pictures[0], *codec.encode(shown.xy[0], shown.state[0])


def loss(network: nn.Module, batch: Batch) -> Terms:
    """OANet eq. 1, a term for each stack: the squared difference of maps, those of hidden joints being zeros.

    The paper sums over joints; this is the mean over the cells of the joints that are annotated, which descends the
    same way.
    """
    maps = network(batch.pictures)
    return {f"stack {number}": joint_loss(said, batch.maps, batch.weight) for number, said in enumerate(maps, start=1)}


def joint_loss(
    maps: Float[Tensor, "batch joint y x"],
    truth: Float[Tensor, "batch joint y x"],
    weight: Float[Tensor, "batch joint"],
) -> Float[Tensor, ""]:
    """Mean squared difference of maps, over the cells of weighted joints."""
    return (weight * ((maps - truth) ** 2).mean((-2, -1))).sum() / weight.sum().clamp_min(1)


def train_keypoints(
    data: Path,
    images: Path,
    folder: Path,
    recipe: Recipe,
    *,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Path:
    """Trains the 2D network on annotated pictures; returns the weights file.

    Arguments:
        data: annotations in COCO's keypoint format, with v of each joint (`datasets.coco.load`). Their joints are those
            of the network.
        images: folder of the pictures.
        folder: gets last.pt, log.csv, NAME.safetensors and its card NAME.json.
        resume: go on where the folder's run was stopped; the result is that of an uninterrupted run.

    Raises:
        OccluposeError: annotations or pictures that cannot be used; what `training.loop.train` refuses.
    """
    annotations = load(data, images, all_pictures=True)
    torch.manual_seed(recipe.seed)
    skeleton = annotations.skeleton
    network = StackedHourglass(len(skeleton), stacks=recipe.stacks, width=recipe.width, depth=recipe.depth)
    learnt = annotations.describe()
    average = train(
        network,
        Samples(annotations, recipe).draw,
        loss,
        recipe.optimisation,
        folder,
        recipe=(recipe, learnt),
        seed=recipe.seed,
        resume=resume,
        device=device,
        progress=progress,
    )
    path = folder / f"{recipe.name}.safetensors"
    save(average, network, skeleton, recipe.crop, path)
    card.write(
        path,
        {data: "ANNOTATIONS", images: "IMAGES", folder: "FOLDER"},
        name=recipe.name,
        task=f"crop of one person to heatmaps of {skeleton.name}, dark where a joint is hidden",
        parameters=sum(value.numel() for value in network.parameters()),
        licence="that of its pictures and annotations",
        data=learnt,
        metrics={},
        recipe=asdict(recipe),
    )
    return path
