"""Deeply Supervised Encoder Distillation (DSED; HUPOR, arXiv 2208.00090): predicts the maps of hidden joints from those
of visible joints.

A teacher encoder receives the maps of hidden joints, and a decoder learns to reconstruct them from its features. A
student encoder receives the maps of visible joints and learns to match the teacher's features at every level. After
training the teacher is dropped, and the decoder turns the student's features into maps of hidden joints. Their sum with
the maps of visible joints describes whole bodies.

The widths and the connections between stages follow the code that the authors published before the paper was final.
The names of submodules are those in weight files.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from occlupose.networks.estimators import normalise_images
from occlupose.networks.mspn import (
    LEVELS,
    Encoder,
    Heads,
    Levels,
    StageSize,
    Upsampler,
    UpsamplerOutput,
    build_stem,
    initialise,
)

Reasoning = Literal["dsed", "hourglass", "none"]
"""What predicts hidden joints: DSED; hourglass, the same without a teacher; nothing."""

HIDDEN_HEAD = "hidden"
"""The only head of the decoder."""

AVERAGED_LEVELS = 3
"""The maps are the mean of this many finest levels of the last stage. The published code adds the levels; a mean keeps
peaks at 1, as in the reasoner's training (ours).
"""

PUBLISHED_SIZE = "published"
"""Text of a size that is None."""


@dataclass
class DistillationOutput:
    """The output of a training step.

    Attributes:
        hidden: maps of hidden joints from the teacher's features, by stage and level, the finest level first.
        distances: mean squared difference between the features of teacher and student, by stage and level.
    """

    hidden: list[list[Float[Tensor, "batch channel y x"]]]
    distances: Float[Tensor, "stage 4"]


class Reasoner(nn.Module):
    """A stacked hourglass from maps of visible joints to maps of hidden joints. Without teachers it is the network that
    the paper compares DSED with.

    Arguments:
        channels: of the maps: 57 in HUPOR, for 15 heatmaps and 14 fields of 3.
        stages: 2 in the paper, 1 behind other networks.
        size: of encoders and decoders; None is the published one, whose first level is as wide as the maps.
        image: whether the reasoner sees the image too (supplement, table 6): features of a stem are added to the maps
            of visible joints (how is ours; the supplement does not say).
    """

    def __init__(
        self, channels: int = 57, *, stages: int = 2, size: StageSize | None = None, image: bool = False
    ) -> None:
        super().__init__()
        size = StageSize(widths=(channels, 128, 256, 512)) if size is None else size
        self.channels = channels
        self.students = nn.ModuleList(Encoder(channels, size) for _ in range(stages))
        next_inputs = [*[channels] * (stages - 1), None]
        self.decoders = nn.ModuleList(Upsampler(size, {HIDDEN_HEAD: channels}, inputs) for inputs in next_inputs)
        self.stem = build_stem(channels) if image else None
        initialise(self)

    def forward(
        self,
        visible: Float[Tensor, "batch channel y x"],
        images: UInt8[Tensor, "batch 4*y 4*x 3"] | None = None,
    ) -> list[list[Float[Tensor, "batch channel y x"]]]:
        """Maps of hidden joints by stage and level. The sides of the maps must be multiples of 8.

        Arguments:
            images: RGB; only needed by a reasoner that sees them.
        """
        x: Tensor | None = self._with_image(visible, images)
        previous: Levels | None = None
        hidden = []
        for student, decoder in zip(self.students, self.decoders, strict=True):
            stage: UpsamplerOutput = decoder(student(x, previous))
            x = stage.next_input
            previous = stage.features
            hidden.append(_hidden_maps(stage.heads))
        return hidden

    def _with_image(self, visible: Tensor, images: Tensor | None) -> Tensor:
        """The input of the first student."""
        if self.stem is None:
            return visible
        assert images is not None, "this reasoner sees the image"
        return visible + self.stem(normalise_images(images))


class DSED(Reasoner):
    """A reasoner whose encoders are students of teachers that receive the maps of hidden joints.

    Arguments:
        channels, stages, size, image: as for `Reasoner`.
        detach: stop the gradient of the distillation at the teacher. The paper trains both, so that the teacher's
            features are "easiest to be extracted from visible cues"; the authors' earlier code detaches.
    """

    def __init__(
        self,
        channels: int = 57,
        *,
        stages: int = 2,
        size: StageSize | None = None,
        image: bool = False,
        detach: bool = False,
    ) -> None:
        super().__init__(channels, stages=stages, size=size, image=image)
        size = StageSize(widths=(channels, 128, 256, 512)) if size is None else size
        self.detach = detach
        self.teachers = nn.ModuleList(Encoder(channels, size) for _ in range(stages))
        initialise(self.teachers)

    def distil(
        self,
        visible: Float[Tensor, "batch channel y x"],
        hidden: Float[Tensor, "batch channel y x"],
        images: UInt8[Tensor, "batch 4*y 4*x 3"] | None = None,
    ) -> DistillationOutput:
        """A training step: decodes the teacher's features and compares the student's with them.

        Arguments:
            hidden: the input of the teacher, the same at every stage. The teacher does not see the image.
            images: as for `forward`.
        """
        x: Tensor | None = self._with_image(visible, images)
        previous: Levels | None = None
        decoded = []
        distances = []
        for student, teacher, decoder in zip(self.students, self.teachers, self.decoders, strict=True):
            of_teacher = teacher(hidden, previous)
            of_student = student(*self._student_inputs(x, previous))
            distances += [
                mse_loss(learnt, target.detach() if self.detach else target)
                for learnt, target in zip(of_student, of_teacher, strict=True)
            ]
            stage: UpsamplerOutput = decoder(of_teacher)
            x = stage.next_input
            previous = stage.features
            decoded.append(_hidden_maps(stage.heads))
        return DistillationOutput(decoded, torch.stack(distances).unflatten(0, (-1, LEVELS)))

    def _student_inputs(self, x: Tensor | None, previous: Levels | None) -> tuple[Tensor, Levels | None]:
        """The inputs of a student, without gradient to earlier stages if the teacher is detached."""
        assert x is not None
        if not self.detach or previous is None:
            return x, previous
        return x.detach(), [level.detach() for level in previous]

    def drop_teachers(self) -> "DSED":
        """The same network without teachers, which inference does not need."""
        self.teachers = nn.ModuleList()
        return self


def build_reasoner(
    reasoning: Reasoning, channels: int, *, stages: int, size: StageSize | None, image: bool, detach: bool
) -> Reasoner | None:
    """A reasoner with random weights; None without reasoning. The arguments are those of `DSED`."""
    if reasoning == "dsed":
        return DSED(channels, stages=stages, size=size, image=image, detach=detach)
    return Reasoner(channels, stages=stages, size=size, image=image) if reasoning == "hourglass" else None


def mean_of_finest(levels: list[Float[Tensor, "batch channel y x"]]) -> Float[Tensor, "batch channel y x"]:
    """The maps of a stage from those of its levels: the mean of the finest."""
    return torch.stack([level.float() for level in levels[:AVERAGED_LEVELS]]).mean(0)


def size_to_text(size: StageSize | None) -> str:
    """The size of a reasoner, for the header of a weights file."""
    return PUBLISHED_SIZE if size is None else size.to_text()


def size_from_text(text: str) -> StageSize | None:
    """The inverse of `size_to_text`.

    Raises:
        ValueError, OccluposeError: not such a text; an impossible number.
    """
    return None if text == PUBLISHED_SIZE else StageSize.from_text(text)


def _hidden_maps(levels: list[Heads]) -> list[Tensor]:
    return [heads[HIDDEN_HEAD] for heads in levels]
