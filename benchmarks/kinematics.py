"""Accuracy and speed of rigid skeletons fitted to the joints of motion capture.

    python benchmarks/kinematics.py --mocap MOCAP

Clips of subjects that no weights were trained on, at 60 frames a second; no constant of the fit was chosen on these
clips. The fit gets the 26 captured joints with head, hands and feet (body26), or the 17 of h36m17, exact or with
independent noise of 3 cm along each axis, and their covariance. `error_before_mm` and `error_mm` are the mean
distances of given and fitted joints from the captured ones, `worst_joint_mm` that of the worst joint; accelerations
are the mean of all joints, m/s^2. Rotations are compared with the capture's own after one constant rotation of each
segment: `swing_deg` is the mean angle between the directions of a segment, `worst_swing_deg` that of the worst
segment, `twist_deg` the mean angle about it, of upper arm and thigh where elbow or knee is bent by more than 30
degrees. `knee_deg` is the error of the angle between thigh and shank where the captured leg is straight to within 15
degrees. `lengths_mm` is the largest change of a bone over time. `inside` is the share of fitted coordinates within two
stated standard deviations of the captured ones. `live_error_mm` and `live_ms` are error after the first two seconds
and time of the fit while frames come in. Times are of one thread. Writes results/kinematics.csv and
results/kinematics_segments.csv, with the swing of each segment, and prints the first.
"""

from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import torch
import tyro
from jaxtyping import Float
from results import write
from rich.console import Console
from rich.table import Table
from scipy.spatial.transform import Rotation

from occlupose.datasets.formats.cmu import forward_kinematics, read_amc, read_asf, read_clip
from occlupose.kinematics import LiveSkeleton, SkeletonFit, body_tree, fit_skeleton
from occlupose.skeletons import BODY26, H36M17, Skeleton, convert

RESULTS = Path(__file__).parent / "results"
CLIPS = ("02_04", "02_07", "02_10", "08_03", "08_09", "32_02")
"""Constants of the fit were chosen on other clips of these subjects: 02_01, 02_03, 02_05, 08_01 and 32_01."""

FRAMES = 300
STEP = 2
FPS = 60.0
SKELETONS = (BODY26, H36M17)
NOISE = {"exact": 0.0, "3 cm": 0.03}
EXACT = 0.002
"""Standard deviation that is stated for exact joints, metres."""

UNIT = (1, 1, 1, 0, 0, 0)
BENT = 30.0
STRAIGHT = 15.0
SEGMENTS = {
    "pelvis": "root",
    "abdomen": "lowerback",
    "chest": "thorax",
    "neck": "lowerneck",
    "head": "head",
    **{
        f"{side}_{ours}": f"{side[0]}{theirs}"
        for side in ("left", "right")
        for ours, theirs in (
            *(("clavicle", "clavicle"), ("upper_arm", "humerus"), ("forearm", "radius")),
            *(("thigh", "femur"), ("shank", "tibia"), ("foot", "foot")),
        )
    },
}
"""The bone of the capture that each segment follows."""

TWISTED = {"upper_arm": "forearm", "thigh": "shank"}
"""Segments whose twist shows where the next one is bent."""

COLUMNS = (
    *("clip", "joints", "noise", "error_before_mm", "error_mm", "worst_joint_mm"),
    *("acceleration_before", "acceleration", "captured_acceleration", "swing_deg", "worst_swing_deg", "twist_deg"),
    *("knee_deg", "lengths_mm", "inside", "live_error_mm", "ms_per_frame", "live_ms"),
)


def main(
    mocap: Path,
    clips: tuple[str, ...] = CLIPS,
    frames: int = FRAMES,
    results: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = RESULTS,
) -> None:
    """Fit rigid skeletons to motion capture and measure their errors.

    Args:
        mocap: folder with the CMU motion capture.
        clips: names of motions.
        frames: of each motion.
        results: folder of the table.
    """
    torch.set_num_threads(1)
    rows = []
    swings: dict[tuple[str, str], list[dict[str, float]]] = {}
    fit_skeleton(np.full((3, 1, len(BODY26), 3), 0.0), BODY26, FPS)  # loads the body model
    for name in clips:
        amc = mocap / "cmu" / name.split("_")[0] / f"{name}.amc"
        body26 = read_clip(amc).body26[::STEP][:frames].astype(float)
        turns = captured_rotations(amc, frames)
        for skeleton, noise in product(SKELETONS, NOISE):
            captured = convert(body26, BODY26, skeleton)
            given = captured + NOISE[noise] * np.random.default_rng(0).standard_normal(captured.shape)
            figures, swing = measure(given, captured, skeleton, turns, max(NOISE[noise], EXACT))
            rows.append((name, skeleton.name, noise, *figures))
            swings.setdefault((skeleton.name, noise), []).append(swing)
    kinds = dict.fromkeys(row[1:3] for row in rows)
    means = [("mean", *kind, *mean([row[3:] for row in rows if row[1:3] == kind])) for kind in kinds]
    write(results / "kinematics.csv", COLUMNS, [*rows, *means])
    segments = [(*kind, *mean([tuple(swing.values()) for swing in each])) for kind, each in swings.items()]
    write(results / "kinematics_segments.csv", ("joints", "noise", *SEGMENTS), segments)
    table = Table(*COLUMNS)
    for row in (*rows, *means):
        table.add_row(*map(str, row))
    Console(width=200).print(table)


def mean(rows: list[tuple[float, ...]]) -> list[float]:
    """Of each column, without NaN."""
    return np.nanmean(rows, 0).round(2).tolist()


def captured_rotations(amc: Path, frames: int) -> dict[str, Rotation]:
    """Rotation of each of SEGMENTS in the capture, in its axes."""
    _, turns = forward_kinematics(read_asf(amc.with_name(f"{amc.stem.split('_')[0]}.asf")), read_amc(amc))
    return {ours: turns[theirs][: frames * STEP : STEP] for ours, theirs in SEGMENTS.items()}


def measure(
    given: Float[np.ndarray, "time joint 3"],
    captured: Float[np.ndarray, "time joint 3"],
    skeleton: Skeleton,
    turns: dict[str, Rotation],
    sigma: float,
) -> tuple[list[float], dict[str, float]]:
    """The columns of a clip, after the first three, and the swing of each segment."""
    covariance = np.broadcast_to(np.array(UNIT) * sigma**2, (len(given), 1, len(skeleton), 6))
    begin = perf_counter()
    fit = fit_skeleton(given[:, None], skeleton, FPS, covariance=covariance, up=(0, 1, 0))
    milliseconds = 1000 * (perf_counter() - begin) / len(given)
    live_error, live_milliseconds = follow(given, captured, skeleton, covariance)
    fitted = fit.joints(skeleton)[:, 0].astype(float)
    error = 1000 * np.linalg.norm(fitted - captured, axis=-1)
    before = 1000 * np.linalg.norm(given - captured, axis=-1)
    swings, twists = rotation_errors(fit, turns)
    figures = [
        *(before.mean(), error.mean(), error.mean(0).max()),
        *(acceleration(joints) for joints in (given, fitted, captured)),
        *(np.mean(list(swings.values())), max(swings.values()), np.mean(list(twists.values()))),
        *(knee_error(fitted, captured, skeleton), 1000 * length_change(fit)),
        *(coverage(fit, captured, skeleton), live_error, milliseconds, live_milliseconds),
    ]
    return [round(float(figure), 2) for figure in figures], swings


def follow(
    given: Float[np.ndarray, "time joint 3"],
    captured: Float[np.ndarray, "time joint 3"],
    skeleton: Skeleton,
    covariance: Float[np.ndarray, "time 1 joint 6"],
) -> tuple[float, float]:
    """Mean error (mm) after the first two seconds and median time of a frame (ms) of the fit while frames come in."""
    live = LiveSkeleton(skeleton, FPS, up=(0, 1, 0))
    errors = []
    times = []
    for frame, joints in enumerate(given):
        begin = perf_counter()
        fit = live.update(joints, covariance=covariance[frame, 0])
        times.append(1000 * (perf_counter() - begin))
        errors.append(1000 * np.linalg.norm(fit.joints(skeleton)[0, 0] - captured[frame], axis=-1).mean())
    settled = errors[round(2 * FPS) :] or [np.nan]
    return float(np.mean(settled)), float(np.median(times))


def acceleration(joints: Float[np.ndarray, "time joint 3"]) -> float:
    """Mean over joints and frames, m/s^2."""
    return float(np.linalg.norm(np.diff(joints, n=2, axis=0), axis=-1).mean() * FPS**2)


def length_change(fit: SkeletonFit) -> float:
    """Largest difference of a bone's length over time, metres."""
    tree = body_tree()
    vectors = fit.xyz[:, 0, 1:] - fit.xyz[:, 0, list(tree.start)]
    return float(np.ptp(np.linalg.norm(vectors.astype(float), axis=-1), axis=0).max())


def coverage(fit: SkeletonFit, captured: Float[np.ndarray, "time joint 3"], skeleton: Skeleton) -> float:
    """Share of coordinates relative to the pelvis within two standard deviations of the captured ones."""
    fitted = fit.joints(skeleton)[:, 0]
    sigma = np.sqrt(convert(fit.covariance[..., :3], fit.skeleton, skeleton)[:, 0])
    root = skeleton.index("pelvis")
    error = np.abs((fitted - fitted[:, root]) - (captured - captured[:, root]))
    others = [joint for joint in range(len(skeleton)) if joint not in root]
    return float((error[:, others] <= 2 * sigma[:, others]).mean())


def bend(joints: Float[np.ndarray, "time joint 3"], skeleton: Skeleton, *names: str) -> Float[np.ndarray, "time"]:
    """Degrees between the limbs from the first to the second and from the second to the third joint."""
    start, middle, end = joints[:, skeleton.index(*names)].swapaxes(0, 1)
    return angle_between(middle - start, end - middle)


def angle_between(one: Float[np.ndarray, "time 3"], other: Float[np.ndarray, "time 3"]) -> Float[np.ndarray, "time"]:
    """Degrees."""
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other), axis=-1), (one * other).sum(-1)))


def knee_error(
    fitted: Float[np.ndarray, "time joint 3"], captured: Float[np.ndarray, "time joint 3"], skeleton: Skeleton
) -> float:
    """Mean error of straight knees, degrees; NaN if no knee is ever straight."""
    errors = []
    for side in ("left", "right"):
        names = [f"{side}_{joint}" for joint in ("hip", "knee", "ankle")]
        truth = bend(captured, skeleton, *names)
        errors.append(np.abs(bend(fitted, skeleton, *names) - truth)[truth < STRAIGHT])
    every = np.concatenate(errors)
    return float(every.mean()) if len(every) else float("nan")


def rotation_errors(fit: SkeletonFit, turns: dict[str, Rotation]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean error of each segment's swing and, where the next segment is bent, of its twist, degrees."""
    tree = body_tree()
    orientation = fit.by_segment(fit.orientation())
    rotation = {segment: Rotation.from_matrix(matrices[:, 0]) for segment, matrices in orientation.items()}
    swings = {}
    twists = {}
    for segment, captured in turns.items():
        fitted = rotation[segment]
        constant = (fitted.inv() * captured).mean()
        error = (fitted * constant) * captured.inv()
        along = fitted.apply(tree.lengthwise(segment))
        swings[segment] = float(angle_between(error.apply(along), along).mean())
        side, _, name = segment.partition("_")
        if name in TWISTED:
            vector = error.as_rotvec(degrees=True)
            about = np.abs((vector * along).sum(-1))
            next_one = rotation[f"{side}_{TWISTED[name]}"]
            bent = angle_between(along, next_one.apply(tree.lengthwise(f"{side}_{TWISTED[name]}"))) > BENT
            if bent.any():
                twists[segment] = float(about[bent].mean())
    return swings, twists


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
