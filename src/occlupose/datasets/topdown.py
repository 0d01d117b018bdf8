"""What a top-down network is shown of a person: a crop round the box, varied for training as MMPose's recipes vary it.

Those recipes (its `topdown_heatmap` configurations) mirror, cut to half a body, and shift, scale and tilt the box, in that order. Numbers
between -1 and 1 below are drawn from a normal distribution cut off there.
"""

from dataclasses import dataclass
from threading import Lock

import numpy as np
from jaxtyping import Float, UInt8
from scipy.special import ndtr, ndtri

from occlupose.codecs.crops import Crop, Regions, apply
from occlupose.datasets.coco import Person
from occlupose.datasets.pictures import Picture
from occlupose.errors import OccluposeError
from occlupose.media import RGB
from occlupose.poses import ABSENT
from occlupose.pyramid import Pyramid
from occlupose.skeletons import Skeleton

MEMORY = 2**30
"""Bytes of decoded pictures that are kept, unless it is said otherwise."""

Frame = tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]
"""The middle of what a crop is to show, and its width and height, px."""

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
            raise OccluposeError(f"scale {self.scale[0]:g} {self.scale[1]:g}: the smallest and the largest factor, more than 0")
        if not 0 <= self.turn <= 180:
            raise OccluposeError(f"turn {self.turn:g}: degrees, between 0 and 180")
        if self.half_padding < 1:
            raise OccluposeError(f"half_padding {self.half_padding:g}: must be 1 or more")


@dataclass(frozen=True, eq=False)
class Shown:
    """A person as a network is shown them.

    Attributes:
        picture: the crop, RGB.
        xy: joints, crop px; whatever came of the file where they are not annotated.
        state: v of each: 2 visible, 1 occluded, 0 not annotated.
        box: left, top, right, bottom of the person's box in the crop, px; where it was tilted, of what holds its corners.
    """

    picture: RGB
    xy: Float[np.ndarray, "joint 2"]
    state: UInt8[np.ndarray, "joint"]
    box: Float[np.ndarray, "4"]


class Gallery:
    """People's pictures, read when they are first asked for, and kept as long as there is room. Threads may share it.

    Arguments:
        memory: bytes for those that are kept.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._room, self._kept, self._lock = memory, dict[Picture, Pyramid](), Lock()

    def read(self, person: Person) -> Pyramid:
        """The person's picture.

        Raises:
            OccluposeError: as `Person.read`.
        """
        kept = self._kept.get(person.picture)
        if kept is not None:
            return kept
        pyramid = Pyramid(person.read())
        size = pyramid.level(0).nbytes * 4 // 3  # each level has a quarter of the one before
        with self._lock:
            keep = person.picture not in self._kept and size <= self._room
            if keep:
                self._room -= size
                self._kept[person.picture] = pyramid.complete()
        return pyramid


def show(
    person: Person,
    image: RGB | Pyramid,
    crop: Crop,
    skeleton: Skeleton,
    vary: Variation | None = None,
    random: np.random.Generator | None = None,
) -> Shown:
    """The person of an image in a crop; varied, where it is said how.

    Arguments:
        image: the person's picture.
        random: decides all that is varied.
    """
    if vary is None:
        return cut(person, image, crop, skeleton, crop.regions(person.box[None])[0])
    assert random is not None, "a variation needs a generator"
    mirrored = bool(random.random() < vary.flip)
    frame = _half(person, skeleton, vary, random) or _whole(person, crop)
    return cut(person, image, crop, skeleton, _moved(*frame, crop, vary, random), mirrored=mirrored)


def cut(
    person: Person,
    image: RGB | Pyramid,
    crop: Crop,
    skeleton: Skeleton,
    region: Float[np.ndarray, "4"],
    *,
    mirrored: bool = False,
) -> Shown:
    """What a crop shows of a region of an image, and where the person's joints are in it.

    Arguments:
        image: the person's picture.
        region: see `codecs.crops`.
        mirrored: left and right exchanged, of the picture and of the joints.
    """
    pyramid = image if isinstance(image, Pyramid) else Pyramid(image)
    matrix = crop.matrices(_mirror(region[None], pyramid.size[0]) if mirrored else region[None])[0]
    if mirrored:
        matrix = matrix @ np.array([[-1.0, 0, pyramid.size[0] - 1], [0, 1, 0], [0, 0, 1]])
    corners = apply(matrix, person.box[[[0, 1], [2, 1], [2, 3], [0, 3]]])
    xy, state = apply(matrix, person.xy), person.state
    if mirrored:
        partners = list(skeleton.mirror)
        xy, state = xy[partners], state[partners]
    picture = pyramid.cut(matrix, crop.width, crop.height)
    return Shown(picture, xy, state, np.concatenate([corners.min(0), corners.max(0)]))


def _mirror(regions: Regions, width: int) -> Regions:
    """The regions in a picture of that width that was mirrored."""
    mirrored = regions.copy()
    mirrored[:, ::2] = width - 1 - mirrored[:, ::2]
    return mirrored


def _whole(person: Person, crop: Crop) -> Frame:
    """The middle of the box, and its sides with padding, px."""
    low, high = person.box[:2], person.box[2:]
    return (low + high) / 2, (high - low) * crop.padding


def _half(person: Person, skeleton: Skeleton, vary: Variation, random: np.random.Generator) -> Frame | None:
    """The same of one half of the body, now and then, where there is enough of it: about the mean of its joints."""
    wanted, first = random.random() < vary.half, "upper" if random.random() < vary.upper else "lower"
    annotated = person.state != ABSENT
    if not wanted or annotated.sum() < WHOLE:
        return None
    lower = np.array([joint.rpartition("_")[2] in LOWER for joint in skeleton.joints])
    halves = {"upper": annotated & ~lower, "lower": annotated & lower}
    fit = [half for half in (first, *(half for half in halves if half != first)) if halves[half].sum() >= HALF[half]]
    if not fit:
        return None
    joints = person.xy[halves[fit[0]]]
    return joints.mean(0), np.maximum(np.ptp(joints, axis=0), 1) * vary.half_padding


def _moved(
    middle: Float[np.ndarray, "2"], sides: Float[np.ndarray, "2"], crop: Crop, vary: Variation, random: np.random.Generator
) -> Float[np.ndarray, "4"]:
    """The region of a frame that is shifted, scaled and tilted, as high as to hold all of it."""
    right, down, size, tilt = _cut_normal(random.random(4))
    moves, tilts = random.random(2) < (vary.shifted, vary.turned)
    low, high = vary.scale
    if moves:
        middle = middle + vary.shift * sides * np.array([right, down])
    sides = sides * ((low + high) / 2 + size * (high - low) / 2)
    reach = max(sides[1], sides[0] * crop.height / crop.width) / crop.padding / 2
    angle = np.deg2rad(vary.turn * tilt) if tilts else 0.0
    return np.concatenate([middle, middle + reach * np.array([np.sin(angle), -np.cos(angle)])])


def _cut_normal(even: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Numbers of a normal distribution that was cut off at -1 and 1, from even ones between 0 and 1."""
    return ndtri(ndtr(-1) + even * (ndtr(1) - ndtr(-1)))
