"""Training of MoveNet Thunder for hidden joints: data, loss and the run."""

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from occlupose.codecs.maps import full_precision
from occlupose.errors import OccluposeError
from occlupose.methods.ljof.losses import StructureLoss
from occlupose.methods.movenet.calibration import calibrate
from occlupose.methods.movenet.data import TrainingData
from occlupose.methods.movenet.losses import heat_loss, make_targets, offset_loss, place_loss, visible_loss
from occlupose.methods.movenet.recipe import MoveNetRecipe
from occlupose.methods.movenet.samples import CELLS, CropSampler, People, Sample, draw_samples
from occlupose.networks import pretrained
from occlupose.networks.movenet import FROZEN_BLOCKS, Thunder
from occlupose.networks.occlusion_movenet import OcclusionMoveNet
from occlupose.networks.weights import half_precision
from occlupose.networks.weights import save as save_weights
from occlupose.skeletons import COCO21
from occlupose.threads import opencv_on_one_thread
from occlupose.training.distributed import Process
from occlupose.training.loop import Terms, fingerprint
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask, forward

NETWORK = "movenet_occlusion"
"""Name in `networks.pretrained`."""

CALIBRATION_BATCHES = 40
"""Batches of 16 people for the calibration."""


class MoveNetTraining(nn.Module):
    """The training module: the network and its loss, which depends on the progress of the training.

    Arguments:
        steps: length of the training.
        teacher: Thunder, for the heatmaps of photographs.
    """

    step: Tensor
    """Batches so far; saved in the checkpoint like the weights."""

    def __init__(self, network: OcclusionMoveNet, recipe: MoveNetRecipe, teacher: Thunder) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.structure = StructureLoss(COCO21)
        self._teacher = (teacher,)  # in a tuple, since it is not trained
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, batch: Sample) -> Terms:
        """The terms of the loss."""
        recipe = self.recipe
        progress = self.step.item() / recipe.optimisation.steps
        self.step += 1
        heat, offset = self._teach(batch)
        maps = self.network.maps(batch.images)
        with full_precision(maps.places):
            targets = make_targets(batch, heat, offset, dark=recipe.dark)
            logits = maps.heads["heatmap"].float()
            terms = {
                "heat": heat_loss(logits, targets),
                "offset": recipe.offset_weight * offset_loss(maps.heads["offset"].float(), targets),
                "place": recipe.place_weight * place_loss(maps.places, batch),
                "visible": recipe.visible_weight * visible_loss(maps.visible, batch),
            }
            if recipe.structure is not None:
                factor = CELLS**2 * recipe.structure.schedule(progress)  # the other terms are sums over the cells
                known = torch.ones(batch.state.shape, device=logits.device)
                terms["structure"] = factor * self.structure(logits.sigmoid(), targets.heat, known)
        return terms

    @torch.no_grad()
    def _teach(self, batch: Sample) -> tuple[Tensor, Tensor]:
        """Thunder's heatmaps, 0..1, and offsets of the photographs; 0 where there is none."""
        (teacher,) = self._teacher
        rows = batch.is_photograph
        maps = teacher.to(batch.images.device).maps(batch.photographs[rows])
        heat = torch.zeros((len(rows), 17, CELLS, CELLS), device=rows.device)
        offset = torch.zeros((len(rows), 34, CELLS, CELLS), device=rows.device)
        heat[rows] = maps["heatmap"].float().sigmoid()
        offset[rows] = maps["offset"].float()
        return heat, offset


def parameter_groups(training: nn.Module) -> list[dict[str, Any]]:
    """The parts with their learning rates; the first blocks of the backbone and the calibration are not trained."""
    assert isinstance(training, MoveNetTraining)
    network = training.network
    recipe = training.recipe
    backbone = network.backbone
    for part in (backbone.stem, *backbone.blocks[:FROZEN_BLOCKS]):
        part.requires_grad_(False)
    late = [*backbone.blocks[FROZEN_BLOCKS:].parameters(), *backbone.last.parameters()]
    return [
        {"params": list(network.places.parameters())},
        {"params": list(network.heads.parameters()), "scale": recipe.heads_rate},
        {"params": list(network.pyramid.parameters()), "scale": recipe.pyramid_rate},
        {"params": late, "scale": recipe.backbone_rate},
    ]


@dataclass(frozen=True)
class MoveNetTask(TrainingTask):
    """Training on photographs with labels and synthetic scenes."""

    recipe: MoveNetRecipe
    training: TrainingData
    credit: str

    @cached_property
    def people(self) -> People:
        """The people to train on."""
        return self.training.people("train")

    def about(self) -> str:
        labels = self.people.labels
        return (
            f"{len(labels.box)} people in {len(labels.names)} photographs, {len(self.people.scenes)} synthetic scenes"
        )

    def data(self) -> dict[str, object]:
        labels = self.people.labels
        return {
            "photographs": len(labels.names),
            "people": len(labels.box),
            "labels": fingerprint([labels.xy, labels.score, labels.box, labels.image, labels.aspect]),
            "scenes": len(self.people.scenes),
        }

    def build(self) -> nn.Module:
        network = OcclusionMoveNet()
        network.start_from(thunder())
        return network

    def load_initial_weights(self, network: nn.Module, path: Path) -> str:
        network.load_state_dict(pretrained.build(NETWORK, path).state_dict())
        return path.name

    def stages(self, network: nn.Module) -> list[TrainingStage]:
        assert isinstance(network, OcclusionMoveNet)
        share = Process.current().share(self.recipe.batch)
        sampler = CropSampler(self.people, self.recipe.samples, self.recipe.batch, share=share)
        teacher = thunder().eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        training = MoveNetTraining(network, self.recipe, teacher)
        training = training.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return [
            TrainingStage(training, sampler.draw, forward, self.recipe.optimisation, parameter_groups=parameter_groups)
        ]

    def save(self, network: nn.Module, path: Path) -> None:
        assert isinstance(network, OcclusionMoveNet)
        calibrate(network, draw_samples(self.training.people("calibration"), CALIBRATION_BATCHES, seed=1))
        header = {"format": pretrained.FORMAT, "model": NETWORK}
        save_weights(half_precision(network.state_dict()), header, path)
        if find_spec("onnx"):  # only this package needs the graph anew, when the module changes
            pretrained.export_graph(NETWORK, network, path.with_suffix(".onnx"))

    def describe(self, network: nn.Module) -> dict[str, object]:
        return {
            "task": pretrained.TASKS[NETWORK],
            "licence": pretrained.LICENCES[NETWORK],
            "data": f"{pretrained.DATA[NETWORK]}; photographs: {self.credit}",
            "training_data": self.data(),
            "calibration": "photographs and scenes that are not trained on",
        }


def thunder() -> Thunder:
    """MoveNet Thunder as it is shipped."""
    network = pretrained.build("movenet_thunder")
    assert isinstance(network, Thunder)
    return network


def train_movenet(
    data: TrainingData, recipe: MoveNetRecipe, run: TrainingRun, *, credit: str = "the user's own"
) -> Path:
    """Trains and calibrates the network; returns the weights file.

    Arguments:
        credit: of the photographs, for the card.

    Raises:
        OccluposeError: there is nobody to train on or for the calibration; as `TrainingRun.fit`.
    """
    for split in ("train", "calibration"):
        people = data.people(split)
        if not len(people.labels.box) or not people.has_synthetic():
            wrong = f"{len(people.labels.box)} people in the photographs for {split}, {len(people.scenes)} scenes"
            raise OccluposeError(f"{data.photographs}: {wrong}; give more photographs with people, or more scenes")
    with opencv_on_one_thread():
        return run.fit(MoveNetTask(recipe, data, credit))
