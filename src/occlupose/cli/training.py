"""Commands that train networks."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from occlupose.cli.evaluate import keypoint_command
from occlupose.cli.options import AS_LJOF, NO_OVERRIDES, Device, LJOFOptions, RecipeOverrides
from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    from occlupose.datasets.annotations import Annotations
    from occlupose.datasets.discovery import ImageDataset
    from occlupose.datasets.images import ImageRef

Mocap = Annotated[Path, arg(metavar="FOLDER")]
Output = Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
InitialWeights = Annotated[Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: random)")]
GiB = Annotated[float, arg(metavar="GIB")]


def _oanet_recipe() -> Any:
    from tyro.extras import subcommand_type_from_defaults

    from occlupose.methods.oanet.train import RECIPES

    return subcommand_type_from_defaults(RECIPES)


def _keypoints_recipe() -> type:
    from occlupose.methods.oanet.keypoints import KeypointRecipe

    return KeypointRecipe


def _ssf_recipe() -> Any:
    from tyro.extras import subcommand_type_from_defaults

    from occlupose.methods.hupor.ssf.recipe import RECIPES

    return subcommand_type_from_defaults(RECIPES)


def _hupor_recipe() -> Any:
    from tyro.extras import subcommand_type_from_defaults

    from occlupose.methods.hupor.recipe import RECIPES

    return subcommand_type_from_defaults(RECIPES)


def _refine_recipe() -> type:
    from occlupose.methods.hupor.refine import RefineRecipe

    return RefineRecipe


def train_keypoints(
    annotations: Annotated[Path, arg(metavar="FILE")],
    images: Annotated[Path, arg(metavar="FOLDER")],
    output: Output,
    recipe: Annotated[Any, arg(constructor_factory=_keypoints_recipe)],
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train OANet's 2D keypoint network on your own annotated images; occluded joints get a low confidence.

        occlupose train keypoints --annotations people.json --images images -o run

    Args:
        annotations: COCO keypoint annotations, with v of each joint: 2 visible, 1 occluded, 0 not annotated.
        images: Folder of the annotated images.
        output: Folder for checkpoint, log, weights and card.
        recipe: Configuration of the training.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.methods.oanet.keypoints import train_keypoints
    from occlupose.training.run import TrainingRun

    run = TrainingRun(output, resume=resume, device=device, places={annotations: "ANNOTATIONS", images: "IMAGES"})
    weights = train_keypoints(annotations, images, recipe, run)
    print(f"{weights}: weights and card written; use them with occlupose run --frontend {weights}")


def train_oanet(
    mocap: Mocap,
    output: Output,
    recipe: Annotated[Any, arg(constructor_factory=_oanet_recipe)],
    video: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: none)")] = None,
    init_from: InitialWeights = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train OANet's temporal networks (the lifter): as the shipped ones, or as in the paper, where each part can be
    switched off for comparison.

        occlupose train oanet --mocap mocap -o runs/lifter --device cuda recipe:shipped
        occlupose train oanet --mocap mocap -o run recipe:paper --recipe.no-occlusion-aware

    Args:
        mocap: Folder of the CMU motion capture, with cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: Folder for checkpoints, logs, weights and card.
        recipe: Configuration of the training.
        video: Folder of poses files, as occlupose run writes them, for training on 2D poses without 3D (recipe:paper).
        init_from: Initial weights, as train oanet writes them.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.methods.oanet import train
    from occlupose.training.run import TrainingRun

    places = {mocap: "MOCAP", video: "VIDEO"}
    run = TrainingRun(output, resume=resume, device=device, init_from=init_from, places=places)
    weights = train.train_oanet(mocap, recipe, run, video=video)
    print(f"{weights}: weights and card written; use them with occlupose run --weights {weights}")


def train_ljof(
    data: Annotated[Path, arg(metavar="FOLDER")],
    output: Output,
    model: Annotated[str, arg(metavar="NAME")] = "hrnet_w32",
    annotations: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint="(default: those of the training split)")
    ] = None,
    init_from: InitialWeights = None,
    holdout: Annotated[tuple[Path, ...], arg(metavar="FOLDERS|FILES", help_behavior_hint="(default: none)")] = (),
    ljof: Annotated[LJOFOptions, OmitArgPrefixes] = AS_LJOF,
    overrides: Annotated[RecipeOverrides, OmitArgPrefixes] = NO_OVERRIDES,
    image_cache_gib: GiB = 1.0,
    strict: bool = False,
    seed: int = 0,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train a 2D estimator to be robust to occlusion: its published recipe with LJOF's limb joint augmentation and
    structure loss.

        occlupose train ljof --data coco -o run --model hrnet_w48 --device cuda
        torchrun --nproc-per-node 2 -m occlupose train ljof --data coco -o run

    Args:
        data: Folder of COCO, CrowdPose or OCHuman as published, or of occlupose synth.
        output: Folder for checkpoint, log, weights and card.
        model: simple_baseline_r50, _r101 or _r152, hrnet_w32 or _w48, vitpose_s, _b or _l, srpose_w32;
            simple_baseline_small and hrnet_small for machines without a GPU.
        annotations: Annotations to use instead of those of the training split.
        init_from: Initial weights, as convert checkpoint or train ljof writes them.
        holdout: Folders of test images, or annotation files if one folder has all images. Reports which test images are
            in the training data too, also as copies that were scaled or mirrored.
        ljof: What LJOF adds to the recipe.
        overrides: Changes to the published recipe.
        image_cache_gib: Memory for decoded images, so that they are read only once.
        strict: Stop at the first invalid person or image; otherwise they are left out, counted and listed.
        seed: Seed of all random numbers.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from dataclasses import replace

    from rich.console import Console

    from occlupose.cli.terminal import check_folder, check_seed, print_warnings
    from occlupose.datasets import discovery
    from occlupose.datasets.formats import coco
    from occlupose.methods.ljof.recipe import published
    from occlupose.methods.ljof.train import train_estimator
    from occlupose.training.distributed import Process

    cache_bytes = _cache_bytes(image_cache_gib)
    check_seed(seed)
    check_folder(output.absolute())
    recipe = replace(overrides.apply(ljof.apply(published(model))), seed=seed)
    files = discovery.find_dataset(data, "train", annotations)
    dataset = coco.load(files.annotations, files.images, strict=strict)
    is_main = Process.current().is_main
    if is_main:
        print_warnings(Console(stderr=True), dataset.report.lines())
        _report_leaks(dataset, holdout, strict)
    weights = train_estimator(
        dataset,
        output,
        recipe,
        init_from=init_from,
        strict=strict,
        cache_bytes=cache_bytes,
        resume=resume,
        device=device,
        places={data: "DATA", annotations: "ANNOTATIONS", **dict.fromkeys(holdout, "HOLDOUT")},
    )
    if is_main:
        command = f"occlupose {keypoint_command(dataset.ground_truth.dataset)} --data {data} --frontend {weights}"
        print(f"{weights}: weights and card written; score them with {command}")


MAX_LISTED = 10
"""Leaked images that are listed by name."""


def _report_leaks(data: "Annotations", holdout: tuple[Path, ...], strict: bool) -> None:
    """Prints which test images are in the training data, also as copies.

    Raises:
        OccluposeError: no such images; or there are leaks and `strict` is set.
    """
    from occlupose.datasets.leakage import find_leaks, hash_images

    images_of = {path: _holdout_images(path) for path in holdout}
    if not images_of:
        return
    training_images = {person.image for person in data.people}
    trained = hash_images(sorted(training_images, key=str))
    for path, images in images_of.items():
        tested = hash_images(image for image in images if image not in training_images)
        leaks = {leak.second: leak for leak in find_leaks(trained, tested)}
        for line in (trained.unreadable + tested.unreadable)[:MAX_LISTED]:
            print(line)
        for leak in list(leaks.values())[:MAX_LISTED]:
            print(f"{leak.second}: {leak.kind} as {leak.first} of the training data")
        same = sum(image in training_images for image in images)
        clean = len(tested.images) - len(leaks)
        print(f"{path}: images in the training data: {same}; with a copy in it: {len(leaks)}; in neither way: {clean}")
        if strict and (leaks or same):
            wrong = f"images that are in the training data too: {same + len(leaks)}"
            raise OccluposeError(f"{path}: {wrong}; leave them out, or train without --strict")


def _holdout_images(path: Path) -> list["ImageRef"]:
    """The images of a folder, or of an annotation file.

    Raises:
        OccluposeError: there are none.
    """
    from occlupose.datasets import discovery
    from occlupose.datasets.formats import coco
    from occlupose.datasets.images import ImageIndex

    if path.suffix.lower() == ".json":
        index = ImageIndex(discovery.find_dataset(path.parent, annotations=path).images)
        found = [index.find(image.name) for image in coco.load_ground_truth(path).images.values()]
        images = [image for image in found if image is not None]
    else:
        images = ImageIndex(path).all()
    if not images:
        wrong = "no image in it" if path.exists() else "no such folder"
        raise OccluposeError(f"{path}: {wrong}; give folders of test images or shards, or annotation files")
    return images


def train_poses(
    mocap: Mocap,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    seed: int = 0,
) -> None:
    """Fit the pose prior of synthetic people: a Gaussian mixture over motion-capture poses.

    Args:
        mocap: Folder of the CMU motion capture, with cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: .safetensors file to write; its card is written beside it.
        seed: Seed of the clustering.
    """
    from occlupose.datasets.formats import cmu
    from occlupose.synth.pose_prior import PosePrior, pose_to_vector, retarget
    from occlupose.training import card

    clips = cmu.split_clips(cmu.load_clips(mocap))
    training = retarget(clips[0])
    validation = retarget(clips[1])
    PosePrior.fit(pose_to_vector(training.pose), seed=seed).save(output, {"data": cmu.CARD_DATA})
    parts = {"training": training, "validation": validation}
    errors = {name: round(1000 * float(part.error.mean()), 1) for name, part in parts.items()}
    card.write(
        output,
        {mocap: "<mocap>", output: f"<{output.name}>"},
        name="poses",
        task="poses of people, to draw from",
        licence="Apache-2.0",
        data=cmu.CARD_DATA,
        metrics={"poses": len(training.pose), "retargeting error, mm": errors},
    )
    print(f"{output}: pose prior and card written")


def train_ssf(
    output: Output,
    recipe: Annotated[Any, arg(constructor_factory=_ssf_recipe)],
    mocap: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: the shipped poses)")] = None,
    resume: bool = False,
) -> None:
    """Train SSF, which fits bodies to skeletons and masks for occlusion labels, on synthetic people. Runs on the CPU.

        occlupose train ssf -o runs/ssf recipe:small

    Args:
        output: Folder for synthetic people, checkpoint, log, weights and card.
        recipe: Configuration of the training.
        mocap: Folder of the CMU motion capture, with cmu/NN/NN_MM.amc and cmu/NN/NN.asf, for the poses.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
    """
    from occlupose.methods.hupor.ssf import train

    weights = train.train_to_file(output, recipe, mocap=mocap, resume=resume)
    print(f"{weights}: weights and card written")


def train_hupor(
    data: Annotated[tuple[Path, ...], arg(metavar="FOLDERS|FILES")],
    output: Output,
    recipe: Annotated[Any, arg(constructor_factory=_hupor_recipe)],
    init_from: InitialWeights = None,
    image_cache_gib: GiB = 2.0,
    strict: bool = False,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train HUPOR: a network that detects the visible joints of all people, and one that infers occluded joints.

        occlupose train hupor --data people coco -o runs/hupor recipe:small

    Args:
        data: Datasets: occlupose synth, MuCo-3DHP, COCO, Human3.6M with images, or SMAP's format. If some have depth
            and others do not, half of each batch comes from those without.
        output: Folder for checkpoint, log, weights and card.
        recipe: Configuration of the training.
        init_from: Initial weights, of the detector alone or of all networks.
        image_cache_gib: Memory for decoded images, so that they are read only once.
        strict: Stop at the first image that cannot be read, instead of leaving it out.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.cli.terminal import check_folder
    from occlupose.methods.hupor.train import train_hupor as train

    cache_bytes = _cache_bytes(image_cache_gib)
    check_folder(output.absolute())
    datasets = _load_datasets(data, strict)
    samples = [sample for dataset in datasets for sample in dataset.samples]
    weights = train(
        samples,
        output,
        recipe,
        init_from=init_from,
        strict=strict,
        cache_bytes=cache_bytes,
        resume=resume,
        device=device,
        places=_card_names(data),
        **_card_fields(datasets),
    )
    print(f"{weights}: weights and card written; use them with occlupose run --method hupor --weights {weights}")


def train_refine(
    weights: Annotated[Path, arg(metavar="FILE")],
    data: Annotated[tuple[Path, ...], arg(metavar="FOLDERS|FILES")],
    output: Output,
    recipe: Annotated[Any, arg(constructor_factory=_refine_recipe)],
    max_images: Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: all)")] = None,
    seed: int = 0,
    strict: bool = False,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train HUPOR's RefineNet on the output of HUPOR's networks for their training images, and add it to the weights.

        occlupose train refine --weights hupor.safetensors --data people -o run

    Args:
        weights: Weights written by train hupor.
        data: Training data of these weights, with depth.
        output: Folder for checkpoint, log, the new weights and their card.
        recipe: Configuration of the training.
        max_images: Use only the first images, up to this number.
        seed: Seed of all random numbers.
        strict: Stop at the first image that cannot be read, instead of leaving it out.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.cli.terminal import check_folder, check_seed
    from occlupose.methods.hupor.train import train_refiner

    check_seed(seed)
    if max_images is not None and max_images < 1:
        raise OccluposeError(f"max-images {max_images}: must be 1 or more")
    check_folder(output.absolute())
    datasets = _load_datasets(data, strict)
    samples = [sample for dataset in datasets for sample in dataset.samples][:max_images]
    path = train_refiner(
        weights,
        samples,
        output,
        recipe,
        seed=seed,
        strict=strict,
        resume=resume,
        device=device,
        places=_card_names(data),
        **_card_fields(datasets),
    )
    print(f"{path}: weights and card written; use them with occlupose run --method hupor --weights {path}")


def _cache_bytes(gib: float) -> int:
    """Bytes of an image cache. Raises OccluposeError for an impossible size."""
    if not 0 <= gib < inf:
        raise OccluposeError(f"image cache {gib:g}: not possible; give a number of GiB, 0 or more")
    return int(gib * 2**30)


def _load_datasets(folders: tuple[Path, ...], strict: bool) -> "list[ImageDataset]":
    """The datasets in these folders; prints what is to be known of each."""
    from occlupose.datasets.discovery import load_dataset

    datasets = [load_dataset(folder, strict=strict) for folder in folders]
    for dataset in datasets:
        for line in dataset.report.lines():
            print(line)
    return datasets


def _card_names(data: tuple[Path, ...]) -> dict[Path | None, str]:
    """Names for datasets in the command that a card shows."""
    return {folder: f"DATA{number or ''}" for number, folder in enumerate(data)}


def _card_fields(datasets: "list[ImageDataset]") -> dict[str, Any]:
    """Licence and data of a card."""
    ours = all(dataset.format == "synth" for dataset in datasets)
    origins = ["our own synthetic people" if dataset.format == "synth" else dataset.format for dataset in datasets]
    data = [f"{len(dataset.samples)} images of {origin}" for dataset, origin in zip(datasets, origins, strict=True)]
    return {"licence": "Apache-2.0" if ours else "that of its images and annotations", "data": data}


TRAIN: dict[str, Callable[..., None]] = {
    "oanet": train_oanet,
    "keypoints": train_keypoints,
    "ljof": train_ljof,
    "poses": train_poses,
    "ssf": train_ssf,
    "hupor": train_hupor,
    "refine": train_refine,
}
"""The commands of `occlupose train`."""
