"""VideoPose3D's files of Human3.6M and HumanEva-I: 3D motions, and 2D detections by camera.

`data_3d_*.npz` holds `positions_3d`: {subject: {action: (time, joint, 3)}}, metres in the dataset's world.
`data_2d_*_NAME.npz` holds `positions_2d`: {subject: {action: one (time, joint, 2) a camera}}, pixels, and `metadata`
with the `layout_name` of their joints.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from occlupose.datasets.calibration import CalibratedCamera
from occlupose.datasets.formats.pickled_npz import read_pickled
from occlupose.datasets.sequence import PoseSequence
from occlupose.errors import OccluposeError
from occlupose.pickles import PickledArray
from occlupose.poses import VISIBLE, Poses
from occlupose.skeletons import COCO17, H36M17, HUMANEVA15, Skeleton

GROUND_TRUTH = "ground-truth"
"""Name for the true joints, projected by the undistorted camera, in place of detections."""

LAYOUTS = {"h36m": H36M17, "coco": COCO17, "humaneva15": HUMANEVA15}
"""Skeletons by the files' layout names."""


@dataclass(frozen=True)
class CameraClip:
    """One motion in the view of one camera: its keys in the files.

    Attributes:
        subject, action: the files' own keys.
        camera_index: place of the camera in the order of the detections.
        camera: with its calibration.
    """

    subject: str
    action: str
    camera_index: int
    camera: CalibratedCamera

    @property
    def name(self) -> str:
        """Name of the sequence."""
        return f"{self.subject}/{self.action}/{self.camera.name}"


DetectionReader = Callable[[CameraClip, Poses], Poses | None]
"""Returns the undistorted detections of a clip, in the frames of its true poses; None stands for the ground truth."""


def make_sequence(
    clip: CameraClip,
    xyz: Float[np.ndarray, "time joint 3"],
    skeleton: Skeleton,
    fps: float,
    *,
    subject: str,
    action: str,
    detections: DetectionReader,
    every: int = 1,
    xy: Float[np.ndarray, "time joint 2"] | None = None,
) -> PoseSequence:
    """The sequence of a clip.

    Arguments:
        xyz: metres, camera frame.
        fps: frames a second.
        subject, action: as the protocol groups them.
        detections: as `read_detections` gives them.
        every: take every n-th frame.
        xy: true undistorted pixels; by default the projection of `xyz`.

    Raises:
        OccluposeError: the detections do not fit.
    """
    truth = _make_poses(clip.camera.pinhole.project(xyz) if xy is None else xy, skeleton, fps, clip.camera, xyz)
    truth = replace(truth, observed=detections(clip, truth)).select(slice(None, None, every))
    return PoseSequence(clip.name, subject, action, replace(truth, fps=fps / every))


def _make_poses(
    xy: Float[np.ndarray, "time joint 2"],
    skeleton: Skeleton,
    fps: float,
    camera: CalibratedCamera,
    xyz: Float[np.ndarray, "time joint 3"] | None = None,
) -> Poses:
    known = np.isfinite(xy).all(-1)
    if xyz is not None:
        known &= np.isfinite(xyz).all(-1)
    return Poses(
        xy=np.where(known[..., None], xy, np.nan)[:, None],
        score=known[:, None],
        state=VISIBLE * known[:, None],
        xyz=None if xyz is None else np.where(known[..., None], xyz, np.nan)[:, None],
        track_id=np.zeros(1),
        time=np.arange(len(xy)) / fps,
        skeleton=skeleton,
        fps=fps,
        width=camera.pinhole.width,
        height=camera.pinhole.height,
        camera=camera.pinhole,
    )


def read_motions(
    path: Path, joints: int, subjects: Iterable[str]
) -> dict[str, dict[str, Float[np.ndarray, "time joint 3"]]]:
    """The motions of a `data_3d_*.npz` by subject and action: metres, the dataset's world.

    Raises:
        OccluposeError: the file cannot be read, lacks a subject or has other content.
    """
    content = _by_subject(read_pickled(path, "positions_3d")[0], f"{path}: positions_3d")
    missing = [subject for subject in subjects if subject not in content]
    if missing:
        there = ", ".join(map(str, content))
        raise OccluposeError(f"{path}: no {missing[0]} in it, but {there}; give these, or convert the dataset again")
    return {
        subject: {
            action: _to_array(motion, (joints, 3), f"{path}: {subject}, {action}")
            for action, motion in content[subject].items()
        }
        for subject in subjects
    }


def read_detections(folder: Path, dataset: str, source: str) -> DetectionReader:
    """The 2D detections of a dataset in this folder.

    Arguments:
        dataset: as the files call it: h36m, humaneva15.
        source: "ground-truth"; the NAME of a data_2d_DATASET_NAME.npz in the folder; or another folder, of our own
            pose files SUBJECT/ACTION/CAMERA.npz (or .json) with one person each. Only these have joint states.

    Raises:
        OccluposeError: the source does not exist or cannot be read. The returned function raises it if the detections
            of a clip are missing or shorter than the clip.
    """
    file = folder / f"data_2d_{dataset}_{source}.npz"
    if source == GROUND_TRUTH:
        return lambda clip, truth: None
    if file.exists():
        return _from_file(file)
    if Path(source).is_dir():
        return lambda clip, truth: _from_folder(Path(source), clip, truth)
    names = [path.stem.removeprefix(f"data_2d_{dataset}_") for path in sorted(folder.glob(f"data_2d_{dataset}_*.npz"))]
    raise OccluposeError(
        f"{file}: no such detections; give {', '.join([GROUND_TRUTH, *names])} or a folder of pose files"
    )


def _from_file(path: Path) -> DetectionReader:
    content, metadata = read_pickled(path, "positions_2d", "metadata")
    layout = metadata.get("layout_name") if isinstance(metadata, dict) else None
    if layout not in LAYOUTS:
        raise OccluposeError(f"{path}: joints in the layout {layout}; known are {', '.join(LAYOUTS)}")
    skeleton = LAYOUTS[layout]
    subjects = _by_subject(content, f"{path}: positions_2d")

    def read(clip: CameraClip, truth: Poses) -> Poses:
        cameras = subjects.get(clip.subject, {}).get(clip.action, [])
        cameras = cameras.items if isinstance(cameras, PickledArray) else cameras
        if len(cameras) <= clip.camera_index:
            raise OccluposeError(f"{path}: nothing for {clip.name}; it is of another part of the dataset")
        xy = _to_array(cameras[clip.camera_index], (len(skeleton), 2), f"{path}: {clip.name}")
        _check_length(path, clip, len(xy), truth)
        return _make_poses(clip.camera.undistort(xy[: len(truth)]), skeleton, truth.fps, clip.camera)

    return read


def _from_folder(folder: Path, clip: CameraClip, truth: Poses) -> Poses:
    if Path(clip.name).is_absolute() or ".." in Path(clip.name).parts:
        raise OccluposeError(f"{clip.name}: this name of a sequence leads out of {folder}; correct it in the dataset")
    stem = folder / clip.name
    candidates = [stem.with_name(stem.name + suffix) for suffix in (".npz", ".json")]
    path = next((file for file in candidates if file.exists()), None)
    if path is None:
        raise OccluposeError(f"{stem}.npz: no such file; the folder needs one of 2D poses for every sequence")
    poses = Poses.load(path)
    if len(poses.track_id) != 1:
        raise OccluposeError(f"{path}: {len(poses.track_id)} people in it; give the detections of one")
    _check_length(path, clip, len(poses), truth)
    observed = (poses.observed or poses).select(slice(len(truth)))
    return replace(
        truth.to_2d(),
        xy=clip.camera.undistort(observed.xy),
        score=observed.score,
        state=observed.state,
        spread=observed.spread,
        skeleton=observed.skeleton,
        observed=None,
    )


def _check_length(path: Path, clip: CameraClip, frames: int, truth: Poses) -> None:
    if frames < len(truth):
        raise OccluposeError(
            f"{path}: {clip.name} has {frames} frames; the motion has {len(truth)}: give detections of all of them"
        )


def _by_subject(content: Any, where: str) -> dict[str, dict[str, Any]]:
    if not (isinstance(content, dict) and all(isinstance(actions, dict) for actions in content.values())):
        raise OccluposeError(f"{where}: not dictionaries by subject and action; give a file as VideoPose3D writes them")
    return content


def _to_array(value: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    array = value.items if isinstance(value, PickledArray) else value
    wanted = f"it must be (time, {shape[0]}, {shape[1]}) numbers"
    if not isinstance(array, np.ndarray):
        raise OccluposeError(f"{where}: no array; {wanted}")
    if array.dtype.kind not in "fiu" or array.ndim != 3 or array.shape[1:] != shape or not len(array):
        raise OccluposeError(f"{where}: of shape {array.shape}; {wanted}")
    return array.astype(np.float64)
