"""People of formulas on a floor, as a tilted camera sees them: h36m17, metres, in the camera frame."""

import numpy as np

from occlupose.skeletons import H36M17
from walking_people import FPS, HEIGHT, stand, tilt, walk

STEP_HEIGHT = 0.17
LYING = 0.11
"""Height of the joints of somebody who lies."""


def seen(*people: np.ndarray, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """(time, person, joint, 3) of people given over the floor."""
    over = np.stack(people, 1)
    return np.stack([over[..., 0], HEIGHT - over[..., 1], over[..., 2]], -1) @ tilt(pitch, roll).T


def true_up(pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """In the camera frame."""
    return tilt(pitch, roll) @ np.array([0.0, -1, 0])


def angle_to(up: np.ndarray, other: np.ndarray) -> float:
    """Degrees."""
    return float(np.degrees(np.arccos(np.clip(up @ other, -1, 1))))


def cross(frames: int) -> np.ndarray:
    """(time, joint, 3) of somebody who walks to and fro, also towards the camera."""
    return walk(lambda time: np.stack([1.5 * np.sin(time), 5 + np.sin(0.7 * time)], -1), frames)


def climb(frames: int, flat: float) -> np.ndarray:
    """(time, joint, 3) of somebody who goes straight on, on the floor until `flat` seconds, then up a step with each
    step.
    """
    body = walk(lambda time: np.stack([0.5 * time - 1.5, np.full_like(time, 5.0)], -1), frames)
    ankles = H36M17.index("left_ankle", "right_ankle")
    places = body[:, ankles, 0] + 1.5  # of the feet along the stairs, 0.25 m a step
    raised = STEP_HEIGHT * np.maximum(0, np.floor((places - 0.5 * flat) / 0.25 + 0.5))
    body[..., 1] += raised.min(1)[:, None]
    body[:, ankles, 1] += raised - raised.min(1)[:, None]
    return body


def jump(frames: int, start: int) -> np.ndarray:
    """(time, joint, 3) of somebody who stands, and is in the air for half a second from a frame on."""
    body = stand(0.0, 4.0, frames)
    time = np.clip(np.arange(frames) - start, 0, FPS / 2) / FPS
    body[..., 1] += (4.9 * time * (0.5 - time))[:, None]
    return body


def lie(frames: int) -> np.ndarray:
    """(time, joint, 3) of somebody who lies on their back, with their head to the right."""
    body = stand(0.0, 4.0, 1)[0] - (0, 0.9, 4.0)
    flat = np.stack([body[:, 1], body[:, 2] + LYING, 4.0 + body[:, 0]], -1)
    return np.repeat(flat[None], frames, 0)
