"""Lifting under occlusion: errors on whole validation subjects, against interpolation.

    python benchmarks/lifting.py --mocap FOLDER

Validation subjects 02, 08 and 32 of the CMU motion capture, each clip at 30 frames/s from 4 fixed random cameras. The
2D is in COCO-17 joints. It is exact, or, in conditions that begin with `detector noise`, has the measured errors of the
default front end: its noise, and guesses for occluded joints, three of four with a confidence above the threshold.
`before` are, if given, the networks that ours were trained from. The baselines use the same network trained as long
without occlusion, and fill missing joints with the last observation (`hold`), by interpolation (`interpolate`), or with
the ground truth (`ground truth`). Millimetres, root-relative, 17 joints. Writes results/lifting.csv, where every view
of every clip has the same weight (as actions have in Human3.6M's protocols), and results/lifting_frames.csv, where
every frame has: six long clips of subject 02 are then three quarters of the total. Prints both with their targets.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from results import write
from rich.console import Console
from rich.table import Table

from occlupose.datasets.formats.cmu import VALIDATION_SUBJECTS, load_clips, split_clips
from occlupose.datasets.motion import MotionClip
from occlupose.methods.lifter.augmentation import BodyAugmentation, to_random_camera
from occlupose.methods.oanet.gap_filled_inputs import TORSO, interpolate_gaps
from occlupose.methods.oanet.inputs import FPS
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.predict import lift_rays
from occlupose.methods.oanet.weights import card, load, shipped
from occlupose.metrics.pose3d import joint_errors, procrustes
from occlupose.occlusion.cylinders import self_occluded
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17, H36M17, Skeleton
from occlupose.synth.noise import MIN_CONFIDENCE, SHIPPED, NoiseModel

VIEWS = BodyAugmentation(
    still_probability=0.0, tumble_probability=0.0, roll=0.0, elevation=(-10.0, 30.0), off_axis=15.0, distance=(3.0, 7.0)
)
ARM = ("shoulder", "elbow", "wrist")
LEG = ("hip", "knee", "ankle")
PERIOD = 90
"""Frames between the starts of two long gaps."""

Rays = Float[np.ndarray, "time 22 2"]
Mask = Bool[np.ndarray, "time 22"]
Errors = dict[tuple[str, str, str], list[np.ndarray]]
Visible = Callable[["View", np.random.Generator], Mask]
Observe = Callable[["View", np.random.Generator], "Observation"]


@dataclass(frozen=True)
class View:
    """One clip from one camera."""

    xyz: Float[np.ndarray, "time 22 3"]

    @property
    def rays(self) -> Rays:
        return self.xyz[..., :2] / self.xyz[..., 2:]

    @property
    def truth(self) -> Float[np.ndarray, "time 17 3"]:
        xyz = self.xyz[:, BODY22_TO_H36M17]
        return xyz - xyz[:, :1]


@dataclass(frozen=True)
class Observation:
    """The 2D joints of a view."""

    rays: Rays
    observed: Mask
    """Joints that are taken as reliable."""
    missing: Mask
    """Joints that are occluded, reliable or not."""


def views(clips: list[MotionClip], count: int = 4) -> Iterator[View]:
    """Each clip at 30 frames/s from `count` cameras, which depend on its name only."""
    for clip in clips:
        joints = torch.from_numpy(clip.joints[:: round(clip.fps / FPS)])
        generator = torch.Generator().manual_seed(zlib.crc32(clip.name.encode()))
        for xyz in to_random_camera(joints.expand(count, *joints.shape), VIEWS, generator):
            yield View(xyz.numpy())


def _random(probability: float) -> Visible:
    return lambda view, random: random.random(view.xyz.shape[:2]) >= probability


def _gaps(length: int, names: Callable[[np.random.Generator], tuple[str, ...]]) -> Visible:
    """Every three seconds, some joints missing for `length` frames."""

    def visible(view: View, random: np.random.Generator) -> Mask:
        mask = np.ones(view.xyz.shape[:2], bool)
        for start in range(int(random.integers(10, 30)), len(mask) - 5, PERIOD):
            mask[start : start + length, [BODY22.joints.index(name) for name in names(random)]] = False
        return mask

    return visible


def _arm(*parts: str) -> Callable[[np.random.Generator], tuple[str, ...]]:
    def names(random: np.random.Generator) -> tuple[str, ...]:
        side = ("left", "right")[int(random.integers(2))]
        return tuple(f"{side}_{part}" for part in parts)

    return names


def _both(*parts: str) -> Callable[[np.random.Generator], tuple[str, ...]]:
    return lambda random: tuple(f"{side}_{part}" for side in ("left", "right") for part in parts)


def _exact(visible: Visible) -> Observe:
    """True 2D joints; occluded ones are missing."""

    def observe(view: View, random: np.random.Generator) -> Observation:
        mask = visible(view, random)
        return Observation(view.rays, mask, ~mask)

    return observe


def _detected(visible: Visible, noise: NoiseModel) -> Observe:
    """2D joints as of the front end: visible ones with noise, occluded ones guessed; reliable by their confidence."""

    def observe(view: View, random: np.random.Generator) -> Observation:
        mask = torch.from_numpy(visible(view, random))[None]
        rays = torch.from_numpy(view.rays)[None]
        generator = torch.Generator().manual_seed(int(random.integers(2**31)))
        noisy, noisy_score = noise.sample(rays, generator)
        guessed, guessed_score = noise.sample_occluded(rays, generator)
        points = torch.where(mask.unsqueeze(-1), noisy, guessed)
        reliable = torch.where(mask, noisy_score, guessed_score) >= MIN_CONFIDENCE
        return Observation(points[0].numpy(), reliable[0].numpy(), ~mask[0].numpy())

    return observe


VISIBLE: dict[str, Visible] = {
    "all present": lambda view, random: np.ones(view.xyz.shape[:2], bool),
    "10 % random": _random(0.1),
    "30 % random": _random(0.3),
    "50 % random": _random(0.5),
    "arm 1 s": _gaps(30, _arm(*ARM)),
    "arm 1 s, shoulder seen": _gaps(30, _arm(*ARM[1:])),
    "legs 1 s": _gaps(30, _both(*LEG)),
    "legs 1 s, hips seen": _gaps(30, _both(*LEG[1:])),
    "person 10 frames": _gaps(10, lambda random: BODY22.joints),
    "person 20 frames": _gaps(20, lambda random: BODY22.joints),
    "self-occluded": lambda view, random: ~self_occluded(torch.from_numpy(view.xyz), BODY22).numpy(),
}
NOISY = ("all present", "arm 1 s", "legs 1 s", "self-occluded")


def conditions(noise: NoiseModel) -> dict[str, Observe]:
    """How the 2D joints are seen."""
    exact = {name: _exact(visible) for name, visible in VISIBLE.items()}
    return exact | {f"detector noise, {name}": _detected(VISIBLE[name], noise) for name in NOISY}


def hold(rays: Rays, observed: Mask) -> Rays:
    """Fills missing joints with the last observation, or the first one after."""
    time = np.arange(len(rays))[:, None]
    last = np.maximum.accumulate(np.where(observed, time, -1), 0)
    last = np.where(last < 0, observed.argmax(0), last)
    return _fill_never_observed(np.take_along_axis(rays, last[..., None], 0), observed)


def interpolate(rays: Rays, observed: Mask) -> Rays:
    """Fills missing joints by linear interpolation."""
    filled, _, _ = interpolate_gaps(torch.from_numpy(rays)[None], torch.from_numpy(observed)[None], max_gap=10**5)
    return _fill_never_observed(filled[0].numpy(), observed)


def _fill_never_observed(rays: Rays, observed: Mask) -> Rays:
    """Joints that are never observed at the torso's centre."""
    return np.where(observed.any(0)[:, None], rays, rays[:, TORSO].mean(1, keepdims=True))


FILLS: dict[str, Callable[[Rays, Mask], Rays]] = {"hold": hold, "interpolate": interpolate}

TARGETS = {
    ("all present", "all"): 1.05,
    ("50 % random", "all"): 1.05,
    ("person 20 frames", "missing"): 0.9,
    ("arm 1 s", "missing"): 0.8,
    ("arm 1 s, shoulder seen", "missing"): 0.8,
    ("legs 1 s", "missing"): 0.65,
    ("legs 1 s, hips seen", "missing"): 0.65,
    ("self-occluded", "missing"): 0.5,
    ("self-occluded", "all"): 0.5,
    ("person 20 frames", "all"): 0.9,
}
"""Largest ratio of our P-MPJPE to that of the better of hold and interpolate."""


def measure(
    aware: dict[str, OANetNetwork],
    unaware: OANetNetwork,
    clips: list[MotionClip],
    skeleton: Skeleton,
    noise: NoiseModel,
) -> Errors:
    """MPJPE and P-MPJPE of each joint and frame (mm) in each view, for each method, condition and joint set.

    Arguments:
        aware: occlusion-aware networks, by their names in the tables.
    """
    in_skeleton = np.array([name in skeleton.joints for name in BODY22.joints])
    errors: Errors = {}
    for number, view in enumerate(views(clips)):
        for condition, observe in conditions(noise).items():
            given = observe(view, np.random.default_rng([number, zlib.crc32(condition.encode())]))
            observed = given.observed & in_skeleton
            predicted = {name: _lift(lifter, given.rays, observed) for name, lifter in aware.items()}
            filled = {name: fill(given.rays, observed | ~in_skeleton) for name, fill in FILLS.items()}
            filled["ground truth"] = view.rays
            for name, rays in filled.items():
                predicted[name] = _lift(unaware, rays, np.broadcast_to(in_skeleton, observed.shape))
            everything = np.ones((len(observed), len(BODY22_TO_H36M17)), bool)
            nobody = ~observed.any(1, keepdims=True)
            missing = given.missing[:, BODY22_TO_H36M17] & (in_skeleton[BODY22_TO_H36M17] | nobody)
            for name, xyz in predicted.items():
                absolute = joint_errors(xyz, view.truth)
                aligned = joint_errors(procrustes(xyz, view.truth), view.truth)
                pair = 1000 * np.stack([absolute, aligned])
                for joints, mask in (("all", everything), ("missing", missing)):
                    errors.setdefault((name, condition, joints), []).append(pair[:, mask])
    return errors


def _lift(lifter: OANetNetwork, rays: Rays, observed: Mask) -> Float[np.ndarray, "time 17 3"]:
    return lift_rays(lifter, rays[:, None], observed[:, None], FPS).xyz[:, 0]


def by_view(views: list[np.ndarray]) -> Float[np.ndarray, "2"]:
    """Mean with the same weight for each view."""
    return np.mean([view.mean(1) for view in views], 0)


def by_frame(views: list[np.ndarray]) -> Float[np.ndarray, "2"]:
    """Mean with the same weight for each joint of each frame."""
    return np.concatenate(views, 1).mean(1)


def summarise(
    errors: Errors, mean: Callable[[list[np.ndarray]], Float[np.ndarray, "2"]]
) -> list[dict[str, str | float]]:
    """One row per method, condition and joint set. Views without missing joints are left out of the `missing` rows."""
    rows: list[dict[str, str | float]] = []
    for (name, condition, joints), views in errors.items():
        if views := [view for view in views if view.size]:
            absolute, aligned = mean(views)
            rows.append(
                {"method": name, "condition": condition, "joints": joints, "mpjpe_mm": absolute, "p_mpjpe_mm": aligned}
            )
    return rows


def show(rows: list[dict[str, str | float]], title: str) -> None:
    """Prints the P-MPJPE of each method, and its ratio to the better baseline with the target."""
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    table = Table("condition", "joints", *methods, "ratio", "target", title=f"P-MPJPE, mm, {title}")
    values = {(row["condition"], row["joints"], row["method"]): float(row["p_mpjpe_mm"]) for row in rows}
    for condition, joints in dict.fromkeys((row["condition"], row["joints"]) for row in rows):
        figures = [values[condition, joints, name] for name in methods]
        ratio = figures[0] / min(values[condition, joints, name] for name in FILLS)
        target = TARGETS.get((str(condition), str(joints)))
        table.add_row(
            str(condition),
            str(joints),
            *(f"{figure:.1f}" for figure in figures),
            f"{ratio:.3f}",
            f"{target}" if target else "",
        )
    Console().print(table)


def write_card(rows: list[dict[str, str | float]]) -> None:
    """Writes the results of our networks, and of those they were trained from, to the card of the shipped weights."""
    figures: dict[str, dict[str, dict[str, float]]] = {"ours": {}, "before": {}}
    for row in rows:
        if row["method"] in figures:
            errors = {name: round(float(row[name]), 1) for name in ("mpjpe_mm", "p_mpjpe_mm")}
            figures[str(row["method"])][f"{row['condition']}, {row['joints']} joints"] = errors
    metrics = {"metrics": figures["ours"]} | ({"metrics_before": figures["before"]} if figures["before"] else {})
    shipped().with_suffix(".json").write_text(json.dumps(card() | metrics, indent=1) + "\n")


def main(
    mocap: Path,
    ours: Path | None = None,
    before: Path | None = None,
    unaware: Path = Path(__file__).parent / "weights" / "oanet_lifter_unaware.safetensors",
    output: Path = Path(__file__).parent / "results" / "lifting.csv",
    skeleton: str = "coco17",
    noise: Path = SHIPPED,
) -> None:
    """Measures the lifter under occlusion.

    Args:
        mocap: folder with cmu/NN/NN_MM.amc.
        ours: weights to measure; the shipped ones by default.
        before: weights that ours were trained from, to measure as well.
        unaware: weights of the same network, trained as long without occlusion awareness.
        output: table to write; NAME_frames.csv is written beside it.
        skeleton: joints of the 2D input, coco17 or h36m17.
        noise: model of the front end's errors.
    """
    clips = split_clips(load_clips(mocap, subjects=VALIDATION_SUBJECTS))[1]
    aware = {"ours": load(ours)} | ({} if before is None else {"before": load(before)})
    errors = measure(
        aware, load(unaware), clips, {"coco17": COCO17, "h36m17": H36M17}[skeleton], NoiseModel.load(noise)
    )
    columns = ("method", "condition", "joints", "mpjpe_mm", "p_mpjpe_mm")
    for path, mean in ((output, by_view), (output.with_name(f"{output.stem}_frames.csv"), by_frame)):
        rows = summarise(errors, mean)
        cells = [[f"{row[name]:.2f}" if name.endswith("mm") else row[name] for name in columns] for row in rows]
        write(path, columns, cells, seed="clip names")
        show(rows, mean.__name__.replace("_", " "))
    if ours is None and noise == SHIPPED:
        write_card(summarise(errors, by_view))


if __name__ == "__main__":
    tyro.cli(main)
