"""Tables of poses, CSV and XLSX, for spreadsheets, pandas and R.

Long: a row for each joint of each person in each frame. Wide: a row for each person in each frame, whose columns are
called as those of the long table, with the joint's name before. Frames in which somebody is absent have no row. The
first row names the columns with their units. Pixel centres are at integers. An empty cell is an unknown number; others
are those of the record, without loss.

`x_m`, `y_m`, `z_m` and covariances are in the camera frame: x right, y down, z forward, from the camera. Where the
record has a world, there are also `x_world_m` (right), `y_world_m` (where the camera looks, along the floor) and
`z_world_m` (up), from the point of the floor that is straight below the camera. Where it has contacts,
`left_heel_contact`, ... are the probabilities that heels and big toes touch something that bears them.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from occlupose.body_parts import BEARING
from occlupose.errors import OccluposeError
from occlupose.formats.tables import to_cells
from occlupose.poses import ABSENT, STATE_NAMES, Poses, with_fields

__all__ = ["write_csv", "write_xlsx"]

_PAIRS = ("xx", "yy", "zz", "xy", "xz", "yz")
JOINT_COLUMNS = {
    "state": ("state",),
    "score": ("score",),
    "xy": ("x_px", "y_px"),
    "xyz": ("x_m", "y_m", "z_m"),
    "xyz_world": ("x_world_m", "y_world_m", "z_world_m"),
    "spread": ("spread_px",),
    "covariance": tuple(f"cov_{pair}_m2" for pair in _PAIRS),
}
"""Names of the columns of each array with a value for each joint."""

FEET = tuple(point for point in BEARING if point.endswith(("heel", "big_toe")))
PERSON_COLUMNS = {
    "root_covariance": tuple(f"root_cov_{pair}_m2" for pair in _PAIRS),
    "feet": tuple(f"{point}_contact" for point in FEET),
}
"""Those of each array with a value for each person."""

SHEET = (1_048_576, 16_384)
"""Rows and columns of a sheet, at most."""

_CHUNK = 200
"""Frames that are turned into rows at once."""


def write_csv(poses: Poses, path: Path, *, wide: bool = False) -> None:
    """Writes a table in UTF-8, with commas. Raises OSError."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(_rows(poses, wide))


def write_xlsx(poses: Poses, path: Path, *, wide: bool = False) -> None:
    """Writes a workbook of one sheet, with xlsxwriter.

    Raises:
        OccluposeError: more rows or columns than a sheet has.
        OSError: it cannot be written.
    """
    import xlsxwriter
    from xlsxwriter.exceptions import FileCreateError

    states = (poses.rows(person)[1]["state"] for person in range(len(poses.track_id)))
    people = sum(int((state != ABSENT).any(-1).sum()) for state in states)
    size = (1 + people * (1 if wide else len(poses.skeleton)), len(_header(poses, wide)))
    if size[0] > SHEET[0] or size[1] > SHEET[1]:
        wrong = f"{size[0]} rows and {size[1]} columns are more than the {SHEET[0]} and {SHEET[1]} of a sheet"
        raise OccluposeError(f"{wrong}; export csv, or fewer frames")
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    try:
        with xlsxwriter.Workbook(str(path), options) as workbook:
            sheet = workbook.add_worksheet("poses")
            sheet.freeze_panes(1, 0)
            for number, row in enumerate(_rows(poses, wide)):
                sheet.write_row(number, 0, row)
    except FileCreateError as error:
        raise OSError(*error.args[0].args) from error


def _arrays(poses: Poses) -> dict[str, np.ndarray]:
    """What is known of joints and people, (time, person, ...), by the names in `JOINT_COLUMNS` and `PERSON_COLUMNS`."""
    arrays = poses.arrays
    if poses.xyz_world is not None:
        arrays["xyz_world"] = poses.xyz_world.astype(np.float32)
    if poses.contact is not None:
        arrays["feet"] = poses.contact[..., [BEARING.index(point) for point in FEET]]
    return arrays


def _columns(columns: dict[str, tuple[str, ...]], arrays: dict[str, np.ndarray]) -> list[str]:
    return [column for name, names in columns.items() if name in arrays for column in names]


def _header(poses: Poses, wide: bool) -> list[str]:
    arrays = _arrays(poses.select(time=slice(0)))
    row = ["frame", "time_s", "person", *_columns(PERSON_COLUMNS, arrays)]
    columns = _columns(JOINT_COLUMNS, arrays)
    if wide:
        return row + [f"{joint}_{column}" for joint in poses.skeleton.joints for column in columns]
    return [*row, "joint", *columns]


def _rows(poses: Poses, wide: bool) -> Iterator[list[object]]:
    """The header and the rows below it."""
    poses = with_fields(poses, observed=None)
    yield [*_header(poses, wide)]
    for start in range(0, len(poses), _CHUNK):
        yield from _table(poses.select(time=slice(start, start + _CHUNK)), start, wide).tolist()


def _table(poses: Poses, start: int, wide: bool) -> np.ndarray:
    """The rows of some frames, the first of which has the number `start`; an array of objects."""
    frame, person = np.nonzero((poses.state != ABSENT).any(-1))
    arrays = _arrays(poses)
    row = [frame + start, poses.time[frame], poses.track_id[person]]
    row += [arrays[name][frame, person].T for name in PERSON_COLUMNS if name in arrays]
    lead = np.vstack([to_cells(values) for values in row]).T
    blocks = [to_cells(arrays[name][frame, person]) for name in JOINT_COLUMNS if name in arrays]
    blocks[0] = np.array(STATE_NAMES, object)[poses.state[frame, person]]
    joints = len(poses.skeleton)
    block = np.concatenate([np.atleast_3d(values) for values in blocks], axis=-1)
    if wide:
        return np.hstack([lead, block.reshape(len(frame), joints * block.shape[-1])])
    names = np.tile(np.array(poses.skeleton.joints, object), len(frame))[:, None]
    return np.hstack([lead.repeat(joints, axis=0), names, block.reshape(len(names), block.shape[-1])])
