"""Keypoints of people who walk, run or turn around before a camera, and the optical flow at them."""

import numpy as np

from mocap_sequences import striding_joints
from occlupose.detections import Detections
from occlupose.flow import JointFlow
from occlupose.occlusion.plausibility import CheckedFrame, Plausibility
from occlupose.skeletons import BODY26, COCO17, Skeleton, convert


def standing(frames: int) -> np.ndarray:
    """(frames, 26, 3) left, up, forward of a person who does not move, m."""
    return striding_joints(1, 0.0).repeat(frames, 0)


def striding(frames: int, fps: float, *, cycle: float = 1.1, stride: float = 0.5) -> np.ndarray:
    """(frames, 26, 3) left, up, forward of a person who walks on the spot, m.

    Arguments:
        cycle: duration of two steps, s.
        stride: largest angle of the thighs, radians.
    """
    steps = 240
    phases = (np.arange(frames) / fps / cycle * steps).round().astype(int) % steps
    return striding_joints(steps, stride)[phases]


def view(
    xyz: np.ndarray,
    yaw: float | np.ndarray = 0.0,
    *,
    right: float | np.ndarray = 0.0,
    away: float = 4.0,
    skeleton: Skeleton = COCO17,
) -> np.ndarray:
    """(frames, joint, 2) keypoints, px.

    Arguments:
        xyz: (frames, 26, 3) left, up, forward, m.
        yaw: by which the person is turned to their left from facing the camera, radians; one, or one for each frame.
        right, away: where the person is, m.
    """
    left, up, forward = np.moveaxis(xyz, -1, 0)
    cos = np.cos(np.broadcast_to(yaw, len(xyz)))[:, None]
    sin = np.sin(np.broadcast_to(yaw, len(xyz)))[:, None]
    across = left * cos + forward * sin + np.broadcast_to(right, len(xyz))[:, None]
    depth = away - (forward * cos - left * sin)
    return convert(np.stack([600 + 1000 * across / depth, 500 + 1000 * (0.9 - up) / depth], -1), BODY26, skeleton)


def motion_of(xy: np.ndarray) -> np.ndarray:
    """Displacement of each joint to the next frame, px; NaN in the last frame."""
    return np.concatenate([np.diff(xy, axis=0), np.full_like(xy[:1], np.nan)])


def swap_sides(
    values: np.ndarray, frames: list[int] | range, parts: str = "", skeleton: Skeleton = COCO17
) -> np.ndarray:
    """A copy of (frames, joint, ...) in which left and right are swapped in these frames, of all joints or of those
    with one of these words in their names.
    """
    joints = [any(part in joint for part in parts.split() or [""]) for joint in skeleton.joints]
    order = np.where(joints, skeleton.mirror, np.arange(len(skeleton)))
    result = values.copy()
    result[list(frames)] = values[list(frames)][:, order]
    return result


def check(
    xy: np.ndarray,
    flow: np.ndarray | None,
    fps: float,
    *,
    score: np.ndarray | float = 0.9,
    skeleton: Skeleton = COCO17,
    plausibility: Plausibility | None = None,
) -> list[CheckedFrame]:
    """The frames of a video, checked to its end.

    Arguments:
        xy: (frames, person, joint, 2), px; all NaN where a person is absent. The number of the track is the row.
        flow: at these joints, to the next frame, px; None: unknown.
        score: broadcast to (frames, person, joint).
        plausibility: by default a new one.
    """
    checks = plausibility or Plausibility()
    flow = np.full_like(xy, np.nan) if flow is None else flow
    motion = motion_of(xy)
    score = np.broadcast_to(score, xy.shape[:3])
    frames = []
    joint_flow = None
    for index in range(len(xy)):
        rows = np.flatnonzero(np.isfinite(xy[index]).all(-1).any(-1))
        found = Detections(skeleton=skeleton, xy=xy[index, rows].astype(np.float32), score=score[index, rows].copy())
        frames.append(checks.update(index / fps, found, rows, joint_flow))
        sides = np.maximum(found.boxes[:, 2:] - found.boxes[:, :2], 1).max(-1)[:, None, None]
        known = np.isfinite(motion[index, rows])
        joint_flow = JointFlow(motion[index, rows] / sides, np.where(known, flow[index, rows], np.nan) / sides)
    checks.finish(joint_flow)
    return frames
