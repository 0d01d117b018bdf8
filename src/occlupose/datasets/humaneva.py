"""HumanEva-I (Sigal, Balan and Black, IJCV 2010), as VideoPose3D keeps it.

Three people, three colour cameras, 60 frames a second. A folder holds `data_3d_humaneva15.npz`, for detections
`data_2d_humaneva15_NAME.npz`, and of the dataset itself `S1/Calibration_Data/C1.cal` and so on (or `cameras.json`, see
`views`).

Its subjects are keyed "Train/S1" (to learn from) and "Validate/S1" (to score on), its motions "Walking 1 chunk0": where
the capture failed the motion is cut, and each chunk is an uninterrupted stretch that is a take by itself.
"""

import re
from pathlib import Path

import numpy as np

from occlupose.cameras import Camera
from occlupose.datasets.shots import GROUND_TRUTH, Shot, read_detections, read_motions, take
from occlupose.datasets.take import Take
from occlupose.datasets.views import CAMERAS, View, read_views
from occlupose.errors import OccluposeError
from occlupose.skeletons import HUMANEVA15

FPS = 60.0
SUBJECTS = ("S1", "S2", "S3")
TRAIN = tuple(f"Train/{subject}" for subject in SUBJECTS)
VALIDATE = tuple(f"Validate/{subject}" for subject in SUBJECTS)

ACTIONS = ("Walk", "Jog", "Box")
"""What the protocol scores, each for each subject. The data has ThrowCatch and Gestures too."""

COLOUR = ("C1", "C2", "C3")
"""The colour cameras, in the order of the detections."""

SIZE = (640, 480)
SITE = "the HumanEva site (humaneva.is.tue.mpg.de, registration needed)"


def action_of(name: str) -> str:
    """The action that a motion counts under: "Walking 1 chunk0" is Walk."""
    name = re.sub(r"( \d+)?( chunk\d+)?$", "", name)
    return "Walk" if name == "Walking" else name


def takes(
    folder: Path,
    subjects: tuple[str, ...] = VALIDATE,
    *,
    detections: str = GROUND_TRUTH,
    every: int = 1,
    actions: tuple[str, ...] = ACTIONS,
) -> list[Take]:
    """Every chunk of these subjects and actions before every camera: HUMANEVA15 in metres in the camera frame, 60
    frames a second.

    Pixels are those of a camera without lens distortion, which is taken out of the detections. The subject of a take is
    "S1", the part of the data ("Train/", "Validate/") is in its name.

    Arguments:
        folder: as above.
        subjects: "Validate/S1", "Train/S1", ...
        detections: see `shots.read_detections`; they become `observed`.
        every: only every n-th frame.
        actions: only these, by the names of `action_of`.

    Raises:
        OccluposeError: something is missing or damaged; says what to get and where to put it.
    """
    file = folder / "data_3d_humaneva15.npz"
    if not file.exists():
        raise OccluposeError(
            f"{file}: no such file; get HumanEva-I from {SITE}, turn it into this file as VideoPose3D's DATASETS.md"
            " says, and put it there"
        )
    views = read_cameras(folder, subjects)
    seen = read_detections(folder, "humaneva15", detections)
    motions = read_motions(file, len(HUMANEVA15), subjects)
    result = [
        take(
            Shot(subject, action, number, view),
            view.from_world(xyz),
            HUMANEVA15,
            FPS,
            subject=subject.rpartition("/")[2],
            action=action_of(action),
            detections=seen,
            every=every,
        )
        for subject in subjects
        for action, xyz in motions[subject].items()
        if action_of(action) in actions
        for number, view in enumerate(views[subject])
    ]
    if not result:
        raise OccluposeError(
            f"{file}: no {' or '.join(actions)} of {', '.join(subjects)} in it; convert the dataset anew"
        )
    return result


def read_cameras(folder: Path, subjects: tuple[str, ...]) -> dict[str, list[View]]:
    """The colour cameras before these subjects ("Validate/S1"), from `cameras.json` or else the dataset's calibration
    in the folder.

    Raises:
        OccluposeError: there is neither, or it cannot be read.
    """
    people = {subject: subject.rpartition("/")[2] for subject in subjects}
    if (folder / CAMERAS).exists():
        views = read_views(folder / CAMERAS, tuple(people.values()))
        return {subject: views[person] for subject, person in people.items()}
    return {
        subject: [read_calibration(folder / person / "Calibration_Data" / f"{name}.cal") for name in COLOUR]
        for subject, person in people.items()
    }


def read_calibration(path: Path) -> View:
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
        raise OccluposeError(
            f"{path}: {len(numbers)} numbers{', a skew' if len(numbers) == 22 else ''}; it must be 22, without skew:"
            f" else give {CAMERAS}"
        )
    fx, fy, cx, cy = numbers[:4].tolist()
    try:
        return View(
            path.stem, Camera(*SIZE, fx, fy, cx, cy), numbers[10:19].reshape(3, 3), numbers[19:] / 1000, numbers[5:10]
        )
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error
