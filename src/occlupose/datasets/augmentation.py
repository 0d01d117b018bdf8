"""Training batches of augmented images.

Top-down networks get crops around people's boxes, augmented as in MMPose's recipes: those of the `topdown_heatmap`
configurations mirror, cut to half a body, and shift, scale and rotate the box, in that order. Numbers between -1 and 1
below are drawn from a normal distribution truncated there.

Bottom-up networks get whole images in an input of one size, augmented as in HUPOR's code: slightly rotated and
mirrored. Images without depth are also scaled and shifted; the others are not, since a person who looks larger would
have to be nearer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Bool, Float, UInt8
from scipy.special import ndtr, ndtri
from torch import Tensor

from occlupose.bounds import Bounded, Fraction, NonNegative, Positive, Rotation
from occlupose.codecs.crops import Crop, Regions, transform_points
from occlupose.codecs.letterbox import Letterbox
from occlupose.codecs.multi_person import PeopleBatch
from occlupose.datasets.annotations import PersonAnnotation
from occlupose.datasets.image_samples import ImageSample
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton

Vector = Float[np.ndarray, "2"]

LOWER_BODY = ("hip", "knee", "ankle")
"""Joints of the lower half of a body, by the last word of their names; all others belong to the upper half."""

MIN_WHOLE = 9
"""Annotated joints that a body must have to be cut to one half."""

MIN_HALF = {"upper": 2, "lower": 3}
"""Annotated joints that the half must have."""

MAX_PEOPLE = 20
"""People of an image that bottom-up networks are trained on, those nearest to its middle; as published."""


@dataclass(frozen=True)
class TopDownAugmentation(Bounded):
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

    random_numbers: ClassVar[int] = 9
    """Uniform random numbers that decide the augmentation of one person."""

    flip_probability: Fraction = 0.5
    half_body_probability: Fraction = 0.3
    upper_body_probability: Fraction = 0.7
    half_body_padding: Annotated[float, Interval(ge=1)] = 1.5
    shift: Fraction = 0.16
    shift_probability: Fraction = 0.3
    scale: tuple[Positive, Positive] = (0.5, 1.5)
    rotation: Rotation = 80.0
    rotation_probability: Fraction = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_scale(*self.scale)


@dataclass(frozen=True)
class BottomUpAugmentation(Bounded):
    """Random changes of whole images.

    Attributes:
        rotation: largest rotation, degrees.
        flip_probability: of mirroring.
        scale: smallest and largest factor of the size of images without depth.
        shift: largest shift of images without depth, across and down, in px of a published input, 832 wide.
        blocks: in front of people; joints behind them are occluded, everybody's (ours, after LJOF). None: no blocks.

    Raises:
        OccluposeError: a value is out of range.
    """

    random_numbers: ClassVar[int] = 5
    """Uniform random numbers that decide the augmentation of one image."""

    rotation: Rotation = 10.0
    flip_probability: Fraction = 0.5
    scale: tuple[Positive, Positive] = (0.8, 1.1)
    shift: NonNegative = 40.0
    blocks: LimbBlocks | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_scale(*self.scale)


def _check_scale(low: float, high: float) -> None:
    if low > high:
        raise OccluposeError(f"scale {low:g} {high:g}: the smallest factor must come first")


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
    annotated: Bool[Tensor, "batch joint"]
    has_depth: Bool[Tensor, " batch"]


def make_topdown_batch(
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
    pyramids = [_to_pyramid(image) for image in images]
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


def _to_pyramid(image: RGB | Pyramid) -> Pyramid:
    return image if isinstance(image, Pyramid) else Pyramid(image)


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


def make_bottomup_batch(
    samples: Sequence[ImageSample],
    images: Sequence[RGB | Pyramid] | None,
    box: Letterbox,
    augmentation: BottomUpAugmentation | None = None,
    uniform: Float[np.ndarray, "batch 5"] | None = None,
) -> BottomUpBatch:
    """Samples in network inputs, augmented if there is an augmentation.

    Arguments:
        samples: of the same joints.
        images: each sample's image; None makes a batch of labels only.
        uniform: uniform random numbers from 0 to 1 that decide the augmentation: the same numbers change an image in
            the same way. By default 0.5.
    """
    uniform = np.full((len(samples), BottomUpAugmentation.random_numbers), 0.5) if uniform is None else uniform
    people = []
    spans = []
    inputs = []
    annotated = []
    for number, sample in enumerate(samples):
        matrix, mirrored = _augment_transform(sample, box, augmentation, uniform[number])
        xy, z, state = _people_in_input(sample, box, matrix, mirrored=mirrored)
        canvas = None
        if augmentation is not None and augmentation.blocks is not None and len(xy):
            canvas = _draw_blocks(augmentation.blocks, xy, state, box, sample.skeleton, uniform[number])
            state = _behind_blocks(canvas, xy, state)
        people.append((xy, z, state))
        spans.append(_metres_per_pixel(sample, matrix))
        annotated.append(sample.annotated[list(sample.skeleton.mirror)] if mirrored else sample.annotated)
        if images is not None:
            pixels = box.warp(_to_pyramid(images[number]), matrix)
            pixels = pixels[:, ::-1] if mirrored else pixels
            inputs.append(pixels if canvas is None else np.where(canvas >= 0, canvas, pixels).astype(np.uint8))
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
        partners = list(sample.skeleton.mirror)
        xy = np.stack([box.width - 1 - xy[:, partners, 0], xy[:, partners, 1]], -1)
        z = z[:, partners]
        state = state[:, partners]
    people = np.flatnonzero((state != ABSENT).any(-1))
    if len(people) > MAX_PEOPLE:
        middle = np.array([box.width - 1, box.height - 1]) / 2
        distance = np.where(state[people] != ABSENT, np.linalg.norm(xy[people] - middle, axis=-1), np.inf).min(-1)
        people = people[np.sort(np.argsort(distance, kind="stable")[:MAX_PEOPLE])]
    return xy[people], z[people], state[people]


def _draw_blocks(
    blocks: LimbBlocks,
    xy: Float[np.ndarray, "person joint 2"],
    state: UInt8[np.ndarray, "person joint"],
    box: Letterbox,
    skeleton: Skeleton,
    uniform: Float[np.ndarray, "5"],
) -> Float[np.ndarray, "height width 3"]:
    """Blocks in front of people in an input: 0 to 255, -1 where there is none."""
    known = (state != ABSENT)[..., None]
    low = np.where(known, xy, np.inf).min(1)
    high = np.where(known, xy, -np.inf).max(1)
    random = np.random.default_rng(uniform.view(np.uint64))
    empty = np.full((box.height, box.width, 3), -1.0, np.float32)
    drawn, _ = blocks.cover_image(empty, xy, state, skeleton, random, np.concatenate([low, high], 1))
    return np.where(drawn >= 0, np.rint(255 * drawn), -1)


def _behind_blocks(
    canvas: Float[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "person joint 2"],
    state: UInt8[np.ndarray, "person joint"],
) -> UInt8[np.ndarray, "person joint"]:
    """The states of joints with blocks in front of some."""
    height, width, _ = canvas.shape
    column = np.rint(xy[..., 0]).astype(int).clip(0, width - 1)
    row = np.rint(xy[..., 1]).astype(int).clip(0, height - 1)
    return np.where((state == VISIBLE) & (canvas[row, column, 0] >= 0), OCCLUDED, state).astype(np.uint8)


def _metres_per_pixel(sample: ImageSample, matrix: Float[np.ndarray, "2 3"]) -> float:
    """Metres that an input pixel spans at a distance of one metre; NaN without a camera."""
    if sample.camera is None:
        return np.nan
    scale = float(np.hypot(*matrix[:, 0]))
    return 1 / (sample.camera.fx * scale)


def _pad(people: Sequence[_People], spans: Sequence[float]) -> PeopleBatch:
    """A batch with as many people an image as the fullest has, at least one."""
    most = max(1, *(len(xy) for xy, _, _ in people))
    joints = people[0][0].shape[1]
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
