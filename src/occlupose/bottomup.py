"""From pictures to everybody in them, in space, without a look at the frames before or after: HUPOR, with people
tracked.

What finds people says where they are in metres and which of their joints are hidden. So nothing is lifted, and no flow
is measured; frames of a video have to do with each other only by who is who.
"""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float

from occlupose.cameras import Camera
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.lifting import SOLE_BELOW_ANKLE
from occlupose.media import RGB, Source, prefetch
from occlupose.methods.hupor import predict
from occlupose.methods.hupor.grouping import BONES
from occlupose.poses import ABSENT, Poses
from occlupose.sightings import Places, Record, Sighting
from occlupose.skeletons import MPI15
from occlupose.tracking import Assignment, Tracker

TALL = (("neck", "head_top"), ("neck", "pelvis"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"))
"""Bones from crown to ankle of somebody who stands. Ours."""


class Finder(Protocol):
    """Finds everybody in a picture, in pixels and in metres; `predict.HUPORPredictor` is one."""

    def __call__(self, image: RGB, camera: Camera, /) -> Detections:
        """The people in a picture that this camera took; their joints are MPI15's."""
        ...


def finder(weights: Path | None = None, *, flip: bool = False, device: str = "cpu") -> Finder:
    """HUPOR.

    Arguments:
        weights: as `occlupose train hupor` writes them; by default those that ship.
        flip: look at every picture's mirror image too: a little better, twice the time.
        device: where the networks run, as torch names it.

    Raises:
        OccluposeError: none ship; no such file, not one of HUPOR; no such device.
    """
    if weights is None and not predict.SHIPPED.exists():
        raise OccluposeError(
            "hupor: no weights of it ship with this version; give weights that `occlupose train hupor` wrote"
        )
    return predict.load(weights, flip=flip, device=device)


def run(
    source: Source,
    find: Finder,
    camera: Camera,
    *,
    max_people: int | None = None,
    height: float | None = None,
    progress: Callable[[Record], object] | None = None,
) -> Poses:
    """Everybody in a source, over time, in pixels and in metres.

    Arguments:
        camera: of the source (`sightings.camera_of`).
        max_people: at most so many in a frame; who was there first stays.
        height: metres, of every person; else as tall as the networks believe.
        progress: called after each frame with all that was seen so far.

    Returns:
        MPI15 joints with pixels, metres (camera frame), score and state; absent joints are NaN, and so are the metres
        of somebody of whom nothing says how far away they are.

    Raises:
        OccluposeError: the source cannot be read, or the networks say what is no number.
    """
    record = begin(source, camera)
    for sighting in watch(source, find, camera, max_people=max_people):
        record.sightings.append(sighting)
        if progress is not None:
            progress(record)
    return scaled(record.poses(), height)


def begin(source: Source, camera: Camera) -> Record:
    """An empty record, for what will be seen in this source."""
    return Record(MPI15, source.fps, source.width, source.height, camera=camera)


def watch(
    source: Source, find: Finder, camera: Camera, *, max_people: int | None = None
) -> Generator[Sighting, None, None]:
    """The people of each frame of a source, in space, some frames late: finder and tracker.

    Ghosts, people who are gone before `tracking.Tracker` confirms them, are left out.

    Arguments:
        max_people: at most so many in a frame; who was there first stays.
    """
    tracker = Tracker()
    places = Places(max_people)
    waiting: deque[_Moment] = deque()
    with closing(prefetch(source, low_priority=not source.live)) as frames:
        for frame in frames:
            found = find(frame.image, camera)
            who = tracker.update(people(found), frame.time)
            while waiting and frame.time - waiting[0].time > tracker.min_duration - 1e-6:
                yield waiting.popleft().told(places)
            waiting.append(_Moment(frame.time, found, who))
    tracker.finish()
    for moment in waiting:
        yield moment.told(places)


@dataclass(frozen=True, eq=False)
class _Moment:
    """A frame of which it is still open who is in it."""

    time: float
    found: Detections
    who: Assignment

    def told(self, places: Places) -> Sighting:
        """The people who have an id and a place, by id."""
        ids = self.who.ids
        found = self.found
        assert found.xyz is not None
        known = np.flatnonzero(places(ids, self.time))
        known = known[np.argsort(ids[known])]
        return Sighting(
            self.time, ids[known], found.xy[known], found.score[known], found.state[known], found.xyz[known]
        )


def people(found: Detections) -> Detections:
    """The people as a tracker wants them: an absent joint is in the middle of the others, with score 0; boxes are round
    the joints.
    """
    there = (found.state != ABSENT)[..., None]
    middle = np.where(there, found.xy, 0).sum(1, keepdims=True) / np.maximum(there.sum(1, keepdims=True), 1)
    xy = np.where(there, found.xy, middle)
    score = np.where(there[..., 0], found.score, 0)
    boxes = np.concatenate([xy.min(1), xy.max(1)], -1)
    return Detections(skeleton=MPI15, xy=xy, score=score, boxes=boxes)


def scaled(poses: Poses, height: float | None) -> Poses:
    """The people so tall, in metres, and as much nearer or farther away as that takes: their pixels stay.

    Each is scaled alike in all frames, by the median over their bones of how much longer these are than usual; somebody
    without a bone in space stays as they are. None: everybody does.
    """
    if height is None or poses.xyz is None:
        return poses
    xyz = poses.xyz.copy()
    for person in range(len(poses.track_id)):
        tall = stature(xyz[:, person])
        if np.isfinite(tall):
            xyz[:, person] *= np.float32(height / tall)
    return replace(poses, xyz=xyz)


def stature(xyz: Float[np.ndarray, "time 15 3"]) -> float:
    """How tall somebody stands, m, if all of their bones are as much longer than usual as those that are known; NaN
    where none is.
    """
    start, end = (list(MPI15.index(*joints)) for joints in zip(*BONES, strict=True))
    share = np.linalg.norm(xyz[:, start] - xyz[:, end], axis=-1) / (np.array(list(BONES.values())) / 100)
    known = share[np.isfinite(share)]
    usual = sum(BONES[bone] for bone in TALL) / 100 + SOLE_BELOW_ANKLE
    return float(np.median(known)) * usual if known.size else np.nan
