"""From 2D people over time to 3D people in metres: what was seen in, what was seen, inferred and measured out.

Used by the whole pipeline and by itself, for 2D that comes from elsewhere.
"""

from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.lifter.lift import lift_rays, phases, spacing
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifter.weights import load
from occlupose.networks.tcn import STRIDE
from occlupose.networks.weights import to_device
from occlupose.occlusion.confidence import in_image
from occlupose.placement import place
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, H36M17, Skeleton

FIELD_OF_VIEW = 55.0
"""Degrees on the long side that are assumed where nobody says otherwise. Ours."""

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

HEAD_ABOVE_NECK = 0.14
SOLE_BELOW_ANKLE = 0.08
"""Metres from the mocap's head joint to the crown, and from ankle to sole, of an average adult. Ours."""

TAIL = 2.0
"""Seconds that a track is continued, unseen, behind its last sight: as long as a tracker would wait for the person."""

SETTLED = 1.5
"""Seconds of future after which a person's place hardly changes any more (`placement.place` states by how much). Of
this length is also the beginning of a track whose bones decide how tall the network thinks the person is."""


@dataclass
class Lift:
    """Lifts people; keeps the networks, the camera and each person's size between calls.

    Arguments:
        camera: whose pixels these are.
        height: metres, of every person; None: as tall as the network believes.
        lifter: networks; by default the shipped ones.
    """

    camera: Camera
    height: float | None = None
    lifter: Lifter = field(default_factory=load)
    scales: dict[int, float] = field(default_factory=dict)

    def __call__(self, poses: Poses, begin: dict[int, int] | None = None) -> Poses:
        """The people of a 2D record in 3D: H36M-17 in the camera frame, and what was seen beside it as `observed`.

        Arguments:
            poses: 2D; each person is taken to be there from their first to their last frame with any joint.
            begin: for a window out of a longer record, the frame at which to begin with each person instead of the
                first; who is not in it is left absent.

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
        for person, track in enumerate(poses.track_id.tolist()):
            there = np.flatnonzero((poses.state[:, person] != ABSENT).any(-1))
            if len(there) and (begin is None or track in begin):
                span = slice(int(there[0]) if begin is None else begin[track], int(there[-1]) + 1)
                answer = self._track(poses, person, span)
                xy[span, person], xyz[span, person], score[span, person], state[span, person] = answer
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

    def _track(self, poses: Poses, person: int, span: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pixels, metres, score and state of one person in these frames; those behind, in which the person is unseen,
        steady the last.
        """
        frames = span.stop - span.start
        longer = slice(span.start, span.stop + ceil(TAIL * poses.fps))
        observed_xy = to_body22(poses.xy[longer, person], poses.skeleton)
        observed_score, observed_state = (
            np.nan_to_num(to_body22(values[longer, person, :, None].astype(np.float32), poses.skeleton)[..., 0])
            for values in (poses.score, poses.state)
        )
        seen = (observed_state == VISIBLE) & np.isfinite(observed_xy).all(-1)
        rays = self.camera.rays(observed_xy)[..., :2]
        relative = lift_rays(self.lifter, rays[:, None], seen[:, None], poses.fps).xyz[:, 0]
        relative = relative * self._scale(relative[:frames], poses.fps, int(poses.track_id[person]))
        joints = BODY22_TO_H36M17
        pixels = observed_xy[:, joints]
        believed = seen[:, joints]
        root = place(relative, *_sights(observed_xy, observed_score, seen), self.camera, poses.fps)
        xyz = (relative + root[:, None]).astype(np.float32)
        xy = np.where(believed[..., None], pixels, self.camera.project(xyz)).astype(np.float32)
        state, score = h36m_states(observed_state.astype(np.uint8), observed_score, poses.skeleton)
        state = np.where(in_image(xy, (poses.width, poses.height)), state, OCCLUDED).astype(np.uint8)
        unknown = ~(np.isfinite(xy).all(-1) & np.isfinite(xyz).all(-1))
        xy[unknown] = np.nan
        xyz[unknown] = np.nan
        state[unknown] = ABSENT
        score[unknown] = 0
        return xy[:frames], xyz[:frames], score[:frames], state[:frames]

    def _scale(self, relative: Float[np.ndarray, "time 17 3"], fps: float, track: int) -> np.float32:
        """What makes this track's body as tall as was asked for; decided by the beginning of it."""
        if self.height is None:
            return np.float32(1)
        if track not in self.scales:
            self.scales[track] = self.height / stature(relative[: ceil(SETTLED * fps)])
        return np.float32(self.scales[track])


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
    check(height, fov)
    camera = camera or (poses.camera if fov is None else None) or assumed_camera(poses.width, poses.height, fov)
    return Lift(camera, height, lifter or load())(poses)


def check(height: float | None, fov: float | None) -> None:
    """Refuses heights and fields of view that cannot be.

    Raises:
        OccluposeError: a height outside 0.3 to 3 m or a field of view outside 1 to 170 degrees.
    """
    if height is not None and not 0.3 <= height <= 3:
        raise OccluposeError(f"height {height}: people are 0.3 to 3 metres tall; give metres")
    if fov is not None and not 1 <= fov <= 170:
        raise OccluposeError(f"fov {fov}: a field of view is 1 to 170 degrees on the long side; give degrees")


def assumed_camera(width: int, height: int, fov: float | None = None) -> Camera:
    """A camera of the given field of view on the long side; without one, 55 degrees, marked as assumed."""
    return Camera.from_fov(width, height, fov or FIELD_OF_VIEW, assumed=fov is None)


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


def _sights(
    xy: Float[np.ndarray, "time 22 2"], score: Float[np.ndarray, "time 22"], seen: Bool[np.ndarray, "time 22"]
) -> tuple[Float[np.ndarray, "time 17 2"], Float[np.ndarray, "time 17"]]:
    """Pixels (NaN where not seen) and weights of the H36M-17 joints to place somebody by; where nothing but the face is
    seen, the neck stands in its middle."""
    joints = BODY22_TO_H36M17
    face = BODY22.index(*FACE)
    neck = H36M17.joints.index("neck_nose")
    pixels = np.where(seen[:, joints, None], xy[:, joints], np.nan)
    weight = score[:, joints].copy()
    alone = seen[:, face].any(1) & ~seen[:, joints].any(1)
    shown = np.where(seen[alone][:, face, None], xy[alone][:, face], np.nan)
    pixels[alone, neck] = np.nanmean(shown, 1)
    weight[alone, neck] = score[alone][:, face].max(1)
    return pixels, weight


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


def delay(lifter: Lifter, fps: float) -> int:
    """Frames of future after which more of them change nothing in the pose about the root and hardly anything in its
    place.
    """
    return ceil(lifter.delay * phases(fps) / spacing(fps)) + ceil(SETTLED * fps)


def alignment(fps: float) -> int:
    """A live window must begin a multiple of this many frames after the person's first, so that the networks' strides
    agree.
    """
    return STRIDE * phases(fps)
