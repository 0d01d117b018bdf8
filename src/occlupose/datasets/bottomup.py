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
from occlupose.codecs.multi_person import Scene
from occlupose.datasets.crowds import Crowd
from occlupose.datasets.pictures import Picture
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
    scene: Scene
    annotated: Bool[Tensor, "batch 15"]
    deep: Bool[Tensor, " batch"]


class Gallery:
    """Pictures, read when they are first asked for, and kept as long as there is room. Threads may share it.

    Arguments:
        memory: bytes for those that are kept.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._room = memory
        self._kept = dict[Picture, RGB]()
        self._lock = Lock()

    def read(self, picture: Picture, size: tuple[int, int]) -> RGB:
        """A picture of this size.

        Raises:
            OccluposeError: as `Picture.read`.
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
    crowds: Sequence[Crowd],
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
    even = np.full((len(crowds), CHANCES), 0.5) if chances is None else chances
    parts = []
    pictures = []
    annotated = []
    for number, (crowd, chance) in enumerate(zip(crowds, even, strict=True)):
        matrix, mirrored = _placed(crowd, box, vary, chance)
        parts.append(_people(crowd, box, matrix, mirrored=mirrored))
        annotated.append(crowd.annotated[list(MPI15.mirror)] if mirrored else crowd.annotated)
        if images is not None:
            shown = box.show(Pyramid(images[number]), matrix)
            pictures.append(shown[:, ::-1] if mirrored else shown)
    return Shown(
        None if images is None else torch.from_numpy(np.stack(pictures)),
        _together(parts),
        torch.from_numpy(np.stack(annotated)),
        torch.tensor([crowd.deep for crowd in crowds]),
    )


def _placed(
    crowd: Crowd, box: Letterbox, vary: Variation | None, chance: Float[np.ndarray, "5"]
) -> tuple[Float[np.ndarray, "2 3"], bool]:
    """From the picture to the input, and whether that is then mirrored."""
    if vary is None:
        return box.matrix(*crowd.size), False
    flip, turn, zoom, right, down = chance.tolist()
    turn = vary.turn * (2 * turn - 1)
    if crowd.deep:
        return box.matrix(*crowd.size, turn=turn), flip < vary.flip
    shift = vary.shift * box.width / 832
    move = (shift * (2 * right - 1), shift * (2 * down - 1))
    return box.matrix(
        *crowd.size, turn=turn, zoom=vary.zoom[0] + zoom * (vary.zoom[1] - vary.zoom[0]), shift=move
    ), flip < vary.flip


@dataclass
class _Part:
    """People of one picture; as in `Scene`."""

    xy: Float[np.ndarray, "person joint 2"]
    z: Float[np.ndarray, "person joint"]
    state: UInt8[np.ndarray, "person joint"]
    span: float


def _people(crowd: Crowd, box: Letterbox, matrix: Float[np.ndarray, "2 3"], *, mirrored: bool) -> _Part:
    """Where the people are in the input; joints beyond it are absent."""
    xy = np.nan_to_num(crowd.xy @ matrix[:, :2].T + matrix[:, 2])
    inside = ((xy > -0.5) & (xy < np.array([box.width, box.height]) - 0.5)).all(-1)
    state = np.where(inside, crowd.state, ABSENT).astype(np.uint8)
    z = crowd.z
    if mirrored:
        partners = list(MPI15.mirror)
        xy = np.stack([box.width - 1 - xy[:, partners, 0], xy[:, partners, 1]], -1)
        z = z[:, partners]
        state = state[:, partners]
    here = np.flatnonzero((state != ABSENT).any(-1))
    if len(here) > MOST:
        middle = np.array([box.width - 1, box.height - 1]) / 2
        away = np.where(state[here] != ABSENT, np.linalg.norm(xy[here] - middle, axis=-1), np.inf).min(-1)
        here = here[np.sort(np.argsort(away, kind="stable")[:MOST])]
    scale = float(np.hypot(*matrix[:, 0]))
    span = np.nan if crowd.camera is None else 1 / (crowd.camera.fx * scale)
    return _Part(xy[here], z[here], state[here], span)


def _together(parts: Sequence[_Part]) -> Scene:
    """A batch, as many people in each picture as in the one with most, and one at least."""
    most = max(1, *(len(part.xy) for part in parts))
    joints = len(MPI15)
    xy = torch.zeros(len(parts), most, joints, 2)
    z = torch.full((len(parts), most, joints), torch.nan)
    state = torch.zeros(len(parts), most, joints, dtype=torch.uint8)
    for number, part in enumerate(parts):
        count = len(part.xy)
        xy[number, :count] = torch.from_numpy(part.xy)
        z[number, :count] = torch.from_numpy(part.z)
        state[number, :count] = torch.from_numpy(part.state)
    return Scene(xy, z, state, torch.tensor([part.span for part in parts], dtype=torch.float32))
