"""Bottom-up keypoint networks in 2D: a base that finds the visible joints of everybody in an image, and maybe a
reasoner behind it that predicts hidden joints from the base's maps (HUPOR, arXiv 2208.00090, supplement 1.2 and 1.3).
Their designs and weights files.

Behind PifPaf the paper leaves open what the reasoner gets and how its output reaches the decoder. Ours: it gets maps of
joints accumulated from the intensity fields, and part affinity fields made of the association fields, both at a quarter
of the image's resolution; its output is added to these, and the decoder takes seeds and connections from the sums where
the composite fields have none. HUPOR's own detector in 2D, without depths, has heatmaps and part affinity fields only,
and all seeds and connections are of the sums (ours).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from occlupose.bounds import Bounded, Count
from occlupose.codecs.composite_fields import accumulate, directions
from occlupose.codecs.letterbox import Letterbox
from occlupose.codecs.multi_person import MultiPersonMaps, maps_in_2d
from occlupose.errors import OccluposeError
from occlupose.networks import estimators, weights
from occlupose.networks.dsed import DSED, Reasoning, build_reasoner, mean_of_finest, size_from_text, size_to_text
from occlupose.networks.estimators import normalise_images
from occlupose.networks.higher_hrnet import (
    STRIDES,
    HigherHRNetMaps,
    higher_hrnet_movenet,
    higher_hrnet_small,
    higher_hrnet_w32,
    higher_hrnet_w48,
)
from occlupose.networks.mspn import MSPN, Heads, StageSize
from occlupose.networks.pifpaf import STRIDE as PIFPAF_STRIDE
from occlupose.networks.pifpaf import PifPafFields, pifpaf_movenet, pifpaf_r50, pifpaf_small
from occlupose.skeletons import Skeleton, by_name

MAPS_HEAD = "maps"
"""The only head of HUPOR's detector in 2D: heatmaps, then x and y of the fields limb by limb."""


def hupor_detector(joints: int = 17, limbs: int = 16) -> MSPN:
    """HUPOR's detector in 2D, at its published size: three stages of ResNet-50s."""
    return MSPN({MAPS_HEAD: joints + 2 * limbs})


def hupor_detector_small(joints: int = 17, limbs: int = 16) -> MSPN:
    """One narrow stage; ours, for machines without a GPU."""
    size = StageSize((2, 3, 4, 2), (16, 32, 48, 64), 64)
    return MSPN({MAPS_HEAD: joints + 2 * limbs}, stages=1, size=size)


BASES: dict[str, Callable[..., nn.Module]] = {
    "higher_hrnet_w32": higher_hrnet_w32,
    "higher_hrnet_w48": higher_hrnet_w48,
    "higher_hrnet_small": higher_hrnet_small,
    "higher_hrnet_movenet": higher_hrnet_movenet,
    "pifpaf_r50": pifpaf_r50,
    "pifpaf_small": pifpaf_small,
    "pifpaf_movenet": pifpaf_movenet,
    "hupor": hupor_detector,
    "hupor_small": hupor_detector_small,
}
"""All bases."""

Family = Literal["higherhrnet", "pifpaf", "hupor"]

SIDES = {
    "higher_hrnet_w32": 512,
    "higher_hrnet_w48": 640,
    "higher_hrnet_small": 192,
    "higher_hrnet_movenet": 192,
    "pifpaf_r50": 384,
    "pifpaf_small": 192,
    "pifpaf_movenet": 192,
    "hupor": 512,
    "hupor_small": 192,
}
"""Side of each base's input, px: Cheng table 1 for HigherHRNet; ours for the others (PifPaf's is 401, which is no
multiple of 32).
"""

FORMAT = "occlupose bottom-up 1"

COMMAND = "occlupose train dsed"

SIDE_STEP = 32
"""Sides of the input are multiples of this, px."""


@dataclass(frozen=True)
class BottomUpDesign(Bounded):
    """The architecture of the networks.

    Attributes:
        base: one of `BASES`.
        skeleton: name of the joints.
        side: of the square inputs in training and of the shorter side of images to predict in, px; SIDES has the
            published ones.
        fields: whether the base has a branch for part affinity fields, which a reasoner needs.
        fine_fields: whether it has one at half of the resolution as well (ours). Both are HigherHRNet's.
        reasoning: dsed; hourglass, the same without a teacher; none.
        reasoner_stages, reasoner_size: of the reasoner; None is the published size.
        reasoner_image: whether the reasoner sees the image too (supplement, table 6, where it does not help).
        detach: stop the gradient of the distillation at the teacher.

    Raises:
        OccluposeError: an impossible value.
    """

    base: str = "higher_hrnet_w32"
    skeleton: str = "coco17"
    side: Count = 512
    fields: bool = True
    fine_fields: bool = False
    reasoning: Reasoning = "dsed"
    reasoner_stages: Count = 1
    reasoner_size: StageSize | None = None
    reasoner_image: bool = False
    detach: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base not in BASES:
            raise OccluposeError(f"base {self.base}: not known; known are {', '.join(BASES)}")
        if self.side % SIDE_STEP:
            raise OccluposeError(f"side {self.side}: must be a multiple of {SIDE_STEP}")
        if self.reasoning != "none" and not self.fields:
            raise OccluposeError(f"fields: {self.reasoning} needs them; give design.fields true, or reasoning none")
        if self.family != "higherhrnet" and (self.fine_fields or not self.fields):
            raise OccluposeError(f"fields, fine_fields: {self.base} has its own; leave them as they are")
        by_name(self.skeleton)

    @property
    def family(self) -> Family:
        """The kind of network that the base is."""
        others: tuple[Family, ...] = ("pifpaf", "hupor")
        return next((kind for kind in others if self.base.startswith(kind)), "higherhrnet")

    @property
    def joints(self) -> Skeleton:
        """The joints."""
        return by_name(self.skeleton)

    @property
    def letterbox(self) -> Letterbox:
        """How images are fitted into the input in training."""
        return Letterbox(self.side, self.side)

    @cached_property
    def codecs(self) -> tuple[MultiPersonMaps, MultiPersonMaps]:
        """The codecs of the maps in training: of the reasoner's, and of the base's other ones: HigherHRNet's at half of
        the resolution, PifPaf's at an eighth. HUPOR's detector has the reasoner's only.

        Behind HigherHRNet and HUPOR's detector the fields are those of a tree of limbs, behind PifPaf those of all
        limbs, as PifPaf has them.
        """
        side = self.side
        if self.family == "pifpaf":
            coarse = MultiPersonMaps(side, side, STRIDES[0], self.joints, depth=False)
            return coarse, MultiPersonMaps(side, side, PIFPAF_STRIDE, self.joints, depth=False)
        return maps_in_2d(self.joints, side, side, STRIDES[0]), maps_in_2d(self.joints, side, side, STRIDES[1])

    def to_header(self) -> dict[str, str]:
        """The header of a weights file."""
        return {name: str(value) for name, value in asdict(self).items()} | {
            "reasoner_size": size_to_text(self.reasoner_size)
        }

    @classmethod
    def from_header(cls, header: dict[str, str]) -> "BottomUpDesign":
        """The design in the header of a weights file.

        Raises:
            KeyError, ValueError, OccluposeError: an entry is missing or impossible.
        """
        header = {"reasoner_image": "False"} | header  # not in older files
        names = ("fields", "fine_fields", "reasoner_image", "detach")
        flags = {name: {"True": True, "False": False}[header[name]] for name in names}
        return cls(
            base=header["base"],
            skeleton=header["skeleton"],
            side=int(header["side"]),
            reasoning=header["reasoning"],  # type: ignore[arg-type]
            reasoner_stages=int(header["reasoner_stages"]),
            reasoner_size=size_from_text(header["reasoner_size"]),
            **flags,
        )


@dataclass
class TaggedMaps:
    """What HigherHRNet and a reasoner predict for a batch of images, in the resolution of the input.

    Attributes:
        visible, hidden: heatmaps of visible joints, from the base, and of hidden joints, from the reasoner.
        tags: of all joints.
    """

    visible: Float[Tensor, "batch joint y x"]
    hidden: Float[Tensor, "batch joint y x"]
    tags: Float[Tensor, "batch joint y x"]


@dataclass
class ConnectedMaps:
    """What PifPaf or HUPOR's detector and a reasoner predict for a batch of images, at a quarter of the resolution.

    Attributes:
        visible, hidden: maps of visible joints, from the base, and of hidden joints, from the reasoner.
        fields: part affinity fields of visible and hidden limbs together.
        composite: PifPaf's fields of visible joints and limbs, at an eighth of the resolution; None of HUPOR's
            detector.
    """

    visible: Float[Tensor, "batch joint y x"]
    hidden: Float[Tensor, "batch joint y x"]
    fields: Float[Tensor, "batch limb 2 y x"]
    composite: PifPafFields | None


BaseMaps = HigherHRNetMaps | PifPafFields | list[list[Heads]]
"""What a base predicts; HUPOR's detector its heads by stage and level."""


class BottomUpNetwork(nn.Module):
    """Base and reasoner, untrained.

    Attributes:
        base: image to maps of visible joints, and tags.
        reasoner: maps of visible joints to those of hidden joints; None without reasoning.
    """

    def __init__(self, design: BottomUpDesign) -> None:
        super().__init__()
        self.design = design
        self.joints = len(design.joints)
        limbs = len(design.codecs[0].limbs[0]) if design.fields else 0
        self.base = _build_base(design, self.joints, limbs)
        self.reasoner = build_reasoner(
            design.reasoning,
            self.joints + 2 * limbs,
            stages=design.reasoner_stages,
            size=design.reasoner_size,
            image=design.reasoner_image,
            detach=design.detach,
        )

    def detect(self, images: UInt8[Tensor, "batch height width 3"]) -> BaseMaps:
        """The base's maps of RGB images."""
        maps: BaseMaps = self.base(normalise_images(images))
        return maps

    @staticmethod
    def reasoner_input(maps: BaseMaps) -> Float[Tensor, "batch channel y x"]:
        """Heatmaps and fields of visible joints for the reasoner, at a quarter of the image's resolution: of
        HigherHRNet the mean of both of its resolutions; of PifPaf maps and fields made of its composite fields; of
        HUPOR's detector the mean of the last stage's finest levels.
        """
        if isinstance(maps, HigherHRNetMaps):
            return torch.cat([_mean_at_a_quarter(maps.heatmaps), _mean_at_a_quarter(maps.fields)], 1)
        if not isinstance(maps, PifPafFields):
            return mean_of_finest([level[MAPS_HEAD] for level in maps[-1]])
        joints = accumulate(maps.joints, PIFPAF_STRIDE // STRIDES[0])
        return torch.cat([joints, _resize(directions(maps.limbs).flatten(1, 2), joints.shape[-2:])], 1)

    def hidden_maps(
        self,
        visible: Float[Tensor, "batch channel y x"],
        images: UInt8[Tensor, "batch height width 3"] | None = None,
    ) -> Float[Tensor, "batch channel y x"]:
        """Heatmaps and fields of hidden joints, predicted by the reasoner; zeros without one.

        Arguments:
            visible: as `reasoner_input`.
            images: RGB; only needed by a reasoner that sees them.
        """
        if self.reasoner is None:
            return torch.zeros_like(visible)
        return mean_of_finest(self.reasoner(visible, images)[-1])

    def forward(self, images: UInt8[Tensor, "batch height width 3"]) -> TaggedMaps | ConnectedMaps:
        """What both predict for RGB images whose sides are multiples of SIDE_STEP.

        HigherHRNet's heatmaps of visible joints are the mean of both resolutions (Cheng section 3.4). The reasoner's
        are at a quarter, and are brought to the same size, so that the sum of both describes whole bodies (ours).
        """
        maps = self.detect(images)
        if not isinstance(maps, HigherHRNetMaps):
            channels = self.reasoner_input(maps)
            hidden = self.hidden_maps(channels, images)
            composite = maps if isinstance(maps, PifPafFields) else None
            fields = (channels + hidden)[:, self.joints :].unflatten(1, (-1, 2))
            return ConnectedMaps(channels[:, : self.joints], hidden[:, : self.joints], fields, composite)
        size = images.shape[1:3]
        visible = torch.stack([_resize(each, size) for each in maps.heatmaps]).mean(0)
        hidden = torch.zeros_like(visible)
        if self.reasoner is not None:
            hidden = _resize(self.hidden_maps(self.reasoner_input(maps), images)[:, : self.joints], size)
        return TaggedMaps(visible, hidden, _resize(maps.tags, size))


def _build_base(design: BottomUpDesign, joints: int, limbs: int) -> nn.Module:
    options = {"fine_fields": design.fine_fields} if design.family == "higherhrnet" else {}
    return BASES[design.base](joints, limbs, **options)


def _mean_at_a_quarter(maps: tuple[Tensor, ...]) -> Float[Tensor, "batch channel y x"]:
    """The mean of coarse maps and maybe fine ones, at the resolution of the coarse ones."""
    ratio = STRIDES[0] // STRIDES[1]
    return torch.stack([maps[0].float(), *(avg_pool2d(each.float(), ratio) for each in maps[1:])]).mean(0)


def _resize(maps: Float[Tensor, "batch channel _ _"], size: torch.Size) -> Float[Tensor, "batch channel y x"]:
    return interpolate(maps.float(), tuple(size), mode="bilinear", align_corners=False)


def save(network: BottomUpNetwork, path: Path) -> None:
    """Writes weights with a header that is enough to use them, without teachers. Kernels have half precision,
    per-channel values full precision.

    Raises:
        OccluposeError: the file could not be written.
    """
    header = {"format": FORMAT} | network.design.to_header()
    weights.save(weights.half_kernels(_without_teachers(network)), header, path)


def load(path: Path) -> BottomUpNetwork:
    """A network ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not of such a network.
    """
    network, _ = weights.load(path, _build, format=FORMAT, network="a bottom-up network", command=COMMAND)
    return network


def load_initial_weights(network: BottomUpNetwork, path: Path) -> str:
    """Copies the base of a weights file into a network, and the reasoner if it has the same design; of an estimator's
    file the backbone.

    Weights of single joints are left out if the joints differ. A base without fields keeps the network's own branch.

    Returns:
        How many tensors were copied, in words.

    Raises:
        OccluposeError: no such file, not of such a network, or of another base.
    """
    ours = network.state_dict()
    if weights.header(path).get("format") == estimators.FORMAT:
        theirs = {f"base.{name}": value for name, value in estimators.load_backbone(path).items()}
        needed = {name for name in ours if name.startswith("base.backbone.")}
    else:
        given = load(path)
        theirs = _without_teachers(given)
        needed = {name for name in ours if name.startswith("base.") and not name.startswith("base.fields.")}
        if given.design.joints != network.design.joints:
            own = _of_joints(given.design)
            needed -= own
            theirs = {name: value for name, value in theirs.items() if name not in own}
    fit = {name: value for name, value in theirs.items() if name in ours and ours[name].shape == value.shape}
    if not needed or not needed <= fit.keys():  # HUPOR's detector has no backbone of estimators
        wrong = f"not of {network.design.base}"
        raise OccluposeError(f"{path}: {wrong}; train with the base of the file, or without initial weights")
    reasoner = {name for name in (*theirs, *_without_teachers(network)) if name.startswith("reasoner.")}
    if not reasoner <= fit.keys():
        fit = {name: value for name, value in fit.items() if name.startswith("base.")}
    network.load_state_dict(ours | fit)
    return f"{len(fit)} of {len(ours)} tensors of {path.name}"


def _without_teachers(network: BottomUpNetwork) -> dict[str, Tensor]:
    """The weights that inference needs."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith("reasoner.teachers.")}


def _of_joints(design: BottomUpDesign) -> set[str]:
    """Names of the base's tensors whose shape depends on the number of joints or limbs."""
    with torch.device("meta"):
        one = _build_base(design, 1, 1).state_dict()
        other = _build_base(design, 2, 2).state_dict()
    return {f"base.{name}" for name, value in one.items() if value.shape != other[name].shape}


def _build(header: dict[str, str]) -> BottomUpNetwork:
    network = BottomUpNetwork(BottomUpDesign.from_header(header))
    if isinstance(network.reasoner, DSED):
        network.reasoner.drop_teachers()
    return network
