"""Where the lifter places adults and children: the error of the root, with the true camera.

    python benchmarks/placement.py --mocap FOLDER

Held-out clips, six of every kind, on the captured body and on three random ones, from two random cameras each, their
first five seconds in COCO-17 joints: exact, or with the noise of `movenet`, with and without the height of the body; 3
to 7 m from the camera, and farther away than anybody in training. Bodies below ADULT are children. `depth_share`: mean
error of the depth, as a share of the true one; `bias`: its mean with its sign, negative where people are too near;
`across_m`: mean error across the line of sight. Writes results/placement.csv.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float
from lifting_views import VIEWS
from results import write
from rich.console import Console
from tables import markdown_table

from occlupose.body_height import measure_height
from occlupose.datasets.formats.mocap_clips import KINDS, load_labelled_clips
from occlupose.methods.lifter.augmentation import BodyAugmentation, to_random_camera
from occlupose.methods.lifter.features import SeenKeypoints, encode, find_horizon, look_ahead
from occlupose.methods.lifter.motions import FPS, LentMotion, make_motions
from occlupose.methods.lifter.network import LifterNetwork, load
from occlupose.methods.lifter.smoothing import LOOK_AHEAD, smooth_lifted
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17
from occlupose.synth.noise import MIN_CONFIDENCE, NoiseModel

CLIPS = 6
FRAMES = round(5 * FPS)
ADULT = 1.45
"""Height in metres."""

DISTANCES = (VIEWS.distance, (9.0, 20.0))
"""Of the camera, metres."""

COLUMNS = ("people", "distance_m", "input", "height", "root_m", "depth_share", "bias", "across_m", "views")


def choose_motions(mocap: Path) -> Iterator[LentMotion]:
    """Held-out clips on several bodies."""
    held_out = [clip for clip in load_labelled_clips(mocap) if clip.held_out and len(clip.clip.joints) > clip.clip.fps]
    for kind in KINDS:
        own = [clip for clip in held_out if clip.kind == kind]
        chosen = [own[number] for number in np.linspace(0, len(own) - 1, CLIPS).astype(int)]
        yield from make_motions([replace(clip, held_out=False) for clip in dict.fromkeys(chosen)])


@torch.inference_mode()
def place(
    lifter: LifterNetwork, xyz: Float[torch.Tensor, "person time 22 3"], *, noisy: bool, height: np.ndarray | None
) -> Float[torch.Tensor, "person time 3"]:
    """Roots of people, m."""
    rays = xyz[..., :2] / xyz[..., 2:]
    seen = torch.tensor([name in COCO17.joints for name in BODY22.joints]).expand(rays.shape[:3])
    if noisy:
        rays, score = NoiseModel.load().sample(rays, torch.Generator().manual_seed(0))
        seen = seen & (score >= MIN_CONFIDENCE)
    keypoints = SeenKeypoints(rays, seen, torch.zeros_like(seen), torch.full(seen.shape, torch.nan))
    time = torch.arange(xyz.shape[1], dtype=torch.float64) / FPS
    times = time.expand(len(xyz), -1)
    given = torch.full((len(xyz),), torch.nan) if height is None else torch.from_numpy(height).float()
    encoded = encode(keypoints, times, given)
    horizon = find_horizon(times, torch.full((len(xyz),), LOOK_AHEAD, dtype=torch.float64))
    ahead, joints = look_ahead(encoded, times, horizon)
    lifted = lifter(encoded, ahead, joints, times, horizon)
    return smooth_lifted(lifted, torch.ones(times.shape, dtype=torch.bool), time, slice(0, len(time))).root


def measure(
    network: LifterNetwork, motion: LentMotion, views: BodyAugmentation
) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
    """People, input, height, and the metrics of each body in each view."""
    bodies = torch.from_numpy(motion.joints[:, :FRAMES])
    generator = torch.Generator().manual_seed(zlib.crc32(motion.name.encode()))
    xyz = to_random_camera(bodies.repeat_interleave(2, 0), views, generator)
    heights = measure_height(xyz[:, :, BODY22_TO_H36M17].numpy())
    truth = xyz[:, :, BODY22.joints.index("pelvis")]
    for noisy in (False, True):
        for known in (False, True):
            root = place(network, xyz, noisy=noisy, height=heights if known else None)
            error = root - truth
            depth = error[..., 2] / truth[..., 2]
            across = error[..., :2].norm(dim=-1)
            metrics = torch.stack([error.norm(dim=-1), depth.abs(), depth, across], -1).mean(1).numpy()
            about = "noisy" if noisy else "exact", "given" if known else "unknown"
            for one, metres in zip(metrics, heights, strict=True):
                yield ("adults" if metres >= ADULT else "children", *about), one


def main(
    mocap: Path,
    lifter: Path | None = None,
    output: Path = Path(__file__).parent / "results" / "placement.csv",
) -> None:
    """Places people.

    Args:
        mocap: folder with cmu and more.
        lifter: weights to measure; the shipped ones by default.
        output: table to write.
    """
    network = load(lifter)
    found = defaultdict[tuple[str, ...], list[np.ndarray]](list)
    for motion in choose_motions(mocap):
        for distance in DISTANCES:
            views = replace(VIEWS, distance=distance)
            for (people, *about), one in measure(network, motion, views):
                found[people, "{:g} to {:g}".format(*distance), *about].append(one)
    rows = []
    for key, values in sorted(found.items()):
        rows.append((*key, *(f"{value:.3f}" for value in np.mean(values, 0)), str(len(values))))
    write(output, COLUMNS, rows, seed="clip names")
    Console().print(markdown_table([dict(zip(COLUMNS, row, strict=True)) for row in rows]), soft_wrap=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
