"""movement's netCDF files of poses.

`position` has the axes time, space, keypoints and individuals (or keypoint and individual) in any order, `confidence`
the same without space; each axis has a variable of its name with its labels. `ds_type` is "poses"; `fps` is there if
it is known. netCDF 4 is HDF5, which h5py reads; netCDF 3 is read by SciPy.
"""

from typing import Any

import numpy as np

from occlupose.errors import OccluposeError
from occlupose.formats.content import Content
from occlupose.formats.hdf5 import read_dataset, to_text, to_texts
from occlupose.formats.recording import Recording

__all__ = ["is_hdf5", "is_netcdf3", "read"]

AXES = ("time", "individual", "keypoint", "space")
_HINT = "give a file of poses from movement"


def is_hdf5(file: Any) -> bool:
    """Whether an HDF5 file is movement's."""
    return "position" in file and "ds_type" in file.attrs


def is_netcdf3(file: Any) -> bool:
    """Whether a netCDF 3 file is movement's."""
    return "position" in file.variables and hasattr(file, "ds_type")


def read(content: Content) -> Recording:
    """Everybody in the file. Raises OccluposeError."""
    file = content.value
    attributes = file.attrs if content.kind == "hdf5" else file._attributes
    kind = to_text(attributes["ds_type"])
    if kind != "poses":
        raise OccluposeError(f"{content.path}: is of type {kind}, not poses; {_HINT}")
    position = _read(content, "position", AXES)
    space = to_texts(_labels(content, "space"))
    if space != ["x", "y"]:
        raise OccluposeError(f"{content.path}: has the axes {', '.join(space)}, not x and y; give 2D poses in pixels")
    fps = float(np.ravel(attributes["fps"])[0]) if "fps" in attributes else None
    has_confidence = "confidence" in (file if content.kind == "hdf5" else file.variables)
    return Recording.of_people(
        "movement",
        to_texts(_labels(content, "keypoint")),
        position,
        _read(content, "confidence", AXES[:-1]) if has_confidence else None,
        names=to_texts(_labels(content, "individual")),
        fps=fps,
    )


def _axes(content: Content, name: str) -> tuple[str, ...]:
    """Names of the axes of a variable, in the singular."""
    if content.kind == "hdf5":
        names = [next(iter(axis.keys()), "") for axis in content.value[name].dims]
    else:
        names = list(content.value.variables[name].dimensions)
    return tuple(each.removesuffix("s") for each in names)


def _array(content: Content, name: str) -> np.ndarray:
    if content.kind == "hdf5":
        return read_dataset(content.value, name)
    return np.array(content.value.variables[name][:])


def _read(content: Content, name: str, axes: tuple[str, ...]) -> np.ndarray:
    """A variable with these axes."""
    order = _axes(content, name)
    if sorted(order) != sorted(axes):
        raise OccluposeError(f"{content.path}: {name} has the axes {', '.join(order)}, not {', '.join(axes)}; {_HINT}")
    return _array(content, name).transpose([order.index(axis) for axis in axes]).astype(np.float64)


def _labels(content: Content, axis: str) -> np.ndarray:
    known = content.value if content.kind == "hdf5" else content.value.variables
    name = axis if axis in known else f"{axis}s"
    if name not in known:
        raise OccluposeError(f"{content.path}: no labels of the axis {name}; {_HINT}")
    return _array(content, name)
