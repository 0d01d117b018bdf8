"""Options that several commands have."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    from occlupose.cameras import Camera
    from occlupose.methods.ljof.recipe import LJOFRecipe


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
    return float(last) + sum(60**power * int(part) for power, part in enumerate(reversed(parts), 1))


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
    """JSON file with width, height and either fx, fy, cx, cy or the 3 x 3 matrix K, in pixels."""
    height: Metres = None
    """Body height of all people."""

    def load(self) -> "Camera | None":
        """The camera in the file; None without one."""
        from occlupose.cameras import Camera

        return None if self.camera is None else Camera.load(self.camera)


UNKNOWN_CAMERA = CameraOptions()

PUBLISHED = "(default: as published)"


@dataclass(frozen=True)
class LJOFOptions:
    """What LJOF adds to a recipe: Limb Joint Augmentation (LJA) and the Dynamic Structure Loss (DSL)."""

    lja: bool = True
    """LJA: grey blocks over visible limb joints."""
    lja_blocks: Annotated[float, arg(metavar="FRACTION")] = 0.15
    """Number of blocks, as a fraction of the visible limb joints, rounded up."""
    lja_size: Annotated[float, arg(metavar="FRACTION")] = 0.20
    """Sides of a block, as a fraction of those of the frame."""
    lja_frame: Literal["crop", "box"] = "crop"
    """Frame of --lja-size: the crop, or the person's bounding box in it."""
    lja_probability: Annotated[float, arg(metavar="FRACTION")] = 1.0
    """Fraction of the people who get blocks."""
    structure_loss: Literal["limbs", "body", "none"] = "limbs"
    """DSL: limbs is LJOF's loss, body that of Ke et al. 2018."""
    dsl_schedule: Literal["constant", "step", "linear", "exponential"] = "step"
    """How the weight of the structure loss grows."""
    dsl_weight: Annotated[float, arg(metavar="WEIGHT")] = 0.5
    """Final weight of the structure loss."""
    dsl_step_at: Annotated[float, arg(metavar="FRACTION")] = 0.5
    """When the weight steps, as a fraction of the training; for --dsl-schedule step."""

    def apply(self, recipe: "LJOFRecipe") -> "LJOFRecipe":
        """The recipe with LJA and DSL."""
        from occlupose.methods.ljof.recipe import StructureTerm
        from occlupose.methods.ljof.schedules import SCHEDULES
        from occlupose.occlusion.blocks import LimbBlocks

        step = {"at": self.dsl_step_at} if self.dsl_schedule == "step" else {}
        schedule = SCHEDULES[self.dsl_schedule](weight=self.dsl_weight, **step)
        blocks = LimbBlocks(self.lja_blocks, self.lja_size, self.lja_probability, self.lja_frame)
        return replace(
            recipe,
            blocks=blocks if self.lja else None,
            structure=None if self.structure_loss == "none" else StructureTerm(self.structure_loss, schedule),
        )


@dataclass(frozen=True)
class RecipeOverrides:
    """Changes to a published recipe."""

    epochs: Annotated[float | None, arg(metavar="COUNT", help_behavior_hint=PUBLISHED)] = None
    """How often each person is drawn, on average."""
    batch: Annotated[int | None, arg(metavar="COUNT", help_behavior_hint=PUBLISHED)] = None
    """Batch size: people in a step, in all processes together."""
    lr: Annotated[float | None, arg(metavar="RATE", help_behavior_hint=PUBLISHED)] = None
    """Learning rate for a batch size of 512; scaled linearly for others."""
    ema: Annotated[float | None, arg(metavar="DECAY", help_behavior_hint=PUBLISHED)] = None
    """Decay of the exponential moving average of the weights at each step; 0 keeps the last weights."""
    crop: Annotated[tuple[int, int] | None, arg(metavar="WIDTH HEIGHT", help_behavior_hint=PUBLISHED)] = None
    """Size of the network's input, pixels."""

    def apply(self, recipe: "LJOFRecipe") -> "LJOFRecipe":
        """The recipe with these changes."""
        changes: dict[str, Any] = {
            "epochs": self.epochs,
            "batch": self.batch,
            "learning_rate": self.lr,
            "ema_decay": self.ema,
        }
        if self.crop is not None:
            changes["crop"] = replace(recipe.crop, width=self.crop[0], height=self.crop[1])
        return replace(recipe, **{name: value for name, value in changes.items() if value is not None})


AS_LJOF = LJOFOptions()
NO_OVERRIDES = RecipeOverrides()
