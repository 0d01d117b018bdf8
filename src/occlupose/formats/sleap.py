"""SLEAP's analysis files, .h5: tracks of several individuals.

`tracks` has x and y (px), `point_scores` a score of every node, `node_names` and `track_names` their names. The axes
are (track, 2, node, frame), or those that the attribute `dims` of a dataset lists (sleap-io).
"""

from typing import TYPE_CHECKING

import numpy as np

from occlupose.errors import OccluposeError
from occlupose.files import parse_json
from occlupose.formats.content import Content
from occlupose.formats.hdf5 import read_dataset, to_text, to_texts
from occlupose.formats.recording import Recording

if TYPE_CHECKING:
    import h5py

__all__ = ["is_hdf5", "read_hdf5"]

AXES = ("track", "xy", "node", "frame")
_HINT = "give an analysis file of SLEAP"


def is_hdf5(file: "h5py.File") -> bool:
    """Whether an HDF5 file is an analysis file of SLEAP."""
    return "tracks" in file and "node_names" in file


def read_hdf5(content: Content) -> Recording:
    """Everybody in the file. Raises OccluposeError."""
    file = content.value
    nodes = to_texts(read_dataset(file, "node_names"))
    people = to_texts(read_dataset(file, "track_names")) if "track_names" in file and file["track_names"].size else []
    tracks = _read(file, "tracks", AXES)
    if tracks.shape[1:3] != (2, len(nodes)):
        wrong = f"tracks of shape {tracks.shape} beside {len(nodes)} nodes"
        raise OccluposeError(f"{content.path}: {wrong}; they must be (track, 2, node, frame)")
    scores = None
    if "point_scores" in file:
        scores = _read(file, "point_scores", (AXES[0], *AXES[2:])).transpose(2, 0, 1)
        if scores.shape != (tracks.shape[3], tracks.shape[0], len(nodes)):
            raise OccluposeError(f"{content.path}: other point_scores than tracks; {_HINT}")
    return Recording.of_people("SLEAP", nodes, tracks.transpose(3, 0, 2, 1), scores, names=people)


def _read(file: "h5py.File", name: str, axes: tuple[str, ...]) -> np.ndarray:
    """An array with these axes."""
    array = read_dataset(file, name).astype(np.float64)
    named = file[name].attrs.get("dims")
    order = axes if named is None else tuple(parse_json(to_text(named)))
    if sorted(order) != sorted(axes) or array.ndim != len(axes):
        raise OccluposeError(f"{file.filename}: {name} of shape {array.shape}; its axes must be {', '.join(axes)}")
    return array.transpose([order.index(axis) for axis in axes])
