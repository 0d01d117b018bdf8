"""Small groups of people before a known camera, and MuPoTS-3D and 3DPW written for tests in their real layouts."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from occlupose.cameras import Camera
from occlupose.datasets.image_samples import ImageSample
from occlupose.media import write_image
from occlupose.skeletons import BODY26, MPI15, MUPOTS17

STANDING = {  # right, down, away from the pelvis, metres; left is the person's own, who faces the camera
    "head_top": (0.0, -0.72, 0.02),
    "neck": (0.0, -0.50, 0.03),
    "head": (0.0, -0.62, -0.02),
    "spine": (0.01, -0.22, 0.02),
    "right_shoulder": (-0.17, -0.48, 0.02),
    "right_elbow": (-0.22, -0.20, 0.05),
    "right_wrist": (-0.25, 0.05, -0.05),
    "left_shoulder": (0.17, -0.48, 0.02),
    "left_elbow": (0.24, -0.22, 0.06),
    "left_wrist": (0.24, 0.04, -0.04),
    "pelvis": (0.0, 0.0, 0.0),
    "right_hip": (-0.11, 0.02, 0.0),
    "right_knee": (-0.13, 0.43, -0.02),
    "right_ankle": (-0.13, 0.85, 0.04),
    "left_hip": (0.11, 0.02, 0.0),
    "left_knee": (0.13, 0.42, -0.03),
    "left_ankle": (0.12, 0.84, 0.05),
}

SQUARE = Camera(2048, 2048, 1500.25, 1498.5, 1030.5, 1012.25)
WIDE = Camera(1920, 1080, 1200.5, 1201.75, 955.5, 545.25)


def camera_of(sequence: str) -> Camera:
    """The camera of a sequence."""
    return SQUARE if int(sequence[2:]) < 6 else WIDE


def people_standing(generator: np.random.Generator, people: int, skeleton=MUPOTS17) -> np.ndarray:
    """(person, joint, 3) of people side by side, no two alike, metres before the camera."""
    body = np.array([STANDING[joint] for joint in skeleton.joints])
    poses = body * generator.uniform(0.8, 1.1, (people, 1, 1)) + generator.normal(0, 0.04, (people, len(skeleton), 3))
    places = np.stack([1.1 * np.arange(people) - 0.5 * people, np.zeros(people), generator.uniform(4.5, 8, people)], -1)
    return poses + places[:, None]


def person(xyz: np.ndarray, camera: Camera, *, universal: np.ndarray | None = None, valid: int = 1) -> dict[str, Any]:
    """A struct of `annotations`; (17, 3) metres become millimetres."""
    universal = xyz if universal is None else universal
    joints = {"annot2": camera.project(xyz).T, "annot3": 1000 * xyz.T, "univ_annot3": 1000 * universal.T}
    return joints | {"isValidFrame": np.array([[valid]], np.uint8)}


def cells(rows: list[list[Any]]) -> np.ndarray:
    """A cell array of frames and people."""
    array = np.empty((len(rows), max(map(len, rows), default=0)), object)
    for frame, row in enumerate(rows):
        for who, value in enumerate(row):
            array[frame, who] = value
    return array


def write_sequence(
    home: Path, name: str, people: list[list[dict[str, Any]]], hidden: list[list[np.ndarray]], images: bool = False
) -> None:
    """One sequence: annot.mat, occlusion.mat and, if wanted, black images."""
    folder = home / name
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "annot.mat", {"annotations": cells(people)})
    savemat(folder / "occlusion.mat", {"occlusion_labels": cells(hidden)})
    camera = camera_of(name)
    for number in range(len(people) if images else 0):
        write_image(folder / f"img_{number:06}.jpg", np.zeros((camera.height, camera.width, 3), np.uint8))


def write_mupots(
    folder: Path, names: tuple[str, ...] = ("TS1", "TS7"), frames: int = 3, seed: int = 0
) -> dict[str, np.ndarray]:
    """Some sequences of three people in `folder/MultiPersonTestSet`. Returns the (frame, person, 17, 3) metres of
    each.
    """
    generator = np.random.default_rng(seed)
    truth = {}
    for name in names:
        xyz = np.stack([people_standing(generator, 3) for _ in range(frames)])
        flags = generator.random((frames, 3, 1, 17)) < 0.4
        people = [[person(one, camera_of(name), universal=1.1 * one) for one in row] for row in xyz]
        write_sequence(folder / "MultiPersonTestSet", name, people, [list(row.astype(np.uint8)) for row in flags])
        truth[name] = xyz
    return truth


def sequence_3dpw(generator: np.random.Generator, people: int = 2, frames: int = 3) -> dict[str, np.ndarray]:
    """The arrays of a converted sequence of 3DPW: people in a world before a camera that turns."""
    from occlupose.datasets.formats.threedpw import SMPL24

    like = {
        "spine1": "spine",
        "spine2": "spine",
        "spine3": "neck",
        "left_collar": "left_shoulder",
        "right_collar": "right_shoulder",
        "left_foot": "left_ankle",
        "right_foot": "right_ankle",
        "left_hand": "left_wrist",
        "right_hand": "right_wrist",
    }
    body = np.array([STANDING[like.get(joint, joint)] for joint in SMPL24])
    before = np.stack(
        [
            body + np.array([1.2 * who - 0.6, 0.1, 6 + who]) + generator.normal(0, 0.03, (frames, 24, 3))
            for who in range(people)
        ]
    )
    angle = np.linspace(0.1, 0.5, frames)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 0] = np.cos(angle)
    poses[:, 0, 2] = np.sin(angle)
    poses[:, 2, 0] = -np.sin(angle)
    poses[:, 2, 2] = np.cos(angle)
    poses[:, :3, 3] = generator.normal(0, 1, (frames, 3))
    world = np.einsum("fji,pfkj->pfki", poses[:, :3, :3], before - poses[:, None, :3, 3])
    return {
        "jointPositions": world,
        "campose_valid": np.ones((people, frames), np.uint8),
        "cam_poses": poses,
        "cam_intrinsics": np.array([[1961.0, 0, 540], [0, 1969.0, 960], [0, 0, 1]]),
        "poses2d": np.zeros((people, frames, 3, 18)),
    }


def mpi15_of(xyz: np.ndarray) -> np.ndarray:
    """MUPOTS17 joints that MPI15 has too, in its order."""
    return xyz[..., MUPOTS17.index(*MPI15.joints), :]


def write_scenes(folder: Path, scenes: int = 2, seed: int = 0) -> None:
    """What `occlupose synth` writes of scenes of three people, a joint of each hidden, as far as samples need it."""
    generator = np.random.default_rng(seed)
    camera = Camera(640, 480, 500.0, 500.0, 319.5, 239.5)
    named = {
        "thorax": "neck",
        "neck_nose": "head",
        "left_foot": "left_ankle",
        "right_foot": "right_ankle",
        "left_hand": "left_wrist",
        "right_hand": "right_wrist",
    }
    here = MUPOTS17.index(*(joint if joint in MUPOTS17.joints else named.get(joint, "head") for joint in BODY26.joints))
    (folder / "scenes").mkdir(parents=True)
    for number in range(scenes):
        xyz = people_standing(generator, 3)[:, here].astype(np.float32)
        xy = camera.project(xyz)
        state = np.where(((xy > 0) & (xy < (640, 480))).all(-1), 2, 0).astype(np.uint8)
        state[:, BODY26.index("left_hip")] = np.minimum(state[:, BODY26.index("left_hip")], 1)
        about = {"version": 1, "camera": camera.matrix, "width": 640, "height": 480}
        np.savez(folder / "scenes" / f"{number:06}.npz", xyz=xyz, xy=xy, state=state, **about)
        write_image(folder / "images" / f"{number:06}.jpg", np.zeros((480, 640, 3), np.uint8))


def nobody(*names):
    """Images without anybody."""
    return [
        ImageSample(
            image=None,
            size=(4, 4),
            skeleton=MPI15,
            xy=np.zeros((0, 15, 2)),
            state=np.zeros((0, 15), np.uint8),
            xyz=np.zeros((0, 15, 3)),
            name=name,
        )
        for name in names
    ]
