"""AlphaPose's results in the forms that resemble CMU-Pose's and OpenPose's, as `--format cmu` and `--format open` write
them.

A JSON object with a member for each image, by its name: `bodies` with `joints`, or `people` with `pose_keypoints_2d`;
x, y and confidence of the 18 joints of OpenPose's COCO model. What it writes by default is read by `coco`.
"""

from typing import Any

from occlupose.formats.content import Content
from occlupose.formats.openpose import read_frames
from occlupose.formats.recording import Recording, number_frames

__all__ = ["is_document", "read_document"]


def is_document(document: Any) -> bool:
    """Whether a JSON document is of this form."""
    return isinstance(document, dict) and bool(document) and all(map(_is_image, document.values()))


def _is_image(value: Any) -> bool:
    people = value.get("bodies", value.get("people")) if isinstance(value, dict) else None
    return isinstance(people, list) and all(isinstance(person, dict) for person in people)


def read_document(content: Content) -> Recording:
    """Everybody in the file. Raises OccluposeError."""
    numbers, notes = number_frames(content.value)
    frames = ((numbers[name], content.path, image) for name, image in content.value.items())
    recording = read_frames(content.path, frames, "AlphaPose")
    recording.notes += notes
    return recording
