"""The output folder of `occlupose run`: files of one input, none left from another run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlupose.cli.terminal import check_folder
from occlupose.errors import OccluposeError
from occlupose.files import atomic, find_by_person

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
"""Version, input and method that the files were made with."""

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
        is_camera = source.kind == "camera"
        input = source.name if is_camera else str(Path(source.name).expanduser().resolve())
        return cls(path, input, overwrite)

    def check(self) -> None:
        """Refuses, before anything is written, what would fail or destroy something later.

        Raises:
            OccluposeError: the folder cannot be written to, one of its files is the input, or it holds poses of another
                input.
        """
        check_output(self.path)
        for name in (*POSES, PREVIEW, OVERLAY, *PAGE_FILES, RUN):
            if str((self.path / name).resolve()) == self.input:
                raise OccluposeError(f"{self.path / name}: is the input; give another folder with -o")
        if self.overwrite or not self._has_poses():
            return
        earlier = self._earlier_input()
        if earlier != self.input:
            whose = "an unknown input" if earlier is None else earlier
            raise OccluposeError(f"{self.path}: holds poses of {whose}; give another folder with -o, or --overwrite")

    def prepare(self, **details: Any) -> None:
        """Removes files of an earlier run, with exports, angles and page, and writes what makes those that follow.

        Comes before poses are written.

        Poses of the same input stay until they are replaced, so that nothing is lost and a run that is killed here
        can be repeated.

        Arguments:
            details: values for JSON, besides the version and the input.
        """
        from occlupose import __version__, formats

        if self._has_poses():
            stale = (PREVIEW, OVERLAY) if self._earlier_input() == self.input else (*POSES, PREVIEW, OVERLAY)
            angles = [file for name in ANGLES for file in find_by_person(self.path / name)]
            for file in (*(self.path / name for name in (*stale, *PAGE_FILES)), *angles):
                file.unlink(missing_ok=True)
            formats.remove(self.path, STEM)

        content = {"occlupose": __version__, "input": self.input, **details}
        with atomic(self.path / RUN) as part:
            part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _has_poses(self) -> bool:
        return any((self.path / name).exists() for name in POSES)

    def _earlier_input(self) -> str | None:
        return recorded_input(self.path)


def recorded_input(folder: Path) -> str | None:
    """The input of the run that made the files in a folder; None where that is unknown."""
    try:
        content = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("input") if isinstance(content, dict) else None


def check_output(path: Path) -> None:
    """Refuses a file name, or a folder that cannot be written to; does not create it. Raises OccluposeError."""
    if path.suffix.lower() in FILE_SUFFIXES and not path.exists():
        raise OccluposeError(f"{path}: is the name of a file; -o is the folder for all results, give a folder")
    check_folder(path, files=(*POSES, PREVIEW, OVERLAY, *PAGE_FILES, RUN))
