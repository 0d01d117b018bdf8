"""Accuracy and speed of fitting the default body to motion capture.

    python benchmarks/retargeting.py --mocap MOCAP

Eight poses per second of every subject (subject `clips` is the file of joint positions, on one generic skeleton). The
body shape is fitted to 48 poses of the subject, then all poses are fitted in batches of 512. The error is the distance
of the body's joints from the captured ones: 12 of the limbs, pelvis, spine, base and top of the neck, top of the head,
balls of the feet and knuckles; the capture has no face. Feet and hands have columns of their own. `batch_speedup`
compares with fitting one pose at a time. Writes results/retargeting.csv and prints it.
"""

from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import torch
import tyro
from results import write
from rich.console import Console
from rich.table import Table

from occlupose.bodies.anny import anny
from occlupose.bodies.fitting import fit_pose
from occlupose.datasets.formats.cmu import load_clips
from occlupose.skeletons import BODY26
from occlupose.synth.pose_prior import BATCH_SIZE, FACE_JOINTS, JOINT_WEIGHTS, POSES_PER_SECOND, fit_subject_shape

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("subject", "poses", "error_mm", "error_95_mm", "feet_mm", "hands_mm", "poses_per_second", "batch_speedup")
EXTREMITIES = {"feet": BODY26.index("left_foot", "right_foot"), "hands": BODY26.index("left_hand", "right_hand")}
SINGLE_POSES = 40


def main(mocap: Path, results: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = RESULTS) -> None:
    """Fit the default body to motion capture and measure the error.

    Args:
        mocap: folder with the CMU motion capture.
        results: folder of the table.
    """
    body = anny(captured=True)
    clips = load_clips(mocap)
    rows = []
    all_errors = []
    for subject in dict.fromkeys(clip.subject for clip in clips):
        frames = [clip.body26[:: round(clip.fps / POSES_PER_SECOND)] for clip in clips if clip.subject == subject]
        joints = torch.from_numpy(np.concatenate(frames).astype(np.float32))
        shape = fit_subject_shape(joints, body)
        start = perf_counter()
        fitted = [
            fit_pose(part, body, shape.expand(len(part), -1), joint_weights=JOINT_WEIGHTS)
            for part in joints.split(BATCH_SIZE)
        ]
        speed = len(joints) / (perf_counter() - start)
        start = perf_counter()
        for joint in joints[:SINGLE_POSES]:
            fit_pose(joint[None], body, shape[None], joint_weights=JOINT_WEIGHTS)
        single_speed = min(SINGLE_POSES, len(joints)) / (perf_counter() - start)
        error = 1000 * (torch.cat([part.joints for part in fitted]) - joints).norm(dim=-1).numpy()[:, FACE_JOINTS:]
        extremities = [error[:, np.array(places) - FACE_JOINTS].mean() for places in EXTREMITIES.values()]
        all_errors.append(error)
        mean = error.mean(1)
        rows.append(
            (
                subject,
                len(joints),
                *np.round([mean.mean(), np.percentile(mean, 95), *extremities], 1),
                round(speed),
                round(speed / single_speed, 1),
            )
        )
    mean = np.concatenate(all_errors).mean(1)
    rows.append(("all", len(mean), round(mean.mean(), 1), round(np.percentile(mean, 95), 1), "", "", "", ""))
    write(results / "retargeting.csv", COLUMNS, rows)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
