"""The formats that are read, and which of them a file has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from occlupose.errors import OccluposeError
from occlupose.formats import (
    alphapose,
    arrays,
    coco,
    deeplabcut,
    mediapipe,
    mediapipe_csv,
    mmpose,
    movement,
    openpose,
    sleap,
    trc,
)
from occlupose.formats.content import Content, Kind
from occlupose.formats.recording import Recording

__all__ = ["FORMATS", "Format", "read_recording"]


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
