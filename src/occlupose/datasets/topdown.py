"""Training batches for top-down networks: crops around people's boxes, augmented as in MMPose's recipes.

Those recipes (the `topdown_heatmap` configurations) mirror, cut to half a body, and shift, scale and rotate the box, in
that order. Numbers between -1 and 1 below are drawn from a normal distribution truncated there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.special import ndtr, ndtri

from occlupose.codecs.crops import Crop, Regions, transform_points
from occlupose.datasets.formats.coco import PersonAnnotation
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.poses import ABSENT
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton

CACHE_BYTES = 2**30
"""Default size of the cache of decoded images."""

RANDOM_NUMBERS = 9
"""Uniform random numbers that decide the augmentation of one person."""

Vector = Float[np.ndarray, "2"]

LOWER_BODY = ("hip", "knee", "ankle")
"""Joints of the lower half of a body, by the last word of their names; all others belong to the upper half."""

MIN_WHOLE = 9
"""Annotated joints that a body must have to be cut to one half."""

MIN_HALF = {"upper": 2, "lower": 3}
"""Annotated joints that the half must have."""


@dataclass(frozen=True)
class TopDownAugmentation:
    """Random changes of people in crops.

    Attributes:
        flip_probability: of mirroring.
        half_body_probability: of showing one half of a whole body.
        upper_body_probability: that this is the upper half.
        half_body_padding: sides of the shown region / those of the box around the joints of the half.
        shift: largest shift of the box, as a fraction of its padded sides.
        shift_probability: of a shift.
        scale: smallest and largest factor of the crop's sides.
        rotation: largest rotation, degrees.
        rotation_probability: of a rotation.

    Raises:
        OccluposeError: a value is out of range.
    """

    flip_probability: float = 0.5
    half_body_probability: float = 0.3
    upper_body_probability: float = 0.7
    half_body_padding: float = 1.5
    shift: float = 0.16
    shift_probability: float = 0.3
    scale: tuple[float, float] = (0.5, 1.5)
    rotation: float = 80.0
    rotation_probability: float = 0.6

    def __post_init__(self) -> None:
        probabilities = ("flip", "half_body", "upper_body", "shift", "rotation")
        for name in (*(f"{each}_probability" for each in probabilities), "shift"):
            if not 0 <= getattr(self, name) <= 1:
                raise OccluposeError(f"{name} {getattr(self, name):g}: must be between 0 and 1")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise OccluposeError(
                f"scale {self.scale[0]:g} {self.scale[1]:g}: the smallest and the largest factor, more than 0"
            )
        if not 0 <= self.rotation <= 180:
            raise OccluposeError(f"rotation {self.rotation:g}: degrees, between 0 and 180")
        if self.half_body_padding < 1:
            raise OccluposeError(f"half_body_padding {self.half_body_padding:g}: must be 1 or more")


@dataclass(frozen=True, eq=False)
class TopDownBatch:
    """People in crops.

    Attributes:
        images: the crops, RGB.
        xy: keypoints, crop px; transformed from what the file has where they are not annotated.
        state: 2 visible, 1 occluded, 0 not annotated.
        boxes: left, top, right, bottom of each person's box in the crop, px; of a rotated box, those of its corners.
    """

    images: UInt8[np.ndarray, "person height width 3"]
    xy: Float[np.ndarray, "person joint 2"]
    state: UInt8[np.ndarray, "person joint"]
    boxes: Float[np.ndarray, "person 4"]


class PyramidCache:
    """Decoded images of people, kept after the first read as long as there is room. Threads may share it.

    Arguments:
        max_bytes: size of the cache.
    """

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._free_bytes = max_bytes
        self._pyramids = dict[ImageRef, Pyramid]()
        self._lock = Lock()

    def get(self, person: PersonAnnotation) -> Pyramid | None:
        """The person's image, if it is in the cache."""
        return self._pyramids.get(person.image)

    def read(self, person: PersonAnnotation) -> Pyramid:
        """The person's image.

        Raises:
            OccluposeError: as `PersonAnnotation.read`.
        """
        cached = self.get(person)
        if cached is not None:
            return cached
        pyramid = Pyramid(person.read())
        size = pyramid.level(0).nbytes * 4 // 3  # each level has a quarter of the one before
        with self._lock:
            if person.image not in self._pyramids and size <= self._free_bytes:
                self._free_bytes -= size
                self._pyramids[person.image] = pyramid.build_levels()
        return pyramid


def make_batch(
    people: Sequence[PersonAnnotation],
    images: Sequence[RGB | Pyramid],
    crop: Crop,
    skeleton: Skeleton,
    augmentation: TopDownAugmentation | None = None,
    uniform: Float[np.ndarray, "person 9"] | None = None,
) -> TopDownBatch:
    """People in crops, augmented if there is an augmentation.

    Arguments:
        images: each person's image.
        uniform: uniform random numbers from 0 to 1 that decide the augmentation: the same numbers change a person in
            the same way.
    """
    boxes = np.stack([person.box for person in people])
    if augmentation is None:
        return crop_people(people, images, crop, skeleton, crop.regions(boxes))
    assert uniform is not None, "an augmentation needs random numbers"
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]) * crop.padding
    for number in np.flatnonzero(uniform[:, 1] < augmentation.half_body_probability).tolist():
        upper = bool(uniform[number, 2] < augmentation.upper_body_probability)
        half = _half_body(people[number], skeleton, augmentation.half_body_padding, upper=upper)
        if half is not None:
            centres[number], sides[number] = half
    regions = _augment_regions(centres, sides, crop, augmentation, uniform[:, 3:])
    mirrored = uniform[:, 0] < augmentation.flip_probability
    return crop_people(people, images, crop, skeleton, regions, mirrored)


def crop_people(
    people: Sequence[PersonAnnotation],
    images: Sequence[RGB | Pyramid],
    crop: Crop,
    skeleton: Skeleton,
    regions: Regions,
    mirrored: Bool[np.ndarray, " person"] | None = None,
) -> TopDownBatch:
    """Crops of image regions, with the people's keypoints in them.

    Arguments:
        images: each person's image.
        regions: see `codecs.crops`.
        mirrored: people whose image and joints have left and right exchanged.
    """
    pyramids = [image if isinstance(image, Pyramid) else Pyramid(image) for image in images]
    boxes = np.stack([person.box for person in people])
    xy = np.stack([person.xy for person in people])
    state = np.stack([person.state for person in people])
    if mirrored is None or not mirrored.any():
        matrices = crop.matrices(regions)
    else:
        last = np.array([pyramid.size[0] - 1 for pyramid in pyramids])[mirrored]  # last column of each mirrored image
        regions = regions.copy()
        regions[mirrored, ::2] = last[:, None] - regions[mirrored, ::2]
        matrices = crop.matrices(regions)
        matrices[mirrored, :, 2] += matrices[mirrored, :, 0] * last[:, None]
        matrices[mirrored, :, 0] *= -1
        partners = list(skeleton.mirror)
        xy[mirrored] = xy[mirrored][:, partners]
        state[mirrored] = state[mirrored][:, partners]
    corners = transform_points(matrices, boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]])
    crops = np.empty((len(people), crop.height, crop.width, 3), np.uint8)
    for image, pyramid, matrix in zip(crops, pyramids, matrices, strict=True):
        image[:] = pyramid.crop(matrix, crop.width, crop.height)
    boxes_in_crops = np.concatenate([corners.min(1), corners.max(1)], -1)
    return TopDownBatch(crops, transform_points(matrices, xy), state, boxes_in_crops)


def _half_body(
    person: PersonAnnotation, skeleton: Skeleton, padding: float, *, upper: bool
) -> tuple[Vector, Vector] | None:
    """Centre (mean of its joints) and padded sides of one half of a whole body, px; None if there are too few joints.

    If the wanted half has too few joints, it is the other one.
    """
    annotated = person.state != ABSENT
    if annotated.sum() < MIN_WHOLE:
        return None
    lower = np.array([joint.rpartition("_")[2] in LOWER_BODY for joint in skeleton.joints])
    halves = {"upper": annotated & ~lower, "lower": annotated & lower}
    for half in ("upper", "lower") if upper else ("lower", "upper"):
        if halves[half].sum() >= MIN_HALF[half]:
            joints = person.xy[halves[half]]
            return joints.mean(0), np.maximum(np.ptp(joints, axis=0), 1) * padding
    return None


def _augment_regions(
    centres: Float[np.ndarray, "person 2"],
    sides: Float[np.ndarray, "person 2"],
    crop: Crop,
    augmentation: TopDownAugmentation,
    uniform: Float[np.ndarray, "person 6"],
) -> Regions:
    """Shifted, scaled and rotated regions, each high enough for all of its box.

    Arguments:
        centres, sides: of the boxes, the sides with padding, px.
    """
    right, down, size, angle = _truncated_normal(uniform[:, :4]).T
    shifted = uniform[:, 4] < augmentation.shift_probability
    rotated = uniform[:, 5] < augmentation.rotation_probability
    low, high = augmentation.scale
    centres = centres + shifted[:, None] * augmentation.shift * sides * np.stack([right, down], -1)
    sides = sides * ((low + high) / 2 + size * (high - low) / 2)[:, None]
    reach = np.maximum(sides[:, 1], sides[:, 0] * crop.height / crop.width) / crop.padding / 2
    angle = np.deg2rad(augmentation.rotation * angle) * rotated
    return np.concatenate([centres, centres + reach[:, None] * np.stack([np.sin(angle), -np.cos(angle)], -1)], -1)


def _truncated_normal(uniform: Float[np.ndarray, "person n"]) -> Float[np.ndarray, "person n"]:
    """Numbers of a normal distribution truncated at -1 and 1, from uniform ones between 0 and 1."""
    return ndtri(ndtr(-1) + uniform * (ndtr(1) - ndtr(-1)))
