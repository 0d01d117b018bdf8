"""Commands that train networks."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from occlupose.cli.options import Device


def _lifter_recipe() -> type:
    from occlupose.methods.oanet.lifter.recipe import Recipe

    return Recipe


def _oanet_recipe() -> type:
    from occlupose.methods.oanet.recipe import Recipe

    return Recipe


def _keypoints_recipe() -> type:
    from occlupose.methods.oanet.keypoints import Recipe

    return Recipe


def _ssf_recipe() -> Any:
    from tyro.extras import subcommand_type_from_defaults

    from occlupose.methods.hupor.ssf.recipe import RECIPES

    return subcommand_type_from_defaults(RECIPES)


def train_lifter(
    mocap: Path,
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_lifter_recipe)],
    start: Annotated[Path | None, arg(metavar="WEIGHTS", help_behavior_hint="(default: from nothing)")] = None,
    resume: bool = False,
    device: Device = "cpu",
) -> None:
    """Train the lifter that ships, the 2D and 3D temporal networks, from the committed recipe.

    Args:
        mocap: folder with the CMU motion capture, cmu/NN/NN_MM.amc and cmu/NN/NN.asf.
        output: folder for checkpoint, log, weights and card.
        recipe: everything that the result depends on.
        start: weights to begin with.
        resume: go on with the run in that folder; the result is that of an uninterrupted run.
        device: cpu or cuda.
    """
    from occlupose.methods.oanet.lifter import train

    weights = train.train_lifter(mocap, output, recipe, start=start, resume=resume, device=device)
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

    weights = train.train_to_file(data, output, recipe, video=video, resume=resume, device=device)
    print(f"{weights}: weights written, their card beside them; score them with occlupose eval oanet --weights {weights}")


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
    from occlupose.synth.poses import Poses, describe, retarget
    from occlupose.training import card

    training, validation = (retarget(clips) for clips in cmu.split(cmu.load_clips(mocap)))
    Poses.learn(describe(training.pose), seed=seed).save(output, {"data": cmu.DATA})
    errors = {name: round(1000 * float(part.error.mean()), 1) for name, part in (("training", training), ("validation", validation))}
    card.write(
        output,
        {mocap: "<mocap>", output: f"<{output.name}>"},
        name="poses",
        task="poses of people, to draw from",
        licence="Apache-2.0",
        data=cmu.DATA,
        metrics={"poses": len(training.pose), "retargeting error, mm": errors},
    )
    print(f"{output}: a prior of poses written, its card beside it")


def train_ssf(
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")],
    recipe: Annotated[Any, arg(constructor_factory=_ssf_recipe)],
    mocap: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="(default: the poses that are shipped)")] = None,
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


TRAIN: dict[str, Callable[..., None]] = {
    "lifter": train_lifter,
    "oanet": train_oanet,
    "keypoints": train_keypoints,
    "poses": train_poses,
    "ssf": train_ssf,
}
"""What `occlupose train` can train."""
