"""Commands that score poses by the protocols of datasets."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from occlupose.cli.options import Device, Weights
from occlupose.cli.terminal import check_file, print_warnings, progress
from occlupose.errors import OccluposeError

Predictions = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: predict now)")]
SavePredictions = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: not saved)")]
Output = Annotated[Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: only printed)")]
BoxSource = Literal["ground-truth", "detector"]


def evaluate_oanet(
    dataset: Literal["humaneva", "h36m"],
    data: Annotated[Path, arg(metavar="FOLDER")],
    subjects: Annotated[
        tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: those of the protocol)")
    ] = (),
    detections: Annotated[str, arg(metavar="NAME|FOLDER")] = "ground-truth",
    every: int = 1,
    predictions: Predictions = None,
    save_predictions: SavePredictions = None,
    output: Output = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Score lifted 3D poses by the protocols of Human3.6M or HumanEva-I: by action and joint, and for visible and
    occluded joints separately.

        occlupose eval oanet --dataset h36m --data h36m -o metrics.csv
        occlupose eval oanet --dataset humaneva --data humaneva --every 5

    Args:
        dataset: humaneva (HumanEva-I) or h36m (Human3.6M).
        data: Folder of the dataset.
        subjects: Subjects to score.
        detections: 2D poses to lift: ground-truth, the NAME of a data_2d_DATASET_NAME.npz, or a folder of poses files.
        every: Use only every n-th frame.
        predictions: Score this .npz file instead of predicting.
        save_predictions: .npz file for the predictions.
        output: .csv file for all metrics.
        weights: Weights written by train lifter or train oanet.
        device: Torch device: cpu, cuda, ...
    """
    _check_predictions(predictions, {"--weights": weights, "--save-predictions": save_predictions})
    _check_files(output, save_predictions)
    from occlupose.evaluation import lifting as evaluation

    console = Console(stderr=True)
    sequences = evaluation.load_sequences(dataset, data, subjects, detections, every)
    if predictions is not None:
        predicted = evaluation.SequencePredictions.load(predictions, sequences)
    else:
        lifter = evaluation.load_predictor(weights, device)
        with progress(console) as bar:
            lifting = bar.add_task("lifting", total=sum(len(sequence.poses) for sequence in sequences), people="")
            predicted = evaluation.predict(sequences, lifter, lambda frames: bar.advance(lifting, frames))
    if save_predictions is not None:
        predicted.save(save_predictions)
        print(f"{save_predictions}: predictions written")
    report, source = evaluation.score(sequences, predicted, by_subject=dataset == "humaneva")
    for table in evaluation.tables(report):
        Console().print(table)
    print(f"2D: {detections}; visible or occluded: {source}")
    for note in evaluation.notes(dataset, sequences, report):
        print(note)
    if output is not None:
        evaluation.write_csv(report, output)
        print(f"{output}: written")


def evaluate_keypoints(
    data: Annotated[Path, arg(metavar="FOLDER")],
    frontend: Annotated[str, arg(metavar="NAME|FILE")] = "movenet",
    boxes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: see --box-source)")] = None,
    box_source: Annotated[
        BoxSource | None,
        arg(metavar="ground-truth|detector", help_behavior_hint="(default: detector; for a file ground-truth)"),
    ] = None,
    split: Literal["test", "val", "train"] = "test",
    annotations: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: those of the split)")] = None,
    flip: bool = False,
    strict: bool = False,
    output: Output = None,
    device: Device = "cpu",
) -> None:
    """Score 2D keypoints by the protocols of COCO, CrowdPose or OCHuman: average precision, overall and by occlusion.

        occlupose eval keypoints --data coco --frontend pose.safetensors
        occlupose eval keypoints --data crowdpose --frontend a.onnx --boxes b.json

    Args:
        data: Folder of the dataset as its authors distribute it, or of occlupose synth.
        frontend: movenet, movenet-multipose, blazepose, or the .safetensors or .onnx file of a network (maybe with the
            word of a preset before it, as for run).
        boxes: JSON file with the bounding boxes of another detector, in COCO's results format.
        box_source: Predict in the annotated box of each person (ground-truth), or in those of the front end's own
            detector. blazepose and movenet-multipose only have their own.
        split: Split of the dataset; papers report test, which for COCO is val2017.
        annotations: Annotations to use instead of those of the split.
        flip: Test-time augmentation by horizontal flip: slightly better, twice the time.
        strict: Stop at the first invalid person, image or box.
        output: .csv file for all metrics.
        device: Torch device: cpu, cuda, ...
    """
    _check_files(output)
    source = _box_source(frontend, boxes, box_source)
    from occlupose.datasets import coco, discovery
    from occlupose.evaluation import keypoints
    from occlupose.frontends import build_frontend, load_crop_network
    from occlupose.metrics import oks

    detector = build_frontend(frontend, flip=flip, device=device) if source == "detector" else None
    network = None if source == "detector" else load_crop_network(frontend, flip=flip, device=device)
    console = Console(stderr=True)
    files = discovery.find_dataset(data, split, annotations)
    annotated = coco.load(files.annotations, files.images, strict=strict)
    if (skeleton := annotated.skeleton).sigmas is None:
        raise OccluposeError(
            f"{files.annotations}: {skeleton.name} has no sigmas to score joints by; coco17 and crowdpose14 have them"
        )
    truth = annotated.ground_truth
    detected = None if boxes is None else coco.match_boxes(boxes, truth, strict=strict)
    print_warnings(console, annotated.report.lines() + (detected.report.lines() if detected else []))
    unreadable = list[str]()

    def note_unreadable(reason: str) -> None:
        if strict:
            cure = "" if "; " in reason else "; give the dataset's own images, or leave out --strict"
            raise OccluposeError(reason + cure)
        unreadable.append(reason)

    with progress(console) as bar:

        def start(total: int) -> Callable[[int], None]:
            task = bar.add_task("predicting", total=total, people="")
            return lambda done: bar.advance(task, done)

        boxes_used = 0
        if detector is not None:
            count = start(len(truth.images))
            results = keypoints.predict_in_images(
                truth, files.images, detector, progress=count, unreadable=note_unreadable
            )
        else:
            assert network is not None
            if detected is None:
                in_boxes = keypoints.ground_truth_boxes(annotated)
            else:
                in_boxes, missing = keypoints.detected_boxes(truth, detected, files.images)
                for name in missing:
                    note_unreadable(f"{name}: not in {files.images}")
            boxes_used = sum(len(each.boxes) for each in in_boxes)
            results = keypoints.predict_in_boxes(
                in_boxes, network, skeleton, progress=start(boxes_used), unreadable=note_unreadable
            )
    protocol = oks.OKSProtocol(truth.dataset, "ground truth" if source == "ground-truth" else "detected")
    scores = oks.evaluate_strata(truth, results, protocol)
    for table in keypoints.tables(scores):
        Console().print(table)
    people = scores[0].people
    if boxes is not None:
        where = f"in the boxes of {boxes.name}"
    else:
        where = "in ground-truth boxes" if source == "ground-truth" else f"in boxes of {frontend} itself"
    print(
        f"{protocol.dataset}: {people} people of {files.annotations.name}; {scores[0].predictions} predictions {where}"
    )
    if source == "ground-truth" and people > boxes_used:
        print(f"people without an image or a box, who count as missed: {people - boxes_used}")
    if unreadable:
        print(f"images that could not be used, whose people count as missed: {len(unreadable)} (first {unreadable[0]})")
    if output is not None:
        name = boxes.name if boxes is not None else source
        keypoints.write_csv(scores, output, frontend=Path(frontend).name, box_source=name)
        print(f"{output}: written")


def _box_source(
    frontend: str, boxes: Path | None, source: BoxSource | None
) -> Literal["ground-truth", "detector", "file"]:
    """Where the bounding boxes come from: as the options say, otherwise as the front end allows.

    Raises:
        OccluposeError: the front end or the file does not exist, or they cannot be combined.
    """
    from occlupose.frontends import DEFAULT, NAMES, check_options, is_network_file
    from occlupose.frontends.presets import split_preset

    known = f"give {', '.join(NAMES)}, or a network's .safetensors or .onnx file"
    if boxes is not None and source is not None:
        raise OccluposeError("boxes: come from the file or from --box-source; give one of the two")
    if boxes is not None and str(boxes) in ("ground-truth", "found") and not boxes.exists():
        new = "ground-truth" if str(boxes) == "ground-truth" else "detector"
        raise OccluposeError(f"boxes {boxes}: no such file; give --box-source {new}")
    if not is_network_file(frontend):
        name = frontend.partition(":")[0]
        if name not in NAMES:
            raise OccluposeError(f"{frontend}: no such front end; {known}")
        if name != DEFAULT and (boxes is not None or source == "ground-truth"):
            raise OccluposeError(f"boxes: {name} uses its own detector; leave them out, or give another --frontend")
        if boxes is None:
            return source or "detector"
    elif not split_preset(frontend)[1].is_file():
        raise OccluposeError(f"{frontend}: no such file; {known}")
    check_options(frontend, boxes=boxes is not None or source == "ground-truth")
    if boxes is None:
        return source or "ground-truth"
    if not boxes.is_file():
        raise OccluposeError(f"boxes {boxes}: no such file; give a detector's results in COCO's format")
    return "file"


def evaluate_hupor(
    dataset: Positional[Literal["mupots", "3dpw", "h36m", "synth"]],
    data: Annotated[Path, arg(metavar="FOLDER")],
    protocol: Annotated[
        Literal["official", "smap15", "gntcn"] | None,
        arg(metavar="official|smap15|gntcn", help_behavior_hint="(default: official for mupots; the others have none)"),
    ] = None,
    sequences: Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: all)")] = (),
    predictions: Predictions = None,
    save_predictions: SavePredictions = None,
    flip: bool = False,
    output: Output = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Score multi-person absolute 3D poses by the protocols of MuPoTS-3D, or on other data with ground truth; occluded
    joints separately.

        occlupose eval hupor mupots --data MultiPersonTestSet --protocol smap15
        occlupose eval hupor synth --data people -o metrics.csv

    Args:
        dataset: mupots (MuPoTS-3D), 3dpw (3DPW, converted), h36m (Human3.6M with images) or synth (output of occlupose
            synth).
        data: Folder of the dataset.
        protocol: Evaluation of MuPoTS-3D: official, by its authors; smap15, by SMAP and HUPOR on 15 joints; gntcn, of
            some Python ports, only for comparison with their papers.
        sequences: Sequences of mupots or 3dpw, e.g. TS1 TS2, or downtown_stairs.
        predictions: Score this .npz file instead of predicting.
        save_predictions: .npz file for the predictions.
        flip: Test-time augmentation by horizontal flip: slightly better, twice the time.
        output: .csv file for all metrics.
        weights: Weights written by train hupor.
        device: Torch device: cpu, cuda, ...
    """
    others: dict[str, object] = {"--weights": weights, "--save-predictions": save_predictions, "--flip": flip or None}
    _check_predictions(predictions, others)
    _check_files(output, save_predictions)
    from occlupose.evaluation import people3d as evaluation

    console = Console(stderr=True)
    samples, chosen = evaluation.load_samples(dataset, data, protocol, sequences)
    if predictions is not None:
        predicted = evaluation.ImagePredictions.load(predictions, samples)
    else:
        from occlupose.methods.hupor.predict import load

        predictor = load(weights, flip=flip, device=device)
        with progress(console) as bar:
            task = bar.add_task("predicting", total=len(samples), people="")
            predicted = evaluation.predict(samples, predictor, lambda images: bar.advance(task, images))
    if save_predictions is not None:
        predicted.save(save_predictions)
        print(f"{save_predictions}: predictions written")
    report = evaluation.score(samples, predicted, chosen)
    for table in evaluation.tables(report):
        Console().print(table)
    for note in evaluation.notes(dataset, samples, predicted, report):
        print(note)
    if output is not None:
        source = predictions or weights
        name = "shipped" if source is None else source.name
        evaluation.write_csv(report, output, dataset=dataset, predictions=name)
        print(f"{output}: written")


def _check_predictions(predictions: Path | None, others: dict[str, object]) -> None:
    """Refuses options for predicting together with a file of predictions."""
    used = [option for option, value in others.items() if value is not None]
    if predictions is not None and used:
        raise OccluposeError(f"predictions: are scored unchanged; leave out {' and '.join(used)}")


def _check_files(output: Path | None, save_predictions: Path | None = None) -> None:
    """Refuses files that could not be written, before the work."""
    if output is not None:
        check_file(output)
    if save_predictions is not None:
        check_file(save_predictions, "--save-predictions")


EVAL: dict[str, Callable[..., None]] = {
    "oanet": evaluate_oanet,
    "keypoints": evaluate_keypoints,
    "hupor": evaluate_hupor,
}
"""The commands of `occlupose eval`."""
