"""The lifter under occlusion, on every kind of motion, at every delay, and how well it knows how sure it is: errors on
held-out people, against its predecessor and against interpolation.

    python benchmarks/lifting.py --mocap FOLDER --data DATA --before CHECKOUT

Clips of held-out people (`mocap_clips`), evenly chosen from each kind, their first seconds at 30 frames/s, each from
two random cameras that depend on its name. The 2D is in COCO-17 joints. It is exact, or, in conditions that begin with
`detector noise`, has the measured errors of `movenet`: its noise, and guesses for occluded joints, three of four with a
confidence above the threshold. Joints below the threshold come as guesses with a standard deviation; the
predecessor and the baselines, which know no guesses, do without them.

`ours` is the network with the full look-ahead. `before` is the lifter of another checkout (`earlier_lifter.py`). The
baselines use a network like ours, trained without missing joints, and fill missing joints with the last observation
(`hold`), by interpolation (`interpolate`), or with the ground truth (`ground truth`). Root-relative, 17 joints. Means
have the same weight for every view or for every joint of every frame (`weighting`); those of several kinds are means of
the kinds' means.

Writes results/lifting.csv; results/lifting_delay.csv, by the seconds of later frames that ours may use, of every third
clip, means of views and of kinds, with the error of the root and the acceleration of joints relative to it; and
results/lifting_uncertainty.csv: the share of errors within one and two stated standard deviations along each of the
camera's axes, of joints that are seen or not as the front end says, of those that the 2D skeleton lacks, and of the
root. Prints the bars. Finished kinds are kept if it is stopped.

With --skeletons, `ours` is compared with the rigid skeletons that `occlupose lift` fits to it (`skeleton`), and with
`before`, without the baselines; this writes results/lifting_skeleton.csv only.
"""

import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
import tyro
from earlier_lifter import EarlierLifter
from jaxtyping import Float
from lifting_views import CONDITIONS, FILLS, NOISE, Sequences, choose, views
from results import COMMIT, Runs, write
from rich.console import Console
from rich.progress import track
from rich.table import Table
from tables import markdown_table

from occlupose.cameras import Camera
from occlupose.kinematics import fit_poses
from occlupose.methods.lifter.features import SeenKeypoints, encode, look_ahead
from occlupose.methods.lifter.joints import LifterJoints
from occlupose.methods.lifter.lifting import fill_record, finish
from occlupose.methods.lifter.motions import FPS, LentMotion, load_motions
from occlupose.methods.lifter.network import DEFAULT, LifterNetwork, LifterOutput, card, covariances, decode, load
from occlupose.methods.lifter.smoothing import AFTER, BEFORE, LOOK_AHEAD, smooth_lifted
from occlupose.metrics.pose3d import joint_errors, procrustes
from occlupose.networks.temporal_transformer import FUTURE, MARGIN
from occlupose.poses import ABSENT, VISIBLE, Poses
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17, H36M17, Skeleton
from occlupose.synth.noise import SHIPPED, NoiseModel

DELAYS = {"0": 0.0, "0.1": 0.1, "0.3": 0.3, "1": 1.0, "offline": FUTURE}
"""Seconds of later frames that a pose may depend on, by their names in the tables."""

OFFLINE = "offline"

CAMERA = Camera.from_fov(2000, 2000, 90)
"""Of the skeletons' keypoints; the views have none."""

EVERY = 3
"""Every how many clips are lifted at all delays, which takes many times as long."""

UNCERTAIN = ("0", "0.3", OFFLINE)
"""Delays whose uncertainty is measured."""

AXES = ("x", "y", "z")
INPUTS = ("exact", "noisy")
STATES = ("seen", "missing", "not in 2D", "root")

WALKING = "walking"
ALL_KINDS = "all kinds"
OTHER_KINDS = "all but walking"
UNAWARE = Path(__file__).parent / "weights" / "lifter_unaware.safetensors"
SKELETONS = {"coco17": COCO17, "h36m17": H36M17}

COLUMNS = ("method", "kind", "condition", "joints", "weighting", "mpjpe_mm", "p_mpjpe_mm")
DELAY_COLUMNS = ("delay_s", "condition", "mpjpe_mm", "p_mpjpe_mm", "missing_p_mpjpe_mm")
DELAY_COLUMNS += ("acceleration", "true_acceleration", "root_m", "root_share")
UNCERTAINTY_COLUMNS = ("state", "input", "kind", "delay_s", "axis", "within_1_sigma", "within_2_sigma", "n")
UNCERTAINTY_COLUMNS += ("mean_error_m", "mean_sigma_m")

TARGET_SHARES = {"within_1_sigma": (0.68, 0.05), "within_2_sigma": (0.95, 0.03)}
"""Share of errors that should be within so many standard deviations, and how far off it may be."""

MIN_ERRORS = 1000
"""Of fewer errors a share is not held against the target."""

WORST = 12
"""Rows off target that are printed."""

MISSING_BARS = {
    ("view", "arm 1 s"): 0.8,
    ("view", "legs 1 s"): 0.6,
    ("view", "person 20 frames"): 0.85,
    ("frame", "arm 1 s"): 0.9,
    ("frame", "legs 1 s"): 0.8,
    ("frame", "person 20 frames"): 0.95,
}
"""Largest ratio of our P-MPJPE of missing joints to that of the better of hold and interpolate."""

Earlier = Callable[[np.ndarray, np.ndarray, float], Float[np.ndarray, "sequence time 17 3"]]
Values = dict[str, float]
Row = dict[str, str | float]


@dataclass
class Tally:
    """What is found in the views of a kind.

    Attributes:
        errors: of each view with any such joint: mean MPJPE and P-MPJPE (m), and the number of joints; by method,
            condition and joints.
        delays: means of views, by delay, condition and metric.
        shares: sums over errors: within one and two standard deviations, all, absolute errors, standard deviations; by
            state, input, delay and axis.
    """

    errors: dict[tuple[str, ...], list[Float[np.ndarray, "3"]]] = field(default_factory=lambda: defaultdict(list))
    delays: dict[tuple[str, ...], list[float]] = field(default_factory=lambda: defaultdict(list))
    shares: dict[tuple[str, ...], Float[np.ndarray, "5"]] = field(
        default_factory=lambda: defaultdict(lambda: np.zeros(5))
    )

    def add_errors(self, method: str, xyz: Float[np.ndarray, "sequence time 17 3"], given: Sequences) -> None:
        """Of one method."""
        views = zip(given.conditions, given.missing, *errors(xyz, given), strict=True)
        for condition, missing, absolute, aligned in views:
            for joints, mask in (("all", np.ones_like(missing)), ("missing", missing)):
                if mask.any():
                    found = np.array([absolute[mask].mean(), aligned[mask].mean(), mask.sum()])
                    self.errors[method, condition, joints].append(found)

    def add_delay(self, delay: str, lifted: LifterOutput, given: Sequences) -> None:
        """Of ours."""
        xyz = lifted.xyz.numpy()
        absolute, aligned = errors(xyz, given)
        root_error = np.linalg.norm(lifted.root.numpy() - given.root, axis=-1)
        root_share = root_error / np.linalg.norm(given.root, axis=-1)
        for number, (condition, missing) in enumerate(zip(given.conditions, given.missing, strict=True)):
            found = {
                "mpjpe_mm": 1000 * absolute[number].mean(),
                "p_mpjpe_mm": 1000 * aligned[number].mean(),
                "acceleration": acceleration(xyz[number]),
                "true_acceleration": acceleration(given.truth[number]),
                "root_m": root_error[number].mean(),
                "root_share": root_share[number].mean(),
            }
            if missing.any():
                found["missing_p_mpjpe_mm"] = 1000 * aligned[number][missing].mean()
            for metric, value in found.items():
                self.delays[delay, condition, metric].append(float(value))

    def add_uncertainty(self, delay: str, lifted: LifterOutput, given: Sequences) -> None:
        """Of ours."""
        joints = slice(1, None)  # the first is the root, which is exact relative to itself
        error = np.abs(lifted.xyz.numpy() - given.truth)[:, :, joints]
        sigma = deviations(lifted.factor)[:, :, joints]
        root_error = np.abs(lifted.root.numpy() - given.root)
        root_sigma = deviations(lifted.root_factor)
        in_skeleton = given.in_skeleton[BODY22_TO_H36M17][joints]
        seen = given.observed[..., BODY22_TO_H36M17][:, :, joints]
        states = {"seen": seen, "missing": in_skeleton & ~seen}
        states["not in 2D"] = np.broadcast_to(~in_skeleton, seen.shape)
        noisy = np.array([condition.startswith(NOISE) for condition in given.conditions])
        for name, chosen in zip(INPUTS, (~noisy, noisy), strict=True):
            for state, mask in states.items():
                own = mask[chosen]
                self._add_shares((state, name, delay), error[chosen][own], sigma[chosen][own])
            self._add_shares(("root", name, delay), root_error[chosen], root_sigma[chosen])

    def _add_shares(self, key: tuple[str, ...], error: np.ndarray, sigma: np.ndarray) -> None:
        for axis, name in enumerate(AXES):
            one = error[..., axis].ravel().astype(np.float64)
            other = sigma[..., axis].ravel().astype(np.float64)
            sums = [(one <= other).sum(), (one <= 2 * other).sum(), one.size, one.sum(), other.sum()]
            self.shares[*key, name] += sums

    def values(self) -> Values:
        """As numbers by name."""
        found: Values = {}
        for key, means in self.errors.items():
            mpjpe, p_mpjpe, count = np.stack(means, 1)
            for metric, value in (("mpjpe_mm", mpjpe), ("p_mpjpe_mm", p_mpjpe)):
                found["|".join(("error", *key, "view", metric))] = 1000 * float(value.mean())
                found["|".join(("error", *key, "frame", metric))] = 1000 * float((value * count).sum() / count.sum())
        found |= {"|".join(("delay", *key)): float(np.mean(values)) for key, values in self.delays.items()}
        for key, sums in self.shares.items():
            found |= {"|".join(("share", *key, str(number))): float(value) for number, value in enumerate(sums)}
        return found


def errors(
    xyz: Float[np.ndarray, "sequence time 17 3"], given: Sequences
) -> tuple[Float[np.ndarray, "sequence time 17"], Float[np.ndarray, "sequence time 17"]]:
    """Errors of joints, and after Procrustes alignment, m."""
    return joint_errors(xyz, given.truth), joint_errors(procrustes(xyz, given.truth), given.truth)


def acceleration(xyz: Float[np.ndarray, "time 17 3"]) -> float:
    """Mean over joints and frames, m/s²."""
    return float(np.linalg.norm(np.diff(xyz[:, 1:], 2, axis=0), axis=-1).mean() * FPS**2)


def deviations(factor: Float[torch.Tensor, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Standard deviations along the camera's axes, m."""
    return covariances(factor).diagonal(dim1=-2, dim2=-1).sqrt().numpy()


@torch.inference_mode()
def lift(
    lifter: LifterNetwork, keypoints: SeenKeypoints, delays: Sequence[float] = (FUTURE,)
) -> Iterator[LifterOutput]:
    """Sequences at FPS, as a stream gives them with each of the delays in seconds."""
    count, frames = keypoints.seen.shape[:2]
    time = torch.arange(frames, dtype=torch.float64) / FPS
    times = time.expand(count, -1)
    encoded = encode(keypoints, times, torch.full((count,), torch.nan))
    memory = lifter.transformer.encode(encoded.channels, times)

    def answer(end: Float[torch.Tensor, "time"]) -> LifterOutput:
        """Of each frame when the record ends at such a time."""
        limit = end.minimum(time + LOOK_AHEAD)
        horizon = time[torch.searchsorted(time, limit + MARGIN, right=True) - 1].expand(count, -1)
        ahead, joints = look_ahead(encoded, times, horizon)
        return decode(lifter.transformer.decode(memory, ahead, times, horizon), joints, encoded.view)

    for delay in delays:
        if delay >= FUTURE:
            there = torch.ones(count, frames, dtype=torch.bool)
            yield smooth_lifted(answer(torch.full_like(time, torch.inf)), there, time, slice(0, frames))
        else:
            yield _lift_late(answer, time, delay)


def fit(lifted: LifterOutput, given: Sequences) -> Float[np.ndarray, "sequence time 17 3"]:
    """Skeletons fitted to what was lifted, relative to the root."""
    fitted = [fit_poses(to_poses(lifted[number], given, number)) for number in range(len(given.rays))]
    xyz = np.stack([one.joints(H36M17)[:, 0] for one in fitted])
    return xyz - xyz[:, :, :1]


def to_poses(lifted: LifterOutput, given: Sequences, number: int) -> Poses:
    """One of the sequences as a record."""
    skeleton = BODY22.subset([name for name, there in zip(BODY22.joints, given.in_skeleton, strict=True) if there])
    pixels = CAMERA.project(np.concatenate([given.rays[number], np.ones_like(given.rays[number, ..., :1])], -1))
    seen = given.observed[number][:, given.in_skeleton]
    state = np.where(seen, VISIBLE, ABSENT).astype(np.uint8)
    xy = np.where(seen[..., None], pixels[:, given.in_skeleton], np.nan)
    arrays = {"xy": xy, "score": seen, "state": state}
    observed = Poses(
        **{name: values[:, None] for name, values in arrays.items()},
        xyz=None,
        track_id=np.zeros(1, np.int64),
        time=np.arange(len(xy)) / FPS,
        skeleton=skeleton,
        fps=FPS,
        width=CAMERA.width,
        height=CAMERA.height,
        camera=CAMERA,
    )
    joints = LifterJoints.from_detections(xy, seen.astype(np.float32), state, skeleton)
    rows = np.arange(len(xy))
    return fill_record(observed, [(0, rows, finish(joints, lifted, CAMERA).arrays)])


def _lift_late(
    answer: Callable[[torch.Tensor], LifterOutput], time: Float[torch.Tensor, "time"], delay: float
) -> LifterOutput:
    """Each frame, smoothed with the answers for the frames around it when the record ends `delay` seconds later."""
    offsets = torch.arange(-int(BEFORE * FPS), int(min(AFTER, delay) * FPS + 1e-3) + 1)
    numbers = torch.arange(len(time))
    parts = []
    for offset in offsets.tolist():
        now = (numbers - offset).clamp(0, len(time) - 1)
        lifted = answer((time[now] + delay).maximum(time))
        parts.append(lifted[:, (numbers + offset).clamp(0, len(time) - 1)])
    values = zip(*(vars(one).values() for one in parts), strict=True)
    window = LifterOutput(*(torch.stack(value, 2).flatten(0, 1) for value in values))
    frames = numbers[:, None] + offsets
    there = ((frames >= 0) & (frames < len(time))).repeat(len(window.xyz) // len(time), 1)
    place = int(BEFORE * FPS)
    calm = smooth_lifted(window, there, offsets.double() / FPS, slice(place, place + 1))
    return LifterOutput(*(values[:, 0].unflatten(0, (-1, len(time))) for values in vars(calm).values()))


def measure(
    motions: Sequence[LentMotion],
    lifter: LifterNetwork,
    unaware: LifterNetwork | None,
    before: Earlier | None,
    skeleton: Skeleton,
    noise: NoiseModel,
) -> Values:
    """All that is measured on the clips of a kind.

    Arguments:
        unaware: of the baselines; None: skeletons are fitted instead.
    """
    in_skeleton = np.array([name in skeleton.joints for name in BODY22.joints])
    tally = Tally()
    for number, motion in enumerate(motions):
        given = Sequences.see(views(motion), noise, in_skeleton)
        delays = DELAYS if number % EVERY == 0 else {OFFLINE: FUTURE}
        for delay, lifted in zip(delays, lift(lifter, given.keypoints, tuple(delays.values())), strict=True):
            if len(delays) > 1:
                tally.add_delay(delay, lifted, given)
            if delay in UNCERTAIN:
                tally.add_uncertainty(delay, lifted, given)
            if delay == OFFLINE:
                tally.add_errors("ours", lifted.xyz.numpy(), given)
                if unaware is None:
                    tally.add_errors("skeleton", fit(lifted, given), given)
        if before is not None:
            tally.add_errors("before", before(given.rays, given.observed, FPS), given)
        if unaware is None:
            continue
        for name in FILLS:
            (lifted,) = lift(unaware, given.filled(name))
            tally.add_errors(name, lifted.xyz.numpy(), given)
        first = slice(None, None, len(CONDITIONS))  # the truth is the same in all conditions
        (lifted,) = lift(unaware, given.filled("ground truth")[first])
        tally.add_errors("ground truth", lifted.xyz.repeat_interleave(len(CONDITIONS), 0).numpy(), given)
    return tally.values()


def summarise(found: Mapping[str, Values]) -> list[Row]:
    """One row per method, kind, condition, joint set and weighting, with means over kinds.

    Arguments:
        found: what was measured, by kind.
    """
    groups = {kind: [kind] for kind in found}
    groups[ALL_KINDS] = list(found)
    groups[OTHER_KINDS] = [kind for kind in found if kind != WALKING]
    names = (name for values in found.values() for name in values if name.startswith("error|"))
    keys = dict.fromkeys(name.rpartition("|")[0] for name in names)
    rows: list[Row] = []
    for key in keys:
        _, method, condition, joints, weighting = key.split("|")
        for group, kinds in groups.items():
            chosen = [found[kind] for kind in kinds if f"{key}|mpjpe_mm" in found[kind]]
            if chosen:
                means = {name: float(np.mean([one[f"{key}|{name}"] for one in chosen])) for name in COLUMNS[-2:]}
                about = {"method": method, "kind": group, "condition": condition, "joints": joints}
                rows.append({**about, "weighting": weighting, **means})
    return rows


def summarise_delays(found: Mapping[str, Values]) -> list[Row]:
    """One row per delay and condition: means of the kinds' means."""
    rows: list[Row] = []
    for delay in DELAYS:
        for condition in CONDITIONS:
            row: Row = {"delay_s": delay, "condition": condition}
            for metric in DELAY_COLUMNS[2:]:
                key = f"delay|{delay}|{condition}|{metric}"
                if values := [one[key] for one in found.values() if key in one]:
                    row[metric] = float(np.mean(values))
            rows.append(row)
    return rows


def summarise_uncertainty(found: Mapping[str, Values]) -> list[Row]:
    """One row per state, input, kind, delay and axis; of all kinds together as well."""
    rows: list[Row] = []
    for state in STATES:
        for given in INPUTS:
            for kind in (*found, ALL_KINDS):
                for delay in UNCERTAIN:
                    for axis in AXES:
                        key = f"share|{state}|{given}|{delay}|{axis}"
                        chosen = found.values() if kind == ALL_KINDS else [found[kind]]
                        sums = np.sum([[one[f"{key}|{number}"] for number in range(5)] for one in chosen], 0)
                        if sums[2]:
                            names = {"state": state, "input": given, "kind": kind, "delay_s": delay, "axis": axis}
                            shares = dict(zip(UNCERTAINTY_COLUMNS[5:], sums / sums[2], strict=True))
                            rows.append({**names, **shares, "n": int(sums[2])})
    return rows


def bars(rows: Sequence[Row]) -> list[tuple[str, float, float]]:
    """What must be shown: name, ratio of errors, and the largest that it may be."""
    values = {tuple(str(row[name]) for name in COLUMNS[:5]): float(row["p_mpjpe_mm"]) for row in rows}
    kinds = [kind for kind in dict.fromkeys(str(row["kind"]) for row in rows) if kind not in (ALL_KINDS, OTHER_KINDS)]

    def ratio(kind: str, other: str) -> float:
        key = (kind, "all present", "all", "view")
        return values["ours", *key] / values[other, *key]

    found = []
    if any(row["method"] == "before" for row in rows):
        if WALKING in kinds:
            found.append(("all present, walking, to before", ratio(WALKING, "before"), 1.05))
        if others := [kind for kind in kinds if kind != WALKING]:
            found.append(("all present, other kinds, to before", ratio(OTHER_KINDS, "before"), 0.65))
            worst = max(others, key=lambda kind: ratio(kind, "before"))
            found.append((f"all present, worst of them ({worst}), to before", ratio(worst, "before"), 0.85))
    found.append(("all present, all kinds, to the unaware network", ratio(ALL_KINDS, "ground truth"), 1.05))
    for (weighting, condition), limit in MISSING_BARS.items():
        key = (ALL_KINDS, condition, "missing", weighting)
        if ("ours", *key) in values:
            better = min(values[fill, *key] for fill in FILLS)
            name = f"{condition}, missing joints by {weighting}, to the better of hold and interpolate"
            found.append((name, values["ours", *key] / better, limit))
    return found


def off_target(rows: Sequence[Row]) -> list[Row]:
    """Rows of uncertainty whose shares are too far from the target, the worst first; too few errors do not count."""

    def excess(row: Row) -> float:
        """How far off, in margins."""
        return max(abs(float(row[name]) - share) / margin for name, (share, margin) in TARGET_SHARES.items())

    failed = [row for row in rows if int(row["n"]) > MIN_ERRORS and excess(row) > 1]
    return sorted(failed, key=excess, reverse=True)


def show(rows: Sequence[Row]) -> None:
    """Prints the P-MPJPE of each method: mean over kinds in each condition, and of each kind if all is present."""
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    values = {tuple(str(row[name]) for name in COLUMNS[:5]): float(row["p_mpjpe_mm"]) for row in rows}
    for weighting in ("view", "frame"):
        table = Table("kind", "condition", "joints", *methods, title=f"P-MPJPE, mm, by {weighting}")
        for key in dict.fromkeys((str(row["kind"]), str(row["condition"]), str(row["joints"])) for row in rows):
            if key[0] == ALL_KINDS or key[1:] == ("all present", "all"):
                table.add_row(*key, *(f"{values[method, *key, weighting]:.1f}" for method in methods))
        Console().print(table)


def show_bars(rows: Sequence[Row], uncertainty: Sequence[Row]) -> None:
    """Prints the bars, and the shares of errors that are off target."""
    table = Table("bar", "ratio of P-MPJPE", "at most", "")
    for name, ratio, limit in bars(rows):
        table.add_row(name, f"{ratio:.3f}", f"{limit:g}", "" if ratio <= limit else "over")
    Console().print(table)
    counted = sum(int(row["n"]) > MIN_ERRORS for row in uncertainty)
    failed = off_target(uncertainty)
    print(f"uncertainty: {len(failed)} of {counted} rows with more than {MIN_ERRORS} errors are off target; the worst:")
    if failed:
        worst = [cells(row, UNCERTAINTY_COLUMNS) for row in failed[:WORST]]
        print(markdown_table([dict(zip(UNCERTAINTY_COLUMNS, row, strict=True)) for row in worst]))


def cells(row: Row, columns: Sequence[str]) -> list[str]:
    """Of a table: millimetres with two decimals, other numbers with four digits; empty where there is none."""
    texts = []
    for name in columns:
        value = row.get(name, "")
        if isinstance(value, float):
            texts.append(f"{value:.2f}" if name.endswith("_mm") else f"{value:.4g}")
        else:
            texts.append(str(value))
    return texts


def write_card(rows: Sequence[Row]) -> None:
    """Writes our errors, means of views and kinds, and those of each kind if all is present, to the card of the shipped
    weights.
    """
    figures: dict[str, dict[str, float]] = {}
    for row in rows:
        if (row["method"], row["weighting"]) == ("ours", "view"):
            named = {name: round(float(row[name]), 1) for name in COLUMNS[-2:]}
            if row["kind"] == ALL_KINDS or row["condition"] == "all present":
                figures[f"{row['kind']}, {row['condition']}, {row['joints']} joints"] = named
    DEFAULT.with_suffix(".json").write_text(json.dumps(card() | {"metrics": figures}, indent=1) + "\n")


def main(
    mocap: Path,
    data: Path,
    lifter: Path | None = None,
    unaware: Path = UNAWARE,
    before: Path | None = None,
    seconds: float = 8.0,
    clips: int = 8,
    skeleton: str = "coco17",
    noise: Path = SHIPPED,
    skeletons: bool = False,
    output: Path | None = None,
) -> None:
    """Measures the lifter under occlusion.

    Args:
        mocap: folder of motion capture, as `occlupose train lifter` takes it.
        data: folder of the motions that training made from it, or where to make them.
        lifter: weights to measure; the shipped ones by default.
        unaware: weights of a network like them, trained without missing joints.
        before: checkout whose lifter is measured as well.
        seconds: of each clip.
        clips: of each kind, at most.
        skeleton: joints of the 2D input, coco17 or h36m17.
        noise: model of the front end's errors.
        skeletons: fit skeletons, and leave the baselines out; see above.
        output: table to write, by default results/lifting.csv or results/lifting_skeleton.csv; NAME_delay.csv and
            NAME_uncertainty.csv are written beside the first.
    """
    ours = load(lifter)
    baseline = None if skeletons else load(unaware)
    files = [lifter or DEFAULT, *([] if skeletons else [unaware])]
    weights = [zlib.crc32(file.read_bytes()) for file in files]
    results = Path(__file__).parent / "results"
    output = output or results / ("lifting_skeleton.csv" if skeletons else "lifting.csv")
    settings = f"{COMMIT}, {weights}, {before}, {seconds} s, {clips} clips, {skeleton}, {noise.name}"
    runs = Runs(output.with_name(f"{output.stem}_runs.csv"), settings)
    chosen = choose(load_motions(mocap, data), clips, seconds)
    model = NoiseModel.load(noise)
    for kind, motions in track(chosen.items(), "measuring", console=Console(stderr=True)):
        runs.once(kind, partial(measure_beside, before, motions, ours, baseline, SKELETONS[skeleton], model))
    found = {kind: values for kind, values in runs.done().items() if kind in chosen}
    rows = summarise(found)
    if skeletons:
        write(output, COLUMNS, [cells(row, COLUMNS) for row in rows], seed="clip names")
        runs.path.unlink()
        show(rows)
        return
    uncertainty = summarise_uncertainty(found)
    tables = (
        (output, COLUMNS, rows),
        (output.with_name(f"{output.stem}_delay.csv"), DELAY_COLUMNS, summarise_delays(found)),
        (output.with_name(f"{output.stem}_uncertainty.csv"), UNCERTAINTY_COLUMNS, uncertainty),
    )
    for path, columns, lines in tables:
        write(path, columns, [cells(row, columns) for row in lines], seed="clip names")
    runs.path.unlink()
    show(rows)
    show_bars(rows, uncertainty)
    if lifter is None and noise == SHIPPED and skeleton == "coco17":
        write_card(rows)


def measure_beside(
    before: Path | None,
    motions: Sequence[LentMotion],
    lifter: LifterNetwork,
    unaware: LifterNetwork | None,
    skeleton: Skeleton,
    noise: NoiseModel,
) -> Values:
    """As `measure`, with the lifter of a checkout."""
    if before is None:
        return measure(motions, lifter, unaware, None, skeleton, noise)
    with EarlierLifter(before) as earlier:
        return measure(motions, lifter, unaware, earlier.lift, skeleton, noise)


if __name__ == "__main__":
    tyro.cli(main)
