"""Does a network that learnt with blocks on limbs see through them, and what does that cost where there are none?

    python benchmarks/ljof_blocked.py --train TRAIN --test TEST --runs RUNS

TRAIN and RUNS are those of ljof_ablation.py, whose trainings from the start are compared; TEST are scenes of another
seed. 600 people are looked at as they are and with blocks, by every network the same ones. Counted are joints that are
less than a tenth of the box's height away. Writes results/ljof_blocked.csv, shares of 1.
"""

from pathlib import Path

import numpy as np
import torch
import tyro
from ljof_ablation import BLOCKS, LONG, LONG_SEED, SMALLER, Run, people, trained
from results import write

from occlupose.datasets.topdown import make_batch
from occlupose.frontends.estimator import EstimatorNetwork
from occlupose.poses import OCCLUDED, VISIBLE

PEOPLE = 600
NEAR = 0.1
COLUMNS = ("variant", "pictures", "covered_joints", "other_visible_joints", "hidden_joints")


def main(train: Path, test: Path, runs: Path) -> None:
    """Scores the trainings from the start.

    Args:
        train: people who were learnt from.
        test: others.
        runs: folder of the trainings.
    """
    data = people(test)
    random = np.random.default_rng(0)
    rows = []
    chosen = [data.people[number] for number in random.permutation(len(data.people))[:PEOPLE]]
    pictures = [person.read() for person in chosen]
    even = random.random((len(chosen), BLOCKS.random_count(data.skeleton)))
    for variant in LONG:
        network = EstimatorNetwork(trained(Run(SMALLER, variant, LONG_SEED), train, runs))
        crop = network.crop
        shown = make_batch(chosen, pictures, crop, data.skeleton)
        blocked, covered = BLOCKS.cover_images(shown.images, shown.xy, shown.state, data.skeleton, even)
        for name, crops in (("as they are", shown.images), ("with blocks", blocked)):
            xy, _ = network(crops)
            near = np.linalg.norm(xy - shown.xy, axis=-1) < NEAR * crop.height / crop.padding
            groups = covered, (shown.state == VISIBLE) & ~covered, shown.state == OCCLUDED
            rows.append([variant, name, *(f"{near[group].mean():.3f}" for group in groups)])
    write(Path(__file__).parent / "results" / "ljof_blocked.csv", COLUMNS, rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(main)
