"""The lifter and the skeletons that are fitted to it, on real video: hidden joints believed, dropped or weighed,
at every delay.

    python benchmarks/real_lifting.py --video-truth TRUTH --videos VIDEOS

The video, its truth and the metrics are those of `real.py`. The 2D of a front end is lifted with its hidden joints as
guesses that count as much as they are certain (`weigh`, what the package does), as if they were seen (`believe`), and
without them (`drop`). `joints`: those of the lifter, or of the skeletons, which are fitted frame by frame but for the
longest delay, `inf`, that of `occlupose run`. `root_m`: mean distance of the middle of the hips from the truth, with
the true camera. `lag_ms`: the shift in time of the output at which it fits the truth best, by the velocity of the
joints. Means of both views. Writes results/real_lifting.csv.
"""

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import tyro
from real import BODY, CAMERAS, FIRST, HIPS, Person, View, both, find_person, from_first, load_view, score_video
from results import write
from rich.console import Console
from tables import markdown_table

from occlupose.methods.lifter.lifting import TrackLifter
from occlupose.methods.lifter.network import LifterNetwork, load
from occlupose.methods.lifter.streaming import StreamLifter
from occlupose.methods.oanet.estimator import OANet
from occlupose.pipeline import run
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import H36M17
from occlupose.world import LiveStanding, stand

FRONT_ENDS = ("movenet", "movenet-occlusion")
DELAYS = (0.0, 0.1, 0.3, 1.0, inf)
HIDDEN = ("weigh", "believe", "drop")
JOINTS = ("lifter", "skeleton")
COLUMNS = ("front_end", "hidden", "joints", "delay", "n_mpjpe_mm", "p_mpjpe_mm", "root_m", "acceleration", "lag_ms")
MAX_LAG = 12
"""Frames to either side in which the lag is looked for."""


def detect(front_end: str, video: Path, view: View) -> Poses:
    """The 2D of the person in the truth."""
    found = run(video, OANet(front_end), camera=view.camera).observed
    assert found is not None
    return found.select(person=int(found.track_id[find_person(found.select(joint=BODY.joints).xy, view)]))


def treat(poses: Poses, hidden: str) -> Poses:
    """The poses with hidden joints as one of HIDDEN."""
    is_hidden = poses.state == OCCLUDED
    if hidden == "believe":
        return replace(poses, state=np.where(is_hidden, VISIBLE, poses.state))
    if hidden == "drop":
        spread = None if poses.spread is None else np.where(is_hidden, np.nan, poses.spread)
        return replace(
            poses,
            state=np.where(is_hidden, ABSENT, poses.state),
            xy=np.where(is_hidden[..., None], np.nan, poses.xy),
            score=np.where(is_hidden, 0, poses.score),
            spread=spread,
        )
    return poses


def lift_live(poses: Poses, view: View, lifter: LifterNetwork, delay: float) -> Poses:
    """The person as a stream gives them with this delay."""
    lifter_2d = PosesBuilder(poses.skeleton, poses.fps, view.camera)
    stream = StreamLifter(TrackLifter(view.camera, None, lifter), lifter_2d, delay)
    found = []
    for frame, time in enumerate(poses.time):
        present = (poses.state[frame] != ABSENT).any(-1)
        arrays = {name: values[frame, present] for name, values in poses.arrays.items()}
        found += stream.update(FramePoses(time, poses.track_id[present], **arrays))
    lifted = PosesBuilder(H36M17, poses.fps, view.camera, in_3d=True)
    for one in [*found, *stream.finish()]:
        arrays = {name: values[0] for name, values in one.arrays.items()}
        lifted.frames.append(FramePoses(one.time[0], one.track_id, **arrays))
    return replace(lifted.poses(poses.track_id.tolist()), observed=poses)


def fit_live(lifted: Poses) -> Poses:
    """Skeletons as a stream gives them, without looking ahead."""
    standing = LiveStanding(lifted.fps)
    frames = [standing.update(lifted.select(slice(frame, frame + 1))) for frame in range(len(lifted))]
    return replace(lifted, xyz=np.concatenate([frame.xyz for frame in frames]))


def score(lifted: Poses, view: View) -> dict[str, float]:
    """The metrics of one view."""
    lifted = lifted.select(joint=BODY.joints)
    assert lifted.xyz is not None and lifted.observed is not None
    observed = lifted.observed.select(joint=BODY.joints)
    state = lifted.state[:, 0]
    person = Person(observed.xy[:, 0], lifted.xyz[:, 0], state != ABSENT, state == OCCLUDED)
    metrics = score_video(from_first(person), from_first(view))
    hips = person.xyz[FIRST:, HIPS].mean(1) - view.xyz[FIRST:, HIPS].mean(1)
    metrics["root_m"] = float(np.nanmean(np.linalg.norm(hips, axis=-1)))
    metrics["lag_ms"] = 1000 / view.fps * find_lag(person.xyz[FIRST:], view.xyz[FIRST:])
    return metrics


def find_lag(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Frames by which the velocity of the predicted joints, relative to the hips, comes after that of the truth."""
    velocities = [np.diff(xyz - xyz[:, HIPS].mean(1, keepdims=True), axis=0) for xyz in (predicted, truth)]
    middle = slice(MAX_LAG, len(velocities[0]) - MAX_LAG)
    lags = np.arange(-MAX_LAG, MAX_LAG + 1)
    errors = []
    for lag in lags:
        shifted = np.roll(velocities[0], -lag, axis=0)[middle]
        errors.append(float(np.nanmean((shifted - velocities[1][middle]) ** 2)))
    best = int(np.argmin(errors))
    if not 0 < best < len(lags) - 1:
        return float(lags[best])
    before, at, after = errors[best - 1 : best + 2]
    return float(lags[best]) + 0.5 * (before - after) / (before - 2 * at + after)


def main(
    video_truth: Path,
    videos: Path,
    lifter: Path | None = None,
    output: Path = Path(__file__).parent / "results" / "real_lifting.csv",
) -> None:
    """Lifts the real video in all ways.

    Args:
        video_truth: folder with single_person.npz.
        videos: folder with cam01.mp4 and cam03.mp4.
        lifter: weights to measure; the shipped ones by default.
        output: table to write.
    """
    network = load(lifter)
    rows = []
    for front_end in FRONT_ENDS:
        views = [load_view(video_truth, name) for name in CAMERAS]
        found = [detect(front_end, videos / f"{name}.mp4", view) for name, view in zip(CAMERAS, views, strict=True)]
        for hidden in HIDDEN:
            for delay in DELAYS:
                pairs = zip(found, views, strict=True)
                lifted = [lift_live(treat(poses, hidden), view, network, delay) for poses, view in pairs]
                fitted = [stand(poses)[0] if delay == inf else fit_live(poses) for poses in lifted]
                for joints, people in zip(JOINTS, (lifted, fitted), strict=True):
                    mean = both([score(poses, view) for poses, view in zip(people, views, strict=True)])
                    figures = (round(mean[name], 3) for name in COLUMNS[4:])
                    rows.append((front_end, hidden, joints, f"{delay:g}", *figures))
    write(output, COLUMNS, rows)
    named = [dict(zip(COLUMNS, map(str, row), strict=True)) for row in rows]
    Console().print(markdown_table(named), soft_wrap=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
