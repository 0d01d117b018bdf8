"""RefineNet, the last step of HUPOR (arXiv 2208.00090): a small network that has learnt the proportions of bodies
corrects the depths of detected joints and predicts joints that were not detected.

It is trained on the output of detector and reasoner for their own training images, and on the ground truth. Joints are
those of mpi15.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Bool, Float, Int, Shaped
from torch import Generator, Tensor, nn

from occlupose.bounds import Bounded, Count, NonNegative, Seed
from occlupose.cameras import Camera
from occlupose.datasets.image_samples import ImageSample
from occlupose.detections import Detections
from occlupose.networks.refine import GCN, MLP, Correction
from occlupose.poses import ABSENT
from occlupose.skeletons import MPI15
from occlupose.training.distributed import batch_count
from occlupose.training.loop import Optimisation, Terms

PELVIS = MPI15.index("pelvis")[0]

MAX_PELVIS_DISTANCE = 30.0
"""Pelvises closer than this can belong to one person, px."""

RefineKind = Literal["gcn", "mlp"]

LEARNING_RATES: dict[RefineKind, float] = {"gcn": 1e-2, "mlp": 0.08}
"""From HUPOR's supplement, and from the authors' earlier code."""

HALVED_EVERY = 30 / 200
"""Fraction of the training after which the learning rate is halved, again and again: 30 of 200 epochs, as in SMAP (Zhen
et al. 2020), which the supplement follows (2.1), and in the authors' earlier code.
"""


def encode_inputs(
    xy: Float[np.ndarray, "person 15 2"],
    xyz: Float[np.ndarray, "person 15 3"],
    state: Shaped[np.ndarray, "person 15"],
    camera: Camera,
    *,
    published: bool = False,
) -> Float[Tensor, "person 15 5"]:
    """The network's input for each person: 2D and 3D position of each joint.

    The row of the pelvis is its position, the other rows are relative to it. Rows of missing joints are 0, and so are
    all rows of a person without a pelvis.

    Arguments:
        xy: px of the camera.
        xyz: m, camera frame.
        published: pixels and centimetres, as in the authors' earlier code, which depend on the image size and the lens.
            Otherwise 2D positions are those of a centred camera with focal length 1, and 3D ones are in metres (ours).
    """
    positions = (xy, 100 * xyz) if published else (camera.rays(xy)[..., :2], xyz)
    rows = np.concatenate(positions, -1)
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
    """Refined positions of all joints, detected or not; m, camera frame.

    As in SMAP's evaluation, a detected joint stays at its pixel and gets the predicted depth; a joint that was not
    detected gets the predicted position. The pelvis does not change. Predictions behind the camera, and those for a
    person without a pelvis, are ignored (ours).

    Arguments:
        network: in evaluation mode; predicts positions relative to the pelvis, m.
        xy: px of the camera.
        xyz: m, camera frame.
        published: how the network was trained (`encode_inputs`).
    """
    device = next(network.parameters()).device
    inputs = encode_inputs(xy, xyz, state, camera, published=published).to(device)
    predicted = xyz[:, [PELVIS]] + network(inputs).cpu().numpy().astype(xyz.dtype)
    detected = (state != ABSENT) & np.isfinite(xy).all(-1)
    predicted = np.where(detected[..., None], camera.back_project(xy, predicted[..., 2]), predicted)
    accepted = (predicted[..., 2] > 0) & detected[:, [PELVIS]]
    accepted[:, PELVIS] = False
    return np.where(accepted[..., None], predicted, xyz).astype(xyz.dtype)


@dataclass(eq=False)
class RefinePairs:
    """Detected people paired with their ground truth.

    Attributes:
        inputs: as `encode_inputs`.
        xyz: true positions relative to the pelvis, m; 0 where unknown.
        known: where they are known; never the pelvis, which does not change.
    """

    inputs: Float[Tensor, "pair 15 5"]
    xyz: Float[Tensor, "pair 15 3"]
    known: Bool[Tensor, "pair 15"]

    def __len__(self) -> int:
        return len(self.inputs)

    @classmethod
    def concatenate(cls, parts: Iterable["RefinePairs"]) -> "RefinePairs":
        """The pairs of all parts, at least one."""
        parts = list(parts)
        return cls(
            torch.cat([part.inputs for part in parts]),
            torch.cat([part.xyz for part in parts]),
            torch.cat([part.known for part in parts]),
        )

    def draw(self, count: int, generator: Generator) -> "RefinePairs":
        """A batch of this many pairs without repetition, or of all if there are fewer."""
        rows = torch.randperm(len(self), generator=generator)[:count]
        return RefinePairs(self.inputs[rows], self.xyz[rows], self.known[rows])


def match_points(
    one: Float[np.ndarray, "n 2"], other: Float[np.ndarray, "m 2"], max_distance: float = MAX_PELVIS_DISTANCE
) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Indices of points closer than this, matched greedily, the closest pair first; NaN matches nothing."""
    distance = np.linalg.norm(one[:, None] - other, axis=-1)
    rows, columns = np.nonzero(distance < max_distance)
    matches: dict[int, int] = {}
    for index in np.argsort(distance[rows, columns], kind="stable"):
        row = int(rows[index])
        column = int(columns[index])
        if row not in matches and column not in matches.values():
            matches[row] = column
    return np.array([*matches], int), np.array([*matches.values()], int)


def match_people(detections: Detections, truth: ImageSample, *, published: bool = False) -> RefinePairs:
    """Detected people with their ground truth: pelvises less than 30 px apart, the closest first, each person once.

    Arguments:
        detections: with joints in metres.
        truth: with the camera of both. A joint counts if its 3D position is known, inside the image or not; a pelvis
            only inside the image.
        published: as for `encode_inputs`.
    """
    camera = truth.camera
    assert camera is not None and detections.xyz is not None
    rows, true_rows = match_points(_pelvises(detections), _pelvises(truth))
    people = detections.select(rows)
    assert people.xyz is not None
    inputs = encode_inputs(people.xy, people.xyz, people.state, camera, published=published)
    xyz = camera.back_project(truth.xy, truth.z)[true_rows]
    relative = torch.from_numpy((xyz - xyz[:, [PELVIS]]).astype(np.float32))
    known = relative.isfinite().all(-1)
    known[:, PELVIS] = False
    usable = known.any(-1) & (inputs[:, PELVIS] != 0).any(-1)
    return RefinePairs(inputs[usable], torch.where(known[..., None], relative, 0)[usable], known[usable])


def _pelvises(people: Detections | ImageSample) -> Float[np.ndarray, "person 2"]:
    """Pelvises in pixels; NaN where absent."""
    return np.where(people.state[:, [PELVIS]] != ABSENT, people.xy[:, PELVIS], np.nan)


def refine_loss(network: nn.Module, batch: RefinePairs) -> Terms:
    """Mean squared error of the coordinates, m^2, over joints with known positions; 0 where there are none."""
    squares = (network(batch.inputs) - batch.xyz) ** 2 * batch.known[..., None]
    return {"position": squares.sum() / (3 * batch_count(batch.known.sum()))}


@dataclass(frozen=True)
class RefineRecipe(Bounded):
    """Configuration of a training run of a RefineNet. Epochs, batch size and learning rates are published.

    Raises:
        OccluposeError: an impossible value.
    """

    kind: RefineKind = "gcn"
    """A graph convolutional network, or a perceptron."""
    published: bool = False
    """Inputs in pixels and centimetres (`encode_inputs`), and absolute output; otherwise the output is a correction of
    the detected positions, which takes far fewer people to learn (ours).
    """
    epochs: Count = 200
    batch: Annotated[int, Interval(ge=2)] = 1024
    learning_rate: NonNegative | None = None
    """None is the published one of the kind: 0.01, or 0.08."""
    width: Annotated[int, Interval(ge=1, le=4096)] = 128
    """Hidden channels of the graph network."""
    depth: Annotated[int, Interval(ge=0, le=64)] = 4
    """Hidden layers of the graph network."""
    seed: Seed = 0
    save_every: Count = 500
    log_every: Count = 100

    def schedule(self, pairs: int) -> Optimisation:
        """The schedule for this many pairs: Adam, with as many batches in an epoch as the pairs fill; the last weights
        are kept.

        The rate is halved every 30 of 200 epochs, as published for both kinds; with other epochs in proportion (ours).
        """
        return Optimisation(
            steps=self.epochs * max(1, pairs // self.batch),
            learning_rate=LEARNING_RATES[self.kind] if self.learning_rate is None else self.learning_rate,
            weight_decay=0.0,
            warm_up_steps=1,
            max_grad_norm=float("inf"),
            ema_decay=0.0,
            milestones=tuple(HALVED_EVERY * count for count in range(1, int(1 / HALVED_EVERY) + 1)),
            drop_factor=0.5,
            save_every=self.save_every,
            log_every=self.log_every,
            precision="32-true",
        )

    def build(self) -> nn.Module:
        """The untrained network: (person, 15, 5) as `encode_inputs` to (person, 15, 3) relative to the pelvis, m."""
        network = GCN(MPI15, width=self.width, depth=self.depth) if self.kind == "gcn" else MLP(len(MPI15))
        return network if self.published else Correction(network)


RECIPES = {"default": RefineRecipe()}
