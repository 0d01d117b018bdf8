"""Commands that train networks."""

from collections.abc import Callable, Mapping
from importlib import import_module
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from occlupose.cli.evaluate import keypoint_command
from occlupose.cli.options import Device
from occlupose.cli.terminal import check_folder
from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    from occlupose.datasets.annotations import Annotations
    from occlupose.datasets.discovery import ImageDataset
    from occlupose.datasets.images import ImageRef
    from occlupose.training.run import TrainingRun

Trainer = Literal["lifter", "oanet", "keypoints", "ljof", "movenet", "ssf", "hupor", "dsed", "refine"]

IN_RECIPE = "(default: as in the recipe)"

Mocap = Annotated[Path, arg(metavar="FOLDER")]
Folder = Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")]
Output = Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
InitialWeights = Annotated[Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: random)")]
GiB = Annotated[float, arg(metavar="GIB")]
Recipe = Annotated[str | None, arg(metavar="FILE", help_behavior_hint="(default: as `train recipe` writes it)")]
NamedRecipe = Annotated[str, arg(metavar="NAME|FILE", help_behavior_hint="")]
Number = Annotated[int | None, arg(metavar="COUNT", help_behavior_hint=IN_RECIPE)]
Epochs = Annotated[float | None, arg(metavar="COUNT", help_behavior_hint=IN_RECIPE)]
Rate = Annotated[float | None, arg(metavar="RATE", help_behavior_hint=IN_RECIPE)]


RECIPES = {
    "lifter": "lifter.train",
    "oanet": "oanet.train",
    "keypoints": "oanet.keypoints",
    "ljof": "ljof.recipe",
    "movenet": "movenet.recipe",
    "ssf": "hupor.ssf.recipe",
    "hupor": "hupor.recipe",
    "dsed": "hupor.bases.recipe",
    "refine": "hupor.refine",
}
"""The module of `occlupose.methods` with the recipes of each trainer, by name; imported when one is used."""


def write_recipe(
    trainer: Positional[Annotated[Trainer, arg(metavar="TRAINER")]],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    name: Positional[Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the first)")]] = None,
) -> None:
    """Write all fields of a recipe as a JSON file, to start from.

        occlupose train recipe lifter shipped -o lifter.json
        occlupose train recipe hupor small -o hupor.json

    Args:
        trainer: Command of occlupose train that the recipe is for: lifter, oanet, keypoints, ljof, movenet, ssf,
            hupor, dsed, refine.
        output: .json file to write.
        name: For lifter shipped, continued, long, certainty, unaware; for oanet paper, published; for ljof an
            estimator, such as hrnet_w48; for movenet shipped, without-papers; for hupor, dsed and ssf published,
            small; for hupor and dsed also movenet; for dsed also pifpaf-published, pifpaf-small, pifpaf-movenet,
            hupor-published, hupor-small.
    """
    from occlupose.training import recipe

    recipe.write(_recipe(trainer, name), output)
    print(f"{output}: recipe written; train with occlupose train {trainer} --recipe {output}")


def _recipe(trainer: str, given: str | None = None, changes: Mapping[str, Any] | None = None) -> Any:
    """A recipe by name or from a file.

    Arguments:
        given: name or .json file; None is the first recipe of the trainer.
        changes: as for `training.recipe.changed`.

    Raises:
        OccluposeError: unknown name; a file that cannot be used; a change that is out of bounds.
    """
    from occlupose.training import recipe

    known = import_module(f"occlupose.methods.{RECIPES[trainer]}").RECIPES
    default = next(iter(known))
    found = known.get(given or default)
    if found is None:
        path = Path(str(given))
        if path.suffix.lower() != ".json":
            raise OccluposeError(f"recipe {given}: not known; known are {', '.join(known)}, and .json files")
        found = recipe.read(path, known)
    return recipe.changed(found, changes or {})


def _run(output: Path, recipe: str | None, places: dict[Path | None, str], **options: Any) -> "TrainingRun":
    """A run in a folder that can be written to.

    Arguments:
        recipe: the option; a file is named on the card without its folder.
        places: names of other paths on the card.
        options: of `TrainingRun`.
    """
    from occlupose.training.run import TrainingRun

    check_folder(output.absolute())
    if recipe and recipe.lower().endswith(".json"):
        places = {Path(recipe): "RECIPE", **places}
    return TrainingRun(output, places=places, **options)


def train_keypoints(
    annotations: Annotated[Path, arg(metavar="FILE")],
    images: Annotated[Path, arg(metavar="FOLDER")],
    output: Output,
    recipe: Recipe = None,
    steps: Number = None,
    batch: Number = None,
    learning_rate: Rate = None,
    seed: Number = None,
    init_from: InitialWeights = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train OANet's 2D keypoint network on your own annotated images; occluded joints get a low confidence.

        occlupose train keypoints --annotations people.json --images images -o run

    Args:
        annotations: COCO keypoint annotations, with v of each joint: 2 visible, 1 occluded, 0 not annotated.
        images: Folder of the annotated images.
        output: Folder for checkpoint, log, weights and card.
        recipe: JSON file with the configuration of the training; occlupose train recipe keypoints writes one to start
            from, and the card of weights is one.
        steps: Number of steps.
        batch: People in a step.
        learning_rate: Learning rate.
        seed: Seed of all random numbers.
        init_from: Initial weights, as train keypoints writes them, also for other joints.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.methods.oanet import keypoints

    optimisation = {"optimisation.steps": steps, "optimisation.learning_rate": learning_rate}
    chosen = _recipe("keypoints", recipe, {"batch": batch, "seed": seed} | optimisation)
    places: dict[Path | None, str] = {annotations: "ANNOTATIONS", images: "IMAGES"}
    run = _run(output, recipe, places, init_from=init_from, resume=resume, device=device)
    weights = keypoints.train_keypoints(annotations, images, chosen, run)
    run.say(f"{weights}: weights and card written; use them with occlupose run --frontend {weights}")


def train_oanet(
    output: Output,
    mocap: Folder = None,
    h36m: Folder = None,
    humaneva: Folder = None,
    recipe: Annotated[str, arg(metavar="NAME|FILE")] = "paper",
    video: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: none)")] = None,
    batch: Number = None,
    seed: Number = None,
    init_from: InitialWeights = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train OANet's temporal networks as in the paper, where each part can be switched off for comparison.

        occlupose train oanet --mocap mocap -o runs/oanet --device cuda
        occlupose train oanet --h36m h36m -o runs/h36m --recipe published

    Args:
        output: Folder for checkpoints, logs, weights and card.
        mocap: Folder of the CMU motion capture, with cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        h36m: Instead of it, folder of Human3.6M; S1, S5, S6, S7 and S8 are used.
        humaneva: Instead of it, folder of HumanEva-I; its training part is used.
        recipe: paper; published, with the paper's optimiser too; or a JSON file: occlupose train recipe oanet writes
            one to start from, and the card of weights is one.
        video: Folder of poses files, as occlupose run writes them, for training on 2D poses without 3D.
        batch: Sequences in a step.
        seed: Seed of all random numbers.
        init_from: Initial weights, as train oanet writes them.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.methods.oanet import train

    folders: dict[train.Dataset, Path | None] = {"mocap": mocap, "h36m": h36m, "humaneva": humaneva}
    given = {name: path for name, path in folders.items() if path is not None}
    if len(given) != 1:
        raise OccluposeError(f"{' and '.join(given) or 'no data'}: give one of --mocap, --h36m, --humaneva")
    chosen = _recipe("oanet", recipe, {"batch": batch, "seed": seed})
    places: dict[Path | None, str] = {path: name.upper() for name, path in given.items()}
    places[video] = "VIDEO"
    run = _run(output, recipe, places, init_from=init_from, resume=resume, device=device)
    ((dataset, folder),) = given.items()
    weights = train.train_oanet(folder, chosen, run, dataset=dataset, video=video)
    run.say(f"{weights}: weights and card written; use them with occlupose run --weights {weights}")


def train_ljof(
    data: Annotated[Path, arg(metavar="FOLDER")],
    output: Output,
    recipe: Annotated[str, arg(metavar="NAME|FILE")] = "hrnet_w32",
    annotations: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint="(default: those of the training split)")
    ] = None,
    holdout: Annotated[tuple[Path, ...], arg(metavar="FOLDERS|FILES", help_behavior_hint="(default: none)")] = (),
    epochs: Epochs = None,
    batch: Number = None,
    learning_rate: Rate = None,
    seed: Number = None,
    init_from: InitialWeights = None,
    image_cache_gib: GiB = 1.0,
    strict: bool = False,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train a 2D estimator to be robust to occlusion: its published recipe with LJOF's limb joint augmentation and
    structure loss.

        occlupose train ljof --data coco -o run --recipe hrnet_w48 --device cuda
        torchrun --nproc-per-node 2 -m occlupose train ljof --data coco -o run

    Args:
        data: Folder of COCO, CrowdPose or OCHuman as published, or of occlupose synth.
        output: Folder for checkpoint, log, weights and card.
        recipe: Published recipe of simple_baseline_r50, _r101 or _r152, hrnet_w32 or _w48, vitpose_s, _b or _l,
            srpose_w32; simple_baseline_small and hrnet_small for machines without a GPU; or a JSON file: occlupose
            train recipe ljof hrnet_w32 writes one to start from, and the card of weights is one.
        annotations: Annotations to use instead of those of the training split.
        holdout: Folders of test images, or annotation files if one folder has all images. Reports which test images are
            in the training data too, also as copies that were scaled or mirrored.
        epochs: How often each person is drawn, on average.
        batch: People in a step, in all processes together.
        learning_rate: Learning rate for a batch size of 512; scaled linearly for others.
        seed: Seed of all random numbers.
        init_from: Initial weights, as convert checkpoint or train ljof writes them.
        image_cache_gib: Memory for decoded images, so that they are read only once.
        strict: Stop at the first invalid person or image; otherwise they are left out, counted and listed.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from rich.console import Console

    from occlupose.cli.terminal import print_warnings
    from occlupose.datasets import discovery
    from occlupose.datasets.formats import coco
    from occlupose.methods.ljof.train import train_estimator
    from occlupose.training.distributed import Process

    cache_bytes = _cache_bytes(image_cache_gib)
    changes = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate, "seed": seed}
    chosen = _recipe("ljof", recipe, changes)
    run = _run(output, recipe, {}, init_from=init_from, strict=strict, resume=resume, device=device)
    files = discovery.find_dataset(data, "train", annotations)
    run.places = {
        **run.places,
        data: "DATA",
        annotations: "ANNOTATIONS",
        files.annotations: "ANNOTATIONS",
        **dict.fromkeys(holdout, "HOLDOUT"),
    }
    dataset = coco.load(files.annotations, files.images, strict=strict)
    if Process.current().is_main:
        print_warnings(Console(stderr=True), dataset.report.lines())
        _report_leaks(dataset, holdout, strict)
    weights = train_estimator(dataset, chosen, run, cache_bytes=cache_bytes)
    command = f"occlupose {keypoint_command(dataset.ground_truth.dataset)} --data {data} --frontend {weights}"
    run.say(f"{weights}: weights and card written; score them with {command}")


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


def train_movenet(
    photographs: Annotated[Path, arg(metavar="FOLDER")],
    output: Output,
    recipe: Annotated[str, arg(metavar="NAME|FILE")] = "shipped",
    data: Annotated[
        Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: data in the output folder)")
    ] = None,
    credit: Annotated[str, arg(metavar="TEXT")] = "the user's own",
    steps: Number = None,
    batch: Number = None,
    learning_rate: Rate = None,
    seed: Number = None,
    init_from: Annotated[
        Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: those of MoveNet Thunder)")
    ] = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train MoveNet Thunder further on your own photographs and on synthetic people to tell which joints are hidden and
    to infer where they are, as the shipped network does.

    No joints need to be annotated: MoveNet and BlazePose label the photographs, and random occluders are put in
    front. Needs ai-edge-litert and moderngl (pip install '.[blazepose,render]' in a clone of the repository).

        occlupose train movenet --photographs photographs -o runs/movenet
        occlupose train movenet --photographs photographs -o runs/movenet --device cuda --resume

    Args:
        photographs: Folder of photographs NAME.jpg with the boxes of people in NAME.txt, in YOLO's format. Of images
            stretched to squares, the proportions are guessed.
        output: Folder for checkpoint, log, weights and card.
        recipe: shipped; without-papers, the same without dark heatmaps, occluders and structure loss; or a JSON file:
            occlupose train recipe movenet writes one to start from, and the card of weights is one.
        data: Folder for the labels of the photographs and the synthetic scenes, made once, so that runs may share them.
        credit: Where the photographs are from, and their licence, for the card.
        steps: Number of steps.
        batch: Crops in a step.
        learning_rate: Learning rate.
        seed: Seed of all random numbers.
        init_from: Initial weights, as train movenet writes them.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.methods.movenet.data import prepare
    from occlupose.methods.movenet.train import train_movenet
    from occlupose.training.distributed import main_first

    optimisation = {"optimisation.steps": steps, "optimisation.learning_rate": learning_rate}
    chosen = _recipe("movenet", recipe, {"batch": batch, "seed": seed} | optimisation)
    run = _run(
        output, recipe, {photographs: "PHOTOGRAPHS", data: "DATA"}, init_from=init_from, resume=resume, device=device
    )
    with main_first():
        prepared = prepare(photographs, data or output / "data", chosen.scenes, progress=run.progress)
    weights = train_movenet(prepared, chosen, run, credit=credit)
    run.say(f"{weights}: weights and card written; use them with occlupose run --frontend {weights}")


def train_lifter(
    mocap: Mocap,
    output: Output,
    recipe: Annotated[str, arg(metavar="NAME|FILE")] = "shipped",
    data: Annotated[
        Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: data in the output folder)")
    ] = None,
    steps: Number = None,
    batch: Number = None,
    learning_rate: Rate = None,
    seed: Number = None,
    init_from: InitialWeights = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train the lifter, which makes 3D people of 2D joints over time, on motion capture.

        occlupose train lifter --mocap mocap -o runs/lifter
        occlupose train lifter --mocap mocap -o runs/lifter --device cuda --resume

    Args:
        mocap: Folder of motion capture with cmu, more and, optionally, cmu_expmap.
        output: Folder for checkpoint, log, weights and card.
        recipe: shipped; continued, for a second training from its weights (--init-from); long, for a third one with
            longer sequences; certainty, for the covariances alone; unaware, without missing joints; or a JSON file:
            occlupose train recipe lifter writes one to start from, and the card of weights is one.
        data: Folder for the motions on other bodies, made once in some minutes, so that runs may share them.
        steps: Number of steps.
        batch: Sequences in a step.
        learning_rate: Learning rate.
        seed: Seed of all random numbers.
        init_from: Initial weights, as train lifter writes them.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.methods.lifter.train import train_lifter

    optimisation = {"optimisation.steps": steps, "optimisation.learning_rate": learning_rate}
    chosen = _recipe("lifter", recipe, {"batch": batch, "seed": seed} | optimisation)
    run = _run(output, recipe, {mocap: "MOCAP", data: "DATA"}, init_from=init_from, resume=resume, device=device)
    weights = train_lifter(mocap, chosen, run, data=data or output / "data")
    run.say(f"{weights}: weights and card written; use them with occlupose run --weights {weights}")


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
    from occlupose.training.distributed import Process

    if not Process.current().is_main:  # the fit takes minutes in one process
        return
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
    recipe: NamedRecipe,
    mocap: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: the shipped poses)")] = None,
    epochs: Number = None,
    batch: Number = None,
    learning_rate: Rate = None,
    seed: Number = None,
    resume: bool = False,
) -> None:
    """Train SSF, which fits bodies to skeletons and masks for occlusion labels, on synthetic people. Runs on the CPU.

        occlupose train ssf -o runs/ssf --recipe small

    Args:
        output: Folder for synthetic people, checkpoint, log, weights and card.
        recipe: published, small, or a JSON file: occlupose train recipe ssf small writes one to start from, and the
            card of weights is one.
        mocap: Folder of the CMU motion capture, with cmu/NN/NN_MM.amc and cmu/NN/NN.asf, for the poses.
        epochs: How often each person is drawn, on average.
        batch: People in a step.
        learning_rate: Learning rate.
        seed: Seed of all random numbers.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
    """
    from occlupose.methods.hupor.ssf import train

    changes = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate, "seed": seed}
    chosen = _recipe("ssf", recipe, changes)
    run = _run(output, recipe, {mocap: "MOCAP"}, resume=resume)
    weights = train.train_ssf(chosen, run, mocap=mocap)
    run.say(f"{weights}: weights and card written")


def train_hupor(
    data: Annotated[tuple[Path, ...], arg(metavar="FOLDERS|FILES")],
    output: Output,
    recipe: NamedRecipe,
    epochs: Epochs = None,
    batch: Number = None,
    learning_rate: Rate = None,
    seed: Number = None,
    init_from: InitialWeights = None,
    ssf: Annotated[Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: by optimisation)")] = None,
    masks: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: none)")] = None,
    image_cache_gib: GiB = 2.0,
    strict: bool = False,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train HUPOR: a network that detects the visible joints of all people, and one that infers occluded joints.

        occlupose train hupor --data people coco -o runs/hupor --recipe small

    Args:
        data: Datasets: occlupose synth, MuCo-3DHP, COCO, Human3.6M with images, or SMAP's format. If some have depth
            and others do not, half of each batch comes from those without.
        output: Folder for checkpoint, log, weights and card.
        recipe: published; small; movenet, whose detector begins as MoveNet MultiPose; or a JSON file: occlupose train
            recipe hupor small writes one to start from, and the card of weights is one.
        epochs: How often each image is drawn, on average.
        batch: Images in a step.
        learning_rate: Learning rate.
        seed: Seed of all random numbers.
        init_from: Initial weights, of the detector alone or of all networks.
        ssf: Weights of train ssf that fit bodies to masks, for a recipe with occlusion_labels ssf.
        masks: Masks of the people for the same: NAME.png with a number for each person, 0 the background, or NAME.json
            with COCO's run lengths.
        image_cache_gib: Memory for decoded images, so that they are read only once.
        strict: Stop at the first image that cannot be read, instead of leaving it out.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.methods.hupor import train

    cache_bytes = _cache_bytes(image_cache_gib)
    changes = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate, "seed": seed}
    chosen = _recipe("hupor", recipe, changes)
    places = _card_names(data) | {ssf: "SSF", masks: "MASKS"}
    run = _run(output, recipe, places, init_from=init_from, strict=strict, resume=resume, device=device)
    datasets = _load_datasets(data, run)
    samples = [sample for dataset in datasets for sample in dataset.samples]
    weights = train.train_hupor(
        samples, chosen, run, ssf=ssf, masks=masks, cache_bytes=cache_bytes, **_card_fields(datasets)
    )
    run.say(f"{weights}: weights and card written; use them with occlupose run --method hupor --weights {weights}")


def train_dsed(
    data: Annotated[Path, arg(metavar="FOLDER")],
    output: Output,
    recipe: NamedRecipe,
    base: Annotated[
        Literal["higherhrnet", "pifpaf", "hupor"] | None,
        arg(metavar="NAME", help_behavior_hint="(default: that of the recipe file, or higherhrnet)"),
    ] = None,
    annotations: Annotated[
        Path | None, arg(metavar="FILE", help_behavior_hint="(default: those of the training split)")
    ] = None,
    reasoning: Annotated[
        Literal["dsed", "hourglass", "none"] | None,
        arg(metavar="dsed|hourglass|none", help_behavior_hint=IN_RECIPE),
    ] = None,
    base_epochs: Epochs = None,
    epochs: Epochs = None,
    batch: Number = None,
    seed: Number = None,
    init_from: InitialWeights = None,
    image_cache_gib: GiB = 2.0,
    strict: bool = False,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train HUPOR's reasoner behind another bottom-up network, for 2D keypoints: first the network on visible joints,
    then, with the network frozen, the reasoner on hidden ones.

        occlupose train dsed --data crowdpose -o run --recipe published --init-from imagenet.safetensors --device cuda
        occlupose train dsed --data people -o run --recipe small

    Args:
        data: Folder of COCO, CrowdPose or OCHuman as published, or of occlupose synth.
        output: Folder for weights and card, and in base and reasoner for checkpoint and log.
        recipe: published; small; movenet, on the features of MoveNet MultiPose; or a JSON file: occlupose train recipe
            dsed small writes one to start from, and the card of weights is one.
        base: The network: higherhrnet, pifpaf, or hupor for HUPOR's own detector without depths.
        annotations: Annotations to use instead of those of the training split.
        reasoning: What predicts hidden joints: DSED; an hourglass, the same without a teacher; nothing.
        base_epochs: How often each image is drawn for the base, on average; 0 keeps the initial weights.
        epochs: How often each image is drawn for the reasoner, on average.
        batch: Images in a step, of base and reasoner.
        seed: Seed of all random numbers.
        init_from: Initial weights, of train dsed or convert checkpoint; of an HRNet, as convert checkpoint and train
            ljof write them, the backbone.
        image_cache_gib: Memory for decoded images, so that they are read only once.
        strict: Stop at the first invalid person or image; otherwise they are left out, counted and listed.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from rich.console import Console

    from occlupose.cli.terminal import print_warnings
    from occlupose.datasets import discovery
    from occlupose.datasets.formats import coco
    from occlupose.methods.hupor.bases import train
    from occlupose.methods.hupor.bases.recipe import find_recipe
    from occlupose.training.distributed import Process
    from occlupose.training.recipe import changed

    cache_bytes = _cache_bytes(image_cache_gib)
    chosen = _recipe("dsed", find_recipe(recipe, base))
    if base is not None and chosen.family != base:
        raise OccluposeError(
            f"base {base}: the recipe is for {chosen.family}; leave out --base, or give another recipe"
        )
    of_base = {f"{chosen.family}.epochs": base_epochs, f"{chosen.family}.batch": batch}
    of_reasoner = {"design.reasoning": reasoning, "epochs": epochs, "batch": batch}
    chosen = changed(chosen, of_base | of_reasoner | {"seed": seed})
    places = {data: "DATA", annotations: "ANNOTATIONS"}
    run = _run(output, recipe, places, init_from=init_from, strict=strict, resume=resume, device=device)
    files = discovery.find_dataset(data, "train", annotations)
    run.places = {**run.places, files.annotations: "ANNOTATIONS"}
    dataset = coco.load(files.annotations, files.images, strict=strict)
    if Process.current().is_main:
        print_warnings(Console(stderr=True), dataset.report.lines())
    ours = dataset.ground_truth.dataset == "synth"
    licence = "Apache-2.0" if ours else "that of its images and annotations"
    weights = train.train_dsed(dataset, chosen, run, cache_bytes=cache_bytes, licence=licence)
    command = f"occlupose {keypoint_command(dataset.ground_truth.dataset)} --data {data} --frontend {weights}"
    run.say(f"{weights}: weights and card written; score them with {command}")


def train_refine(
    weights: Annotated[Path, arg(metavar="FILE")],
    data: Annotated[tuple[Path, ...], arg(metavar="FOLDERS|FILES")],
    output: Output,
    recipe: Recipe = None,
    max_images: Annotated[int | None, arg(metavar="COUNT", help_behavior_hint="(default: all)")] = None,
    epochs: Number = None,
    batch: Number = None,
    learning_rate: Rate = None,
    seed: Number = None,
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
        recipe: JSON file with the configuration of the training; occlupose train recipe refine writes one to start
            from, and the card of such weights is one.
        max_images: Use only the first images, up to this number.
        epochs: How often each detected person is drawn, on average.
        batch: Detected people in a step.
        learning_rate: Learning rate.
        seed: Seed of all random numbers.
        strict: Stop at the first image that cannot be read, instead of leaving it out.
        resume: Continue the run in the output folder; the result is that of an uninterrupted run.
        device: Torch device: cpu, cuda, ...
    """
    from occlupose.methods.hupor.train_refine import train_refiner

    if max_images is not None and max_images < 1:
        raise OccluposeError(f"max-images {max_images}: must be 1 or more")
    changes = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate, "seed": seed}
    chosen = _recipe("refine", recipe, changes)
    run = _run(output, recipe, _card_names(data) | {weights: "WEIGHTS"}, strict=strict, resume=resume, device=device)
    datasets = _load_datasets(data, run)
    samples = [sample for dataset in datasets for sample in dataset.samples][:max_images]
    path = train_refiner(weights, samples, chosen, run, **_card_fields(datasets))
    run.say(f"{path}: weights and card written; use them with occlupose run --method hupor --weights {path}")


def _cache_bytes(gib: float) -> int:
    """Bytes of this process's image cache: those on one machine share its memory.

    Raises:
        OccluposeError: an impossible size.
    """
    from occlupose.training.distributed import Process

    if not 0 <= gib < inf:
        raise OccluposeError(f"image cache {gib:g}: not possible; give a number of GiB, 0 or more")
    return int(gib * 2**30) // Process.current().local_world_size


def _load_datasets(folders: tuple[Path, ...], run: "TrainingRun") -> "list[ImageDataset]":
    """The datasets in these folders; says what is to be known of each."""
    from occlupose.datasets.discovery import load_dataset

    datasets = [load_dataset(folder, strict=run.strict) for folder in folders]
    for dataset in datasets:
        for line in dataset.report.lines():
            run.say(line)
    return datasets


def _card_names(data: tuple[Path, ...]) -> dict[Path | None, str]:
    """Names for datasets in the command that a card shows."""
    return {folder: f"DATA{number or ''}" for number, folder in enumerate(data)}


def _card_fields(datasets: "list[ImageDataset]") -> dict[str, Any]:
    """Licence and data of a card."""
    ours = all(dataset.format == "synth" for dataset in datasets)
    origins = ["our own synthetic people" if dataset.format == "synth" else dataset.about for dataset in datasets]
    data = [f"{len(dataset.samples)} images of {origin}" for dataset, origin in zip(datasets, origins, strict=True)]
    return {"licence": "Apache-2.0" if ours else "that of its images and annotations", "data": data}


TRAIN: dict[str, Callable[..., None]] = {
    "oanet": train_oanet,
    "keypoints": train_keypoints,
    "lifter": train_lifter,
    "ljof": train_ljof,
    "movenet": train_movenet,
    "poses": train_poses,
    "ssf": train_ssf,
    "hupor": train_hupor,
    "dsed": train_dsed,
    "refine": train_refine,
    "recipe": write_recipe,
}
"""The commands of `occlupose train`."""
