"""Training batches for bottom-up networks: whole images in an input of one size, augmented as in HUPOR's code.

Images are slightly rotated and mirrored. Those without depth are also scaled and shifted; the others are not, since a
person who looks larger would have to be nearer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from occlupose.codecs.letterbox import Letterbox
from occlupose.codecs.multi_person import PeopleBatch
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.poses import ABSENT
from occlupose.pyramid import Pyramid
from occlupose.skeletons import MPI15

CACHE_BYTES = 2**31
"""Default size of the cache of decoded images."""

RANDOM_NUMBERS = 5
"""Uniform random numbers that decide the augmentation of one image."""

MAX_PEOPLE = 20
"""People of an image used for training, those nearest to its middle; as published."""


@dataclass(frozen=True)
class BottomUpAugmentation:
    """Random changes of images.

    Attributes:
        rotation: largest rotation, degrees.
        flip_probability: of mirroring.
        scale: smallest and largest factor of the size of images without depth.
        shift: largest shift of images without depth, across and down, in px of a published input, 832 wide.

    Raises:
        OccluposeError: a value is out of range.
    """

    rotation: float = 10.0
    flip_probability: float = 0.5
    scale: tuple[float, float] = (0.8, 1.1)
    shift: float = 40.0

    def __post_init__(self) -> None:
        if not 0 <= self.rotation <= 180:
            raise OccluposeError(f"rotation {self.rotation:g}: degrees, between 0 and 180")
        if not 0 <= self.flip_probability <= 1:
            raise OccluposeError(f"flip_probability {self.flip_probability:g}: must be between 0 and 1")
        if not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise OccluposeError(
                f"scale {self.scale[0]:g} {self.scale[1]:g}: the smallest and the largest factor, more than 0"
            )
        if not 0 <= self.shift < float("inf"):
            raise OccluposeError(f"shift {self.shift:g}: pixels, 0 or more")


@dataclass
class BottomUpBatch:
    """Images in network inputs.

    Attributes:
        images: RGB; None if there are only labels.
        people: in px of the input, padded to the same number of people.
        annotated: joints that the image's dataset annotates.
        has_depth: whether the depth of the image's people is known.
    """

    images: UInt8[Tensor, "batch height width 3"] | None
    people: PeopleBatch
    annotated: Bool[Tensor, "batch 15"]
    has_depth: Bool[Tensor, " batch"]


class ImageCache:
    """Decoded images, kept after the first read as long as there is room. Threads may share it.

    Arguments:
        max_bytes: size of the cache.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._free_bytes = max_bytes
        self._images = dict[ImageRef, RGB]()
        self._lock = Lock()

    def read(self, image: ImageRef, size: tuple[int, int]) -> RGB:
        """An image of this size.

        Raises:
            OccluposeError: as `ImageRef.read`.
        """
        cached = self._images.get(image)
        if cached is not None:
            return cached
        pixels = image.read(size)
        with self._lock:
            if image not in self._images and pixels.nbytes <= self._free_bytes:
                self._free_bytes -= pixels.nbytes
                self._images[image] = pixels
        return pixels


def make_batch(
    samples: Sequence[ImageSample],
    images: Sequence[RGB] | None,
    box: Letterbox,
    augmentation: BottomUpAugmentation | None = None,
    uniform: Float[np.ndarray, "batch 5"] | None = None,
) -> BottomUpBatch:
    """Samples in network inputs, augmented if there is an augmentation.

    Arguments:
        images: each sample's image; None makes a batch of labels only.
        uniform: uniform random numbers from 0 to 1 that decide the augmentation: the same numbers change an image in
            the same way. By default 0.5.
    """
    uniform = np.full((len(samples), RANDOM_NUMBERS), 0.5) if uniform is None else uniform
    people = []
    spans = []
    inputs = []
    annotated = []
    for number, sample in enumerate(samples):
        matrix, mirrored = _augment_transform(sample, box, augmentation, uniform[number])
        people.append(_people_in_input(sample, box, matrix, mirrored=mirrored))
        spans.append(_metres_per_pixel(sample, matrix))
        annotated.append(sample.annotated[list(MPI15.mirror)] if mirrored else sample.annotated)
        if images is not None:
            pixels = box.warp(Pyramid(images[number]), matrix)
            inputs.append(pixels[:, ::-1] if mirrored else pixels)
    return BottomUpBatch(
        images=None if images is None else torch.from_numpy(np.stack(inputs)),
        people=_pad(people, spans),
        annotated=torch.from_numpy(np.stack(annotated)),
        has_depth=torch.tensor([sample.has_depth for sample in samples]),
    )


def _augment_transform(
    sample: ImageSample, box: Letterbox, augmentation: BottomUpAugmentation | None, uniform: Float[np.ndarray, "5"]
) -> tuple[Float[np.ndarray, "2 3"], bool]:
    """The transform from the image to the input, and whether the input is then mirrored."""
    if augmentation is None:
        return box.matrix(*sample.size), False
    flip, angle, size, right, down = uniform.tolist()
    mirrored = flip < augmentation.flip_probability
    rotation = augmentation.rotation * (2 * angle - 1)
    if sample.has_depth:
        return box.matrix(*sample.size, turn=rotation), mirrored
    low, high = augmentation.scale
    shift = augmentation.shift * box.width / 832
    offset = (shift * (2 * right - 1), shift * (2 * down - 1))
    return box.matrix(*sample.size, turn=rotation, zoom=low + size * (high - low), shift=offset), mirrored


_People = tuple[
    Float[np.ndarray, "person joint 2"], Float[np.ndarray, "person joint"], UInt8[np.ndarray, "person joint"]
]


def _people_in_input(
    sample: ImageSample, box: Letterbox, matrix: Float[np.ndarray, "2 3"], *, mirrored: bool
) -> _People:
    """Keypoints in input px, depth and state of the people in the input; joints outside of it are absent."""
    xy = np.nan_to_num(sample.xy @ matrix[:, :2].T + matrix[:, 2])
    inside = ((xy > -0.5) & (xy < np.array([box.width, box.height]) - 0.5)).all(-1)
    state = np.where(inside, sample.state, ABSENT).astype(np.uint8)
    z = sample.z
    if mirrored:
        partners = list(MPI15.mirror)
        xy = np.stack([box.width - 1 - xy[:, partners, 0], xy[:, partners, 1]], -1)
        z = z[:, partners]
        state = state[:, partners]
    people = np.flatnonzero((state != ABSENT).any(-1))
    if len(people) > MAX_PEOPLE:
        middle = np.array([box.width - 1, box.height - 1]) / 2
        distance = np.where(state[people] != ABSENT, np.linalg.norm(xy[people] - middle, axis=-1), np.inf).min(-1)
        people = people[np.sort(np.argsort(distance, kind="stable")[:MAX_PEOPLE])]
    return xy[people], z[people], state[people]


def _metres_per_pixel(sample: ImageSample, matrix: Float[np.ndarray, "2 3"]) -> float:
    """Metres that an input pixel spans at a distance of one metre; NaN without a camera."""
    if sample.camera is None:
        return np.nan
    scale = float(np.hypot(*matrix[:, 0]))
    return 1 / (sample.camera.fx * scale)


def _pad(people: Sequence[_People], spans: Sequence[float]) -> PeopleBatch:
    """A batch with as many people an image as the fullest has, at least one."""
    most = max(1, *(len(xy) for xy, _, _ in people))
    joints = len(MPI15)
    batch = PeopleBatch(
        xy=torch.zeros(len(people), most, joints, 2),
        z=torch.full((len(people), most, joints), torch.nan),
        state=torch.zeros(len(people), most, joints, dtype=torch.uint8),
        metres_per_pixel=torch.tensor(spans, dtype=torch.float32),
    )
    for number, (xy, z, state) in enumerate(people):
        batch.xy[number, : len(xy)] = torch.from_numpy(xy)
        batch.z[number, : len(xy)] = torch.from_numpy(z)
        batch.state[number, : len(xy)] = torch.from_numpy(state)
    return batch
