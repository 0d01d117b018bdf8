"""Length and learning rate of a training that draws images."""

from dataclasses import dataclass

from occlupose.bounds import Bounded, Count, NonNegative
from occlupose.training.loop import Decay, MaxNorm, Milestone, Optimisation, Precision


@dataclass(frozen=True)
class EpochRecipe(Bounded):
    """The optimisation of a training, in epochs. The defaults are HUPOR's, or ours where it is silent.

    Attributes:
        epochs: how often an image is drawn, on average.
        batch: images in a step.
        learning_rate, weight_decay, warm_up_steps: of AdamW; a weight decay of 0 is Adam.
        milestones: fractions of the training at which the learning rate is divided by 10; without any it falls linearly
            to 0.
        max_grad_norm: gradients are clipped to this norm.
        ema_decay: decay of the moving average of the weights at each step; 0 keeps the last weights.
        precision: as in `Optimisation`; 32-true makes runs on different processors comparable.

    Raises:
        OccluposeError: an impossible value.
    """

    epochs: NonNegative = 10
    batch: Count = 32
    learning_rate: NonNegative = 2e-4
    weight_decay: NonNegative = 8e-6
    warm_up_steps: Count = 2400
    milestones: tuple[Milestone, ...] = ()
    max_grad_norm: MaxNorm = float("inf")
    ema_decay: Decay = 0.0
    precision: Precision = "auto"

    def optimisation(self, images: int) -> Optimisation:
        """The optimisation for this many images."""
        steps = max(1, round(self.epochs * images / self.batch))
        return Optimisation(
            steps=steps,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warm_up_steps=min(self.warm_up_steps, steps),
            milestones=self.milestones,
            max_grad_norm=self.max_grad_norm,
            ema_decay=self.ema_decay,
            lr_schedule="linear",
            precision=self.precision,
            save_every=min(500, max(1, steps // 10)),
            log_every=min(50, max(1, steps // 10)),
        )
