"""Commands that score poses by the protocols of datasets."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional, arg

from occlupose.cli.options import Detector, Device, Threads, Weights, use_threads
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


@dataclass(frozen=True)
class KeypointOptions:
    """Options of eval coco, eval crowdpose and eval ochuman.

    Attributes:
        data: Folder of the dataset as its authors distribute it; for eval coco also of occlupose synth.
        frontend: movenet, movenet-multipose, blazepose, or the .safetensors or .onnx file of a network (maybe with the
            word of a preset before it, as for run).
        detector: Another person detector, an .onnx file: yolox:FILE.onnx, rtmdet:FILE.onnx.
        boxes: JSON file with the bounding boxes of another detector, in COCO's results format.
        box_source: Predict in the annotated box of each person (ground-truth), or in those of --detector or of the
            front end's own detector. blazepose and movenet-multipose only have their own.
        split: Split of the dataset; papers report test, which for COCO is val2017.
        annotations: Annotations to use instead of those of the split.
        flip: Test-time augmentation by horizontal flip: slightly better, twice the time. For .safetensors front ends.
        strict: Stop at the first invalid person, image or box.
        output: .csv file for all metrics.
        device: Device of the front end and the detector: cpu, cuda, ...; directml for .onnx files alone.
        threads: Processor threads of each network.
    """

    data: Annotated[Path, arg(metavar="FOLDER")]
    frontend: Annotated[str, arg(metavar="NAME|FILE")] = "movenet"
    detector: Detector = None
    boxes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: see --box-source)")] = None
    box_source: Annotated[
        BoxSource | None,
        arg(metavar="ground-truth|detector", help_behavior_hint="(default: detector; for a file ground-truth)"),
    ] = None
    split: Literal["test", "val", "train"] = "test"
    annotations: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: those of the split)")] = None
    flip: bool = False
    strict: bool = False
    output: Output = None
    device: Device = "cpu"
    threads: Threads = None


def evaluate_coco(keypoints: OmitArgPrefixes[KeypointOptions]) -> None:
    """Score 2D keypoints by COCO's protocol: average precision, overall and by occlusion.

    Also on the output of occlupose synth, and on other annotations in COCO's format.

        occlupose eval coco --data coco -o scores.csv
        occlupose eval coco --data coco --frontend pose.safetensors --boxes b.json

    Args:
        keypoints: Dataset, front end and output.
    """
    _evaluate_keypoints("coco", keypoints)


def evaluate_crowdpose(keypoints: OmitArgPrefixes[KeypointOptions]) -> None:
    """Score 2D keypoints by CrowdPose's protocol: average precision, overall, by crowding and by occlusion.

        occlupose eval crowdpose --data crowdpose -o scores.csv
        occlupose eval crowdpose --data crowdpose --frontend a.onnx --boxes b.json

    Args:
        keypoints: Dataset, front end and output.
    """
    _evaluate_keypoints("crowdpose", keypoints)


def evaluate_ochuman(keypoints: OmitArgPrefixes[KeypointOptions]) -> None:
    """Score 2D keypoints by OCHuman's protocol: average precision, overall and by occlusion.

        occlupose eval ochuman --data ochuman -o scores.csv
        occlupose eval ochuman --data ochuman --box-source ground-truth

    Args:
        keypoints: Dataset, front end and output.
    """
    _evaluate_keypoints("ochuman", keypoints)


def keypoint_command(dataset: str) -> str:
    """The command that scores keypoints on a dataset, such as "eval coco".

    Arguments:
        dataset: one of `formats.coco.DATASETS`; COCO's protocol is also that of those without their own.
    """
    return f"eval {dataset if dataset in ('crowdpose', 'ochuman') else 'coco'}"


def _evaluate_keypoints(dataset: str, options: KeypointOptions) -> None:
    """Scores 2D keypoints on one of the datasets, and prints and writes the metrics."""
    _check_files(options.output)
    source = _box_source(options)
    from occlupose.datasets import discovery
    from occlupose.datasets.formats import coco
    from occlupose.evaluation import keypoints
    from occlupose.frontends import build_frontend, load_crop_network
    from occlupose.frontends.presets import split_preset
    from occlupose.metrics import oks

    files = discovery.find_dataset(options.data, options.split, options.annotations)
    if (command := keypoint_command(files.dataset)) != f"eval {dataset}":
        raise OccluposeError(f"{files.annotations}: not annotations of {dataset}; give occlupose {command}")
    networks: dict[str, Any] = {"threads": use_threads(options.threads), "flip": options.flip, "device": options.device}
    if source == "detector":
        frontend = build_frontend(options.frontend, detector=options.detector, **networks)
    else:
        network = load_crop_network(options.frontend, **networks)
    console = Console(stderr=True)
    strict = options.strict
    annotated = coco.load(files.annotations, files.images, strict=strict)
    if (skeleton := annotated.skeleton).sigmas is None:
        raise OccluposeError(
            f"{files.annotations}: {skeleton.name} has no sigmas to score joints by; coco17 and crowdpose14 have them"
        )
    truth = annotated.ground_truth
    boxes = options.boxes
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
        if source == "detector":
            count = start(len(truth.images))
            results = keypoints.predict_in_images(
                truth, files.images, frontend, progress=count, unreadable=note_unreadable
            )
        else:
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
    if source == "ground-truth":
        box_source = "ground-truth"
        where = "in ground-truth boxes"
    elif boxes is None and options.detector is None:
        box_source = "detector"
        where = f"in boxes of {options.frontend} itself"
    else:
        box_source = boxes.name if boxes else split_preset(options.detector or "")[1].name
        where = f"in the boxes of {box_source}"
    print(
        f"{protocol.dataset}: {people} people of {files.annotations.name}; {scores[0].predictions} predictions {where}"
    )
    if source == "ground-truth" and people > boxes_used:
        print(f"people without an image or a box, who count as missed: {people - boxes_used}")
    if unreadable:
        print(f"images that could not be used, whose people count as missed: {len(unreadable)} (first {unreadable[0]})")
    if options.output is not None:
        keypoints.write_csv(scores, options.output, frontend=Path(options.frontend).name, box_source=box_source)
        print(f"{options.output}: written")


def _box_source(options: KeypointOptions) -> Literal["ground-truth", "detector", "file"]:
    """Where the bounding boxes come from: as the options say, otherwise as the front end allows.

    Raises:
        OccluposeError: the front end or a file does not exist, or they cannot be combined.
    """
    from occlupose.frontends import DEFAULT, NAMES, check_detector, check_options, is_network_file
    from occlupose.frontends.presets import split_preset

    frontend = options.frontend
    boxes = options.boxes
    source = options.box_source
    detects = options.detector is not None
    known = f"give {', '.join(NAMES)}, or a network's .safetensors or .onnx file"
    if boxes is not None and source is not None:
        raise OccluposeError("boxes: come from the file or from --box-source; give one of the two")
    if detects and source == "ground-truth":
        raise OccluposeError("detector: has nothing to find in ground-truth boxes; leave it or --box-source out")
    if boxes is not None and str(boxes) in ("ground-truth", "found") and not boxes.exists():
        new = "ground-truth" if str(boxes) == "ground-truth" else "detector"
        raise OccluposeError(f"boxes {boxes}: no such file; give --box-source {new}")
    given = boxes is not None or source == "ground-truth"
    if is_network_file(frontend):
        if not split_preset(frontend)[1].is_file():
            raise OccluposeError(f"{frontend}: no such file; {known}")
    else:
        name = frontend.partition(":")[0]
        if name not in NAMES:
            raise OccluposeError(f"{frontend}: no such front end; {known}")
        if name != DEFAULT and given:
            raise OccluposeError(f"boxes: {name} uses its own detector; leave them out, or give another --frontend")
    check_options(frontend, boxes=given, detector=detects, flip=options.flip)
    if options.detector is not None:
        check_detector(options.detector)
    if boxes is not None:
        if not boxes.is_file():
            raise OccluposeError(f"boxes {boxes}: no such file; give a detector's results in COCO's format")
        return "file"
    if source is None and is_network_file(frontend) and not detects:
        return "ground-truth"
    return source or "detector"


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
    "coco": evaluate_coco,
    "crowdpose": evaluate_crowdpose,
    "ochuman": evaluate_ochuman,
    "hupor": evaluate_hupor,
}
"""The commands of `occlupose eval`."""
