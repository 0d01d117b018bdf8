"""Earlier spellings of options and names of commands, which are refused with the new ones."""

import re

from occlupose.errors import OccluposeError

RENAMED_COMMANDS: dict[str, tuple[str, ...]] = {
    "eval keypoints": ("eval coco", "eval crowdpose", "eval ochuman"),
    "eval oanet": ("eval h36m", "eval humaneva"),
    "eval hupor": ("eval mupots", "eval 3dpw", "eval h36m-images", "eval synth"),
}
"""Old name -> the new ones, with an option where one is needed."""

RENAMED_OPTIONS: dict[str, str] = {
    "eval --dataset": "the dataset as the command",
    "eval mupots --variant": "--protocol",
    "label --rules": "--occlusion-rules",
    "label --strip": "--preview",
    "train --start": "--init-from",
    "train --memory": "--image-cache-gib",
    "train oanet --data": "--mocap",
    "train keypoints --data": "--annotations",
    "train refine --pictures": "--max-images",
    "convert checkpoint --size": "--crop",
    "synth --objects": "--occluders",
    "train ljof --unseen": "--holdout",
    "train ljof --model": "--recipe",
    "train ljof --lr": "--learning-rate",
    "train ljof --rate": "--learning-rate",
    "train oanet recipe:paper": "--recipe paper",
    "train oanet recipe:shipped": "train lifter",
    "train lifter --recipe.hidden": "nothing in its place",
    "train lifter --recipe.missing-joint-weight": "nothing in its place",
    "train hupor recipe:small": "--recipe small",
    "train hupor recipe:published": "--recipe published",
    "train ssf recipe:small": "--recipe small",
    "train ssf recipe:published": "--recipe published",
    "train --recipe.batch": "--batch",
    "train --recipe.epochs": "--epochs",
    "train --recipe.learning-rate": "--learning-rate",
    "train --recipe.optimisation.learning-rate": "--learning-rate",
    "train --recipe.optimisation.steps": "--steps",
    "train --recipe.seed": "--seed",
}
"""Old spelling -> new, with hyphens. A command before the old spelling limits it to that command ("train ljof") or to a
group ("train"). The new spelling may be several words.
"""

OPTIONS_IN_RECIPES: dict[str, str] = {
    "train ljof --average": "ema_decay",
    "train ljof --ema": "ema_decay",
    "train ljof --crop": "crop.width and crop.height",
    "train ljof --blocks": "blocks",
    "train ljof --no-blocks": "blocks",
    "train ljof --lja": "blocks",
    "train ljof --no-lja": "blocks",
    "train ljof --number": "blocks.joint_share",
    "train ljof --lja-blocks": "blocks.joint_share",
    "train ljof --size": "blocks.size",
    "train ljof --lja-size": "blocks.size",
    "train ljof --space": "blocks.relative_to",
    "train ljof --lja-frame": "blocks.relative_to",
    "train ljof --probability": "blocks.probability",
    "train ljof --lja-probability": "blocks.probability",
    "train ljof --structure": "structure",
    "train ljof --structure-loss": "structure",
    "train ljof --schedule": "structure.schedule",
    "train ljof --dsl-schedule": "structure.schedule",
    "train ljof --weight": "structure.schedule.weight",
    "train ljof --dsl-weight": "structure.schedule.weight",
    "train ljof --at": "structure.schedule.at",
    "train ljof --dsl-step-at": "structure.schedule.at",
    "train hupor --recipe.blocks": "distilled_levels",
    "train oanet --recipe.augmentation": "virtual_view_fraction",
    "train oanet --recipe.optimisation.learning-rate": "stage_3d.learning_rate",
    "train oanet --recipe.optimisation.steps": "stage_3d.steps",
}
"""Old spelling -> the field of a recipe that it is now; beside these, --recipe.NAME is the field NAME."""

RENAMED_FIELDS: dict[str, dict[str, str]] = {
    "": {
        "average": "ema_decay",
        "clip": "max_grad_norm",
        "drops": "milestones",
        "fall": "lr_schedule",
        "warm-up": "warm_up_steps",
    },
    "keypoints": {"flip": "flip_probability", "turn": "rotation"},
    "lifter": {
        "masks": "samples.aware",
        "occlusion-aware": "samples.aware",
        "window": "samples.frames",
        "complete": "samples.complete_probability",
        "complete-probability": "samples.complete_probability",
        "noise": "samples.noise_probability",
        "noise-probability": "samples.noise_probability",
        "guessed": "samples.guess_probability",
        "guess-probability": "samples.guess_probability",
        "h36m-input": "samples.h36m_probability",
        "h36m-probability": "samples.h36m_probability",
        "views": "samples.augmentation",
        "augmentation": "samples.augmentation",
        "still": "still_probability",
        "mirror": "mirror_probability",
        "arms": "arm_exchange_probability",
        "bent": "bend_probability",
        "tumble": "tumble_probability",
        "wrong-focal": "wrong_focal_probability",
    },
    "oanet": {
        "fill": "stage_2d",
        "lift": "stage_3d",
        "joint": "end_to_end",
        "length": "window",
        "occlusion": "occlusion_aware",
        "symmetry": "symmetry_weight",
        "adversarial": "adversarial_weight",
        "regularisation": "regularisation_weight",
        "labelled": "labelled_fraction",
        "flat": "unlabelled_fraction",
    },
    "hupor": {
        "labels": "occlusion_labels",
        "flat": "no_depth_fraction",
        "alone": "detector_only_fraction",
        "detector": "train_detector",
        "mixed": "predicted_input_fraction",
        "shown": "teacher_input",
        "supervised": "reasoner_targets",
        "something": "foreground_weight",
        "distillation": "distillation_weight",
        "rising": "distillation_warm_up",
        "variation": "augmentation",
        "turn": "rotation",
        "flip": "flip_probability",
        "zoom": "scale",
    },
    "ssf": {"look": "input_type", "cnn": "cnn_width", "weights": "loss_weights"},
}
"""Old name -> new of fields of recipes, by trainer; those of "" are of all."""


def refuse_renamed_command(words: list[str]) -> None:
    """Refuses an earlier name of a command.

    Arguments:
        words: of the name, such as ["eval", "keypoints"].

    Raises:
        OccluposeError: it is an earlier name.
    """
    name = " ".join(words)
    if name in RENAMED_COMMANDS:
        raise OccluposeError(f"{name}: an earlier name; give {' or '.join(RENAMED_COMMANDS[name])}")


def refuse_renamed(command: list[str], arguments: list[str]) -> None:
    """Refuses earlier spellings among the arguments of a command.

    Arguments:
        command: words of its name, such as ["train", "ljof"].
        arguments: after the name.

    Raises:
        OccluposeError: there is an earlier spelling.
    """
    for argument in arguments:
        if argument == "--":
            return
        option = argument.partition("=")[0].replace("_", "-")
        new = renamed(command, option)
        if new is not None:
            words = " ".join(command)
            raise OccluposeError(f"{option}: an earlier spelling; give {new}, see occlupose {words} --help")


def renamed(command: list[str], option: str) -> str | None:
    """The new spelling of a command's option; None if it was not renamed."""
    for length in range(len(command), -1, -1):
        old = " ".join([*command[:length], option])
        if old in RENAMED_OPTIONS:
            return RENAMED_OPTIONS[old]
        if old in OPTIONS_IN_RECIPES:
            return _in_recipe(OPTIONS_IN_RECIPES[old])
    prefix, dot, path = option.lstrip("-").partition(".")
    if command[:1] != ["train"] or prefix != "recipe" or not dot or f".{path}".endswith(".json"):  # a file
        return None
    names = RENAMED_FIELDS[""] | RENAMED_FIELDS.get(command[-1], {})
    parts = (re.sub("^no-(?!depth-)", "", part) for part in path.partition(":")[0].split("."))
    return _in_recipe(".".join(names.get(part, part).replace("-", "_") for part in parts))


def _in_recipe(field: str) -> str:
    return f"--recipe FILE with {field} in it"
