"""People made of formulas, walking on a known floor before a known camera."""

from collections.abc import Callable

import numpy as np

from mocap_sequences import STANDING
from occlupose.cameras import Camera
from occlupose.poses import Poses
from occlupose.skeletons import H36M17

FPS = 10.0
HEIGHT = 1.6  # of the camera above the floor, m
STEP = 0.5  # seconds


def _standing() -> np.ndarray:
    sides = [(-1 if joint.startswith("left_") else 1) for joint in H36M17.joints]
    body = np.array([STANDING[joint.removeprefix("left_").removeprefix("right_")] for joint in H36M17.joints], float)
    return body * np.array([[side, 1, 1] for side in sides])


def walk(where: Callable[[np.ndarray], np.ndarray], frames: int) -> np.ndarray:
    """(time, joint, 3) right, up, forward over the floor, following a path: seconds -> (time, 2) right, forward. Feet
    take turns.
    """
    time = np.arange(frames) / FPS
    body = np.repeat(_standing()[None], frames, 0)
    body[..., [0, 2]] += where(time)[:, None]
    for side, shift in (("left", 0.0), ("right", 1.0)):
        ankle = H36M17.index(f"{side}_ankle")[0]
        step, phase = np.divmod(time / STEP + shift, 2)  # stands while the phase is below 1, then swings
        stood = (2 * (step + 0) - shift + 0.5) * STEP
        next_stand = (2 * (step + 1) - shift + 0.5) * STEP
        share = np.clip(phase - 1, 0, 1)
        body[:, ankle, [0, 2]] += (1 - share)[:, None] * where(stood) + share[:, None] * where(next_stand) - where(time)
        body[:, ankle, 1] += 0.12 * np.sin(np.pi * share)
    return body


def stand(right: float, forward: float, frames: int = 30) -> np.ndarray:
    """(time, joint, 3) of a person who does not move at all."""
    return np.repeat((_standing() + np.array([right, 0, forward]))[None], frames, 0)


def tilt(pitch: float, roll: float) -> np.ndarray:
    """(3, 3): right, down, forward of the level camera to those of one that looks down by the pitch and is rolled,
    degrees.
    """
    p, r = np.radians([pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_x


def make_poses(*people: np.ndarray, pitch: float = 0, roll: float = 0, width: int = 640, height: int = 360) -> Poses:
    """The poses of people given over the floor, as a camera 1.6 m above the floor's origin sees them; all visible."""
    over = np.stack(people, 1)
    xyz = np.stack([over[..., 0], HEIGHT - over[..., 1], over[..., 2]], -1) @ tilt(pitch, roll).T
    camera = Camera.from_fov(width, height)
    frames, persons, joints = xyz.shape[:3]
    return Poses(
        xy=camera.project(xyz),
        score=np.ones((frames, persons, joints)),
        state=np.full((frames, persons, joints), 2),
        xyz=xyz,
        track_id=np.arange(persons),
        time=np.arange(frames) / FPS,
        skeleton=H36M17,
        fps=FPS,
        width=width,
        height=height,
        camera=camera,
    )


def circle() -> np.ndarray:
    """(time, joint, 3) of a person who walks for ten seconds around a circle of 1.5 m radius, 5 m ahead."""
    return walk(lambda time: np.stack([1.5 * np.cos(0.7 * time), 5 + 1.5 * np.sin(0.7 * time)], -1), 100)


def behind_the_back(frames=3):
    """A person 4 m ahead, seen from behind, with the left wrist before the belly."""
    body = stand(0, 4, frames)
    body[:, H36M17.joints.index("left_wrist")] = (-0.05, 1.15, 4.25)
    return make_poses(body)
