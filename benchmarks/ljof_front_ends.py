"""Is a small estimator trained on synthetic people useful on real images? Compared with BlazePose.

    python benchmarks/ljof_front_ends.py --weights simple_baseline_small.safetensors --formats FORMATS

FORMATS holds folders coco, crowdpose and ochuman with some images of each and their annotations. Both use the same
person detector; the network is also scored in ground-truth boxes, which shows the cost of detection. Nothing was tuned
on these images, and they are so few that only large differences are meaningful. Writes
results/ljof_front_ends.csv, fractions.
"""

from pathlib import Path

import tyro
from results import write
from rich.console import Console

from occlupose.datasets.discovery import find_dataset
from occlupose.datasets.formats.coco import load
from occlupose.evaluation.keypoints import all_results, ground_truth_boxes, predict_in_boxes, predict_in_images
from occlupose.frontends import build_frontend, load_crop_network
from occlupose.metrics.oks import OKSProtocol, evaluate_strata

DATASETS = ("coco", "crowdpose", "ochuman")
COLUMNS = ("dataset", "people", "frontend", "boxes", "ap", "ap50", "ap_visible_joints", "ap_occluded_joints", "ar")
STRATA = ("all", "visible joints", "hidden joints")


def main(weights: Path, formats: Path) -> None:
    """Scores both.

    Args:
        weights: of the estimator.
        formats: folder with a folder for each dataset.
    """
    console = Console()
    rows = []
    ours = f"{load_crop_network(weights).design.model}, flip"  # type: ignore[attr-defined]
    for dataset in DATASETS:
        paths = find_dataset(formats / dataset, "test")
        data = load(paths.annotations, paths.images)
        images = list(data.ground_truth.images.values())
        network = load_crop_network(weights, flip=True)
        frontends = (("blazepose", build_frontend("blazepose")), (ours, build_frontend(weights, flip=True)))
        runs = [
            *(
                (name, "detector", all_results(predict_in_images(images, paths.images, frontend, data.skeleton)))
                for name, frontend in frontends
            ),
            (ours, "ground truth", all_results(predict_in_boxes(ground_truth_boxes(data), network, data.skeleton))),
        ]
        for name, boxes, results in runs:
            by = OKSProtocol(data.ground_truth.dataset, "detected" if boxes == "detector" else "ground truth")
            parts = evaluate_strata(data.ground_truth, results, by)
            figures = [
                parts["all"]["AP"],
                parts["all"]["AP50"],
                *(parts[name]["AP"] for name in STRATA[1:]),
                parts["all"]["AR"],
            ]
            rows.append([dataset, parts["all"].people, name, boxes, *(f"{figure:.3f}" for figure in figures)])
            console.print(*rows[-1])
    write(Path(__file__).parent / "results" / "ljof_front_ends.csv", COLUMNS, rows)


if __name__ == "__main__":
    tyro.cli(main)
