"""Writes the measured results into the pages: every table between `<!-- NAME table -->` and `<!-- end -->` in the
README, the docs and `benchmarks/results/*.md`.

    python benchmarks/tables.py

A test compares the pages with the results.
"""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

import tyro

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
TABLE = re.compile(r"(<!-- ([\w ]+) table -->\n).*?(<!-- end -->)", re.DOTALL)

Row = dict[str, str]


ALL_KINDS = "all kinds"
"""Mean of the kinds of motion."""


def lifting() -> str:
    """The error of each method in each condition, mean of views and kinds: of the missing joints, or of all joints if
    none is missing.
    """
    return _lifting_by_condition("view")


def lifting_by_frame() -> str:
    """The same, mean of frames and kinds."""
    return _lifting_by_condition("frame")


def _lifting_by_condition(weighting: str) -> str:
    rows = [row for row in _lifting_rows("lifting", weighting) if _is_shown(row)]
    return pivot(rows, "condition", "method", "p_mpjpe_mm") + _caption("lifting")


def _is_shown(row: Row) -> bool:
    return row["joints"] == ("all" if row["condition"].endswith("all present") else "missing")


def _lifting_rows(name: str, weighting: str = "view", kind: str | None = ALL_KINDS) -> list[Row]:
    """The rows of a table of lifting; of every kind if it is None."""
    rows = [row for row in _rows(name) if row["weighting"] == weighting]
    return [row for row in rows if kind in (None, row["kind"])]


BASELINES = ("hold", "interpolate")
"""Ways to fill missing joints without the truth."""

NOISE = "detector noise, "
"""What the names of conditions with the errors of a front end begin with."""

KINDS_CONDITIONS = (
    *("all present", "arm 1 s", "legs 1 s", "self-occluded"),
    *("detector noise, arm 1 s", "detector noise, self-occluded"),
)
"""Conditions that are shown for each kind of motion."""


def lifting_by_kind() -> str:
    """P-MPJPE of each kind: ours, in parentheses before and the better of hold and interpolate."""
    errors = {
        (row["method"], row["kind"], row["condition"]): float(row["p_mpjpe_mm"])
        for row in _lifting_rows("lifting", kind=None)
        if _is_shown(row)
    }
    lines = []
    for kind in dict.fromkeys(kind for _, kind, _ in errors):
        line = [kind]
        for condition in KINDS_CONDITIONS:
            found = {method: errors.get((method, kind, condition)) for method in ("ours", "before", *BASELINES)}
            filled = min((value for name in BASELINES if (value := found[name]) is not None), default=None)
            figures = (found["ours"], found["before"], filled)
            line.append("{} ({}; {})".format(*("–" if value is None else f"{value:.0f}" for value in figures)))
        lines.append(line)
    return _table_of_lines(["P-MPJPE, mm", *KINDS_CONDITIONS], lines) + _caption("lifting")


def lifting_by_delay() -> str:
    """P-MPJPE of ours by the seconds of later frames, of missing joints in parentheses, in each condition."""
    rows = _rows("lifting_delay")
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        missing = row["missing_p_mpjpe_mm"]
        cell = f"{float(row['p_mpjpe_mm']):.1f}" + (f" ({float(missing):.1f})" if missing else "")
        cells.setdefault(row["condition"], {})[row["delay_s"]] = cell
    delays = list(dict.fromkeys(row["delay_s"] for row in rows))
    lines = [[condition, *(own[delay] for delay in delays)] for condition, own in cells.items()]
    return _table_of_lines(["delay, s", *delays], lines) + _caption("lifting_delay")


def calm_by_delay() -> str:
    """Acceleration and error of the root by the seconds of later frames, exact and as the front end sees."""
    lines = []
    for condition in ("all present", "detector noise, all present", "detector noise, self-occluded"):
        for row in (row for row in _rows("lifting_delay") if row["condition"] == condition):
            root = f"{float(row['root_m']):.2f} ({float(row['root_share']):.1%})"
            accelerations = (f"{float(row[name]):.1f}" for name in ("acceleration", "true_acceleration"))
            lines.append([condition, row["delay_s"], *accelerations, root])
    columns = ["", "delay, s", "acceleration, m/s²", "of the truth", "error of the root, m, and of its distance"]
    return _table_of_lines(columns, lines) + _caption("lifting_delay")


def lifting_uncertainty() -> str:
    """The share of errors within one and two standard deviations, by state, input and delay: least and largest of the
    three axes.
    """
    rows = [row for row in _rows("lifting_uncertainty") if row["kind"] == ALL_KINDS]
    return _uncertainty(rows, ("state", "input"))


def lifting_uncertainty_by_kind() -> str:
    """The same for each kind of motion."""
    return _uncertainty(_rows("lifting_uncertainty"), ("state", "input", "kind"))


def _uncertainty(rows: list[Row], names: tuple[str, ...]) -> str:
    shares: dict[tuple[str, ...], dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        pair = (float(row["within_1_sigma"]), float(row["within_2_sigma"]))
        key = tuple(row[name] for name in names)
        shares.setdefault(key, {}).setdefault(row["delay_s"], []).append(pair)
    delays = list(dict.fromkeys(row["delay_s"] for row in rows))
    lines = []
    for key, found in shares.items():
        line = list(key)
        for delay in delays:
            one, two = zip(*found[delay], strict=True)
            line.append(f"{min(one):.0%} to {max(one):.0%}; {min(two):.0%} to {max(two):.0%}")
        lines.append(line)
    titles = {"state": "", "input": "2D", "kind": "kind"}
    columns = [*(titles[name] for name in names), *(f"delay {delay}" for delay in delays)]
    return _table_of_lines(columns, lines) + _caption("lifting_uncertainty")


def lifting_by_front_end() -> str:
    """P-MPJPE of the network and of skeletons with the errors of two front ends: of the joints that are hidden, or of
    all if none is.
    """
    files = {"movenet": "lifting_skeleton", "movenet-occlusion": "lifting_skeleton_movenet_occlusion"}
    errors: dict[str, list[str]] = {}
    for file in files.values():
        for method in ("ours", "skeleton"):
            for name, error in _errors_of(file, method).items():
                if name.startswith(NOISE):
                    errors.setdefault(name.removeprefix(NOISE), []).append(error)
    columns = ["P-MPJPE, mm", *(f"{name}, {what}" for name in files for what in ("lifted", "skeletons"))]
    lines = [[name, *cells] for name, cells in errors.items()]
    return _table_of_lines(columns, lines) + _caption("lifting_skeleton_movenet_occlusion")


def lifting_of_skeletons() -> str:
    """P-MPJPE of the lifter before, of ours, and of the skeletons that are fitted to it, in each condition."""
    methods = {"before": "before", "ours": "lifted", "skeleton": "skeletons"}
    errors = [_errors_of("lifting_skeleton", method) for method in methods]
    lines = [[name, *(own[name] for own in errors)] for name in errors[0]]
    return _table_of_lines(["P-MPJPE, mm", *methods.values()], lines) + _caption("lifting_skeleton")


def kinds_of_skeletons() -> str:
    """The same of each kind of motion, if all joints are present, and the ratio of the last to the first."""
    rows = [row for row in _lifting_rows("lifting_skeleton", kind=None) if row["condition"] == "all present"]
    errors = {(row["method"], row["kind"]): float(row["p_mpjpe_mm"]) for row in rows}
    lines = []
    for kind in dict.fromkeys(kind for _, kind in errors):
        found = [errors[method, kind] for method in ("before", "ours", "skeleton")]
        lines.append([kind, *(f"{error:.1f}" for error in found), f"{found[2] / found[0]:.2f}"])
    columns = ["P-MPJPE, mm", "before", "lifted", "skeletons", "skeletons / before"]
    return _table_of_lines(columns, lines) + _caption("lifting_skeleton")


def _errors_of(file: str, method: str) -> dict[str, str]:
    """P-MPJPE by condition, of the joints that are hidden, or of all if none is."""
    rows = [row for row in _lifting_rows(file) if row["method"] == method]
    return {row["condition"]: f"{float(row['p_mpjpe_mm']):.1f}" for row in rows if _is_shown(row)}


def pipeline() -> str:
    """The time of each stage, for each number of people."""
    rows = _rows("pipeline")
    number, stage, time, *_ = rows[0]
    return pivot([row for row in rows if row[number].isdigit()], stage, number, time) + _caption("pipeline")


def front_ends() -> str:
    """Each system, for each number of people: time, its ratio to that of BlazePose, and how many people are found."""
    rows = [row for row in _rows("pipeline_front_ends") if row["part"] == "front end"]
    cells = {
        (row["system"], row["people"]): f"{float(row['ms_per_frame']):.0f} ms, {float(row['of_blazepose']):.2f}"
        f" ({float(row['followed']):.1f})"
        for row in rows
    }
    people = list(dict.fromkeys(row["people"] for row in rows))
    systems = dict.fromkeys(row["system"] for row in rows)
    lines = [[system, *(cells[system, number] for number in people)] for system in systems]
    return _table_of_lines(["people", *people], lines) + _caption("pipeline_front_ends")


README_CONDITIONS = {
    "all joints visible": ("all present", "all"),
    "one arm hidden for 1 s": ("arm 1 s", "missing"),
    "both legs hidden for 1 s": ("legs 1 s", "missing"),
    "hidden by the person's own body": ("self-occluded", "missing"),
    "the same, with the errors of the 2D detector": ("detector noise, self-occluded", "missing"),
}
"""Conditions of the lifting benchmark that the README shows, and the joints that count."""


def readme_lifting() -> str:
    """Our error beside that of interpolation, in a few conditions."""
    errors = {(row["method"], row["condition"], row["joints"]): row["p_mpjpe_mm"] for row in _lifting_rows("lifting")}
    lines = [
        [name, *(f"{float(errors[method, *condition]):.0f}" for method in ("ours", "interpolate"))]
        for name, condition in README_CONDITIONS.items()
    ]
    return _table_of_lines(["P-MPJPE in mm", "occlupose", "interpolation"], lines) + _caption("lifting")


README_SYSTEMS = {
    "movenet-occlusion": "occlupose",
    "movenet-multipose": "occlupose, `movenet-multipose`",
    "mediapipe-heavy": "MediaPipe, heavy",
}
"""Systems of README's table of real video and photographs."""


def readme_real() -> str:
    """The mean of both views, and the people found in photographs."""
    video = _by_part("video")
    photographs = _by_part("photographs")
    lines = []
    for system, name in README_SYSTEMS.items():
        both = video[system, "both"]
        found = photographs[system, "found, all joints"]
        hidden = f"{both['hidden_said'] / both['hidden']:.0%}"
        errors = (f"{both['error_px']:.1f}", f"{both['p_mpjpe_mm']:.0f}", f"{both['n_mpjpe_mm']:.0f}")
        lines.append([name, *errors, hidden, f"{100 * found['ap']:.0f}"])
    columns = ["", "2D error, px", "P-MPJPE, mm", "N-MPJPE, mm", "hidden joints said to be hidden", "AP, photographs"]
    return _table_of_lines(columns, lines) + _caption("real")


def headlines() -> str:
    """One or two figures of each benchmark."""
    rows = _lifting_rows("lifting")
    errors = {(row["method"], row["condition"], row["joints"]): float(row["p_mpjpe_mm"]) for row in rows}
    times = {(row["people"], row["stage"]): float(row["ms_per_frame"]) for row in _rows("pipeline")}
    memory = {row["stage"]: row["ms_per_frame"] for row in _rows("pipeline") if row["people"] == "memory"}
    live = {(row["people"], row["latency_s"]): row["mean_ms"] for row in _rows("live") if row["lifter"] == "ours"}
    labelled = max(int(row["poses_per_second"]) for row in _rows("cylinders") if row["camera"] == "perspective")
    fitted = max(_rows("ssf"), key=lambda row: float(row["f1"]))
    lines = [
        ["lifting, all joints visible", "P-MPJPE", _against(errors, "all present", "all")],
        ["lifting, both legs missing for 1 s", "P-MPJPE of missing joints", _against(errors, "legs 1 s", "missing")],
        ["lifting, self-occlusion", "P-MPJPE of missing joints", _against(errors, "self-occluded", "missing")],
        ["whole pipeline, 2 people, 2 megapixels", "time per frame", f"{times['2', 'whole, no video']:.0f} ms"],
        ["whole pipeline, 2 people, 30 s and 5 min", "peak memory", " and ".join(memory.values()) + " MiB"],
        ["live lifting, 1 person, at once", "time per frame", f"{live['1', '0']} ms"],
        ["live lifting, 1 person, 1.5 s later", "time per frame", f"{live['1', 'full']} ms"],
        ["Cylinder Man, perspective", "labels", f"{labelled:,} poses/s"],
        ["labels by fitted bodies", "F1 of occluded joints", f"{float(fitted['f1']):.2f}"],
    ]
    return _table_of_lines(["measured", "metric", "result"], lines)


KINEMATICS_COLUMNS = {
    "error_before_mm": "error before, mm",
    "error_mm": "error, mm",
    "acceleration_before": "acceleration before, m/s²",
    "acceleration": "acceleration",
    "captured_acceleration": "captured acceleration",
    "swing_deg": "swing, °",
    "twist_deg": "twist, elbow or knee bent, °",
    "knee_deg": "straight knee, °",
    "inside": "inside 2 σ",
    "ms_per_frame": "ms a frame",
    "live_error_mm": "live error, mm",
    "live_ms": "live ms",
}
"""Columns of the table of rigid skeletons and their titles."""


def kinematics() -> str:
    """The mean over clips of each kind of joints."""
    means = [row for row in _rows("kinematics") if row["clip"] == "mean"]
    lines = [[f"{row['joints']}, {row['noise']}", *(row[name] for name in KINEMATICS_COLUMNS)] for row in means]
    return _table_of_lines(["joints", *KINEMATICS_COLUMNS.values()], lines) + _caption("kinematics")


JOINT_ANGLE_COLUMNS = {"error_deg": "error, °", "bias_deg": "bias, °", "worst_clip_deg": "worst clip, °"}
"""Columns of the table of joint angles and their titles."""


def joint_angles() -> str:
    """The errors of each joint, for each kind of joints."""
    lines = [
        [f"{row['joints']}, {row['noise']}", row["joint"], *(row[name] for name in JOINT_ANGLE_COLUMNS)]
        for row in _rows("joint_angles")
    ]
    return _table_of_lines(["joints", "flexion of", *JOINT_ANGLE_COLUMNS.values()], lines) + _caption("joint_angles")


FLOOR_COLUMNS = {
    "scenes": "scenes",
    "up_deg": "up, °",
    "floor_cm": "floor, cm",
    "up_inside": "up inside 2 σ",
    "floor_inside": "floor inside 2 σ",
}
"""Columns of the table of up and the floor and their titles."""

CONTACT_COLUMNS = {
    "people": "people",
    "precision": "precision",
    "recall": "recall",
    "slide_before_cm": "slide before, cm",
    "slide_cm": "slide, cm",
    "float_before_cm": "float before, cm",
    "float_cm": "float, cm",
}
"""Columns of the table of contacts and their titles."""


def floor() -> str:
    """Up and the floor after five seconds, by kind."""
    lines = [[row["kind"], *(row[name] for name in FLOOR_COLUMNS)] for row in _rows("floor") if row["seconds"] == "5.0"]
    return _table_of_lines(["after 5 s of", *FLOOR_COLUMNS.values()], lines) + _caption("floor")


def floor_contacts() -> str:
    """Contacts by kind."""
    lines = [[row["kind"], *(row[name] for name in CONTACT_COLUMNS)] for row in _rows("floor_contacts")]
    return _table_of_lines(["contacts", *CONTACT_COLUMNS.values()], lines) + _caption("floor_contacts")


def _against(errors: dict[tuple[str, str, str], float], condition: str, joints: str) -> str:
    ours = errors["ours", condition, joints]
    baseline = errors["interpolate", condition, joints]
    return f"{ours:.1f} mm (interpolation: {baseline:.1f} mm)"


PAPER_TABLE2 = {
    "3D TCN": (54.0, 42.1),
    "+ 2D TCN": (51.7, 40.5),
    "+ occlusion-aware": (46.3, 35.4),
    "+ symmetry": (45.8, 34.8),
    "+ adversarial": (45.1, 34.3),
    "+ pose regularisation": (44.8, 34.1),
    "+ augmentation": (42.9, 32.8),
}
"""MPJPE and P-MPJPE on Human3.6M in OANet's table 2, mm."""


OANET_ERRORS = {"mpjpe_mm": "MPJPE", "p_mpjpe_mm": "P-MPJPE", "occluded_mpjpe_mm": "MPJPE, occluded joints"}
"""Columns of the OANet tables and their titles."""


def oanet_table2() -> str:
    """What each part of OANet adds: mean and standard deviation over seeds, and the paper's figures."""
    seeds = group_runs(_rows("oanet_table2"), ("row",))
    lines = [
        [name, *mean_and_deviation(seeds[name,]), *(f"{value:.1f}" for value in paper)]
        for name, paper in PAPER_TABLE2.items()
        if (name,) in seeds
    ]
    columns = ["", *OANET_ERRORS.values(), "paper MPJPE", "paper P-MPJPE"]
    return _table_of_lines(columns, lines) + _caption("oanet_table2")


def oanet_tried() -> str:
    """Other weights and settings, compared with the run that they change, which is also a cell of table 1."""
    base = [
        {"change": "unchanged"} | row
        for row in _rows("oanet_table1")
        if (row["length"], row["threshold"]) == ("64", "0.3")
    ]
    seeds = group_runs([*base, *_rows("oanet_tried")], ("change",))
    lines = [[*change, *mean_and_deviation(runs)] for change, runs in seeds.items()]
    return _table_of_lines(["", *OANET_ERRORS.values()], lines) + _caption("oanet_tried")


def oanet_table1() -> str:
    """MPJPE for each sequence length and threshold, of occluded joints in parentheses."""
    rows = _rows("oanet_table1")
    cells = {
        (row["length"], row["threshold"]): f"{float(row['mpjpe_mm']):.1f} ({float(row['occluded_mpjpe_mm']):.1f})"
        for row in rows
    }
    lengths = sorted({row["length"] for row in rows}, key=float)
    thresholds = sorted({row["threshold"] for row in rows}, key=float)
    lines = [[length, *(cells.get((length, threshold), "") for threshold in thresholds)] for length in lengths]
    columns = ["frames", *(f"b = {threshold}" for threshold in thresholds)]
    return _table_of_lines(columns, lines) + _caption("oanet_table1")


def evidence_claims() -> str:
    """The verdict on each claim of docs/evidence.md: that of its main comparison."""
    return _evidence([row for row in _rows("evidence") if row["main"] == "yes"])


def evidence() -> str:
    """The verdict on every comparison of docs/evidence.md."""
    return _evidence(_rows("evidence")) + _caption("evidence")


def _evidence(rows: list[Row]) -> str:
    lines = [
        [
            *(row[name] for name in ("claim", "text", "condition", "metric", "seeds", "control")),
            f"{row['difference']} ({row['low']} to {row['high']})" if row["difference"] else "",
            row["verdict"],
        ]
        for row in rows
    ]
    columns = ["runs", "claim", "condition", "score", "seeds", "control", "difference, 95 % interval", "verdict"]
    return _table_of_lines(columns, lines)


def oanet_semi() -> str:
    """What video without 3D adds when only a fraction of the clips has 3D."""
    seeds = group_runs(_rows("oanet_semi"), ("labelled", "two_d_only"))
    lines = [
        [f"{float(fraction):.0%}", two_d, *mean_and_deviation(errors)]
        for (fraction, two_d), errors in sorted(seeds.items())
    ]
    return _table_of_lines(["with 3D", "2D of the others", *OANET_ERRORS.values()], lines) + _caption("oanet_semi")


def group_runs(
    rows: list[Row], keys: tuple[str, ...], figures: tuple[str, ...] = tuple(OANET_ERRORS)
) -> dict[tuple[str, ...], list[list[float]]]:
    """The results of each run, grouped by some columns."""
    runs: dict[tuple[str, ...], list[list[float]]] = {}
    for row in rows:
        runs.setdefault(tuple(row[key] for key in keys), []).append([float(row[name]) for name in figures])
    return runs


def mean_and_deviation(runs: list[list[float]], digits: int = 1) -> list[str]:
    """Mean and standard deviation of each result; only the mean for a single run."""
    cells = []
    for figures in zip(*runs, strict=True):
        deviation = f" ± {stdev(figures):.{digits}f}" if len(runs) > 1 else ""
        cells.append(f"{mean(figures):.{digits}f}{deviation}")
    return cells


def estimators() -> str:
    """The sizes of estimators, also counted as in publications for comparison."""
    lines = [
        [
            row["model"],
            row["parameters_m"],
            row["multiply_adds_g"],
            row["source"],
            row["convention"],
            _beside(row, "parameters"),
            _beside(row, "multiply_adds"),
        ]
        for row in _rows("estimators")
    ]
    columns = [
        "",
        "M parameters",
        "G multiply-adds",
        "published by",
        "counted",
        "M parameters, ours / theirs",
        "G, ours / theirs",
    ]
    return _table_of_lines(columns, lines) + _caption("estimators")


def _beside(row: Row, what: str) -> str:
    unit = {"parameters": "m", "multiply_adds": "g"}[what]
    ours = row[f"{what}_counted_{unit}"]
    theirs = row[f"{what}_published_{unit}"]
    return f"{ours} / {theirs} = {row[f'{what}_ratio']}" if theirs else ""


LJOF_SCORES = {"ap": "AP", "ap_occluded": "AP, occluded joints", "ar": "AR"}
"""Columns of the LJOF tables and their titles."""


LJOF_GRID = {
    f"LJA, number {number}, size {size}": (number, size)
    for number in ("0.15", "0.30", "0.45")
    for size in ("0.10", "0.20", "0.30")
}
"""Variants of the LJOF ablation with other numbers and sizes of blocks; one of them is called LJA there."""

LJOF_LONG = ", from the start"
"""Suffix of variants that are complete trainings."""


def ljof_ablation() -> str:
    """The effect of each part of LJOF, in percent: mean and standard deviation over seeds."""
    rows = [
        row
        for row in _rows("ljof_ablation")
        if row["variant"] not in LJOF_GRID and not row["variant"].endswith(LJOF_LONG)
    ]
    seeds = group_runs(rows, ("estimator", "variant"), tuple(LJOF_SCORES))
    estimators = list(dict.fromkeys(estimator for estimator, _ in seeds))
    names = sorted(seeds, key=lambda name: (estimators.index(name[0]), name[1] != "baseline"))
    lines = [
        [*name, str(len(seeds[name])), *mean_and_deviation([[100 * value for value in run] for run in seeds[name]], 2)]
        for name in names
    ]
    return _table_of_lines(["estimator", "", "seeds", *LJOF_SCORES.values()], lines) + _caption("ljof_ablation")


def ljof_long() -> str:
    """Complete trainings with and without LJOF."""
    rows = [row for row in _rows("ljof_ablation") if row["variant"].endswith(LJOF_LONG)]
    lines = [
        [
            row["estimator"],
            row["variant"].removesuffix(LJOF_LONG),
            *(f"{100 * float(row[column]):.2f}" for column in LJOF_SCORES),
        ]
        for row in rows
    ]
    return _table_of_lines(["estimator", "from the start", *LJOF_SCORES.values()], lines) + _caption("ljof_ablation")


def ljof_grid() -> str:
    """AP, and in parentheses of occluded joints, by number and size of the blocks; of one estimator."""
    seeds = group_runs(
        [row for row in _rows("ljof_ablation") if row["estimator"] == "simple_baseline_small"],
        ("variant",),
        tuple(LJOF_SCORES),
    )
    cells = {}
    for variant, cell in LJOF_GRID.items():
        default = seeds.get(("LJA",)) if cell == ("0.15", "0.20") else None
        runs = seeds.get((variant,)) or default or []
        means = [100 * mean(column) for column in zip(*runs, strict=True)]
        cells[cell] = f"{means[0]:.2f} ({means[1]:.2f})" if runs else ""
    numbers = list(dict.fromkeys(number for number, _ in cells))
    sizes = list(dict.fromkeys(size for _, size in cells))
    lines = [[number, *(cells[number, size] for size in sizes)] for number in numbers]
    return _table_of_lines(["number", *(f"size {size}" for size in sizes)], lines) + _caption("ljof_ablation")


HUPOR_SCORES = {
    "pck_rel": "PCK, relative",
    "pck_abs": "PCK, absolute",
    "pck_occ": "PCK, occluded joints",
    "mpjpe_mm": "MPJPE, mm",
}
"""Columns of the HUPOR table and their titles."""

PAPER_HUPOR = {
    "detection only": ("74", "", ""),
    "+ DSED": ("78.77", "58.98", ""),
    "DSED, blocks 2-4": ("75.07", "54.83", ""),
    "DSED, blocks 3-4": ("75.07", "54.80", ""),
    "DSED, block 4": ("75.11", "54.81", ""),
    "DSED, blocks 1+4": ("77.95", "57.97", ""),
    "DSED, with the image": ("78.23", "58.58", ""),
    "+ DSED + RefineNet, MLP": ("83.9", "74.0", "93.3"),
    "+ DSED + RefineNet, GCN": ("84.3", "74.1", "90.8"),
}
"""PCK on MuPoTS-3D, relative and of occluded joints, and MPJPE: tables 4, 5 and 6 of HUPOR's supplement, which have
different settings; for detection only, from the authors' code.
"""


def hupor_ablation() -> str:
    """The effect of each part of HUPOR: mean and standard deviation over seeds, and the paper's figures on another
    dataset.
    """
    seeds = group_runs(_rows("hupor_ablation"), ("variant",), tuple(HUPOR_SCORES))
    lines = [
        [name, str(len(runs)), *mean_and_deviation(runs), *PAPER_HUPOR.get(name, ("", "", ""))]
        for (name,), runs in seeds.items()
    ]
    columns = ["", "seeds", *HUPOR_SCORES.values(), "paper, relative", "paper, occluded", "paper, MPJPE"]
    return _table_of_lines(columns, lines) + _caption("hupor_ablation")


def hupor_bases() -> str:
    """AP of networks without reasoning, with an hourglass and with DSED: mean and standard deviation over seeds."""
    seeds = group_runs(_rows("hupor_bases"), ("base", "reasoning", "scales", "paper"), ("ap", "ap_hidden", "ar"))
    lines = [
        [base, reasoning, scales, str(len(runs)), *mean_and_deviation(runs), paper]
        for (base, reasoning, scales, paper), runs in seeds.items()
    ]
    columns = ["base", "reasoning", "scales", "seeds", "AP", "AP, hidden joints", "AR", "paper, AP"]
    return _table_of_lines(columns, lines) + _caption("hupor_bases")


def real_video() -> str:
    """Every system on each view of the real video, and the mean of both."""
    lines = []
    for (system, view), values in _by_part("video").items():
        found = " and ".join(f"{values[name]:.0f}" for name in ("frames_2d", "frames_3d"))
        lines.append(
            [
                system,
                view,
                f"{values['error_px']:.1f}",
                f"{values['pck_20']:.2f}",
                f"{values['pck_10']:.2f}",
                f"{found} of {values['frames']:.0f}",
                f"{values['swapped']:.0f}",
                f"{values['p_mpjpe_mm']:.0f}",
                f"{values['n_mpjpe_mm']:.0f}",
                f"{values['acceleration']:.0f}",
                _share(values["hidden_said"], values["hidden"]),
                _share(values["seen_said_hidden"], values["seen"]),
            ]
        )
    columns = ["", "view", "2D error, px", "PCK@.2", "PCK@.1", "frames in 2D and 3D", "swapped", "P-MPJPE, mm"]
    columns += ["N-MPJPE, mm", "acceleration, m/s²", "hidden joints said to be hidden", "well seen ones said so"]
    return _table_of_lines(columns, lines) + _caption("real")


def real_photographs() -> str:
    """AP of every system on people who are found and in true boxes, in percent, of all joints and of hidden ones."""
    parts = _by_part("photographs")
    lines = []
    for system, boxes in [(system, part.split(", ")[0]) for system, part in parts if part.endswith(", all joints")]:
        everything = parts[system, f"{boxes}, all joints"]
        hidden = parts[system, f"{boxes}, hidden joints"]
        predictions = f"{everything['predictions']:.0f}"
        lines.append([system, boxes, predictions, _with_interval(everything), _with_interval(hidden)])
    return _table_of_lines(["", "people", "predictions", "AP", "AP, hidden joints"], lines) + _caption("real")


def real_joints() -> str:
    """Similarity of visible and hidden joints in true boxes, and how well both are told apart, with the gain."""
    metrics = {
        "visible joints, oks": "OKS of visible joints",
        "hidden joints, oks": "OKS of hidden joints",
        "close-ups, oks": "OKS in close-ups",
        "visible or hidden, auc": "AUC",
    }
    systems: dict[str, dict[str, float]] = {}
    for (system, part), values in _by_part("photographs").items():
        if part.startswith("joints in true boxes"):
            found = {f"{part.partition(', ')[2]}, {metric}": value for metric, value in values.items()}
            systems.setdefault(system, {}).update(found)
    lines = []
    for system, values in systems.items():
        line = [system]
        for metric in metrics:
            gain = f"{values[f'{metric} gain']:+.3f}"
            interval = f"{values[f'{metric} gain_low']:+.3f} to {values[f'{metric} gain_high']:+.3f}"
            line.append(f"{values[metric]:.3f} ({gain}, {interval})")
        lines.append(line)
    return _table_of_lines(["", *metrics.values()], lines) + _caption("real")


OCCLUDED_METRICS = {
    "visible, median error": "visible: median error",
    "visible, near": "within 0.05",
    "occluded, median error": "occluded: median error",
    "occluded, 90 % error": "90 %",
    "outside, median error": "outside: median error",
    "auc": "AUC",
    "recall": "recall",
    "f1": "F1",
    "false alarms": "false alarms",
    "calibration error": "calibration error",
}
"""Columns of the table of hidden keypoints and their titles."""


def occluded_keypoints() -> str:
    """Every network on held-out photographs and synthetic people."""
    metrics: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in _rows("occluded_keypoints"):
        key = (row["network"], row["runs"], row["data"])
        metrics.setdefault(key, {})[row["metric"]] = float(row["value"])
    lines = [[*key, *(f"{values[name]:.3f}" for name in OCCLUDED_METRICS)] for key, values in metrics.items()]
    columns = ["", "runs", "data", *OCCLUDED_METRICS.values()]
    return _table_of_lines(columns, lines) + _caption("occluded_keypoints")


def networks_oracle() -> str:
    """The differences of each network and runtime from TensorFlow."""
    lines = []
    for row in _rows("networks_oracle"):
        positions = f"{row['over_0.1_px']} of {row['positions']}"
        confidences = f"{row['confidences_over_0.001']} of {row['confidences']}"
        line = [row["network"], row["runtime"], row["largest_px"], positions, row["ties"]]
        lines.append([*line, row["smallest_margin"], row["largest_confidence"], confidences])
    columns = ["", "runtime", "largest difference, px", "over 0.1 px", "of them ties", "smallest margin"]
    columns += ["largest difference of a confidence", "over 0.001"]
    return _table_of_lines(columns, lines) + _caption("networks_oracle")


def runtimes() -> str:
    """CPU and wall time of a call in onnxruntime, ms, and the ratios of the others to it."""
    times: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in _rows("runtimes"):
        times.setdefault((row["network"], row["batch"], row["threads"]), {})[row["runtime"]] = row
    lines = []
    for key, found in times.items():
        ours = found.pop("onnxruntime")
        ratios = [f"{row['cpu_ratio']} and {row['wall_ratio']}" for row in found.values()]
        lines.append([*key, ours["cpu_ms"], ours["wall_ms"], *ratios])
    columns = ["", "batch", "threads", "CPU time, ms", "wall time, ms", "torch: ratio of both", "LiteRT: ratio of both"]
    return _table_of_lines(columns, lines) + _caption("runtimes")


def _by_part(data: str) -> dict[tuple[str, str], dict[str, float]]:
    """The metrics of a part of real.csv, by system and part."""
    metrics: dict[tuple[str, str], dict[str, float]] = {}
    for row in _rows("real"):
        if row["data"] == data:
            metrics.setdefault((row["system"], row["part"]), {})[row["metric"]] = float(row["value"])
    return metrics


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%} of {whole:.0f}" if whole else "none"


def _with_interval(values: dict[str, float]) -> str:
    return f"{100 * values['ap']:.1f} ({100 * values['ap_low']:.1f} to {100 * values['ap_high']:.1f})"


TABLES: dict[str, Callable[[], str]] = {
    "readme lifting": readme_lifting,
    "kinematics": kinematics,
    "joint angles": joint_angles,
    "floor": floor,
    "contacts of floor": floor_contacts,
    "readme real": readme_real,
    "headlines": headlines,
    "lifting": lifting,
    "frames of lifting": lifting_by_frame,
    "kinds of lifting": lifting_by_kind,
    "delays of lifting": lifting_by_delay,
    "calm of lifting": calm_by_delay,
    "uncertainty of lifting": lifting_uncertainty,
    "uncertainty by kind of lifting": lifting_uncertainty_by_kind,
    "front ends of lifting": lifting_by_front_end,
    "skeletons of lifting": lifting_of_skeletons,
    "kinds of skeletons of lifting": kinds_of_skeletons,
    "pipeline": pipeline,
    "front ends of pipeline": front_ends,
    "parts of oanet_table2": oanet_table2,
    "changes of oanet_tried": oanet_tried,
    "grid of oanet_table1": oanet_table1,
    "shares of oanet_semi": oanet_semi,
    "claims of evidence": evidence_claims,
    "verdicts of evidence": evidence,
    "sizes of estimators": estimators,
    "parts of ljof_ablation": ljof_ablation,
    "grid of ljof_ablation": ljof_grid,
    "long of ljof_ablation": ljof_long,
    "parts of hupor_ablation": hupor_ablation,
    "means of hupor_bases": hupor_bases,
    "video of real": real_video,
    "photographs of real": real_photographs,
    "joints of real": real_joints,
    "networks of occluded_keypoints": occluded_keypoints,
    "all of networks_oracle": networks_oracle,
    "all of runtimes": runtimes,
}
"""Tables that are computed, by the name in a page. `whole NAME` is all of NAME.csv."""


def fill(page: str) -> str:
    """The page with its tables as measured now.

    Raises:
        KeyError: the page has an unknown table.
    """

    def replace(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        try:
            content = whole(name.removeprefix("whole ")) if name.startswith("whole ") else TABLES[name]()
        except FileNotFoundError:
            content = "Not measured yet."
        return f"{begin}{content}\n{end}"

    return TABLE.sub(replace, page)


def whole(name: str) -> str:
    """All rows of a result."""
    return markdown_table(_rows(name)) + _caption(name)


def pivot(rows: list[Row], down: str, across: str, value: str) -> str:
    """One line for each value of the column `down`, one column for each of `across`; one decimal of the numbers."""
    values = {(row[down], row[across]): f"{float(row[value]):.1f}" for row in rows}
    names = list(dict.fromkeys(row[down] for row in rows))
    columns = list(dict.fromkeys(row[across] for row in rows))
    return markdown_table(
        [{down: name} | {column: values.get((name, column), "") for column in columns} for name in names]
    )


def markdown_table(rows: list[Row]) -> str:
    """The rows as a Markdown table, numbers right-aligned."""
    lines = [
        list(rows[0]),
        [_alignment([row[column] for row in rows]) for column in rows[0]],
        *(row.values() for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _table_of_lines(columns: list[str], lines: list[list[str]]) -> str:
    return markdown_table([dict(zip(columns, line, strict=True)) for line in lines])


def _alignment(cells: list[str]) -> str:
    return "---:" if all(re.fullmatch(r"[-\d.]*", cell) for cell in cells) else "---"


def _rows(name: str) -> list[Row]:
    with (RESULTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _caption(name: str) -> str:
    how = json.loads((RESULTS / f"{name}.json").read_text())
    return f"\n\n`{how['command']}`, on {how['machine']}."


def main() -> None:
    """Updates the tables of all pages."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(RESULTS.glob("*.md"))]:
        page = path.read_text(encoding="utf-8")
        if (filled := fill(page)) != page:
            path.write_text(filled, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    tyro.cli(main)
