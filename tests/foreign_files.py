"""Files as other tools write them, and the check that they mean the same as ours."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import occlupose
from moving_figures import striding, view
from occlupose import Poses, formats
from occlupose.formats import ReadPoses
from occlupose.skeletons import BODY26, COCO17, Skeleton

SIZE = (1280, 960)
FPS = 25.0
SCORE = 0.9
LIKENESS = 1e-4  # m


def walkers(skeleton: Skeleton = COCO17, frames: int = 30) -> np.ndarray:
    """(time, 2, joint, 2) keypoints of two people beside each other, px; NaN for joints that only this skeleton has."""
    joints = [joint for joint in skeleton.joints if joint in BODY26.joints or joint == "neck"]
    xy = np.full((frames, 2, len(skeleton), 2), np.nan)
    for person, (cycle, right) in enumerate([(1.1, -1.0), (1.3, 1.2)]):
        xyz = striding(frames, FPS, cycle=cycle)
        xy[:, person, skeleton.index(*joints)] = view(xyz, person / 2, right=right, skeleton=skeleton.subset(joints))
    return xy.round(2)


def read_quietly(path: Path, **options: object) -> Poses:
    """The poses in a file; the notes are nobody's concern."""
    return formats.read(path, **options).poses


def assert_lifts_as_ours(
    read: ReadPoses,
    xy: np.ndarray,
    skeleton: Skeleton,
    folder: Path,
    *,
    score: float = SCORE,
    size: tuple[int, int] = SIZE,
    fps: float = FPS,
) -> None:
    """The poses are lifted as the same keypoints in a file of ours.

    Arguments:
        xy: (time, person, joint, 2), px.
        skeleton: of `xy`.
        score: of every joint that is known.
    """
    file = folder / "ours.npz"
    scores = np.where(np.isfinite(xy).all(-1), score, 0)
    np.savez(file, xy=xy, score=scores, skeleton=skeleton.name, fps=fps, width=size[0], height=size[1])
    expected = occlupose.lift(Poses.load(file))
    lifted = occlupose.lift(read.poses)
    assert (lifted.fps, lifted.width, lifted.height) == (fps, *size)
    assert lifted.xyz.shape == expected.xyz.shape
    np.testing.assert_allclose(lifted.xyz, expected.xyz, rtol=0, atol=LIKENESS)
    assert (lifted.state == expected.state).all()


def triples(xy: np.ndarray, score: float = SCORE) -> list[float]:
    """x, y and score of every joint one after the other; zeros where a joint is missing."""
    missing = np.isnan(xy).any(-1)
    numbers = np.column_stack([np.nan_to_num(xy), np.where(missing, 0, score)])
    return numbers.ravel().round(3).tolist()


def openpose_people(xy: np.ndarray) -> dict[str, object]:
    """A document of OpenPose with these people, (person, joint, 2)."""
    empty = {key: [] for key in ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")}
    people = [{"person_id": [-1], "pose_keypoints_2d": triples(person), **empty} for person in xy]
    return {"version": 1.3, "people": people}


def openpose_folder(folder: Path, xy: np.ndarray, name: str = "walk", first: int = 0) -> Path:
    """A folder with a file for each frame, as OpenPose's --write_json."""
    folder.mkdir()
    for number, people in enumerate(xy, first):
        path = folder / f"{name}_{number:012d}_keypoints.json"
        path.write_text(json.dumps(openpose_people(people)))
    return folder


def json_file(path: Path, document: object) -> Path:
    """A JSON file."""
    path.write_text(json.dumps(document))
    return path


def csv_file(path: Path, rows: Sequence[Sequence[object]], delimiter: str = ",") -> Path:
    """A table; NaN is an empty cell."""
    cells = [["" if cell != cell else str(cell) for cell in row] for row in rows]
    path.write_text("".join(f"{delimiter.join(row)}\n" for row in cells))
    return path
