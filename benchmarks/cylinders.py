"""How many poses per second does the Cylinder Man label, compared with a direct implementation of the paper?

    python benchmarks/cylinders.py

Bodies in H36M-17, float32, in random poses seen from the paper's virtual views. `paper, one by one` constructs the
rectangles by cross products in NumPy, one body at a time; `paper, all at once` is the same code on all bodies together.
Both give the same labels as `self_occluded` with the paper's camera and rules, which is checked. `speedup_over_numpy`
compares with the latter. Medians of several rounds; other load on the machine distorts them. Prints a table and writes
results/cylinders.csv.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
import tyro
from jaxtyping import Bool, Float
from results import write
from rich.console import Console
from rich.table import Table

from occlupose.occlusion.cylinders import OURS, PAPER, OcclusionRules, self_occluded, visibility
from occlupose.skeletons import H36M17
from occlupose.synth.virtual_cameras import paper_rotations

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("version", "camera", "rules", "threads", "poses_per_second", "speedup_over_numpy")
STANDING = {  # m; left, up, forward
    "pelvis": (0, 0, 0),
    "hip": (0.1, 0, 0),
    "knee": (0.12, -0.43, 0.02),
    "ankle": (0.12, -0.87, 0),
    "spine": (0, 0.2, 0),
    "thorax": (0, 0.47, 0),
    "neck_nose": (0, 0.6, 0),
    "head_top": (0, 0.75, 0.02),
    "shoulder": (0.18, 0.47, 0),
    "elbow": (0.25, 0.18, 0),
    "wrist": (0.28, -0.07, 0.08),
}
PARTS = (
    ("thorax", "head_top", ("neck_nose",)),
    ("thorax", "pelvis", ("spine",)),
    *(
        (f"{side}_{start}", f"{side}_{end}", ())
        for side in ("left", "right")
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    ),
)


def bodies(count: int, seed: int) -> Float[torch.Tensor, "count 17 3"]:
    """Standing people 5 m away, with joints displaced by 0.1 m."""
    generator = torch.Generator().manual_seed(seed)
    rest = torch.tensor([STANDING[name.removeprefix("left_").removeprefix("right_")] for name in H36M17.joints])
    rest[[name.startswith("right_") for name in H36M17.joints], 0] *= -1
    joints = rest + 0.1 * torch.randn(count, len(H36M17), 3, generator=generator)
    return joints @ paper_rotations(generator, count).mT + torch.tensor([0.0, 0.0, 5.0])


def construction(joints: Float[np.ndarray, "body 17 3"]) -> Bool[np.ndarray, "body 17"]:
    """Which joints are occluded, by the construction in section 4 of the paper."""
    at = dict(zip(H36M17.joints, np.moveaxis(joints, 1, 0), strict=True))
    result = np.zeros(joints.shape[:2], bool)
    for number, (start, end, carried) in enumerate(PARTS):
        radius = np.full(len(joints), 0.1 if number == 0 else 0.05)
        if number == 1:
            radius = np.linalg.norm(at["thorax"] - at["left_shoulder"], axis=-1)
        axis = at[end] - at[start]
        across = np.cross(axis, [0, 0, 1])
        across *= (radius / np.linalg.norm(across, axis=-1))[:, None]
        corners = [at[start] + across, at[end] + across, at[end] - across, at[start] - across]
        normal = np.cross(axis, across)
        normal *= -np.sign(normal[:, 2:])
        for joint, name in enumerate(H36M17.joints):
            if name not in (start, end, *carried):
                position = joints[:, joint]
                sides = zip(corners, corners[1:] + corners[:1], strict=True)
                turns = np.stack([np.cross(b - a, position - a)[:, 2] > 0 for a, b in sides])
                result[:, joint] |= (turns.all(0) | ~turns.any(0)) & (((position - at[start]) * normal).sum(-1) <= 0)
    return result


def speed(work: Callable[[], object], count: int, rounds: int) -> float:
    """Poses per second: median of several rounds after a warm-up."""
    work()
    times = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return count / median(times)


def main(count: int = 65536, rounds: int = 7, seed: int = 0, output: Path = RESULTS / "cylinders.csv") -> None:
    """Measure the speed of occlusion labels.

    Args:
        count: bodies.
        rounds: of each measurement.
        seed: of the bodies.
        output: CSV file to write.
    """
    joints = bodies(count, seed)
    few = joints[: max(1, count // 256)]
    threads = torch.get_num_threads()
    labels = self_occluded(joints, H36M17, perspective=False, rules=PAPER).numpy()
    if (labels != construction(joints.numpy())).mean() > 1e-5:
        raise SystemExit("the labels differ from the paper's construction")
    one_by_one = speed(lambda: [construction(body[None]) for body in few.numpy()], len(few), rounds)
    at_once = speed(lambda: construction(joints.numpy()), count, rounds)
    rows: list[tuple[object, ...]] = [
        (f"paper, {how}", "orthographic", "paper", 1, round(value), round(value / at_once, 2))
        for how, value in (("one by one", one_by_one), ("all at once", at_once))
    ]

    def add(version: str, work: Callable[[bool, OcclusionRules], object], threads: int) -> None:
        torch.set_num_threads(threads)
        for camera, rules, name in (
            ("orthographic", PAPER, "paper"),
            ("orthographic", OURS, "ours"),
            ("perspective", OURS, "ours"),
        ):
            value = speed(partial(work, camera == "perspective", rules), count, rounds)
            rows.append((version, camera, name, threads, round(value), round(value / at_once, 2)))

    def hard(perspective: bool, rules: OcclusionRules) -> object:
        return self_occluded(joints, H36M17, perspective=perspective, rules=rules)

    def soft(perspective: bool, rules: OcclusionRules) -> object:
        with torch.no_grad():
            return visibility(joints, H36M17, perspective=perspective, rules=rules)

    def gradient(perspective: bool, rules: OcclusionRules) -> object:
        for batch in joints.split(2048):
            leaf = batch.clone().requires_grad_()
            visibility(leaf, H36M17, perspective=perspective, rules=rules).sum().backward()
        return None

    for version, work in (("self_occluded", hard), ("visibility", soft), ("visibility and gradient", gradient)):
        for number in sorted({1, threads}):
            add(version, work, number)
    table = Table(*COLUMNS, title=f"{count} bodies; load of the machine {os.getloadavg()[0]:.1f}")
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)
    write(output, COLUMNS, rows, seed=seed)


if __name__ == "__main__":
    tyro.cli(main)
