"""HUPOR's networks (arXiv 2208.00090): a detector of visible joints, and a reasoner that predicts hidden joints from
the detector's maps.

The detector predicts 15 heatmaps and 14 three-dimensional part affinity fields of visible joints and limbs, and depths
of torso joints. The reasoner predicts the heatmaps and fields of hidden joints from those of visible joints, without
the image; no gradient flows from it to the detector.
"""

from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from occlupose.bounds import Bounded, Count
from occlupose.codecs.letterbox import Letterbox
from occlupose.codecs.multi_person import TORSO, MultiPersonMaps
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.networks.dsed import Reasoning, build_reasoner, mean_of_finest, size_from_text, size_to_text
from occlupose.networks.estimators import normalise_images
from occlupose.networks.movenet_features import MoveNetDetector, scale_images
from occlupose.networks.mspn import MSPN, Heads, StageSize

IMAGE_HEAD = "flat"
LIMB_DEPTH_HEAD = "limb_depths"
TORSO_DEPTH_HEAD = "depths"
"""The detector's heads, by their names in weight files: heatmaps with the x and y of the fields; depths of the fields;
depths of torso joints.
"""

DetectorKind = Literal["mspn", "movenet"]

INPUT_STRIDE = 32
"""Sides of the input are multiples of this, the stride of the coarsest level."""


@dataclass(frozen=True)
class HUPORDesign(Bounded):
    """The architecture of the networks; the defaults are the paper's.

    Attributes:
        width, height: of the input, px.
        stages, size: of the detector, if it is an mspn.
        reasoning: dsed; hourglass, the same without a teacher; none.
        reasoner_stages, reasoner_size: of the reasoner; None is the published size.
        reasoner_image: whether the reasoner sees the image too (supplement, table 6, where it does not help).
        detach: stop the gradient of the distillation at the teacher.
        detector: its network: mspn; movenet, MoveNet MultiPose with other maps (ours, for small computers).

    Raises:
        OccluposeError: an impossible value.
    """

    width: Count = 832
    height: Count = 512
    stages: Count = 3
    size: StageSize = field(default_factory=StageSize)
    reasoning: Reasoning = "dsed"
    reasoner_stages: Count = 2
    reasoner_size: StageSize | None = None
    reasoner_image: bool = False
    detach: bool = False
    detector: DetectorKind = "mspn"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % INPUT_STRIDE or self.height % INPUT_STRIDE:
            raise OccluposeError(f"input {self.width} x {self.height}: its sides must be multiples of {INPUT_STRIDE}")

    @property
    def codec(self) -> MultiPersonMaps:
        """The codec of the maps."""
        return MultiPersonMaps(self.width, self.height)

    @property
    def letterbox(self) -> Letterbox:
        """How images are fitted into the input."""
        return Letterbox(self.width, self.height)

    def to_header(self) -> dict[str, str]:
        """The header of a weights file."""
        header = {name: str(value) for name, value in asdict(self).items()}
        return header | {"size": self.size.to_text(), "reasoner_size": size_to_text(self.reasoner_size)}

    @classmethod
    def from_header(cls, header: dict[str, str]) -> "HUPORDesign":
        """The design in the header of a weights file.

        Raises:
            KeyError, ValueError, OccluposeError: an entry is missing or impossible.
        """
        reasoning = next((known for known in get_args(Reasoning) if known == header["reasoning"]), None)
        detector = header.get("detector", "mspn")  # not in older files
        flags = {"True": True, "False": False}
        if reasoning is None or header["detach"] not in flags:
            raise ValueError("reasoning")
        if detector not in get_args(DetectorKind):
            raise ValueError("detector")
        return cls(
            width=int(header["width"]),
            height=int(header["height"]),
            detector=detector,  # type: ignore[arg-type]
            stages=int(header["stages"]),
            size=StageSize.from_text(header["size"]),
            reasoning=reasoning,
            reasoner_stages=int(header["reasoner_stages"]),
            reasoner_size=size_from_text(header["reasoner_size"]),
            reasoner_image=flags[header.get("reasoner_image", "False")],  # not in older files
            detach=flags[header["detach"]],
        )


class HUPORNetwork(nn.Module):
    """Detector and reasoner, untrained.

    Attributes:
        detector: image to the maps of visible joints.
        reasoner: maps of visible joints to those of hidden joints; None without reasoning.
    """

    def __init__(self, design: HUPORDesign) -> None:
        super().__init__()
        self.design = design
        self.codec = design.codec
        joints = len(self.codec.skeleton)
        limbs = len(self.codec.skeleton.limbs)
        heads = {IMAGE_HEAD: joints + 2 * limbs, LIMB_DEPTH_HEAD: limbs, TORSO_DEPTH_HEAD: len(TORSO)}
        self.detector: nn.Module
        if design.detector == "movenet":
            self.detector = MoveNetDetector(heads)
        else:
            self.detector = MSPN(heads, stages=design.stages, size=design.size)
        self.reasoner = build_reasoner(
            design.reasoning,
            joints + 3 * limbs,
            stages=design.reasoner_stages,
            size=design.reasoner_size,
            image=design.reasoner_image,
            detach=design.detach,
        )

    def detect(self, images: UInt8[Tensor, "batch height width 3"]) -> list[list[Heads]]:
        """The detector's heads, by stage and level, the finest level first."""
        prepare = scale_images if self.design.detector == "movenet" else normalise_images
        heads: list[list[Heads]] = self.detector(prepare(images))
        return heads

    def maps_of_level(self, heads: Heads) -> PoseMaps:
        """Heatmaps and fields from the heads of one level."""
        return split_channels(torch.cat([heads[IMAGE_HEAD].float(), heads[LIMB_DEPTH_HEAD].float()], 1), self.codec)

    def visible_maps(self, heads: list[list[Heads]]) -> PoseMaps:
        """Maps of visible joints: those of the detector's last stage, the depths its finest level's."""
        averaged = mean_of_finest([level[IMAGE_HEAD] for level in heads[-1]])
        return split_channels(torch.cat([averaged, heads[-1][0][LIMB_DEPTH_HEAD].float()], 1), self.codec)

    def hidden_maps(self, visible: PoseMaps, images: UInt8[Tensor, "batch height width 3"] | None = None) -> PoseMaps:
        """Maps of hidden joints, predicted by the reasoner, the depths at its finest level; zeros without one.

        Arguments:
            images: RGB; only needed by a reasoner that sees them.
        """
        channels = stack_channels(visible)
        if self.reasoner is None:
            return split_channels(torch.zeros_like(channels), self.codec)
        levels = self.reasoner(channels, images)[-1]
        averaged = split_channels(mean_of_finest(levels), self.codec)
        finest = split_channels(levels[0].float(), self.codec)
        return PoseMaps(averaged.heatmaps, torch.cat([averaged.fields[:, :, :2], finest.fields[:, :, 2:]], 2))


def split_channels(channels: Float[Tensor, "batch channel y x"], codec: MultiPersonMaps) -> PoseMaps:
    """Maps from the networks' channels: heatmaps, x and y of the fields limb by limb, and, except in 2D, depths of the
    fields.
    """
    limbs = len(codec.limbs[0])
    depths = limbs * (codec.components - 2)
    heatmaps, vectors, depth = channels.split([len(codec.skeleton), 2 * limbs, depths], 1)
    fields = [vectors.unflatten(1, (limbs, 2)), depth.unflatten(1, (limbs, codec.components - 2))]
    return PoseMaps(heatmaps, torch.cat(fields, 2))


def stack_channels(maps: PoseMaps) -> Float[Tensor, "batch channel y x"]:
    """Channels of the networks from maps, the inverse of `split_channels`."""
    return torch.cat([maps.heatmaps, maps.fields[:, :, :2].flatten(1, 2), maps.fields[:, :, 2:].flatten(1, 2)], 1)


def add_maps(visible: PoseMaps, hidden: PoseMaps) -> PoseMaps:
    """Maps of whole bodies: the sum of visible and hidden."""
    return PoseMaps(visible.heatmaps + hidden.heatmaps, visible.fields + hidden.fields)
