"""How each estimator is trained: MMPose's published recipes, and what LJOF adds to them (arXiv 2410.09885).

The paper leaves open how large the weight of the structure loss is and when it steps up, and whether every picture gets
blocks; the choices are ours and named where they are made.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from occlupose.codecs.crops import Crop
from occlupose.codecs.maps import GaussianMaps
from occlupose.datasets.topdown import Variation
from occlupose.errors import OccluposeError
from occlupose.frontends.estimator import CODECS, Design
from occlupose.methods.ljof.losses import Kind
from occlupose.methods.ljof.schedules import Schedule, Step
from occlupose.networks.estimators import ESTIMATORS
from occlupose.occlusion.blocks import LimbBlocks
from occlupose.skeletons import Skeleton
from occlupose.training.loop import Optimisation

BATCH = 512
"""People in a batch that the published rates are for; with other batches the rate changes in proportion."""


@dataclass(frozen=True)
class StructureTerm:
    """A structure loss and its weight over the training.

    Attributes:
        kind: "limbs" is LJOF's (eq. 6), "body" is that of Ke et al. 2018.
        schedule: weight (lambda of eq. 4) by the share of the training that is done.
    """

    kind: Kind = "limbs"
    schedule: Schedule = field(default_factory=Step)


@dataclass(frozen=True)
class LJOFRecipe:
    """Everything that a training run depends on, besides the pictures.

    Attributes:
        model: of `networks.estimators.ESTIMATORS`.
        codec: msra (Xiao et al. 2018) or udp (Huang et al. 2020, with DARK).
        crop: what the network is shown; its grid goes with the codec.
        stride, sigma: of the finest maps: crop px in a cell; standard deviation of a Gaussian, cells.
        heads: weight of each of the network's heads in the loss, coarse to fine; empty for a network with one.
        variation: of the people.
        blocks: Limb Joint Augmentation (eq. 1 to 3); None is none.
        structure: the structure loss (eq. 4 to 6), on the finest maps; None is none.
        epochs: as many draws of a person, on average.
        batch: people in a step, of all processes together.
        learning_rate: for a batch of 512; used in proportion to the batch.
        weight_decay, layer_decay: of AdamW (0 is Adam); the factor of the rate from one layer of a transformer to the
            one before.
        warm_up: steps of a linear warm-up.
        drops: shares of the epochs after which the rate is a tenth.
        clip: the most that gradients may measure.
        average: share of an exponential average of the weights that stays at each step; 0 keeps the last weights.

    Raises:
        OccluposeError: no such model or codec, a number that cannot be.
    """

    model: str = "hrnet_w32"
    codec: Literal["msra", "udp"] = "msra"
    crop: Crop = field(default_factory=lambda: Crop(192, 256, grid="stride"))
    stride: int = 4
    sigma: float = 2.0
    heads: tuple[float, ...] = ()
    variation: Variation = field(default_factory=Variation)
    blocks: LimbBlocks | None = field(default_factory=LimbBlocks)
    structure: StructureTerm | None = field(default_factory=StructureTerm)
    epochs: float = 210
    batch: int = BATCH
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    layer_decay: float = 1.0
    warm_up_steps: int = 500
    milestones: tuple[float, ...] = (170 / 210, 200 / 210)
    max_grad_norm: float = float("inf")
    ema_decay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in ESTIMATORS:
            raise OccluposeError(f"model {self.model}: not known; known are {', '.join(ESTIMATORS)}")
        if self.codec not in CODECS:
            raise OccluposeError(f"codec {self.codec}: not known; known are {', '.join(CODECS)}")
        if self.batch < 1:
            raise OccluposeError(f"batch {self.batch}: must be 1 or more")
        if not 0 < self.epochs < float("inf"):
            raise OccluposeError(f"epochs {self.epochs:g}: must be more than 0, and finite")
        if not 0 <= self.learning_rate < float("inf"):
            raise OccluposeError(f"learning_rate {self.learning_rate:g}: must be 0 or more")
        if not 0 < self.layer_decay <= 1:
            raise OccluposeError(f"layer_decay {self.layer_decay:g}: a factor, more than 0 and at most 1")
        least = 16 if self.model.startswith("vitpose") else 32
        if self.crop.width % least or self.crop.height % least:
            raise OccluposeError(
                f"crop {self.crop.width} x {self.crop.height}: its sides must be multiples of {least} for {self.model}"
            )
        self.maps()  # refuses cells that the crop cannot be divided into

    def maps(self) -> GaussianMaps:
        """Between joints and the finest maps."""
        return CODECS[self.codec](self.crop, self.stride, self.sigma)

    def design(self, skeleton: Skeleton) -> Design:
        """What is trained, for the joints of a dataset."""
        return Design(self.model, skeleton, self.maps())

    def optimisation(self, people: int) -> Optimisation:
        """Steps and rates for so many people."""
        steps = max(1, round(self.epochs * people / self.batch))
        return Optimisation(
            steps=steps,
            learning_rate=self.learning_rate * self.batch / BATCH,
            weight_decay=self.weight_decay,
            warm_up_steps=min(self.warm_up_steps, steps),
            max_grad_norm=self.max_grad_norm,
            ema_decay=self.ema_decay,
            milestones=self.milestones,
            save_every=min(500, max(1, steps // 10)),
            log_every=min(50, max(1, steps // 10)),
        )

    def without_ljof(self) -> "LJOFRecipe":
        """The published recipe by itself, to compare with."""
        return replace(self, blocks=None, structure=None)


def published(model: str) -> LJOFRecipe:
    """The recipe that an estimator's figures are published with, and LJOF's two additions; of the small estimators,
    ours.

    MMPose's `topdown_heatmap` configurations, drop path as the networks have it. SRPose's own was for an older version
    of MMPose: its tilt, batch (32 people on each of 8 GPUs) and rate are taken, the other variations are the newer
    version's.

    Raises:
        OccluposeError: no such model.
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
            heads=(1e-4, 1.0, 1.0, 1.0, 1.0),
            variation=Variation(turn=40.0),
            batch=256,
            learning_rate=1e-3,
        )
    if model.endswith("small"):
        mild = Variation(scale=(0.7, 1.3), turn=40.0)
        return LJOFRecipe(
            model,
            "udp",
            Crop(96, 128, grid="corners"),
            sigma=1.5,
            variation=mild,
            epochs=60,
            batch=32,
            learning_rate=3.2e-2,
            warm_up_steps=100,
            ema_decay=0.998,
        )
    return LJOFRecipe(model)
