"""movement's netCDF files of poses.

`position` has the axes time, space, keypoints and individuals (or keypoint and individual) in any order, `confidence`
the same without space; each axis has a variable of its name with its labels. `ds_type` is "poses"; `fps` is there if
it is known. netCDF 4 is HDF5, which h5py reads; netCDF 3 is read and written by SciPy.

Files of ours have the schema of movement 0.15. `position` is in metres (x right, y down, z forward, from the camera),
or in pixels for poses in 2D; its `units` say which. Beside it there are `state`, `spread`, `covariance`,
`root_covariance`, `rotation`, `rotation_covariance` and `contact`, as of `Poses`, so in the camera frame, and
`position_world`: metres in the world (x right, y where the camera looks along the floor, z up from the floor; the
origin is on it, straight below the camera).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from occlupose.body_parts import BEARING, SEGMENTS
from occlupose.errors import OccluposeError
from occlupose.formats.content import Content
from occlupose.formats.hdf5 import read_dataset, to_text, to_texts
from occlupose.formats.recording import Recording
from occlupose.poses import STATE_NAMES, Poses

__all__ = ["is_hdf5", "is_netcdf3", "read", "write"]

AXES = ("time", "individual", "keypoint", "space")
OURS = "occlupose"
"""The software of files in 3D that are read: of others unit and axes are unknown."""

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
    software = to_text(attributes.get("source_software", ""))
    in_3d = space == ["x", "y", "z"] and software == OURS
    if space != ["x", "y"] and not in_3d:
        raise OccluposeError(f"{content.path}: has the axes {', '.join(space)}, not x and y; give 2D poses in pixels")
    fps = float(np.ravel(attributes["fps"])[0]) if "fps" in attributes else None
    variables = file if content.kind == "hdf5" else file.variables
    recording = Recording.of_people(
        "movement",
        to_texts(_labels(content, "keypoint")),
        position[..., :2],
        _read(content, "confidence", AXES[:-1]) if "confidence" in variables else None,
        names=to_texts(_labels(content, "individual")),
        fps=fps,
    )
    if in_3d:
        recording.xyz = position.reshape(len(recording.xy), -1, 3)
        recording.xy = np.full_like(recording.xy, np.nan)
    if "state" in variables and software == OURS:
        recording.state = _read(content, "state", AXES[:-1]).reshape(recording.xy.shape[:2]).astype(np.uint8)
    return recording


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


_JOINT = ("time", "keypoints", "individuals")
_PLACE = ("time", "space", "keypoints", "individuals")
DIMENSIONS: dict[str, tuple[str, ...]] = {
    "position": _PLACE,
    "position_world": _PLACE,
    "confidence": _JOINT,
    "state": _JOINT,
    "spread": _JOINT,
    "covariance": ("time", "pair", "keypoints", "individuals"),
    "root_covariance": ("time", "pair", "individuals"),
    "rotation": ("time", "quaternion", "segments", "individuals"),
    "rotation_covariance": ("time", "pair", "segments", "individuals"),
    "contact": ("time", "contact_points", "individuals"),
}
"""Axes of the variables of files that are written."""

UNITS = dict.fromkeys(("confidence", "state", "rotation", "contact"), "1") | {
    "position_world": "m",
    "spread": "px",
    "covariance": "m^2",
    "root_covariance": "m^2",
    "rotation_covariance": "rad^2",
}
"""Of these, but of `position`."""


def write(poses: Poses, path: Path) -> None:
    """Writes everybody. Raises OSError."""
    from scipy.io import netcdf_file

    arrays = poses.arrays
    arrays |= {"position": poses.xy if poses.xyz is None else poses.xyz, "confidence": poses.score}
    if poses.xyz_world is not None:
        arrays["position_world"] = poses.xyz_world
    labels = {
        "space": "xyz"[: arrays["position"].shape[-1]],
        "keypoints": poses.skeleton.joints,
        "individuals": [f"id_{number}" for number in poses.track_id],
        "pair": ("xx", "yy", "zz", "xy", "xz", "yz"),
        "quaternion": "wxyz",
        "segments": SEGMENTS,
        "contact_points": BEARING,
    }
    units = UNITS | {"position": "px" if poses.xyz is None else "m"}
    with netcdf_file(path, "w", version=2) as file:
        attributes = {"source_software": OURS, "ds_type": "poses", "fps": poses.fps, "time_unit": "seconds"}
        for name, value in attributes.items():
            setattr(file, name, value)
        file.createDimension("time", len(poses))
        file.createVariable("time", "d", ("time",))[:] = poses.time
        for name, axes in DIMENSIONS.items():
            if name in arrays:
                for axis in axes[1:]:
                    _write_labels(file, axis, labels[axis])
                reversed_axes = range(arrays[name].ndim - 1, 0, -1)
                variable: Any = file.createVariable(name, "b" if name == "state" else "f", axes)
                variable[:] = arrays[name].transpose(0, *reversed_axes)
                variable.units = units[name]
                if name == "state":
                    variable.flag_values = np.arange(3, dtype=np.int8)
                    variable.flag_meanings = " ".join(STATE_NAMES)


def _write_labels(file: Any, name: str, texts: Sequence[str]) -> None:
    """An axis with its labels, once: characters in UTF-8, as xarray writes them."""
    if name in file.dimensions:
        return
    letters = np.array([text.encode() for text in texts])[:, None].view("S1")
    file.createDimension(name, len(texts))
    file.createDimension(f"{name}_letters", letters.shape[1])
    variable = file.createVariable(name, "c", (name, f"{name}_letters"))
    variable[:] = letters
    variable._Encoding = "utf-8"
