"""The formats that are read, and which of them a file has; the formats that are written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from occlupose.errors import OccluposeError
from occlupose.formats import (
    alphapose,
    arrays,
    bvh,
    c3d,
    coco,
    deeplabcut,
    gltf,
    mediapipe,
    mediapipe_csv,
    mmpose,
    mot,
    movement,
    openpose,
    rerun,
    sleap,
    spreadsheet,
    trc,
)
from occlupose.formats.content import Content, Kind
from occlupose.formats.recording import Recording
from occlupose.skeletons import BODY25, COCO17, Skeleton

__all__ = ["EXPORTS", "FORMATS", "ExportFormat", "Format", "read_recording"]


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        name: of the tool, and of what it writes.
        kind: of the content.
        recognises: whether the value of a content of this kind is of this format.
        read: what is in it. Raises OccluposeError if it is damaged.
    """

    name: str
    kind: Kind
    recognises: Callable[[Any], bool]
    read: Callable[[Content], Recording]


FORMATS = (
    Format("OpenPose folders", "folder", openpose.is_folder, openpose.read_folder),
    Format("MMPose folders", "folder", mmpose.is_folder, mmpose.read_folder),
    Format("OpenPose JSON", "json", openpose.is_document, openpose.read_document),
    Format("COCO results", "json", coco.is_results, coco.read_results),
    Format("COCO annotations", "json", coco.is_annotations, coco.read_annotations),
    Format("AlphaPose JSON", "json", alphapose.is_document, alphapose.read_document),
    Format("MMPose JSON", "json", mmpose.is_document, mmpose.read_document),
    Format("MediaPipe JSON", "json", mediapipe.is_document, mediapipe.read_document),
    Format("DeepLabCut H5", "hdf5", deeplabcut.is_hdf5, deeplabcut.read_hdf5),
    Format("SLEAP analysis H5", "hdf5", sleap.is_hdf5, sleap.read_hdf5),
    Format("movement netCDF", "hdf5", movement.is_hdf5, movement.read),
    Format("movement netCDF", "netcdf3", movement.is_netcdf3, movement.read),
    Format("TRC", "text", trc.is_text, trc.read_text),
    Format("DeepLabCut CSV", "text", deeplabcut.is_table, deeplabcut.read_table),
    Format("MediaPipe CSV", "text", mediapipe_csv.is_table, mediapipe_csv.read_table),
    Format("MediaPipe arrays", "numpy", mediapipe.is_arrays, mediapipe.read_arrays),
    Format("NumPy arrays", "numpy", arrays.is_arrays, arrays.read_arrays),
)
"""In the order in which they are tried."""


def read_recording(content: Content) -> Recording:
    """What is in a file or folder, in whichever format.

    Raises:
        OccluposeError: it has none of the formats, or is damaged.
    """
    for each in FORMATS:
        if each.kind == content.kind and each.recognises(content.value):
            return each.read(content)
    names = ", ".join(dict.fromkeys(each.name.split()[0] for each in FORMATS))
    raise OccluposeError(f"{content.path}: no poses that occlupose knows; give a .npz or .json file, or one of {names}")


@dataclass(frozen=True)
class ExportFormat:
    """A format of files that is written.

    Attributes:
        name: in options.
        ending: of the names of its files; a folder's has no suffix.
        write: writes the record, whose people are all in it, to a new path, with `rotations` from their skeletons, its
            third argument. Raises OSError and OccluposeError.
        dimensions: 2 or 3, if it holds only such poses; None: it takes both.
        skeleton: if it holds only the joints of this one.
        one_person: a file holds one person.
        rotations: it holds rotations of segments.
        library: (module, extra) that it needs.
    """

    name: str
    ending: str
    write: Callable[..., None]
    dimensions: int | None = None
    skeleton: Skeleton | None = None
    one_person: bool = False
    rotations: bool = False
    library: tuple[str, str] | None = None


_WIDE_CSV = partial(spreadsheet.write_csv, wide=True)
_WIDE_XLSX = partial(spreadsheet.write_xlsx, wide=True)

EXPORTS = (
    ExportFormat("csv", ".csv", spreadsheet.write_csv),
    ExportFormat("csv-wide", "-wide.csv", _WIDE_CSV),
    ExportFormat("xlsx", ".xlsx", spreadsheet.write_xlsx, library=("xlsxwriter", "xlsx")),
    ExportFormat("xlsx-wide", "-wide.xlsx", _WIDE_XLSX, library=("xlsxwriter", "xlsx")),
    ExportFormat("trc", ".trc", trc.write, dimensions=3, one_person=True),
    ExportFormat("mot", ".mot", mot.write, dimensions=3, one_person=True, rotations=True),
    ExportFormat("c3d", ".c3d", c3d.write, dimensions=3, library=("ezc3d", "c3d")),
    ExportFormat("bvh", ".bvh", bvh.write, dimensions=3, one_person=True, rotations=True),
    ExportFormat("gltf", ".glb", gltf.write, dimensions=3, rotations=True, library=("pygltflib", "gltf")),
    ExportFormat("nc", ".nc", movement.write),
    ExportFormat("nc-2d", "-2d.nc", movement.write, dimensions=2),
    ExportFormat("openpose", "-openpose", openpose.write_folder, dimensions=2, skeleton=BODY25),
    ExportFormat("coco", "-coco.json", coco.write_results, dimensions=2, skeleton=COCO17),
    ExportFormat("rrd", ".rrd", rerun.write, library=("rerun", "rerun")),
)
"""Of those with one suffix the first is the one that a file name means."""
