"""Do networks trained with blocks on limbs find covered joints, and what does it cost without blocks?

    python benchmarks/ljof_blocked.py --train TRAIN --test TEST --runs RUNS

TRAIN and RUNS are those of ljof_ablation.py, whose complete training runs are compared; TEST holds scenes of another
seed. Every network gets the same 600 people without and with blocks. A joint counts as found within a tenth of the
height of the bounding box. Writes results/ljof_blocked.csv, fractions.
"""

from pathlib import Path

import numpy as np
import torch
import tyro
from ljof_ablation import BLOCKS, LONG, LONG_SEED, SMALLER, Run, people, trained
from results import write

from occlupose.datasets.augmentation import make_topdown_batch
from occlupose.frontends.estimator import EstimatorNetwork
from occlupose.poses import OCCLUDED, VISIBLE

PEOPLE = 600
MAX_ERROR = 0.1
COLUMNS = ("variant", "images", "covered_joints", "other_visible_joints", "occluded_joints")


def main(train: Path, test: Path, runs: Path) -> None:
    """Scores the complete training runs.

    Args:
        train: training data.
        test: test data.
        runs: folder of the training runs.
    """
    data = people(test)
    random = np.random.default_rng(0)
    rows = []
    chosen = [data.people[number] for number in random.permutation(len(data.people))[:PEOPLE]]
    images = [person.read() for person in chosen]
    block_numbers = random.random((len(chosen), BLOCKS.random_count(data.skeleton)))
    for variant in LONG:
        network = EstimatorNetwork(trained(Run(SMALLER, variant, LONG_SEED), train, runs))
        crop = network.crop
        batch = make_topdown_batch(chosen, images, crop, data.skeleton)
        blocked, covered = BLOCKS.cover_images(batch.images, batch.xy, batch.state, data.skeleton, block_numbers)
        for name, crops in (("as they are", batch.images), ("with blocks", blocked)):
            xy, _ = network(crops)
            found = np.linalg.norm(xy - batch.xy, axis=-1) < MAX_ERROR * crop.height / crop.padding
            groups = covered, (batch.state == VISIBLE) & ~covered, batch.state == OCCLUDED
            rows.append([variant, name, *(f"{found[group].mean():.3f}" for group in groups)])
    write(Path(__file__).parent / "results" / "ljof_blocked.csv", COLUMNS, rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    tyro.cli(main)
