"""What the recipes of both presets have in common: `paper.PaperRecipe` and `shipped.ShippedRecipe`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Generator

from occlupose.datasets.formats.cmu import MotionClip
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.networks.tcn import STRIDE
from occlupose.training.run import TrainingStage


@dataclass(frozen=True)
class OANetRecipe(ABC):
    """Configuration of a training run of OANet's temporal networks.

    Raises:
        OccluposeError: a window that the networks cannot take, or a number or fraction out of its range.
    """

    name: str
    width: int
    """Channels of the temporal networks."""
    depth: int
    """Additional residual blocks at a quarter of the length (ours)."""
    window: int
    """Frames of a training sequence, T."""
    batch: int
    occlusion_aware: bool
    """Joints go missing. False is the baseline."""
    seed: int

    def __post_init__(self) -> None:
        for name, least in {"width": 1, "depth": 0, "batch": 1}.items():
            if getattr(self, name) < least:
                raise OccluposeError(f"{name} {getattr(self, name)}: must be {least} or more")
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
