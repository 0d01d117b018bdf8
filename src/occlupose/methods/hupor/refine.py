"""The last step of HUPOR (arXiv 2208.00090): a small network that has seen how people are built corrects the depths of
joints that were found, and says where those are that were not (RefineNet).

It learns from what the networks before it say of the pictures that they were trained on, and from the truth.

Joints are those of mpi15.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Generator, Tensor, nn

from occlupose.cameras import Camera
from occlupose.datasets.image_samples import ImageSample
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.networks.refine import GCN, MLP, Correction
from occlupose.poses import ABSENT
from occlupose.skeletons import MPI15
from occlupose.training.loop import Optimisation, Terms, fingerprint, train

PELVIS = MPI15.index("pelvis")[0]

MAX_PELVIS_DISTANCE = 30.0
"""Pixels between two pelvises that are less than this may be one person's."""

RefineKind = Literal["gcn", "mlp"]

LEARNING_RATES: dict[RefineKind, float] = {"gcn": 1e-2, "mlp": 0.08}
"""Of learning, by HUPOR's supplement and its authors' earlier code."""

MILESTONES: dict[RefineKind, tuple[float, ...]] = {"gcn": (), "mlp": (0.25, 0.75)}
"""When rates fall (`Optimisation.drops`)."""


def encode_inputs(
    xy: Float[np.ndarray, "person 15 2"],
    xyz: Float[np.ndarray, "person 15 3"],
    state: Shaped[np.ndarray, "person 15"],
    camera: Camera,
    *,
    published: bool = False,
) -> Float[Tensor, "person 15 5"]:
    """What the network is given of each person: where a joint is in the picture and where in space.

    The pelvis's row has its place, the others' theirs relative to the pelvis; rows of joints that are missing are 0,
    all of a person whose pelvis is.

    Arguments:
        xy: px of the camera.
        xyz: m, camera frame.
        published: pixels and centimetres, as the authors' earlier code has them. They depend on how large the picture
            is, and on the lens. Otherwise places in the picture are those of a camera of focal length 1 that looks
            through its middle, and metres (ours).
    """
    both = (xy, 100 * xyz) if published else (camera.rays(xy)[..., :2], xyz)
    rows = np.concatenate(both, -1)
    pelvis = rows[:, PELVIS].copy()
    known = (state != ABSENT) & np.isfinite(rows).all(-1)
    rows = rows - pelvis[:, None]
    rows[:, PELVIS] = pelvis
    rows[~(known & known[:, PELVIS, None])] = 0
    return torch.from_numpy(rows.astype(np.float32))


@torch.no_grad()
def refine_positions(
    network: nn.Module,
    xy: Float[np.ndarray, "person 15 2"],
    xyz: Float[np.ndarray, "person 15 3"],
    state: Shaped[np.ndarray, "person 15"],
    camera: Camera,
    *,
    published: bool = False,
) -> Float[np.ndarray, "person 15 3"]:
    """Where all joints are, m, camera frame; also those that were not found.

    As SMAP's evaluation does: of a joint that was found in the picture only the depth is the network's, and it lies
    behind its pixel; one that was not is where the network says. The pelvis stays where it was.

    What is not before the camera is not believed: that joint stays as it was, as do all of a person without a pelvis
    (ours).

    Arguments:
        network: in use (`eval`); gives where joints are relative to the pelvis, m.
        xy: px of the camera.
        xyz: m, camera frame.
        published: what the network was trained with (`inputs`).
    """
    device = next(network.parameters()).device
    given = encode_inputs(xy, xyz, state, camera, published=published).to(device)
    said = xyz[:, [PELVIS]] + network(given).cpu().numpy().astype(xyz.dtype)
    found = (state != ABSENT) & np.isfinite(xy).all(-1)
    said = np.where(found[..., None], camera.back_project(xy, said[..., 2]), said)
    believed = (said[..., 2] > 0) & found[:, [PELVIS]]
    believed[:, PELVIS] = False
    return np.where(believed[..., None], said, xyz).astype(xyz.dtype)


@dataclass(eq=False)
class RefinePairs:
    """What was found of people, and the truth.

    Attributes:
        inputs: as `inputs`.
        xyz: where joints are relative to the pelvis, m; 0 where that is not known.
        known: where it is; never of the pelvis, which stays where it is.
    """

    inputs: Float[Tensor, "pair 15 5"]
    xyz: Float[Tensor, "pair 15 3"]
    known: Bool[Tensor, "pair 15"]

    def __len__(self) -> int:
        return len(self.inputs)

    @classmethod
    def of(cls, parts: Iterable["RefinePairs"]) -> "RefinePairs":
        """Those of all parts, at least one."""
        columns = zip(*((part.inputs, part.xyz, part.known) for part in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))

    def draw(self, count: int, generator: Generator) -> "RefinePairs":
        """So many of them, none twice; all where there are no more."""
        which = torch.randperm(len(self), generator=generator)[:count]
        return RefinePairs(self.inputs[which], self.xyz[which], self.known[which])


def match_points(
    one: Float[np.ndarray, "n 2"], other: Float[np.ndarray, "m 2"], near: float = MAX_PELVIS_DISTANCE
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Numbers of places less than so far apart, each in one pair at most, the nearest first; NaN is nowhere."""
    apart = np.linalg.norm(one[:, None] - other, axis=-1)
    chosen = list[tuple[int, int]]()
    rows, columns = np.nonzero(apart < near)
    for place in np.argsort(apart[rows, columns], kind="stable"):
        row = int(rows[place])
        column = int(columns[place])
        if all(row != taken and column != also for taken, also in chosen):
            chosen.append((row, column))
    pairs = np.array(chosen, int).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def match_people(found: Detections, truth: ImageSample, *, published: bool = False) -> RefinePairs:
    """Detected people with the true people they are: pelvises less than 30 px apart, the nearest first, each person
    once.

    Arguments:
        found: with joints in metres.
        truth: with the camera of both. A joint counts if its place in space is known, in the image or not; a pelvis
            only if it is in the image.
        published: as of `inputs`.
    """
    camera = truth.camera
    assert camera is not None and found.xyz is not None
    mine, theirs = match_points(_pelvises(found), _pelvises(truth))
    given = encode_inputs(found.xy[mine], found.xyz[mine], found.state[mine], camera, published=published)
    true_xyz = camera.back_project(truth.xy, truth.z)[theirs]
    away = torch.from_numpy((true_xyz - true_xyz[:, [PELVIS]]).astype(np.float32))
    known = away.isfinite().all(-1)
    known[:, PELVIS] = False
    there = known.any(-1) & (given[:, PELVIS] != 0).any(-1)
    return RefinePairs(given[there], torch.where(known[..., None], away, 0)[there], known[there])


def _pelvises(people: Detections | ImageSample) -> Float[np.ndarray, "person 2"]:
    """Pelvises in pixels; NaN where absent."""
    return np.where(people.state[:, [PELVIS]] != ABSENT, people.xy[:, PELVIS], np.nan)


def refine_loss(network: nn.Module, batch: RefinePairs) -> Terms:
    """The mean squared difference of coordinates, m^2, over joints whose places are known; 0 where none is."""
    apart = (network(batch.inputs) - batch.xyz) ** 2 * batch.known[..., None]
    return {"places": apart.sum() / (3 * batch.known.sum()).clamp_min(1)}


@dataclass(frozen=True)
class RefineRecipe:
    """Everything that the weights depend on, but for the pairs and the seed. Epochs, batch and rates are published.

    Raises:
        OccluposeError: a number that cannot be.
    """

    kind: RefineKind = "gcn"
    """A graph of joints, or a perceptron."""
    published: bool = False
    """Pixels and centimetres go in (`inputs`), and the network says where joints are; otherwise how far from where they
    were found, which takes far fewer people to learn (ours)."""
    epochs: int = 200
    batch: int = 1024
    learning_rate: float | None = None
    """None is the published one of the kind: 0.01, or 0.08."""
    width: int = 128
    """Channels of the graph."""
    depth: int = 4
    """Hidden layers of the graph."""
    save_every: int = 500
    log_every: int = 100

    def __post_init__(self) -> None:
        if self.kind not in get_args(RefineKind):
            raise OccluposeError(f"kind {self.kind}: the network is a gcn or an mlp")
        for name, least in {"epochs": 1, "batch": 2, "width": 1, "depth": 0}.items():
            if getattr(self, name) < least:
                raise OccluposeError(f"{name} {getattr(self, name)}: must be {least} or more")
        self.schedule(self.batch)

    def schedule(self, pairs: int) -> Optimisation:
        """For so many pairs: Adam; an epoch is as many batches as they fill; the last weights are kept.

        The perceptron's rate is published to halve every 30 of 200 epochs, to a hundredth at last. Here it falls to a
        tenth after a quarter and again after three quarters of them, when the published rate passes the middle between
        powers of ten. How the graph's rate falls is not published; a cosine is ours.
        """
        return Optimisation(
            steps=self.epochs * max(1, pairs // self.batch),
            learning_rate=LEARNING_RATES[self.kind] if self.learning_rate is None else self.learning_rate,
            weight_decay=0.0,
            warm_up_steps=1,
            max_grad_norm=float("inf"),
            ema_decay=0.0,
            milestones=MILESTONES[self.kind],
            save_every=self.save_every,
            log_every=self.log_every,
            precision="32-true",
        )

    def build(self) -> nn.Module:
        """The network, untrained: (person, 15, 5) as `inputs` to (person, 15, 3) relative to the pelvis, m."""
        network = GCN(MPI15, width=self.width, depth=self.depth) if self.kind == "gcn" else MLP(len(MPI15))
        return network if self.published else Correction(network)


def train_refine(
    pairs: RefinePairs,
    folder: Path,
    recipe: RefineRecipe,
    *,
    resume: bool = False,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> nn.Module:
    """The network, ready to use.

    Arguments:
        pairs: made with the recipe's `published`.
        folder: gets checkpoint and log.
        resume: go on where the folder's run was stopped; the result is that of an uninterrupted run.

    Raises:
        OccluposeError: fewer than two pairs; what `training.loop.train` refuses.
    """
    if len(pairs) < 2:
        raise OccluposeError(f"pairs: {len(pairs)} people were found who are in the truth; at least 2 are needed")
    torch.manual_seed(seed)
    network = recipe.build()
    data = fingerprint([pairs.inputs.numpy(), pairs.xyz.numpy(), pairs.known.numpy()])
    average = train(
        network,
        partial(pairs.draw, recipe.batch),
        refine_loss,
        recipe.schedule(len(pairs)),
        folder,
        recipe=(recipe, data, seed),
        seed=seed,
        resume=resume,
        device=device,
        progress=progress,
    )
    network.load_state_dict(average)
    return network.cpu().eval()
