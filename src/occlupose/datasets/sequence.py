"""PoseSequence, the record that every dataset of 3D poses is read into."""

from dataclasses import dataclass

from occlupose.poses import Poses


@dataclass(frozen=True, eq=False)
class PoseSequence:
    """One person's motion in the view of one camera.

    Attributes:
        name: unique within the dataset, also in files of predictions, e.g. "S9/Walking 1/54138969".
        subject: the person, e.g. "S9".
        action: by the protocol's grouping, e.g. "Walking"; "" where the dataset does not say.
        poses: the ground truth, one person: `xyz` in metres in the camera frame, `xy` in pixels and `state` where they
            are known. `observed` holds the dataset's 2D detections, in their own skeleton, where it has some. Without
            `xyz` the sequence is 2D only.
    """

    name: str
    subject: str
    action: str
    poses: Poses
