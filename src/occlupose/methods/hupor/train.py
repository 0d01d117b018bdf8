"""HUPOR's training (arXiv 2208.00090): first the detector of visible joints, then detector and reasoner together.

No gradient flows from the reasoner to the detector: the reasoner's input is true maps of visible joints, or the
detector's maps without gradient.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from occlupose.codecs.multi_person import TargetMaps
from occlupose.datasets.augmentation import BottomUpBatch
from occlupose.datasets.formats.masks import MaskFolder
from occlupose.datasets.image_samples import ImageSample
from occlupose.datasets.images import CACHE_BYTES
from occlupose.errors import OccluposeError
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.labels import BodyLabels, label_with_networks, relabel
from occlupose.methods.hupor.losses import PoseMaps, level_weight, torso_loss
from occlupose.methods.hupor.network import TORSO_DEPTH_HEAD, HUPORNetwork, stack_channels
from occlupose.methods.hupor.pretraining import describe_start, parameter_groups, start_from_movenet
from occlupose.methods.hupor.reasoning import draw_reasoner_input, maps_losses, reasoner_terms
from occlupose.methods.hupor.recipe import HUPORRecipe
from occlupose.methods.hupor.sampler import BottomUpSampler, fingerprint_parts
from occlupose.methods.hupor.ssf import weights as ssf_weights
from occlupose.networks.mspn import Heads
from occlupose.threads import opencv_on_one_thread
from occlupose.training.distributed import Process, main_first
from occlupose.training.loop import Terms, fingerprint
from occlupose.training.run import TrainingRun, TrainingStage, TrainingTask, forward

TASK = "image to the people in it, MPI15 joints, metres"
"""Entry of the cards."""


class HUPORTraining(nn.Module):
    """The training module: from a batch to the terms of its loss.

    Arguments:
        steps: of the whole training.
    """

    step: Tensor
    """Batches so far; in the checkpoint like the weights."""

    def __init__(self, networks: HUPORNetwork, recipe: HUPORRecipe, steps: int) -> None:
        super().__init__()
        self.networks = networks
        self.recipe = recipe
        self.steps = steps
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        if not recipe.train_detector:
            networks.detector.requires_grad_(False)

    def train(self, mode: bool = True) -> "HUPORTraining":
        """Training mode; a detector that is not trained stays in evaluation mode."""
        super().train(mode)
        if not self.recipe.train_detector:
            self.networks.detector.eval()
        return self

    def forward(self, batch: BottomUpBatch) -> Terms:
        """The terms of the loss: L_det, and L_reason once the reasoner is trained (supplement 2.1)."""
        progress = self.recipe.reasoner_progress(self.step.item() / self.steps)
        self.step += 1
        terms: Terms = {}
        targets = TargetMaps(self.networks.codec, batch.people)
        detected: PoseMaps | None = None
        if self.recipe.train_detector:
            assert batch.images is not None, "a detector needs images"
            heads = self.networks.detect(batch.images)
            terms |= detection_loss(self.networks, heads, batch, targets, self.recipe)
            with torch.no_grad():
                detected = self.networks.visible_maps(heads)
        if self.networks.reasoner is not None:
            terms |= self._reasoning(batch, targets, detected, progress)
        return terms

    def _reasoning(
        self, batch: BottomUpBatch, targets: TargetMaps, detected: PoseMaps | None, progress: float | None
    ) -> Terms:
        """L_reason; 0 before the reasoner is trained."""
        if progress is None:
            zero = torch.zeros((), device=batch.people.xy.device)
            return {"hidden": zero, "all": zero, "distillation": zero}
        reasoner = self.networks.reasoner
        assert reasoner is not None
        images = batch.images

        def predict(rows: Bool[Tensor, " batch"]) -> Float[Tensor, "some 57 y x"]:
            """The detector's maps of these images."""
            if detected is not None:
                return stack_channels(detected)[rows]
            assert images is not None
            return stack_channels(self.networks.visible_maps(self.networks.detect(images[rows])))

        visible = draw_reasoner_input(targets, self.recipe, None if images is None else predict)
        return reasoner_terms(reasoner, visible, batch, targets, self.recipe, progress)


def detection_loss(
    networks: HUPORNetwork,
    heads: list[list[Heads]],
    batch: BottomUpBatch,
    targets: TargetMaps,
    recipe: HUPORRecipe,
) -> Terms:
    """L_det: maps of visible joints and depths of torso joints, at every stage and level."""
    cells, depth = networks.codec.depths(batch.people, "visible")
    visible = maps_losses(
        [[networks.maps_of_level(level) for level in stage] for stage in heads],
        batch,
        targets,
        "visible",
        weight=recipe.visible_weight,
        foreground_weight=recipe.foreground_weight,
    )
    torso = [
        level_weight(level) * torso_loss(of_level[TORSO_DEPTH_HEAD].float(), cells, depth)
        for stage in heads
        for level, of_level in enumerate(stage)
    ]
    return {"visible": visible, "torso": torch.stack(torso).sum()}


@dataclass(frozen=True)
class HUPORTask(TrainingTask):
    """Training of detector and reasoner."""

    samples: Sequence[ImageSample]
    recipe: HUPORRecipe
    sampler: BottomUpSampler
    described: Mapping[str, object]
    """Further entries of the card."""

    @property
    def people(self) -> int:
        """Number of people."""
        return sum(len(sample) for sample in self.samples)

    def about(self) -> str:
        with_depth = sum(sample.has_depth for sample in self.samples)
        images = f"{len(self.samples)} images, {with_depth} with depth"
        return f"{self.name}: trains on {self.people} people in {images}"

    def data(self) -> str:
        return fingerprint(part for sample in self.samples for part in fingerprint_parts(sample))

    def build(self) -> HUPORNetwork:
        network = HUPORNetwork(self.recipe.design)
        start_from_movenet(network)
        return network

    def load_initial_weights(self, network: nn.Module, path: Path) -> str:
        assert isinstance(network, HUPORNetwork)
        return weights.load_initial_weights(network, path)

    def stages(self, network: nn.Module) -> list[TrainingStage]:
        assert isinstance(network, HUPORNetwork)
        plan = self.recipe.optimisation(len(self.samples))
        training = HUPORTraining(network, self.recipe, plan.steps)
        training = training.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = partial(parameter_groups, pretrained_rate=self.recipe.pretrained_rate)
        return [TrainingStage(training, self.sampler.draw, forward, plan, parameter_groups=groups)]

    def save(self, network: nn.Module, path: Path) -> None:
        assert isinstance(network, HUPORNetwork)
        weights.save(weights.TrainedHUPOR(network), path)

    def describe(self, network: nn.Module) -> dict[str, object]:
        return {
            "task": TASK,
            **self.described,
            **describe_start(network),
            "pictures": len(self.samples),
            "people": self.people,
        }


def train_hupor(
    samples: Sequence[ImageSample],
    recipe: HUPORRecipe,
    run: TrainingRun,
    *,
    ssf: Path | None = None,
    masks: Path | None = None,
    cache_bytes: int = CACHE_BYTES,
    **described: object,
) -> Path:
    """Trains detector and reasoner; returns the weights file.

    Where fitted bodies make the occlusion labels, the run's folder gets them too, as labels.safetensors.

    Arguments:
        samples: of all datasets together.
        ssf: weights of `ssf.train` that fit the bodies to masks, for occlusion labels by fitted bodies; None fits them
            by optimisation.
        masks: folder of the people's masks (`formats.masks`), for the same.
        cache_bytes: size of the cache of decoded images, in bytes.
        described: further entries of the card; `data` and `licence` of the images.

    Raises:
        OccluposeError: no people or images to train on; networks or masks without labels by fitted
            bodies, or networks without masks; as `relabel` and `TrainingRun.fit`.
    """
    share = Process.current().share(recipe.batch)
    needs_images = recipe.train_detector or recipe.predicted_input_fraction > 0 or recipe.design.reasoner_image
    samples = [sample for sample in samples if sample.image is not None or not needs_images]
    if not samples:
        raise OccluposeError("data: no images; give a dataset with images, or train the reasoner alone from labels")
    if not recipe.train_detector and run.init_from is None and recipe.predicted_input_fraction > 0:
        raise OccluposeError("train_detector: an untrained detector would stay untrained; give initial weights")
    if recipe.occlusion_labels != "ssf" and (ssf or masks):
        wrong = f"occlusion_labels {recipe.occlusion_labels}: need neither networks nor masks"
        raise OccluposeError(f"{wrong}; leave out --ssf and --masks, or set occlusion_labels ssf in the recipe")
    if recipe.occlusion_labels != "dataset":
        cache = run.folder / "labels.safetensors"
        with main_first():
            bodies = _body_labels(samples, ssf, masks)
            samples = relabel(samples, recipe.occlusion_labels, bodies=bodies, cache=cache, progress=run.progress)
    sampler = BottomUpSampler(
        samples,
        recipe.design.letterbox,
        recipe.augmentation,
        recipe.batch,
        share=share,
        no_depth_fraction=recipe.no_depth_fraction,
        with_images=needs_images,
        images=run.images,
        cache_bytes=cache_bytes,
    )
    with opencv_on_one_thread():
        return run.fit(HUPORTask(samples, recipe, sampler, described))


def _body_labels(samples: Sequence[ImageSample], ssf: Path | None, masks: Path | None) -> BodyLabels:
    """Labels by bodies that are fitted by these networks, or by optimisation, to these masks, or to joints alone."""
    folder = None if masks is None else MaskFolder(masks)
    if ssf is not None and folder is None:
        raise OccluposeError(f"{ssf}: these networks need masks of the people; give --masks, or leave out --ssf")
    files = [] if folder is None else folder.find_all(samples)
    networks = None if ssf is None else ssf_weights.load(ssf)
    digest = hashlib.sha256(b"" if ssf is None else ssf.read_bytes())
    for path in files:
        status = path.stat()
        digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    identity = f" {digest.hexdigest()}" if folder is not None else ""
    if networks is None:
        return BodyLabels(masks=folder, identity=identity)
    return BodyLabels(label_with_networks(networks), folder, networks.input_type == "image", identity)
