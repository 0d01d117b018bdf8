"""HumanEva-I (Sigal, Balan and Black, IJCV 2010), as VideoPose3D keeps it.

Three people, three colour cameras, 60 frames a second. A folder holds `data_3d_humaneva15.npz`, for detections
`data_2d_humaneva15_NAME.npz`, and of the dataset itself `S1/Calibration_Data/C1.cal` and so on (or `cameras.json`, see
`cameras_file`).

Its subjects are keyed "Train/S1" (training) and "Validate/S1" (evaluation), its motions "Walking 1 chunk0": where
the capture failed, the motion is cut, and each chunk is a sequence by itself.
"""

import re
from pathlib import Path

import numpy as np

from occlupose.cameras import Camera
from occlupose.datasets.calibration import CalibratedCamera
from occlupose.datasets.formats.cameras_file import CAMERAS, read_cameras_file
from occlupose.datasets.formats.videopose3d import (
    GROUND_TRUTH,
    CameraClip,
    make_sequence,
    read_detections,
    read_motions,
)
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.skeletons import HUMANEVA15

FPS = 60.0
SUBJECTS = ("S1", "S2", "S3")
TRAIN = tuple(f"Train/{subject}" for subject in SUBJECTS)
VALIDATE = tuple(f"Validate/{subject}" for subject in SUBJECTS)

ACTIONS = ("Walk", "Jog", "Box")
"""Actions that the protocol scores, by subject. The data has ThrowCatch and Gestures too."""

COLOUR = ("C1", "C2", "C3")
"""The colour cameras, in the order of the detections."""

SIZE = (640, 480)
SITE = "the HumanEva site (humaneva.is.tue.mpg.de, registration needed)"


def parse_action(name: str) -> str:
    """The action that a motion belongs to: "Walking 1 chunk0" is Walk."""
    name = re.sub(r"( \d+)?( chunk\d+)?$", "", name)
    return "Walk" if name == "Walking" else name


def load_sequences(
    folder: Path,
    subjects: tuple[str, ...] = VALIDATE,
    *,
    detections: str = GROUND_TRUTH,
    every: int = 1,
    actions: tuple[str, ...] = ACTIONS,
) -> list[PoseSequence]:
    """Every chunk of these subjects and actions in every camera: HUMANEVA15 in metres in the camera frame, 60 frames a
    second.

    Pixels are undistorted. The subject of a sequence is "S1"; the part of the data ("Train/", "Validate/") is in its
    name.

    Arguments:
        folder: as above.
        subjects: "Validate/S1", "Train/S1", ...
        detections: as `videopose3d.read_detections` takes; they become `observed`.
        every: take every n-th frame.
        actions: only these, by the names of `parse_action`.

    Raises:
        OccluposeError: a file is missing or damaged; says which file to get and where to put it.
    """
    file = folder / "data_3d_humaneva15.npz"
    if not file.exists():
        raise OccluposeError(
            f"{file}: no such file; get HumanEva-I from {SITE}, turn it into this file as VideoPose3D's DATASETS.md"
            " says, and put it there"
        )
    cameras = read_cameras(folder, subjects)
    observed = read_detections(folder, "humaneva15", detections)
    motions = read_motions(file, len(HUMANEVA15), subjects)
    result = [
        make_sequence(
            CameraClip(subject, action, index, camera),
            camera.from_world(xyz),
            HUMANEVA15,
            FPS,
            subject=subject.rpartition("/")[2],
            action=parse_action(action),
            detections=observed,
            every=every,
        )
        for subject in subjects
        for action, xyz in motions[subject].items()
        if parse_action(action) in actions
        for index, camera in enumerate(cameras[subject])
    ]
    if not result:
        raise OccluposeError(
            f"{file}: no {' or '.join(actions)} of {', '.join(subjects)} in it; convert the dataset again"
        )
    return result


def read_cameras(folder: Path, subjects: tuple[str, ...]) -> dict[str, list[CalibratedCamera]]:
    """The colour cameras of these subjects ("Validate/S1"), from `cameras.json` or else the dataset's calibration in
    the folder.

    Raises:
        OccluposeError: there is neither, or it cannot be read.
    """
    people = {subject: subject.rpartition("/")[2] for subject in subjects}
    if (folder / CAMERAS).exists():
        cameras = read_cameras_file(folder / CAMERAS, tuple(people.values()))
        return {subject: cameras[person] for subject, person in people.items()}
    return {
        subject: [read_cal_file(folder / person / "Calibration_Data" / f"{name}.cal") for name in COLOUR]
        for subject, person in people.items()
    }


def read_cal_file(path: Path) -> CalibratedCamera:
    """A camera from one of the dataset's .cal files.

    They hold 22 numbers, in the order of Bouguet's calibration toolbox: two focal lengths, principal point, skew, five
    coefficients of distortion (k1, k2, p1, p2, k3), the rotation by rows and the translation (mm); a point X of the
    world is at R X + t. A skew is refused, since our cameras have none.

    Raises:
        OccluposeError: there is no such file, or something else is in it.
    """
    try:
        numbers = np.array(path.read_text(encoding="utf-8").split(), np.float64)
    except FileNotFoundError as error:
        raise OccluposeError(
            f"{path}: no such file; put Calibration_Data of HumanEva-I ({SITE}) there, or a {CAMERAS} into the folder"
        ) from error
    except (OSError, ValueError) as error:
        raise OccluposeError(f"{path}: not a calibration of HumanEva-I; take it from {SITE}") from error
    if len(numbers) != 22 or abs(numbers[4]) > 1e-6:
        given = f"{len(numbers)} numbers{', a skew' if len(numbers) == 22 else ''}"
        raise OccluposeError(f"{path}: {given}; it must be 22, without skew, or give {CAMERAS}")
    fx, fy, cx, cy = numbers[:4].tolist()
    try:
        return CalibratedCamera(
            path.stem, Camera(*SIZE, fx, fy, cx, cy), numbers[10:19].reshape(3, 3), numbers[19:] / 1000, numbers[5:10]
        )
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
