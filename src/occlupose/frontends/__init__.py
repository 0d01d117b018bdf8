"""Front ends: person detection and 2D keypoints, frame by frame, behind one protocol."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from occlupose.detections import Detections, FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.media import Frame
from occlupose.skeletons import Skeleton

if TYPE_CHECKING:
    from occlupose.frontends.crops import CropNetwork

__all__ = ["Frontend", "build_frontend", "check_options", "load_crop_network"]

SUFFIXES = (".safetensors", ".onnx")
"""Suffixes of network files."""


class Frontend(Protocol):
    """Detects people and their keypoints, frame by frame.

    Attributes:
        name: as given to `build_frontend`.
        skeleton: joints of the detections.
    """

    name: str
    skeleton: Skeleton

    def __call__(self, frame: Frame) -> Detections:
        """People in this frame. Earlier frames may be used.

        No keypoint is NaN: a joint that is only guessed has a low score.
        """
        ...

    def reset(self) -> None:
        """Forget earlier frames: another video or image follows."""
        ...


def build_frontend(
    name_or_file: str | Path = "blazepose",
    *,
    threads: int = 2,
    boxes: Mapping[int, FrameBoxes] | None = None,
    flip: bool = False,
    device: str = "cpu",
) -> Frontend:
    """A front end by name, or from a network in a file.

    Arguments:
        name_or_file: "blazepose", "blazepose:FILE.tflite" with another landmark network of BlazePose, or a file as for
            `load_crop_network`.
        threads: processor threads of the networks; a .safetensors file uses torch's.
        boxes: bounding boxes of the people in each frame (`occlupose.frontends.boxes.load`); by default people are
            detected.
        flip: test-time augmentation by horizontal flip, for a .safetensors file: slightly better, twice the time.
        device: torch device of a .safetensors file.

    Raises:
        OccluposeError: unknown name; weights cannot be read or downloaded; an option that this front end does not have.
    """
    name = str(name_or_file)
    check_options(name, boxes=boxes is not None, flip=flip)
    if Path(name).suffix.lower() in SUFFIXES:
        from occlupose.frontends.crops import BoxFrontend, TopDownFrontend

        network = load_crop_network(Path(name), threads=threads, flip=flip, device=device)
        return TopDownFrontend(name, network, threads=threads) if boxes is None else BoxFrontend(name, network, boxes)
    from occlupose.frontends.blazepose import BlazePose

    landmarks = name.partition(":")[2]
    return BlazePose(Path(landmarks) if landmarks else None, threads=threads)


def check_options(name: str, *, boxes: bool = False, flip: bool = False) -> None:
    """Refuses an unknown front end and options that it does not have, before networks are loaded.

    Arguments:
        name: as for `build_frontend`.
        boxes, flip: whether these options are used.

    Raises:
        OccluposeError: there is no such front end or file, it does not have the option, or a package is missing.
    """
    from occlupose.frontends.tflite import check_installed

    suffix = Path(name).suffix.lower()
    kind, colon, landmarks = name.partition(":")
    if flip and suffix != ".safetensors":
        raise OccluposeError(f"{name}: has no flip; leave it out, or give a .safetensors file")
    if suffix not in SUFFIXES and kind != "blazepose":
        raise OccluposeError(f"{name}: no such front end; give blazepose, a .safetensors or an .onnx file")
    if suffix not in SUFFIXES and colon and not Path(landmarks).is_file():
        raise OccluposeError(f"{name}: no such file; give a landmark network, such as pose_landmark_heavy.tflite")
    if suffix not in SUFFIXES and boxes:
        raise OccluposeError(
            "blazepose: detects people by itself and takes no boxes; give a .safetensors or an .onnx file with them"
        )
    if suffix not in SUFFIXES:
        check_installed()


def load_crop_network(path: Path, *, threads: int = 2, flip: bool = False, device: str = "cpu") -> "CropNetwork":
    """The network in a file, which takes crops of one person.

    Arguments:
        path: .safetensors, as `occlupose train keypoints`, `train ljof` or `convert checkpoint` write it; or .onnx
            (with a card beside it, see `occlupose.frontends.onnx`).
        threads, flip, device: as for `build_frontend`.

    Raises:
        OccluposeError: another kind of file; weights cannot be read; an option that this network does not have.
    """
    from occlupose.frontends import estimator
    from occlupose.frontends.hourglass import HourglassNetwork
    from occlupose.frontends.onnx import OnnxNetwork
    from occlupose.networks.weights import header

    if path.suffix.lower() == ".onnx":
        if flip:
            raise OccluposeError(f"{path}: has no flip; leave it out, or give a .safetensors file")
        return OnnxNetwork(path, threads=threads)
    if path.suffix.lower() != ".safetensors":
        raise OccluposeError(f"{path}: not a keypoint network; give a .safetensors or an .onnx file")
    if header(path).get("format") == estimator.FORMAT:
        return estimator.EstimatorNetwork(path, flip=flip, device=device)
    return HourglassNetwork(path, flip=flip, device=device)
