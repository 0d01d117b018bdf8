"""Terminal output of the commands, checks of what they write, and their interruption."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from occlupose.errors import OccluposeError, reason
from occlupose.files import LEFTOVER_AGE, remove_leftovers, try_to_write

if TYPE_CHECKING:
    from occlupose.assets import Asset
    from occlupose.poses import Poses

NAME_WIDTH = 20
"""Characters of a file name in a progress bar."""

STATUS_SECONDS = 10.0
"""Time between two lines of progress if the output is not a terminal."""

REPEAT_SECONDS = 1.0
"""Time between two reports of a stage that counts nothing."""

INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM, as in shells after Ctrl-C."""

ASSUMED_CAMERA = "note: a field of view of 55 degrees was assumed; --fov or --camera makes the metres right"

LIFTING = "lifting and writing"
"""The stage of a run without a count of frames."""

BROKEN_PIPE = 141
"""Exit code if the reader of the output ended first, as in shells."""


def summary(poses: "Poses", seconds: float | None = None) -> Table:
    """One row for each person: when they are in the frames, how much of them is visible, and their distance."""
    import numpy as np

    from occlupose.poses import OCCLUDED, VISIBLE

    title = f"{len(poses)} frame{'' if len(poses) == 1 else 's'}, {count(len(poses.track_id))}"
    if seconds is not None:
        title += f", {seconds:.1f} s"
    over_time = len(poses) > 1
    if seconds is not None and over_time:
        title += f" ({len(poses) / seconds:.1f} frames/s)"
    columns = ("from", "to", "frames") if over_time else ()
    table = Table("person", *columns, "visible", "occluded", "distance", title=title)
    for track in poses.tracks():
        if not len(track):
            continue
        present = track.present
        joints = track.state[present]
        depth = np.zeros(0) if track.xyz is None else track.xyz[present, :, 2]
        distance = f"{np.nanmedian(depth):.1f} m" if np.isfinite(depth).any() else ""
        fractions = [f"{(joints == state).mean():.0%}" for state in (VISIBLE, OCCLUDED)]
        when = (f"{track.time[0]:.1f} s", f"{track.time[-1]:.1f} s", str(int(present.sum()))) if over_time else ()
        table.add_row(str(track.track_id), *when, *fractions, distance)
    return table


def announce(console: Console, asset: "Asset") -> None:
    """Prints that a file will be downloaded, which can take a minute."""
    if not asset.present:
        say(console, f"fetching once: {asset.name} ({asset.package} {asset.version}, {asset.licence})")


def print_notes(console: Console, name: str, poses: "Poses", best_rejected: float = 0.0, floorless: str = "") -> None:
    """Prints what the user should know about the result; arguments as of `find_notes`."""
    for note in find_notes(name, poses, best_rejected, floorless):
        say(console, note)


def find_notes(name: str, poses: "Poses", best_rejected: float = 0.0, floorless: str = "") -> list[str]:
    """What the user should know about the result, in lines.

    Arguments:
        name: of the input.
        best_rejected: highest confidence of a detected person whose keypoints were rejected; 0: none.
        floorless: why up and the floor are unknown; "" if they are known.
    """
    unplaced = _find_unplaced(poses) if len(poses.track_id) else []
    notes = [f"warning: {name}: {note}" for note in unplaced]
    if not len(poses.track_id) and best_rejected:
        wrong = f"people were detected, but the confidence of their keypoints is {best_rejected:.2f} at most, too low"
        notes.append(f"warning: {name}: {wrong}; the files are valid but empty")
    elif not len(poses.track_id):
        notes.append(f"warning: {name}: nobody found in it; the files are valid but empty")
    elif not poses.is_anybody_there and not unplaced:
        wrong = "people were detected, but none of their keypoints has enough confidence"
        notes.append(f"warning: {name}: {wrong}; the files are valid but have no poses")
    if floorless and poses.is_anybody_there:
        notes.append(f"note: {name}: {floorless}; the poses are in the camera frame only")
    if poses.is_anybody_there and poses.camera is not None and poses.camera.assumed:
        notes.append(ASSUMED_CAMERA)
    return notes


def _find_unplaced(poses: "Poses") -> list[str]:
    from occlupose.methods.oanet.lifting import find_unplaced

    return find_unplaced(poses)


def say(console: Console, text: str) -> None:
    """Prints one line, whatever the width of the terminal."""
    console.print(f"occlupose: {text}", highlight=False, markup=False, soft_wrap=True)


def print_warnings(console: Console, lines: Iterable[str]) -> None:
    """Prints problems of the data, one a line."""
    for line in lines:
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def count(people: int) -> str:
    """A number of people in words."""
    return "1 person" if people == 1 else f"{people} people"


def short(name: str) -> str:
    """A file name for a progress bar: beginning and end of a long one."""
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 9]}…{name[-8:]}"


class Stoppable(Protocol):
    """Says whether the work is to stop where it is safe."""

    @property
    def asked(self) -> bool:
        """Whether it is."""
        ...


class Interrupt:
    """Ctrl-C or SIGTERM: the first is noted in `asked`, to stop where it is safe; the second ends at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        # else Ctrl-C is ignored, as under nohup, or somebody else takes the signal
        ours = {signal.SIGINT: (signal.default_int_handler,), signal.SIGTERM: (signal.SIG_DFL, _interrupt)}
        before = {number: signal.getsignal(number) for number in ours}
        self._before = {number: handler for number, handler in before.items() if handler in ours[number]}
        for number in self._before:
            signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM is KeyboardInterrupt in this block, unless somebody else takes it."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Speed(ProgressColumn):
    """Mean frames per second, of more than one frame."""

    def render(self, task: Task) -> Text:
        seconds = task.elapsed if task.finished_time is None else task.finished_time
        if not seconds or task.completed < 2 or task.fields.get("counts_inputs"):
            return Text()
        return Text(f"{task.completed / seconds:.1f} frames/s", no_wrap=True)


def progress(console: Console, *, transient: bool = False) -> Progress:
    """Progress bars on a terminal; nothing elsewhere, see `StatusLines`.

    Arguments:
        transient: they are removed at the end.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[people]}"),
        _Speed(),
        TimeRemainingColumn(),
    )
    return Progress(
        *columns, console=console, expand=True, transient=transient, disable=not console.is_terminal or console.quiet
    )


class Report(Protocol):
    """Is told how far a run is."""

    def __call__(self, stage: str, done: int, total: int | None, people: str = "") -> None:
        """So many frames of a stage are done, of so many, if that is known; "people": how many are in the last."""
        ...


class Stages:
    """A bar for each stage of a run on a terminal, a line now and then elsewhere.

    Arguments:
        name: of the input.
    """

    def __init__(self, bars: Progress, console: Console, name: str) -> None:
        self._bars = bars
        self._status = StatusLines(console)
        self._name = short(name)
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int | None, people: str = "") -> None:
        if stage not in self._tasks:
            title = stage if self._tasks else f"{stage} {self._name}"
            self._tasks[stage] = self._bars.add_task(title, total=total, people="")
        self._bars.update(self._tasks[stage], completed=done, total=total, people=people)
        self._status.update(stage, stage, done, total, people)


class StatusLines:
    """A line of progress every `STATUS_SECONDS` if the output is not a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = monotonic()

    def update(self, task: str, stage: str, done: int, total: int | None, people: str = "") -> None:
        """Prints the line of a task if it is due; the other arguments are those of `Report`."""
        is_counted = stage != LIFTING  # has begun when something is done; lifting is over then
        if self._console.is_terminal or monotonic() - self._last < STATUS_SECONDS or bool(done) != is_counted:
            return
        self._last = monotonic()
        of_total = "" if total is None else f" of {total}"
        frames = f": {done}{of_total} frames{people and f', {people}'}" if is_counted else ""
        say(self._console, f"{task}{frames}")


@contextmanager
def repeated(report: Callable[[], object]) -> Iterator[None]:
    """Calls a function every `REPEAT_SECONDS`, in a thread of its own, while the block runs."""
    ended = Event()

    def call() -> None:
        while not ended.wait(REPEAT_SECONDS):
            report()

    thread = Thread(target=call, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def check_folder(folder: Path, *, files: Iterable[str] = ()) -> None:
    """Refuses a folder that could not be created or written to; does not create it.

    Arguments:
        files: names that will be written in it.

    Raises:
        OccluposeError: a file or a broken link is in its place or in that of a parent, it is not writable, or a folder
            has the name of one of the files.
    """
    try:
        try_to_write(folder)
        for name in files:
            if (folder / name).is_dir():
                raise OccluposeError(f"{folder / name}: is a folder; give another folder with -o")
    except OSError as error:
        raise OccluposeError(
            f"{folder}: cannot be written to ({reason(error)}); give another folder with -o"
        ) from error


def check_file(path: Path, option: str = "-o") -> None:
    """Refuses a file that could not be written; writes nothing, and removes what a killed run left of it an hour ago.

    Raises OccluposeError.

    Arguments:
        option: that the file was given with, for the message.
    """
    if path.is_dir():
        raise OccluposeError(f"{path}: is a folder; give the name of a file with {option}")
    folder = path.absolute().parent
    try:
        try_to_write(folder)
    except OSError as error:
        raise OccluposeError(
            f"{path}: cannot be written to ({reason(error)}); give another file with {option}"
        ) from error
    remove_leftovers(folder, [path.stem], older_than=LEFTOVER_AGE)
