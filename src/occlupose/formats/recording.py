"""What the file of another tool holds, in one form for all formats."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose.errors import OccluposeError
from occlupose.skeletons import BLAZEPOSE33, BODY25, COCO17, COCO18, HALPE26, WHOLEBODY133, Skeleton

__all__ = ["LAYOUTS", "Recording", "Rows", "number_frames"]

LAYOUTS: dict[int, Skeleton] = {
    len(skeleton): skeleton for skeleton in (COCO17, COCO18, BODY25, HALPE26, BLAZEPOSE33, WHOLEBODY133)
}
"""Skeletons by the number of their joints, for files that do not name them."""

FAR = 1e9
"""Numbers are held as if they were at most so large, so that those that are too large are seen as such later."""

HALPE136 = 136
"""Joints of Halpe's whole body: halpe26, then 68 of the face and 42 of the hands."""

MAX_DIGITS = 4000
"""Of a number in a name; Python takes a few more."""

COUNTED = "frames are taken in the order of their names; if some are left out, times are off"
"""Note where the numbers of frames are unknown."""


@dataclass(eq=False, kw_only=True)
class Recording:
    """Everybody in a file of another tool: a row for each person in each frame.

    Attributes:
        tool: that writes such files.
        joints: their names, ours or the file's own; None: not said.
        frame: number of each row's frame, as the tool counts them.
        person: number of each row's person; None: the file does not say who is who.
        xy: px, or fractions of the image if `may_be_fractions`; NaN where missing.
        score: NaN where the file has none; None: it has none at all.
        state: 0 absent, 1 occluded, 2 visible; None: by the score.
        xyz: metres, x right, y down, z forward, from any origin; NaN where missing. None in 2D. In 3D `xy` is NaN.
        frames: (first, last) frame of the file; None: those of the first and the last row.
        fps: frames per second; None: not said.
        size: (width, height) of the images, px; None: not said.
        may_be_fractions: the format has x and y as fractions of the image, always or as an option.
        notes: what the user should know, a line each.
    """

    tool: str
    joints: tuple[str, ...] | None
    frame: Int[np.ndarray, " row"]
    person: Int[np.ndarray, " row"] | None = None
    xy: Float[np.ndarray, "row joint 2"]
    score: Float[np.ndarray, "row joint"] | None = None
    state: UInt8[np.ndarray, "row joint"] | None = None
    xyz: Float[np.ndarray, "row joint 3"] | None = None
    frames: tuple[int, int] | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    may_be_fractions: bool = False
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of_people(
        cls,
        tool: str,
        joints: Sequence[str] | None,
        xy: Float[np.ndarray, "time person joint 2"],
        score: Float[np.ndarray, "time person joint"] | None = None,
        *,
        names: Sequence[str] = (),
        frame: Int[np.ndarray, " time"] | None = None,
        fps: float | None = None,
        may_be_fractions: bool = False,
        notes: Iterable[str] = (),
    ) -> Self:
        """The recording of people who have a place of their own in the file.

        Arguments:
            names: of the people.
            frame: number of each frame; by default 0, 1, ...
        """
        frames, people = xy.shape[:2]
        frame = np.arange(frames) if frame is None else frame
        listed = ", ".join(f"{row} {' '.join(name.split())}" for row, name in enumerate(names))
        return cls(
            tool=tool,
            joints=None if joints is None else tuple(joints),
            frame=np.repeat(frame, people),
            person=np.tile(np.arange(people), frames),
            xy=xy.reshape(-1, *xy.shape[2:]),
            score=None if score is None else score.reshape(-1, score.shape[-1]),
            frames=(int(frame[0]), int(frame[-1])) if frames else None,
            fps=fps,
            may_be_fractions=may_be_fractions,
            notes=[*notes, *([f"track ids: {listed}"] if len(names) > 1 else [])],
        )


class Rows:
    """Collects people who are listed one by one.

    Arguments:
        where: the file, for messages.
    """

    def __init__(self, where: object) -> None:
        self._where = where
        self._frames: list[int] = []
        self._keypoints: list[Float[np.ndarray, "joint 3"]] = []
        self._people: list[int | None] = []

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._frames)

    def add(self, frame: int, keypoints: Float[np.ndarray, "joint 3"], person: int | None = None) -> None:
        """A person in a frame: x, y and score of every joint, NaN where missing.

        Arguments:
            person: number of the person; None or less than 0: unknown.

        Raises:
            OccluposeError: another number of joints than before.
        """
        if self._keypoints and len(keypoints) != len(self._keypoints[0]):
            numbers = f"{len(self._keypoints[0])} joints and {len(keypoints)}"
            raise OccluposeError(f"{self._where}: frame {frame}: people with {numbers}; give people of one skeleton")
        self._frames.append(frame)
        self._keypoints.append(keypoints.clip(-FAR, FAR).astype(np.float32))
        self._people.append(person if person is not None and 0 <= person < 2**62 else None)

    def recording(self, tool: str, joints: Sequence[str] | None = None, *, frames: Iterable[int] = ()) -> Recording:
        """What was collected.

        Arguments:
            joints: their names; by default those of the layout with as many joints.
            frames: numbers of further frames, in which there may be nobody.

        Raises:
            OccluposeError: nobody was added.
        """
        if not self._frames:
            raise OccluposeError(f"{self._where}: nobody is in it; give poses of at least one person")
        keypoints = np.stack(self._keypoints)
        count = keypoints.shape[1]
        if joints is None and count == HALPE136:
            keypoints = keypoints[:, : len(HALPE26)]
            joints = HALPE26.joints
        elif joints is None and count in LAYOUTS:
            joints = LAYOUTS[count].joints
        everybody = [person for person in self._people if person is not None]
        numbers = [*self._frames, *frames]
        return Recording(
            tool=tool,
            joints=None if joints is None else tuple(joints),
            frame=np.array(self._frames),
            person=np.array(everybody) if len(everybody) == len(self._people) else None,
            xy=keypoints[..., :2],
            score=keypoints[..., 2],
            frames=(min(numbers), max(numbers)),
        )


def number_frames(names: Iterable[int | str]) -> tuple[dict[int | str, int], list[str]]:
    """The number of the frame that each name or number stands for.

    It is the last number in a name. Where these are not the numbers of frames (names without one, or with gaps far
    longer than the recording), frames are counted from 0 in the natural order of the names.

    Returns:
        Numbers by name, and a note if they are counted.
    """
    known = sorted(set(names), key=_natural)
    numbers = {name: _last_number(name) for name in known}
    found = [number for number in numbers.values() if number is not None]
    if len(set(found)) == len(known) and found and max(found) - min(found) < 10 * len(known) + 10_000:
        return {name: number for name, number in numbers.items() if number is not None}, []
    return {name: place for place, name in enumerate(known)}, [COUNTED] if len(known) > 1 else []


def _natural(name: int | str) -> list[tuple[int, int, str]]:
    """A key for sorting by the numbers in a name, not by their digits."""
    parts = [name] if isinstance(name, int) else re.split(r"(\d+)", name)
    return [(0, int(part), "") if isinstance(part, int) or _is_number(part) else (1, 0, part) for part in parts]


def _is_number(part: str) -> bool:
    return part.isdecimal() and len(part) < MAX_DIGITS


def _last_number(name: int | str) -> int | None:
    stem = re.sub(r"(_keypoints)?\.[A-Za-z]\w*$", "", str(name))
    digits = re.findall(r"[0-9]+", stem)
    return int(digits[-1]) if digits and len(digits[-1]) < 16 else None
