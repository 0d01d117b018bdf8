"""Poses from motion capture, and a prior of poses that is fitted to it.

A pose is rotated so that its pelvis faces +z, and described by the rotation vector of each segment relative to its
parent segment. The prior is a mixture of Gaussians of low rank in these 51 numbers (Tipping and Bishop, Mixtures of
probabilistic principal component analysers, 1999, with k-means instead of EM); the weights of the clusters are ours.
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
from occlupose.datasets.motion import MotionClip
from occlupose.errors import OccluposeError
from occlupose.files import atomic
from occlupose.skeletons import BODY26

DEFAULT_FILE = Path(__file__).parents[1] / "weights" / "poses.cmu.safetensors"

PARENT_SEGMENTS = {
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
"""Parent of each segment."""

MIRRORED = [
    SEGMENTS.index(name.replace("left", "?").replace("right", "left").replace("?", "right")) for name in SEGMENTS
]
"""Index of the segment on the other side."""

POSES_PER_SECOND = 8.0
"""Sampling rate of the clips."""

SHAPE_FRAMES = 48
"""Poses of a subject that the body shape is fitted to."""

CLUSTERS = 160
RANK = 10
"""Number of clusters, and of principal axes in each."""

CLUSTER_POWER = 0.5
"""The weight of a cluster is its number of poses to this power, since most of the capture is walking. Ours."""

MAX_DEVIATION = 1.7
"""Largest deviation of a sampled pose, in standard deviations, because joints have limits. Ours."""

FACE_JOINTS = 5
"""Number of face joints, the first of BODY26, which the capture does not have."""

JOINT_WEIGHTS = torch.tensor([float(joint >= FACE_JOINTS) for joint in range(len(BODY26))])
"""Weights of the joints in a fit to motion capture."""

BATCH_SIZE = 512
"""Poses that are fitted together."""


@dataclass(frozen=True, eq=False)
class RetargetedPoses:
    """Motion capture on the default body. `error` is the mean distance (m) of the captured joints of each pose."""

    pose: Float[np.ndarray, "pose 17 3 3"]
    error: Float[np.ndarray, "pose"]


def retarget(clips: list[MotionClip], *, rate: float = POSES_PER_SECOND) -> RetargetedPoses:
    """Fit the default body, in the shape of each clip's subject, to the poses of clips.

    Arguments:
        rate: poses per second; 0 takes all frames.

    Raises:
        OccluposeError: there are no clips.
    """
    if not clips:
        raise OccluposeError("no motion capture; give the folder that holds the CMU motion capture")
    body = anny(captured=True)
    poses = []
    errors = []
    for subject in dict.fromkeys(clip.subject for clip in clips):
        own = [
            clip.body26[:: max(1, round(clip.fps / rate)) if rate else 1] for clip in clips if clip.subject == subject
        ]
        joints = torch.from_numpy(np.concatenate(own).astype(np.float32))
        shape = fit_subject_shape(joints, body)
        for part in joints.split(BATCH_SIZE):
            fitted = fit_pose(part, body, shape.expand(len(part), -1), joint_weights=JOINT_WEIGHTS)
            poses.append(fitted.pose.numpy())
            errors.append(fitted.error.numpy())
    return RetargetedPoses(np.concatenate(poses), np.concatenate(errors))


def fit_subject_shape(joints: Float[torch.Tensor, "pose 26 3"], body: BodyModel) -> Float[torch.Tensor, "shape"]:
    """Body shape of a captured subject, from some of their poses (metres)."""
    return fit_shape(
        joints[torch.linspace(0, len(joints) - 1, min(SHAPE_FRAMES, len(joints))).long()],
        body,
        joint_weights=JOINT_WEIGHTS,
    )


def pose_to_vector(pose: Float[np.ndarray, "pose 17 3 3"]) -> Float[np.ndarray, "pose 51"]:
    """Rotation vectors of the segments relative to their parents, of people rotated to face +z; radians."""
    pelvis = pose[:, 0]
    heading = np.arctan2(pelvis[:, 0, 2], pelvis[:, 2, 2])
    about_y = torch.from_numpy(np.stack([0 * heading, -heading, 0 * heading], -1)).float()
    rotations = torch.from_numpy(pose).float()
    facing = from_rotation_vector(about_y) @ rotations[:, 0]
    parents = rotations[:, [SEGMENTS.index(PARENT_SEGMENTS[name]) for name in SEGMENTS[1:]]]
    return to_rotation_vector(torch.cat([facing[:, None], parents.mT @ rotations[:, 1:]], 1)).flatten(1).numpy()


def vector_to_pose(vectors: Float[np.ndarray, "pose 51"]) -> Float[np.ndarray, "pose 17 3 3"]:
    """The inverse of `pose_to_vector`."""
    local = from_rotation_vector(torch.from_numpy(vectors.astype(np.float32)).unflatten(1, (len(SEGMENTS), 3)))
    rotations = {SEGMENTS[0]: local[:, 0]}
    for index, name in enumerate(SEGMENTS[1:], 1):
        rotations[name] = rotations[PARENT_SEGMENTS[name]] @ local[:, index]
    return torch.stack([rotations[name] for name in SEGMENTS], 1).numpy()


def mirror_vectors(vectors: Float[np.ndarray, "pose 51"]) -> Float[np.ndarray, "pose 51"]:
    """The same poses with left and right exchanged."""
    mirrored = vectors.reshape(-1, len(SEGMENTS), 3)[:, MIRRORED] * (1, -1, -1)
    return mirrored.reshape(-1, 3 * len(SEGMENTS)).astype(vectors.dtype)


@dataclass(frozen=True, eq=False)
class PosePrior:
    """A mixture of Gaussians over poses.

    Attributes:
        weight: of each cluster; sums to 1.
        mean: of each cluster.
        axes: principal axes of each cluster, times their standard deviation.
        noise: standard deviation outside of the axes.
    """

    weight: Float[np.ndarray, "cluster"]
    mean: Float[np.ndarray, "cluster 51"]
    axes: Float[np.ndarray, "cluster rank 51"]
    noise: Float[np.ndarray, "cluster"]

    @classmethod
    def fit(
        cls, vectors: Float[np.ndarray, "pose 51"], *, clusters: int = CLUSTERS, rank: int = RANK, seed: int = 0
    ) -> "PosePrior":
        """Fit to poses in the form of `pose_to_vector`; the same seed gives the same prior.

        Raises:
            OccluposeError: too few poses.
        """
        enough = 3 * (rank + 1)
        if len(vectors) < enough:
            raise OccluposeError(f"{len(vectors)} poses are too few; give motion capture with {enough} or more")
        means, label = kmeans2(vectors, min(clusters, len(vectors) // enough), seed=seed, minit="++")
        kept = [k for k in range(len(means)) if (label == k).sum() > rank + 1]
        axes = []
        noise = []
        count = []
        for k in kept:
            own = vectors[label == k] - means[k]
            _, spread, directions = np.linalg.svd(own, full_matrices=False)
            deviation = spread / np.sqrt(len(own) - 1)
            axes.append(deviation[:rank, None] * directions[:rank])
            noise.append(np.sqrt((deviation[rank:] ** 2).sum() / max(1, vectors.shape[1] - rank)))
            count.append((label == k).sum() ** CLUSTER_POWER)
        weight = np.array(count, np.float64) / np.sum(count)
        return cls(weight, means[kept].astype(np.float32), np.array(axes, np.float32), np.array(noise, np.float32))

    def sample(self, generator: np.random.Generator, count: int) -> Float[np.ndarray, "count 51"]:
        """Random poses, in the form of `pose_to_vector`; mirrored with probability 0.5."""
        cluster = generator.choice(len(self.weight), count, p=self.weight)
        amounts = np.clip(generator.standard_normal((count, self.axes.shape[1])), -MAX_DEVIATION, MAX_DEVIATION)
        vectors = self.mean[cluster] + np.einsum("cr,crn->cn", amounts, self.axes[cluster])
        noise = np.clip(generator.standard_normal(vectors.shape), -MAX_DEVIATION, MAX_DEVIATION)
        vectors += self.noise[cluster, None] * noise
        is_mirrored = generator.random(count) < 0.5
        return np.where(is_mirrored[:, None], mirror_vectors(vectors), vectors).astype(np.float32)

    def save(self, path: Path, metadata: dict[str, str]) -> None:
        """Write a .safetensors file with metadata."""
        with atomic(path) as temporary:
            arrays = {
                "weight": self.weight.astype(np.float32),
                "mean": self.mean,
                "axes": self.axes,
                "noise": self.noise,
            }
            save_file(arrays, temporary, metadata)

    @classmethod
    def load(cls, path: Path = DEFAULT_FILE) -> "PosePrior":
        """Read what `save` wrote.

        Raises:
            OccluposeError: the file cannot be read or is not a prior; names it.
        """
        return _load(path)


@cache
def _load(path: Path) -> PosePrior:
    try:
        arrays = load_file(path)
        weight = arrays["weight"].astype(np.float64)
        return PosePrior(weight / weight.sum(), arrays["mean"], arrays["axes"], arrays["noise"])
    except (OSError, KeyError, SafetensorError) as error:
        raise OccluposeError(f"{path}: not a pose prior ({error}); make one with occlupose train poses") from error
