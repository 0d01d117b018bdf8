"""From a picture, video or camera to people in 3D: frames, 2D people, identities, evidence, lifting, files.

Watching (`watch`) is one pass with a frame of delay; lifting follows on the whole (`run`) or on a sliding window (`stream`).
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from occlupose import lifting
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.flow import Displacements, FlowMeter
from occlupose.frontends import Frontend, People, build
from occlupose.lifting import Lift, assumed_camera
from occlupose.media import Source, open_media, prefetch
from occlupose.methods.oanet.weights import load
from occlupose.occlusion.evidence import evidence, states
from occlupose.poses import ABSENT, Poses
from occlupose.skeletons import Skeleton
from occlupose.tracking import Tracker

PLACEMENT_DELAY = 1.5
"""Seconds of future after which a person's place hardly changes any more (`placement.place` states by how much)."""

CHUNK = 8
"""Frames that a live window moves on at a time, at least."""


@dataclass(frozen=True)
class Sighting:
    """The people of one frame, with who they are and how far each joint can be believed."""

    time: float
    ids: Int[np.ndarray, " person"]
    xy: Float[np.ndarray, "person joint 2"]
    evidence: Float[np.ndarray, "person joint"]
    state: UInt8[np.ndarray, "person joint"]


@dataclass
class Record:
    """Sightings of a span of frames, as arrays when asked for."""

    skeleton: Skeleton
    fps: float
    width: int
    height: int
    sightings: list[Sighting] = field(default_factory=list)
    interrupted: bool = False

    def poses(self) -> Poses:
        """The sightings as one 2D record: everybody seen in them, by id."""
        sightings = self.sightings
        ids = sorted({int(who) for sighting in sightings for who in sighting.ids})
        column = {who: number for number, who in enumerate(ids)}
        shape = (len(sightings), len(ids), len(self.skeleton))
        xy, score, state = np.full((*shape, 2), np.nan, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
        for frame, sighting in enumerate(sightings):
            columns = [column[int(who)] for who in sighting.ids]
            xy[frame, columns], score[frame, columns], state[frame, columns] = sighting.xy, sighting.evidence, sighting.state
        time = np.array([sighting.time for sighting in sightings])
        return Poses(
            xy=xy, score=score, state=state, xyz=None, track_id=np.array(ids, np.int64), time=time,
            skeleton=self.skeleton, fps=self.fps, width=self.width, height=self.height,
        )  # fmt: skip


def watch(source: Source, frontend: Frontend, *, max_people: int | None = None) -> Iterator[Sighting]:
    """The people of each frame of a source, in 2D, one frame late: frontend, tracker, flow, evidence (OANet section 3.1).

    Decoding and optical flow run beside the networks. People who are not confirmed by a second frame are left out, except where
    there is only one frame.

    Arguments:
        max_people: at most so many in a frame, those that have been there longest.
    """
    frontend.reset()
    tracker, meter = Tracker(confirm=1 if source.count == 1 else 2), FlowMeter()
    size = (source.width, source.height)
    before: tuple[float, People] | None = None
    with ThreadPoolExecutor(1) as worker:
        for frame in prefetch(source):
            people = frontend(frame)
            ids = tracker.update(people, frame.time)
            displacements = worker.submit(meter.update, frame.image, people.boxes, people.xy, ids)
            if before is not None:
                yield _sighting(before, tracker.previous, displacements.result(), size, max_people)
            else:
                displacements.result()
            before = frame.time, people
        if before is not None:
            yield _sighting(before, ids, meter.finish(), size, max_people)


def _sighting(
    moment: tuple[float, People], ids: Int[np.ndarray, " person"], moved: Displacements | None, size: tuple[int, int], most: int | None
) -> Sighting:
    time, people = moment
    if moved is None:
        moved = Displacements(np.full_like(people.xy, np.nan), np.full_like(people.xy, np.nan))
    known = np.flatnonzero(ids > 0)
    known = known[np.argsort(ids[known])][:most]
    belief = evidence(people.score[known], moved.motion[known], moved.flow[known]).astype(np.float32)
    return Sighting(time, ids[known], people.xy[known].astype(np.float32), belief, states(belief, people.xy[known], size))


def run(
    spec: str | Path | int | Source,
    *,
    every: int = 1,
    start: float | None = None,
    end: float | None = None,
    max_people: int | None = None,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
    frontend: str | Path | Frontend = "blazepose",
    device: str = "cpu",
    progress: Callable[[Record], None] | None = None,
) -> Poses:
    """Everybody in a picture, video, folder of pictures or camera, over time, in 2D and in metres.

    Ctrl-C ends the watching early; what was seen until then is lifted and returned.

    Arguments:
        spec: path, glob, camera number, or an open source.
        every: only every n-th frame.
        start, end: seconds.
        max_people: at most so many in a frame, those that have been there longest.
        camera: intrinsics; else `fov`, degrees on the long side; else 55, marked as assumed.
        height: metres, of every person; else as tall as the network believes.
        frontend: what finds 2D joints: its name, an ONNX file, or one already built.
        device: for the lifting networks, as torch names it.
        progress: called after each frame with all that was seen so far.

    Returns:
        H36M-17 joints with pixels, metres (camera frame), score and state; `observed` holds what the 2D network saw.

    Raises:
        OccluposeError: the input cannot be read, or an argument cannot be.
    """
    source = spec if isinstance(spec, Source) else open_media(spec, every=every, start=start, end=end)
    lift = _lift(source, camera, fov, height, device)
    record = _record(source, eyes := _frontend(frontend))
    try:
        for sighting in watch(source, eyes, max_people=max_people):
            record.sightings.append(sighting)
            if progress is not None:
                progress(record)
    except KeyboardInterrupt:
        record.interrupted = True
        if progress is not None:
            progress(record)
    return lift(record.poses())


def stream(
    spec: str | Path | int | Source,
    *,
    max_people: int | None = None,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
    frontend: str | Path | Frontend = "blazepose",
    device: str = "cpu",
) -> Iterator[Poses]:
    """The people of one frame after another, each a few seconds after it was seen; for cameras and endless video.

    Frame by frame the same people, states and joints as `run` gives, to within the tolerance that `placement` states for the place
    in the room. Memory does not grow with time. Arguments and errors as for `run`.
    """
    source = spec if isinstance(spec, Source) else open_media(spec)
    lift = _lift(source, camera, fov, height, device)
    record = _record(source, eyes := _frontend(frontend))
    yield from lift_stream(watch(source, eyes, max_people=max_people), record, lift)


def lift_stream(sightings: Iterable[Sighting], record: Record, lift: Lift) -> Iterator[Poses]:
    """Lifts sightings as they come, on a window that slides over them; yields a record of one frame at a time.

    Arguments:
        record: empty; says what the sightings are made in. It holds the window.
    """
    future = lifting.delay(lift.lifter, record.fps) + ceil(PLACEMENT_DELAY * record.fps)
    step = max(CHUNK, lifting.alignment(record.fps))
    born: dict[int, int] = {}
    dropped = emitted = 0
    for number, sighting in enumerate(sightings):
        for who in sighting.ids.tolist():
            born.setdefault(who, number)
        record.sightings.append(sighting)
        if number + 1 - emitted >= future + step:
            yield from _emit(record, lift, born, dropped, emitted, emitted + step)
            emitted += step
            stale = emitted - future - 2 * step - dropped
            if stale > 0:
                del record.sightings[:stale]
                dropped += stale
    if record.sightings:
        yield from _emit(record, lift, born, dropped, emitted, dropped + len(record.sightings))


def _emit(record: Record, lift: Lift, born: dict[int, int], dropped: int, first: int, stop: int) -> Iterator[Poses]:
    """Frames `first` to `stop`; people's windows begin where the networks' strides agree with a whole track's."""
    aligned = lifting.alignment(record.fps)
    poses = record.poses()
    begin = {who: born[who] + max(0, -((born[who] - dropped) // aligned) * aligned) - dropped for who in poses.track_id.tolist()}
    lifted = lift(poses, begin)
    for frame in range(first - dropped, stop - dropped):
        there = (lifted.state[frame] != ABSENT).any(-1)
        yield lifted.select(slice(frame, frame + 1), lifted.track_id[there])


def _lift(source: Source, camera: Camera | None, fov: float | None, height: float | None, device: str) -> Lift:
    lifting.check(height, fov)
    camera = camera or assumed_camera(source.width, source.height, fov)
    if (camera.width, camera.height) != (source.width, source.height):
        sizes = f"{source.width} x {source.height}, not the {camera.width} x {camera.height} of the camera"
        raise OccluposeError(f"{source.name}: its pictures are {sizes}; give the camera that took them")
    return Lift(camera, height, load().to(device))


def _record(source: Source, frontend: Frontend) -> Record:
    return Record(frontend.skeleton, source.fps, source.width, source.height)


def _frontend(frontend: str | Path | Frontend) -> Frontend:
    return build(frontend) if isinstance(frontend, (str, Path)) else frontend
