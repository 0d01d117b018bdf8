"""The commands that label data: joints of 3D people as visible or occluded, and people in photographs."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from rich.console import Console
from tyro.conf import Positional, arg

from occlupose.cli.terminal import check_folder, count, say
from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    from occlupose.datasets.sequence import PoseSequence

T = TypeVar("T")

MIN_ASPECT = 0.1
"""Least width over height of a photograph."""


def label(
    input: Positional[Annotated[tuple[Path, ...], arg(metavar="INPUT...", help_behavior_hint="")]],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    views: Annotated[int, arg(metavar="COUNT", help_behavior_hint="(default: 0, the data's own camera)")] = 0,
    projection: Literal["perspective", "orthographic"] = "perspective",
    occlusion_rules: Literal["ours", "paper"] = "ours",
    camera: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint="(default: 1000 x 1000 px, by --fov)")
    ] = None,
    fov: Annotated[float, arg(metavar="DEGREES")] = 55.0,
    skeleton: Annotated[
        str | None, arg(metavar="NAME", help_behavior_hint="(default: the input's own; h36m17 for motion capture)")
    ] = None,
    seed: int = 0,
    dataset: Literal["files", "h36m", "humaneva"] = "files",
    subjects: Annotated[
        tuple[str, ...], arg(metavar="NAMES", help_behavior_hint="(default: those of its protocol)")
    ] = (),
    preview: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None,
) -> None:
    """Label which joints of 3D people are occluded by their own bodies: state 2 visible, 1 occluded.

    Writes FOLDER/NAME.npz from the data's own camera, or FOLDER/NAME/view000.npz, view001.npz, ... from virtual
    cameras. As in the paper: --views 100 --projection orthographic --occlusion-rules paper.

        occlupose label poses.npz -o labels --preview labels.png
        occlupose label mocap -o labels --views 4

    Args:
        input: Poses with xyz (.npz, .json), CMU motion capture (.amc with its .asf beside it), or folders of motion
            capture.
        output: Folder for the labelled poses.
        views: Number of virtual cameras per input. Motion capture has no camera and needs at least one.
        projection: Projection of the virtual cameras; orthographic in the paper.
        occlusion_rules: The paper's rules have no depth margin, no limbs seen end-on and no face.
        camera: JSON file with image size and intrinsics of the virtual cameras.
        fov: Field of view of the virtual cameras.
        skeleton: Skeleton of the output: h36m17, coco17, ...
        seed: Seed of the virtual cameras.
        dataset: Kind of input: files (poses and CMU motion capture), or the folder of Human3.6M (h36m) or HumanEva-I
            (humaneva).
        subjects: Subjects of the dataset.
        preview: Image of up to six labelled frames of the first input, to check by eye.
    """
    from rich.progress import track

    from occlupose.cameras import Camera
    from occlupose.evaluation.mpjpe import load_sequences
    from occlupose.media import check_image_path
    from occlupose.methods.oanet import labels
    from occlupose.skeletons import by_name

    if subjects and dataset == "files":
        raise OccluposeError(
            f"subjects {' '.join(subjects)}: need a dataset; name it with --dataset, or leave them out"
        )
    if preview is not None:
        check_image_path(preview)

    size = labels.IMAGE_SIZE
    virtual = Camera.from_fov(size, size, fov) if camera is None else Camera.load(camera)
    rules = labels.OCCLUSION_RULES[occlusion_rules]
    setup = labels.CameraSetup(views, projection == "perspective", virtual, rules, seed)
    target = None if skeleton is None else by_name(skeleton)
    console = Console(stderr=True)
    joints = 0
    occluded = 0
    written = 0

    def with_progress(items: list[T]) -> Iterable[T]:
        check_folder(output)
        return track(items, "labelling", console=console, disable=not console.is_terminal)

    files = labels.find_files(input, setup) if dataset == "files" else []
    if dataset == "files":
        sequences: Iterable[PoseSequence] = labels.read_sequences(with_progress(files))
    else:
        loaded = [
            sequence for folder in input for sequence in load_sequences(dataset, folder, subjects, "ground-truth")
        ]
        sequences = with_progress(loaded)
    for _, poses in labels.write_labels(sequences, output, setup, skeleton=target, inputs=files):
        if preview is not None and not written:
            from occlupose import viewer

            viewer.preview_labels(poses, preview)
        written += 1
        joints += int((poses.state > 0).sum())
        occluded += int((poses.state == 1).sum())
    share = f"{occluded / joints:.0%} of the joints occluded" if joints else "no people in them"
    print(f"{output}: {written} file{'' if written == 1 else 's'} of labels, {share}")
    if preview is not None:
        print(f"{preview}: written")


def pseudo_label(
    photographs: Positional[Annotated[Path, arg(metavar="FOLDER", help_behavior_hint="")]],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    frontend: Annotated[str | None, arg(metavar="NAME|FILE", help_behavior_hint="(default: movenet-occlusion)")] = None,
    aspects: Annotated[tuple[float, ...], arg(metavar="RATIOS", help_behavior_hint="(default: as stored)")] = (),
    credit: Annotated[str, arg(metavar="TEXT", help_behavior_hint="(default: the user's own)")] = "the user's own",
    threads: Annotated[int, arg(metavar="COUNT")] = 2,
) -> None:
    """Label the people in photographs with networks: a dataset in COCO's format to train on.

    Writes the photographs to FOLDER/images and, at the end, the people, found by NanoDet, to FOLDER/annotations.json.

        occlupose pseudo-label photographs -o labelled
        occlupose train hupor --data people labelled -o runs/hupor --recipe movenet

    Args:
        photographs: Folder of images.
        output: Folder for the dataset.
        frontend: Front end that finds keypoints in a person's bounding box: movenet-occlusion, movenet, or a
            .safetensors or .onnx file. Only movenet-occlusion gives occluded ones too.
        aspects: Width over height of photographs that are stored as squares, such as 1.333 0.75; of several, the one
            at which the keypoints are most confident.
        credit: Authors and licence of the photographs, for the cards of weights that are trained on them.
        threads: Processor threads of each network.
    """
    from rich.progress import track

    from occlupose.frontends import DEFAULT, load_crop_network
    from occlupose.frontends.nanodet import NanoDetector
    from occlupose.media import files_of
    from occlupose.training import pseudo_labels

    if not all(MIN_ASPECT <= aspect <= 1 / MIN_ASPECT for aspect in aspects):
        wrong = f"aspects {' '.join(f'{aspect:g}' for aspect in aspects)}"
        raise OccluposeError(f"{wrong}: must be between {MIN_ASPECT:g} and {1 / MIN_ASPECT:g}")
    console = Console(stderr=True)
    paths = sorted(files_of(photographs))
    check_folder(output, files=[pseudo_labels.ANNOTATIONS])
    name = frontend or DEFAULT
    labelled = pseudo_labels.pseudo_label(
        paths,
        output,
        load_crop_network(name, threads=threads),
        NanoDetector(threads=threads, min_score=pseudo_labels.MIN_SCORE),
        aspects=aspects,
        about=f"photographs ({credit}) with keypoints by {Path(name).name}",
        unreadable=lambda reason: say(console, f"warning: left out: {reason}"),
    )
    shown = track(labelled, "labelling", len(paths), console=console, disable=not console.is_terminal)
    people = sum(found for _, found in shown)
    print(f"{output}: {count(people)} in {photographs}; {pseudo_labels.ANNOTATIONS}")
