"""Options that several commands have."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    from occlupose.cameras import Camera


def seconds(text: str) -> float:
    """Seconds from a text: seconds, m:ss or h:mm:ss; seconds may have decimals.

    Raises:
        ValueError: the text is not a time.
    """
    *parts, last = text.split(":")
    if parts and (len(parts) > 2 or not all(part.isdecimal() for part in parts) or not 0 <= float(last) < 60):
        raise ValueError(f"{text}: not a time")
    if len(parts) == 2 and int(parts[1]) >= 60:
        raise ValueError(f"{text}: not a time")
    return float(last) + sum(60**power * float(part) for power, part in enumerate(reversed(parts), 1))


Seconds = Annotated[
    float | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="SECONDS",
        instance_from_str=lambda texts: seconds(texts[0]),
        is_instance=lambda value: value is None or isinstance(value, int | float),
        str_from_instance=lambda value: [str(value)],
    ),
]


def image_size(text: str) -> tuple[int, int]:
    """Width and height from a text such as 1920x1080.

    Raises:
        ValueError: the text is not a size.
    """
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise ValueError("not a size; give width and height in pixels, such as 1920x1080")
    return int(width), int(height)


Size = Annotated[
    tuple[int, int] | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="WxH",
        instance_from_str=lambda texts: image_size(texts[0]),
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: ["None" if value is None else f"{value[0]}x{value[1]}"],
    ),
    arg(help_behavior_hint="(default: as the input says)"),
]


def direction(text: str) -> tuple[float, float, float]:
    """Three numbers from a text such as 0,-1,0.

    Raises:
        ValueError: the text is no direction.
    """
    try:
        x, y, z = map(float, text.split(","))
    except ValueError as error:
        raise ValueError("not a direction; give x,y,z in the camera's axes, such as 0,-1,0") from error
    if not 0 < math.hypot(x, y, z) < math.inf:
        raise ValueError("has no direction; 0,-1,0 is that of a level camera")
    return x, y, z


Up = Annotated[
    tuple[float, float, float] | None,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="X,Y,Z",
        instance_from_str=lambda texts: direction(texts[0]),
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: ["None" if value is None else ",".join(map(str, value))],
    ),
    arg(help_behavior_hint="(default: the camera file's, or as the people tell)"),
]
Rate = Annotated[float | None, arg(metavar="FPS", help_behavior_hint="(default: as the input says, else 30)")]
SkeletonName = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: as the input says)")]
Formats = Annotated[tuple[str, ...], arg(metavar="FORMATS", help_behavior_hint="(default: none)")]
Folder = Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="(default: out/NAME)")]
Count = Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: everybody)")]
Degrees = Annotated[float | None, arg(metavar="DEGREES", help_behavior_hint="(default: 55, marked as assumed)")]
Metres = Annotated[float | None, arg(metavar="METRES", help_behavior_hint="(default: as estimated)")]
Threads = Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: 2, and what torch chooses)")]
Device = Annotated[str, arg(metavar="DEVICE")]
Detector = Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: NanoDet)")]
Boxes = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: people are detected)")]
Weights = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the shipped ones)")]


def use_threads(count: int | None) -> int:
    """Sets torch's processor threads; None leaves its own choice.

    Returns:
        Threads of each network that torch does not run.

    Raises:
        OccluposeError: less than one thread.
    """
    if count is None:
        return 2
    if count < 1:
        raise OccluposeError(f"threads {count}: networks need one; give 1 or more")
    import torch

    torch.set_num_threads(count)
    return count


@dataclass(frozen=True)
class CameraOptions:
    """Camera and body height, for correct metres."""

    fov: Degrees = None
    """Field of view on the long side of the image."""
    camera: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: by --fov)")] = None
    """JSON file with width, height and either fx, fy, cx, cy or the 3 x 3 matrix K, in pixels; and maybe up."""
    height: Metres = None
    """Body height of all people."""
    up: Up = None
    """Direction against gravity in the camera's axes (x right, y down, z forward): 0,-1,0 for a level camera."""

    def load(self) -> "Camera | None":
        """The camera in the file; None without one."""
        from occlupose.cameras import Camera

        return None if self.camera is None else Camera.load(self.camera)


UNKNOWN_CAMERA = CameraOptions()
