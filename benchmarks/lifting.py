"""How far off are lifted joints when some of them are hidden? Whole validation subjects, against interpolation.

    python benchmarks/lifting.py --mocap FOLDER

Validation subjects 02, 08 and 32 of the CMU mocap, each clip at 30 frames/s from 4 fixed random cameras; 2D in COCO-17,
exact, or where a condition begins with `front end` as the measured one gives it: with its noise, hidden joints guessed,
and half of the guesses believed. Beside ours run, if wanted, the networks that ours began with (`before`), and the same
trained as long without occlusion awareness, which are given missing joints where they were last seen (`hold`), on the
line between the sights before and after (`interpolate`), or where they truly are (`true location`). Millimetres,
root-relative, 17 joints. Writes results/lifting.csv, in which each view of each clip counts the same (as actions do in
Human3.6M's protocols), and results/lifting_frames.csv, in which each frame does: six long clips of subject 02 are then
three quarters of the whole. Prints both with their bars.
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

from occlupose.datasets.cmu import VALIDATION, Clip, load_clips, split
from occlupose.methods.oanet.lifter.augmentation import BodyAugmentation, to_random_camera
from occlupose.methods.oanet.lifter.inputs import TORSO, interpolate_gaps
from occlupose.methods.oanet.lifter.lift import FPS, lift_rays
from occlupose.methods.oanet.lifter.network import Lifter
from occlupose.methods.oanet.lifter.weights import card, load, shipped
from occlupose.metrics.pose3d import joint_errors, procrustes
from occlupose.occlusion.cylinders import self_occluded
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17, H36M17, Skeleton
from occlupose.synth.noise import BELIEVED, NoiseModel, guess

VIEWS = BodyAugmentation(
    still_probability=0.0, tumble_probability=0.0, roll=0.0, elevation=(-10.0, 30.0), off_axis=15.0, distance=(3.0, 7.0)
)
ARM = ("shoulder", "elbow", "wrist")
LEG = ("hip", "knee", "ankle")
PERIOD = 90
"""Frames from one long gap to the next."""

Rays = Float[np.ndarray, "time 22 2"]
Seen = Bool[np.ndarray, "time 22"]
Errors = dict[tuple[str, str, str], list[np.ndarray]]
Hide = Callable[["View", np.random.Generator], Seen]
Observe = Callable[["View", np.random.Generator], "Observation"]


@dataclass(frozen=True)
class View:
    """One clip before one camera."""

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
    """What is given of a view in 2D."""

    rays: Rays
    observed: Seen
    """What is to be believed."""
    missing: Seen
    """What cannot be seen, whatever is believed."""


def views(clips: list[Clip], count: int = 4) -> Iterator[View]:
    """Each clip at 30 frames/s before `count` cameras that its name alone decides."""
    for clip in clips:
        joints = torch.from_numpy(clip.joints[:: round(clip.fps / FPS)])
        generator = torch.Generator().manual_seed(zlib.crc32(clip.name.encode()))
        for xyz in to_random_camera(joints.expand(count, *joints.shape), VIEWS, generator):
            yield View(xyz.numpy())


def _random(share: float) -> Hide:
    return lambda view, random: random.random(view.xyz.shape[:2]) >= share


def _gaps(length: int, names: Callable[[np.random.Generator], tuple[str, ...]]) -> Hide:
    """Every three seconds, some joints missing for `length` frames."""

    def hide(view: View, random: np.random.Generator) -> Seen:
        observed = np.ones(view.xyz.shape[:2], bool)
        for start in range(int(random.integers(10, 30)), len(observed) - 5, PERIOD):
            observed[start : start + length, [BODY22.joints.index(name) for name in names(random)]] = False
        return observed

    return hide


def _arm(*parts: str) -> Callable[[np.random.Generator], tuple[str, ...]]:
    def names(random: np.random.Generator) -> tuple[str, ...]:
        side = ("left", "right")[int(random.integers(2))]
        return tuple(f"{side}_{part}" for part in parts)

    return names


def _both(*parts: str) -> Callable[[np.random.Generator], tuple[str, ...]]:
    return lambda random: tuple(f"{side}_{part}" for side in ("left", "right") for part in parts)


def _exactly(hide: Hide) -> Observe:
    """The true 2D of what is not hidden, and nothing of what is."""

    def observe(view: View, random: np.random.Generator) -> Observation:
        observed = hide(view, random)
        return Observation(view.rays, observed, ~observed)

    return observe


def _front_end(hide: Hide) -> Observe:
    """What the front end says: noisy where a joint is seen, guessed where it is hidden, believed by its evidence."""

    def observe(view: View, random: np.random.Generator) -> Observation:
        observed = torch.from_numpy(hide(view, random))[None]
        rays = torch.from_numpy(view.rays)[None]
        generator = torch.Generator().manual_seed(int(random.integers(2**31)))
        (noisy, evidence) = NoiseModel.load().sample(rays, generator)
        (guessed, doubt) = guess(rays, generator)
        observed = torch.where(observed.unsqueeze(-1), noisy, guessed)
        return Observation(
            observed[0].numpy(), (torch.where(observed, evidence, doubt) >= BELIEVED)[0].numpy(), ~observed[0].numpy()
        )

    return observe


HIDE: dict[str, Hide] = {
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
CONDITIONS: dict[str, Observe] = {
    **{name: _exactly(hide) for name, hide in HIDE.items()},
    **{
        f"front end, {name}": _front_end(HIDE[name]) for name in ("all present", "arm 1 s", "legs 1 s", "self-occluded")
    },
}


def hold(rays: Rays, observed: Seen) -> Rays:
    """Missing joints where they were last seen (before the first sight: where they will be; never seen: at the torso's
    middle).
    """
    time = np.arange(len(rays))[:, None]
    last = np.maximum.accumulate(np.where(observed, time, -1), 0)
    last = np.where(last < 0, observed.argmax(0), last)
    return _never(np.take_along_axis(rays, last[..., None], 0), observed)


def interpolate(rays: Rays, observed: Seen) -> Rays:
    """Missing joints on the line between the sights before and after."""
    filled, _, _ = interpolate_gaps(torch.from_numpy(rays)[None], torch.from_numpy(observed)[None], max_gap=10**5)
    return _never(filled[0].numpy(), observed)


def _never(rays: Rays, observed: Seen) -> Rays:
    return np.where(observed.any(0)[:, None], rays, rays[:, TORSO].mean(1, keepdims=True))


FILLS: dict[str, Callable[[Rays, Seen], Rays]] = {"hold": hold, "interpolate": interpolate}

BARS = {
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
"""Most that our P-MPJPE may be of the better of hold and interpolate."""


def measure(aware: dict[str, Lifter], unaware: Lifter, clips: list[Clip], skeleton: Skeleton) -> Errors:
    """The errors (MPJPE and P-MPJPE of each joint and frame, mm) in each view, for each method, condition and joint
    set.

    Arguments:
        aware: networks that are told what is missing, by what the tables call them.
    """
    given = np.array([name in skeleton.joints for name in BODY22.joints])
    errors: Errors = {}
    for number, view in enumerate(views(clips)):
        for condition, observe in CONDITIONS.items():
            observed = observe(view, np.random.default_rng([number, zlib.crc32(condition.encode())]))
            observed = observed.observed & given
            answers = {
                name: lift_rays(lifter, observed.rays[:, None], observed[:, None], FPS).xyz[:, 0]
                for name, lifter in aware.items()
            }
            inputs = {name: fill(observed.rays, observed | ~given) for name, fill in FILLS.items()} | {
                "true location": view.rays
            }
            for name, filled in inputs.items():
                answers[name] = lift_rays(
                    unaware, filled[:, None], np.broadcast_to(given, observed.shape)[:, None], FPS
                ).xyz[:, 0]
            everything = np.ones((len(observed), len(BODY22_TO_H36M17)), bool)
            missing = observed.missing[:, BODY22_TO_H36M17] & (
                given[BODY22_TO_H36M17] | ~observed.any(1, keepdims=True)
            )
            for name, answer in answers.items():
                pair = np.stack(
                    [joint_errors(answer, view.truth), joint_errors(procrustes(answer, view.truth), view.truth)]
                )
                for joints, where in (("all", everything), ("missing", missing)):
                    errors.setdefault((name, condition, joints), []).append(1000 * pair[:, where])
    return errors


def by_view(views: list[np.ndarray]) -> Float[np.ndarray, "2"]:
    """Each view counts the same."""
    return np.mean([view.mean(1) for view in views], 0)


def by_frame(views: list[np.ndarray]) -> Float[np.ndarray, "2"]:
    """Each joint of each frame counts the same."""
    return np.concatenate(views, 1).mean(1)


def summarise(
    errors: Errors, mean: Callable[[list[np.ndarray]], Float[np.ndarray, "2"]]
) -> list[dict[str, str | float]]:
    """One row a method, condition and joint set; views in which no joint is missing do not count for the missing
    ones.
    """
    rows: list[dict[str, str | float]] = []
    for (name, condition, joints), views in errors.items():
        if views := [view for view in views if view.size]:
            absolute, aligned = mean(views)
            rows.append(
                {"method": name, "condition": condition, "joints": joints, "mpjpe_mm": absolute, "p_mpjpe_mm": aligned}
            )
    return rows


def show(rows: list[dict[str, str | float]], title: str) -> None:
    """P-MPJPE of each method, and our share of the better baseline's beside its bar."""
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    table = Table("condition", "joints", *methods, "ratio", "bar", title=f"P-MPJPE, mm, {title}")
    values = {(row["condition"], row["joints"], row["method"]): float(row["p_mpjpe_mm"]) for row in rows}
    for condition, joints in dict.fromkeys((row["condition"], row["joints"]) for row in rows):
        figures = [values[condition, joints, name] for name in methods]
        ratio = figures[0] / min(values[condition, joints, name] for name in FILLS)
        bar = BARS.get((str(condition), str(joints)))
        table.add_row(
            str(condition),
            str(joints),
            *(f"{figure:.1f}" for figure in figures),
            f"{ratio:.3f}",
            f"{bar}" if bar else "",
        )
    Console().print(table)


def onto_card(rows: list[dict[str, str | float]]) -> None:
    """Writes the figures of our networks, and of those that they began with, onto the card of the shipped weights."""
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
) -> None:
    """Measures the lifter under occlusion.

    Args:
        mocap: folder with cmu/NN/NN_MM.amc.
        ours: weights to measure; the shipped ones by default.
        before: weights that ours began with, to be measured beside them.
        unaware: weights of the same network trained as long without occlusion awareness.
        output: table to write; beside it NAME_frames.csv.
        skeleton: the 2D joints that are given, coco17 or h36m17.
    """
    clips = split(load_clips(mocap, subjects=VALIDATION))[1]
    aware = {"ours": load(ours)} | ({} if before is None else {"before": load(before)})
    errors = measure(aware, load(unaware), clips, {"coco17": COCO17, "h36m17": H36M17}[skeleton])
    columns = ("method", "condition", "joints", "mpjpe_mm", "p_mpjpe_mm")
    for path, mean in ((output, by_view), (output.with_name(f"{output.stem}_frames.csv"), by_frame)):
        rows = summarise(errors, mean)
        cells = [[f"{row[name]:.2f}" if name.endswith("mm") else row[name] for name in columns] for row in rows]
        write(path, columns, cells, seed="clip names")
        show(rows, mean.__name__.replace("_", " "))
    if ours is None:
        onto_card(summarise(errors, by_view))


if __name__ == "__main__":
    tyro.cli(main)
