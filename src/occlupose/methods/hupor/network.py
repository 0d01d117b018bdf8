"""HUPOR's networks together (arXiv 2208.00090): a detector of what is visible, and a reasoner that says from its maps
what is hidden.

The detector gives 15 heatmaps and 14 fields of affinity in three dimensions of what is visible, and depths of torso
joints. The reasoner is given those heatmaps and fields, adds what is hidden, and never sees a picture. Nothing of it
reaches the detector.
"""

from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from occlupose.codecs.letterbox import Letterbox
from occlupose.codecs.multi_person import TORSO, MultiPersonMaps
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.networks.dsed import DSED, Reasoner
from occlupose.networks.estimators import normalise_images
from occlupose.networks.mspn import MSPN, Heads, StageSize

Reasoning = Literal["dsed", "hourglass", "none"]

IMAGE_HEAD = "flat"
LIMB_DEPTH_HEAD = "limb_depths"
TORSO_DEPTH_HEAD = "depths"
"""The detector's heads: heatmaps with the ways of the fields in the picture, the fields' depths, and depths of torso
joints.
"""

AVERAGED_LEVELS = 3
"""Finest levels of the last stage whose mean the maps in the picture are; depths are those of the finest. The published
code adds them up; a mean keeps peaks at 1, as the reasoner knows them (ours)."""

INPUT_STRIDE = 32
"""Sides of the input are multiples of it: the coarsest level is so many times smaller."""


@dataclass(frozen=True)
class HUPORDesign:
    """What the networks are; the defaults are the paper's.

    Attributes:
        width, height: of the input, px.
        stages, size: of the detector; `size.blocks` is its encoder's depth, `size.widths` and `size.width` are its
            widths.
        reasoning: dsed; hourglass, the same without a teacher; none.
        reasoner_stages, reasoner_size: of the reasoner; a size of None is the published one.
        detach: the teacher does not go towards the student.

    Raises:
        OccluposeError: a number that cannot be.
    """

    width: int = 832
    height: int = 512
    stages: int = 3
    size: StageSize = field(default_factory=StageSize)
    reasoning: Reasoning = "dsed"
    reasoner_stages: int = 2
    reasoner_size: StageSize | None = None
    detach: bool = False

    def __post_init__(self) -> None:
        if self.width % INPUT_STRIDE or self.height % INPUT_STRIDE or min(self.width, self.height) < INPUT_STRIDE:
            raise OccluposeError(f"input {self.width} x {self.height}: its sides must be multiples of {INPUT_STRIDE}")
        if min(self.stages, self.reasoner_stages) < 1:
            raise OccluposeError(f"stages {self.stages}, {self.reasoner_stages}: each must be 1 or more")
        if self.reasoning not in get_args(Reasoning):
            raise OccluposeError(f"reasoning {self.reasoning}: not known; known are {', '.join(get_args(Reasoning))}")
        for size in (self.size, self.reasoner_size or StageSize()):
            if min(*size.blocks, *size.widths, size.width) < 1:
                raise OccluposeError(
                    f"blocks {size.blocks}, widths {size.widths}, width {size.width}: each must be 1 or more"
                )

    @property
    def maps(self) -> MultiPersonMaps:
        """The codec."""
        return MultiPersonMaps(self.width, self.height)

    @property
    def box(self) -> Letterbox:
        """How pictures lie in the input."""
        return Letterbox(self.width, self.height)

    def header(self) -> dict[str, str]:
        """As a weights file says it."""
        flat = asdict(self)
        for name in ("size", "reasoner_size"):
            size = flat.pop(name)
            flat[name] = (
                "published" if size is None else " ".join(map(str, (*size["blocks"], *size["widths"], size["width"])))
            )
        return {name: str(value) for name, value in flat.items()}

    @classmethod
    def of(cls, header: dict[str, str]) -> "HUPORDesign":
        """What a weights file's header says.

        Raises:
            KeyError, ValueError, OccluposeError: it does not say enough, or what cannot be.
        """
        numbers = {name: int(header[name]) for name in ("width", "height", "stages", "reasoner_stages")}
        size, reasoner_size = (_size(header[name]) for name in ("size", "reasoner_size"))
        if size is None:
            raise ValueError("size")
        reasoning = next((known for known in get_args(Reasoning) if known == header["reasoning"]), None)
        if reasoning is None or header["detach"] not in ("True", "False"):
            raise ValueError("reasoning")
        detach = header["detach"] == "True"
        return cls(**numbers, size=size, reasoning=reasoning, reasoner_size=reasoner_size, detach=detach)


def _size(text: str) -> StageSize | None:
    if text == "published":
        return None
    numbers = list(map(int, text.split()))
    if len(numbers) != 9:
        raise ValueError("size")
    return StageSize((*numbers[:4],), (*numbers[4:8],), numbers[8])  # type: ignore[arg-type]


class HUPORNetwork(nn.Module):
    """Detector and reasoner, untrained.

    Attributes:
        detector: pictures to what is visible.
        reasoner: maps of what is visible to those of what is hidden; None where there is no reasoning.
    """

    def __init__(self, design: HUPORDesign) -> None:
        super().__init__()
        self.design = design
        self.codec = design.maps
        joints = len(self.codec.skeleton)
        self.limbs = len(self.codec.skeleton.limbs)
        heads = {IMAGE_HEAD: joints + 2 * self.limbs, LIMB_DEPTH_HEAD: self.limbs, TORSO_DEPTH_HEAD: len(TORSO)}
        self.detector = MSPN(heads, stages=design.stages, size=design.size)
        self.reasoner: Reasoner | None = None
        channels = joints + 3 * self.limbs
        options = {"stages": design.reasoner_stages, "size": design.reasoner_size}
        if design.reasoning == "dsed":
            self.reasoner = DSED(channels, detach=design.detach, **options)  # type: ignore[arg-type]
        elif design.reasoning == "hourglass":
            self.reasoner = Reasoner(channels, **options)  # type: ignore[arg-type]

    def detect(self, pictures: UInt8[Tensor, "batch height width 3"]) -> list[list[Heads]]:
        """What the detector says of every stage and level, the finest first."""
        found: list[list[Heads]] = self.detector(normalise_images(pictures))
        return found

    def of_heads(self, heads: Heads) -> PoseMaps:
        """A level's heads as heatmaps and fields."""
        flat = heads[IMAGE_HEAD].float()
        return self.maps(torch.cat([flat, heads[LIMB_DEPTH_HEAD].float()], 1))

    def maps(self, channels: Float[Tensor, "batch 57 y x"]) -> PoseMaps:
        """Channels as the networks have them: heatmaps, the fields' x and y limb by limb, their depths."""
        joints = len(self.codec.skeleton)
        heatmaps, ways, deep = channels.split([joints, 2 * self.limbs, self.limbs], 1)
        return PoseMaps(heatmaps, torch.cat([ways.unflatten(1, (self.limbs, 2)), deep[:, :, None]], 2))

    @staticmethod
    def channels(maps: PoseMaps) -> Float[Tensor, "batch 57 y x"]:
        """The other way round."""
        return torch.cat([maps.heatmaps, maps.fields[:, :, :2].flatten(1, 2), maps.fields[:, :, 2]], 1)

    def visible(self, found: list[list[Heads]]) -> PoseMaps:
        """What the detector's last stage says is visible."""
        finest = found[-1][:AVERAGED_LEVELS]
        flat = torch.stack([heads[IMAGE_HEAD].float() for heads in finest]).mean(0)
        return self.maps(torch.cat([flat, finest[0][LIMB_DEPTH_HEAD].float()], 1))

    def hidden(self, visible: PoseMaps) -> PoseMaps:
        """What the reasoner says is hidden; nothing where there is none."""
        given = self.channels(visible)
        if self.reasoner is None:
            return self.maps(torch.zeros_like(given))
        last = [self.maps(level.float()) for level in self.reasoner(given)[-1]]
        flat = [
            torch.stack(each).mean(0)
            for each in zip(*((level.heatmaps, level.fields) for level in last[:AVERAGED_LEVELS]), strict=True)
        ]
        return PoseMaps(flat[0], torch.cat([flat[1][:, :, :2], last[0].fields[:, :, 2:]], 2))


def add_maps(visible: PoseMaps, hidden: PoseMaps) -> PoseMaps:
    """Of whole bodies: what is visible and what is hidden, added up."""
    return PoseMaps(visible.heatmaps + hidden.heatmaps, visible.fields + hidden.fields)
