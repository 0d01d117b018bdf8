"""What Human3.6M and HumanEva-I have in common as VideoPose3D keeps them: motions before several cameras, and 2D
detections of them.

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

from occlupose.datasets.objects import read_objects
from occlupose.datasets.take import Take
from occlupose.datasets.views import View
from occlupose.errors import OccluposeError
from occlupose.pickles import PickledArray
from occlupose.poses import VISIBLE, Poses
from occlupose.skeletons import COCO17, H36M17, HUMANEVA15, Skeleton

GROUND_TRUTH = "ground-truth"
"""Instead of detections: where the camera, without its distortion, sees the true joints."""

LAYOUTS = {"h36m": H36M17, "coco": COCO17, "humaneva15": HUMANEVA15}
"""Joint sets by the layout names of the files."""


@dataclass(frozen=True)
class Shot:
    """One motion before one camera: its place in the files.

    Attributes:
        subject, action: the files' own keys.
        number: of the camera, in the order of the detections.
        view: the camera.
    """

    subject: str
    action: str
    number: int
    view: View

    @property
    def name(self) -> str:
        """What the take is called."""
        return f"{self.subject}/{self.action}/{self.view.name}"


Detections = Callable[[Shot, Poses], Poses | None]
"""Gives the detections of a shot, in the frames of its true poses and without distortion; None stands for the ground
truth.
"""


def take(
    shot: Shot,
    xyz: Float[np.ndarray, "time joint 3"],
    skeleton: Skeleton,
    fps: float,
    *,
    subject: str,
    action: str,
    detections: Detections,
    every: int = 1,
    xy: Float[np.ndarray, "time joint 2"] | None = None,
) -> Take:
    """The sample record of a shot.

    Arguments:
        xyz: metres, camera frame.
        fps: frames a second.
        subject, action: as the protocol groups them.
        detections: as `read_detections` gives them.
        every: only every n-th frame.
        xy: true pixels, without distortion; by default where the camera sees `xyz`.

    Raises:
        OccluposeError: the detections do not fit.
    """
    truth = _poses(shot.view.camera.project(xyz) if xy is None else xy, skeleton, fps, shot.view, xyz)
    truth = replace(truth, observed=detections(shot, truth)).select(slice(None, None, every))
    return Take(shot.name, subject, action, replace(truth, fps=fps / every))


def _poses(
    xy: Float[np.ndarray, "time joint 2"],
    skeleton: Skeleton,
    fps: float,
    view: View,
    xyz: Float[np.ndarray, "time joint 3"] | None = None,
) -> Poses:
    known = np.isfinite(xy).all(-1) if xyz is None else np.isfinite(xy).all(-1) & np.isfinite(xyz).all(-1)
    return Poses(
        xy=np.where(known[..., None], xy, np.nan)[:, None],
        score=known[:, None],
        state=VISIBLE * known[:, None],
        xyz=None if xyz is None else np.where(known[..., None], xyz, np.nan)[:, None],
        track_id=np.zeros(1),
        time=np.arange(len(xy)) / fps,
        skeleton=skeleton,
        fps=fps,
        width=view.camera.width,
        height=view.camera.height,
        camera=view.camera,
    )


def read_motions(
    path: Path, joints: int, subjects: Iterable[str]
) -> dict[str, dict[str, Float[np.ndarray, "time joint 3"]]]:
    """The motions of a `data_3d_*.npz` by subject and action: metres, the dataset's world.

    Raises:
        OccluposeError: the file cannot be read, lacks a subject or holds something else.
    """
    content = _by_subject(read_objects(path, "positions_3d")[0], f"{path}: positions_3d")
    missing = [subject for subject in subjects if subject not in content]
    if missing:
        raise OccluposeError(
            f"{path}: no {missing[0]} in it, but {', '.join(map(str, content))}; ask for those or convert the dataset"
            " anew"
        )
    return {
        subject: {
            action: _array(motion, (joints, 3), f"{path}: {subject}, {action}")
            for action, motion in content[subject].items()
        }
        for subject in subjects
    }


def read_detections(folder: Path, dataset: str, which: str) -> Detections:
    """2D detections of a dataset in this folder.

    Arguments:
        dataset: as the files call it: h36m, humaneva15.
        which: "ground-truth"; the NAME of a data_2d_DATASET_NAME.npz in the folder; or another folder, of our own poses
            files SUBJECT/ACTION/CAMERA.npz (or .json) with one person each, which alone can tell the states of joints.

    Raises:
        OccluposeError: there is nothing of that name, or it cannot be read. The function that is returned raises it
            where the detections of a shot are missing or shorter than the shot.
    """
    file = folder / f"data_2d_{dataset}_{which}.npz"
    if which == GROUND_TRUTH:
        return lambda shot, truth: None
    if file.exists():
        return _from_file(file)
    if Path(which).is_dir():
        return lambda shot, truth: _from_folder(Path(which), shot, truth)
    names = [path.stem.removeprefix(f"data_2d_{dataset}_") for path in sorted(folder.glob(f"data_2d_{dataset}_*.npz"))]
    raise OccluposeError(
        f"{file}: no such detections; give {', '.join([GROUND_TRUTH, *names])} or a folder of poses files"
    )


def _from_file(path: Path) -> Detections:
    content, metadata = read_objects(path, "positions_2d", "metadata")
    layout = metadata.get("layout_name") if isinstance(metadata, dict) else None
    if layout not in LAYOUTS:
        raise OccluposeError(f"{path}: joints in the layout {layout}; known are {', '.join(LAYOUTS)}")
    skeleton = LAYOUTS[layout]
    subjects = _by_subject(content, f"{path}: positions_2d")

    def of(shot: Shot, truth: Poses) -> Poses:
        views = subjects.get(shot.subject, {}).get(shot.action, [])
        views = views.items if isinstance(views, PickledArray) else views
        if len(views) <= shot.number:
            raise OccluposeError(f"{path}: nothing of {shot.name}; these detections are of another part of the dataset")
        xy = _array(views[shot.number], (len(skeleton), 2), f"{path}: {shot.name}")
        _check_length(path, shot, len(xy), truth)
        return _poses(shot.view.straight(xy[: len(truth)]), skeleton, truth.fps, shot.view)

    return of


def _from_folder(folder: Path, shot: Shot, truth: Poses) -> Poses:
    place = folder / shot.name
    path = next(
        (file for file in (place.with_name(place.name + suffix) for suffix in (".npz", ".json")) if file.exists()), None
    )
    if path is None:
        raise OccluposeError(f"{place}.npz: no such file; the folder needs one of 2D poses for every take")
    poses = Poses.load(path)
    if len(poses.track_id) != 1:
        raise OccluposeError(f"{path}: {len(poses.track_id)} people in it; give the detections of one")
    _check_length(path, shot, len(poses), truth)
    seen = (poses.observed or poses).select(slice(len(truth)))
    xy = shot.view.straight(seen.xy)
    return replace(truth, xy=xy, score=seen.score, state=seen.state, xyz=None, skeleton=seen.skeleton, observed=None)


def _check_length(path: Path, shot: Shot, frames: int, truth: Poses) -> None:
    if frames < len(truth):
        raise OccluposeError(
            f"{path}: {shot.name} has {frames} frames; the motion has {len(truth)}: give detections of all of them"
        )


def _by_subject(content: Any, where: str) -> dict[str, dict[str, Any]]:
    if not (isinstance(content, dict) and all(isinstance(actions, dict) for actions in content.values())):
        raise OccluposeError(f"{where}: not dictionaries by subject and action; give a file as VideoPose3D writes them")
    return content


def _array(value: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    array = value.items if isinstance(value, PickledArray) else value
    if not (
        isinstance(array, np.ndarray)
        and array.dtype.kind in "fiu"
        and array.ndim == 3
        and array.shape[1:] == shape
        and len(array)
    ):
        given = f"of shape {array.shape}" if isinstance(array, np.ndarray) else "no array"
        raise OccluposeError(f"{where}: {given}; it must be (time, {shape[0]}, {shape[1]}) numbers")
    return array.astype(np.float64)
