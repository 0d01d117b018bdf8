"""Human3.6M (Ionescu et al., TPAMI 2014), from its own .cdf files or as VideoPose3D keeps it.

Seven people with public poses, fifteen actions twice, four cameras, 50 frames a second. A folder holds `metadata.xml`
of the dataset's code release (or `cameras.json`, see `cameras_file`) and either

- `data_3d_h36m.npz` and, for detections, `data_2d_h36m_NAME.npz`; or
- `S9/MyPoseFeatures/D3_Positions_mono/Walking 1.54138969.cdf` and, if wanted, `D2_Positions/` beside it; or the world
  positions, `S9/MyPoseFeatures/D3_Positions/Walking 1.cdf`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

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
from occlupose.skeletons import H36M17

FPS = 50.0
TRAIN = ("S1", "S5", "S6", "S7", "S8")
TEST = ("S9", "S11")
"""Subjects of Protocols 1 and 2, as VideoPose3D and OANet have them."""

JOINTS = 32
KEPT = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
"""Indices of H36M-17's joints among the dataset's 32."""

ACTIONS = tuple(
    "Directions Discussion Eating Greeting Phoning Photo Posing Purchases Sitting SittingDown Smoking Waiting WalkDog"
    " Walking WalkTogether".split()
)
SAME_ACTION = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}
CORRUPTED = ("S11", "Directions")
"""A video that is damaged; every evaluation leaves it out."""

SIZE = (1000, 1002)
"""Of the images in pixels; two of the cameras lack the last two rows."""

SUBJECTS = 11
CAMERA_COUNT = 4
SITE = "the Human3.6M site (vision.imar.ro/human3.6m, registration needed)"


def parse_action(name: str) -> str:
    """The action that a motion belongs to: "Walking 1" is Walking, "TakingPhoto" is Photo."""
    return re.sub(r" \d+$", "", _usual_spelling(name))


def _usual_spelling(name: str) -> str:
    """A motion's name in the usual spelling of its action: "TakingPhoto 1" is "Photo 1"."""
    action, *number = name.split(" ", 1)
    return " ".join([SAME_ACTION.get(action, action), *number])


def load_sequences(
    folder: Path,
    subjects: tuple[str, ...] = TEST,
    *,
    detections: str = GROUND_TRUTH,
    every: int = 1,
    actions: tuple[str, ...] = (),
) -> list[PoseSequence]:
    """Every motion of these subjects in every camera: H36M-17 in metres in the camera frame, 50 frames a second.

    Pixels are undistorted.

    Arguments:
        folder: as above.
        detections: as `videopose3d.read_detections` takes; they become `observed`.
        every: take every n-th frame.
        actions: only these, by the names of `parse_action`.

    Raises:
        OccluposeError: a file is missing or damaged; says which file to get and where to put it.
    """
    cameras = read_cameras(folder, subjects)
    observed = read_detections(folder, "h36m", detections)
    file = folder / "data_3d_h36m.npz"
    motions = _from_videopose3d(file, cameras) if file.exists() else _from_cdf(folder, cameras)
    result = [
        make_sequence(
            clip,
            xyz,
            H36M17,
            FPS,
            subject=clip.subject,
            action=parse_action(clip.action),
            detections=observed,
            every=every,
            xy=xy,
        )
        for clip, xyz, xy in motions
        if not actions or parse_action(clip.action) in actions
    ]
    if not result:
        wanted = f"{' or '.join(actions) or 'motion'} of {', '.join(subjects)}"
        raise OccluposeError(f"{folder}: no {wanted} in it; Human3.6M has e.g. Walking")
    return result


_Motion = tuple[CameraClip, Float[np.ndarray, "time 17 3"], Float[np.ndarray, "time 17 2"] | None]


def _from_videopose3d(file: Path, cameras: dict[str, list[CalibratedCamera]]) -> Iterator[_Motion]:
    """Motions of VideoPose3D's file."""
    for subject, motions in read_motions(file, JOINTS, cameras).items():
        for action, xyz in motions.items():
            yield from _in_each_camera(subject, action, xyz, cameras[subject])


def _from_cdf(folder: Path, cameras: dict[str, list[CalibratedCamera]]) -> Iterator[_Motion]:
    """Motions of the dataset's own .cdf files, one for each camera, or one in the world."""
    for subject, group in cameras.items():
        home = folder / subject / "MyPoseFeatures"
        if files := sorted((home / "D3_Positions_mono").glob("[!_]*.cdf")):
            yield from _from_camera_files(subject, group, files)
        elif files := sorted((home / "D3_Positions").glob("[!_]*.cdf")):
            for file in files:
                if (subject, file.stem) != CORRUPTED:
                    yield from _in_each_camera(subject, _usual_spelling(file.stem), read_cdf(file, 3) / 1000, group)
        else:
            raise OccluposeError(
                f"{home / 'D3_Positions_mono'}: no poses of {subject} there and no data_3d_h36m.npz in {folder};"
                f" download 'Poses, D3 Positions mono' of {subject} from {SITE} and unpack it in {folder}"
            )


def _in_each_camera(
    subject: str, action: str, world: Float[np.ndarray, "time 32 3"], cameras: list[CalibratedCamera]
) -> Iterator[_Motion]:
    for index, camera in enumerate(cameras):
        yield CameraClip(subject, action, index, camera), camera.from_world(world[:, KEPT]), None


def _from_camera_files(subject: str, cameras: list[CalibratedCamera], files: list[Path]) -> Iterator[_Motion]:
    names = [camera.name for camera in cameras]
    motions: dict[str, dict[str, Path]] = {}
    for file in files:
        action, _, name = file.stem.rpartition(".")
        if name not in names:
            raise OccluposeError(f"{file}: of an unknown camera; the cameras of {subject} are {', '.join(names)}")
        if (subject, action) != CORRUPTED:
            motions.setdefault(action, {})[name] = file
    for action, by_camera in motions.items():
        for index, camera in enumerate(cameras):
            if camera.name not in by_camera:
                raise OccluposeError(
                    f"{files[0].parent}: no {action}.{camera.name}.cdf; unpack the whole archive of {subject} there"
                )
            file = by_camera[camera.name]
            file_2d = file.parents[1] / "D2_Positions" / file.name
            xyz = read_cdf(file, 3)[:, KEPT] / 1000
            xy = camera.undistort(read_cdf(file_2d, 2)[:, KEPT]) if file_2d.exists() else None
            if xy is not None and len(xy) != len(xyz):
                raise OccluposeError(
                    f"{file_2d}: {len(xy)} frames; the 3D poses have {len(xyz)}: unpack both archives again"
                )
            yield CameraClip(subject, _usual_spelling(action), index, camera), xyz, xy


def read_cdf(path: Path, dimensions: int) -> Float[np.ndarray, "time 32 d"]:
    """The variable `Pose` of one of the dataset's .cdf files: millimetres or pixels.

    Raises:
        OccluposeError: cdflib is not installed, or the file is damaged or of something else.
    """
    try:
        import cdflib
    except ImportError as error:
        raise OccluposeError(f"{path}: needs cdflib; pip install '.[h36m]' in the clone") from error
    try:
        poses = np.asarray(cdflib.CDF(path)["Pose"], np.float64)
    except Exception as error:  # cdflib fails in many ways on a damaged file
        raise OccluposeError(f"{path}: not a whole .cdf file of poses; unpack it again") from error
    if poses.ndim != 3 or poses.shape[0] != 1 or poses.shape[2] != JOINTS * dimensions:
        raise OccluposeError(f"{path}: poses of shape {poses.shape}; they must be (1, time, {JOINTS * dimensions})")
    return poses.reshape(-1, JOINTS, dimensions)


def read_cameras(folder: Path, subjects: tuple[str, ...]) -> dict[str, list[CalibratedCamera]]:
    """The cameras of these subjects, from `cameras.json` or else `metadata.xml` in the folder.

    Raises:
        OccluposeError: there is neither, it cannot be read, or a subject is not in it.
    """
    if (folder / CAMERAS).exists():
        return read_cameras_file(folder / CAMERAS, subjects)
    if not (folder / "metadata.xml").exists():
        raise OccluposeError(
            f"{folder / 'metadata.xml'}: no such file; it is in the code release ('Visualisation and large scale"
            f" prediction software') of {SITE}: put it there, or a {CAMERAS}"
        )
    return read_metadata(folder / "metadata.xml", subjects)


def read_metadata(path: Path, subjects: tuple[str, ...]) -> dict[str, list[CalibratedCamera]]:
    """The cameras of these subjects from the dataset's `metadata.xml`.

    Its vector `w0` has for each camera the eleven subjects' three angles and camera position (mm), then for each camera
    focal lengths and principal point (px), three radial and two tangential coefficients of distortion. A point X of the
    world is at R (X - T) in the camera frame, R = Rx Ry Rz. The names of the cameras are in `dbcameras/index2id`. The
    dataset's tangential distortion lacks factors of 2 that OpenCV's has: at most some tenths of a pixel.

    Raises:
        OccluposeError: another file, or a subject that it does not have.
    """
    wanted = SUBJECTS * CAMERA_COUNT * 6 + CAMERA_COUNT * 9
    try:
        root = ElementTree.parse(path).getroot()
        numbers = np.array(re.sub(r"[\[\];,]", " ", root.findtext("w0") or "").split(), np.float64)
        names = [(entry.text or "").strip() for entry in root.findall("dbcameras/index2id/*")]
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise OccluposeError(f"{path}: not Human3.6M's metadata; take it from the dataset's code release") from error
    if len(numbers) != wanted or len(names) != CAMERA_COUNT:
        given = f"{len(numbers)} numbers in w0 and {len(names)} cameras"
        raise OccluposeError(f"{path}: {given}; Human3.6M's has {wanted} and {CAMERA_COUNT}")
    outside = numbers[: SUBJECTS * CAMERA_COUNT * 6].reshape(CAMERA_COUNT, SUBJECTS, 6)
    inside = numbers[SUBJECTS * CAMERA_COUNT * 6 :].reshape(CAMERA_COUNT, 9)
    known = [f"S{number}" for number in range(1, SUBJECTS + 1)]
    for subject in subjects:
        if subject not in known:
            raise OccluposeError(f"{subject}: not a subject of Human3.6M; they are {', '.join(known)}")
    try:
        return {
            subject: [
                _calibrated(name, outside[index, known.index(subject)], inside[index])
                for index, name in enumerate(names)
            ]
            for subject in subjects
        }
    except OccluposeError as error:
        raise OccluposeError(f"{path}: {error}") from error


def _calibrated(name: str, outside: Float[np.ndarray, "6"], inside: Float[np.ndarray, "9"]) -> CalibratedCamera:
    rotation = Rotation.from_euler("XYZ", outside[:3]).as_matrix()
    fx, fy, cx, cy, k1, k2, k3, p1, p2 = inside.tolist()
    translation = -rotation @ outside[3:] / 1000
    return CalibratedCamera(name, Camera(*SIZE, fx, fy, cx, cy), rotation, translation, np.array([k1, k2, p1, p2, k3]))
