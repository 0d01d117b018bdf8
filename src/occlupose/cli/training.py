"""Commands that train networks."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, arg

from occlupose.cli.options import AS_LJOF, AS_PUBLISHED, Device, LJOFOptions, RecipeOverrides

if TYPE_CHECKING:
    from occlupose.datasets.coco import Annotations
    from occlupose.datasets.image_datasets import ImageDataset
    from occlupose.datasets.images import ImageRef


def _lifter_recipe() -> type:
    from occlupose.methods.oanet.lifter.recipe import LifterRecipe

    return LifterRecipe


def _oanet_recipe() -> type:
    from occlupose.methods.oanet.recipe import OANetRecipe

    return OANetRecipe


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


def train_lifter(
    mocap: Path,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_lifter_recipe)],
    init_from: Annotated[Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: from nothing)")] = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train the lifter that ships, the 2D and 3D temporal networks, from the committed recipe.

    Args:
        mocap: folder with the CMU motion capture, cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: folder for checkpoint, log, weights and card.
        recipe: everything that the result depends on.
        init_from: initial weights.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from occlupose.methods.oanet.lifter import train

    weights = train.train_lifter(mocap, output, recipe, init_from=init_from, resume=resume, device=device)
    print(f"{weights}: weights written, their card beside them")


def train_keypoints(
    data: Annotated[Path, arg(metavar="FILE")],
    images: Annotated[Path, arg(metavar="FOLDER")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_keypoints_recipe)],
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train a 2D network of your own on annotated pictures, whose maps stay dark where a joint is hidden.

    Args:
        data: annotations in COCO's keypoint format, with v of each joint: 2 seen, 1 hidden, 0 not annotated.
        images: folder of their pictures.
        output: folder for checkpoint, log, weights and card.
        recipe: everything that the result depends on besides the pictures.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from occlupose.methods.oanet import keypoints

    weights = keypoints.train_keypoints(data, images, output, recipe, resume=resume, device=device)
    print(f"{weights}: weights written, their card beside them; use them with occlupose run --frontend {weights}")


def train_oanet(
    data: Annotated[Path, arg(metavar="FOLDER")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_oanet_recipe)],
    video: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: none)")] = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train OANet's temporal networks as the paper has them, every part of it to be switched, for comparisons.

    Args:
        data: folder with the CMU motion capture, cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: folder for checkpoints, logs, weights and card.
        recipe: everything that the result depends on.
        video: folder of poses files in 2D, as `occlupose run` writes them, to learn from without 3D.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from occlupose.methods.oanet import train

    weights = train.train_oanet(data, output, recipe, video=video, resume=resume, device=device)
    print(
        f"{weights}: weights written, their card beside them; score them with occlupose eval oanet --weights {weights}"
    )


def train_ljof(
    data: Annotated[Path, arg(metavar="FOLDER")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    model: Annotated[str, arg(metavar="NAME")] = "hrnet_w32",
    annotations: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint="(default: those of the training split)")
    ] = None,
    init_from: Annotated[Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: from nothing)")] = None,
    holdout: Annotated[tuple[Path, ...], arg(metavar="FOLDERS|FILES", help_behavior_hint="(default: none)")] = (),
    ljof: Annotated[LJOFOptions, OmitArgPrefixes] = AS_LJOF,
    overrides: Annotated[RecipeOverrides, OmitArgPrefixes] = AS_PUBLISHED,
    image_cache_gib: Annotated[float, arg(metavar="GIB")] = 1.0,
    strict: bool = False,
    seed: int = 0,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train a 2D estimator that sees through occlusion: its published recipe, with limb joint blocks and the structure
    loss (LJOF).

    Several processes train one network: torchrun --nproc-per-node 2 -m occlupose train ljof ...

    Args:
        data: folder of COCO, CrowdPose or OCHuman as their makers give them, or of occlupose synth.
        output: folder for checkpoint, log, weights and card.
        model: simple_baseline_r50, _r101 or _r152, hrnet_w32 or _w48, vitpose_s, _b or _l, srpose_w32;
            simple_baseline_small and hrnet_small for machines without a GPU.
        annotations: another file than that of the training split.
        init_from: initial weights, as occlupose convert checkpoint or train ljof write them.
        holdout: folders of test images, or their annotations where one folder has all images: reports which of them
            are in the training data too, as copies, scaled or mirrored.
        ljof: what LJOF adds.
        overrides: changes to the published recipe.
        image_cache_gib: memory for decoded images, which are then not read again.
        strict: stop at the first person or picture that is not as it should be; otherwise they are left out, counted
            and named.
        seed: of everything.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from dataclasses import replace
    from math import inf

    from rich.console import Console

    from occlupose.cli.terminal import check_folder, check_seed
    from occlupose.datasets import coco, discovery
    from occlupose.errors import OccluposeError
    from occlupose.methods.ljof.recipe import published
    from occlupose.methods.ljof.train import train_estimator
    from occlupose.training.distributed import Process

    if not 0 <= image_cache_gib < inf:
        raise OccluposeError(f"image cache {image_cache_gib:g}: not possible; give a number of GiB, 0 or more")
    check_seed(seed)
    check_folder(output.absolute())
    recipe = replace(overrides.apply(ljof.apply(published(model))), seed=seed)
    place = discovery.find_dataset(data, "train", annotations)
    known = coco.load(place.annotations, place.images, strict=strict)
    speaks = Process.current().is_main
    if speaks:
        warnings = Console(stderr=True)
        for line in known.report.lines():
            warnings.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
        _tell_leaks(known, holdout, strict)
    weights = train_estimator(
        known,
        output,
        recipe,
        init_from=init_from,
        strict=strict,
        memory=int(image_cache_gib * 2**30),
        resume=resume,
        device=device,
        places={data: "DATA", annotations: "ANNOTATIONS", **dict.fromkeys(holdout, "HOLDOUT")},
    )
    if speaks:
        scored = f"occlupose eval keypoints --data {data} --frontend {weights}"
        print(f"{weights}: weights written, their card beside them; score them with {scored}")


NAMED = 10
"""Pictures that are learnt from though they must not be, and are named."""


def _tell_leaks(data: "Annotations", unseen: tuple[Path, ...], strict: bool) -> None:
    """Says which pictures that must not be learnt from are, or look like some that are.

    Raises:
        OccluposeError: no such pictures; or there are leaks, and they are not to be.
    """
    from occlupose.datasets.leakage import find_leaks, hash_images
    from occlupose.errors import OccluposeError

    folders = {path: _pictures(path) for path in unseen}
    if not folders:
        return
    pictures_of = {person.image for person in data.people}
    learnt = hash_images(sorted(pictures_of, key=str))
    for folder, shown in folders.items():
        tested = hash_images(picture for picture in shown if picture not in pictures_of)
        found = {leak.second: leak for leak in find_leaks(learnt, tested)}
        for line in (learnt.unreadable + tested.unreadable)[:NAMED]:
            print(line)
        for leak in list(found.values())[:NAMED]:
            print(f"{leak.second}: {leak.kind} as {leak.first}, which is learnt from")
        same = sum(picture in pictures_of for picture in shown)
        unseen_ones = len(tested.images) - len(found)
        print(
            f"{folder}: pictures that are learnt from: {same}; with a copy that is learnt from: {len(found)}; unseen:"
            f" {unseen_ones}"
        )
        if strict and (found or same):
            wrong = f"pictures in it that are learnt from: {same + len(found)}"
            raise OccluposeError(f"{folder}: {wrong}; leave them out, or train without --strict")


def _pictures(unseen: Path) -> list["ImageRef"]:
    """Those of a folder, or those that a file of annotations is of.

    Raises:
        OccluposeError: there are none.
    """
    from occlupose.datasets import coco, discovery
    from occlupose.datasets.images import ImageIndex
    from occlupose.errors import OccluposeError

    if unseen.suffix.lower() == ".json":
        place = discovery.find_dataset(unseen.parent, annotations=unseen)
        shelf = ImageIndex(place.images)
        pictures = [
            found
            for image in coco.load_ground_truth(unseen).images.values()
            if (found := shelf.find(image.name)) is not None
        ]
    else:
        pictures = ImageIndex(unseen).all()
    if not pictures:
        wrong = "no picture in it" if unseen.exists() else "no such folder"
        raise OccluposeError(
            f"{unseen}: {wrong}; give folders of pictures or of shards, or annotations, of what must not be learnt from"
        )
    return pictures


def train_poses(
    mocap: Path,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    seed: int = 0,
) -> None:
    """Learn how people hold themselves, for synthetic people: a mixture of Gaussians over poses of motion capture.

    Args:
        mocap: folder with the CMU motion capture, cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: .safetensors file; its card goes beside it.
        seed: of the clusters.
    """
    from occlupose.datasets import cmu
    from occlupose.synth.pose_prior import PosePrior, pose_to_vector, retarget
    from occlupose.training import card

    training, validation = (retarget(clips) for clips in cmu.split_clips(cmu.load_clips(mocap)))
    PosePrior.fit(pose_to_vector(training.pose), seed=seed).save(output, {"data": cmu.CARD_DATA})
    errors = {
        name: round(1000 * float(part.error.mean()), 1)
        for name, part in (("training", training), ("validation", validation))
    }
    card.write(
        output,
        {mocap: "<mocap>", output: f"<{output.name}>"},
        name="poses",
        task="poses of people, to draw from",
        licence="Apache-2.0",
        data=cmu.CARD_DATA,
        metrics={"poses": len(training.pose), "retargeting error, mm": errors},
    )
    print(f"{output}: a prior of poses written, its card beside it")


def train_ssf(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_ssf_recipe)],
    mocap: Annotated[
        Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: the poses that are shipped)")
    ] = None,
    resume: bool = False,
) -> None:
    """Train the networks that fit bodies to skeletons and masks, for occlusion labels, on synthetic people. On the CPU.

    Args:
        output: folder for people, checkpoint, log, weights and card.
        recipe: everything that the result depends on.
        mocap: folder with the CMU motion capture, cmu/NN/NN_MM.amc and cmu/NN/NN.asf, that people hold themselves like.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
    """
    from occlupose.methods.hupor.ssf import train

    weights = train.train_to_file(output, recipe, mocap=mocap, resume=resume)
    print(f"{weights}: weights written, their card beside them")


def train_hupor(
    data: Annotated[tuple[Path, ...], arg(metavar="FOLDERS|FILES")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_hupor_recipe)],
    init_from: Annotated[Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: from nothing)")] = None,
    image_cache_gib: Annotated[float, arg(metavar="GIB")] = 2.0,
    strict: bool = False,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train HUPOR: a network that finds what is visible of everybody in a picture, and one that reasons about what is
    hidden.

    Args:
        data: datasets: of occlupose synth, MuCo-3DHP, COCO, Human3.6M with pictures, or in SMAP's form. With pictures
            that have depth and others that have none, half of each batch are such.
        output: folder for checkpoint, log, weights and card.
        recipe: everything that the result depends on besides the data.
        init_from: initial weights, also those of a detector alone.
        image_cache_gib: memory for decoded images, which are then not read again.
        strict: stop at the first picture that cannot be read, instead of leaving it out.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from math import inf

    from occlupose.cli.terminal import check_folder
    from occlupose.datasets.image_datasets import load
    from occlupose.errors import OccluposeError
    from occlupose.methods.hupor.train import train_hupor as train

    if not 0 <= image_cache_gib < inf:
        raise OccluposeError(f"image cache {image_cache_gib:g}: not possible; give a number of GiB, 0 or more")
    check_folder(output.absolute())
    found = [load(folder, strict=strict) for folder in data]
    _tell_problems(found)
    crowds = [crowd for each in found for crowd in each.samples]
    weights = train(
        crowds,
        output,
        recipe,
        init_from=init_from,
        strict=strict,
        memory=int(image_cache_gib * 2**30),
        resume=resume,
        device=device,
        places=_named(data),
        **_described(found),
    )
    print(
        f"{weights}: weights written, their card beside them; use them with occlupose run --method hupor --weights"
        f" {weights}"
    )


def train_refine(
    weights: Annotated[Path, arg(metavar="FILE")],
    data: Annotated[tuple[Path, ...], arg(metavar="FOLDERS|FILES")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_refine_recipe)],
    pictures: Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: all)")] = None,
    seed: int = 0,
    strict: bool = False,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train HUPOR's RefineNet on what its networks say of the pictures that they learnt from, and add it to them.

    Args:
        weights: of train hupor.
        data: what they learnt from, with depth.
        output: folder for checkpoint, log, the new weights and their card.
        recipe: everything that the result depends on besides that.
        pictures: only the first so many.
        seed: of everything random.
        strict: stop at the first picture that cannot be read, instead of leaving it out.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from occlupose.cli.terminal import check_folder, check_seed
    from occlupose.datasets.image_datasets import load
    from occlupose.errors import OccluposeError
    from occlupose.methods.hupor.train import train_refiner

    check_seed(seed)
    if pictures is not None and pictures < 1:
        raise OccluposeError(f"pictures {pictures}: cannot be; give 1 or more")
    check_folder(output.absolute())
    found = [load(folder, strict=strict) for folder in data]
    _tell_problems(found)
    crowds = [crowd for each in found for crowd in each.samples][:pictures]
    path = train_refiner(
        weights,
        crowds,
        output,
        recipe,
        seed=seed,
        strict=strict,
        resume=resume,
        device=device,
        places=_named(data),
        **_described(found),
    )
    print(
        f"{path}: weights written, their card beside them; use them with occlupose run --method hupor --weights {path}"
    )


def _tell_problems(found: "list[ImageDataset]") -> None:
    for line in (line for each in found for line in each.report.lines()):
        print(line)


def _named(data: tuple[Path, ...]) -> dict[Path | None, str]:
    """Names for datasets in the command that a card shows."""
    return {folder: f"DATA{number or ''}" for number, folder in enumerate(data)}


def _described(found: "list[ImageDataset]") -> dict[str, Any]:
    """What a card says of datasets."""
    ours = all(each.format == "synth" for each in found)
    return {
        "licence": "Apache-2.0" if ours else "that of its pictures and annotations",
        "data": [
            f"{len(each.samples)} pictures of {'our own synthetic people' if each.format == 'synth' else each.format}"
            for each in found
        ],
    }


TRAIN: dict[str, Callable[..., None]] = {
    "lifter": train_lifter,
    "oanet": train_oanet,
    "keypoints": train_keypoints,
    "ljof": train_ljof,
    "poses": train_poses,
    "ssf": train_ssf,
    "hupor": train_hupor,
    "refine": train_refine,
}
"""What `occlupose train` can train."""
