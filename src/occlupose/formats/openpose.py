"""OpenPose's JSON files: one for each frame, NAME_000000000000_keypoints.json, as `--write_json` writes them.

A file has `people`; each has `pose_keypoints_2d`, x, y and confidence of every joint, and since version 1.3
`person_id`, [-1] where unknown. A joint that is not found has 0 for all three. Pose2Sim and Sports2D write such files
with other joints. With `--keypoint_scale 3` x and y are fractions of the image.

Files of ours are in pixels, BODY_25, `person_id` is the track id. The confidence of an inferred joint may be 0, so that
other tools take it as missing.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import AliasChoices, BaseModel, Field, TypeAdapter

from occlupose.errors import OccluposeError
from occlupose.formats.content import Content, checked, parse_json
from occlupose.formats.recording import Recording, Rows
from occlupose.pose_files import shortest
from occlupose.poses import Poses
from occlupose.skeletons import BODY25, BODY25B, Skeleton

__all__ = ["is_document", "is_folder", "read_document", "read_folder", "read_frames", "write_folder"]

_HINT = "give OpenPose's JSON files, with x, y and confidence of every joint"
_SAMPLE = 2000
"""Rows by which the order of the joints is told."""


class _Person(BaseModel):
    pose_keypoints_2d: list[float | None] = Field(
        validation_alias=AliasChoices("pose_keypoints_2d", "pose_keypoints", "joints")
    )
    person_id: list[int] | int = -1


class _Frame(BaseModel):
    people: list[_Person] = Field(validation_alias=AliasChoices("people", "bodies"))


def is_document(document: Any) -> bool:
    """Whether a JSON document is a file of OpenPose."""
    if not isinstance(document, dict) or not isinstance(document.get("people"), list):
        return False
    return all(
        isinstance(each, dict) and {"pose_keypoints_2d", "pose_keypoints"} & {*each} for each in document["people"]
    )


def is_folder(files: Sequence[tuple[int, Any]]) -> bool:
    """Whether a folder's .json files are OpenPose's, by the first of them."""
    return is_document(parse_json(files[0][1]))


def read_document(content: Content) -> Recording:
    """A single frame. Raises OccluposeError."""
    return read_frames(content.path, [(0, content.path, content.value)])


def read_folder(content: Content) -> Recording:
    """A folder with a file for each frame; missing files are frames without people. Raises OccluposeError."""
    return read_frames(content.path, ((number, path, parse_json(path)) for number, path in content.value))


def read_frames(path: Path, documents: Iterable[tuple[int, Path, Any]], tool: str = "OpenPose") -> Recording:
    """The people of frames.

    Arguments:
        path: of all of them, for messages.
        documents: number of each frame, the file that it is in, and an object with `people`.

    Raises:
        OccluposeError: a document is of another form, people have different joints, or there is nobody.
    """
    schema = TypeAdapter(_Frame)
    rows = Rows(path)
    frames = []
    for number, file, document in documents:
        frames.append(number)
        for person in checked(file, schema, document, _HINT).people:
            if person.pose_keypoints_2d:  # else only a face or hands
                rows.add(number, _keypoints(person, file), _identity(person))
    recording = rows.recording(tool, frames=frames)
    recording.may_be_fractions = True
    if recording.joints == BODY25.joints:
        skeleton = _tell_apart(recording.xy[:_SAMPLE])
        recording.joints = skeleton.joints
        if skeleton != BODY25:
            recording.notes.append(f"its 25 joints are in the order of BODY_25B ({skeleton.name})")
    return recording


def _keypoints(person: _Person, file: Path) -> Float[np.ndarray, "joint 3"]:
    numbers = np.array(person.pose_keypoints_2d, np.float64)
    if len(numbers) % 3:
        raise OccluposeError(f"{file}: a person with {len(numbers)} numbers, not three for each joint; {_HINT}")
    keypoints = numbers.reshape(-1, 3)
    missing = ~(keypoints[:, 2] > 0) | (keypoints[:, :2] == 0).all(1)
    keypoints[missing] = np.nan
    return keypoints


def _identity(person: _Person) -> int | None:
    numbers = [person.person_id] if isinstance(person.person_id, int) else person.person_id
    return numbers[0] if numbers and numbers[0] >= 0 else None


def _tell_apart(xy: Float[np.ndarray, "row 25 2"]) -> Skeleton:
    """BODY_25 or BODY_25B: the one whose limbs are shorter. Ours; the files do not say."""
    lengths = []
    for skeleton in (BODY25, BODY25B):
        ends = np.array([skeleton.index(*limb) for limb in skeleton.limbs])
        limbs = np.linalg.norm(xy[:, ends[:, 0]] - xy[:, ends[:, 1]], axis=-1)
        known = limbs[np.isfinite(limbs)]
        lengths.append(known.mean() if len(known) else np.inf)
    return BODY25B if lengths[1] < lengths[0] else BODY25


def write_folder(poses: Poses, path: Path) -> None:
    """Writes a new folder with a file for each frame, in which those are who are there. Raises OSError."""
    path.mkdir()
    parts = ("face_keypoints", "hand_left_keypoints", "hand_right_keypoints")
    empty: dict[str, object] = {f"{part}_2d": [] for part in parts}
    empty |= {f"{part}_3d": [] for part in ("pose_keypoints", *parts)}
    for number, frame in enumerate(poses.frames()):
        triples = np.concatenate([np.nan_to_num(frame.xy), frame.score[..., None]], axis=-1)
        triples[np.isnan(frame.xy).any(-1)] = 0
        numbers = shortest(triples.reshape(len(frame), 3 * len(poses.skeleton))).tolist()
        people = [
            {"person_id": [person], "pose_keypoints_2d": keypoints, **empty}
            for person, keypoints in zip(frame.track_id.tolist(), numbers, strict=True)
        ]
        document = json.dumps({"version": 1.3, "people": people}, separators=(",", ":"))
        (path / f"poses_{number:012d}_keypoints.json").write_text(document, encoding="utf-8")
