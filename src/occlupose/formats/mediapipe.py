"""MediaPipe's pose landmarks in JSON files and NumPy arrays, as people save them; `mediapipe_csv` reads tables.

MediaPipe returns 33 landmarks with x, y, z, `visibility` and, in its tasks, `presence`; x and y are fractions of the
image. z, a depth in the same unit, is not read. MediaPipe writes no files itself, so these forms are taken:

- JSON: a list of frames; in each the landmarks (objects with x, y and `visibility`, or lists of numbers in the order
  below) of one person, or a list of people. Objects in between may have them as one of `_INSIDE`, and the number of
  the frame as one of `FRAME`. null or an empty list is a frame without people.
- NumPy: (time, 33, 2 to 5) or (time, person, 33, 2 to 5), in the order x, y, z, visibility, presence; or flat, (time,
  132).
"""

from typing import Any

import numpy as np

from occlupose.errors import OccluposeError
from occlupose.formats.content import Content
from occlupose.formats.recording import Recording, Rows
from occlupose.skeletons import BLAZEPOSE33

__all__ = ["FRAME", "SCORE", "is_arrays", "is_document", "read_arrays", "read_document"]

FRAME = ("frame", "frame_id", "frame_idx", "frame_index", "frame_number", "frame_num")
"""What the number of a frame is called."""

SCORE = ("visibility", "vis", "v", "score", "confidence", "c", "likelihood")
"""What the confidence of a landmark is called."""

_INSIDE = ("landmarks", "landmark", "pose_landmarks", "poseLandmarks", "poses", "frames")
_NUMBERS = range(2, 6)
_JOINTS = len(BLAZEPOSE33)
_HINT = "give landmarks with x, y and visibility"


def is_document(document: Any) -> bool:
    """Whether a JSON document has landmarks."""
    return any(_people(frame) for frame in _frames(document))


def read_document(content: Content) -> Recording:
    """JSON. Raises OccluposeError."""
    rows = Rows(content.path)
    frames = _frames(content.value)
    numbers = [_frame_number(frame, place) for place, frame in enumerate(frames)]
    names = None
    for number, frame in zip(numbers, frames, strict=True):
        for person in _people(frame):
            rows.add(number, np.array([_keypoint(landmark, content) for landmark in person]))
            names = names or _names(person)
    recording = rows.recording("MediaPipe", names, frames=numbers)
    recording.may_be_fractions = True
    return recording


def _frames(document: Any) -> list[Any]:
    inside = _inside(document)
    if not isinstance(inside, list):
        return []
    return [document] if _is_person(inside) else inside


def _inside(value: Any) -> Any:
    """What holds the landmarks, without the objects around it."""
    while isinstance(value, dict):
        value = next((value[name] for name in _INSIDE if name in value), None)
    return value


def _people(value: Any) -> list[list[Any]]:
    """The landmarks of everybody in a frame."""
    value = _inside(value)
    if not isinstance(value, list):
        return []
    return [value] if _is_person(value) else [person for each in value for person in _people(each)]


def _is_person(value: list[Any]) -> bool:
    if value and isinstance(value[0], dict):
        return {"x", "y"} <= {*value[0]}
    return len(value) == _JOINTS and all(isinstance(each, list) and _are_numbers(each) for each in value)


def _are_numbers(values: list[Any]) -> bool:
    return len(values) in _NUMBERS and all(each is None or isinstance(each, int | float) for each in values)


def _frame_number(frame: Any, place: int) -> int:
    found = next((frame[name] for name in FRAME if name in frame), place) if isinstance(frame, dict) else place
    return found if isinstance(found, int) and abs(found) < 2**53 else place


def _names(person: list[Any]) -> list[str] | None:
    names = [str(landmark["name"]) for landmark in person if isinstance(landmark, dict) and "name" in landmark]
    return names if len(names) == len(person) else None


def _keypoint(landmark: Any, content: Content) -> tuple[float, float, float]:
    """x, y and visibility, NaN where there is none."""
    try:
        if isinstance(landmark, dict):
            score = next((landmark[name] for name in SCORE if landmark.get(name) is not None), np.nan)
            return _number(landmark["x"]), _number(landmark["y"]), _number(score)
        return _number(landmark[0]), _number(landmark[1]), _number(landmark[3]) if len(landmark) > 3 else np.nan
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise OccluposeError(f"{content.path}: {landmark!r:.60} is not a landmark; {_HINT}") from error


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def is_arrays(arrays: dict[str, np.ndarray]) -> bool:
    """Whether there is an array of landmarks."""
    return len(arrays) == 1 and _shape(*arrays.values()) is not None


def _shape(array: np.ndarray) -> tuple[int, ...] | None:
    """(time, person, 33, numbers) of an array of landmarks; None: it is something else."""
    shape = array.shape
    if len(shape) == 2 and shape[1] % _JOINTS == 0:
        shape = (shape[0], _JOINTS, shape[1] // _JOINTS)
    if len(shape) not in (3, 4) or shape[-2] != _JOINTS or shape[-1] not in _NUMBERS:
        return None
    return shape if len(shape) == 4 else (shape[0], 1, *shape[1:])


def read_arrays(content: Content) -> Recording:
    """NumPy. Raises OccluposeError."""
    array = next(iter(content.value.values()))
    shape = _shape(array)
    if shape is None or array.dtype.kind not in "fiu":
        raise OccluposeError(f"{content.path}: holds {array.dtype} of shape {array.shape}; {_HINT}")
    array = array.reshape(shape).astype(np.float64)
    score = array[..., 3] if shape[-1] > 3 else None
    return Recording.of_people("MediaPipe", BLAZEPOSE33.joints, array[..., :2], score, may_be_fractions=True)
