"""Human3.6M and HumanEva-I as training data: people in the cameras that filmed them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from occlupose.datasets.formats import h36m, humaneva
from occlupose.datasets.motion import MotionClip
from occlupose.datasets.sequence import PoseSequence
from occlupose.skeletons import BODY22, Skeleton, convert

FilmedDataset = Literal["h36m", "humaneva"]

CARD_DATA: dict[FilmedDataset, str] = {
    "h36m": f"Human3.6M, {', '.join(h36m.TRAIN)}, in its own cameras",
    "humaneva": "HumanEva-I, training parts of S1, S2, S3, in its own cameras",
}
"""Entries of the cards."""

FACE = BODY22.index("nose", "left_eye", "right_eye", "left_ear", "right_ear")
THORAX, NECK_NOSE, HEAD_TOP = BODY22.index("thorax", "neck_nose", "head_top")

HEAD_LENGTH = 0.5
"""Distance from HumanEva's head joint to the top of the head, in distances from the thorax to it. Ours."""

UPRIGHT = np.array([1.0, -1.0, -1.0])
"""Turns the frame of a level camera (y down) into a world with y up, and back."""


def load_clips(dataset: FilmedDataset, folder: Path) -> list[MotionClip]:
    """The training part of a dataset, of every camera, for `MocapWindows` with `own_cameras`.

    Raises:
        OccluposeError: a file is missing or damaged; says which file to get and where to put it.
    """
    if dataset == "h36m":
        sequences = h36m.load_sequences(folder, h36m.TRAIN)
    else:
        sequences = humaneva.load_sequences(folder, humaneva.TRAIN)
    return [clip for sequence in sequences for clip in to_clips(sequence)]


def to_clips(sequence: PoseSequence) -> Iterator[MotionClip]:
    """The unbroken parts of a sequence in which every joint is known, in the frame of its camera, turned to y up.

    Joints that a dataset lacks are set (ours): the face, which is not among the networks' joints, at the neck; of
    HumanEva also the spine (`skeletons.convert`), the neck at the head, and the top of the head above it.
    """
    assert sequence.poses.xyz is not None, "datasets have 3D"
    joints = _to_body22(sequence.poses.xyz[:, 0], sequence.poses.skeleton) * UPRIGHT
    known = np.isfinite(joints).all((1, 2))
    for part in np.split(np.arange(len(joints)), np.flatnonzero(np.diff(known)) + 1):
        if known[part].all() and len(part) > 1:
            name = f"{sequence.name} {part[0]}"
            yield MotionClip(name, sequence.subject, sequence.poses.fps, joints[part].astype(np.float32))


def _to_body22(xyz: Float[np.ndarray, "time joint 3"], skeleton: Skeleton) -> Float[np.ndarray, "time 22 3"]:
    joints = convert(xyz, skeleton, BODY22)
    if "head" in skeleton.joints:
        head = xyz[:, skeleton.joints.index("head")]
        joints[:, NECK_NOSE] = head
        joints[:, HEAD_TOP] = head + HEAD_LENGTH * (head - joints[:, THORAX])
    joints[:, FACE] = joints[:, NECK_NOSE, None]
    return joints
