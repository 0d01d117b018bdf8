"""The command that writes occlusion labels."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from rich.console import Console
from tyro.conf import Positional, arg

from occlupose.cli.terminal import check_folder
from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    from occlupose.datasets.sequence import PoseSequence

T = TypeVar("T")


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

    Writes FOLDER/NAME.npz from the data's own camera, or FOLDER/NAME/view000.npz, view001.npz, ... from virtual ones.
    Exactly as in the paper: --views 100 --projection orthographic --occlusion-rules paper.

    Args:
        input: poses with xyz (.npz, .json), CMU motion capture (.amc with its .asf beside it), or folders of motion
            capture.
        output: folder for the labelled poses.
        views: virtual cameras per input. Motion capture needs at least one, since it has no camera.
        projection: of the virtual cameras; the paper's is orthographic.
        occlusion_rules: the paper's have no depth margin, no limbs seen end-on and no face.
        camera: JSON file with the virtual cameras' image size and intrinsics.
        fov: field of view of the virtual cameras.
        skeleton: of the output: h36m17, coco17, ...
        seed: of the virtual cameras.
        dataset: what the input is: files of poses and CMU motion capture, or the folder of Human3.6M (h36m) or
            HumanEva-I.
        subjects: of the dataset.
        preview: image of up to six frames of the first labels, to check by eye.
    """
    from rich.progress import track

    from occlupose.cameras import Camera
    from occlupose.evaluation.lifting import load_sequences
    from occlupose.media import check_image_path
    from occlupose.methods.oanet import labels
    from occlupose.skeletons import by_name

    if subjects and dataset == "files":
        raise OccluposeError(
            f"subjects {' '.join(subjects)}: are for a dataset; name it with --dataset, or give their files only"
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
