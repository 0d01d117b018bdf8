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


TRAIN: dict[str, Callable[..., None]] = {"lifter": train_lifter, "oanet": train_oanet, "keypoints": train_keypoints}
"""What `occlupose train` can train."""
