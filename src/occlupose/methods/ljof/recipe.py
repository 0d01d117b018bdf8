"""Training recipes of the estimators: MMPose's, with LJOF's additions (arXiv 2410.09885).

The paper does not state the weight of the structure loss, the time of its step, or whether every image gets blocks; our
choices are marked where they are made.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from occlupose.bounds import Bounded, Count, NonNegative, Positive, PositiveFraction, Seed
from occlupose.codecs.crops import Crop
from occlupose.codecs.maps import GaussianMaps
from occlupose.datasets.augmentation import TopDownAugmentation
from occlupose.errors import OccluposeError
from occlupose.methods.ljof.losses import Kind
from occlupose.methods.ljof.schedules import Schedule, Step
from occlupose.networks.estimators import CODECS, ESTIMATORS, EstimatorDesign
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.skeletons import Skeleton
from occlupose.training.loop import Decay, MaxNorm, Milestone, Optimisation

BATCH = 512
"""Batch size of the published learning rates; they are scaled linearly for others."""


@dataclass(frozen=True)
class StructureTerm(Bounded):
    """A structure loss and the schedule of its weight.

    Attributes:
        kind: "limbs" is LJOF's (eq. 6), "body" that of Ke et al. 2018.
        schedule: weight (lambda of eq. 4) as a function of the training's progress, 0 to 1.
    """

    kind: Kind = "limbs"
    schedule: Schedule = field(default_factory=Step)


@dataclass(frozen=True)
class LJOFRecipe(Bounded):
    """Configuration of a training run of an estimator.

    Attributes:
        model: name in `networks.estimators.ESTIMATORS`.
        codec: msra (Xiao et al. 2018) or udp (Huang et al. 2020, with DARK).
        crop: input of the network; its grid must match the codec.
        stride: crop px per cell of the finest heatmaps.
        sigma: standard deviation of their Gaussians, cells.
        head_weights: weight of each head in the loss, coarse to fine; empty for a network with one head.
        augmentation: of images and people.
        blocks: Limb Joint Augmentation (eq. 1 to 3), or None.
        structure: the structure loss (eq. 4 to 6) on the finest heatmaps, or None.
        epochs: how often a person is drawn, on average.
        batch: batch size in people, of all processes together.
        learning_rate: for a batch size of 512; scaled linearly for others, if `scale_rate` is set.
        scale_rate: scale the learning rate with the batch size. MMPose does so on request only.
        weight_decay: of AdamW; 0 is Adam.
        layer_decay: factor of the learning rate from a layer of a transformer to the one before.
        warm_up_steps: steps of linear warm-up.
        milestones: fractions of the training at which the learning rate is divided by 10.
        max_grad_norm: gradient clipping.
        ema_decay: decay of the moving average of the weights at each step; 0 keeps the last weights.

    Raises:
        OccluposeError: unknown model or codec, or a value out of range.
    """

    model: str = "hrnet_w32"
    codec: Literal["msra", "udp"] = "msra"
    crop: Crop = field(default_factory=lambda: Crop(192, 256, grid="stride"))
    stride: Count = 4
    sigma: Positive = 2.0
    head_weights: tuple[NonNegative, ...] = ()
    augmentation: TopDownAugmentation = field(default_factory=TopDownAugmentation)
    blocks: LimbBlocks | None = field(default_factory=LimbBlocks)
    structure: StructureTerm | None = field(default_factory=StructureTerm)
    epochs: Positive = 210
    batch: Count = BATCH
    learning_rate: NonNegative = 5e-4
    scale_rate: bool = True
    weight_decay: NonNegative = 0.0
    layer_decay: PositiveFraction = 1.0
    warm_up_steps: Count = 500
    milestones: tuple[Milestone, ...] = (170 / 210, 200 / 210)
    max_grad_norm: MaxNorm = float("inf")
    ema_decay: Decay = 0.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model not in ESTIMATORS:
            raise OccluposeError(f"model {self.model}: not known; known are {', '.join(ESTIMATORS)}")
        multiple = 16 if self.model.startswith("vitpose") else 32
        if self.crop.width % multiple or self.crop.height % multiple:
            raise OccluposeError(
                f"crop {self.crop.width} x {self.crop.height}: sides must be multiples of {multiple} for {self.model}"
            )
        self.maps()  # checks that the stride divides the crop

    def maps(self) -> GaussianMaps:
        """The codec of the finest heatmaps."""
        return CODECS[self.codec](self.crop, self.stride, self.sigma)

    def design(self, skeleton: Skeleton) -> EstimatorDesign:
        """The design of the network for the joints of a dataset."""
        return EstimatorDesign(self.model, skeleton, self.maps())

    def optimisation(self, people: int) -> Optimisation:
        """Steps and learning rates for a number of people in the dataset."""
        steps = max(1, round(self.epochs * people / self.batch))
        return Optimisation(
            steps=steps,
            learning_rate=self.learning_rate * (self.batch / BATCH if self.scale_rate else 1),
            weight_decay=self.weight_decay,
            warm_up_steps=min(self.warm_up_steps, steps),
            max_grad_norm=self.max_grad_norm,
            ema_decay=self.ema_decay,
            milestones=self.milestones,
            save_every=min(500, max(1, steps // 10)),
            log_every=min(50, max(1, steps // 10)),
        )

    def without_ljof(self) -> "LJOFRecipe":
        """The recipe without LJA and structure loss, for comparison."""
        return replace(self, blocks=None, structure=None)


def published(model: str) -> LJOFRecipe:
    """The published recipe of an estimator with LJOF's two additions; for the small estimators, ours.

    From MMPose's `topdown_heatmap` configurations; drop path is part of the networks. Those of SimpleBaseline-152 and
    HRNet-W48 have 32 people on each of 8 GPUs, the others 64, all with a learning rate of 5e-4. SRPose's own was for
    an older version of MMPose: rotation, batch size (32 people on each of 8 GPUs) and learning rate are from it, the
    other augmentation is the newer version's.

    Raises:
        OccluposeError: unknown model.
    """
    if model.startswith("vitpose"):
        return LJOFRecipe(
            model,
            "udp",
            Crop(192, 256, grid="corners"),
            weight_decay=0.1,
            layer_decay=0.75 if model == "vitpose_b" else 0.8,
            max_grad_norm=1.0,
        )
    if model.startswith("srpose"):
        return LJOFRecipe(
            model,
            stride=1,
            sigma=8.0,
            head_weights=(1e-4, 1.0, 1.0, 1.0, 1.0),
            augmentation=TopDownAugmentation(rotation=40.0),
            batch=256,
            learning_rate=1e-3,
        )
    if model.endswith("small"):
        mild = TopDownAugmentation(scale=(0.7, 1.3), rotation=40.0)
        return LJOFRecipe(
            model,
            "udp",
            Crop(96, 128, grid="corners"),
            sigma=1.5,
            augmentation=mild,
            epochs=60,
            batch=32,
            learning_rate=3.2e-2,
            warm_up_steps=100,
            ema_decay=0.998,
        )
    if model in ("simple_baseline_r152", "hrnet_w48"):
        return LJOFRecipe(model, batch=256, learning_rate=1e-3)  # 5e-4 at this batch size
    return LJOFRecipe(model)


RECIPES = {model: published(model) for model in ("hrnet_w32", *ESTIMATORS)}
"""By model; the first is the default of the command line."""
