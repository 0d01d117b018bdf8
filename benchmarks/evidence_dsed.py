"""The runs of HUPOR's claim for DSED (docs/evidence.md, claim C): DSED against the plain hourglass, on maps alone.

    occlupose synth --scenes 20000 --seed 61 --people 1 5 --size 320 200 --labels-only --shard 200 -o SCENES
    occlupose synth --scenes 1000 --seed 62 --people 1 5 --size 320 200 --labels-only --shard 200 -o OTHERS

Reasoners of the recipe `small` learn from true maps of visible joints, as in the paper. At test time these are degraded
as by detectors of several qualities (`CONDITIONS`): peaks of any height between 0.3 and 1, off by a cell (standard
deviation), some joints missing, and one false peak for twenty joints. Scored are the combined maps, in 2D, before any
grouping: the share of hidden joints (and of visible ones that were dropped) with a peak within two cells, the false
peaks of an image, and F1 of both. Maps of different networks are of different heights, so each has the threshold for
peaks that is best for it on the first half of the images, and is scored on the other half; the curves over all
thresholds are rows too. DSED's network and the hourglass are the same at test time.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn.functional import max_pool2d

from occlupose.codecs.multi_person import KERNELS, MultiPersonMaps, PeopleBatch
from occlupose.datasets.augmentation import make_bottomup_batch
from occlupose.datasets.formats import synth_scenes
from occlupose.datasets.image_samples import ImageSample
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.methods.hupor.network import HUPORNetwork, add_maps
from occlupose.methods.hupor.recipe import PUBLISHED, SMALL, HUPORRecipe
from occlupose.methods.hupor.train import train_hupor
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.training.run import TrainingRun

Size = Literal["small", "tiny", "published"]
Row = tuple[str, int, str, str, str, float, float]

FINEST = len(KERNELS) - 1
PEAKS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Lowest heights of a peak, of which each network has its best."""
NEAR = 2
"""Cells within which a peak belongs to a joint."""
FALSE_PEAKS = 0.05
"""False peaks, per visible joint."""
LOWEST = 0.3
UNITS = 100
"""Groups of images."""

CONDITIONS: dict[str, float | None] = {"exact": None, "none missing": 0.0, "10 % missing": 0.1, "25 % missing": 0.25}
"""Share of the visible joints that a detector misses; exact are the true maps, not degraded at all."""

BASE = replace(SMALL, train_detector=False, predicted_input_fraction=0.0, batch=4, precision="32-true")
SIZES: dict[Size, HUPORRecipe] = {
    "small": BASE,
    "tiny": BASE,
    "published": replace(PUBLISHED, train_detector=False, batch=32),
}
STEPS: dict[Size, int] = {"small": 8_000, "tiny": 4, "published": 96_000}
"""Small: half an hour on one core."""


def arms(base: HUPORRecipe) -> dict[str, HUPORRecipe]:
    """The recipe of each arm."""
    levels = {"blocks 2-4": (2, 3, 4), "blocks 3-4": (3, 4), "block 4": (4,), "blocks 1+4": (1, 4)}
    return {
        "hourglass": replace(base, design=replace(base.design, reasoning="hourglass")),
        "DSED": base,
        "DSED, teacher detached": replace(base, design=replace(base.design, detach=True)),
        **{f"DSED, {name}": replace(base, distilled_levels=chosen) for name, chosen in levels.items()},
    }


ARMS = tuple(arms(BASE))


@dataclass(frozen=True)
class Bench:
    """Where the data and the runs are, and how large they are.

    Attributes:
        train, test: folders of synthetic scenes.
        runs: folder of the training runs.
        device: torch device.
    """

    train: Path
    test: Path
    runs: Path
    size: Size = "small"
    device: str = "cpu"

    def run(self, arm: str, seed: int) -> list[Row]:
        """Trains and scores an arm; a stopped run is continued."""
        samples = synth_scenes.load(self.train)
        base = arms(SIZES[self.size])[arm]
        recipe = replace(base, seed=seed, epochs=STEPS[self.size] * base.batch / len(samples))
        folder = self.runs / f"dsed {arm} {self.size} {seed}"
        run = TrainingRun(folder, resume=True, progress=False, device=self.device, say=lambda line: None)
        networks = weights.load(train_hupor(samples, recipe, run)).networks.eval()
        test = synth_scenes.load(self.test)
        return [
            (arm, seed, condition, *scores)
            for condition, missing in CONDITIONS.items()
            for scores in score(networks, test, missing)
        ]


@torch.inference_mode()
def score(
    networks: HUPORNetwork, samples: list[ImageSample], missing: float | None
) -> list[tuple[str, str, float, float]]:
    """Metric, unit, sum and count over the images of each group of the second half. The degradation depends on the
    image's number only.
    """
    sums: dict[tuple[str, int], np.ndarray] = defaultdict(lambda: np.zeros(2))
    codec = networks.codec
    for number, sample in enumerate(samples):
        people = make_bottomup_batch([sample], None, networks.design.letterbox).people
        seen = people.state == VISIBLE
        if missing is None:
            maps = PoseMaps(codec.heatmaps(people, "visible", FINEST), codec.fields(people, "visible", FINEST))
        else:
            maps, seen = degrade(codec, people, missing, torch.Generator().manual_seed(number))
        combined = add_maps(maps, networks.hidden_maps(maps)).heatmaps
        for metric, total in measure(codec, combined, people, seen).items():
            sums[metric, number % UNITS] += total
    return [(metric, f"{unit:02}", *total.tolist()) for (metric, unit), total in _with_best(sums)]


def _with_best(sums: dict[tuple[str, int], np.ndarray]) -> list[tuple[tuple[str, int], np.ndarray]]:
    """The sums of the units of the second half, and again, without the height in their name, those of the threshold
    that has the highest F1 on the first half.
    """
    first: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(2))
    for (metric, unit), total in sums.items():
        if unit < UNITS // 2:
            first[metric] += total
    by_height = {height: first[f"hidden F1 at {height:g}"] for height in PEAKS}
    best = max(by_height, key=lambda height: by_height[height][0] / max(by_height[height][1], 1e-9))
    rows = []
    for (metric, unit), total in sorted(sums.items()):
        if unit >= UNITS // 2:
            rows.append(((metric, unit), total))
            if metric.endswith(f" at {best:g}"):
                rows.append(((metric.removesuffix(f" at {best:g}"), unit), total))
    return rows


def degrade(
    codec: MultiPersonMaps, people: PeopleBatch, missing: float, generator: Generator
) -> tuple[PoseMaps, Bool[Tensor, "1 person joint"]]:
    """Maps of the visible joints of one image as a detector might see them, and the joints it does see.

    Arguments:
        missing: share of the visible joints that it misses.
    """
    shape = people.state.shape
    seen = (people.state == VISIBLE) & (torch.rand(shape, generator=generator) >= missing)
    xy = people.xy + codec.stride * torch.randn(people.xy.shape, generator=generator)
    false = (people.state == VISIBLE) & (torch.rand(shape, generator=generator) < FALSE_PEAKS)
    anywhere = torch.rand(people.xy.shape, generator=generator) * torch.tensor([codec.width, codec.height])
    heights = LOWEST + (1 - LOWEST) * torch.rand((2, *shape), generator=generator)
    state = torch.where(seen, VISIBLE, ABSENT)
    detected = replace(people, xy=xy, state=state)
    peaks = heights[0][..., None, None] * _one_by_one(codec, detected)
    wrong = replace(people, xy=anywhere, state=torch.where(false, VISIBLE, ABSENT))
    more = heights[1][..., None, None] * _one_by_one(codec, wrong)
    heatmaps = torch.cat([peaks, more], 1).amax(1)
    return PoseMaps(heatmaps, codec.fields(detected, "visible", FINEST)), seen


def _one_by_one(codec: MultiPersonMaps, people: PeopleBatch) -> Float[Tensor, "1 person joint y x"]:
    """Heatmaps of each person."""
    alone = PeopleBatch(people.xy[0, :, None], people.z[0, :, None], people.state[0, :, None], people.metres_per_pixel)
    return codec.heatmaps(alone, "visible", FINEST)[None]


def measure(
    codec: MultiPersonMaps,
    maps: Float[Tensor, "1 joint y x"],
    people: PeopleBatch,
    seen: Bool[Tensor, "1 person joint"],
) -> dict[str, np.ndarray]:
    """Sum and count of each metric, of one image, at each height of peaks."""
    found = {}
    for height in PEAKS:
        of_height = _measure_at(codec, maps, people, seen, height)
        found |= {f"{name} at {height:g}": values for name, values in of_height.items()}
    return found


def _measure_at(
    codec: MultiPersonMaps,
    maps: Float[Tensor, "1 joint y x"],
    people: PeopleBatch,
    seen: Bool[Tensor, "1 person joint"],
    height: float,
) -> dict[str, np.ndarray]:
    """The metrics at one height."""
    is_peak = (maps == max_pool2d(maps, 3, 1, 1)) & (maps > height)
    near = max_pool2d(is_peak.float(), 2 * NEAR + 1, 1, NEAR).flatten(2)[0] > 0  # joint, cell
    cells, inside = codec.joint_cells(people, "all")
    found = near.T.gather(0, cells[0]) & inside[0]
    hidden = inside[0] & (people.state[0] == OCCLUDED)
    dropped = inside[0] & (people.state[0] == VISIBLE) & ~seen[0]
    joints = torch.zeros_like(maps).flatten(2)
    for cell, there in zip(cells[0], inside[0], strict=True):
        joints[0, there.nonzero()[:, 0], cell[there]] = 1
    claimed = max_pool2d(joints.unflatten(2, codec.shape), 2 * NEAR + 1, 1, NEAR) > 0
    true = int((found & hidden).sum())
    false = int((is_peak & ~claimed).sum())
    return {
        "hidden F1": np.array([200.0 * true, true + int(hidden.sum()) + false]),
        "hidden found": np.array([100.0 * true, int(hidden.sum())]),
        "dropped found": np.array([100.0 * int((found & dropped).sum()), int(dropped.sum())]),
        "false peaks": np.array([float(false), 1.0]),
    }
