"""Finds people in pictures and video, in 2D and in metres, and says of every joint whether it was seen, hidden or
absent.

    occlupose demo                               a short clip, fetched once: look at out/demo/preview.png
    occlupose run walk.mp4                       poses, a preview and a video with its people, in out/walk
    occlupose run walk.mp4 --fov 70 -o results   with the camera's field of view the metres are right
    occlupose lift joints.npz -o poses.npz       2D joints from elsewhere
    occlupose synth --scenes 200 -o people       pictures of people whose every joint is known

Exit codes: 0 done; 2 something that was given cannot be used, one line says what; 130 ended by Ctrl-C.
"""

import sys
from typing import Annotated, Any, Union

import tyro
from tyro.conf import subcommand

from occlupose import __version__
from occlupose.cli.about import doctor
from occlupose.cli.convert import CONVERT
from occlupose.cli.labels import label
from occlupose.cli.people import demo, lift, run
from occlupose.cli.scores import EVAL
from occlupose.cli.synth import synth
from occlupose.cli.terminal import INTERRUPTED
from occlupose.cli.training import TRAIN
from occlupose.errors import OccluposeError

__all__ = ["CONVERT", "EVAL", "TRAIN", "demo", "doctor", "label", "lift", "main", "run", "synth"]


def _choice(commands: dict[str, Any], **about: str) -> Any:
    """The type that tyro reads as one of these commands; a command that is a choice itself needs a line about it."""
    named = (
        Annotated[Any, subcommand(name, constructor=command, description=about.get(name))]
        for name, command in commands.items()
    )
    return Union[tuple(named)]  # noqa: UP007 (however many there are)


def main() -> None:
    """Entry point: errors that a user can mend are one line and exit code 2."""
    commands = {
        "run": run,
        "demo": demo,
        "lift": lift,
        "label": label,
        "synth": synth,
        "convert": _choice(CONVERT),
        "train": _choice(TRAIN),
        "eval": _choice(EVAL),
        "doctor": doctor,
    }
    arguments = sys.argv[1:] or ["--help"]
    try:
        if arguments == ["--version"]:
            print(f"occlupose {__version__}")
        else:
            choice = _choice(
                commands,
                train="Train a network.",
                convert="Make files that occlupose reads from those of others.",
                eval="Score poses by the protocols of datasets.",
            )
            tyro.cli(choice, prog="occlupose", description=__doc__, args=arguments)
    except OccluposeError as error:
        print(f"occlupose: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("occlupose: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
