"""MMPose's JSON files of predictions, as its inferencer and its demos write them.

Of a video: a list with the number of each frame, `frame_id`, and its `instances`; the demos have it as `instance_info`
beside `meta_info`, which has the names of the joints (`keypoint_id2name`). Of images: a folder with a file for each,
which is the list of instances alone. An instance has `keypoints` (x and y of every joint), `keypoint_scores`, and with
a tracker `track_id`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import BaseModel, TypeAdapter

from occlupose.errors import OccluposeError
from occlupose.formats.content import Content, checked, parse_json
from occlupose.formats.recording import Recording, Rows, number_frames

__all__ = ["is_document", "is_folder", "read_document", "read_folder"]

_HINT = "give 2D predictions of MMPose's inferencer"


class _Instance(BaseModel):
    keypoints: list[list[float | None]]
    keypoint_scores: list[float | None] | None = None
    track_id: int | None = None


class _Frame(BaseModel):
    frame_id: int
    instances: list[_Instance]


def _is_instances(document: Any) -> bool:
    return isinstance(document, list) and all(
        isinstance(each, dict) and isinstance(each.get("keypoints"), list) and "image_id" not in each
        for each in document
    )


def is_document(document: Any) -> bool:
    """Whether a JSON document is MMPose's: of a video, or of one image."""
    if isinstance(document, dict):
        return "instance_info" in document
    frames = isinstance(document, list) and all(isinstance(each, dict) and "instances" in each for each in document)
    return bool(document) and (frames or _is_instances(document))


def is_folder(files: Sequence[tuple[int, Any]]) -> bool:
    """Whether a folder's .json files are lists of instances, by the first of them."""
    return _is_instances(parse_json(files[0][1]))


def read_document(content: Content) -> Recording:
    """A video, or an image. Raises OccluposeError."""
    document = content.value
    names = None
    if isinstance(document, dict):
        names = _joint_names(document.get("meta_info"))
        document = document["instance_info"]
    elif _is_instances(document):
        document = [{"frame_id": 0, "instances": document}]
    return _recording(content, checked(content.path, TypeAdapter(list[_Frame]), document, _HINT), names)


def read_folder(content: Content) -> Recording:
    """A folder with a file for each image. Raises OccluposeError."""
    schema = TypeAdapter(list[_Instance])
    frames = [
        _Frame.model_construct(frame_id=number, instances=checked(path, schema, parse_json(path), _HINT))
        for number, path in content.value
    ]
    return _recording(content, frames, None)


def _recording(content: Content, frames: list[_Frame], names: list[str] | None) -> Recording:
    numbers, notes = number_frames(frame.frame_id for frame in frames)
    rows = Rows(content.path)
    for frame in frames:
        for instance in frame.instances:
            rows.add(numbers[frame.frame_id], _keypoints(instance, content), instance.track_id)
    recording = rows.recording("MMPose", names, frames=numbers.values())
    recording.notes += notes
    return recording


def _keypoints(instance: _Instance, content: Content) -> Float[np.ndarray, "joint 3"]:
    scores = instance.keypoint_scores or [1.0] * len(instance.keypoints)
    lengths = {len(joint) for joint in instance.keypoints}
    if lengths == {3}:
        raise OccluposeError(f"{content.path}: keypoints in 3D, whose unit is unknown; {_HINT}")
    if lengths != {2} or len(scores) != len(instance.keypoints):
        raise OccluposeError(f"{content.path}: keypoints are not x and y of every joint, with a score each; {_HINT}")
    return np.column_stack([np.array(instance.keypoints, np.float64), np.array(scores, np.float64)])


def _joint_names(meta_info: Any) -> list[str] | None:
    """Names in order, of `keypoint_id2name`; None where there are none."""
    names = meta_info.get("keypoint_id2name") if isinstance(meta_info, dict) else None
    if not isinstance(names, dict):
        return None
    try:
        return [str(name) for _, name in sorted(names.items(), key=lambda item: int(item[0]))]
    except ValueError:
        return None
