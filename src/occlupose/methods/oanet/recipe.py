"""What the recipes of both presets have in common: `paper.PaperRecipe` and `shipped.ShippedRecipe`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Interval
from torch import Generator

from occlupose.bounds import Bounded, Count, Seed
from occlupose.datasets.motion import MotionClip
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.networks.tcn import STRIDE
from occlupose.training.run import TrainingStage

Depth = Annotated[int, Interval(ge=0)]


@dataclass(frozen=True)
class OANetRecipe(Bounded, ABC):
    """Configuration of a training run of OANet's temporal networks.

    Raises:
        OccluposeError: a window that the networks cannot take, or a number or fraction out of its range.
    """

    name: str
    width: Count
    """Channels of the temporal networks."""
    depth: Depth
    """Additional residual blocks at a quarter of the length (ours)."""
    window: int
    """Frames of a training sequence, T."""
    batch: Count
    occlusion_aware: bool
    """Joints go missing. False is the baseline."""
    seed: Seed

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 2 * STRIDE or self.window % STRIDE:
            raise OccluposeError(
                f"window {self.window}: the networks take {2 * STRIDE} frames or more, in multiples of {STRIDE}"
            )

    @abstractmethod
    def network(self) -> OANetNetwork:
        """The networks with random weights."""

    @abstractmethod
    def sampler(self, clips: list[MotionClip], video: Sequence[PoseSequence] = ()) -> Callable[[Generator], Any]:
        """A function that draws the sequences of a step.

        Arguments:
            video: people in real video, in 2D.

        Raises:
            OccluposeError: there are no clips, or the preset does not learn from video.
        """

    @abstractmethod
    def stages(self, oanet: OANetNetwork, sample: Callable[[Generator], Any]) -> Iterable[TrainingStage]:
        """The stages of the training in order; each is made when the one before has been trained."""
