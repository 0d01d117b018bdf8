"""The sample record that every dataset of 3D poses gives."""

from dataclasses import dataclass

from occlupose.poses import Poses


@dataclass(frozen=True, eq=False)
class Take:
    """One person's motion before one camera, as a dataset has it.

    Attributes:
        name: tells it from every other take of the dataset, also in prediction files, e.g. "S9/Walking 1/54138969".
        subject: who it is, e.g. "S9".
        action: what they do, as the protocol groups it, e.g. "Walking"; "" where the dataset does not say.
        poses: the truth, one person: `xyz` in metres in the camera frame, `xy` in pixels and `state` where they are
            known. `observed` holds 2D detections in their own skeleton where the dataset brings some. Without `xyz` the
            take is 2D only.
    """

    name: str
    subject: str
    action: str
    poses: Poses
