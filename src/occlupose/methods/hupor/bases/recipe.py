"""The recipes of DSED behind PifPaf and behind HigherHRNet (HUPOR, arXiv 2208.00090, supplement 1.2 and 1.3): first the
base on visible joints, then, with the base frozen, a reasoner of one stack. Those of HUPOR itself in 2D, where the
reasoner has two.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from occlupose.bounds import Count, NonNegative, Positive, PositiveFraction, Seed
from occlupose.datasets.augmentation import BottomUpAugmentation
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.epochs import EpochRecipe
from occlupose.methods.hupor.losses import WEIGHT
from occlupose.methods.hupor.reasoning import SMALL_REASONER, ReasonerRecipe
from occlupose.networks.bottom_up import SIDES, BottomUpDesign, Family
from occlupose.training.loop import MaxNorm, Milestone


@dataclass(frozen=True)
class HigherHRNetRecipe(EpochRecipe):
    """How HigherHRNet learns. The defaults are its authors' (Cheng et al. 2020, section 4.1, and their configuration);
    the batch size is ours. Zero epochs keep the initial weights. The fields of the optimisation are explained in
    `EpochRecipe`.

    Attributes:
        tag_weight: of pull and of push in the loss.
        field_weight: of the part affinity fields in the loss (HUPOR's).
        foreground_weight: weight of the cells of a map with a joint or limb (ours; 1 as published, with which small
            networks are slow to predict anything but 0).
        pretrained_rate: learning rate of MoveNet's layers in a network that begins with them, as a factor; the first
            blocks keep their weights (ours).

    Raises:
        OccluposeError: an impossible value.
    """

    epochs: NonNegative = 300
    learning_rate: NonNegative = 1e-3
    weight_decay: NonNegative = 0.0
    warm_up_steps: Count = 1
    milestones: tuple[Milestone, ...] = (200 / 300, 260 / 300)
    tag_weight: NonNegative = 1e-3
    field_weight: NonNegative = 0.5
    foreground_weight: Positive = 1.0
    pretrained_rate: NonNegative = 0.05


@dataclass(frozen=True)
class PifPafRecipe(EpochRecipe):
    """How PifPaf learns. The defaults are ours. Zero epochs keep the initial weights. The fields of the optimisation
    are explained in `EpochRecipe`.

    Attributes:
        confidence_weight, offset_weight, scale_weight: of these parts of the composite fields' loss.
        pretrained_rate: learning rate of MoveNet's layers in a network that begins with them, as a factor; the first
            blocks keep their weights (ours).

    Raises:
        OccluposeError: an impossible value.
    """

    epochs: NonNegative = 75
    learning_rate: NonNegative = 1e-3
    weight_decay: NonNegative = 0.0
    warm_up_steps: Count = 500
    max_grad_norm: MaxNorm = 1.0
    confidence_weight: NonNegative = 1.0
    offset_weight: NonNegative = 1.0
    scale_weight: NonNegative = 1.0
    pretrained_rate: NonNegative = 0.05


@dataclass(frozen=True)
class DetectorRecipe(EpochRecipe):
    """How HUPOR's detector learns in 2D: as with depths. Zero epochs keep the initial weights. The fields of the
    optimisation are explained in `EpochRecipe`.

    Attributes:
        visible_weight: of the maps of visible joints in the loss.
        foreground_weight: weight of the cells of a map with a joint or limb (ours; 1 as published).

    Raises:
        OccluposeError: an impossible value.
    """

    visible_weight: NonNegative = WEIGHT
    foreground_weight: Positive = 1.0


@dataclass(frozen=True)
class DSEDRecipe(ReasonerRecipe, EpochRecipe, ABC):
    """Configuration of a training run of base and reasoner. The defaults are the paper's, or ours where it is silent;
    what it takes over from HUPOR's own training is as there, except AdamW instead of Adam. The fields of the reasoner
    are explained in `ReasonerRecipe`, those of its optimisation in `EpochRecipe`.

    Attributes:
        name: of the weights file.
        design: of the networks; its joints are those of the dataset.
        augmentation: of the images, in both trainings.

    Raises:
        OccluposeError: an impossible value.
    """

    distillation_warm_up: PositiveFraction = 0.5
    epochs: Positive = 10
    name: str = "dsed"
    design: BottomUpDesign = field(default_factory=BottomUpDesign)
    augmentation: BottomUpAugmentation = field(
        default_factory=lambda: BottomUpAugmentation(rotation=30, scale=(0.75, 1.5), shift=65)
    )
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.base_training.epochs and self.design.reasoning == "none":
            raise OccluposeError(
                f"{self.family}.epochs: neither base nor reasoner would train; give some, or design.reasoning"
            )
        if self.design.family != self.family:
            raise OccluposeError(f"design.base {self.design.base}: not {self.family}; begin with a recipe of that base")

    @property
    @abstractmethod
    def family(self) -> Family:
        """The kind of base that the recipe is for; also the name of the field with the base's training."""

    @property
    def base_training(self) -> EpochRecipe:
        """Training of the base."""
        training: EpochRecipe = getattr(self, self.family)
        return training


@dataclass(frozen=True)
class HigherHRNetDSEDRecipe(DSEDRecipe):
    """DSED behind HigherHRNet (supplement 1.3): lambda 0.1, omega from 0 to 5 over the first half.

    Attributes:
        higherhrnet: training of the base.
    """

    distillation_weight: NonNegative = 5.0
    name: str = "dsed.higherhrnet"
    higherhrnet: HigherHRNetRecipe = field(default_factory=HigherHRNetRecipe)

    @property
    def family(self) -> Family:
        return "higherhrnet"


@dataclass(frozen=True)
class PifPafDSEDRecipe(DSEDRecipe):
    """DSED behind PifPaf (supplement 1.2): lambda 0.5, omega from 0 to 2 over the first half.

    Attributes:
        pifpaf: training of the base.
    """

    hidden_weight: NonNegative = 0.5
    all_weight: NonNegative = 0.5
    distillation_weight: NonNegative = 2.0
    name: str = "dsed.pifpaf"
    design: BottomUpDesign = field(default_factory=lambda: BottomUpDesign("pifpaf_r50", side=SIDES["pifpaf_r50"]))
    pifpaf: PifPafRecipe = field(default_factory=PifPafRecipe)

    @property
    def family(self) -> Family:
        return "pifpaf"


@dataclass(frozen=True)
class HUPORDSEDRecipe(DSEDRecipe):
    """HUPOR in 2D: its own detector and two stages of the reasoner (supplement 2.1), on data without depth; lambda 0.1,
    omega from 0 to 1 over the first quarter of the reasoner's training.

    Attributes:
        hupor: training of the detector.
    """

    distillation_warm_up: PositiveFraction = 0.25
    name: str = "dsed.hupor"
    design: BottomUpDesign = field(
        default_factory=lambda: BottomUpDesign("hupor", side=SIDES["hupor"], reasoner_stages=2)
    )
    hupor: DetectorRecipe = field(default_factory=DetectorRecipe)

    @property
    def family(self) -> Family:
        return "hupor"


SMALL_BASE: dict[str, Any] = {
    "epochs": 12,
    "batch": 8,
    "learning_rate": 2e-3,
    "warm_up_steps": 100,
    "milestones": (),
    "max_grad_norm": 1.0,
    "ema_decay": 0.998,
}
SMALL: dict[str, Any] = {
    "augmentation": BottomUpAugmentation(rotation=10, scale=(0.8, 1.3), shift=65),
    "predicted_input_fraction": 0.5,
    "foreground_weight": 10.0,
    "epochs": 8,
    "batch": 8,
    "learning_rate": 4e-3,
    "warm_up_steps": 100,
    "ema_decay": 0.998,
}
"""For two cores: narrower, shallower, smaller images. Ours."""

RECIPES: dict[str, DSEDRecipe] = {
    "published": HigherHRNetDSEDRecipe(),
    "small": HigherHRNetDSEDRecipe(
        name="dsed.small",
        design=BottomUpDesign("higher_hrnet_small", side=SIDES["higher_hrnet_small"], reasoner_size=SMALL_REASONER),
        higherhrnet=HigherHRNetRecipe(tag_weight=0.02, foreground_weight=10.0, **SMALL_BASE),
        **SMALL,
    ),
    "movenet": HigherHRNetDSEDRecipe(
        name="dsed.movenet",
        design=BottomUpDesign("higher_hrnet_movenet", side=SIDES["higher_hrnet_movenet"], reasoner_size=SMALL_REASONER),
        higherhrnet=HigherHRNetRecipe(tag_weight=0.02, foreground_weight=10.0, **SMALL_BASE),
        **SMALL,
    ),
    "pifpaf-published": PifPafDSEDRecipe(),
    "pifpaf-small": PifPafDSEDRecipe(
        name="dsed.pifpaf.small",
        design=BottomUpDesign("pifpaf_small", side=SIDES["pifpaf_small"], reasoner_size=SMALL_REASONER),
        pifpaf=PifPafRecipe(**SMALL_BASE),
        **SMALL,
    ),
    "pifpaf-movenet": PifPafDSEDRecipe(
        name="dsed.pifpaf.movenet",
        design=BottomUpDesign("pifpaf_movenet", side=SIDES["pifpaf_movenet"], reasoner_size=SMALL_REASONER),
        pifpaf=PifPafRecipe(**SMALL_BASE),
        **SMALL,
    ),
    "hupor-published": HUPORDSEDRecipe(),
    "hupor-small": HUPORDSEDRecipe(
        name="dsed.hupor.small",
        design=BottomUpDesign("hupor_small", side=SIDES["hupor_small"], reasoner_size=SMALL_REASONER),
        hupor=DetectorRecipe(foreground_weight=10.0, **SMALL_BASE),
        **SMALL,
    ),
}


def find_recipe(name: str, base: Family | None) -> str:
    """The name in RECIPES of a base's recipe; files and unknown names stay as they are.

    Arguments:
        name: published, small, or another.
    """
    of_base = f"{base}-{name}"
    return of_base if of_base in RECIPES else name
