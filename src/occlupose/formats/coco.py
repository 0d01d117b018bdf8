"""COCO's JSON files of keypoints: results, and annotations; and AlphaPose's results, which are like COCO's.

Results are a list; each element is a person with `image_id` (a number, or the name of an image), `keypoints` (x, y and
a third number of every joint: a confidence, or v as in annotations), and a `score`. AlphaPose adds `idx`, who it is,
others `track_id`. Annotations have `images`, `annotations` and `categories` with the names of the `keypoints`; their v
is 2 for a visible joint, 1 for an occluded one, 0 for one that is not annotated. In both an image is a frame of a
video: by the number in its name, or by its id.

Results of ours have `image_id`, the number of a frame from 0, the joint states as v, `keypoint_scores` with the
confidences, their mean as `score`, and `track_id`; x and y are in pixels.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import AliasChoices, BaseModel, Field, TypeAdapter

from occlupose.errors import OccluposeError
from occlupose.formats.content import Content, checked
from occlupose.formats.recording import Recording, Rows, number_frames
from occlupose.pose_files import shortest
from occlupose.poses import ABSENT, Poses

__all__ = ["is_annotations", "is_results", "read_annotations", "read_results", "write_results"]

_HINT = "give poses in COCO's format of keypoints"
PERSON = 1
"""Category of people in COCO."""


class _Result(BaseModel):
    image_id: int | str
    category_id: int = PERSON
    keypoints: list[float | None]
    idx: float | list[Any] | None = Field(None, validation_alias=AliasChoices("idx", "track_id"))


class _Category(BaseModel):
    id: int
    name: str = ""
    keypoints: list[str] = []


class _Image(BaseModel):
    id: int | str
    file_name: str = ""
    width: int | None = None
    height: int | None = None


class _Annotation(BaseModel):
    image_id: int | str
    category_id: int = PERSON
    keypoints: list[float | None] = []
    track_id: int | None = None


class _File(BaseModel):
    categories: list[_Category]
    images: list[_Image]
    annotations: list[_Annotation]


def is_results(document: Any) -> bool:
    """Whether a JSON document is a list of results."""
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and {"image_id", "keypoints"} <= {*first}


def is_annotations(document: Any) -> bool:
    """Whether a JSON document is a file of annotations."""
    return isinstance(document, dict) and {"images", "annotations", "categories"} <= {*document}


def read_results(content: Content) -> Recording:
    """Results of COCO or AlphaPose. Raises OccluposeError."""
    results = checked(content.path, TypeAdapter(list[_Result]), content.value, _HINT)
    categories = {result.category_id for result in results}
    chosen = PERSON if PERSON in categories else min(categories)
    results = [result for result in results if result.category_id == chosen]
    numbers, notes = number_frames(result.image_id for result in results)
    keypoints = [_triples(result.keypoints, content.path) for result in results]
    states = any((each[:, 2] == 2).any() for each in keypoints) and all(
        np.isin(np.nan_to_num(each[:, 2]), (0, 1, 2)).all() for each in keypoints
    )
    rows = Rows(content.path)
    for result, each in zip(results, keypoints, strict=True):
        rows.add(numbers[result.image_id], each, _identity(result.idx))
    named = isinstance(results[0].image_id, str)
    recording = rows.recording("AlphaPose" if named else "COCO")
    recording.notes += notes
    return _with_states(recording) if states else recording


def read_annotations(content: Content) -> Recording:
    """Annotations in COCO's format. Raises OccluposeError."""
    file = checked(content.path, TypeAdapter(_File), content.value, _HINT)
    category = _people(file, content.path)
    sizes = {(image.width, image.height) for image in file.images} - {(None, None)}
    if len(sizes) > 1:
        several = " and ".join(f"{width} x {height}" for width, height in sorted(sizes, key=str)[:2])
        raise OccluposeError(f"{content.path}: has images of {several}; give the frames of one video")
    names = {image.id: image.file_name or image.id for image in file.images}
    numbers, notes = number_frames(Path(name).name if isinstance(name, str) else name for name in names.values())
    frames = {key: numbers[Path(name).name if isinstance(name, str) else name] for key, name in names.items()}
    rows = Rows(content.path)
    for person in file.annotations:
        if person.category_id == category.id and person.keypoints:
            if person.image_id not in frames:
                wrong = f"a person in image {person.image_id!r:.60}, which is not among its images"
                raise OccluposeError(f"{content.path}: {wrong}; {_HINT}")
            rows.add(frames[person.image_id], _triples(person.keypoints, content.path), person.track_id)
    recording = rows.recording("COCO", category.keypoints or None, frames=frames.values())
    recording.notes += notes
    width, height = sizes.pop() if sizes else (None, None)
    recording.size = (width, height) if width is not None and height is not None else None
    return _with_states(recording)


def _people(file: _File, path: Path) -> _Category:
    """The category of people: of those with joints the one that is called so, else the first."""
    known = [category for category in file.categories if category.keypoints]
    people = [category for category in known if category.name == "person"] + known
    if not people:
        raise OccluposeError(f"{path}: no category with keypoints; {_HINT}")
    return people[0]


def _triples(numbers: list[float | None], path: Path) -> Float[np.ndarray, "joint 3"]:
    keypoints = np.array(numbers, np.float64)
    if not len(keypoints) or len(keypoints) % 3:
        raise OccluposeError(f"{path}: keypoints with {len(keypoints)} numbers, not three for each joint; {_HINT}")
    keypoints = keypoints.reshape(-1, 3)
    keypoints[(keypoints == 0).all(1)] = np.nan
    return keypoints


def _identity(idx: float | list[Any] | None) -> int | None:
    """AlphaPose writes a number, or lists of one."""
    while isinstance(idx, list):
        idx = idx[0] if idx else None
    if isinstance(idx, float):
        return int(idx) if math.isfinite(idx) else None
    return idx if isinstance(idx, int) else None


def _with_states(recording: Recording) -> Recording:
    """The same with the third number of every joint as its state, not its score."""
    state = np.nan_to_num(np.asarray(recording.score))
    recording.xy[state == ABSENT] = np.nan
    recording.state = state.clip(0, 2).astype(np.uint8)
    recording.score = None
    return recording


def write_results(poses: Poses, path: Path) -> None:
    """Writes everybody in every frame in which they are, a line each. Raises OSError."""
    with path.open("w", encoding="utf-8") as file:
        for place, result in enumerate(_results(poses)):
            file.write(f"{',' if place else '['}\n{json.dumps(result, separators=(',', ':'))}")
        file.write("\n]\n")


def _results(poses: Poses) -> Iterator[dict[str, Any]]:
    for number, frame in enumerate(poses.frames()):
        state = frame.state.astype(np.float32)
        triples = shortest(np.concatenate([np.nan_to_num(frame.xy), state[..., None]], axis=-1))
        triples = triples.reshape(len(frame), 3 * len(poses.skeleton))
        score = np.where(frame.state == ABSENT, 0, frame.score)
        mean = score.sum(-1) / (frame.state != ABSENT).sum(-1)
        rows = zip(frame.track_id.tolist(), triples.tolist(), shortest(score).tolist(), mean.tolist(), strict=True)
        for person, keypoints, scores, confidence in rows:
            yield {
                "image_id": number,
                "category_id": PERSON,
                "keypoints": keypoints,
                "score": confidence,
                "keypoint_scores": scores,
                "track_id": person,
            }
