"""Commands that score poses by the protocols of datasets."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from tyro.conf import OmitArgPrefixes, arg

from occlupose.cli.options import Detector, Device, Threads, Weights, use_threads
from occlupose.cli.terminal import check_file, print_warnings, progress
from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    from occlupose.evaluation.evaluator import Evaluation

Data = Annotated[Path, arg(metavar="FOLDER")]
Output = Annotated[Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="(default: only printed)")]
Sequences = Annotated[tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: all)")]
BoxSource = Literal["ground-truth", "detector"]


@dataclass(frozen=True)
class KeypointOptions:
    """Dataset, front end and output.

    Attributes:
        data: Folder of the dataset as its authors distribute it; for eval coco also of occlupose synth.
        frontend: movenet-occlusion, movenet, movenet-multipose, blazepose, or the .safetensors or .onnx file of a
            network (maybe with the word of a preset before it, as for run). Files of train dsed find people by
            themselves.
        detector: Another person detector, an .onnx file: yolox:FILE.onnx, rtmdet:FILE.onnx.
        boxes: JSON file with the bounding boxes of another detector, in COCO's results format.
        box_source: Predict in the annotated box of each person (ground-truth), or in those of --detector or of the
            front end's own detector. blazepose and movenet-multipose only have their own.
        split: Split of the dataset; papers report test, which for COCO is val2017.
        annotations: Annotations to use instead of those of the split.
        flip: Test-time augmentation by horizontal flip: slightly better, twice the time. For .safetensors front ends.
        scales: Test-time augmentation by size: sizes relative to that of training, such as 0.5 1 2, whose heatmaps are
            averaged. For front ends of train dsed.
        strict: Stop at the first invalid person, image or box.
        output: .csv file for all metrics.
        device: Device of the front end and the detector: cpu, cuda, ...; directml for .onnx files alone.
        threads: Processor threads of each network.
    """

    data: Annotated[Path, arg(metavar="FOLDER")]
    frontend: Annotated[str, arg(metavar="NAME|FILE")] = "movenet-occlusion"
    detector: Detector = None
    boxes: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: see --box-source)")] = None
    box_source: Annotated[
        BoxSource | None,
        arg(metavar="ground-truth|detector", help_behavior_hint="(default: detector; for a file ground-truth)"),
    ] = None
    split: Literal["test", "val", "train"] = "test"
    annotations: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: those of the split)")] = None
    flip: bool = False
    scales: Annotated[tuple[float, ...], arg(metavar="NUMBERS")] = (1.0,)
    strict: bool = False
    output: Output = None
    device: Device = "cpu"
    threads: Threads = None


def evaluate_coco(keypoints: OmitArgPrefixes[KeypointOptions]) -> None:
    """Score 2D keypoints by COCO's protocol: average precision, overall and by occlusion.

    Also on the output of occlupose synth, and on other annotations in COCO's format.

        occlupose eval coco --data coco -o scores.csv
        occlupose eval coco --data coco --frontend pose.safetensors --boxes b.json
    """
    _evaluate_keypoints("coco", keypoints)


def evaluate_crowdpose(keypoints: OmitArgPrefixes[KeypointOptions]) -> None:
    """Score 2D keypoints by CrowdPose's protocol: average precision, overall, by crowding and by occlusion.

    occlupose eval crowdpose --data crowdpose -o scores.csv
    occlupose eval crowdpose --data crowdpose --frontend a.onnx --boxes b.json
    """
    _evaluate_keypoints("crowdpose", keypoints)


def evaluate_ochuman(keypoints: OmitArgPrefixes[KeypointOptions]) -> None:
    """Score 2D keypoints by OCHuman's protocol: average precision, overall and by occlusion.

    occlupose eval ochuman --data ochuman -o scores.csv
    occlupose eval ochuman --data ochuman --box-source ground-truth
    """
    _evaluate_keypoints("ochuman", keypoints)


def keypoint_command(dataset: str) -> str:
    """The command that scores keypoints on a dataset, such as "eval coco".

    Arguments:
        dataset: one of `formats.coco.DATASETS`; COCO's protocol is also that of those without their own.
    """
    from occlupose.evaluation.oks import protocol_of

    return f"eval {protocol_of(dataset)}"


def _evaluate_keypoints(dataset: str, options: KeypointOptions) -> None:
    """Scores 2D keypoints on one of the datasets."""
    _check(options)
    from occlupose.evaluation.oks import prepare

    _run(prepare, dataset, options, threads=use_threads(options.threads))


@dataclass(frozen=True)
class Options3D:
    """Options of all commands that score 3D poses."""

    data: Data
    """Folder of the dataset."""
    predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: predict now)")] = None
    """Score this .npz file instead of predicting."""
    save_predictions: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: not saved)")] = None
    """.npz file for the predictions."""
    output: Output = None
    """.csv file for all metrics."""
    device: Device = "cpu"
    """Torch device: cpu, cuda, ..."""


@dataclass(frozen=True)
class SequenceOptions(Options3D):
    """Dataset, lifter and output."""

    subjects: Annotated[
        tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: those of the protocol)")
    ] = ()
    """Subjects to score."""
    detections: Annotated[str, arg(metavar="NAME|FOLDER")] = "ground-truth"
    """2D poses to lift: ground-truth, the NAME of a data_2d_DATASET_NAME.npz, or a folder of poses files."""
    every: int = 1
    """Use only every n-th frame."""
    weights: Weights = None
    """Weights written by train lifter or train oanet."""


@dataclass(frozen=True)
class ImageOptions(Options3D):
    """Dataset, network and output."""

    flip: bool = False
    """Test-time augmentation by horizontal flip: slightly better, twice the time."""
    weights: Weights = None
    """Weights written by train hupor."""


Options = KeypointOptions | SequenceOptions | ImageOptions


def evaluate_h36m(lifting: OmitArgPrefixes[SequenceOptions]) -> None:
    """Score lifted 3D poses by the protocols of Human3.6M: by action and joint, and for visible and occluded joints
    separately.

        occlupose eval h36m --data h36m -o metrics.csv
        occlupose eval h36m --data h36m --detections cpn_ft_h36m_dbb
    """
    _evaluate_sequences("h36m", lifting)


def evaluate_humaneva(lifting: OmitArgPrefixes[SequenceOptions]) -> None:
    """Score lifted 3D poses by the protocol of HumanEva-I: by action and joint, and for visible and occluded joints
    separately.

        occlupose eval humaneva --data humaneva --every 5
    """
    _evaluate_sequences("humaneva", lifting)


def _evaluate_sequences(dataset: str, options: SequenceOptions) -> None:
    """Scores lifted 3D poses on one of the datasets."""
    _check(options)
    from occlupose.evaluation.mpjpe import prepare

    _run(prepare, dataset, options)


def evaluate_mupots(
    people: OmitArgPrefixes[ImageOptions],
    protocol: Literal["official", "smap15", "gntcn"] = "official",
    sequences: Sequences = (),
) -> None:
    """Score multi-person absolute 3D poses by the protocols of MuPoTS-3D; occluded joints separately.

        occlupose eval mupots --data MultiPersonTestSet --protocol smap15

    Args:
        protocol: Evaluation of MuPoTS-3D: official, by its authors; smap15, by SMAP and HUPOR on 15 joints; gntcn, of
            some Python ports, only for comparison with their papers.
        sequences: Sequences to score, e.g. TS1 TS2.
    """
    _evaluate_images("mupots", people, protocol=protocol, sequences=sequences)


def evaluate_3dpw(people: OmitArgPrefixes[ImageOptions], sequences: Sequences = ()) -> None:
    """Score multi-person absolute 3D poses on 3DPW, converted; also its sequences with occlusion.

        occlupose eval 3dpw --data 3dpw -o metrics.csv

    Args:
        sequences: Sequences to score, e.g. downtown_stairs.
    """
    _evaluate_images("3dpw", people, sequences=sequences)


def evaluate_h36m_images(people: OmitArgPrefixes[ImageOptions]) -> None:
    """Score absolute 3D poses in single images of Human3.6M.

    occlupose eval h36m-images --data h36m_images -o metrics.csv
    """
    _evaluate_images("h36m-images", people)


def evaluate_synth(people: OmitArgPrefixes[ImageOptions]) -> None:
    """Score multi-person absolute 3D poses on the output of occlupose synth; occluded joints separately.

    For 2D keypoints on it see eval coco.

        occlupose eval synth --data people -o metrics.csv
    """
    _evaluate_images("synth", people)


def _evaluate_images(dataset: str, options: ImageOptions, **protocol: Any) -> None:
    """Scores the people in the images of one of the datasets."""
    _check(options)
    from occlupose.evaluation.mupots import prepare

    _run(prepare, dataset, options, **protocol)


def _check(options: Options) -> None:
    """Refuses options for predicting together with a file of predictions, and files that could not be written."""
    given = vars(options)
    predicting = ("weights", "save_predictions", "flip")
    used = [f"--{name.replace('_', '-')}" for name in predicting if given.get(name)]
    if given.get("predictions") is not None and used:
        raise OccluposeError(f"predictions: are scored unchanged; leave out {' and '.join(used)}")
    for name, option in (("output", "-o"), ("save_predictions", "--save-predictions")):
        if given.get(name) is not None:
            check_file(given[name], option)


def _run(prepare: Callable[..., "Evaluation[Any, Any]"], dataset: str, options: Options, **others: Any) -> None:
    """Runs an evaluation, and prints and writes its result."""
    given = vars(options) | others
    output = given.pop("output")
    save_predictions = given.pop("save_predictions", None)
    evaluation = prepare(dataset, **given)
    console = Console(stderr=True)
    print_warnings(console, evaluation.warnings)
    with progress(console) as bar:
        task = bar.add_task("evaluating", total=evaluation.total, people="")
        table = evaluation.run(lambda frames: bar.advance(task, frames))
    if save_predictions is not None and evaluation.record is not None:
        evaluation.record.save(save_predictions)
        print(f"{save_predictions}: predictions written")
    table.print()
    if output is not None:
        table.write_csv(output)
        print(f"{output}: written")


EVAL: dict[str, Callable[..., None]] = {
    "coco": evaluate_coco,
    "crowdpose": evaluate_crowdpose,
    "ochuman": evaluate_ochuman,
    "h36m": evaluate_h36m,
    "humaneva": evaluate_humaneva,
    "mupots": evaluate_mupots,
    "3dpw": evaluate_3dpw,
    "h36m-images": evaluate_h36m_images,
    "synth": evaluate_synth,
}
"""The commands of `occlupose eval`."""
