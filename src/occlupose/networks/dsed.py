"""Deeply Supervised Encoder Distillation (HUPOR, arXiv 2208.00090): a network that says where what is hidden is, from
what is seen.

A teacher is shown the maps of hidden joints, and a decoder learns to give them back. A student is shown those of
visible joints, and learns to have the teacher's features at every level of its encoder, so that the decoder takes them
for the teacher's. Afterwards there is no teacher: visible maps in, the student's features into the decoder, hidden maps
out. Added to the visible ones they are maps of whole bodies.

Widths and what goes from stage to stage are those of the code that its authors published before the paper was final.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from occlupose.networks.mspn import LEVELS, Encoder, Heads, Levels, StageSize, Upsampler, UpsamplerOutput, initialise

HIDDEN_HEAD = "hidden"
"""The decoder's one head."""


@dataclass
class DistillationOutput:
    """What a training step is about.

    Attributes:
        hidden: maps of what is hidden, of every stage, and in it of every level, the finest first; of the teacher's
            features.
        distances: mean squared difference of the teacher's and the student's features, of every stage and level.
    """

    hidden: list[list[Float[Tensor, "batch channel y x"]]]
    distances: Float[Tensor, "stage 4"]


class Reasoner(nn.Module):
    """Maps of what is seen in, maps of what is hidden out: a stacked hourglass, and by itself the one that the paper
    compares with.

    Arguments:
        channels: of the maps: 57 in HUPOR, 15 heatmaps and 14 fields of 3.
        stages: 2 in the paper, 1 where it is put behind other networks.
        size: of encoders and decoders; None is the published one, whose first level is as wide as the maps.
    """

    def __init__(self, channels: int = 57, *, stages: int = 2, size: StageSize | None = None) -> None:
        super().__init__()
        size = StageSize(widths=(channels, 128, 256, 512)) if size is None else size
        self.channels = channels
        self.students = nn.ModuleList(Encoder(channels, size) for _ in range(stages))
        onward = [channels] * (stages - 1)
        self.decoders = nn.ModuleList(Upsampler(size, {HIDDEN_HEAD: channels}, after) for after in (*onward, None))
        initialise(self)

    def forward(self, visible: Float[Tensor, "batch channel y x"]) -> list[list[Float[Tensor, "batch channel y x"]]]:
        """Maps of what is hidden, of every stage and level. The sides of maps are multiples of 8."""
        x: Tensor | None = visible
        told: Levels | None = None
        said = []
        for student, decoder in zip(self.students, self.decoders, strict=True):
            stage: UpsamplerOutput = decoder(student(x, told))
            x = stage.onward
            told = stage.told
            said.append(_maps(stage.heads))
        return said


class DSED(Reasoner):
    """A reasoner whose encoders are students of others that are shown what is hidden.

    Arguments:
        channels, stages, size: as `Reasoner`.
        detach: the teacher does not go towards the student. The paper lets both move (its features are to be "easiest
            to be extracted from visible cues"); its authors' earlier code does not.
    """

    def __init__(
        self, channels: int = 57, *, stages: int = 2, size: StageSize | None = None, detach: bool = False
    ) -> None:
        super().__init__(channels, stages=stages, size=size)
        size = StageSize(widths=(channels, 128, 256, 512)) if size is None else size
        self.detach = detach
        self.teachers = nn.ModuleList(Encoder(channels, size) for _ in range(stages))
        initialise(self.teachers)

    def taught(
        self, visible: Float[Tensor, "batch channel y x"], hidden: Float[Tensor, "batch channel y x"]
    ) -> DistillationOutput:
        """A training step: the decoder works on the teacher's features, and the student is compared with them.

        Arguments:
            hidden: what the teacher is shown, at every stage anew.
        """
        x: Tensor | None = visible
        told: Levels | None = None
        said = []
        distances = []
        for student, teacher, decoder in zip(self.students, self.teachers, self.decoders, strict=True):
            of_teacher = teacher(hidden, told)
            of_student = student(*self._given(x, told))
            distances += [
                mse_loss(learnt, known.detach() if self.detach else known)
                for learnt, known in zip(of_student, of_teacher, strict=True)
            ]
            stage: UpsamplerOutput = decoder(of_teacher)
            x = stage.onward
            told = stage.told
            said.append(_maps(stage.heads))
        return DistillationOutput(said, torch.stack(distances).unflatten(0, (-1, LEVELS)))

    def _given(self, x: Tensor | None, told: Levels | None) -> tuple[Tensor, Levels | None]:
        """A student's inputs; where the teacher is not to move, no gradient goes back through them."""
        assert x is not None
        if not self.detach:
            return x, told
        return x.detach(), None if told is None else [level.detach() for level in told]

    def inference(self) -> "DSED":
        """The same without teachers, which are not needed any more."""
        self.teachers = nn.ModuleList()
        return self


def _maps(levels: list[Heads]) -> list[Tensor]:
    return [heads[HIDDEN_HEAD] for heads in levels]
