"""Flexion of knees and elbows that `measure_angles` finds in the joints of motion capture, against the capture's own.

    python benchmarks/joint_angles.py --mocap MOCAP

The clips of `kinematics.py`, at 60 frames a second. Given are the captured joints in 3D, exact or with independent
noise of 3 cm along each axis, and nothing of how they were disturbed: an uncertainty of 1 cm is assumed. `coco17, seen`
are keypoints with the noise of `movenet` from a level camera 5 m away, lifted and fitted as `occlupose run` does; face
and other joints that were not captured are those of a skeleton that is fitted to the captured ones. The captured
flexion is the angle of the rotation between thigh and shank, or upper arm and forearm, which are hinges in the capture.
Errors are means over frames and both sides, degrees: absolute, and signed (measured minus captured); `worst_clip_deg`
is the absolute one of the worst clip. Writes results/joint_angles.csv.
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from floor import lift_seen
from jaxtyping import Float
from results import write

from kinematics import CLIPS, FPS, FRAMES, NOISE, RESULTS, SKELETONS, STEP
from occlupose.cameras import Camera
from occlupose.datasets.formats.cmu import forward_kinematics, read_amc, read_asf, read_clip
from occlupose.kinematics import fit_skeleton, measure_angles
from occlupose.poses import VISIBLE, Poses
from occlupose.skeletons import BODY22, BODY26, Skeleton, convert
from occlupose.synth.noise import NoiseModel
from occlupose.world import stand

HINGES = {"knee": ("femur", "tibia"), "elbow": ("humerus", "radius")}
BEFORE = np.array([0.0, 0, 5])
"""Where the origin of the capture is before the camera, metres."""

Given = Callable[[Float[np.ndarray, "time 26 3"]], Poses]
"""Makes the poses whose angles are measured, of captured joints."""


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
    given: dict[tuple[str, str], Given] = {
        (skeleton.name, name): partial(as_captured, skeleton=skeleton, noise=noise)
        for skeleton, (name, noise) in product(SKELETONS, NOISE.items())
    }
    given["coco17", "seen"] = partial(as_seen, noise=NoiseModel.load())
    rows = []
    for (names, make), joint in product(given.items(), HINGES):
        errors = []
        for name in clips:
            amc = mocap / "cmu" / name.split("_")[0] / f"{name}.amc"
            errors.append(flexion_errors(amc, make, slice(0, frames * STEP, STEP), joint).ravel())
        every = np.concatenate(errors)
        worst = max(np.abs(clip).mean() for clip in errors)
        rows.append((*names, joint, *np.round((np.abs(every).mean(), every.mean(), worst), 2)))
        print(*rows[-1])
    write(results / "joint_angles.csv", ("joints", "noise", "joint", "error_deg", "bias_deg", "worst_clip_deg"), rows)


def flexion_errors(amc: Path, make: Given, frames: slice, joint: str) -> Float[np.ndarray, "side time"]:
    """Measured minus captured flexion of left and right, degrees."""
    angles = measure_angles(make(read_clip(amc).body26[frames].astype(float) * (1, -1, -1) + BEFORE))
    _, turns = forward_kinematics(read_asf(amc.with_name(f"{amc.stem.split('_')[0]}.asf")), read_amc(amc))
    upper, lower = HINGES[joint]
    errors = []
    for side in ("left", "right"):
        hinge = turns[f"{side[0]}{upper}"].inv() * turns[f"{side[0]}{lower}"]
        measured = angles.value[:, 0, angles.names.index(f"{side}_{joint}_flexion")]
        errors.append(np.degrees(measured - hinge.magnitude()[frames]))
    return np.stack(errors)


def as_captured(body26: Float[np.ndarray, "time 26 3"], skeleton: Skeleton, noise: float = 0.0) -> Poses:
    """The joints of a skeleton in 3D, with noise in metres."""
    joints = convert(body26, BODY26, skeleton)
    return to_poses(joints + noise * np.random.default_rng(0).standard_normal(joints.shape), skeleton)


def as_seen(body26: Float[np.ndarray, "time 26 3"], noise: NoiseModel) -> Poses:
    """A person as `occlupose run` gives them of keypoints."""
    joints = fit_skeleton(body26[:, None], BODY26, FPS).joints(BODY22)
    return stand(lift_seen(joints, Camera.from_fov(1920, 1080), FPS, noise, seed=0))[0]


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
