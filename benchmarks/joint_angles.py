"""Flexion of knees and elbows that `measure_angles` finds in the joints of motion capture, against the capture's own.

    python benchmarks/joint_angles.py --mocap MOCAP

The clips of `kinematics.py`, at 60 frames a second. Given are the captured joints in 3D, exact or with independent
noise of 3 cm along each axis, and nothing of how they were disturbed: an uncertainty of 1 cm is assumed. The captured
flexion is the angle of the rotation between thigh and shank, or upper arm and forearm, which are hinges in the capture.
Errors are means over frames and both sides, degrees: absolute, and signed (measured minus captured); `worst_clip_deg`
is the absolute one of the worst clip. Writes results/joint_angles.csv.
"""

from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from jaxtyping import Float
from results import write

from kinematics import CLIPS, FPS, FRAMES, NOISE, RESULTS, SKELETONS, STEP
from occlupose.cameras import Camera
from occlupose.datasets.formats.cmu import forward_kinematics, read_amc, read_asf, read_clip
from occlupose.kinematics import measure_angles
from occlupose.poses import VISIBLE, Poses
from occlupose.skeletons import BODY26, Skeleton, convert

HINGES = {"knee": ("femur", "tibia"), "elbow": ("humerus", "radius")}
BEFORE = np.array([0.0, 0, 5])
"""Where the origin of the capture is before the camera, metres."""


def main(
    mocap: Path,
    clips: tuple[str, ...] = CLIPS,
    frames: int = FRAMES,
    results: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = RESULTS,
) -> None:
    """Measure joint angles of motion capture, and their errors.

    Args:
        mocap: folder with the CMU motion capture.
        clips: names of motions.
        frames: of each motion.
        results: folder of the table.
    """
    torch.set_num_threads(1)
    rows = []
    for skeleton, noise, joint in product(SKELETONS, NOISE, HINGES):
        errors = []
        for name in clips:
            amc = mocap / "cmu" / name.split("_")[0] / f"{name}.amc"
            errors.append(flexion_errors(amc, skeleton, slice(0, frames * STEP, STEP), joint, NOISE[noise]).ravel())
        every = np.concatenate(errors)
        worst = max(np.abs(clip).mean() for clip in errors)
        rows.append((skeleton.name, noise, joint, *np.round((np.abs(every).mean(), every.mean(), worst), 2)))
        print(*rows[-1])
    write(results / "joint_angles.csv", ("joints", "noise", "joint", "error_deg", "bias_deg", "worst_clip_deg"), rows)


def flexion_errors(
    amc: Path, skeleton: Skeleton, frames: slice, joint: str, noise: float = 0.0
) -> Float[np.ndarray, "side time"]:
    """Measured minus captured flexion of left and right, degrees."""
    body26 = read_clip(amc).body26[frames].astype(float) * (1, -1, -1) + BEFORE
    joints = convert(body26, BODY26, skeleton)
    given = joints + noise * np.random.default_rng(0).standard_normal(joints.shape)
    angles = measure_angles(to_poses(given, skeleton))
    _, turns = forward_kinematics(read_asf(amc.with_name(f"{amc.stem.split('_')[0]}.asf")), read_amc(amc))
    upper, lower = HINGES[joint]
    errors = []
    for side in ("left", "right"):
        hinge = turns[f"{side[0]}{upper}"].inv() * turns[f"{side[0]}{lower}"]
        measured = angles.value[:, 0, angles.names.index(f"{side}_{joint}_flexion")]
        errors.append(np.degrees(measured - hinge.magnitude()[frames]))
    return np.stack(errors)


def to_poses(joints: Float[np.ndarray, "time joint 3"], skeleton: Skeleton) -> Poses:
    """One person in 3D, without a camera."""
    known = np.isfinite(joints).all(-1)[:, None]
    camera = Camera.from_fov(1000, 1000)
    return Poses(
        xy=camera.project(joints)[:, None],
        score=known,
        state=VISIBLE * known,
        xyz=joints[:, None],
        track_id=np.zeros(1, int),
        time=np.arange(len(joints)) / FPS,
        skeleton=skeleton,
        fps=FPS,
        width=camera.width,
        height=camera.height,
    )


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
