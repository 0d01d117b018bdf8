"""People with their arms spread, facing the camera."""

import numpy as np

from occlupose.skeletons import MPI15

STANDING = {
    "neck": (0, -0.5),
    "head_top": (0, -0.8),
    "pelvis": (0, 0),
    "left_shoulder": (0.18, -0.45),
    "left_elbow": (0.35, -0.25),
    "left_wrist": (0.5, -0.05),
    "left_hip": (0.1, 0.02),
    "left_knee": (0.12, 0.4),
    "left_ankle": (0.12, 0.8),
}
STANDING |= {joint.replace("left", "right"): (-x, y) for joint, (x, y) in STANDING.items() if "left" in joint}


def standing(*where):
    """People with their arms spread, flat across the view, pelvises at these places."""
    body = np.array([(*STANDING[joint], 0.0) for joint in MPI15.joints])
    return np.stack([body + place for place in where])
