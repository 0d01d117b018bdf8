"""Front ends: person detection and 2D keypoints, frame by frame, behind one protocol."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from occlupose.detections import Detections, FrameBoxes
from occlupose.errors import OccluposeError
from occlupose.frontends.presets import PRESETS, split_preset
from occlupose.media import Frame
from occlupose.skeletons import Skeleton

if TYPE_CHECKING:
    from occlupose.frontends.bottom_up import BottomUpFrontend
    from occlupose.frontends.crops import CropNetwork
    from occlupose.frontends.detector import BoxDetector
    from occlupose.frontends.onnx import OnnxPeople

__all__ = ["Frontend", "build_detector", "build_frontend", "check_detector", "check_options", "load_crop_network"]

DEFAULT = "movenet-occlusion"
"""Name of the default front end."""

CROPS = (DEFAULT, "movenet")
"""Front ends that are a network for crops of one person, with a detector."""

NAMES = (*CROPS, "movenet-multipose", "blazepose")
"""Names for `build_frontend`."""

SUFFIXES = (".safetensors", ".onnx")
"""Suffixes of network files."""


class Frontend(Protocol):
    """Detects people and their keypoints, frame by frame.

    Attributes:
        name: as given to `build_frontend`.
        skeleton: joints of the detections.
        min_joint_confidence: least score of a visible joint, 0..1; a joint with a lower one is occluded.
    """

    name: str
    skeleton: Skeleton
    min_joint_confidence: float

    def __call__(self, frame: Frame) -> Detections:
        """People in this frame. Earlier frames may be used.

        No keypoint is NaN: a joint that is only guessed has a low score.
        """
        ...

    def reset(self) -> None:
        """Forget earlier frames: another video or image follows."""
        ...


def build_frontend(
    name_or_file: str | Path = DEFAULT,
    *,
    threads: int = 2,
    boxes: Mapping[int, FrameBoxes] | None = None,
    detector: "str | Path | BoxDetector | None" = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    device: str = "cpu",
) -> Frontend:
    """A front end by name, or from a network in a file.

    Arguments:
        name_or_file: "movenet-occlusion" (NanoDet, and MoveNet Thunder trained further for hidden joints), "movenet"
            (Thunder as it is), "movenet-multipose" (faster: whole images in one pass), "blazepose",
            "blazepose:FILE.tflite" with another landmark network of BlazePose, a file as for `load_crop_network`, or
            the file of a network that finds people and their keypoints in whole images: .safetensors, as `occlupose
            train dsed` writes it, or .onnx, such as "rtmo:FILE.onnx".
        threads: processor threads of the networks; a .safetensors file uses torch's.
        boxes: bounding boxes of the people in each frame (`occlupose.frontends.boxes.load`); by default people are
            detected. For networks that take crops.
        detector: person detector, or its file as for `build_detector`; by default NanoDet. For networks that take
            crops.
        flip: test-time augmentation by horizontal flip, for a .safetensors file: slightly better, twice the time.
        scales: test-time augmentation by size, for a file of `train dsed`: sizes relative to that of training.
        device: of MoveNet, NanoDet or a network in a file, as in torch.

    Raises:
        OccluposeError: unknown name; weights cannot be read or downloaded; an option that this front end does not
            have; a box that is empty or not finite.
    """
    name = str(name_or_file)
    scaled = tuple(scales) != (1.0,)
    check_options(name, boxes=boxes is not None, detector=detector is not None, flip=flip, scales=scaled)
    if name == "movenet-multipose":
        from occlupose.frontends.movenet import MoveNetMultiPose

        return MoveNetMultiPose(threads=threads, device=device)
    if name.partition(":")[0] == "blazepose":
        from occlupose.frontends.blazepose import BlazePose

        landmarks = name.partition(":")[2]
        return BlazePose(Path(landmarks) if landmarks else None, threads=threads)
    from occlupose.frontends.bottom_up import BottomUpFrontend
    from occlupose.frontends.boxes import check
    from occlupose.frontends.crops import BoxFrontend, TopDownFrontend
    from occlupose.frontends.nanodet import NanoDetector
    from occlupose.frontends.onnx import OnnxPeople

    network = _load_network(name, threads=threads, flip=flip, scales=scales, device=device)
    if isinstance(network, OnnxPeople | BottomUpFrontend):
        if boxes is not None or detector is not None:
            raise OccluposeError(f"{name}: finds people by itself; leave out boxes and detector")
        return network
    if boxes is not None:
        check(boxes)
        return BoxFrontend(name, network, boxes)
    if detector is None:
        detector = NanoDetector(threads=threads, device=device)
    if isinstance(detector, str | Path):
        detector = build_detector(detector, threads=threads, device=device)
    return TopDownFrontend(name, network, detector)


def build_detector(name_or_file: str | Path, *, threads: int = 2, device: str = "cpu") -> "BoxDetector":
    """A person detector from a network in a file.

    Arguments:
        name_or_file: .onnx, maybe with the word of a preset before it: "yolox:FILE.onnx", "rtmdet:FILE.onnx" (see
            `occlupose.frontends.onnx`).
        threads: processor threads.
        device: as in torch.

    Raises:
        OccluposeError: not such a file; it cannot be read; it is another network; the device cannot be used.
    """
    name = str(name_or_file)
    check_detector(name)
    from occlupose.frontends.onnx import OnnxDetector, load_network

    network = load_network(name, threads=threads, device=device)
    if not isinstance(network, OnnxDetector):
        raise OccluposeError(f"{name}: a pose network, not a person detector; give it as frontend")
    return network


def is_network_file(name: str) -> bool:
    """Whether a front end is a network in a file, by its suffix; there may be the word of a preset before it."""
    return split_preset(name)[1].suffix.lower() in SUFFIXES


def is_bottom_up_file(name: str) -> bool:
    """Whether a front end is a bottom-up network in a file of ours, which finds people in whole images by itself."""
    file = Path(name)
    if file.suffix.lower() != ".safetensors":
        return False
    from occlupose.networks import bottom_up
    from occlupose.networks.weights import header

    return header(file).get("format") == bottom_up.FORMAT


def check_options(
    name: str, *, boxes: bool = False, detector: bool = False, flip: bool = False, scales: bool = False
) -> None:
    """Refuses an unknown front end and options that it does not have, before networks are loaded.

    Arguments:
        name: as for `build_frontend`.
        boxes, detector, flip, scales: whether these options are used.

    Raises:
        OccluposeError: there is no such front end or file, it does not have the option, or a package is missing.
    """
    word, file = split_preset(name)
    if flip and file.suffix.lower() != ".safetensors":
        raise OccluposeError(f"{name}: has no flip; leave it out, or give a .safetensors file")
    if boxes and detector:
        raise OccluposeError("boxes, detector: both say where people are; give one of the two")
    kind = "crops" if is_network_file(name) or name in CROPS else "named"
    if word is not None:
        kind = PRESETS[word].kind
    elif is_bottom_up_file(name):
        kind = "people"
    if scales and not is_bottom_up_file(name):
        raise OccluposeError(f"{name}: has no scales; leave them out, or give a file that `occlupose train dsed` wrote")
    if kind == "boxes":
        raise OccluposeError(f"{name}: finds boxes, not keypoints; give it as detector")
    if kind == "people" and (boxes or detector):
        raise OccluposeError(f"{name}: finds people by itself; leave out boxes and detector")
    if kind == "named":
        _check_name(name, boxes, detector)


def _check_name(name: str, boxes: bool, detector: bool) -> None:
    kind, colon, landmarks = name.partition(":")
    if kind != "blazepose" and name not in NAMES:
        words = [f"{word}:FILE.onnx" for word, preset in PRESETS.items() if preset.kind != "boxes"]
        known = ", ".join([*NAMES, *words])
        raise OccluposeError(f"{name}: no such front end; give {known}, a .safetensors or an .onnx file")
    if colon and not Path(landmarks).is_file():
        raise OccluposeError(f"{name}: no such file; give a landmark network, such as pose_landmark_heavy.tflite")
    if boxes or detector:
        option = "boxes" if boxes else "detector"
        cure = f"give {' or '.join(CROPS)}, a .safetensors or an .onnx file with it"
        raise OccluposeError(f"{kind}: detects people by itself and takes no {option}; {cure}")
    if kind == "blazepose":
        from occlupose.frontends.tflite import check_installed

        check_installed()


def check_detector(name: str) -> None:
    """Refuses an unknown person detector, before networks are loaded.

    Raises:
        OccluposeError: not an .onnx file, or the word of a pose network.
    """
    word, file = split_preset(name)
    words = [f"{word}:FILE.onnx" for word, preset in PRESETS.items() if preset.kind == "boxes"]
    if file.suffix.lower() != ".onnx":
        raise OccluposeError(f"{name}: no such person detector; give {', '.join(words)} or an .onnx file with a card")
    if word is not None and PRESETS[word].kind != "boxes":
        raise OccluposeError(f"{name}: finds keypoints too; give it as frontend, and {' or '.join(words)} as detector")


def load_crop_network(
    name_or_file: str | Path, *, threads: int = 2, flip: bool = False, device: str = "cpu"
) -> "CropNetwork":
    """A network that takes crops of one person.

    Arguments:
        name_or_file: "movenet", "movenet-occlusion", or a file: .safetensors, as `occlupose train movenet`, `train
            keypoints`, `train ljof` or `convert checkpoint` write it; or .onnx, maybe with the word of a preset before
            it: "rtmpose:FILE.onnx", "vitpose:FILE.onnx" (see `occlupose.frontends.onnx`).
        threads, flip, device: as for `build_frontend`.

    Raises:
        OccluposeError: another kind of file; weights cannot be read; an option that this network does not have.
    """
    from occlupose.frontends.bottom_up import BottomUpFrontend
    from occlupose.frontends.onnx import OnnxPeople

    network = _load_network(str(name_or_file), threads=threads, flip=flip, device=device)
    if isinstance(network, OnnxPeople | BottomUpFrontend):
        raise OccluposeError(f"{name_or_file}: takes whole images, not crops of people; its own boxes are to be used")
    return network


def _load_network(
    name: str, *, threads: int, flip: bool, device: str, scales: Sequence[float] = (1.0,)
) -> "CropNetwork | OnnxPeople | BottomUpFrontend":
    """The pose network of a name or file; see `build_frontend`."""
    from occlupose.frontends.bottom_up import BottomUpFrontend
    from occlupose.frontends.estimator import EstimatorNetwork
    from occlupose.frontends.hourglass import HourglassNetwork
    from occlupose.frontends.movenet import MoveNetOcclusion, MoveNetThunder
    from occlupose.frontends.onnx import OnnxDetector, load_network
    from occlupose.networks import bottom_up, estimators, pretrained
    from occlupose.networks.weights import header

    if name == "movenet":
        return MoveNetThunder(threads=threads, device=device)
    if name == "movenet-occlusion":
        return MoveNetOcclusion(threads=threads, device=device)
    path = split_preset(name)[1]
    if path.suffix.lower() == ".onnx":
        if flip:
            raise OccluposeError(f"{path}: has no flip; leave it out, or give a .safetensors file")
        network = load_network(name, threads=threads, device=device)
        if isinstance(network, OnnxDetector):
            raise OccluposeError(f"{name}: a person detector, not a pose network; give it as detector")
        return network
    if path.suffix.lower() != ".safetensors":
        raise OccluposeError(f"{path}: not a keypoint network; give a .safetensors or an .onnx file")
    written = header(path).get("format")
    if written == pretrained.FORMAT:
        if flip:
            raise OccluposeError(f"{path}: has no flip; leave it out")
        return MoveNetOcclusion(path, threads=threads, device=device)
    if written == bottom_up.FORMAT:
        return BottomUpFrontend(path, scales=scales, flip=flip, device=device)
    if written == estimators.FORMAT:
        return EstimatorNetwork(path, flip=flip, device=device)
    return HourglassNetwork(path, flip=flip, device=device)
