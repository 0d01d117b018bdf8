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
    rules: Literal["ours", "paper"] = "ours",
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
    strip: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")] = None,
) -> None:
    """Label 3D people with what their own bodies hide: the state of every joint, 2 visible or 1 occluded.

    Writes FOLDER/NAME.npz from the data's own camera, or FOLDER/NAME/view000.npz, view001.npz, ... from virtual ones.
    Exactly as the paper: --views 100 --projection orthographic --rules paper.

    Args:
        input: poses with xyz (.npz, .json), CMU motion capture (.amc with its .asf beside it), or folders of motion
            capture.
        output: folder for the labelled poses.
        views: virtual cameras for each input. Motion capture needs some, for it has no camera.
        projection: parallel rays (orthographic) are the paper's.
        rules: the paper's have no margin, no limbs seen end-on and no face.
        camera: JSON file of the virtual cameras' size and lens.
        fov: field of view of the virtual cameras.
        skeleton: of what is written: h36m17, coco17, ...
        seed: of the virtual cameras.
        dataset: what the input is: files of poses and CMU motion capture, or the folder of Human3.6M (h36m) or
            HumanEva-I.
        subjects: of the dataset.
        strip: picture of six moments of the first labels, to check by eye.
    """
    from rich.progress import track

    from occlupose import labels
    from occlupose.cameras import Camera
    from occlupose.evaluation.lifting import load_takes
    from occlupose.media import check_image_path
    from occlupose.skeletons import by_name

    if subjects and dataset == "files":
        raise OccluposeError(
            f"subjects {' '.join(subjects)}: of a dataset; say which with --dataset, or give their files alone"
        )
    if strip is not None:
        check_image_path(strip)

    lens = Camera.from_fov(labels.SIZE, labels.SIZE, fov) if camera is None else Camera.load(camera)
    look = labels.Look(views, projection == "perspective", lens, labels.RULES[rules], seed)
    target = None if skeleton is None else by_name(skeleton)
    console = Console(stderr=True)
    joints = 0
    occluded = 0
    written = 0

    def counted(things: list[T]) -> Iterable[T]:
        check_folder(output)
        return track(things, "labelling", console=console, disable=not console.is_terminal)

    files = labels.find(input, look) if dataset == "files" else []
    if dataset == "files":
        takes: Iterable[PoseSequence] = labels.read(counted(files))
    else:
        takes = counted([take for folder in input for take in load_takes(dataset, folder, subjects, "ground-truth")])
    for _, poses in labels.write(takes, output, look, skeleton=target, inputs=files):
        if strip is not None and not written:
            from occlupose import viewer

            viewer.strip(poses, strip)
        written += 1
        joints = joints + int((poses.state > 0).sum())
        occluded = occluded + int((poses.state == 1).sum())
    share = f"{occluded / joints:.0%} of the joints occluded" if joints else "nobody in them"
    print(f"{output}: {written} file{'' if written == 1 else 's'} of labels, {share}")
    if strip is not None:
        print(f"{strip}: written")
