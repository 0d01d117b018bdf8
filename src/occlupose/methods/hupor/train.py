"""HUPOR's training (arXiv 2208.00090): a detector of what is visible; then, beside it, a reasoner that learns from the
labels alone.

What the reasoner learns never reaches the detector: it is given true maps of visible joints, or the detector's as they
are.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from rich.progress import track
from torch import Generator, Tensor, nn

from occlupose.codecs.multi_person import KERNELS, JointSubset, MultiPersonMaps, TargetMaps, limb_mask
from occlupose.datasets.bottomup import CACHE_BYTES, RANDOM_NUMBERS, BottomUpBatch, ImageCache, make_batch
from occlupose.datasets.image_samples import ImageSample
from occlupose.errors import OccluposeError
from occlupose.methods.hupor import weights
from occlupose.methods.hupor.labels import relabel
from occlupose.methods.hupor.losses import (
    AnnotationMask,
    PoseMaps,
    distillation_weight,
    level_weight,
    maps_loss,
    torso_loss,
)
from occlupose.methods.hupor.network import TORSO_DEPTH_HEAD, HUPORNetwork, add_maps
from occlupose.methods.hupor.predict import HUPORPredictor
from occlupose.methods.hupor.recipe import HUPORRecipe, TargetSet
from occlupose.methods.hupor.refine import RefinePairs, RefineRecipe, match_people, train_refine
from occlupose.networks.dsed import DSED
from occlupose.networks.mspn import LEVELS, Heads
from occlupose.threads import opencv_on_one_thread
from occlupose.training import card
from occlupose.training.distributed import Process
from occlupose.training.loop import Terms, claim_run_folder, fingerprint, train

THREADS = 4
"""That read pictures."""

TEACHER_KERNEL = 3
"""Kernel of the maps that the teacher is shown, as in the published code."""


class HUPORSampler:
    """Batches of pictures, drawn evenly from those with depth and from those without, each kind its share of a batch,
    and varied.

    Pictures that cannot be read are left out, and others of their kind take their places; `unreadable` names them.

    Arguments:
        pictures: whether the detector is shown anything; otherwise batches are of labels alone, and samples
            may be without pictures.
        strict: an unreadable picture ends the training.
        memory: bytes of decoded pictures that are kept, so that they are not read again.
    """

    def __init__(
        self,
        image_samples: Sequence[ImageSample],
        recipe: HUPORRecipe,
        *,
        pictures: bool = True,
        strict: bool = False,
        memory: int = CACHE_BYTES,
        threads: int = THREADS,
    ) -> None:
        self.samples = image_samples
        self.recipe = recipe
        self.pictures = pictures
        self.strict = strict
        self.unreadable: dict[str, str] = {}
        deep = np.array([sample.has_depth for sample in image_samples], bool)
        if deep.any():
            deep |= np.array([not len(sample) for sample in image_samples], bool)  # nobody's depth is unknown
        self._deep = np.flatnonzero(deep)
        self._flat = np.flatnonzero(~deep)
        self._cache = ImageCache(memory)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="pictures")

    def draw(self, generator: Generator) -> BottomUpBatch:
        """The batch of a step."""
        recipe = self.recipe
        even = torch.rand(recipe.batch, RANDOM_NUMBERS, dtype=torch.float64, generator=generator).numpy()
        numbers = self._chosen(generator)
        if not self.pictures:
            return make_batch(
                [self.samples[number] for number in numbers], None, recipe.design.box, recipe.augmentation, even
            )
        found = list(self._workers.map(self._readable, numbers))
        image_samples = [sample for sample, _ in found]
        images = [image for _, image in found]
        return make_batch(image_samples, images, recipe.design.box, recipe.augmentation, even)

    def _chosen(self, generator: Generator) -> list[int]:
        """Numbers of a batch's samples: first those with depth, then those without."""
        count = self.recipe.batch
        flat = round(self.recipe.flat * count) if len(self._flat) and len(self._deep) else count * bool(len(self._flat))
        kinds = ((self._deep, count - flat), (self._flat, flat))
        chosen = [torch.randint(max(len(kind), 1), (many,), generator=generator).numpy() for kind, many in kinds]
        return [number for (kind, _), which in zip(kinds, chosen, strict=True) for number in kind[which].tolist()]

    def _readable(self, number: int) -> tuple[ImageSample, np.ndarray]:
        """The sample of this number and its picture, or the next of its kind whose picture can be read.

        Raises:
            OccluposeError: no picture of its kind can be read; or this one, where that is an error.
        """
        kind = self._deep if number in self._deep else self._flat
        first = int(np.searchsorted(kind, number))
        for step in range(len(kind)):
            sample = self.samples[kind[(first + step) % len(kind)]]
            assert sample.image is not None
            name = str(sample.image)
            if name in self.unreadable:
                continue
            try:
                return sample, self._cache.read(sample.image, sample.size)
            except OccluposeError as error:
                if self.strict:
                    raise
                self.unreadable[name] = str(error)
        depth = "with" if kind is self._deep else "without"
        wrong = f"cannot be read, nor can any other picture {depth} depth"
        raise OccluposeError(f"{self.samples[number].image}: {wrong}; give the dataset's own pictures")


class HUPORTraining(nn.Module):
    """HUPOR in training: it says how wrong it is about a batch.

    Arguments:
        steps: of the whole training.
    """

    step: Tensor
    """Batches that were learnt from; in the checkpoint like the weights."""

    def __init__(self, networks: HUPORNetwork, recipe: HUPORRecipe, steps: int) -> None:
        super().__init__()
        self.networks = networks
        self.recipe = recipe
        self.steps = steps
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        if not recipe.detector:
            networks.detector.requires_grad_(False)

    def train(self, mode: bool = True) -> "HUPORTraining":
        """A detector that does not learn stays as it is used."""
        super().train(mode)
        if not self.recipe.detector:
            self.networks.detector.eval()
        return self

    def forward(self, batch: BottomUpBatch) -> Terms:
        """The terms of the loss: L_det, and L_reason once the reasoner learns (supplement 2.1)."""
        done = self.recipe.reasons(self.step.item() / self.steps)
        self.step += 1
        terms: Terms = {}
        truth = TargetMaps(self.networks.codec, batch.people)
        detected: PoseMaps | None = None
        if self.recipe.detector:
            assert batch.images is not None, "a detector learns from pictures"
            found = self.networks.detect(batch.images)
            terms |= detection_loss(self.networks, found, batch, truth, self.recipe.something)
            with torch.no_grad():
                detected = self.networks.visible(found)
        if self.networks.reasoner is not None:
            terms |= self._reasoning(batch, truth, detected, done)
        return terms

    def _reasoning(
        self, batch: BottomUpBatch, truth: TargetMaps, detected: PoseMaps | None, done: float | None
    ) -> Terms:
        """L_reason; nothing, before the reasoner learns."""
        if done is None:
            zero = torch.zeros((), device=batch.people.xy.device)
            return {"hidden": zero, "all": zero, "distillation": zero}
        reasoner = self.networks.reasoner
        assert reasoner is not None
        given = self._given(batch, truth, detected)
        terms: Terms = {}
        if isinstance(reasoner, DSED):
            taught = reasoner.distil(
                given, self.networks.channels(target_maps(truth, self.recipe.shown, TEACHER_KERNEL))
            )
            said = taught.hidden
            compared = taught.distances[:, [block - 1 for block in self.recipe.blocks]].sum()
            terms["distillation"] = distillation_weight(done, self.recipe.distillation, self.recipe.rising) * compared
        else:
            said = reasoner(given)
            terms["distillation"] = torch.zeros((), device=given.device)
        told = reasoning_loss(
            self.networks, said, batch, truth, supervised=self.recipe.supervised, something=self.recipe.something
        )
        return told | terms

    @torch.no_grad()
    def _given(
        self, batch: BottomUpBatch, truth: TargetMaps, detected: PoseMaps | None
    ) -> Float[Tensor, "batch 57 y x"]:
        """What the reasoner is given of each picture: true maps of what is visible, of any kernel, or the
        detector's.
        """
        given = self.networks.channels(target_maps(truth, "visible", int(torch.randint(len(KERNELS), ()))))
        instead = (torch.rand(len(given)) < self.recipe.mixed).to(given.device)
        if batch.images is None or not instead.any():
            return given
        if detected is None:
            given[instead] = self.networks.channels(self.networks.visible(self.networks.detect(batch.images[instead])))
        else:
            given[instead] = self.networks.channels(detected)[instead]
        return given


def detection_loss(
    networks: HUPORNetwork, found: list[list[Heads]], batch: BottomUpBatch, truth: TargetMaps, something: float = 1.0
) -> Terms:
    """L_det: what every stage and level of the detector says of what is visible; `something` as of `maps_loss`."""
    cells, depth = networks.codec.depths(batch.people, "visible")
    known = annotation_mask(networks.codec, batch)
    maps = []
    torso = []
    for number, stage in enumerate(found):
        for level, kernel in enumerate(level_kernels(number == len(found) - 1)):
            said = networks.of_heads(stage[level])
            weight = level_weight(level)
            true = target_maps(truth, "visible", kernel)
            maps.append(weight * maps_loss(said, true, known, finest=level == 0, something=something))
            torso.append(weight * torso_loss(stage[level][TORSO_DEPTH_HEAD].float(), cells, depth))
    return {"visible": torch.stack(maps).sum(), "torso": torch.stack(torso).sum()}


def reasoning_loss(
    networks: HUPORNetwork,
    said: list[list[Tensor]],
    batch: BottomUpBatch,
    truth: TargetMaps,
    *,
    supervised: TargetSet = "both",
    something: float = 1.0,
) -> Terms:
    """L_reason without distillation: what every stage and level of the reasoner says of what is hidden; and of
    everything, what is visible being added as it is (with the Gaussians of that level; ours)."""
    known = annotation_mask(networks.codec, batch)
    of_hidden = list[Tensor]()
    of_all = list[Tensor]()
    for number, stage in enumerate(said):
        for level, kernel in enumerate(level_kernels(number == len(said) - 1)):
            hidden = networks.maps(stage[level].float())
            weight = level_weight(level)
            whole = add_maps(target_maps(truth, "visible", kernel), hidden)
            of: tuple[tuple[JointSubset, PoseMaps, list[Tensor]], ...] = (
                ("hidden", hidden, of_hidden),
                ("all", whole, of_all),
            )
            for part, found, terms in of:
                true = target_maps(truth, part, kernel)
                terms.append(weight * maps_loss(found, true, known, finest=level == 0, something=something))
    both = float(supervised == "both")
    return {"hidden": both * torch.stack(of_hidden).sum(), "all": torch.stack(of_all).sum()}


def level_kernels(last: bool) -> list[int]:
    """Numbers of the kernels that a stage's levels learn, the finest level first: from coarse to fine, those of the
    last stage finer.
    """
    return [LEVELS - 1 - level + last for level in range(LEVELS)]


def target_maps(truth: TargetMaps, part: JointSubset, kernel: int) -> PoseMaps:
    """What a level should say."""
    return PoseMaps(truth.heatmaps(part, kernel), truth.fields(part, kernel))


def annotation_mask(codec: MultiPersonMaps, batch: BottomUpBatch) -> AnnotationMask:
    """What a batch's annotations say: of limbs' depths, where both ends' are known of everybody."""
    sources, targets = codec.limbs
    ways = batch.annotated[:, sources] & batch.annotated[:, targets]
    unknown = limb_mask(batch.people.state, sources, targets, "all") & ~(
        batch.people.z[..., sources].isfinite() & batch.people.z[..., targets].isfinite()
    )
    deep = ways & batch.has_depth[:, None] & ~unknown.any(1)
    return AnnotationMask(*(mask.float() for mask in (batch.annotated, ways, deep)))


def train_hupor(
    image_samples: Sequence[ImageSample],
    folder: Path,
    recipe: HUPORRecipe,
    *,
    start: Path | None = None,
    strict: bool = False,
    memory: int = CACHE_BYTES,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    say: Callable[[str], None] = print,
    places: Mapping[Path | None, str] | None = None,
    **described: object,
) -> Path:
    """Trains detector and reasoner; returns the weights file.

    Arguments:
        image_samples: whom to learn from, of all datasets together.
        folder: gets last.pt, log.csv, NAME.safetensors and its card NAME.json; where bodies say what is hidden,
            labels.safetensors too.
        start: weights to begin with, of the same networks, or of a detector alone.
        strict: a picture that cannot be read ends the training; otherwise it is left out and named at the end.
        memory: bytes of decoded pictures that are kept.
        resume: go on where the folder's run was stopped; the result is that of an uninterrupted run.
        say: is told in a line who is learnt from, and what was left out.
        places: names for further paths in the command line, which the card shows.
        described: what else the card says; `data` and `licence` of the pictures.

    Raises:
        OccluposeError: nobody to learn from, pictures that are missing, starting weights of another network; what
            `training.loop.train` refuses.
    """
    if (
        processes := Process.current().world_size
    ) > 1:  # they would wait for gradients of a reasoner that does not learn yet
        raise OccluposeError(f"hupor: is trained by one process, not by {processes}; begin it without torchrun")
    shows = recipe.detector or recipe.mixed > 0
    image_samples = [sample for sample in image_samples if sample.image is not None or not shows]
    if not image_samples:
        raise OccluposeError(
            "data: no picture to learn from; give a dataset with pictures, or learn the reasoner alone from labels"
        )
    if not recipe.detector and start is None and recipe.mixed > 0:
        raise OccluposeError("detector: cannot stay as it is without weights; give some to start with")
    claim_run_folder(folder, resume=resume)
    if recipe.labels != "dataset":
        image_samples = relabel(image_samples, recipe.labels, keep=folder / "labels.safetensors", progress=progress)
    torch.manual_seed(recipe.seed)
    networks = HUPORNetwork(recipe.design)
    begun = (
        {}
        if start is None
        else {
            "begun_with": weights.load_initial_weights(networks, start),
            "sha256": hashlib.sha256(start.read_bytes()).hexdigest(),
        }
    )
    plan = recipe.optimisation(len(image_samples))
    people = sum(len(sample) for sample in image_samples)
    with_depth = sum(sample.has_depth for sample in image_samples)
    say(f"{recipe.name}: learns from {people} people in {len(image_samples)} pictures, {with_depth} with depth")
    course = HUPORTraining(networks, recipe, plan.steps).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    samples = HUPORSampler(image_samples, recipe, pictures=shows, strict=strict, memory=memory)
    learnt = fingerprint(part for sample in image_samples for part in _told(sample))
    with opencv_on_one_thread():
        average = train(
            course,
            samples.draw,
            lambda course, batch: course(batch),
            plan,
            folder,
            parameter_groups=_groups,
            recipe=(recipe, begun, learnt),
            seed=recipe.seed,
            resume=resume,
            device=device,
            progress=progress,
        )
    path = folder / f"{recipe.name}.safetensors"
    networks.load_state_dict(
        {name.removeprefix("networks."): value for name, value in average.items() if name.startswith("networks.")}
    )
    weights.save(weights.TrainedHUPOR(networks), path)
    card.write(
        path,
        {**(places or {}), folder: "FOLDER", start: "WEIGHTS"},
        name=recipe.name,
        task="picture to everybody in it, MPI15, metres",
        parameters=sum(value.numel() for value in networks.parameters()),
        **({"metrics": {}} | described),
        pictures=len(image_samples),
        people=people,
        recipe=asdict(recipe) | {"max_grad_norm": recipe.max_grad_norm if isfinite(recipe.max_grad_norm) else None},
        **begun,
    )
    _left_out(list(samples.unreadable.values()), say)
    return path


def _left_out(reasons: Sequence[str], say: Callable[[str], None]) -> None:
    """Says which pictures could not be read."""
    for reason in reasons[:3]:
        say(reason)
    if reasons:
        say(f"pictures that could not be read, left out: {len(reasons)}")


def collect_pairs(
    hupor: HUPORPredictor,
    image_samples: Iterable[ImageSample],
    *,
    published: bool = False,
    unreadable: list[str] | None = None,
) -> RefinePairs:
    """What networks find of the people of pictures, and the truth, for a RefineNet.

    Arguments:
        image_samples: those without a picture or a camera are passed over.
        published: as of `refine.inputs`.
        unreadable: gets why pictures could not be read, which are left out; None is an error.

    Raises:
        OccluposeError: a picture cannot be read; nobody was found.
    """
    parts = []
    for sample in image_samples:
        if sample.image is None or sample.camera is None:
            continue
        try:
            image = sample.image.read(sample.size)
        except OccluposeError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
            continue
        found = hupor(image, sample.camera)
        parts.append(match_people(found, sample, published=published))
    if not sum(map(len, parts)):
        raise OccluposeError(
            f"{hupor.name}: finds nobody of the data in its place, so that nothing can be refined; train it longer"
        )
    return RefinePairs.of(parts)


def train_refiner(
    path: Path,
    image_samples: Sequence[ImageSample],
    folder: Path,
    recipe: RefineRecipe,
    *,
    seed: int = 0,
    strict: bool = False,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
    say: Callable[[str], None] = print,
    places: Mapping[Path | None, str] | None = None,
    **described: object,
) -> Path:
    """Adds a RefineNet to the networks of a weights file, in place of one that it may have; returns the new file, of
    the same name, in the folder.

    Arguments:
        path: weights of `train_hupor`.
        image_samples: pictures with depth that the networks learnt from.
        folder: gets last.pt, log.csv, the weights file and its card.
        strict: a picture that cannot be read ends it; otherwise it is left out and named at the end.
        say: is told in lines what was left out.
        described: what else the card says.

    Raises:
        OccluposeError: as `weights.load`, `collect` and `refine.train_refine`.
    """
    trained = replace(weights.load(path), refiner=None, refinement=None)
    claim_run_folder(folder, resume=resume)
    shown = track(image_samples, "looking at pictures", disable=not progress)
    unreadable = list[str]()
    hupor = HUPORPredictor(trained, device=device, name=path.name)
    learnt = collect_pairs(hupor, shown, published=recipe.published, unreadable=None if strict else unreadable)
    refiner = train_refine(learnt, folder, recipe, resume=resume, seed=seed, device=device, progress=progress)
    output = folder / path.name
    weights.save(replace(trained, networks=trained.networks.cpu(), refiner=refiner.cpu(), refinement=recipe), output)
    card.write(
        output,
        {**(places or {}), folder: "FOLDER", path: "WEIGHTS"},
        name=path.stem,
        task="picture to everybody in it, MPI15, metres",
        parameters=sum(value.numel() for part in (trained.networks, refiner) for value in part.parameters()),
        **({"metrics": {}} | described),
        pairs=len(learnt),
        refinement=asdict(recipe),
        seed=seed,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    _left_out(unreadable, say)
    return output


def _told(sample: ImageSample) -> Iterator[np.ndarray]:
    """All that is learnt of a sample, but for what its picture shows."""
    camera = sample.camera
    lens = () if camera is None else (camera.fx, camera.fy, camera.cx, camera.cy)
    yield from (sample.xy, sample.z, sample.state, sample.annotated, np.array([*sample.size, *lens], np.float64))
    yield np.frombuffer(("" if sample.image is None else sample.image.name).encode(), np.uint8)


def _groups(network: nn.Module) -> list[dict[str, list[nn.Parameter]]]:
    """Parameters that learn."""
    return [{"params": [parameter for parameter in network.parameters() if parameter.requires_grad]}]
