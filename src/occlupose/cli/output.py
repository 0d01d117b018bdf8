"""The output folder of `occlupose run`: files of one input, none left from another run."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlupose.cli.fingerprint import digest, stamp
from occlupose.cli.terminal import check_folder
from occlupose.errors import OccluposeError
from occlupose.files import atomic, find_by_person, parse_json, remove_leftovers
from occlupose.folder_lock import locked

if TYPE_CHECKING:
    from occlupose.media import Source

STEM = "poses"
POSES = (f"{STEM}.npz", f"{STEM}.json")
PREVIEW = "preview.png"
OVERLAY = "overlay.mp4"
PAGE = "page.html"
PAGE_FILES = (PAGE, "page_video.mp4")
"""The page, and its video if that is long."""

RUN = "run.json"
"""Version, input, method and settings that the files were made with; and that they are finished, once all are."""

NOT_UTF8 = "backslashreplace"
"""For names of files in JSON that are not UTF-8: an escape that JSON knows."""

DRAWINGS = (PREVIEW, OVERLAY, *PAGE_FILES)

ANGLES = ("angles.csv", "angles.png")
"""What `occlupose angles` writes; of pictures there may be one for each person."""

FILE_SUFFIXES = tuple(
    ".mp4 .mov .avi .mkv .webm .png .jpg .jpeg .npz .json .csv .xlsx .trc .mot .c3d .bvh .glb .nc .rrd".split()
)
"""A name with such a suffix is not meant as a folder."""


@dataclass(frozen=True)
class OutputFolder:
    """Where the files of one run are written.

    Attributes:
        path: of the folder.
        input: absolute path of the input, or its address.
        overwrite: whether poses of another input may be replaced.
    """

    path: Path
    input: str
    overwrite: bool = False

    @classmethod
    def of(cls, path: Path, source: "Source", *, overwrite: bool = False) -> "OutputFolder":
        """The output folder of a source."""
        return cls(path, source.name if source.kind == "camera" else absolute(source.name), overwrite)

    def check(self) -> None:
        """Refuses, before anything is written, what would fail or destroy something later.

        Raises:
            OccluposeError: as of `check_place` and `check_owner`.
        """
        self.check_place()
        self.check_owner()

    def check_place(self) -> None:
        """Raises OccluposeError: the folder cannot be written to, or one of its files is the input."""
        _check_folder(self.path)
        for name in (*POSES, *DRAWINGS, RUN):
            if str((self.path / name).resolve()) == self.input:
                raise OccluposeError(f"{self.path / name}: is the input; give another folder with -o")

    def check_owner(self) -> None:
        """Raises OccluposeError: the folder holds poses of another input."""
        if self.overwrite or not self._has_poses():
            return
        earlier = self._earlier_input()
        if earlier != self.input:
            whose = "an unknown input" if earlier is None else earlier
            raise OccluposeError(f"{self.path}: holds poses of {whose}; give another folder with -o, or --overwrite")

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keeps other processes out of the folder, and removes what a killed one left in it.

        Raises:
            OccluposeError: another process is writing into it.
        """
        with locked(self.path):
            remove_leftovers(self.path, [STEM, *(Path(name).stem for name in (*DRAWINGS, *ANGLES, RUN))])
            yield

    def prepare(self, written: Sequence[str], **details: Any) -> None:
        """Removes files of an earlier run, with exports, angles and page, and writes what makes those that follow.

        Comes before poses are written.

        Poses of the same input stay until they are replaced, so that nothing is lost and a run that is killed here
        can be repeated.

        Arguments:
            written: names of the files of poses that follow.
            details: values for JSON, besides the version and the input.
        """
        from occlupose import __version__, formats

        if self._has_poses():
            record = read_record(self.path)
            if record.get("finished"):
                self._write(record | {"finished": False})
            is_same = record.get("input") == self.input
            poses = [name for name in POSES if not is_same or name not in written]
            angles = [file for name in ANGLES for file in find_by_person(self.path / name)]
            for file in (*(self.path / name for name in (*poses, *DRAWINGS)), *angles):
                file.unlink(missing_ok=True)
            formats.remove(self.path, STEM)
        self._write({"occlupose": __version__, "input": self.input, **details, "finished": False})

    def finish(self, written: Sequence[str], **details: Any) -> None:
        """Writes that all files are there; comes last.

        Arguments:
            written: their names.
            details: more values for JSON.
        """
        self._write(read_record(self.path) | {"files": list(written)} | details | {"finished": True})

    def find_finished(self, files: Sequence[Path], settings: dict[str, Any]) -> dict[str, Any] | None:
        """What an earlier run wrote about itself, if it finished this input with these settings; else None.

        Size and times of the files tell whether they are still the same.

        Arguments:
            files: of the input.
            settings: as they were given to `prepare`.

        Raises:
            OccluposeError: a file of the input is missing.
        """
        record = self._finished_record(settings)
        is_same = record.get("input") == self.input and record["content"].items() >= stamp(files).items()
        return record if is_same else None

    def recognise_finished(self, files: Sequence[Path], settings: dict[str, Any]) -> dict[str, Any] | None:
        """The same by the content of files whose times or place have changed, which are written down.

        Only in the block of `taken`.

        Raises:
            OccluposeError: a file of the input is missing or cannot be read.
        """
        record = self._finished_record(settings)
        recorded = record.get("content", {})
        now = stamp(files)
        if not record or recorded.get("size") != now["size"] or recorded.get("sha256") != digest(files):
            return None
        record |= {"input": self.input, "content": recorded | now}
        self._write(record)
        return record

    def _finished_record(self, settings: dict[str, Any]) -> dict[str, Any]:
        """What a run wrote about itself; empty unless it finished files with these settings, and they are all there."""
        record = read_record(self.path)
        files = record.get("files")
        names = [POSES[0], *(files if isinstance(files, list) else [])]
        present = [path.name for path in self.path.iterdir()] if record else []
        is_whole = record.get("finished") is True and all(name in present for name in names)
        is_same = record.get("settings") == settings and isinstance(record.get("content"), dict)
        return record if is_whole and is_same else {}

    def _has_poses(self) -> bool:
        return any((self.path / name).exists() for name in POSES)

    def _earlier_input(self) -> str | None:
        return recorded_input(self.path)

    def _write(self, record: dict[str, Any]) -> None:
        with atomic(self.path / RUN) as part:
            part.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", errors=NOT_UTF8)


def read_record(folder: Path) -> dict[str, Any]:
    """What a run wrote about itself in a folder; empty where that is not known."""
    try:
        content = parse_json((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def recorded_input(folder: Path) -> str | None:
    """The input of the run that made the files in a folder; None where that is unknown."""
    return read_record(folder).get("input")


def check_output(path: Path) -> None:
    """Refuses a file name, or a folder that cannot be written to; does not create it. Raises OccluposeError."""
    if path.suffix.lower() in FILE_SUFFIXES and not path.exists():
        raise OccluposeError(f"{path}: is the name of a file; -o is the folder for all results, give a folder")
    _check_folder(path)


def _check_folder(path: Path) -> None:
    check_folder(path, files=(*POSES, *DRAWINGS, RUN))


def absolute(input: str) -> str:
    """The path of an input by which it is known again."""
    return str(Path(input).expanduser().resolve())
