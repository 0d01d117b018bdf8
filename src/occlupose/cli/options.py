"""Options that several commands have."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

if TYPE_CHECKING:
    from occlupose.cameras import Camera

Folder = Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="(default: out/NAME)")]
Count = Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: everybody)")]
Degrees = Annotated[float | None, arg(metavar="DEGREES", help_behavior_hint="(default: 55, and the output says that it was assumed)")]
Metres = Annotated[float | None, arg(metavar="METRES", help_behavior_hint="(default: as tall as the network believes)")]
Device = Annotated[str, arg(metavar="DEVICE")]
Boxes = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: people are looked for)")]
Weights = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the shipped one)")]


@dataclass(frozen=True)
class Scene:
    """What is known of the camera and the people. It makes the metres right."""

    fov: Degrees = None
    """Field of view on the long side of the picture."""
    camera: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: by --fov)")] = None
    """JSON file with width, height, fx, fy, cx, cy (pixels)."""
    height: Metres = None
    """Body height of the people."""

    def intrinsics(self) -> "Camera | None":
        """The camera of the file, if one was given."""
        from occlupose.cameras import Camera

        return None if self.camera is None else Camera.load(self.camera)


UNKNOWN = Scene()
