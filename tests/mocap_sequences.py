"""Mocap clips of a person of human size who moves smoothly, and sequences of one in video."""

import numpy as np

from occlupose.datasets.motion import MotionClip
from occlupose.datasets.sequence import PoseSequence
from occlupose.poses import Poses
from occlupose.skeletons import BODY22, BODY26, H36M17

STANDING = {
    "pelvis": (0, 0.93, 0),
    "hip": (0.12, 0.92, 0),
    "knee": (0.12, 0.5, 0),
    "ankle": (0.12, 0.08, 0),
    "spine": (0, 1.15, 0),
    "thorax": (0, 1.42, 0),
    "neck_nose": (0, 1.52, 0.03),
    "head_top": (0, 1.7, 0),
    "shoulder": (0.18, 1.4, 0),
    "elbow": (0.25, 1.12, 0),
    "wrist": (0.25, 0.88, 0.05),
    "nose": (0, 1.55, 0.12),
    "eye": (0.03, 1.58, 0.09),
    "ear": (0.075, 1.57, 0.01),
}
"""Metres left, up and forward of a person who faces forward."""


def standing_pose():
    """(22, 3) BODY22 of a person who stands, y up, left at +x."""
    places = np.array([STANDING[name.removeprefix("left_").removeprefix("right_")] for name in BODY22.joints], float)
    return places * [[-1 if name.startswith("right_") else 1, 1, 1] for name in BODY22.joints]


def moving_clip(frames=300, *, seed=0, fps=120.0, name="07_01", subject="07"):
    """A clip of a person who sways and waves."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / fps
    return MotionClip(
        name, subject, fps, (standing_pose() + 0.06 * np.sin(random.uniform(1, 4, (22, 3)) * time)).astype(np.float32)
    )


def video_sequence(frames=90, *, fps=30.0, skeleton=H36M17, name="walk", seed=0):
    """A person in a video, with a hidden left ankle and, in the first half, no head."""
    random = np.random.default_rng(seed)
    xy = random.uniform(100, 300, (frames, 1, len(skeleton), 2)).astype(np.float32)
    xy[:, 0, 0, 0] = np.arange(frames) / fps
    state = np.full(xy.shape[:3], 2, np.uint8)
    score = np.full(xy.shape[:3], 0.9, np.float32)
    ankle = skeleton.joints.index("left_ankle")
    state[:, 0, ankle] = 1
    score[:, 0, ankle] = 0.2
    state[: frames // 2, 0, -1] = 0
    score[: frames // 2, 0, -1] = 0
    xy[: frames // 2, 0, -1] = np.nan
    poses = Poses(
        xy=xy,
        score=score,
        state=state,
        xyz=None,
        track_id=np.array([0]),
        time=np.arange(frames) / fps,
        skeleton=skeleton,
        fps=fps,
        width=400,
        height=400,
    )
    return PoseSequence(name, name, "", poses)


def striding_joints(frames=24, stride=0.5):
    """(frames, 26, 3) BODY26 of a person who walks on the spot: legs and arms swing, knees and elbows bend; y up, left
    at +x.
    """
    extra = {
        "left_foot": (0.12, 0.02, 0.13),
        "right_foot": (-0.12, 0.02, 0.13),
        "left_hand": (0.25, 0.8, 0.07),
        "right_hand": (-0.25, 0.8, 0.07),
    }
    rest = np.concatenate([standing_pose(), np.array(list(extra.values()))])
    result = np.repeat(rest[None], frames, 0)
    for frame, phase in enumerate(np.arange(frames) / frames * 2 * np.pi):
        for side, sign in (("left", 1), ("right", -1)):
            swing = sign * np.sin(phase)
            _bend(result[frame], f"{side}_hip", f"{side}_knee {side}_ankle {side}_foot", stride * swing)
            _bend(
                result[frame], f"{side}_knee", f"{side}_ankle {side}_foot", -0.5 * stride * (1 - np.cos(phase + sign))
            )
            _bend(result[frame], f"{side}_shoulder", f"{side}_elbow {side}_wrist {side}_hand", -stride * swing)
            _bend(result[frame], f"{side}_elbow", f"{side}_wrist {side}_hand", 0.5 * stride)
    return result


def _bend(joints, about, moved, angle):
    """Turn some joints forward and up about another, radians."""
    centre = joints[BODY26.index(about)]
    places = BODY26.index(*moved.split())
    x, y, z = (joints[places] - centre).T
    joints[places] = centre + np.stack(
        [x, np.cos(angle) * y + np.sin(angle) * z, np.cos(angle) * z - np.sin(angle) * y], -1
    )
