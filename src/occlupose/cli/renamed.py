"""Earlier spellings of options and names of commands, which are refused with the new ones."""

from occlupose.errors import OccluposeError

RENAMED_COMMANDS: dict[str, tuple[str, ...]] = {
    "eval keypoints": ("eval coco", "eval crowdpose", "eval ochuman"),
    "eval oanet": ("eval h36m", "eval humaneva"),
    "eval hupor": ("eval mupots", "eval 3dpw", "eval h36m-images", "eval synth"),
    "train lifter": ("train oanet",),
}
"""Old name -> the new ones."""

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
    "train ljof --blocks": "--lja",
    "train ljof --no-blocks": "--no-lja",
    "train ljof --number": "--lja-blocks",
    "train ljof --size": "--lja-size",
    "train ljof --space": "--lja-frame",
    "train ljof --probability": "--lja-probability",
    "train ljof --structure": "--structure-loss",
    "train ljof --schedule": "--dsl-schedule",
    "train ljof --weight": "--dsl-weight",
    "train ljof --at": "--dsl-step-at",
    "train ljof --rate": "--lr",
    "train ljof --average": "--ema",
    "train hupor recipe.design.reasoner-size:size": "recipe.design.reasoner-size:stage-size",
    "train hupor --recipe.average": "--recipe.ema-decay",
    "train hupor --recipe.clip": "--recipe.max-grad-norm",
    "train hupor --recipe.warm-up": "--recipe.warm-up-steps",
    "train oanet --recipe.length": "--recipe.window",
    "train oanet --recipe.occlusion": "--recipe.occlusion-aware",
    "train oanet --recipe.no-occlusion": "--recipe.no-occlusion-aware",
    "train oanet --recipe.symmetry": "--recipe.symmetry-weight",
    "train oanet --recipe.adversarial": "--recipe.adversarial-weight",
    "train oanet --recipe.regularisation": "--recipe.regularisation-weight",
    "train oanet --recipe.augmentation": "--recipe.virtual-view-fraction",
    "train oanet --recipe.labelled": "--recipe.labelled-fraction",
    "train oanet --recipe.flat": "--recipe.unlabelled-fraction",
    "train oanet --recipe.masks": "--recipe.occlusion-aware",
    "train oanet --recipe.no-masks": "--recipe.no-occlusion-aware",
    "train oanet --recipe.complete": "--recipe.complete-probability",
    "train oanet --recipe.hidden": "--recipe.missing-joint-weight",
    "train oanet --recipe.noise": "--recipe.noise-probability",
    "train oanet --recipe.guessed": "--recipe.guess-probability",
    "train oanet --recipe.h36m-input": "--recipe.h36m-probability",
    "train oanet --recipe.views.still": "--recipe.augmentation.still-probability",
    "train oanet --recipe.views.mirror": "--recipe.augmentation.mirror-probability",
    "train oanet --recipe.views.arms": "--recipe.augmentation.arm-exchange-probability",
    "train oanet --recipe.views.bent": "--recipe.augmentation.bend-probability",
    "train oanet --recipe.views.tumble": "--recipe.augmentation.tumble-probability",
    "train oanet --recipe.views.wrong-focal": "--recipe.augmentation.wrong-focal-probability",
    "train hupor --recipe.variation.turn": "--recipe.augmentation.rotation",
    "train hupor --recipe.variation.flip": "--recipe.augmentation.flip-probability",
    "train hupor --recipe.variation.zoom": "--recipe.augmentation.scale",
    "train hupor --recipe.variation.shift": "--recipe.augmentation.shift",
    "train keypoints --recipe.flip": "--recipe.flip-probability",
    "train keypoints --recipe.turn": "--recipe.rotation",
    "train hupor --recipe.labels": "--recipe.occlusion-labels",
    "train hupor --recipe.flat": "--recipe.no-depth-fraction",
    "train hupor --recipe.alone": "--recipe.detector-only-fraction",
    "train hupor --recipe.detector": "--recipe.train-detector",
    "train hupor --recipe.no-detector": "--recipe.no-train-detector",
    "train hupor --recipe.mixed": "--recipe.predicted-input-fraction",
    "train hupor --recipe.shown": "--recipe.teacher-input",
    "train hupor --recipe.supervised": "--recipe.reasoner-targets",
    "train hupor --recipe.something": "--recipe.foreground-weight",
    "train hupor --recipe.blocks": "--recipe.distilled-levels",
    "train hupor --recipe.distillation": "--recipe.distillation-weight",
    "train hupor --recipe.rising": "--recipe.distillation-warm-up",
    "train ssf --recipe.look": "--recipe.input-type",
    "train ssf --recipe.cnn": "--recipe.cnn-width",
    "train ssf --recipe.drops": "--recipe.milestones",
    "train ssf --recipe.weights.theta": "--recipe.loss-weights.theta",
    "train ssf --recipe.weights.beta": "--recipe.loss-weights.beta",
    "train ssf --recipe.weights.pos": "--recipe.loss-weights.pos",
    "train ssf --recipe.weights.sil": "--recipe.loss-weights.sil",
}
"""Old spelling -> new, with hyphens. A command before the old spelling limits it to that command ("train ljof") or to a
group ("train"). The new spelling may be several words.
"""

_OPTIMISATION = {
    "average": "ema-decay",
    "clip": "max-grad-norm",
    "drops": "milestones",
    "fall": "lr-schedule",
    "warm-up": "warm-up-steps",
}
_STAGES = {"fill": "stage-2d", "lift": "stage-3d", "joint": "end-to-end"}
_KEPT = ("learning-rate", "log-every", "precision", "save-every", "steps", "weight-decay")
for _old, _new in _OPTIMISATION.items():
    RENAMED_OPTIONS[f"train --recipe.optimisation.{_old}"] = f"--recipe.optimisation.{_new}"
for _stage, _name in _STAGES.items():
    for _old, _new in {**_OPTIMISATION, **dict(zip(_KEPT, _KEPT, strict=True))}.items():
        RENAMED_OPTIONS[f"train oanet --recipe.{_stage}.{_old}"] = f"--recipe.{_name}.{_new}"
for _old in ("bend", "bone-scale", "distance", "elevation", "off-axis", "roll", "speed"):
    RENAMED_OPTIONS[f"train oanet --recipe.views.{_old}"] = f"--recipe.augmentation.{_old}"


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
        new = RENAMED_OPTIONS.get(" ".join([*command[:length], option]))
        if new is not None:
            return new
    return None
