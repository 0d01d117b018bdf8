"""MOT files of OpenSim: the coordinates of one person for the full-body model of Rajagopal et al. (2016).

The model is Rajagopal2015.osim, also published as Rajagopal2016.osim (IEEE Transactions on Biomedical Engineering,
doi 10.1109/TBME.2016.2586891; simtk.org/projects/full_body). `COORDINATES` has its names and ranges. Its segments have
x forward, y up, z to the right, and hip, trunk and shoulder turn about z, x and y of what was turned before, as in
`kinematics.isb`; wrist and toes are hinges, and of the foot's rotation the parts about the axes of ankle and subtalar
joint are taken. Angles are in degrees, pelvis_tx, pelvis_ty and pelvis_tz in metres.

Axes are those of our TRC files: x right, y up, z towards the camera. Where the record has a world, y = 0 is the floor
and the origin lies on it, straight below the camera; else up is that of the image, and the camera the origin. Frames in
which the person is absent are left out. Angles may leave the model's ranges.
"""

import csv
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float64
from scipy.spatial.transform import Rotation

from occlupose.bodies.body import SIDES
from occlupose.formats.tables import to_cells
from occlupose.kinematics import SkeletonFit, body_tree
from occlupose.kinematics.angles import to_angles
from occlupose.kinematics.isb import AXES, JOINTS, joint_rotation, turns
from occlupose.poses import ABSENT, Poses

__all__ = ["COORDINATES", "write"]

Segments = dict[str, Float64[np.ndarray, "row person *any"]]
ISB_JOINTS = ("hip", "knee", "shoulder", "elbow")
"""Those whose coordinates are angles of `kinematics.isb`."""

SIDE_COORDINATES = {
    "hip_flexion": (-30, 120),
    "hip_adduction": (-50, 30),
    "hip_rotation": (-40, 40),
    "knee_angle": (0, 120),
    "ankle_angle": (-40, 30),
    "subtalar_angle": (-20, 20),
    "mtp_angle": (-30, 30),
    "arm_flex": (-90, 90),
    "arm_add": (-120, 90),
    "arm_rot": (-90, 90),
    "elbow_flex": (0, 150),
    "pro_sup": (0, 90),
    "wrist_flex": (-70, 70),
    "wrist_dev": (-25, 35),
}
"""Coordinates of either side, and their ranges as in `COORDINATES`."""

COORDINATES = {
    "pelvis_tilt": (-90, 90),
    "pelvis_list": (-90, 90),
    "pelvis_rotation": (-180, 180),
    "pelvis_tx": (-5, 5),
    "pelvis_ty": (-1, 2),
    "pelvis_tz": (-3, 3),
    "lumbar_extension": (-90, 90),
    "lumbar_bending": (-90, 90),
    "lumbar_rotation": (-90, 90),
    **{f"{name}_{side}": limits for side in "rl" for name, limits in SIDE_COORDINATES.items()},
}
"""The model's coordinates and their ranges, degrees and metres, as in Rajagopal2015.osim; beta, of the patella, follows
the knee."""

HIPS = (-0.0563, -0.0785, 0.0)
"""The middle of the model's hips in its pelvis, metres."""

FOOT = np.array([[-0.105, 0.787], [-0.174, 0.605], [0.979, -0.121]])
"""The axes of ankle and subtalar joint of the model's right foot, as columns."""

_HEADER = """Coordinates
version=1
nRows={rows}
nColumns={columns}
inDegrees=yes

Units are S.I. units (second, meters, Newtons, ...)
If the header above contains a line with 'inDegrees', this indicates whether rotational values are in degrees (yes) or \
radians (no).

endheader
"""


def write(poses: Poses, path: Path, fit: SkeletonFit) -> None:
    """Writes one person. Raises OSError.

    Arguments:
        fit: of this person, with y up.
    """
    rows = fit.known[:, 0] & (poses.state[:, 0] != ABSENT).any(-1)
    values = _coordinates(fit, rows)
    numbers = np.stack([values[name] for name in COORDINATES], -1).astype(np.float32)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(_HEADER.format(rows=len(numbers), columns=len(COORDINATES) + 1))
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["time", *COORDINATES])
        table.writerows([time, *row] for time, row in zip(poses.time[rows].tolist(), to_cells(numbers), strict=True))


def _coordinates(fit: SkeletonFit, rows: Bool[np.ndarray, "time"]) -> dict[str, Float64[np.ndarray, "row"]]:
    """Each coordinate over time, degrees without jumps by 360, and metres."""
    orientation = fit.by_segment(fit.orientation()[rows])
    pelvis = orientation["pelvis"] @ AXES
    angles = _named(("pelvis_tilt", "pelvis_list", "pelvis_rotation"), turns(pelvis, "ZXY"))
    bent = turns(joint_rotation("chest", orientation), "ZXY")
    angles |= _named(("lumbar_extension", "lumbar_bending", "lumbar_rotation"), bent)
    own = fit.by_segment(fit.relative()[rows])
    for side in SIDES:
        limbs = _limbs(side, orientation) | _ends(side, own)
        angles |= {f"{name}_{side[0]}": values for name, values in limbs.items()}
    degrees = {name: np.degrees(np.unwrap(values[:, 0])) for name, values in angles.items()}
    places = fit.root[rows] - pelvis @ np.array(HIPS)
    return degrees | dict(zip(("pelvis_tx", "pelvis_ty", "pelvis_tz"), places[:, 0].T, strict=True))


def _limbs(side: str, orientation: Segments) -> Segments:
    """The coordinates of one side but wrist and toes, radians."""
    turned = {name: turns(joint_rotation(f"{side}_{JOINTS[name]}", orientation), "ZXY") for name in ISB_JOINTS}
    foot = joint_rotation(f"{side}_foot", orientation)
    rotation = Rotation.from_matrix(foot[:, 0]).as_rotvec()[:, None] @ np.linalg.pinv(FOOT).T
    return {
        **_named(("hip_flexion", "hip_adduction", "hip_rotation"), turned["hip"]),
        "knee_angle": -turned["knee"][..., 0],
        **_named(("ankle_angle", "subtalar_angle"), rotation),
        **_named(("arm_flex", "arm_add", "arm_rot"), turned["shoulder"]),
        "elbow_flex": turned["elbow"][..., 0],
        "pro_sup": turned["elbow"][..., 2],
    }


def _ends(side: str, relative: Segments) -> Segments:
    """The coordinates of wrist and toes, radians; see `kinematics.body_tree`."""
    hand = _own_angles(f"{side}_hand", relative)
    toes = _own_angles(f"{side}_toes", relative)
    return {"wrist_flex": hand[..., 0], "wrist_dev": hand[..., 1], "mtp_angle": -toes[..., 0]}


def _own_angles(segment: str, relative: Segments) -> Float64[np.ndarray, "row person 3"]:
    axes = body_tree().axes[body_tree().segments.index(segment) - 1]
    return to_angles(torch.from_numpy(relative[segment]), axes).numpy()


def _named(names: tuple[str, ...], values: Float64[np.ndarray, "row person n"]) -> Segments:
    return dict(zip(names, np.moveaxis(values, -1, 0), strict=True))
