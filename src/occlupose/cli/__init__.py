"""Multi-person 2D and metric 3D human pose from images and video; every joint is visible, occluded or absent.

    occlupose demo                              a clip; see out/demo/preview.png
    occlupose run walk.mp4                      poses and a video, in out/walk
    occlupose run walk.mp4 --fov 70 -o results  field of view: correct metres
    occlupose run archive -o results            all videos in a folder
    occlupose lift joints.npz -o poses.npz      3D poses from 2D joints
    occlupose export out/walk -o walk.csv       poses for other tools
    occlupose angles out/walk -o angles.csv     joint angles
    occlupose view out/walk                     a page to look at
    occlupose synth --scenes 200 -o people      synthetic people, ground truth

COMMAND --help shows options and examples of a command.

Exit codes: 0 done; 1 some of several inputs failed, or a check of doctor; 2 invalid input or option, explained in one
line; 130 ended by Ctrl-C or SIGTERM.
"""

import os
import sys
from collections.abc import Callable

from occlupose import __version__
from occlupose.cli.about import doctor
from occlupose.cli.angles import angles
from occlupose.cli.convert import CONVERT
from occlupose.cli.evaluate import EVAL
from occlupose.cli.export import export
from occlupose.cli.label import label, pseudo_label
from occlupose.cli.page import view
from occlupose.cli.parser import Command, parse
from occlupose.cli.people import demo, lift, run
from occlupose.cli.synth import synth
from occlupose.cli.terminal import BROKEN_PIPE, INTERRUPTED, sigterm_as_ctrl_c
from occlupose.cli.training import TRAIN
from occlupose.errors import OccluposeError

__all__ = [
    "CONVERT",
    "EVAL",
    "TRAIN",
    "angles",
    "demo",
    "doctor",
    "export",
    "label",
    "lift",
    "main",
    "pseudo_label",
    "run",
    "synth",
    "view",
]


COMMANDS: dict[str, Command | dict[str, Command]] = {
    "run": run,
    "demo": demo,
    "lift": lift,
    "export": export,
    "angles": angles,
    "view": view,
    "label": label,
    "pseudo-label": pseudo_label,
    "synth": synth,
    "convert": CONVERT,
    "train": TRAIN,
    "eval": EVAL,
    "doctor": doctor,
}
"""Commands by name, or by the name of their group and their own."""

GROUPS = {
    "train": "Train a network.",
    "convert": "Convert files of other projects to files that occlupose reads.",
    "eval": "Score poses by the protocols of datasets.",
}


def parse_arguments(arguments: list[str]) -> Callable[[], None]:
    """The call that the arguments ask for.

    Raises:
        OccluposeError: the arguments cannot be parsed.
    """
    return parse(COMMANDS, arguments, about=__doc__ or "", groups=GROUPS)


def main() -> None:
    """Entry point. Errors that a user can fix are printed in one line, with exit code 2."""
    arguments = sys.argv[1:] or ["--help"]
    try:
        if arguments == ["--version"]:
            print(f"occlupose {__version__}")
        else:
            with sigterm_as_ctrl_c():
                parse_arguments(arguments)()
        sys.stdout.flush()
    except OccluposeError as error:
        print(f"occlupose: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("occlupose: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # for example from `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # no second error when Python exits
        sys.exit(BROKEN_PIPE)
