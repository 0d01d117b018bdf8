"""MediaPipe's landmarks, or joints of any names, in CSV files.

Wide: a row for each frame, with columns such as `x1, y1, z1, v1, ...`, `landmark_0_x, ...` or `nose_x, nose_y,
nose_visibility, ...`. Long: a row for each landmark, with columns `frame`, `landmark` (a name, or MediaPipe's number),
`x`, `y`, and maybe `visibility` and `person`. Numbers of landmarks count from 0, or from 1 if the last is 33.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from occlupose.errors import OccluposeError
from occlupose.formats.content import Content
from occlupose.formats.mediapipe import FRAME, SCORE
from occlupose.formats.names import match
from occlupose.formats.recording import Recording
from occlupose.formats.tables import LONGEST, read_numbers, split_lines
from occlupose.skeletons import BLAZEPOSE33

__all__ = ["is_table", "read_table"]

_LANDMARK = ("landmark", "landmark_id", "landmark_name", "landmark_index", "landmark_idx", "keypoint", "joint")
_PERSON = ("person", "person_id", "pose", "pose_id", "track_id")
_AXES = {"x": 0, "y": 1, **dict.fromkeys(SCORE, 2)}
_COLUMN = re.compile(rf"(.*?)[\s_.-]*({'|'.join(_AXES)})[\s_.-]*(\d*)", re.IGNORECASE)
_HINT = "give a table of landmarks with x, y and visibility"


class _Column(NamedTuple):
    joint: str
    axis: int
    place: int


def is_table(lines: Sequence[str]) -> bool:
    """Whether a text file has landmarks, by its header."""
    if not lines or len(lines[0]) > LONGEST:
        return False
    header = next(split_lines(lines[:1], where="header"), [])
    return bool(_wide(header)) or bool(_long(header))


def _wide(header: list[str]) -> list[_Column]:
    """The columns of x, y and score of all joints that have x and y."""
    columns = []
    for place, cell in enumerate(header):
        if found := _COLUMN.fullmatch(cell.strip()):
            joint, axis, number = found.groups()
            columns.append(_Column(joint + (number and f"_{number}"), _AXES[axis.lower()], place))
    placed = {(column.joint, column.axis) for column in columns}
    return [column for column in columns if column.joint and {(column.joint, 0), (column.joint, 1)} <= placed]


def _long(header: list[str]) -> dict[str, int]:
    """The places of the columns in a table with a row for each landmark; none if it is of another form."""
    names = [cell.strip().lower() for cell in header]
    columns = {"frame": FRAME, "landmark": _LANDMARK, "person": _PERSON, "x": ("x",), "y": ("y",), "score": SCORE}
    found = {column: [name for name in names if name in spellings] for column, spellings in columns.items()}
    places = {column: names.index(spellings[0]) for column, spellings in found.items() if spellings}
    return places if {"frame", "landmark", "x", "y"} <= {*places} else {}


def read_table(content: Content) -> Recording:
    """Either form. Raises OccluposeError."""
    table = split_lines(content.value, where=content.path)
    header = next(table)
    places = _long(header)
    if places:
        return _read_long(content, list(table), places)
    return _read_wide(content, table, _wide(header), header)


def _read_wide(content: Content, table: Iterator[list[str]], columns: list[_Column], header: list[str]) -> Recording:
    joints = list(dict.fromkeys(column.joint for column in columns))
    places = [place for place, cell in enumerate(header) if cell.strip().lower() in FRAME][:1]
    numbers = read_numbers(table, [*(column.place for column in columns), *places], content.path)
    keypoints = np.full((len(numbers), 1, len(joints), 3), np.nan)
    for column, values in zip(columns, numbers.T, strict=False):
        keypoints[:, 0, joints.index(column.joint), column.axis] = values
    frame = _whole(numbers[:, -1], content) if places else None
    return _recording(content, joints, keypoints, frame)


def _read_long(content: Content, table: list[list[str]], places: dict[str, int]) -> Recording:
    axes = {name: places[name] for name in ("x", "y", "score") if name in places}
    numbers = read_numbers(table, [places["frame"], *axes.values()], content.path)
    frames, frame = np.unique(_whole(numbers[:, 0], content), return_inverse=True)
    joints, joint = _numbered(table, places["landmark"])
    joints = [f"landmark_{name}" if name.isdecimal() else name for name in joints]
    people, person = _numbered(table, places["person"]) if "person" in places else ([""], [0] * len(table))
    if len({*zip(frame.tolist(), person, joint, strict=True)}) < len(table):
        raise OccluposeError(
            f"{content.path}: a landmark twice in a frame; give people a column person, or one file each"
        )
    keypoints = np.full((len(frames), len(people), len(joints), 3), np.nan)
    for axis, values in zip(axes, numbers[:, 1:].T, strict=True):
        keypoints[frame, person, joint, _AXES[axis]] = values
    return _recording(content, joints, keypoints, frames)


def _numbered(table: list[list[str]], column: int) -> tuple[list[str], list[int]]:
    """The different cells of a column, and the place of each row's among them."""
    cells = [row[column].strip() if column < len(row) else "" for row in table]
    places = {cell: place for place, cell in enumerate(dict.fromkeys(cells))}
    return list(places), [places[cell] for cell in cells]


def _whole(values: Float[np.ndarray, " row"], content: Content) -> np.ndarray:
    if not (np.abs(values) < 2**53).all():
        raise OccluposeError(f"{content.path}: a row without the number of its frame; {_HINT}")
    return values.astype(np.int64)


def _recording(
    content: Content, joints: list[str], keypoints: Float[np.ndarray, "time person joint 3"], frame: np.ndarray | None
) -> Recording:
    if not len(keypoints):
        raise OccluposeError(f"{content.path}: no row below the header; {_HINT}")
    score = keypoints[..., 2]
    names = _names(joints)
    return Recording.of_people("MediaPipe", names, keypoints[..., :2], score, frame=frame, may_be_fractions=True)


def _names(joints: list[str]) -> list[str] | None:
    """Names of joints; None where they only have numbers, unless these are MediaPipe's."""
    numbered = [found for joint in joints if (found := re.fullmatch(r"(.*?)_?([0-9]{1,4})", joint))]
    if len(numbered) < len(joints) or any(map(match, joints)):
        return joints
    numbers = [int(found[2]) for found in numbered]
    first = 1 if max(numbers) == len(BLAZEPOSE33) else 0
    landmarks = len(joints) == len(BLAZEPOSE33) or all(found[1].lower() == "landmark" for found in numbered)
    if landmarks and all(0 <= number - first < len(BLAZEPOSE33) for number in numbers):
        return [BLAZEPOSE33.joints[number - first] for number in numbers]
    return None
