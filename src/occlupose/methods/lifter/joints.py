"""The joints of the lifter: from detections in any skeleton, and back with the 3D joints in metres."""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.occlusion.confidence import in_image
from occlupose.occlusion.cylinders import FACE
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, H36M17, Skeleton

NEARBY_JOINTS = {"thorax": "neck", "neck_nose": "head"}
"""For a joint of BODY22 that a skeleton lacks, another name for nearly the same position."""

HEAD = ("neck_nose", "head_top")
SUBSTITUTES = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "spine": ("left_hip", "right_hip", "left_shoulder", "right_shoulder"),
    **dict.fromkeys(HEAD, FACE),
}
"""Joints that determine the state of a joint that the 2D skeleton lacks: visible where all of them are, the head where
any joint of the face is.
"""


FAR_OUTSIDE = 2.0
"""Joints that are farther outside of the image than so many times its longer side are not believed."""


@dataclass(frozen=True)
class LifterJoints:
    """Input of the lifter: detected joints, of one person over time or of several people in one image."""

    xy: Float[np.ndarray, "row 22 2"]
    """Pixels; NaN for joints that the 2D skeleton lacks."""
    score: Float[np.ndarray, "row 22"]
    state: UInt8[np.ndarray, "row 22"]
    spread: Float[np.ndarray, "row 22"]
    """Standard deviation of each joint along an axis, px; NaN where unknown."""
    skeleton: Skeleton
    """Of the detections: which joints of BODY22 they have."""

    @classmethod
    def from_detections(
        cls,
        xy: Float[np.ndarray, "row joint 2"],
        score: Float[np.ndarray, "row joint"],
        state: UInt8[np.ndarray, "row joint"],
        skeleton: Skeleton,
        spread: Float[np.ndarray, "row joint"] | None = None,
    ) -> "LifterJoints":
        """From detections in any skeleton."""
        joint_score = np.nan_to_num(to_body22(score[..., None].astype(np.float32), skeleton)[..., 0])
        joint_state = np.nan_to_num(to_body22(state[..., None].astype(np.float32), skeleton)[..., 0])
        spread = np.full(score.shape, np.nan, np.float32) if spread is None else spread
        joint_spread = to_body22(spread[..., None], skeleton)[..., 0]
        return cls(to_body22(xy, skeleton), joint_score, joint_state.astype(np.uint8), joint_spread, skeleton)

    def __getitem__(self, rows: slice) -> "LifterJoints":
        return LifterJoints(self.xy[rows], self.score[rows], self.state[rows], self.spread[rows], self.skeleton)

    @property
    def observed(self) -> Bool[np.ndarray, "row 22"]:
        """Which joints are visible."""
        return (self.state == VISIBLE) & np.isfinite(self.xy).all(-1)

    def believed(self, camera: Camera) -> Bool[np.ndarray, "row 22"]:
        """Which joints have a place that may be one of this person, visible or guessed."""
        far = FAR_OUTSIDE * max(camera.width, camera.height)
        with np.errstate(invalid="ignore"):
            inside = (self.xy >= -far) & (self.xy <= np.array([camera.width, camera.height]) + far)
        return (self.state != ABSENT) & inside.all(-1)

    def rays(self, camera: Camera) -> Float[np.ndarray, "row 22 2"]:
        """The joints on the camera's plane z = 1."""
        return camera.rays(self.xy)[..., :2]

    def root_targets(self) -> tuple[Float[np.ndarray, "row 17 2"], Float[np.ndarray, "row 17"]]:
        """Pixels (NaN unless visible) and weights of the H36M-17 joints for `estimate_root_trajectory`; where only the
        face is visible, its middle stands in for the neck.
        """
        joints = BODY22_TO_H36M17
        face = BODY22.index(*FACE)
        neck = H36M17.joints.index("neck_nose")
        pixels = np.where(self.observed[:, joints, None], self.xy[:, joints], np.nan)
        weight = self.score[:, joints].copy()
        face_only = self.observed[:, face].any(1) & ~self.observed[:, joints].any(1)
        face_xy = np.where(self.observed[face_only][:, face, None], self.xy[face_only][:, face], np.nan)
        pixels[face_only, neck] = np.nanmean(face_xy, 1)
        weight[face_only, neck] = self.score[face_only][:, face].max(1)
        return pixels, weight

    def to_lifted(
        self, relative: Float[np.ndarray, "row 17 3"], root: Float[np.ndarray, "row 3"], camera: Camera
    ) -> "LiftedJoints":
        """All H36M-17 joints: visible ones at their keypoints, the others at the projection of their 3D joint."""
        joints = BODY22_TO_H36M17
        xyz = (relative + root[:, None]).astype(np.float32)
        seen = self.observed[:, joints]
        kept = seen & self.believed(camera)[:, joints]
        xy = np.where(kept[..., None], self.xy[:, joints], camera.project(xyz)).astype(np.float32)
        state, score = h36m_states(self.state, self.score, self.skeleton)
        inside = in_image(xy, (camera.width, camera.height)) & (kept | ~seen)
        state = np.where(inside, state, OCCLUDED).astype(np.uint8)
        unknown = ~(np.isfinite(xy).all(-1) & np.isfinite(xyz).all(-1))
        xy[unknown] = np.nan
        xyz[unknown] = np.nan
        state[unknown] = ABSENT
        score[unknown] = 0
        return LiftedJoints(xy, xyz, score, state)


class LiftedJoints(NamedTuple):
    """H36M-17 joints in 2D and 3D, of one person over time or of several people in one image."""

    xy: Float[np.ndarray, "row 17 2"]
    xyz: Float[np.ndarray, "row 17 3"]
    score: Float[np.ndarray, "row 17"]
    state: UInt8[np.ndarray, "row 17"]


def check_skeleton(skeleton: Skeleton) -> None:
    """Refuses a skeleton of whose joints the lifter has none. Raises OccluposeError."""
    if not any(_matching_joint(joint, skeleton) for joint in BODY22.joints):
        raise OccluposeError(
            f"skeleton {skeleton.name}: the lifter has none of its joints; give coco17 or h36m17, or their names"
        )


def to_body22(values: Float[np.ndarray, "time joint d"], skeleton: Skeleton) -> Float[np.ndarray, "time 22 d"]:
    """The joints that a skeleton shares with BODY22, by name; NaN for the others, which the networks predict better
    than they could be computed.
    """
    result = np.full((values.shape[0], len(BODY22), values.shape[2]), np.nan, np.float32)
    columns = _columns(skeleton)
    known = columns >= 0
    result[:, known] = values[:, columns[known]]
    return result


@cache
def _columns(skeleton: Skeleton) -> Int[np.ndarray, "22"]:
    """The joint of a skeleton that each of BODY22 is; -1 where it has none."""
    names = [_matching_joint(joint, skeleton) for joint in BODY22.joints]
    return np.array([-1 if name is None else skeleton.joints.index(name) for name in names])


def _matching_joint(joint: str, skeleton: Skeleton) -> str | None:
    """A skeleton's name for a joint of BODY22 or for nearly the same position; None if it has neither."""
    names = (joint, dict(skeleton.aliases).get(joint), NEARBY_JOINTS.get(joint))
    return next((name for name in names if name in skeleton.joints), None)


def h36m_states(
    state: UInt8[np.ndarray, "time 22"], score: Float[np.ndarray, "time 22"], skeleton: Skeleton
) -> tuple[UInt8[np.ndarray, "time 17"], Float[np.ndarray, "time 17"]]:
    """State and score of each H36M-17 joint after lifting, visible or inferred.

    A joint that the 2D skeleton lacks has those of its substitutes: the lowest of hips and shoulders, the highest of
    the face. Without substitutes it is inferred, with score 0.
    """
    states = np.full((len(state), len(H36M17)), OCCLUDED, np.uint8)
    scores = np.zeros((len(state), len(H36M17)), np.float32)
    own, others = _sources(skeleton)
    places = [place for _, place in own]
    joints = [joint for joint, _ in own]
    states[:, joints] = np.maximum(state[:, places], OCCLUDED)
    scores[:, joints] = score[:, places]
    for joint, sources in others:
        reduce = np.max if H36M17.joints[joint] in HEAD else np.min
        states[:, joint] = np.maximum(reduce(state[:, sources], 1), OCCLUDED)
        scores[:, joint] = reduce(score[:, sources], 1)
    return states, scores


@cache
def _sources(skeleton: Skeleton) -> tuple[list[tuple[int, int]], list[tuple[int, list[int]]]]:
    """The joints of H36M-17 that a 2D skeleton has, with their places in BODY22, and the others, with those of their
    substitutes.
    """
    own = []
    others = []
    for joint, name in enumerate(H36M17.joints):
        if _matching_joint(name, skeleton) is not None:
            own.append((joint, BODY22.joints.index(name)))
        elif name in SUBSTITUTES:
            others.append((joint, list(BODY22.index(*SUBSTITUTES[name]))))
    return own, others
