"""The command that scores 3D poses by the protocols of datasets."""

from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from occlupose.cli.options import Device, Weights
from occlupose.cli.terminal import check_folder, progress
from occlupose.errors import OccluposeError


def evaluate(
    method: Positional[Literal["oanet"]],
    dataset: Literal["humaneva", "h36m"],
    data: Path,
    subjects: Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: those of the protocol)")] = (),
    detections: Annotated[str, arg(metavar="NAME")] = "ground-truth",
    every: int = 1,
    predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: predict now)")] = None,
    save_predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: not kept)")] = None,
    output: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: only printed)")] = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Score 3D poses by the protocols of Human3.6M or HumanEva-I: by action, by joint, visible and occluded joints apart.

    Args:
        method: what lifts: oanet.
        dataset: humaneva (HumanEva-I) or h36m (Human3.6M).
        data: folder of the dataset.
        subjects: whom to score.
        detections: what to lift: ground-truth, NAME of data_2d_DATASET_NAME.npz, or a folder of poses files.
        every: only every n-th frame.
        predictions: score this file instead of predicting.
        save_predictions: .npz file to keep the predictions in.
        output: .csv file for all figures.
        weights: of train lifter or train oanet, instead of the shipped lifter.
        device: where the networks run: cpu, cuda, ... as torch names it.
    """
    if predictions is not None and (weights is not None or save_predictions is not None):
        raise OccluposeError("predictions: are scored as they are; leave out --weights and --save-predictions")
    for file in (save_predictions, output):
        if file is not None:
            check_folder(file.absolute().parent)
    from occlupose.evaluation import lifting as evaluation

    console = Console(stderr=True)
    takes = evaluation.load_takes(dataset, data, subjects, detections, every)
    if predictions is not None:
        predicted = evaluation.Predictions.load(predictions, takes)
    else:
        predictor = evaluation.predictor(weights, device)
        with progress(console) as bar:
            lifting = bar.add_task("lifting", total=sum(len(take.poses) for take in takes), people="")
            predicted = evaluation.predict(takes, predictor, lambda frames: bar.advance(lifting, frames))
    if save_predictions is not None:
        predicted.save(save_predictions)
        print(f"{save_predictions}: predictions written")
    report, source = evaluation.score(takes, predicted, by_subject=dataset == "humaneva")
    for table in evaluation.tables(report):
        Console().print(table)
    print(f"2D: {detections}; visible or occluded: {source}")
    for note in evaluation.notes(dataset, takes, report):
        print(note)
    if output is not None:
        evaluation.write_csv(report, output)
        print(f"{output}: written")
