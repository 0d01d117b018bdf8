"""The training recipe of HUPOR (arXiv 2208.00090, supplement 2.1): the detector alone first, then detector and
reasoner, with images without depth in half of each batch.
"""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval

from occlupose.bounds import Fraction, NonNegative, Positive, Seed
from occlupose.datasets.augmentation import BottomUpAugmentation
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.epochs import EpochRecipe
from occlupose.methods.hupor.labels import LabelSource
from occlupose.methods.hupor.losses import WEIGHT
from occlupose.methods.hupor.network import HUPORDesign
from occlupose.methods.hupor.reasoning import SMALL_REASONER, ReasonerRecipe
from occlupose.networks.mspn import StageSize
from occlupose.occlusion.blocks import LimbBlocks


@dataclass(frozen=True)
class HUPORRecipe(ReasonerRecipe, EpochRecipe):
    """Configuration of a training run of HUPOR. The defaults are the paper's, or ours where it is silent, except that
    the paper has occlusion labels by SSF and Adam instead of AdamW; docs/hupor.md lists what else is ours. The fields
    of the reasoner are explained in `ReasonerRecipe`, those of the optimisation in `EpochRecipe`.

    Attributes:
        name: of the weights file.
        design: of the networks.
        occlusion_labels: what determines which joints are hidden: the dataset; fitted bodies (ssf); cylinders; or none,
            with which all joints count as visible.
        no_depth_fraction: fraction of a batch from images without depth, if there are images with and without; half in
            the paper.
        detector_only_fraction: fraction of the training in which the detector is trained alone; half in the paper.
        train_detector: False keeps the detector's initial weights and trains the reasoner from the first step.
        pretrained_rate: learning rate of MoveNet's layers in a network that begins with them, as a factor; the first
            blocks keep their weights (ours).
        visible_weight: of the maps of visible joints in the loss.
        augmentation: of the images.

    Raises:
        OccluposeError: an impossible value.
    """

    name: str = "hupor"
    design: HUPORDesign = field(default_factory=HUPORDesign)
    occlusion_labels: LabelSource = "dataset"
    no_depth_fraction: Fraction = 0.5
    detector_only_fraction: Fraction = 0.5
    train_detector: bool = True
    pretrained_rate: NonNegative = 0.05
    visible_weight: NonNegative = WEIGHT
    augmentation: BottomUpAugmentation = field(default_factory=BottomUpAugmentation)
    epochs: Positive = 20
    batch: Annotated[int, Interval(ge=2)] = 32
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train_detector and self.detector_only_fraction == 1 and self.design.reasoning != "none":
            raise OccluposeError(
                "detector_only_fraction 1: the reasoner would never train; give less, or design.reasoning none"
            )
        if not self.train_detector and self.design.reasoning == "none":
            raise OccluposeError("train_detector: neither detector nor reasoner would train; give design.reasoning")

    def reasoner_progress(self, progress: float) -> float | None:
        """Progress of the reasoner's training, 0..1, at this progress of the whole training; None before it starts."""
        start = self.detector_only_fraction if self.train_detector else 0.0
        if self.design.reasoning == "none" or progress < start or start == 1:
            return None
        return (progress - start) / (1 - start)


PUBLISHED = HUPORRecipe()

SMALL = HUPORRecipe(
    name="hupor.synth",
    design=HUPORDesign(
        256,
        160,
        stages=1,
        size=StageSize((2, 3, 4, 2), (16, 32, 48, 64), 64),
        reasoner_stages=1,
        reasoner_size=SMALL_REASONER,
    ),
    predicted_input_fraction=0.5,
    foreground_weight=10.0,
    epochs=8,
    batch=4,
    learning_rate=4e-3,
    warm_up_steps=100,
    ema_decay=0.998,
)
"""For two cores: narrower, shallower, smaller images. Ours."""

MOVENET = HUPORRecipe(
    name="hupor.movenet",
    design=HUPORDesign(
        512,
        320,
        detector="movenet",
        reasoner_stages=1,
        reasoner_size=SMALL_REASONER,
    ),
    augmentation=BottomUpAugmentation(
        scale=(0.7, 1.4),
        shift=100,
        blocks=LimbBlocks(joint_share=0.25, size=0.25, probability=0.4, relative_to="box"),
    ),
    predicted_input_fraction=0.5,
    foreground_weight=10.0,
    epochs=3,
    batch=8,
    learning_rate=1e-3,
    warm_up_steps=100,
    ema_decay=0.998,
)
"""For two cores, on synthetic people and photographs: the detector begins as MoveNet MultiPose. Ours."""

RECIPES = {"published": PUBLISHED, "small": SMALL, "movenet": MOVENET}
