"""Clips of somebody of human size who moves smoothly."""

import numpy as np

from occlupose.datasets.cmu import Clip
from occlupose.skeletons import BODY22

STANDING = {
    "pelvis": (0, 0.93, 0), "hip": (0.12, 0.92, 0), "knee": (0.12, 0.5, 0), "ankle": (0.12, 0.08, 0), "spine": (0, 1.15, 0),
    "thorax": (0, 1.42, 0), "neck_nose": (0, 1.52, 0.03), "head_top": (0, 1.7, 0), "shoulder": (0.18, 1.4, 0), "elbow": (0.25, 1.12, 0),
    "wrist": (0.25, 0.88, 0.05), "nose": (0, 1.55, 0.12), "eye": (0.03, 1.58, 0.09), "ear": (0.075, 1.57, 0.01),
}  # fmt: skip
"""Metres left, up and forward of somebody who faces forward."""


def standing():
    """(22, 3) BODY22 of somebody who stands, y up, left at +x."""
    places = np.array([STANDING[name.removeprefix("left_").removeprefix("right_")] for name in BODY22.joints], float)
    return places * [[-1 if name.startswith("right_") else 1, 1, 1] for name in BODY22.joints]


def moving(frames=300, *, seed=0, fps=120.0, name="07_01", subject="07"):
    """A clip of somebody who sways and waves."""
    random, time = np.random.default_rng(seed), np.arange(frames)[:, None, None] / fps
    return Clip(name, subject, fps, (standing() + 0.06 * np.sin(random.uniform(1, 4, (22, 3)) * time)).astype(np.float32))
