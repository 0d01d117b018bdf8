"""Options that several commands have."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

if TYPE_CHECKING:
    from occlupose.cameras import Camera
    from occlupose.methods.ljof.recipe import Recipe

Folder = Annotated[Path | None, arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="(default: out/NAME)")]
Count = Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: everybody)")]
Degrees = Annotated[
    float | None, arg(metavar="DEGREES", help_behavior_hint="(default: 55, and the output says that it was assumed)")
]
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

PUBLISHED = "(default: as published)"


@dataclass(frozen=True)
class Limbs:
    """What LJOF adds to a recipe."""

    blocks: bool = True
    """Grey blocks over visible limb joints."""
    number: Annotated[float, arg(metavar="SHARE")] = 0.15
    """Blocks, as a share of the visible limb joints, rounded up."""
    size: Annotated[float, arg(metavar="SHARE")] = 0.20
    """Sides of a block, as a share of the frame's."""
    space: Literal["crop", "box"] = "crop"
    """Which frame: the crop, or the person's box in it."""
    probability: Annotated[float, arg(metavar="SHARE")] = 1.0
    """Share of the people who get blocks."""
    structure: Literal["limbs", "body", "none"] = "limbs"
    """Limbs is LJOF's loss, body that of Ke et al. 2018."""
    schedule: Literal["constant", "step", "linear", "exponential"] = "step"
    """How the weight of the structure loss grows."""
    weight: Annotated[float, arg(metavar="WEIGHT")] = 0.5
    """What it grows to."""
    at: Annotated[float, arg(metavar="SHARE")] = 0.5
    """When it steps, as a share of the training."""

    def added(self, recipe: "Recipe") -> "Recipe":
        """The recipe with it."""
        from occlupose.methods.ljof.recipe import Structure
        from occlupose.methods.ljof.schedules import SCHEDULES
        from occlupose.occlusion.blocks import LimbBlocks

        schedule = SCHEDULES[self.schedule](weight=self.weight, **({"at": self.at} if self.schedule == "step" else {}))
        return replace(
            recipe,
            blocks=LimbBlocks(self.number, self.size, self.probability, self.space) if self.blocks else None,
            structure=None if self.structure == "none" else Structure(self.structure, schedule),
        )


@dataclass(frozen=True)
class Changes:
    """What is to be otherwise than a recipe has it."""

    epochs: Annotated[float | None, arg(metavar="COUNT", help_behavior_hint=PUBLISHED)] = None
    """As many draws of each person, on average."""
    batch: Annotated[int | None, arg(metavar="COUNT", help_behavior_hint=PUBLISHED)] = None
    """People in a step, of all processes together."""
    rate: Annotated[float | None, arg(metavar="RATE", help_behavior_hint=PUBLISHED)] = None
    """The learning rate for batches of 512; used in proportion."""
    average: Annotated[float | None, arg(metavar="SHARE", help_behavior_hint=PUBLISHED)] = None
    """Share of an exponential average of the weights that stays at each step; 0 keeps the last weights."""
    crop: Annotated[tuple[int, int] | None, arg(metavar="WIDTH HEIGHT", help_behavior_hint=PUBLISHED)] = None
    """Of the pictures that the network is shown, pixels."""

    def made(self, recipe: "Recipe") -> "Recipe":
        """The recipe with them."""
        chosen: dict[str, Any] = {
            "epochs": self.epochs,
            "batch": self.batch,
            "learning_rate": self.rate,
            "average": self.average,
        }
        if self.crop is not None:
            chosen["crop"] = replace(recipe.crop, width=self.crop[0], height=self.crop[1])
        return replace(recipe, **{name: value for name, value in chosen.items() if value is not None})


AS_LJOF = Limbs()
AS_PUBLISHED = Changes()
