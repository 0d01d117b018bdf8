"""How HUPOR is trained (arXiv 2208.00090, supplement 2.1): first the detector alone, then both, on pictures half of
which have no depth.
"""

from dataclasses import dataclass, field
from typing import Literal

from occlupose.datasets.bottomup import BottomUpAugmentation
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.labels import LabelSource
from occlupose.methods.hupor.network import HUPORDesign
from occlupose.networks.mspn import LEVELS, StageSize
from occlupose.training.loop import Optimisation

TeacherInput = Literal["hidden", "all"]
TargetSet = Literal["both", "all"]


@dataclass(frozen=True)
class HUPORRecipe:
    """Everything that the weights depend on besides the data. The defaults are the paper's, and ours where it is
    silent. Its labels of what is hidden are by SSF, and its optimiser is Adam, where ours is AdamW; docs/hupor.md says
    what else is ours.

    Attributes:
        name: of the weights file.
        design: of the networks.
        labels: what says which joints are hidden: the dataset, fitted bodies (ssf), cylinders; or none, and all of them
            count as visible.
        flat: share of a batch from pictures without depth, where there are such and others; half in the paper.
        alone: share of the training in which the detector learns alone; half in the paper.
        detector: the detector learns; otherwise it stays as it began, and the reasoner learns from the first step on.
        mixed: share of the pictures whose detector's maps the student is given, in place of true ones (ours; 0 in the
            paper).
        shown: what the teacher is shown: what is hidden (paper), or all joints (its authors' earlier code).
        supervised: what the reasoner is told of: maps of what is hidden and, visible ones added, of everything (paper);
            or the latter alone (its authors' earlier code).
        something: how often cells of the maps count in which there is something (ours; 1 in the paper, where small
            networks are slow to say anything at all).
        blocks: levels of the encoders whose features are compared, 1 to 4.
        distillation: weight of that comparison at its most.
        rising: share of the reasoner's training over which it grows to that.
        augmentation: of the images.
        epochs: as many draws of a picture, on average.
        batch: pictures in a step.
        learning_rate, weight_decay, warm_up_steps: of AdamW, the rate falling evenly to 0.
        max_grad_norm: gradient clipping.
        ema_decay: decay of the moving average of the weights at each step; 0 keeps the last ones.

    Raises:
        OccluposeError: a number that cannot be.
    """

    name: str = "hupor"
    design: HUPORDesign = field(default_factory=HUPORDesign)
    labels: LabelSource = "dataset"
    flat: float = 0.5
    alone: float = 0.5
    detector: bool = True
    mixed: float = 0.0
    shown: TeacherInput = "hidden"
    supervised: TargetSet = "both"
    something: float = 1.0
    blocks: tuple[int, ...] = (1, 2, 3, 4)
    distillation: float = 1.0
    rising: float = 0.25
    augmentation: BottomUpAugmentation = field(default_factory=BottomUpAugmentation)
    epochs: float = 20
    batch: int = 32
    learning_rate: float = 2e-4
    weight_decay: float = 8e-6
    warm_up_steps: int = 2400
    max_grad_norm: float = float("inf")
    ema_decay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("flat", "alone", "mixed"):
            if not 0 <= getattr(self, name) <= 1:
                raise OccluposeError(f"{name} {getattr(self, name):g}: a share, between 0 and 1")
        if not 0 < self.rising <= 1:
            raise OccluposeError(f"rising {self.rising:g}: a share, more than 0 and at most 1")
        if self.batch < 2:
            raise OccluposeError(f"batch {self.batch}: must be 2 or more")
        if not 0 < self.epochs < float("inf"):
            raise OccluposeError(f"epochs {self.epochs:g}: must be more than 0, and finite")
        if (
            not self.blocks
            or not set(self.blocks) <= set(range(1, LEVELS + 1))
            or len(set(self.blocks)) < len(self.blocks)
        ):
            raise OccluposeError(f"blocks {self.blocks}: each of 1 to {LEVELS} once at most, and one at least")
        if not 0 < self.something < float("inf"):
            raise OccluposeError(f"something {self.something:g}: must be more than 0, and finite")
        if not 0 <= self.distillation < float("inf"):
            raise OccluposeError(f"distillation {self.distillation:g}: must be 0 or more")
        if not 0 <= self.seed < 2**63:
            raise OccluposeError(f"seed {self.seed}: must be 0 or more, and less than 2^63")
        if self.detector and self.alone == 1 and self.design.reasoning != "none":
            raise OccluposeError("alone 1: the reasoner would never learn; give less, or design.reasoning none")
        if not self.detector and self.design.reasoning == "none":
            raise OccluposeError("detector: neither it nor a reasoner would learn; give another design.reasoning")

    def optimisation(self, pictures: int) -> Optimisation:
        """Steps and rates for so many pictures."""
        steps = max(1, round(self.epochs * pictures / self.batch))
        return Optimisation(
            steps=steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warm_up_steps=min(self.warm_up_steps, steps),
            max_grad_norm=self.max_grad_norm,
            ema_decay=self.ema_decay,
            lr_schedule="linear",
            save_every=min(500, max(1, steps // 10)),
            log_every=min(50, max(1, steps // 10)),
        )

    def reasons(self, done: float) -> float | None:
        """How much of the reasoner's training is done when so much of the whole is; None before it begins."""
        alone = self.alone if self.detector else 0.0
        if self.design.reasoning == "none" or done < alone or alone == 1:
            return None
        return (done - alone) / (1 - alone)


PUBLISHED = HUPORRecipe()

SMALL = HUPORRecipe(
    name="hupor.synth",
    design=HUPORDesign(
        256,
        160,
        stages=1,
        size=StageSize((2, 3, 4, 2), (16, 32, 48, 64), 64),
        reasoner_stages=1,
        reasoner_size=StageSize((1, 1, 1, 1), (16, 32, 48, 64), 64),
    ),
    mixed=0.5,
    something=10.0,
    epochs=8,
    batch=4,
    learning_rate=4e-3,
    warm_up_steps=100,
    ema_decay=0.998,
)
"""Two cores: narrower, shallower, smaller pictures. Ours."""

RECIPES = {"published": PUBLISHED, "small": SMALL}
