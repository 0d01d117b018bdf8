"""What a bottom-up network is shown: whole pictures in an input of one size, varied for training as HUPOR's code varies
them.

Pictures are turned a little and mirrored. Those of which no depth is known are scaled and shifted too; the others are
not, for somebody who looks larger would have to be nearer.
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

MEMORY = 2**31
"""Bytes of decoded pictures that are kept, unless it is said otherwise."""

CHANCES = 5
"""Even numbers that decide how a picture is varied."""

MOST = 20
"""People of a picture who are learnt from, the nearest to its middle; as published."""


@dataclass(frozen=True)
class Variation:
    """How much pictures are varied.

    Attributes:
        turn: degrees, at most.
        flip: share that are mirrored.
        zoom: smallest and largest factor of the size of pictures without depth.
        shift: px of a published input, 832 wide, by which those move at most, across and down.

    Raises:
        OccluposeError: a number that cannot be.
    """

    turn: float = 10.0
    flip: float = 0.5
    zoom: tuple[float, float] = (0.8, 1.1)
    shift: float = 40.0

    def __post_init__(self) -> None:
        if not 0 <= self.turn <= 180:
            raise OccluposeError(f"turn {self.turn:g}: degrees, between 0 and 180")
        if not 0 <= self.flip <= 1:
            raise OccluposeError(f"flip {self.flip:g}: a share, between 0 and 1")
        if not 0 < self.zoom[0] <= self.zoom[1] < float("inf"):
            raise OccluposeError(
                f"zoom {self.zoom[0]:g} {self.zoom[1]:g}: the smallest and the largest factor, more than 0"
            )
        if not 0 <= self.shift < float("inf"):
            raise OccluposeError(f"shift {self.shift:g}: pixels, 0 or more")


@dataclass
class Shown:
    """A batch.

    Attributes:
        pictures: RGB; None of labels alone.
        scene: who is in them, filled up with nobody to the same number of people.
        annotated: joints that the picture's dataset says something of.
        deep: whether depths of the picture's people are known.
    """

    pictures: UInt8[Tensor, "batch height width 3"] | None
    scene: PeopleBatch
    annotated: Bool[Tensor, "batch 15"]
    deep: Bool[Tensor, " batch"]


class Gallery:
    """Pictures, read when they are first asked for, and kept as long as there is room. Threads may share it.

    Arguments:
        memory: bytes for those that are kept.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._room = memory
        self._kept = dict[ImageRef, RGB]()
        self._lock = Lock()

    def read(self, picture: ImageRef, size: tuple[int, int]) -> RGB:
        """A picture of this size.

        Raises:
            OccluposeError: as `ImageRef.read`.
        """
        kept = self._kept.get(picture)
        if kept is not None:
            return kept
        image = picture.read(size)
        with self._lock:
            if picture not in self._kept and image.nbytes <= self._room:
                self._room -= image.nbytes
                self._kept[picture] = image
        return image


def show(
    samples: Sequence[ImageSample],
    images: Sequence[RGB] | None,
    box: Letterbox,
    vary: Variation | None = None,
    chances: Float[np.ndarray, "batch 5"] | None = None,
) -> Shown:
    """People in inputs; varied, where it is said how.

    Arguments:
        images: each crowd's picture; None makes a batch of labels alone.
        chances: even numbers from 0 to 1, which decide all that is varied: the same ones vary a picture in the same
            way.
    """
    even = np.full((len(samples), CHANCES), 0.5) if chances is None else chances
    people = []
    spans = []
    pictures = []
    annotated = []
    for number, (sample, chance) in enumerate(zip(samples, even, strict=True)):
        matrix, mirrored = _placed(sample, box, vary, chance)
        people.append(_people_in_input(sample, box, matrix, mirrored=mirrored))
        spans.append(_metres_per_pixel(sample, matrix))
        annotated.append(sample.annotated[list(MPI15.mirror)] if mirrored else sample.annotated)
        if images is not None:
            shown = box.warp(Pyramid(images[number]), matrix)
            pictures.append(shown[:, ::-1] if mirrored else shown)
    return Shown(
        None if images is None else torch.from_numpy(np.stack(pictures)),
        _padded(people, spans),
        torch.from_numpy(np.stack(annotated)),
        torch.tensor([sample.has_depth for sample in samples]),
    )


def _placed(
    sample: ImageSample, box: Letterbox, vary: Variation | None, chance: Float[np.ndarray, "5"]
) -> tuple[Float[np.ndarray, "2 3"], bool]:
    """From the picture to the input, and whether that is then mirrored."""
    if vary is None:
        return box.matrix(*sample.size), False
    flip, turn, zoom, right, down = chance.tolist()
    turn = vary.turn * (2 * turn - 1)
    if sample.has_depth:
        return box.matrix(*sample.size, turn=turn), flip < vary.flip
    shift = vary.shift * box.width / 832
    move = (shift * (2 * right - 1), shift * (2 * down - 1))
    factor = vary.zoom[0] + zoom * (vary.zoom[1] - vary.zoom[0])
    return box.matrix(*sample.size, turn=turn, zoom=factor, shift=move), flip < vary.flip


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
    if len(people) > MOST:
        middle = np.array([box.width - 1, box.height - 1]) / 2
        distance = np.where(state[people] != ABSENT, np.linalg.norm(xy[people] - middle, axis=-1), np.inf).min(-1)
        people = people[np.sort(np.argsort(distance, kind="stable")[:MOST])]
    return xy[people], z[people], state[people]


def _metres_per_pixel(sample: ImageSample, matrix: Float[np.ndarray, "2 3"]) -> float:
    """Metres that an input pixel spans at a distance of one metre; NaN without a camera."""
    if sample.camera is None:
        return np.nan
    scale = float(np.hypot(*matrix[:, 0]))
    return 1 / (sample.camera.fx * scale)


def _padded(people: Sequence[_People], spans: Sequence[float]) -> PeopleBatch:
    """A batch with as many people an image as the fullest has, at least one."""
    most = max(1, *(len(xy) for xy, _, _ in people))
    joints = len(MPI15)
    batch = PeopleBatch(
        xy=torch.zeros(len(people), most, joints, 2),
        z=torch.full((len(people), most, joints), torch.nan),
        state=torch.zeros(len(people), most, joints, dtype=torch.uint8),
        span=torch.tensor(spans, dtype=torch.float32),
    )
    for number, (xy, z, state) in enumerate(people):
        batch.xy[number, : len(xy)] = torch.from_numpy(xy)
        batch.z[number, : len(xy)] = torch.from_numpy(z)
        batch.state[number, : len(xy)] = torch.from_numpy(state)
    return batch
