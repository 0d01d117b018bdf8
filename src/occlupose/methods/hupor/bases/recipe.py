"""The recipes of DSED behind HigherHRNet (HUPOR, arXiv 2208.00090, supplement 1.3): first the base on visible joints,
then, with the base frozen, a reasoner of one stack.
"""

from dataclasses import dataclass, field, replace

from occlupose.bounds import Count, NonNegative, Positive, PositiveFraction, Seed
from occlupose.datasets.augmentation import BottomUpAugmentation
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.epochs import EpochRecipe
from occlupose.methods.hupor.reasoning import ReasonerRecipe
from occlupose.networks.bottom_up import BottomUpDesign
from occlupose.networks.mspn import StageSize
from occlupose.training.loop import Milestone


@dataclass(frozen=True)
class BaseRecipe(EpochRecipe):
    """How HigherHRNet learns. The defaults are its authors' (Cheng et al. 2020, section 4.1, and their configuration);
    the batch size is ours. Zero epochs keep the initial weights. The fields of the optimisation are explained in
    `EpochRecipe`.

    Attributes:
        tag_weight: of pull and of push in the loss.
        field_weight: of the part affinity fields in the loss (HUPOR's).
        foreground_weight: weight of the cells of a map with a joint or limb (ours; 1 as published, with which small
            networks are slow to predict anything but 0).

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


@dataclass(frozen=True)
class DSEDRecipe(ReasonerRecipe, EpochRecipe):
    """Configuration of a training run of base and reasoner. The defaults are the paper's, or ours where it is silent;
    what it takes over from HUPOR's own training is as there, except AdamW instead of Adam. The fields of the reasoner
    are explained in `ReasonerRecipe`, those of its optimisation in `EpochRecipe`.

    Attributes:
        name: of the weights file.
        design: of the networks; its joints are those of the dataset.
        base_training: of the base.
        augmentation: of the images, in both trainings.

    Raises:
        OccluposeError: an impossible value.
    """

    distillation_weight: NonNegative = 5.0
    distillation_warm_up: PositiveFraction = 0.5
    epochs: Positive = 10
    name: str = "dsed.higherhrnet"
    design: BottomUpDesign = field(default_factory=BottomUpDesign)
    base_training: BaseRecipe = field(default_factory=BaseRecipe)
    augmentation: BottomUpAugmentation = field(
        default_factory=lambda: BottomUpAugmentation(rotation=30, scale=(0.75, 1.5), shift=65)
    )
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.base_training.epochs and self.design.reasoning == "none":
            raise OccluposeError(
                "base_training.epochs: neither base nor reasoner would train; give some, or design.reasoning"
            )


PUBLISHED = DSEDRecipe()

SMALL = replace(
    PUBLISHED,
    name="dsed.small",
    design=BottomUpDesign("higher_hrnet_small", side=192, reasoner_size=StageSize((1, 1, 1, 1), (16, 32, 48, 64), 64)),
    base_training=BaseRecipe(
        epochs=12,
        batch=8,
        learning_rate=2e-3,
        warm_up_steps=100,
        milestones=(),
        max_grad_norm=1.0,
        ema_decay=0.998,
        tag_weight=0.02,
        foreground_weight=10.0,
    ),
    augmentation=BottomUpAugmentation(rotation=10, scale=(0.8, 1.3), shift=65),
    predicted_input_fraction=0.5,
    foreground_weight=10.0,
    epochs=8,
    batch=8,
    learning_rate=4e-3,
    warm_up_steps=100,
    ema_decay=0.998,
)
"""For two cores: narrower, shallower, smaller images. Ours."""

RECIPES = {"published": PUBLISHED, "small": SMALL}
