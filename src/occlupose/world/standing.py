"""People as rigid skeletons that stand on the floor: what lifted joints become in the outputs. Ours."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from occlupose.bodies.anny import anny
from occlupose.bodies.body import BodyModel
from occlupose.body_parts import SHAPE
from occlupose.covariances import to_matrix, to_six
from occlupose.kinematics import LiveSkeleton, SkeletonFit, body_tree, fit_poses
from occlupose.kinematics.fit import known_of, lasting_of
from occlupose.kinematics.result import BY_FRAME, blank, join_people
from occlupose.kinematics.start import check_view
from occlupose.kinematics.surface import measure_shape
from occlupose.poses import ABSENT, OCCLUDED, TRACK_FIELDS, Poses, append_rows
from occlupose.skeletons import convert
from occlupose.track_store import TrackStore
from occlupose.tracking import MAX_GAP
from occlupose.world.contact import Contacts, find_contacts
from occlupose.world.evidence import Evidence, PeopleEvidence
from occlupose.world.floor import estimate_world, find_world
from occlupose.world.footing import rest_on_contacts
from occlupose.world_frame import CAMERA_UP, WorldFrame

Up = tuple[float, float, float]


def stand(poses: Poses, *, up: Up | None = None, keep_lifted: bool = False) -> tuple[Poses, str]:
    """The same people as rigid skeletons, on the floor if it can be found.

    A skeleton of constant bones is fitted to joints and keypoints, up and the floor are estimated, and what touches
    something neither slides, floats nor sinks. Joints become those of the skeletons, and keypoints of occluded joints
    their projections; what is visible keeps its pixels, what is absent remains so.

    Arguments:
        poses: lifted, in 3D.
        up: in the camera frame; by default the camera's, if it is known.
        keep_lifted: whether the joints as they are now are kept as `xyz_lifted`.

    Returns:
        The poses with `rotation`, `bone_offsets`, `shape`, and where up and the floor are known `world` and `contact`;
        and else why they are not, in one line.

    Raises:
        OccluposeError: poses in 2D, no joint that can be fitted, numbers that cannot be meant; up has no direction.
    """
    up = up or (None if poses.camera is None else poses.camera.up)
    view = CAMERA_UP if up is None else up
    fit_poses(poses.select(slice(0, 0)), view)  # says what is wrong, if anything is
    fits = TrackStore()
    evidence = PeopleEvidence()
    for _, one in _alone(poses):
        fit = fit_poses(one, view)
        fits.append({name: getattr(fit, name) for name in (*BY_FRAME, "bone_offsets")})
        evidence.append(_evidence(fit, one))
    world, why = find_world(evidence, up)
    store = TrackStore()
    bodies = []
    for person, (start, one) in enumerate(_alone(poses)):
        fitted: dict[str, Any] = fits.get(person)
        fit = replace(blank(body_tree(), 0, 0), **fitted)
        contacts = None
        if world is not None:
            shown = _hide(fit, (one.state != ABSENT).any(-1))
            contacts = find_contacts(shown.xyz, fit.skeleton, one.fps, world)
            fit = rest_on_contacts(fit, contacts, world, one.fps)
        record = to_record(one, fit, world, contacts, keep_lifted=keep_lifted)
        frames, arrays = record.rows(0)
        append_rows(store, start + frames, arrays)
        bodies.append(record.constants)
    names = {*poses.names, "xyz", "covariance", "root_covariance", "rotation", "rotation_covariance"}
    names |= {"xyz_lifted"} if keep_lifted else set()
    names |= {"contact"} if world is not None else set()
    constants = {
        name: np.concatenate([np.zeros((0, *one.shape)), *(body[name] for body in bodies)])
        for name, one in TRACK_FIELDS.items()
    }
    return Poses.by_track(store, names, **poses.about | constants | {"world": world}), why


def _alone(poses: Poses) -> Iterator[tuple[int, Poses]]:
    """Each person alone, in the frames from shortly before their first to shortly after their last, and the number of
    the first of these frames.
    """
    margin = math.ceil(poses.fps) + 4
    for person, track_id in enumerate(poses.track_id.tolist()):
        known = [record.rows(person)[0] for record in (poses, poses.observed) if record is not None]
        there = np.concatenate(known)
        frames = slice(0, 0)
        if len(there):
            frames = slice(max(0, int(there.min()) - margin), int(there.max()) + 1 + margin)
        yield frames.start, poses.select(frames, track_id)


def _evidence(fit: SkeletonFit, poses: Poses) -> Evidence:
    """What skeletons tell about up and the floor in the frames in which the people are there."""
    shown = _hide(fit, (poses.state != ABSENT).any(-1))
    return Evidence.of(shown.xyz, shown.skeleton, poses.fps, shown.covariance, shown.root_covariance)


def _find_world(fit: SkeletonFit, fps: float, up: Up | None) -> tuple[WorldFrame | None, str]:
    known = {"covariance": fit.covariance, "root_covariance": fit.root_covariance}
    return estimate_world(fit.xyz, fit.skeleton, fps, **known, up=up)


def _hide(fit: SkeletonFit, present: Bool[np.ndarray, "time person"]) -> SkeletonFit:
    """The skeletons in the frames in which the people are there."""
    shown: dict[str, Any] = {}
    for name in BY_FRAME:
        values = getattr(fit, name)
        shown[name] = np.where(present.reshape(*present.shape, *[1] * (values.ndim - 2)), values, np.float32(np.nan))
    return replace(fit, **shown)


@cache
def body() -> BodyModel:
    """The body model whose shape is stated."""
    return anny(captured=True)


def _shape_of(offsets: Float[np.ndarray, "bone 3"]) -> Float[np.ndarray, "parameter"]:
    """The shape of a body with these bones; NaN if they are unknown."""
    return measure_shape(offsets, body()) if np.isfinite(offsets).all() else np.full(len(SHAPE), np.nan)


def to_record(
    poses: Poses,
    fit: SkeletonFit,
    world: WorldFrame | None,
    contacts: Contacts | None,
    *,
    shape: Float[np.ndarray, "person parameter"] | None = None,
    keep_lifted: bool = False,
) -> Poses:
    """The poses with the joints and rotations of fitted skeletons.

    Arguments:
        shape: of the people; by default as their bones say.
    """
    assert poses.xyz is not None
    present = (poses.state != ABSENT).any(-1)
    fit = _hide(fit, present)
    there = poses.state != ABSENT
    joints = fit.joints(poses.skeleton)
    fitted = there & np.isfinite(joints).all(-1)
    xyz = np.where(fitted[..., None], joints, poses.xyz)
    own = convert(fit.covariance, fit.skeleton, poses.skeleton)
    covariance = own if poses.covariance is None else np.where(fitted[..., None], own, poses.covariance)
    given: dict[str, Any] = {}
    if poses.camera is not None:
        projected = poses.camera.project(xyz)
        moved = fitted & (poses.state == OCCLUDED) & np.isfinite(projected).all(-1)
        given["xy"] = np.where(moved[..., None], projected, poses.xy)
    if contacts is not None:
        given["contact"] = np.where(present[..., None], contacts.touching, np.nan)
    if shape is None:
        shape = np.array([_shape_of(offsets) for offsets in fit.bone_offsets]).reshape(-1, len(SHAPE))
    root_covariance = fit.root_covariance
    if poses.root_covariance is not None:
        root_covariance = _with_unknown_size(root_covariance, poses.root_covariance, fit.root)
    return replace(
        poses,
        **given,
        xyz=xyz,
        xyz_lifted=poses.xyz if keep_lifted else None,
        covariance=np.where(there[..., None], covariance, np.nan),
        root_covariance=root_covariance,
        rotation=fit.rotation,
        rotation_covariance=fit.turn_covariance,
        bone_offsets=fit.bone_offsets,
        shape=shape,
        world=world,
    )


def _with_unknown_size(
    fitted: Float[np.ndarray, "*place 6"], lifted: Float[np.ndarray, "*place 6"], root: Float[np.ndarray, "*place 3"]
) -> Float[np.ndarray, "*place 6"]:
    """Covariances of fitted roots, at least as uncertain along the line of sight as those of lifted ones: a fit takes
    the lengths of the bones for known, and then keypoints seem to tell the distance.
    """
    along = root.astype(float) / np.linalg.norm(root, axis=-1, keepdims=True)
    missing = np.einsum("...i,...ij,...j->...", along, to_matrix(lifted.astype(float) - fitted), along)
    outer = to_six(along[..., :, None] * along[..., None, :])
    return fitted + np.nan_to_num(missing.clip(0))[..., None] * outer


SEEN = 10.0
"""Seconds from which a live world is estimated."""

EVERY = 1.0
"""Seconds after which it is estimated again."""

TOUCHED = 0.5
"""Seconds from which live contacts are found."""

LOST = 0.15
"""Seconds after which the motion of a person who was out of sight begins anew, since how they moved meanwhile is a
guess. Ours.
"""


class LiveStanding:
    """People as rigid skeletons while the frames come in.

    Skeletons are fitted without looking ahead, and from the frames so far; up and the floor are estimated once a second
    from the last ten seconds. What touches the floor is told, but not held there. The shape of a body is NaN in a
    person's first two seconds, while their bones are still changing.

    Arguments:
        fps: frames per second.
        up, keep_lifted: as of `stand`.
    """

    def __init__(self, fps: float, *, up: Up | None = None, keep_lifted: bool = False) -> None:
        check_view(fps, CAMERA_UP if up is None else up)
        self._fps = fps
        self._up = up
        self._keep_lifted = keep_lifted
        self._people: dict[int, _Person] = {}
        self._frames: deque[tuple[float, dict[int, SkeletonFit]]] = deque()
        self._world: WorldFrame | None = None
        self._next = math.inf
        """Time at which the world is estimated again, seconds."""

    def update(self, poses: Poses) -> Poses:
        """A frame of lifted poses as skeletons; see `stand`.

        Arguments:
            poses: of one frame, later than the one before.
        """
        time = float(poses.time[0])
        if poses.camera is not None:
            self._up = self._up or poses.camera.up
        people = poses.track_id.tolist()
        known = known_of(poses)
        present = (poses.state[0] != ABSENT).any(-1) & np.isfinite(known["xyz"][0]).all(-1).any(-1)
        fits = {}
        for row in np.flatnonzero(present).tolist():
            person = self._follow(people[row], time, poses)
            fits[people[row]] = person.update({name: values[0, row] for name, values in known.items()}, time)
        nothing = {name: np.full(values.shape[2:], np.nan) for name, values in known.items()}
        for track, person in self._people.items():
            if track not in fits and time - person.seen <= LOST:
                person.skeleton.update(**nothing)
        self._people = {track: one for track, one in self._people.items() if time - one.seen <= MAX_GAP}
        if not self._frames:
            self._next = time + EVERY
        self._frames.append((time, fits))
        while self._frames[0][0] < time - SEEN:
            self._frames.popleft()
        if time >= self._next:
            self._next = time + EVERY
            world, _ = _find_world(self._joined(SEEN), self._fps, self._up)
            self._world = world or self._world
        contacts = None
        if self._world is not None and people:
            recent = self._joined(TOUCHED, people)
            contacts = find_contacts(recent.xyz, recent.skeleton, self._fps, self._world).select(slice(-1, None))
        nobody = blank(body_tree(), 1, 1)
        fit = join_people([fits.get(track, nobody) for track in people])
        unknown = np.full(len(SHAPE), np.nan)
        shape = np.array([self._people[track].shape if track in fits else unknown for track in people])
        shape = shape.reshape(len(people), len(SHAPE))
        return to_record(poses, fit, self._world, contacts, shape=shape, keep_lifted=self._keep_lifted)

    def _follow(self, track: int, time: float, poses: Poses) -> "_Person":
        """A person who is seen now."""
        if track not in self._people:
            options: dict[str, Any] = {
                "camera": poses.camera,
                "lasting": lasting_of(poses),
                "up": self._up or CAMERA_UP,
            }
            self._people[track] = _Person(LiveSkeleton(body_tree().skeleton, self._fps, **options), time)
        person = self._people[track]
        if time - person.seen > LOST and track not in self._frames[-1][1]:
            person.skeleton.lose()
        return person

    def _joined(self, seconds: float, people: list[int] | None = None) -> SkeletonFit:
        """The last seconds of these people, by default of everybody in them."""
        frames = [fits for time, fits in self._frames if time >= self._frames[-1][0] - seconds]
        people = sorted({track for fits in frames for track in fits}) if people is None else people
        record = blank(body_tree(), len(frames), len(people))
        for row, fits in enumerate(frames):
            for column, track in enumerate(people):
                if track in fits:
                    for name in ("root", "xyz", "covariance", "root_covariance"):
                        getattr(record, name)[row, column] = getattr(fits[track], name)[0, 0]
        return record


@dataclass
class _Person:
    """Somebody who is followed: their skeleton, when they were last seen, and the shape of their body."""

    skeleton: LiveSkeleton
    seen: float
    shape: Float[np.ndarray, "parameter"] = field(default_factory=lambda: np.full(len(SHAPE), np.nan))

    def update(self, known: dict[str, Any], time: float) -> SkeletonFit:
        """The skeleton in the next frame. The shape is measured once, which takes as long as several frames."""
        self.seen = time
        fit = self.skeleton.update(**known)
        if self.skeleton.is_measured and np.isnan(self.shape).all():
            self.shape = _shape_of(fit.bone_offsets[0])
        return fit
