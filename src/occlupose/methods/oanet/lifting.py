"""From 2D people over time to 3D people in metres: what was seen in, what was seen, inferred and measured out.

Used by the whole pipeline and by itself, for 2D that comes from elsewhere.
"""

from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from occlupose.body_height import HEAD_ABOVE_NECK, SOLE_BELOW_ANKLE, check_height
from occlupose.cameras import Camera, camera_from_fov
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.lifter.lift import lift_rays
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifter.weights import load
from occlupose.networks.weights import to_device
from occlupose.occlusion.confidence import in_image
from occlupose.placement import place
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, H36M17, Skeleton
from occlupose.tracking import MAX_GAP

SAME_PLACE = {"thorax": "neck", "neck_nose": "head"}
"""Where a skeleton lacks a joint of BODY22, another name for nearly the same place."""

FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
HEAD = ("neck_nose", "head_top")
STAND_INS = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "spine": ("left_hip", "right_hip", "left_shoulder", "right_shoulder"),
    **dict.fromkeys(HEAD, FACE),
}
"""Joints that stand for one that the 2D skeleton lacks: it is seen where all of them are, one of the head where any of
the face is.
"""

SETTLED = 1.5
"""Seconds of future after which a person's place hardly changes any more (`placement.place` states by how much). Of
this length is also the beginning of a track whose bones decide how tall the network thinks the person is."""


@dataclass
class Lift:
    """Lifts people; keeps the networks and the camera between calls.

    Arguments:
        camera: whose pixels these are.
        height: metres, of every person; None: as tall as the network believes.
        lifter: networks; by default the shipped ones.
    """

    camera: Camera
    height: float | None = None
    lifter: Lifter = field(default_factory=load)

    def __call__(self, poses: Poses) -> Poses:
        """The people of a 2D record in 3D: H36M-17 in the camera frame, and what was seen beside it as `observed`.

        Arguments:
            poses: 2D; each person is taken to be there from their first to their last frame with any joint.

        Returns:
            A record with the same frames and people. Seen joints keep their pixels; hidden ones have those of the
            inferred joint.

        Raises:
            OccluposeError: the camera is one for pictures of another size.
        """
        observed = replace(poses, xyz=None, observed=None, camera=self.camera)
        shape = (len(poses), len(poses.track_id), len(H36M17))
        xy = np.full((*shape, 2), np.nan, np.float32)
        xyz = np.full((*shape, 3), np.nan, np.float32)
        score = np.zeros(shape, np.float32)
        state = np.zeros(shape, np.uint8)
        for person in range(len(poses.track_id)):
            there = np.flatnonzero((poses.state[:, person] != ABSENT).any(-1))
            if len(there):
                span = slice(int(there[0]), int(there[-1]) + 1)
                lifted = self._track(poses, person, span)
                xy[span, person] = lifted.xy
                xyz[span, person] = lifted.xyz
                score[span, person] = lifted.score
                state[span, person] = lifted.state
        return Poses(
            xy=xy,
            score=score,
            state=state,
            xyz=xyz,
            track_id=poses.track_id,
            time=poses.time,
            skeleton=H36M17,
            fps=poses.fps,
            width=poses.width,
            height=poses.height,
            camera=self.camera,
            observed=observed,
        )

    def scale(self, relative: Float[np.ndarray, "time 17 3"], fps: float) -> np.float32:
        """The factor that makes a person as tall as was asked for, by the first `SETTLED` seconds of their track."""
        if self.height is None:
            return np.float32(1)
        return np.float32(self.height / stature(relative[: ceil(SETTLED * fps)]))

    def _track(self, poses: Poses, person: int, span: slice) -> "LiftedJoints":
        """One person in these frames; the unseen ones behind them steady the last."""
        frames = span.stop - span.start
        longer = slice(span.start, span.stop + ceil(MAX_GAP * poses.fps))
        joints = LifterJoints.from_detections(
            poses.xy[longer, person], poses.score[longer, person], poses.state[longer, person], poses.skeleton
        )
        rays = joints.rays(self.camera)
        relative = lift_rays(self.lifter, rays[:, None], joints.observed[:, None], poses.fps).xyz[:, 0]
        relative = relative * self.scale(relative[:frames], poses.fps)
        root = place(relative, *joints.placement_targets(), self.camera, poses.fps)
        return joints[:frames].to_lifted(relative[:frames], root[:frames], self.camera)


@dataclass(frozen=True)
class LifterJoints:
    """Detected joints as the lifter takes them, of one person over time or of several people in one image."""

    xy: Float[np.ndarray, "row 22 2"]
    """Pixels; NaN for joints that the 2D skeleton lacks."""
    score: Float[np.ndarray, "row 22"]
    state: UInt8[np.ndarray, "row 22"]
    skeleton: Skeleton
    """Of the detections; which joints of BODY22 they have."""

    @classmethod
    def from_detections(
        cls,
        xy: Float[np.ndarray, "row joint 2"],
        score: Float[np.ndarray, "row joint"],
        state: UInt8[np.ndarray, "row joint"],
        skeleton: Skeleton,
    ) -> "LifterJoints":
        """From detections in any skeleton."""
        scores, states = (
            np.nan_to_num(to_body22(values[..., None].astype(np.float32), skeleton)[..., 0])
            for values in (score, state)
        )
        return cls(to_body22(xy, skeleton), scores, states.astype(np.uint8), skeleton)

    def __getitem__(self, rows: slice) -> "LifterJoints":
        return LifterJoints(self.xy[rows], self.score[rows], self.state[rows], self.skeleton)

    @property
    def observed(self) -> Bool[np.ndarray, "row 22"]:
        """Which joints are visible."""
        return (self.state == VISIBLE) & np.isfinite(self.xy).all(-1)

    def rays(self, camera: Camera) -> Float[np.ndarray, "row 22 2"]:
        """The joints on the camera's plane z = 1."""
        return camera.rays(self.xy)[..., :2]

    def placement_targets(self) -> tuple[Float[np.ndarray, "row 17 2"], Float[np.ndarray, "row 17"]]:
        """Pixels (NaN where not seen) and weights of the H36M-17 joints for `placement.place`; where only the face is
        seen, the neck stands in its middle.
        """
        joints = BODY22_TO_H36M17
        face = BODY22.index(*FACE)
        neck = H36M17.joints.index("neck_nose")
        pixels = np.where(self.observed[:, joints, None], self.xy[:, joints], np.nan)
        weight = self.score[:, joints].copy()
        face_only = self.observed[:, face].any(1) & ~self.observed[:, joints].any(1)
        shown = np.where(self.observed[face_only][:, face, None], self.xy[face_only][:, face], np.nan)
        pixels[face_only, neck] = np.nanmean(shown, 1)
        weight[face_only, neck] = self.score[face_only][:, face].max(1)
        return pixels, weight

    def to_lifted(
        self, relative: Float[np.ndarray, "row 17 3"], root: Float[np.ndarray, "row 3"], camera: Camera
    ) -> "LiftedJoints":
        """All H36M-17 joints: the visible ones where they were seen, the others where their 3D joint is."""
        joints = BODY22_TO_H36M17
        xyz = (relative + root[:, None]).astype(np.float32)
        xy = np.where(self.observed[:, joints, None], self.xy[:, joints], camera.project(xyz)).astype(np.float32)
        state, score = h36m_states(self.state, self.score, self.skeleton)
        state = np.where(in_image(xy, (camera.width, camera.height)), state, OCCLUDED).astype(np.uint8)
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


def lift(
    poses: Poses,
    *,
    camera: Camera | None = None,
    fov: float | None = None,
    height: float | None = None,
    lifter: Lifter | None = None,
) -> Poses:
    """Lifts 2D people to 3D: OANet's temporal networks, then each person's place by least squares on reprojection.

    Arguments:
        poses: 2D in any skeleton that shares joints with COCO-17 or H36M-17; NaN or state 1 where a joint is hidden.
        camera: intrinsics; by default the record's own, else `fov`, else 55 degrees on the long side (marked as
            assumed).
        fov: degrees on the long side.
        height: metres, of every person; by default as tall as the network believes.
        lifter: other weights.

    Returns:
        H36M-17: `xyz` in metres in the camera frame, `state` 2 for joints that were seen, 1 for inferred ones;
        `observed` is `poses`.

    Raises:
        OccluposeError: none of the skeleton's joints is known to the lifter, or the height or field of view cannot be.
    """
    if not any(_named(joint, poses.skeleton) for joint in BODY22.joints):
        raise OccluposeError(
            f"skeleton {poses.skeleton.name}: none of its joints is known to the lifter; give coco17 or h36m17"
        )
    check_height(height)
    assumed = camera_from_fov(poses.width, poses.height, fov)
    camera = camera or (poses.camera if fov is None else None) or assumed
    return Lift(camera, height, lifter or load())(poses)


def to_body22(values: Float[np.ndarray, "time joint d"], skeleton: Skeleton) -> Float[np.ndarray, "time 22 d"]:
    """The joints that a skeleton shares with BODY22 by name; NaN for the others (nothing is derived: the networks do
    that better).
    """
    result = np.full((values.shape[0], len(BODY22), values.shape[2]), np.nan, np.float32)
    for number, joint in enumerate(BODY22.joints):
        source = _named(joint, skeleton)
        if source is not None:
            result[:, number] = values[:, skeleton.joints.index(source)]
    return result


def _named(joint: str, skeleton: Skeleton) -> str | None:
    """What a skeleton calls a joint of BODY22, or nearly the same place; None where it has neither."""
    names = (joint, dict(skeleton.aliases).get(joint), SAME_PLACE.get(joint))
    return next((name for name in names if name in skeleton.joints), None)


def h36m_states(
    state: UInt8[np.ndarray, "time 22"], score: Float[np.ndarray, "time 22"], skeleton: Skeleton
) -> tuple[UInt8[np.ndarray, "time 17"], Float[np.ndarray, "time 17"]]:
    """State and score of each H36M-17 joint, all of which are known once lifted: seen, or inferred.

    A joint that the 2D skeleton lacks is as visible as those that stand for it: the least of hips and shoulders, the
    best of the face. One that nothing stands for is inferred, with score 0.
    """
    states = np.full((len(state), len(H36M17)), OCCLUDED, np.uint8)
    scores = np.zeros((len(state), len(H36M17)), np.float32)
    for number, joint in enumerate(H36M17.joints):
        own = _named(joint, skeleton) is not None
        sources = BODY22.index(*((joint,) if own else STAND_INS.get(joint, ())))
        if sources:
            weakest = np.max if joint in HEAD else np.min
            states[:, number] = np.maximum(weakest(state[:, sources], 1), OCCLUDED)
            scores[:, number] = weakest(score[:, sources], 1)
    return states, scores


def stature(xyz: Float[np.ndarray, "time 17 3"]) -> float:
    """How tall somebody with these bones stands, in metres: median bone lengths from crown to sole, left and right
    averaged.
    """
    chains = [("head_top", "neck_nose"), ("neck_nose", "thorax"), ("thorax", "spine"), ("spine", "pelvis")]
    legs = [
        (f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]

    def length(bone: tuple[str, str]) -> float:
        start, end = H36M17.index(*bone)
        return float(np.nanmedian(np.linalg.norm(xyz[:, start] - xyz[:, end], axis=-1)))

    return HEAD_ABOVE_NECK + sum(map(length, chains)) + sum(map(length, legs)) / 2 + SOLE_BELOW_ANKLE


def networks(device: str = "cpu", weights: Path | None = None) -> Lifter:
    """The lifter, by default the shipped one, on a device.

    Raises:
        OccluposeError: torch has no such device here, or the weights cannot be read.
    """
    return to_device(load(weights), device)
