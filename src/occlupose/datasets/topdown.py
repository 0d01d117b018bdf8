"""What a top-down network is shown of a person: a crop round the box, varied for training as MMPose's recipes vary it.

Those recipes (its `topdown_heatmap` configurations) mirror, cut to half a body, and shift, scale and tilt the box, in
that order. Numbers between -1 and 1 below are drawn from a normal distribution cut off there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.special import ndtr, ndtri

from occlupose.codecs.crops import Crop, Regions, transform_points
from occlupose.datasets.coco import Person
from occlupose.datasets.images import ImageRef
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.poses import ABSENT
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton

MEMORY = 2**30
"""Bytes of decoded pictures that are kept, unless it is said otherwise."""

CHANCES = 9
"""Even numbers that decide how a person is varied."""

Vector = Float[np.ndarray, "2"]

LOWER = ("hip", "knee", "ankle")
"""Joints of the lower half of a body, by the last word of their names; all others are of the upper one."""

WHOLE = 9
"""Annotated joints from which on a body may be halved."""

HALF = {"upper": 2, "lower": 3}
"""Joints that a half must have."""


@dataclass(frozen=True)
class Variation:
    """How much people are varied.

    Attributes:
        flip: share who are mirrored.
        half: share of whole bodies of whom one half is shown.
        upper: share of those halves that are the upper one.
        half_padding: sides of what is shown of a half / those of the box round its joints.
        shift, shifted: by which part of its padded sides the box moves, at most; share who are moved.
        scale: smallest and largest factor of the crop's sides.
        turn, turned: degrees of tilt, at most; share who are tilted.

    Raises:
        OccluposeError: a share or a size that cannot be.
    """

    flip: float = 0.5
    half: float = 0.3
    upper: float = 0.7
    half_padding: float = 1.5
    shift: float = 0.16
    shifted: float = 0.3
    scale: tuple[float, float] = (0.5, 1.5)
    turn: float = 80.0
    turned: float = 0.6

    def __post_init__(self) -> None:
        for name in ("flip", "half", "upper", "shift", "shifted", "turned"):
            if not 0 <= getattr(self, name) <= 1:
                raise OccluposeError(f"{name} {getattr(self, name):g}: a share, between 0 and 1")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise OccluposeError(
                f"scale {self.scale[0]:g} {self.scale[1]:g}: the smallest and the largest factor, more than 0"
            )
        if not 0 <= self.turn <= 180:
            raise OccluposeError(f"turn {self.turn:g}: degrees, between 0 and 180")
        if self.half_padding < 1:
            raise OccluposeError(f"half_padding {self.half_padding:g}: must be 1 or more")


@dataclass(frozen=True, eq=False)
class Shown:
    """People as a network is shown them.

    Attributes:
        pictures: the crops, RGB.
        xy: joints, crop px; whatever came of the file where they are not annotated.
        state: v of each: 2 visible, 1 occluded, 0 not annotated.
        boxes: left, top, right, bottom of each person's box in the crop, px; where it was tilted, of what holds its
            corners.
    """

    pictures: UInt8[np.ndarray, "person height width 3"]
    xy: Float[np.ndarray, "person joint 2"]
    state: UInt8[np.ndarray, "person joint"]
    boxes: Float[np.ndarray, "person 4"]


class Gallery:
    """People's pictures, read when they are first asked for, and kept as long as there is room. Threads may share it.

    Arguments:
        memory: bytes for those that are kept.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._room = memory
        self._kept = dict[ImageRef, Pyramid]()
        self._lock = Lock()

    def kept(self, person: Person) -> Pyramid | None:
        """The person's picture, if it is here."""
        return self._kept.get(person.picture)

    def read(self, person: Person) -> Pyramid:
        """The person's picture.

        Raises:
            OccluposeError: as `Person.read`.
        """
        kept = self.kept(person)
        if kept is not None:
            return kept
        pyramid = Pyramid(person.read())
        size = pyramid.level(0).nbytes * 4 // 3  # each level has a quarter of the one before
        with self._lock:
            keep = person.picture not in self._kept and size <= self._room
            if keep:
                self._room -= size
                self._kept[person.picture] = pyramid.build_levels()
        return pyramid


def show(
    people: Sequence[Person],
    images: Sequence[RGB | Pyramid],
    crop: Crop,
    skeleton: Skeleton,
    vary: Variation | None = None,
    chances: Float[np.ndarray, "person 9"] | None = None,
) -> Shown:
    """People in crops; varied, where it is said how.

    Arguments:
        images: each person's picture.
        chances: even numbers from 0 to 1, which decide all that is varied: the same ones vary a person in the same way.
    """
    boxes = np.stack([person.box for person in people])
    if vary is None:
        return cut(people, images, crop, skeleton, crop.regions(boxes))
    assert chances is not None, "a variation needs chances"
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]) * crop.padding
    for number in np.flatnonzero(chances[:, 1] < vary.half).tolist():
        half = _half(people[number], skeleton, vary, upper=bool(chances[number, 2] < vary.upper))
        if half is not None:
            middles[number], sides[number] = half
    regions = _moved(middles, sides, crop, vary, chances[:, 3:])
    return cut(people, images, crop, skeleton, regions, chances[:, 0] < vary.flip)


def cut(
    people: Sequence[Person],
    images: Sequence[RGB | Pyramid],
    crop: Crop,
    skeleton: Skeleton,
    regions: Regions,
    mirrored: Bool[np.ndarray, " person"] | None = None,
) -> Shown:
    """What crops show of regions of images, and where the people's joints are in them.

    Arguments:
        images: each person's picture.
        regions: see `codecs.crops`.
        mirrored: who has left and right exchanged, of the picture and of the joints.
    """
    pyramids = [image if isinstance(image, Pyramid) else Pyramid(image) for image in images]
    boxes, xy, state = (
        np.stack(part) for part in zip(*((person.box, person.xy, person.state) for person in people), strict=True)
    )
    if mirrored is None or not mirrored.any():
        matrices = crop.matrices(regions)
    else:
        last = np.array([pyramid.size[0] - 1 for pyramid in pyramids])[mirrored]  # column of each mirrored picture
        regions = regions.copy()
        regions[mirrored, ::2] = last[:, None] - regions[mirrored, ::2]
        matrices = crop.matrices(regions)
        matrices[mirrored, :, 2] += matrices[mirrored, :, 0] * last[:, None]
        matrices[mirrored, :, 0] *= -1
        partners = list(skeleton.mirror)
        xy[mirrored] = xy[mirrored][:, partners]
        state[mirrored] = state[mirrored][:, partners]
    corners = transform_points(matrices, boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]])
    pictures = np.empty((len(people), crop.height, crop.width, 3), np.uint8)
    for picture, pyramid, matrix in zip(pictures, pyramids, matrices, strict=True):
        picture[:] = pyramid.crop(matrix, crop.width, crop.height)
    return Shown(pictures, transform_points(matrices, xy), state, np.concatenate([corners.min(1), corners.max(1)], -1))


def _half(person: Person, skeleton: Skeleton, vary: Variation, *, upper: bool) -> tuple[Vector, Vector] | None:
    """The middle and the sides, px, of one half of a whole body, about the mean of its joints: the wanted one, or the
    other one where that has too few joints; None where neither has enough."""
    annotated = person.state != ABSENT
    if annotated.sum() < WHOLE:
        return None
    lower = np.array([joint.rpartition("_")[2] in LOWER for joint in skeleton.joints])
    halves = {"upper": annotated & ~lower, "lower": annotated & lower}
    for half in ("upper", "lower") if upper else ("lower", "upper"):
        if halves[half].sum() >= HALF[half]:
            joints = person.xy[halves[half]]
            return joints.mean(0), np.maximum(np.ptp(joints, axis=0), 1) * vary.half_padding
    return None


def _moved(
    middles: Float[np.ndarray, "person 2"],
    sides: Float[np.ndarray, "person 2"],
    crop: Crop,
    vary: Variation,
    chances: Float[np.ndarray, "person 6"],
) -> Regions:
    """The regions of frames that are shifted, scaled and tilted, each as high as to hold all of its frame.

    Arguments:
        middles, sides: of what crops are to show, the sides with padding, px.
    """
    right, down, size, tilt = _cut_normal(chances[:, :4]).T
    moves = chances[:, 4] < vary.shifted
    tilts = chances[:, 5] < vary.turned
    low, high = vary.scale
    middles = middles + moves[:, None] * vary.shift * sides * np.stack([right, down], -1)
    sides = sides * ((low + high) / 2 + size * (high - low) / 2)[:, None]
    reach = np.maximum(sides[:, 1], sides[:, 0] * crop.height / crop.width) / crop.padding / 2
    angle = np.deg2rad(vary.turn * tilt) * tilts
    return np.concatenate([middles, middles + reach[:, None] * np.stack([np.sin(angle), -np.cos(angle)], -1)], -1)


def _cut_normal(even: Float[np.ndarray, "person n"]) -> Float[np.ndarray, "person n"]:
    """Numbers of a normal distribution that was cut off at -1 and 1, from even ones between 0 and 1."""
    return ndtri(ndtr(-1) + even * (ndtr(1) - ndtr(-1)))
