"""Networks of others whose cards are known: what each word stands for.

Sources: the test configurations of MMPose 1.3 and MMDetection 3 for input sizes, order of the channels, mean and
standard deviation; MMDeploy 1.3 and rtmlib for the outputs of the exported files. The licence of a file is a matter
between its user and its author.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from occlupose.errors import OccluposeError

UNSCALED = {"channels": "bgr", "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
"""Pixels as they are, blue first."""

IMAGENET_BGR = {"channels": "bgr", "mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395)}

PERSON_CROP = {"width": 192, "height": 256, "padding": 1.25}

Kind = Literal["keypoints", "people", "boxes"]


@dataclass(frozen=True)
class Preset:
    """A kind of network.

    Attributes:
        network: name, for messages.
        kind: keypoints in crops of people; people with keypoints in whole images; or their boxes.
        fields: of its card; the file's own input size replaces that of the card. Fields that depend on the file, the
            skeleton and a detector's codec, are left out.
    """

    network: str
    kind: Kind
    fields: dict[str, Any]


PRESETS: dict[str, Preset] = {
    "rtmpose": Preset("RTMPose", "keypoints", PERSON_CROP | {"codec": "simcc", "split": 2.0}),
    "vitpose": Preset("ViTPose", "keypoints", PERSON_CROP | {"codec": "udp"}),
    "rtmo": Preset("RTMO", "people", UNSCALED | {"codec": "people", "width": 640, "height": 640}),
    "yolox": Preset("YOLOX", "boxes", UNSCALED | {"width": 640, "height": 640}),
    "rtmdet": Preset("RTMDet", "boxes", IMAGENET_BGR | {"width": 640, "height": 640}),
}
"""By their words, as in `rtmpose:pose.onnx`."""


def split_preset(name: str) -> tuple[str | None, Path]:
    """The word of a preset, if there is one in front of a colon, and the file.

    Raises:
        OccluposeError: an unknown word in front of an .onnx file that is there.
    """
    word, colon, rest = name.partition(":")
    if colon and word in PRESETS:
        return word, Path(rest)
    if colon and rest.lower().endswith(".onnx") and Path(rest).is_file() and not Path(name).exists():
        raise OccluposeError(f"{word}: not a known kind of network; known are {', '.join(PRESETS)}")
    return None, Path(name)
