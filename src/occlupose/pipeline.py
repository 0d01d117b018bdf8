"""From a picture, video or camera to people in 3D: frames, 2D people, identities, evidence, lifting.

Watching (`watch`) is one pass with little delay; lifting follows on the whole (`run`) or frame by frame (`stream`).
That is the default, OANet's way; the other one that `run` has is `bottomup`.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from occlupose import bottomup, lifting
from occlupose import flow as flows
from occlupose.cameras import Camera
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.flow import Flow, FlowSampler, JointFlow
from occlupose.frontends import Frontend, build
from occlupose.frontends.boxes import load as load_boxes
from occlupose.lifting import Lift
from occlupose.media import Frame, Source, open_media, prefetch, with_half_resolution
from occlupose.occlusion.confidence import classify_joints, discount_by_flow
from occlupose.poses import Poses
from occlupose.sightings import Places, Record, Sighting, camera_of
from occlupose.streaming import StreamLifter
from occlupose.threads import background_thread, opencv_on_one_thread
from occlupose.tracking import Assignment, Tracker

METHODS = ("oanet", "hupor")
"""Ways from pictures to people in space, the default first."""


def run(
    spec: str | Path | int | Source,
    *,
    method: str = "oanet",
    every: int = 1,
    start: float | None = None,
    end: float | None = None,
    max_people: int | None = None,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
    frontend: str | Path | Frontend | None = None,
    boxes: Path | None = None,
    flip: bool = False,
    flow: str | Flow | None = None,
    weights: Path | None = None,
    device: str = "cpu",
    progress: Callable[[Record], object] | None = None,
) -> Poses:
    """Everybody in a picture, video, folder of pictures or camera, over time, in 2D and in metres.

    Arguments:
        spec: path, glob, camera number, or an open source.
        method: oanet finds people one by one and lifts them over time; hupor finds everybody in each picture at once,
            in space (`bottomup`).
        every: only every n-th frame.
        start, end: seconds.
        max_people: at most so many in a frame; who was there first stays.
        camera: intrinsics; else `fov`, degrees on the long side; else 55, marked as assumed.
        height: metres, of every person; else as tall as the network believes.
        frontend: what finds 2D joints: its name, a .safetensors or .onnx file, or one already built; by default
            BlazePose. Like boxes and flow of oanet only.
        boxes: a detector's results with the boxes of the people (`frontends.boxes.load`), for a front end that looks
            into such; otherwise people are looked for.
        flip: look at mirror images too: a little better, twice the time; for hupor and .safetensors front ends.
        flow: what measures how the pixels move: its name (`flow.build`), or any function like `flow.Flow`; by default
            DIS.
        weights: others than the shipped ones: a lifter, as `occlupose train lifter` writes it, or what `occlupose train
            hupor` writes.
        device: for the networks: lifting, a .safetensors front end, RAFT, HUPOR's, as torch names it.
        progress: called after each frame with all that was seen so far.

    Returns:
        oanet: H36M-17 joints with pixels, metres (camera frame), score and state; `observed` holds what the 2D network
        saw. hupor: the same with MPI15 joints, NaN where one is absent, and without `observed`.

    Raises:
        OccluposeError: the input cannot be read, or an argument cannot be.
    """
    check_method(method, frontend=frontend, boxes=boxes, flow=flow)
    with _opened(spec, every, start, end) as source:
        if method == "hupor":
            whose = camera_of(source, max_people=max_people, camera=camera, fov=fov, height=height)
            find = bottomup.finder(weights, flip=flip, device=device)
            return bottomup.run(source, find, whose, max_people=max_people, height=height, progress=progress)
        lift = prepare(
            source, max_people=max_people, camera=camera, fov=fov, height=height, weights=weights, device=device
        )
        between = meter(flow, device=device)
        seen = _observe(
            source,
            partial(look, source, frontend, boxes=boxes, flip=flip, device=device),
            between,
            max_people,
            progress,
        )
    return lift(seen)


def check_method(method: str, **others: object) -> None:
    """Refuses a method that is none, and what only the default has.

    Arguments:
        others: options of the default, by name; None where not given.

    Raises:
        OccluposeError: for each of these.
    """
    if method not in METHODS:
        raise OccluposeError(f"method {method}: not known; give {' or '.join(METHODS)}")
    for name, value in others.items():
        if method != METHODS[0] and value is not None:
            raise OccluposeError(
                f"{name}: is nothing that method {method} has; leave it out, or give method {METHODS[0]}"
            )


def meter(flow: str | Flow | None, *, device: str = "cpu") -> Flow:
    """What measures how the pixels move, built where it is not yet; by default DIS. Errors as of `flow.build`."""
    flow = "dis" if flow is None else flow
    return flows.build(flow, device=device) if isinstance(flow, str) else flow


def look(
    source: Source,
    frontend: str | Path | Frontend | None = None,
    *,
    boxes: Path | None = None,
    flip: bool = False,
    device: str = "cpu",
) -> Frontend:
    """The front end for a source, built where it is not yet. Arguments and errors as for `run` and
    `frontends.build`.
    """
    frontend = "blazepose" if frontend is None else frontend
    if isinstance(frontend, (str, Path)):
        return build(frontend, boxes=None if boxes is None else load_boxes(boxes, source), flip=flip, device=device)
    if boxes is not None:
        raise OccluposeError(f"{boxes}: {frontend.name} is built already; give the boxes where it is built")
    if flip:
        raise OccluposeError(f"flip: {frontend.name} is built already; give it where that is built")
    return frontend


def _observe(
    source: Source,
    built: Callable[[], Frontend],
    flow: Flow,
    max_people: int | None,
    progress: Callable[[Record], object] | None,
) -> Poses:
    """Everybody in 2D. A front end that is built for it is let go with it: its memory then serves what follows."""
    eyes = built()
    record = Record.of(source, eyes)
    for sighting in watch(source, eyes, max_people=max_people, flow=flow):
        record.sightings.append(sighting)
        if progress is not None:
            progress(record)
    return record.poses()


def stream(
    spec: str | Path | int | Source,
    *,
    every: int = 1,
    start: float | None = None,
    end: float | None = None,
    max_people: int | None = None,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
    frontend: str | Path | Frontend | None = None,
    boxes: Path | None = None,
    flow: str | Flow | None = None,
    weights: Path | None = None,
    device: str = "cpu",
) -> Iterator[Poses]:
    """The people of one frame after another, each some seconds after it was seen; for cameras and endless video.

    Frame by frame these are the people, states and joints that `run` gives; `streaming.StreamLifter` says how exactly.
    Memory does not grow with time. Arguments and errors as for `run` with the default method, the only one here.
    """
    with _opened(spec, every, start, end) as source:
        lift = prepare(
            source, max_people=max_people, camera=camera, fov=fov, height=height, weights=weights, device=device
        )
        between = meter(flow, device=device)
        eyes = look(source, frontend, boxes=boxes, device=device)
        yield from lift_stream(watch(source, eyes, max_people=max_people, flow=between), Record.of(source, eyes), lift)


def prepare(
    source: Source,
    *,
    max_people: int | None = None,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
    weights: Path | None = None,
    device: str = "cpu",
) -> Lift:
    """What lifts the people of a source. Arguments and errors as for `run`: whatever cannot be is refused before
    anything is watched.
    """
    whose = camera_of(source, max_people=max_people, camera=camera, fov=fov, height=height)
    return Lift(whose, height, lifting.networks(device, weights))


@contextmanager
def _opened(spec: str | Path | int | Source, every: int, start: float | None, end: float | None) -> Iterator[Source]:
    """The source, closed behind the user unless they opened it themselves."""
    if not isinstance(spec, Source):
        with open_media(spec, every=every, start=start, end=end) as source:
            yield source
    elif (every, start, end) == (1, None, None):
        yield spec
    else:
        raise OccluposeError(f"{spec.name}: is open already; give every, start and end where it is opened")


def watch(
    source: Source, frontend: Frontend, *, max_people: int | None = None, flow: Flow | None = None
) -> Generator[Sighting, None, None]:
    """The people of each frame of a source, in 2D, some frames late: frontend, tracker, flow, evidence (OANet section
    3.1).

    Decoding, tracking and optical flow run beside the networks, and OpenCV on one thread (in the whole process)
    meanwhile. Ghosts, people who are gone before `tracking.Tracker` confirms them, are left out.

    Arguments:
        max_people: at most so many in a frame; who was there first stays.
        flow: by default DIS.
    """
    frontend.reset()
    witness = _Witness((source.width, source.height), max_people, flow)
    waiting: deque[Future[list[Sighting]]] = deque()
    with (
        opencv_on_one_thread(),
        background_thread("track") as worker,
        closing(prefetch(with_half_resolution(source), low_priority=not source.live)) as frames,
    ):
        for frame in frames:
            waiting.append(worker.submit(witness.see, frame, frontend(frame)))
            if len(waiting) > 1:
                yield from waiting.popleft().result()
        waiting.append(worker.submit(witness.finish))
        for last in waiting:
            yield from last.result()


@dataclass
class _Moment:
    """A frame of which something is still to be learnt."""

    time: float
    people: Detections
    who: Assignment
    moved: JointFlow | None = None


class _Witness:
    """Tracker, flow and confidence. A frame is returned when its ids are final."""

    def __init__(self, size: tuple[int, int], max_people: int | None, flow: Flow | None) -> None:
        self.size = size
        self.places = Places(max_people)
        self.tracker = Tracker()
        self.meter = FlowSampler(flow)
        self.waiting: deque[_Moment] = deque()

    def see(self, frame: Frame, people: Detections) -> list[Sighting]:
        """Takes the people of a frame and tells of earlier ones."""
        who = self.tracker.update(people, frame.time)
        self._measured(self.meter.update(frame.pyramid, people.boxes, people.xy, who.track_numbers))
        settled = []
        while self.waiting and frame.time - self.waiting[0].time > self.tracker.min_duration - 1e-6:
            settled.append(self._tell(self.waiting.popleft()))
        self.waiting.append(_Moment(frame.time, people, who))
        return settled

    def finish(self) -> list[Sighting]:
        """Tells of all that are left."""
        self._measured(self.meter.finish())
        self.tracker.finish()
        return [self._tell(moment) for moment in self.waiting]

    def _measured(self, moved: JointFlow | None) -> None:
        if self.waiting:
            self.waiting[-1].moved = moved

    def _tell(self, moment: _Moment) -> Sighting:
        """The people who have an id and a place, by id."""
        ids = moment.who.ids
        people = moment.people
        moved = moment.moved
        assert moved is not None
        known = np.flatnonzero(self.places(ids, moment.time))
        known = known[np.argsort(ids[known])]
        belief = discount_by_flow(people.score[known], moved.motion[known], moved.flow[known]).astype(np.float32)
        xy = people.xy[known].astype(np.float32)
        return Sighting(moment.time, ids[known], xy, belief, classify_joints(belief, xy, self.size))


def lift_stream(sightings: Iterable[Sighting], record: Record, lift: Lift) -> Iterator[Poses]:
    """Lifts sightings as they come (`streaming.StreamLifter`); yields a record of one frame at a time.

    Arguments:
        record: empty; says what the sightings are made in.
    """
    lifter = StreamLifter(lift, record)
    for sighting in sightings:
        yield from lifter.update(sighting)
    yield from lifter.finish()
