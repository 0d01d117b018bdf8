"""Pose estimators: the interface that every method implements, and detection and tracking with one."""

from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Int

from occlupose.body_height import check_height
from occlupose.cameras import Camera, camera_from_fov
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.flow import Flow, FlowSampler
from occlupose.media import RGB, Frame, Source, prefetch, with_half_resolution
from occlupose.media.source import ASSUMED_FPS
from occlupose.occlusion.confidence import MIN_CONFIDENCE, classify_joints, discount_by_flow
from occlupose.occlusion.plausibility import CheckedFrame, Plausibility
from occlupose.poses import ABSENT, FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import Skeleton
from occlupose.threads import background_thread, opencv_on_one_thread
from occlupose.tracking import MAX_GAP, Assignment, ConfirmationBuffer, Tracker, fill_absent


class PoseEstimator(Protocol):
    """A method with its networks loaded; `occlupose.OANet` and `occlupose.HUPOR` are two.

    `occlupose.run` calls `start` once, `detect` for every frame and `finish` on all tracks; `occlupose.stream` calls
    `finish_live` instead of `finish`.

    Attributes:
        skeleton: joints of `detect`.
        in_3d: whether `detect` returns xyz.
        flow: optical flow; keypoints are checked for plausibility, those that move against the flow lose confidence
            (OANet eq. 2), and the state follows from the confidence. None: everything stays as detected.
        min_joint_confidence: least confidence of a visible joint, where the state follows from it.
    """

    skeleton: Skeleton
    in_3d: bool
    flow: Flow | None
    min_joint_confidence: float = MIN_CONFIDENCE

    @abstractmethod
    def start(self, source: Source) -> None:
        """Start with another source: forget earlier frames."""

    @abstractmethod
    def detect(self, frame: Frame, camera: Camera) -> Detections:
        """People in a frame, in 2D or in 3D."""

    @abstractmethod
    def finish(self, tracks: Poses, height: float | None = None) -> Poses:
        """3D poses of all tracks.

        Arguments:
            tracks: detections over time, with the camera.
            height: body height of everybody, m; None: as estimated.
        """

    @abstractmethod
    def finish_live(
        self,
        frames: Iterable[FramePoses],
        builder: PosesBuilder,
        height: float | None = None,
        latency: float | None = None,
    ) -> Iterator[Poses]:
        """3D poses of each frame as soon as they are known, a record of one frame each.

        Arguments:
            frames: tracked detections.
            builder: empty, for these frames.
            height: body height of everybody, m; None: as estimated.
            latency: seconds of later frames that a pose may depend on; None: as many as help.
        """

    def __call__(
        self, image: RGB, *, camera: Camera | None = None, fov: float | None = None, height: float | None = None
    ) -> Detections:
        """People in one RGB image, in 3D.

        Arguments:
            camera, fov, height: as for `occlupose.run`.
        """
        source = _ImageSource(image)
        check_height(height)
        camera = resolve_camera(source, camera, fov)
        builder = PosesBuilder(self.skeleton, source.fps, camera, self.in_3d)
        builder.frames.extend(track(source, self, camera))
        poses = self.finish(builder.poses(), height)
        return Detections(
            skeleton=poses.skeleton,
            xy=poses.xy[0],
            score=poses.score[0],
            state=poses.state[0],
            xyz=None if poses.xyz is None else poses.xyz[0],
            spread=None if poses.spread is None else poses.spread[0],  # type: ignore[arg-type]
        )


def resolve_camera(source: Source, camera: Camera | None = None, fov: float | None = None) -> Camera:
    """The camera of a source: the given one, else by field of view (degrees on the long side), else with an assumed
    field of view.

    Raises:
        OccluposeError: the camera is for another image size, or the field of view is impossible.
    """
    assumed = camera_from_fov(source.width, source.height, fov)
    if camera is not None and (camera.width, camera.height) != (source.width, source.height):
        sizes = f"{source.width} x {source.height}, not the {camera.width} x {camera.height} of the camera"
        raise OccluposeError(f"{source.name}: its images are {sizes}; give the camera that took them")
    return camera or assumed


def check_people(max_people: int | None, height: float | None) -> None:
    """Raises OccluposeError for a limit of less than one person or an impossible body height."""
    check_height(height)
    if max_people is not None and max_people < 1:
        raise OccluposeError(f"max_people {max_people}: nobody could be found; give 1 or more")


def track(
    source: Source, estimator: PoseEstimator, camera: Camera, *, max_people: int | None = None
) -> Generator[FramePoses, None, None]:
    """Detects and tracks people, frame by frame, with a delay of some frames.

    Decoding, tracking and optical flow run in threads beside the networks. With optical flow, OpenCV uses one thread
    (in the whole process) meanwhile. People whom `tracking.Tracker` never confirms are left out.

    Arguments:
        camera: of the source.
        max_people: maximum number of people in a frame; those who came first are kept.
    """
    estimator.start(source)
    size = (source.width, source.height)
    stage = TrackingStage(size, estimator.flow, max_people, estimator.min_joint_confidence)
    waiting: deque[Future[list[FramePoses]]] = deque()
    with ExitStack() as stack:
        images: Iterable[Frame] = source
        if estimator.flow is not None:
            stack.enter_context(opencv_on_one_thread())
            images = with_half_resolution(source)
        worker = stack.enter_context(background_thread("track"))
        for frame in stack.enter_context(closing(prefetch(images, low_priority=not source.live))):
            waiting.append(worker.submit(stage.update, frame, estimator.detect(frame, camera)))
            if len(waiting) > 1:
                yield from waiting.popleft().result()
        waiting.append(worker.submit(stage.finish))
        for last in waiting:
            yield from last.result()


class PeopleLimit:
    """Keeps the people who came first, each until the tracker forgets them.

    Arguments:
        max_people: maximum number of people in a frame; None: no limit.
    """

    def __init__(self, max_people: int | None) -> None:
        self._max_people = max_people
        self._last_seen: dict[int, float] = {}

    def __call__(self, track_id: Int[np.ndarray, " person"], time: float) -> Bool[np.ndarray, " person"]:
        """Mask of the people within the limit; people without an id (-1) never are."""
        self._last_seen = {track: seen for track, seen in self._last_seen.items() if time - seen <= MAX_GAP}
        for track in sorted(track_id[track_id > 0].tolist()):
            if track in self._last_seen or self._max_people is None or len(self._last_seen) < self._max_people:
                self._last_seen[track] = time
        return np.isin(track_id, list(self._last_seen))


@dataclass
class _TrackedDetections:
    """A frame whose ids or keypoints are not final yet."""

    time: float
    detections: Detections
    assignment: Assignment
    checked: CheckedFrame | None = None


class TrackingStage:
    """Tracker, optical flow, plausibility and confidence. A frame is returned when its ids are final.

    Arguments:
        size: (width, height) of the images, px.
        flow: None: everything stays as detected.
        max_people: maximum number of people in a frame; those who came first are kept.
        min_joint_confidence: least confidence of a visible joint; not used without flow.
    """

    def __init__(
        self, size: tuple[int, int], flow: Flow | None, max_people: int | None, min_joint_confidence: float
    ) -> None:
        self._size = size
        self._min_joint_confidence = min_joint_confidence
        self._limit = PeopleLimit(max_people)
        self._tracker = Tracker()
        self._sampler = None if flow is None else FlowSampler(flow)
        self._plausibility = Plausibility()
        self._buffer: ConfirmationBuffer[_TrackedDetections] = ConfirmationBuffer(self._tracker)

    def update(self, frame: Frame, detections: Detections) -> list[FramePoses]:
        """Adds the people of a frame; returns earlier frames whose ids are final."""
        assignment = self._tracker.update(fill_absent(detections), frame.time, frame.pyramid)
        tracked = _TrackedDetections(frame.time, detections, assignment)
        if self._sampler is not None:
            numbers = assignment.track_numbers
            joint_flow = self._sampler.update(frame.pyramid, detections.boxes, detections.xy, numbers)
            tracked.checked = self._plausibility.update(frame.time, detections, numbers, joint_flow)
        confirmed = self._buffer.push(frame.time, tracked)
        return [self._emit(tracked) for tracked in confirmed]

    def finish(self) -> list[FramePoses]:
        """The frames that are left when the source ends."""
        if self._sampler is not None:
            self._plausibility.finish(self._sampler.finish())
        return [self._emit(tracked) for tracked in self._buffer.finish()]

    def _emit(self, tracked: _TrackedDetections) -> FramePoses:
        """The people with an id, within the limit, by id."""
        ids = tracked.assignment.ids
        rows = np.flatnonzero(self._limit(ids, tracked.time))
        rows = rows[np.argsort(ids[rows])]
        if tracked.checked is None:
            people = tracked.detections.select(rows)
        else:
            everybody, joint_flow = tracked.checked.result()
            people = everybody.select(rows)
            score = discount_by_flow(people.score, joint_flow.motion[rows], joint_flow.flow[rows]).astype(np.float32)
            xy = people.xy.astype(np.float32)
            state = classify_joints(score, xy, self._size, min_confidence=self._min_joint_confidence)
            people = replace(people, xy=xy, score=score, state=state)
        spread = np.where(people.state == ABSENT, np.nan, people.spread).astype(np.float32)
        return FramePoses(
            time=tracked.time,
            track_id=ids[rows],
            xy=people.xy,
            score=people.score,
            state=people.state,
            xyz=people.xyz,
            spread=None if np.isnan(spread).all() else spread,
        )


class _ImageSource(Source):
    """One image as a source."""

    kind = "image"
    name = "image"
    fps = ASSUMED_FPS
    fps_assumed = True
    count = 1
    duration = 1 / ASSUMED_FPS

    def __init__(self, image: RGB) -> None:
        self.warnings = []
        self.height, self.width = image.shape[:2]
        self._image = image

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(0, 0.0, self._image)
