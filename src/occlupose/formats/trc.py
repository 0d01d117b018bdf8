"""TRC files of markers: those in pixels (Sports2D), and those in 3D (Pose2Sim, OpenSim), which are also written.

Five lines of header (type, names and values of `DataRate`, `Units`, ...; names of the markers; X1, Y1, Z1, ...), then
a row for each frame: its number, the time, and x, y, z of each marker, separated by tabs; an empty cell is a missing
marker. In 3D, y is up. Sports2D writes "m" as the unit of pixels, too; its z is 0 then. Pose2Sim's Head is the top of
the head.

Files of ours are of one person, in metres: x right, y up, z towards the camera. Where the record has a world, y = 0 is
the floor and the origin lies on it, straight below the camera; else up is that of the image, and the camera the origin.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from occlupose.errors import OccluposeError
from occlupose.formats.axes import to_y_up
from occlupose.formats.content import Content
from occlupose.formats.recording import Recording
from occlupose.formats.tables import read_numbers, split_lines, to_cells
from occlupose.poses import Poses

__all__ = ["is_text", "read_text", "write"]

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""Metres of each unit."""

Y_UP = (1, -1, -1)
"""Signs that turn x right, y up, z towards the viewer into x right, y down, z forward."""

PIXELS = ("px", "pixel", "pixels")
FAR = 100.0
"""Markers farther than this from the origin, with z = 0 everywhere, are in pixels and not in metres. Ours."""

_HEADER = 5
_HINT = "give a TRC file with the lines DataRate, Units and Frame#"


def is_text(lines: Sequence[str]) -> bool:
    """Whether a text file is a TRC file."""
    return bool(lines) and lines[0].startswith("PathFileType")


def read_text(content: Content) -> Recording:
    """The markers, which are of one person. Raises OccluposeError."""
    lines = content.value
    if len(lines) <= _HEADER:
        raise OccluposeError(f"{content.path}: ends in its header; {_HINT}")
    values = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
    markers = [name.strip() for name in lines[3].split("\t")[2:] if name.strip()]
    if not markers or "DataRate" not in values or "Units" not in values:
        raise OccluposeError(f"{content.path}: no markers, DataRate or Units in its header; {_HINT}")
    table = split_lines(lines[_HEADER:], "\t", where=content.path)
    rows = (row for row in table if any(cell.strip() for cell in row))
    numbers = read_numbers(rows, range(3 * len(markers) + 2), content.path)
    if not len(numbers):
        raise OccluposeError(f"{content.path}: no frame below its header; {_HINT}")
    xyz = numbers[:, 2:].reshape(-1, len(markers), 3)
    joints = ["head_top" if name.lower() == "head" else name for name in markers]
    unit = values["Units"].strip().lower()
    recording = Recording.of_people("TRC", joints, xyz[:, None, :, :2], fps=_rate(values["DataRate"], content))
    if unit in PIXELS or (unit == "m" and _is_flat(xyz)):
        return recording
    if unit not in UNITS:
        raise OccluposeError(f"{content.path}: in the unit {unit!r}; it must be mm, m or px")
    recording.xyz = xyz * UNITS[unit] * Y_UP
    recording.xy = np.full_like(recording.xy, np.nan)
    recording.notes.append(f"is in 3D, in {unit} with y up: turned to x right, y down, z forward, in metres")
    return recording


def _rate(text: str, content: Content) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise OccluposeError(f"{content.path}: DataRate is {text!r}; it must be frames per second") from error


def _is_flat(xyz: Float[np.ndarray, "time joint 3"]) -> bool:
    known = xyz[np.isfinite(xyz[..., :2]).all(-1)]
    return len(known) > 0 and not np.nan_to_num(known[:, 2]).any() and bool(np.abs(known[:, :2]).max() > FAR)


def write(poses: Poses, path: Path) -> None:
    """Writes one person, in metres, y up. Raises OSError."""
    frames = len(poses)
    joints = ["_".join(joint.split()) for joint in poses.skeleton.joints]
    values: dict[str, object] = {
        "DataRate": poses.fps,
        "CameraRate": poses.fps,
        "NumFrames": frames,
        "NumMarkers": len(joints),
    }
    values |= {"Units": "m", "OrigDataRate": poses.fps, "OrigDataStartFrame": 1, "OrigNumFrames": frames}
    cells = to_cells(to_y_up(poses)[:, 0].reshape(frames, -1))
    rows = zip(range(1, frames + 1), poses.time.tolist(), cells, strict=True)
    axes = [f"{axis}{number}" for number in range(1, len(joints) + 1) for axis in "XYZ"]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["PathFileType", 4, "(X/Y/Z)", "poses.trc"])
        table.writerows([values.keys(), values.values()])
        table.writerow(["Frame#", "Time", *(cell for joint in joints for cell in (joint, "", ""))])
        table.writerows([["", "", *axes], []])
        table.writerows([frame, time, *row] for frame, time, row in rows)
