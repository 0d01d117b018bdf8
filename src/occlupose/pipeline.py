"""From an image, video or camera to 3D poses: `run` on the whole, `stream` frame by frame."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.estimator import PoseEstimator, check_people, resolve_camera, track
from occlupose.media import Source, open_media
from occlupose.methods.lifter.streaming import check_latency
from occlupose.methods.oanet.estimator import OANet
from occlupose.poses import FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.world import LiveStanding, stand
from occlupose.world_frame import level_axes


def run(
    source: str | Path | int | Source,
    estimator: PoseEstimator | None = None,
    *,
    every: int = 1,
    start: float | None = None,
    end: float | None = None,
    max_people: int | None = None,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
    up: tuple[float, float, float] | None = None,
    keep_lifted: bool = False,
    progress: Callable[[FramePoses], object] | None = None,
) -> Poses:
    """Everybody in an image, video, folder of images or camera, over time, in 2D and in metric 3D.

    Arguments:
        source: path, glob pattern, camera number, address of a network camera, or an open source.
        estimator: by default `OANet()`. It can be used for several sources.
        every: use only every n-th frame.
        start, end: seconds.
        max_people: maximum number of people in a frame; those who came first are kept.
        camera: intrinsics.
        fov: field of view on the long side, degrees, without `camera`; by default 55, marked as assumed.
        height: body height of everybody, m; by default as estimated.
        up: against gravity, in the camera frame, such as (0, -1, 0) for a level camera; by default the camera's, or as
            the people tell.
        keep_lifted: keep the joints before skeletons were fitted to them as `xyz_lifted`.
        progress: called with the people of each frame, in 2D or 3D as `estimator.detect` returns them.

    Returns:
        With OANet: H36M-17 joints in pixels and metres (camera frame), with score and state; `observed` has the
        keypoints of the 2D network. With HUPOR: the same with MPI15 joints, NaN for absent joints, without `observed`.
        Joints are those of rigid skeletons, whose rotations, bones, contacts and world the record has, too.

    Warns:
        UserWarning: up and the floor are unknown, and why; the poses then have no `world`.

    Raises:
        OccluposeError: the input cannot be read, or an argument is invalid.
    """
    with _opened(source, every, start, end) as opened:
        check_people(max_people, height)
        if up is not None:
            level_axes(up)
        camera = resolve_camera(opened, camera, fov)
        estimator = OANet() if estimator is None else estimator
        builder = PosesBuilder(estimator.skeleton, opened.fps, camera, estimator.in_3d)
        for frame_poses in track(opened, estimator, camera, max_people=max_people):
            builder.frames.append(frame_poses)
            if progress is not None:
                progress(frame_poses)
    tracks = builder.poses()
    builder.frames.clear()  # the tracks hold the same
    poses, why = stand(estimator.finish(tracks, height), up=up, keep_lifted=keep_lifted)
    if why and len(poses.track_id):
        warnings.warn(why, stacklevel=2)
    return poses


def stream(
    source: str | Path | int | Source,
    estimator: PoseEstimator | None = None,
    *,
    every: int = 1,
    start: float | None = None,
    end: float | None = None,
    max_people: int | None = None,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
    latency: float | None = None,
    up: tuple[float, float, float] | None = None,
    keep_lifted: bool = False,
) -> Iterator[Poses]:
    """Poses frame by frame, for cameras and endless video.

    With OANet, each frame is lifted as `run` does when the video ends `latency` seconds later; with HUPOR it is final
    at once. Skeletons are fitted from the frames so far: bones may change in a person's first two seconds, in which the
    shape of their body is unknown, and the world from second to second. A new person is confirmed by a third of a
    second of detections, which comes on top. Memory does not grow with time. Other arguments and errors as for `run`.

    Arguments:
        latency: seconds of later frames that a pose may depend on, 0 or more; by default 1.5, as many as `run` uses.
            From there on, a quarter of a second of frames is lifted together, a quarter of a second later.

    Yields:
        A record of one frame at a time.
    """
    with _opened(source, every, start, end) as opened:
        check_people(max_people, height)
        if latency is not None:
            check_latency(latency)
        standing = LiveStanding(opened.fps, up=up, keep_lifted=keep_lifted)
        camera = resolve_camera(opened, camera, fov)
        estimator = OANet() if estimator is None else estimator
        builder = PosesBuilder(estimator.skeleton, opened.fps, camera, estimator.in_3d)
        frames = track(opened, estimator, camera, max_people=max_people)
        yield from map(standing.update, estimator.finish_live(frames, builder, height, latency))


@contextmanager
def _opened(source: str | Path | int | Source, every: int, start: float | None, end: float | None) -> Iterator[Source]:
    """The source, closed at the end unless it was open before."""
    if not isinstance(source, Source):
        with open_media(source, every=every, start=start, end=end) as opened:
            yield opened
    elif (every, start, end) == (1, None, None):
        yield source
    else:
        raise OccluposeError(f"{source.name}: is open already; give every, start and end where it is opened")
