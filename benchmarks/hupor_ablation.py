"""What does each part of HUPOR buy? Detection alone, reasoners, what is distilled, who says what is hidden, and
refinement, on open data.

    occlupose synth --scenes 7000 --seed 31 --people 1 5 --size 320 200 --shard 200 -o TRAIN
    occlupose synth --scenes 400 --seed 33 --people 1 5 --size 320 200 --shard 200 -o TEST
    python benchmarks/hupor_ablation.py --detector WEIGHTS --train TRAIN --test TEST --runs RUNS

One detector serves all rows, that of the shipped weights; it never sees what a reasoner learns. Each row's reasoner
learns from labels alone, as the paper's does, and its seed decides weights, order and variation of the scenes. Scored
are everybody's joints in held-out scenes by `metrics.people3d`'s protocol `mpi15`, with the true cameras: `pck_rel`
with the pelvis taken out, `pck_abs` as they are, `pck_occ` as pck_rel on hidden joints, all at 150 mm, of all people,
somebody who is missed having every joint wrong (whose pelvis lies outside of the picture counts in pck_abs alone);
`mpjpe_mm` of matched people, the pelvis taken out.

A small detector misses much, whoever reasons behind it. Rows that end in "true maps" are of the reasoner alone: it is
given the true maps of what is visible, and the depths of what is visible are true too.

Reduced size, for two cores: inputs of 256 x 160 px, networks of a million parameters, 4,000 labelled pictures for each
reasoner (published: 832 x 512, ResNet-50s, three stages and two); RefineNets learn 40 epochs of 200. Cells in which
there is something count ten times, but in the row where all are alike, as published; in one row half of the pictures
have the detector's maps.

Writes results/hupor_ablation.csv, a row for each finished run; runs that are there already are not repeated.
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
from occlupose.datasets import synth_scenes
from occlupose.datasets.bottomup import make_batch
from occlupose.datasets.image_samples import ImageSample
from occlupose.evaluation import people3d as evaluation
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.grouping import OURS, PAPER, GroupingRules
from occlupose.methods.hupor.labels import relabel
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.methods.hupor.network import HUPORNetwork, add_maps
from occlupose.methods.hupor.predict import HUPOROutput, HUPORPredictor
from occlupose.methods.hupor.recipe import SMALL, HUPORRecipe
from occlupose.methods.hupor.refine import RefineRecipe, train_refine
from occlupose.methods.hupor.train import collect_pairs, train_hupor
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15

RESULTS = Path(__file__).parent / "results" / "hupor_ablation.csv"
COLUMNS = ("variant", "seed", "pck_rel", "pck_abs", "pck_occ", "mpjpe_mm")
STEPS = 1000
BATCH = 4
REFINED = 1500
"""Training pictures whose people a RefineNet learns from."""

PUBLISHED = replace(SMALL, train_detector=False, predicted_input_fraction=0.0, batch=BATCH)


def hidden_at_random(crowds: Sequence[ImageSample]) -> list[ImageSample]:
    """The same with as many hidden joints, whichever they are: what can be learnt where nobody knows what is hidden."""
    random = np.random.default_rng(0)
    share = np.mean(np.concatenate([crowd.state[crowd.state != ABSENT] for crowd in crowds]) == OCCLUDED)
    chosen = []
    for crowd in crowds:
        state = np.where(random.random(crowd.state.shape) < share, OCCLUDED, VISIBLE)
        chosen.append(replace(crowd, state=np.where(crowd.state == ABSENT, ABSENT, state).astype(np.uint8)))
    return chosen


@dataclass(frozen=True)
class Variant:
    """What is trained for a row."""

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
    "DSED, cylinder labels": Variant(PUBLISHED, lambda crowds: relabel(crowds, "cylinders")),
    "DSED, hidden at random": Variant(PUBLISHED, hidden_at_random),
    "DSED, all cells alike": Variant(replace(PUBLISHED, foreground_weight=1.0)),
    "DSED, detector's maps mixed in": Variant(replace(PUBLISHED, predicted_input_fraction=0.5)),
}
GROUPED = "+ DSED, our grouping"
REFINERS = {
    "+ DSED + RefineNet, MLP": RefineRecipe("mlp", epochs=40),
    "+ DSED + RefineNet, GCN": RefineRecipe("gcn", epochs=40),
}
BARE = "detection only"
TRUE_MAPS = ", true maps"
"""How rows end in which the reasoner is given what a detector without an error would say: they are of the reasoner
alone.
"""

FINEST = len(KERNELS) - 1


@torch.inference_mode()
def told(hupor: HUPORPredictor, crowd: ImageSample) -> HUPOROutput:
    """What the networks would say of a picture if the detector made no mistake."""
    shown = make_batch([crowd], None, hupor.networks.design.letterbox)
    networks = hupor.networks
    truth = TargetMaps(networks.codec, shown.people)
    codec = networks.codec
    visible = PoseMaps(truth.heatmaps("visible", FINEST), truth.fields("visible", FINEST))
    hidden = networks.hidden_maps(visible)
    cells, depth = codec.depths(shown.people, "visible")
    depths = torch.zeros(1, depth.shape[-1], codec.shape[0] * codec.shape[1])
    for joint in range(depth.shape[-1]):
        known = depth[0, :, joint].isfinite()
        depths[0, joint, cells[0, known, joint]] = depth[0, known, joint]
    box = networks.design.letterbox
    return HUPOROutput(
        np.zeros((box.height, box.width, 3), np.uint8),
        box.matrix(*crowd.size),
        visible,
        hidden,
        add_maps(visible, hidden),
        depths.unflatten(-1, codec.shape),
    )


class Bench:
    """The detector, and the scenes that rows learn from and are scored on."""

    def __init__(self, detector: Path, train: Path, test: Path, runs: Path) -> None:
        self.given = detector
        self.runs = runs
        self.crowds = synth_scenes.load(train)
        self.tested = synth_scenes.load(test)
        self.truths, self.protocol = evaluation.load_samples("synth", test)

    @cached_property
    def detector(self) -> Path:
        """The detector alone, whatever else there is in the file that was given."""
        path = self.runs / "detector.safetensors"
        if not path.exists():
            given = weights.load(self.given).networks
            bare = HUPORNetwork(replace(given.design, reasoning="none"))
            bare.detector.load_state_dict(given.detector.state_dict())
            weights.save(weights.TrainedHUPOR(bare), path)
        return path

    def train(self, name: str, seed: int) -> Path:
        """The weights of a row's reasoner, trained where they are not yet."""
        variant = VARIANTS[name]
        recipe = replace(variant.recipe, seed=seed, epochs=STEPS * BATCH / len(self.crowds))
        folder = self.runs / f"{name.replace(' ', '_')}-{seed}"
        path = folder / f"{recipe.name}.safetensors"
        if not path.exists():
            start = self.detector if recipe.predicted_input_fraction else None
            train_hupor(variant.labels(self.crowds), folder, recipe, init_from=start, resume=True, progress=False)
        return path

    def reasoner(self, name: str, seed: int) -> weights.TrainedHUPOR:
        """A row's reasoner behind the one detector."""
        trained = weights.load(self.train(name, seed))
        trained.networks.detector.load_state_dict(weights.load(self.detector).networks.detector.state_dict())
        return trained

    def refined(self, recipe: RefineRecipe, seed: int) -> weights.TrainedHUPOR:
        """The networks of the row with DSED, and a RefineNet that learnt from what they say of training pictures."""
        trained = self.reasoner("+ DSED", seed)
        folder = self.runs / f"refine-{recipe.kind}-{seed}"
        refiner = train_refine(
            collect_pairs(HUPORPredictor(trained), self.crowds[:REFINED]),
            folder,
            recipe,
            resume=True,
            seed=seed,
            progress=False,
        )
        return replace(trained, refiner=refiner, refiner_recipe=recipe)

    def row(
        self, trained: weights.TrainedHUPOR, rules: GroupingRules = PAPER, *, true_maps: bool = False
    ) -> list[float]:
        """Figures of networks, or of their reasoner alone."""
        hupor = HUPORPredictor(trained, rules=rules)
        if true_maps:
            people = [
                hupor.decode_people(told(hupor, crowd), truth.camera)
                for crowd, truth in zip(self.tested, self.truths, strict=True)
            ]
            found = {truth.name: each for truth, each in zip(self.truths, people, strict=True)}
            said = evaluation.ImagePredictions(MPI15, found)
        else:
            said = evaluation.predict(self.truths, hupor)
        report = evaluation.score(self.truths, said, self.protocol)
        everybody = report.pooled()
        matched = report.pooled(matched=True)
        return [*(100 * everybody[column] for column in ("PCK", "PCK_abs", "PCK_occ")), matched["MPJPE"]]


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
        train: folder of synthetic scenes to learn from.
        test: folder of others to score on.
        runs: folder for what is trained.
        seeds: of the rows.
        variants: only these rows; none are all.
        only_train: train the reasoners without scoring them; needs no detector yet.
        output: .csv file.
    """
    torch.set_num_threads(1)
    console = Console(stderr=True)
    bench = Bench(detector, train, test, runs)
    wanted = [name for name in (BARE, *VARIANTS, GROUPED, *REFINERS) if not variants or name in variants]
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
                figures = bench.row(
                    _networks(bench, name, seed), OURS if name == GROUPED else PAPER, true_maps=true_maps
                )
                _append(output, (variant, seed, *(f"{value:.2f}" for value in figures)))
                console.print(variant, seed, *(f"{value:.1f}" for value in figures))


def _networks(bench: Bench, name: str, seed: int) -> weights.TrainedHUPOR:
    if name == BARE:
        return weights.load(bench.detector)
    return (
        bench.refined(REFINERS[name], seed)
        if name in REFINERS
        else bench.reasoner("+ DSED" if name == GROUPED else name, seed)
    )


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _append(path: Path, row: tuple[object, ...]) -> None:
    """Adds a row, and says how the table is made."""
    begun = path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not begun:
            writer.writerow(COLUMNS)
        writer.writerow(row)
    describe(path, seed=" ".join(sorted({row["seed"] for row in _rows(path)})), grows=True)


if __name__ == "__main__":
    tyro.cli(main)
