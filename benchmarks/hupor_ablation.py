"""Ablation of HUPOR on open data: detection only, reasoners, distilled levels, occlusion labels, and RefineNet.

    occlupose synth --scenes 7000 --seed 31 --people 1 5 --size 320 200 --shard 200 -o TRAIN
    occlupose synth --scenes 400 --seed 33 --people 1 5 --size 320 200 --shard 200 -o TEST
    python benchmarks/hupor_ablation.py --detector WEIGHTS --train TRAIN --test TEST --runs RUNS

All rows share one detector, that of the shipped weights, which no reasoner changes. The reasoner of each row is trained
on labels only, as in the paper, except in the row whose reasoner sees the image too (the supplement's table 6); its
seed determines weights, order and augmentation. All people in held-out scenes are scored by the protocol `mpi15` of
`metrics.people3d` with the true cameras: `pck_rel` relative to the pelvis, `pck_abs` absolute, `pck_occ` as pck_rel on
hidden joints, all at 150 mm over all people, where all joints of a missed person are wrong (people whose pelvis is
outside of the image count in pck_abs only); `mpjpe_mm` of matched people, relative to the pelvis.

A small detector misses many joints, whatever the reasoner. Rows that end in "true maps" are of the reasoner alone: its
input is the true maps of visible joints, and the depths of visible joints are true too.

Reduced size, for two cores: inputs of 256 x 160 px, networks of a million parameters, 4,000 labelled images for each
reasoner (published: 832 x 512, ResNet-50s, three stages and two); RefineNets train for 40 epochs of 200. Cells with a
joint or limb have ten times the weight, except in the row where all cells weigh the same, as published; in one row half
of the images have the detector's maps as input.

Writes results/hupor_ablation.csv, a row for each finished run; existing rows are not repeated.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import tyro
from results import describe
from rich.console import Console

from occlupose.codecs.multi_person import KERNELS, TargetMaps
from occlupose.datasets.augmentation import make_bottomup_batch
from occlupose.datasets.formats import synth_scenes
from occlupose.datasets.image_samples import ImageSample
from occlupose.evaluation.evaluator import Evaluation, one_by_one
from occlupose.evaluation.mupots import MuPoTSEvaluator, load_samples
from occlupose.evaluation.predictions import ImagePredictions
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.labels import relabel
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.methods.hupor.network import HUPORNetwork, add_maps
from occlupose.methods.hupor.predict import HUPOROutput, HUPORPredictor
from occlupose.methods.hupor.recipe import SMALL, HUPORRecipe
from occlupose.methods.hupor.refine import RefineRecipe
from occlupose.methods.hupor.train import train_hupor
from occlupose.methods.hupor.train_refine import RefineTask, collect_pairs
from occlupose.metrics.mupots import MPI15_PROTOCOL
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15
from occlupose.training.run import TrainingRun

RESULTS = Path(__file__).parent / "results" / "hupor_ablation.csv"
COLUMNS = ("variant", "seed", "pck_rel", "pck_abs", "pck_occ", "mpjpe_mm")
STEPS = 1000
BATCH = 4
REFINED = 1500
"""Number of training images of a RefineNet."""

PUBLISHED = replace(SMALL, train_detector=False, predicted_input_fraction=0.0, batch=BATCH)


def hidden_at_random(samples: Sequence[ImageSample]) -> list[ImageSample]:
    """The samples with the same fraction of hidden joints, drawn at random."""
    random = np.random.default_rng(0)
    fraction = np.mean(np.concatenate([sample.state[sample.state != ABSENT] for sample in samples]) == OCCLUDED)
    chosen = []
    for sample in samples:
        state = np.where(random.random(sample.state.shape) < fraction, OCCLUDED, VISIBLE)
        chosen.append(replace(sample, state=np.where(sample.state == ABSENT, ABSENT, state).astype(np.uint8)))
    return chosen


@dataclass(frozen=True)
class Variant:
    """The training of a row."""

    recipe: HUPORRecipe
    labels: Callable[[Sequence[ImageSample]], Sequence[ImageSample]] = list


VARIANTS: dict[str, Variant] = {
    "+ DSED": Variant(PUBLISHED),
    "+ hourglass": Variant(replace(PUBLISHED, design=replace(SMALL.design, reasoning="hourglass"))),
    "DSED, blocks 2-4": Variant(replace(PUBLISHED, distilled_levels=(2, 3, 4))),
    "DSED, blocks 3-4": Variant(replace(PUBLISHED, distilled_levels=(3, 4))),
    "DSED, block 4": Variant(replace(PUBLISHED, distilled_levels=(4,))),
    "DSED, blocks 1+4": Variant(replace(PUBLISHED, distilled_levels=(1, 4))),
    "DSED, teacher detached": Variant(replace(PUBLISHED, design=replace(SMALL.design, detach=True))),
    "DSED, teacher shown all": Variant(replace(PUBLISHED, teacher_input="all")),
    "DSED, cylinder labels": Variant(PUBLISHED, lambda samples: relabel(samples, "cylinders")),
    "DSED, hidden at random": Variant(PUBLISHED, hidden_at_random),
    "DSED, all cells alike": Variant(replace(PUBLISHED, foreground_weight=1.0)),
    "DSED, with the image": Variant(replace(PUBLISHED, design=replace(SMALL.design, reasoner_image=True))),
    "DSED, detector's maps mixed in": Variant(replace(PUBLISHED, predicted_input_fraction=0.5)),
}
REFINERS = {
    "+ DSED + RefineNet, MLP": RefineRecipe("mlp", epochs=40),
    "+ DSED + RefineNet, GCN": RefineRecipe("gcn", epochs=40),
}
BARE = "detection only"
TRUE_MAPS = ", true maps"
"""Suffix of rows whose reasoner has the maps of a perfect detector as input."""

FINEST = len(KERNELS) - 1


@torch.inference_mode()
def output_of_true_maps(hupor: HUPORPredictor, sample: ImageSample) -> HUPOROutput:
    """The networks' output for an image with a perfect detector."""
    networks = hupor.networks
    images = [sample.read()] if networks.design.reasoner_image else None
    batch = make_bottomup_batch([sample], images, networks.design.letterbox)
    truth = TargetMaps(networks.codec, batch.people)
    codec = networks.codec
    visible = PoseMaps(truth.heatmaps("visible", FINEST), truth.fields("visible", FINEST))
    hidden = networks.hidden_maps(visible, batch.images)
    cells, depth = codec.depths(batch.people, "visible")
    depths = torch.zeros(1, depth.shape[-1], codec.shape[0] * codec.shape[1])
    for joint in range(depth.shape[-1]):
        known = depth[0, :, joint].isfinite()
        depths[0, joint, cells[0, known, joint]] = depth[0, known, joint]
    box = networks.design.letterbox
    return HUPOROutput(
        np.zeros((box.height, box.width, 3), np.uint8),
        box.matrix(*sample.size),
        visible,
        hidden,
        add_maps(visible, hidden),
        depths.unflatten(-1, codec.shape),
    )


class Bench:
    """The detector, and the scenes for training and test."""

    def __init__(self, detector: Path, train: Path, test: Path, runs: Path) -> None:
        self.given_weights = detector
        self.runs = runs
        self.samples = synth_scenes.load(train)
        self.test_samples = synth_scenes.load(test)
        self.truths = load_samples("synth", test)

    @cached_property
    def detector(self) -> Path:
        """Weights of the detector only."""
        path = self.runs / "detector.safetensors"
        if not path.exists():
            given = weights.load(self.given_weights).networks
            bare = HUPORNetwork(replace(given.design, reasoning="none"))
            bare.detector.load_state_dict(given.detector.state_dict())
            weights.save(weights.TrainedHUPOR(bare), path)
        return path

    def train(self, name: str, seed: int) -> Path:
        """The weights of a row's reasoner; trains it if they do not exist."""
        variant = VARIANTS[name]
        recipe = replace(variant.recipe, seed=seed, epochs=STEPS * BATCH / len(self.samples))
        folder = self.runs / f"{name.replace(' ', '_')}-{seed}"
        path = folder / f"{recipe.name}.safetensors"
        if not path.exists():
            initial = self.detector if recipe.predicted_input_fraction else None
            run = TrainingRun(folder, resume=True, init_from=initial, progress=False)
            train_hupor(variant.labels(self.samples), recipe, run)
        return path

    def reasoner(self, name: str, seed: int) -> weights.TrainedHUPOR:
        """A row's reasoner behind the one detector."""
        trained = weights.load(self.train(name, seed))
        trained.networks.detector.load_state_dict(weights.load(self.detector).networks.detector.state_dict())
        return trained

    def refined(self, recipe: RefineRecipe, seed: int) -> weights.TrainedHUPOR:
        """The networks of the row with DSED, with a RefineNet trained on their output for training images."""
        trained = self.reasoner("+ DSED", seed)
        folder = self.runs / f"refine-{recipe.kind}-{seed}"
        pairs = collect_pairs(HUPORPredictor(trained), self.samples[:REFINED])
        task = RefineTask(self.train("+ DSED", seed), pairs, replace(recipe, seed=seed))
        refiner = TrainingRun(folder, resume=True, progress=False).train(task)
        return replace(trained, refiner=refiner, refiner_recipe=recipe)

    def row(self, trained: weights.TrainedHUPOR, *, true_maps: bool = False) -> list[float]:
        """Metrics of networks, or of their reasoner alone."""
        hupor = HUPORPredictor(trained)
        if true_maps:
            people = [
                hupor.decode_people(output_of_true_maps(hupor, sample), truth.camera)
                for sample, truth in zip(self.test_samples, self.truths, strict=True)
            ]
            found = {truth.name: each for truth, each in zip(self.truths, people, strict=True)}
            predictor = ImagePredictions(MPI15, found)
        else:
            predictor = one_by_one(lambda sample: hupor(sample.read(), sample.camera))
        evaluator = MuPoTSEvaluator("synth", MPI15_PROTOCOL, MPI15)
        Evaluation(self.truths, predictor, evaluator).run()
        all_people = evaluator.report.pooled()
        matched = evaluator.report.pooled(matched=True)
        return [*(100 * all_people[column] for column in ("PCK", "PCK_abs", "PCK_occ")), matched["MPJPE"]]


def main(
    detector: Path,
    train: Path,
    test: Path,
    runs: Path,
    seeds: tuple[int, ...] = (0, 1, 2),
    variants: tuple[str, ...] = (),
    only_train: bool = False,
    output: Path = RESULTS,
) -> None:
    """Makes the table.

    Args:
        detector: .safetensors of networks whose detector serves all rows.
        train: folder of synthetic scenes for training.
        test: folder of synthetic scenes for the test.
        runs: folder of the training runs.
        seeds: of the rows.
        variants: only these rows; none means all.
        only_train: train the reasoners without scoring them; needs no detector yet.
        output: .csv file.
    """
    torch.set_num_threads(1)
    console = Console(stderr=True)
    bench = Bench(detector, train, test, runs)
    wanted = [name for name in (BARE, *VARIANTS, *REFINERS) if not variants or name in variants]
    for seed in seeds:
        for name in wanted:
            if only_train:
                if name in VARIANTS and not VARIANTS[name].recipe.predicted_input_fraction:
                    bench.train(name, seed)
                continue
            rows = _rows(output)
            if name == BARE and seed != seeds[0]:
                continue
            for variant, true_maps in ((name, False), (name + TRUE_MAPS, True)):
                if any(row["variant"] == variant and int(row["seed"]) == seed for row in rows):
                    continue
                figures = bench.row(_networks(bench, name, seed), true_maps=true_maps)
                _append(output, (variant, seed, *(f"{value:.2f}" for value in figures)))
                console.print(variant, seed, *(f"{value:.1f}" for value in figures))


def _networks(bench: Bench, name: str, seed: int) -> weights.TrainedHUPOR:
    if name == BARE:
        return weights.load(bench.detector)
    if name in REFINERS:
        return bench.refined(REFINERS[name], seed)
    return bench.reasoner(name, seed)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _append(path: Path, row: tuple[object, ...]) -> None:
    """Adds a row and the description of the table."""
    exists = path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not exists:
            writer.writerow(COLUMNS)
        writer.writerow(row)
    describe(path, seed=" ".join(sorted({row["seed"] for row in _rows(path)})), grows=True)


if __name__ == "__main__":
    tyro.cli(main)
