"""How people hold themselves: poses from motion capture, and a prior that was learned from it and needs none.

A pose is turned so that its pelvis faces +z, and described by how each segment is turned from the one that it hangs on
(a rotation vector each). The prior is a mixture of Gaussians of low rank in these 51 numbers (Tipping and Bishop,
Mixtures of probabilistic principal component analysers, 1999, with k-means in place of EM); which clusters are drawn
how often is ours.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.cluster.vq import kmeans2

from occlupose.bodies.anny import anny
from occlupose.bodies.body import SEGMENTS, SIDES, BodyModel
from occlupose.bodies.fitting import fit_pose, fit_shape, from_rotation_vector, to_rotation_vector
from occlupose.datasets.cmu import Clip
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.skeletons import BODY26

FILE = Path(__file__).parents[1] / "weights" / "poses.cmu.safetensors"

HANGS_ON = {
    "chest": "pelvis",
    "head": "chest",
    **{
        f"{side}_{segment}": parent if parent in ("pelvis", "chest") else f"{side}_{parent}"
        for side in SIDES
        for segment, parent in (
            ("clavicle", "chest"),
            ("upper_arm", "clavicle"),
            ("forearm", "upper_arm"),
            ("hand", "forearm"),
            ("thigh", "pelvis"),
            ("shank", "thigh"),
            ("foot", "shank"),
        )
    },
}
"""The segment that each is turned from."""

MIRRORED = [
    SEGMENTS.index(name.replace("left", "?").replace("right", "left").replace("?", "right")) for name in SEGMENTS
]
"""Where the other side's segment is."""

RATE = 8.0
"""Poses a second that are taken of a clip."""

SHAPE_FRAMES = 48
"""Poses of a subject that tell how they are built."""

CLUSTERS = 160
RANKS = 10

FLATTEN = 0.5
"""A cluster is drawn as often as its number of poses to this power: most of the capture is walking. Ours."""

FACE = 5
"""The first joints of BODY26; the capture has none of them, so they only tell how the head is turned."""

BELIEVE = torch.tensor([float(place >= FACE) for place in range(len(BODY26))])
"""Weights of the joints in a fit to the capture."""

BATCH = 512
"""Poses that are fitted together."""


@dataclass(frozen=True, eq=False)
class Retargeted:
    """Motion capture on the default body. `error` is the mean distance (m) of the captured joints of each pose."""

    pose: Float[np.ndarray, "pose 17 3 3"]
    error: Float[np.ndarray, "pose"]


def retarget(clips: list[Clip], *, rate: float = RATE) -> Retargeted:
    """Poses of some clips on a body that is built like each clip's subject.

    Arguments:
        rate: poses a second that are taken; 0 takes all.

    Raises:
        OccluposeError: there is no clip.
    """
    if not clips:
        raise OccluposeError("no motion capture to take poses from; give the folder that holds the CMU motion capture")
    body = anny(captured=True)
    poses = []
    errors = []
    for subject in dict.fromkeys(clip.subject for clip in clips):
        own = [
            clip.body26[:: max(1, round(clip.fps / rate)) if rate else 1] for clip in clips if clip.subject == subject
        ]
        joints = torch.from_numpy(np.concatenate(own).astype(np.float32))
        shape = built(joints, body)
        for part in joints.split(BATCH):
            fitted = fit_pose(part, body, shape.expand(len(part), -1), joint_weights=BELIEVE)
            poses.append(fitted.pose.numpy())
            errors.append(fitted.error.numpy())
    return Retargeted(np.concatenate(poses), np.concatenate(errors))


def built(joints: Float[torch.Tensor, "pose 26 3"], body: BodyModel) -> Float[torch.Tensor, "shape"]:
    """How a captured subject is built, from some of their poses (metres)."""
    return fit_shape(
        joints[torch.linspace(0, len(joints) - 1, min(SHAPE_FRAMES, len(joints))).long()], body, joint_weights=BELIEVE
    )


def describe(pose: Float[np.ndarray, "pose 17 3 3"]) -> Float[np.ndarray, "pose 51"]:
    """How each segment is turned from the one it hangs on, of people who face +z; radians."""
    pelvis = pose[:, 0]
    heading = np.arctan2(pelvis[:, 0, 2], pelvis[:, 2, 2])
    upright = (
        from_rotation_vector(torch.from_numpy(np.stack([0 * heading, -heading, 0 * heading], -1)).float())
        @ torch.from_numpy(pose[:, 0]).float()
    )
    turns = torch.from_numpy(pose).float()
    parents = turns[:, [SEGMENTS.index(HANGS_ON[name]) for name in SEGMENTS[1:]]]
    return to_rotation_vector(torch.cat([upright[:, None], parents.mT @ turns[:, 1:]], 1)).flatten(1).numpy()


def posed(numbers: Float[np.ndarray, "pose 51"]) -> Float[np.ndarray, "pose 17 3 3"]:
    """The pose that `describe` says this of."""
    local = from_rotation_vector(torch.from_numpy(numbers.astype(np.float32)).unflatten(1, (len(SEGMENTS), 3)))
    turns = {SEGMENTS[0]: local[:, 0]}
    for place, name in enumerate(SEGMENTS[1:], 1):
        turns[name] = turns[HANGS_ON[name]] @ local[:, place]
    return torch.stack([turns[name] for name in SEGMENTS], 1).numpy()


def mirrored(numbers: Float[np.ndarray, "pose 51"]) -> Float[np.ndarray, "pose 51"]:
    """The same poses in a mirror."""
    return (
        (numbers.reshape(-1, len(SEGMENTS), 3)[:, MIRRORED] * (1, -1, -1))
        .reshape(-1, 3 * len(SEGMENTS))
        .astype(numbers.dtype)
    )


@dataclass(frozen=True, eq=False)
class Poses:
    """A mixture of Gaussians over poses.

    Attributes:
        weight: how often each cluster is drawn; sums to 1.
        mean: of each cluster.
        axes: principal axes of each cluster, times their standard deviation.
        noise: standard deviation of what the axes leave out.
    """

    weight: Float[np.ndarray, "cluster"]
    mean: Float[np.ndarray, "cluster 51"]
    axes: Float[np.ndarray, "cluster rank 51"]
    noise: Float[np.ndarray, "cluster"]

    @classmethod
    def learn(
        cls, numbers: Float[np.ndarray, "pose 51"], *, clusters: int = CLUSTERS, rank: int = RANKS, seed: int = 0
    ) -> "Poses":
        """From poses as `describe` gives them; the same seed gives the same prior.

        Raises:
            OccluposeError: the poses are too few.
        """
        enough = 3 * (rank + 1)
        if len(numbers) < enough:
            raise OccluposeError(
                f"{len(numbers)} poses are too few to learn from; give motion capture with {enough} or more"
            )
        means, label = kmeans2(numbers, min(clusters, len(numbers) // enough), seed=seed, minit="++")
        kept = [k for k in range(len(means)) if (label == k).sum() > rank + 1]
        axes = []
        noise = []
        count = []
        for k in kept:
            own = numbers[label == k] - means[k]
            _, spread, directions = np.linalg.svd(own, full_matrices=False)
            deviation = spread / np.sqrt(len(own) - 1)
            axes.append(deviation[:rank, None] * directions[:rank])
            noise.append(np.sqrt((deviation[rank:] ** 2).sum() / max(1, numbers.shape[1] - rank)))
            count.append((label == k).sum() ** FLATTEN)
        weight = np.array(count, np.float64) / np.sum(count)
        return cls(weight, means[kept].astype(np.float32), np.array(axes, np.float32), np.array(noise, np.float32))

    def draw(self, generator: np.random.Generator, count: int) -> Float[np.ndarray, "count 51"]:
        """New poses, as `describe` would say them; each as likely mirrored."""
        cluster = generator.choice(len(self.weight), count, p=self.weight)
        amounts = np.clip(generator.standard_normal((count, self.axes.shape[1])), -FURTHEST, FURTHEST)
        numbers = self.mean[cluster] + np.einsum("cr,crn->cn", amounts, self.axes[cluster])
        numbers += self.noise[cluster, None] * np.clip(generator.standard_normal(numbers.shape), -FURTHEST, FURTHEST)
        turned = generator.random(count) < 0.5
        return np.where(turned[:, None], mirrored(numbers), numbers).astype(np.float32)

    def save(self, path: Path, about: dict[str, str]) -> None:
        """Write a .safetensors file, with what is known about it."""
        with atomic(path) as temporary:
            arrays = {
                "weight": self.weight.astype(np.float32),
                "mean": self.mean,
                "axes": self.axes,
                "noise": self.noise,
            }
            save_file(arrays, temporary, about)

    @classmethod
    def load(cls, path: Path = FILE) -> "Poses":
        """Read what `save` wrote.

        Raises:
            OccluposeError: the file cannot be read or is something else; names it.
        """
        return _load(path)


FURTHEST = 1.7
"""Standard deviations beyond which a pose is not drawn: joints have limits. Ours."""


@cache
def _load(path: Path) -> Poses:
    try:
        arrays = load_file(path)
        weight = arrays["weight"].astype(np.float64)
        return Poses(weight / weight.sum(), arrays["mean"], arrays["axes"], arrays["noise"])
    except (OSError, KeyError, SafetensorError) as error:
        raise OccluposeError(f"{path}: not a prior of poses ({error}); make one with occlupose train poses") from error
