"""The commands that score poses by the protocols of datasets."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from occlupose.cli.options import Device, Weights
from occlupose.cli.terminal import check_folder, progress
from occlupose.errors import OccluposeError


def evaluate_oanet(
    dataset: Literal["humaneva", "h36m"],
    data: Path,
    subjects: Annotated[
        tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: those of the protocol)")
    ] = (),
    detections: Annotated[str, arg(metavar="NAME")] = "ground-truth",
    every: int = 1,
    predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: predict now)")] = None,
    save_predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: not kept)")] = None,
    output: Annotated[
        Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: only printed)")
    ] = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Score 3D poses by the protocols of Human3.6M or HumanEva-I: by action, by joint, visible and occluded joints
    apart.

    Args:
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


def evaluate_keypoints(
    data: Annotated[Path, arg(metavar="FOLDER")],
    frontend: Annotated[str, arg(metavar="NAME|FILE")] = "blazepose",
    boxes: Annotated[
        str | None,
        arg(
            metavar="ground-truth|found|FILE",
            help_behavior_hint="(default: ground-truth; found, if that is all it can)",
        ),
    ] = None,
    split: Literal["test", "val", "train"] = "test",
    annotations: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: those of the split)")] = None,
    flip: bool = False,
    strict: bool = False,
    output: Annotated[
        Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: only printed)")
    ] = None,
    device: Device = "cpu",
) -> None:
    """Score 2D joints by the protocols of COCO, CrowdPose or OCHuman: average precision, whole and by occlusion.

    Args:
        data: folder of the dataset as its makers give it, or of occlupose synth.
        frontend: a network's .safetensors or .onnx file, or blazepose.
        boxes: where people are looked for. ground-truth: each in their own box. FILE: in those of a detector, in COCO's
            results format. found: as the front end finds them by itself; blazepose knows no other way.
        split: of the dataset; test is what papers give figures of, which for COCO is val2017.
        annotations: another file than the split's.
        flip: look at each person's mirror image too.
        strict: stop at the first person, picture or box that is not as it should be.
        output: .csv file for all figures.
        device: where the network runs: cpu, cuda, ... as torch names it.
    """
    from occlupose.datasets import coco, discovery
    from occlupose.evaluation import keypoints
    from occlupose.frontends import build, crop_network
    from occlupose.metrics import oks

    if output is not None:
        check_folder(output.absolute().parent)
        if output.is_dir():
            raise OccluposeError(f"{output}: is a folder; give a .csv file with -o")
    boxes = _whose_boxes(frontend, boxes)
    if boxes == "found":
        finder = build(frontend, flip=flip, device=device)
    else:
        network = crop_network(Path(frontend), flip=flip, device=device)
    console = Console(stderr=True)
    troubles = list[str]()
    place = discovery.find_dataset(data, split, annotations)
    known = coco.load(place.annotations, place.images, strict=strict)
    if (joints := known.skeleton).sigmas is None:
        raise OccluposeError(
            f"{place.annotations}: {joints.name} has no sigmas to score joints by; coco17 and crowdpose14 have them"
        )
    detections = (
        coco.match_boxes(Path(boxes), known.ground_truth, strict=strict)
        if boxes not in ("ground-truth", "found")
        else None
    )
    for line in known.report.lines() + (detections.report.lines() if detections else []):
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def trouble(reason: str) -> None:
        if strict:
            raise OccluposeError(
                reason if "; " in reason else f"{reason}; give the dataset's own pictures, or leave out --strict"
            )
        troubles.append(reason)

    with progress(console) as bar:
        if boxes == "found":
            task = bar.add_task("looking", total=len(known.ground_truth.images), people="")
            results = keypoints.find(
                known.ground_truth,
                place.images,
                finder,
                progress=lambda pictures: bar.advance(task, pictures),
                unreadable=trouble,
            )
        else:
            if detections is None:
                looks = keypoints.in_true_boxes(known)
            else:
                looks, missing = keypoints.in_detections(known.ground_truth, detections, place.images)
                for name in missing:
                    trouble(f"{name}: not in {place.images}")
            task = bar.add_task("looking", total=sum(len(each.boxes) for each in looks), people="")
            results = keypoints.predict(
                looks, network, known.skeleton, progress=lambda people: bar.advance(task, people), unreadable=trouble
            )
    by = oks.protocol(known.ground_truth, "ground truth" if boxes == "ground-truth" else "detected")
    scores = oks.evaluate_strata(known.ground_truth, results, by)
    for table in keypoints.tables(scores):
        Console().print(table)
    own = {"ground-truth": "looked for in their true boxes", "found": f"looked for by {frontend} itself"}
    whose = own.get(boxes, f"looked for in the boxes of {Path(boxes).name}")
    who = f"{scores[0].people} people of {place.annotations.name}"
    print(f"{by.dataset}: {who}, {whose}; {scores[0].predictions} predictions")
    if boxes == "ground-truth" and (missed := scores[0].people - sum(len(each.boxes) for each in looks)) > 0:
        print(f"people without a picture, or without a box to look in, who count as missed: {missed}")
    if troubles:
        print(f"pictures that were not looked at, their people count as missed: {len(troubles)} (first {troubles[0]})")
    if output is not None:
        keypoints.write_csv(scores, output, front_end=Path(frontend).name, looked_in=Path(boxes).name)
        print(f"{output}: written")


def _whose_boxes(frontend: str, boxes: str | None) -> str:
    """Where people are looked for: as it was asked, or else as the front end can.

    Raises:
        OccluposeError: no such front end, no such boxes, or ones that this front end does not take.
    """
    from occlupose.frontends import SUFFIXES

    if Path(frontend).suffix.lower() not in SUFFIXES:
        if frontend != "blazepose":
            raise OccluposeError(
                f"{frontend}: no such front end; give a network's .safetensors or .onnx file, or blazepose"
            )
        if boxes not in (None, "found"):
            raise OccluposeError(
                f"boxes {boxes}: blazepose finds people by itself; give --boxes found, or another --frontend"
            )
        return "found"
    if not Path(frontend).is_file():
        raise OccluposeError(f"{frontend}: no such file; give a network's .safetensors or .onnx file, or blazepose")
    if boxes not in (None, "ground-truth", "found") and not Path(boxes).is_file():
        raise OccluposeError(
            f"boxes {boxes}: no such file; give ground-truth, found, or a file in COCO's results format"
        )
    return boxes or "ground-truth"


def evaluate_hupor(
    dataset: Positional[Literal["mupots", "3dpw", "h36m", "synth"]],
    data: Annotated[Path, arg(metavar="FOLDER")],
    variant: Annotated[
        Literal["official", "smap15", "pyport"] | None,
        arg(help_behavior_hint="(default: official for mupots; the others have none)"),
    ] = None,
    sequences: Annotated[
        tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: all that are there)")
    ] = (),
    predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: predict now)")] = None,
    save_predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: not kept)")] = None,
    flip: bool = False,
    output: Annotated[
        Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: only printed)")
    ] = None,
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Score everybody in pictures in absolute 3D by the protocols of MuPoTS-3D, or against other known truth; hidden
    joints apart.

    Args:
        dataset: mupots (MuPoTS-3D), 3dpw (3DPW, converted), h36m (Human3.6M with pictures) or synth (of occlupose
            synth).
        data: folder of the dataset.
        variant: whose evaluation of MuPoTS-3D. official: its makers'. smap15: SMAP's and HUPOR's, on 15 joints. pyport:
            that of Python ports, to compare with their papers only.
        sequences: of mupots or 3dpw, e.g. TS1 TS2, or downtown_stairs.
        predictions: score this .npz file instead of predicting.
        save_predictions: .npz file to keep the predictions in.
        flip: look at every picture's mirror image too.
        output: .csv file for all figures.
        weights: of train hupor, instead of the shipped ones.
        device: where the networks run: cpu, cuda, ... as torch names it.
    """
    if predictions is not None and (weights is not None or save_predictions is not None or flip):
        raise OccluposeError("predictions: are scored as they are; leave out --weights, --flip and --save-predictions")
    for file in (save_predictions, output):
        if file is not None:
            check_folder(file.absolute().parent)
            if file.is_dir():
                raise OccluposeError(f"{file}: is a folder; give a file")
    from occlupose.evaluation import people3d as evaluation

    console = Console(stderr=True)
    truths, protocol = evaluation.load(dataset, data, variant, sequences)
    if predictions is not None:
        predicted = evaluation.Predictions.load(predictions, truths)
    else:
        from occlupose.methods.hupor.predict import load

        predictor = load(weights, flip=flip, device=device)
        with progress(console) as bar:
            looking = bar.add_task("looking", total=len(truths), people="")
            predicted = evaluation.predict(truths, predictor, lambda pictures: bar.advance(looking, pictures))
    if save_predictions is not None:
        predicted.save(save_predictions)
        print(f"{save_predictions}: predictions written")
    report = evaluation.score(truths, predicted, protocol)
    for table in evaluation.tables(report):
        Console().print(table)
    for note in evaluation.notes(dataset, truths, predicted, report):
        print(note)
    if output is not None:
        whose = predictions or weights
        evaluation.write_csv(report, output, dataset=dataset, predictions="shipped" if whose is None else whose.name)
        print(f"{output}: written")


EVAL: dict[str, Callable[..., None]] = {
    "oanet": evaluate_oanet,
    "keypoints": evaluate_keypoints,
    "hupor": evaluate_hupor,
}
"""What `occlupose eval` can score."""
