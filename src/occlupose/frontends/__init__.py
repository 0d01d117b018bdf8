"""Ready 2D pose estimators behind one protocol: a frame in, the people in it out."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.media import Frame
from occlupose.skeletons import Skeleton

if TYPE_CHECKING:
    from occlupose.frontends.boxes import Boxes
    from occlupose.frontends.crops import CropNetwork

__all__ = ["Frontend", "build", "crop_network"]

SUFFIXES = (".safetensors", ".onnx")
"""Of files with networks."""


class Frontend(Protocol):
    """Finds people and their joints, frame after frame.

    Attributes:
        name: as given to `build`.
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
        """Forget the frames before: the next one starts another video, or is another picture."""
        ...


def build(
    name_or_file: str | Path = "blazepose",
    *,
    threads: int = 2,
    boxes: "Mapping[int, Boxes] | None" = None,
    flip: bool = False,
    device: str = "cpu",
) -> Frontend:
    """The frontend of this name, or the one that runs the network in this file.

    Arguments:
        name_or_file: "blazepose", or a file as `crop_network` takes it.
        threads: processor threads the networks may use; a .safetensors has torch's.
        boxes: where the people are in each frame (`occlupose.frontends.boxes.load`); otherwise they are looked for.
        flip: a .safetensors looks at every person's mirror image too: a little better, twice the time.
        device: where a .safetensors runs, as torch names it.

    Raises:
        OccluposeError: none of these; weights that cannot be had; an option that this frontend does not have.
    """
    path = Path(name_or_file)
    name = str(name_or_file)
    if path.suffix.lower() in SUFFIXES:
        from occlupose.frontends.crops import Followed, InBoxes

        network = crop_network(path, threads=threads, flip=flip, device=device)
        return Followed(name, network, threads=threads) if boxes is None else InBoxes(name, network, boxes)
    if flip:
        raise OccluposeError(f"{name}: looks at no mirror images; leave out flip, or give a .safetensors file")
    if name_or_file != "blazepose":
        raise OccluposeError(f"{name}: no such frontend; give blazepose, a .safetensors or an .onnx file")
    if boxes is not None:
        raise OccluposeError(
            "blazepose: finds people by itself and takes no boxes; give a .safetensors or an .onnx file with them"
        )
    from occlupose.frontends.blazepose import BlazePose

    return BlazePose(threads=threads)


def crop_network(path: Path, *, threads: int = 2, flip: bool = False, device: str = "cpu") -> "CropNetwork":
    """The network in a file, which is shown one person at a time.

    Arguments:
        path: .safetensors, as `occlupose train keypoints`, `train ljof` or `convert checkpoint` write it; or .onnx
            (`occlupose.frontends.onnx` says what must lie beside it).
        threads, flip, device: as for `build`.

    Raises:
        OccluposeError: none of these; weights that cannot be had; an option that this network does not have.
    """
    from occlupose.frontends import estimator
    from occlupose.frontends.hourglass import HourglassNetwork
    from occlupose.frontends.onnx import OnnxNetwork
    from occlupose.networks.weights import header

    if path.suffix.lower() == ".onnx":
        if flip:
            raise OccluposeError(f"{path}: looks at no mirror images; leave out flip, or give a .safetensors file")
        return OnnxNetwork(path, threads=threads)
    if path.suffix.lower() != ".safetensors":
        raise OccluposeError(
            f"{path}: no network that is shown people one by one; give a .safetensors or an .onnx file"
        )
    if header(path).get("format") == estimator.FORMAT:
        return estimator.EstimatorNetwork(path, flip=flip, device=device)
    return HourglassNetwork(path, flip=flip, device=device)
