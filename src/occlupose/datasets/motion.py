"""MotionClip, the record that motion capture is read into, and its cuts where the capture jumps.

Coordinates are those of the capture: metres, y up. Joints that a capture does not have, or lost, are NaN.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from occlupose.skeletons import BODY22

EXTREMITIES = ("lfoot", "rfoot", "lhand", "rhand")
"""Balls of the feet and knuckles of the hands, in the order of BODY26's last four joints."""

MAX_STEP = 0.25
"""Largest plausible displacement of a joint in 1/60 s, m; a larger one is a jump of the capture (CMU's own notes)."""

MAX_FPS = 10_000.0
"""Frames a second of the fastest captures. Ours."""

PELVIS = BODY22.joints.index("pelvis")


@dataclass(frozen=True, eq=False)
class MotionClip:
    """One continuous motion.

    Attributes:
        joints: BODY22, m, y up; NaN where unknown (`formats.cmu` knows all of them).
        extremities: EXTREMITIES, m, if known.
    """

    name: str
    subject: str
    fps: float
    joints: Float[np.ndarray, "time 22 3"]
    extremities: Float[np.ndarray, "time 4 3"] | None = None

    @property
    def body26(self) -> Float[np.ndarray, "time 26 3"]:
        """All joints of BODY26; NaN where unknown."""
        unknown = np.full((len(self.joints), len(EXTREMITIES), 3), np.nan, self.joints.dtype)
        return np.concatenate([self.joints, unknown if self.extremities is None else self.extremities], 1)


def cut_jumps(clip: MotionClip, margin: float = 0.0) -> list[MotionClip]:
    """The clip cut where the capture jumps or has lost the person, without pieces shorter than half a second.

    A joint that is missing does not jump. The person is lost where the pelvis is, relative to which all else is known;
    such frames are left out.

    Arguments:
        margin: seconds before and after each jump that are left out too.
    """
    return [piece for (piece,) in cut_together([clip], margin)]


def cut_together(clips: Sequence[MotionClip], margin: float = 0.0) -> list[tuple[MotionClip, ...]]:
    """Clips of the same frames, all cut where one of them has to be, as `cut_jumps`."""
    fps = clips[0].fps
    kept = np.ones(len(clips[0].joints), bool)
    starts = np.zeros(len(kept), bool)
    for clip in clips:
        kept &= np.isfinite(clip.joints[:, PELVIS]).all(-1)
        for jump in find_jumps(clip):
            starts[jump] = True
            kept[max(0, jump - round(margin * fps)) : jump + round(margin * fps)] = False
    starts[1:] |= kept[1:] & ~kept[:-1]
    parts = [part[kept[part]] for part in np.split(np.arange(len(kept)), np.flatnonzero(starts))]
    parts = [part for part in parts if len(part)]
    names = [""] if len(parts) == 1 else [f".{number}" for number in range(len(parts))]
    return [
        tuple(_part(clip, clip.name + name, part) for clip in clips)
        for name, part in zip(names, parts, strict=True)
        if len(part) >= fps / 2
    ]


def find_jumps(clip: MotionClip) -> Int[np.ndarray, " jump"]:
    """The frames before which a joint moves implausibly far."""
    step = np.linalg.norm(np.diff(clip.joints, axis=0), axis=-1)
    known = np.where(np.isfinite(step), step, 0.0)
    return np.flatnonzero(known.max(-1, initial=0) > MAX_STEP * 60 / clip.fps) + 1


def _part(clip: MotionClip, name: str, frames: Int[np.ndarray, " frame"]) -> MotionClip:
    extremities = None if clip.extremities is None else clip.extremities[frames]
    return replace(clip, name=name, joints=clip.joints[frames], extremities=extremities)
