"""Small datasets in the layouts of Human3.6M and HumanEva-I: one walking person in front of known cameras."""

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from occlupose.skeletons import H36M17, HUMANEVA15, convert
from walking_people import walk

H36M_CAMERAS = ("54138969", "55011271", "58860488", "60457274")
KEPT = {  # of the 32 joints, written independently
    "pelvis": 0,
    "right_hip": 1,
    "right_knee": 2,
    "right_ankle": 3,
    "left_hip": 6,
    "left_knee": 7,
    "left_ankle": 8,
    "spine": 12,
    "thorax": 13,
    "neck_nose": 14,
    "head_top": 15,
    "left_shoulder": 17,
    "left_elbow": 18,
    "left_wrist": 19,
    "right_shoulder": 25,
    "right_elbow": 26,
    "right_wrist": 27,
}
INTRINSICS = np.array([1145.0, 1143.8, 512.5, 515.4, -0.2, 0.24, -0.002, -0.0009, -0.0014])  # f, c, k, p as in w0


def walking(frames: int = 20, seed: int = 0) -> np.ndarray:
    """(time, 17, 3) of a person who walks about the middle of a world whose z is up, metres."""
    turn = np.random.default_rng(seed).uniform(0, 6)
    right, up, forward = np.moveaxis(
        walk(lambda time: np.stack([np.sin(time + turn), np.cos(0.7 * time)], -1), frames), -1, 0
    )
    return np.stack([right, forward, up], -1)


def extrinsics(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and position (m) of one of the cameras, 5 m from the middle, all around."""
    angle = 0.4 + number * np.pi / 2
    position = np.array([5 * np.cos(angle), 5 * np.sin(angle), 1.6])
    forward = (np.array([0, 0, 1.0]) - position) / np.linalg.norm(np.array([0, 0, 1.0]) - position)
    right = np.cross(forward, [0, 0, 1.0]) / np.linalg.norm(np.cross(forward, [0, 0, 1.0]))
    return np.stack([right, np.cross(forward, right), forward]), position


def in_camera(world: np.ndarray, number: int) -> np.ndarray:
    """The world's points before one of the cameras."""
    rotation, position = extrinsics(number)
    return (world - position) @ rotation.T


def h36m_pixels(xyz: np.ndarray) -> np.ndarray:
    """Pixels as the code release of Human3.6M projects them, with distortion."""
    (fx, fy, cx, cy) = INTRINSICS[:4]
    k = INTRINSICS[4:7]
    p = INTRINSICS[7:]
    x = xyz[..., 0] / xyz[..., 2]
    y = xyz[..., 1] / xyz[..., 2]
    r2 = x**2 + y**2
    factor = 1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3 + p[0] * y + p[1] * x
    return np.stack([fx * (x * factor + p[1] * r2) + cx, fy * (y * factor + p[0] * r2) + cy], -1)


def write_metadata(path: Path, numbers: int = 300) -> Path:
    """Human3.6M's metadata.xml with the four cameras for all eleven subjects."""
    w0 = []
    for number in range(4):
        rotation, position = extrinsics(number)
        for _ in range(11):
            w0 += [*Rotation.from_matrix(rotation).as_euler("XYZ"), *(1000 * position)]
    w0 += 4 * INTRINSICS.tolist()
    ids = "".join(f"<item>{name}</item>" for name in H36M_CAMERAS)
    text = " ".join(f"{value:.15g}" for value in w0[:numbers])
    path.write_text(f"<metadata><dbcameras><index2id>{ids}</index2id></dbcameras><w0>[{text}]</w0></metadata>")
    return path


def all_joints(world: np.ndarray) -> np.ndarray:
    """(time, 32, d): H36M-17 among the dataset's joints, the others nonsense."""
    result = np.full((len(world), 32, world.shape[-1]), 7.0)
    result[:, list(KEPT.values())] = world[:, H36M17.index(*KEPT)]
    return result


def write_h36m(folder: Path, motions: dict[str, dict[str, np.ndarray]]) -> Path:
    """A Human3.6M as VideoPose3D keeps it: world positions, detections "exact" (with distortion) and metadata.xml."""
    folder.mkdir(parents=True, exist_ok=True)
    write_metadata(folder / "metadata.xml")
    positions = {
        subject: {name: all_joints(xyz).astype(np.float32) for name, xyz in of.items()}
        for subject, of in motions.items()
    }
    np.savez_compressed(folder / "data_3d_h36m.npz", positions_3d=positions)
    pixels = {
        subject: {
            name: [h36m_pixels(in_camera(xyz, number)).astype(np.float32) for number in range(4)]
            for name, xyz in of.items()
        }
        for subject, of in motions.items()
    }
    metadata = {
        "layout_name": "h36m",
        "num_joints": 17,
        "keypoints_symmetry": [[4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]],
    }
    np.savez_compressed(folder / "data_2d_h36m_exact.npz", positions_2d=pixels, metadata=metadata)
    return folder


def write_cdf(path: Path, values: np.ndarray) -> Path:
    """A .cdf file of the dataset: `Pose`, (1, time, joints * dimensions)."""
    from cdflib.cdfwrite import CDF

    path.parent.mkdir(parents=True, exist_ok=True)
    flat = values.reshape(1, len(values), -1).astype(np.float64)
    file = CDF(path, cdf_spec={"Majority": "row_major"}, delete=path.exists())
    spec = {
        "Variable": "Pose",
        "Data_Type": 45,
        "Num_Elements": 1,
        "Rec_Vary": True,
        "Var_Type": "zVariable",
        "Compress": 6,
    }
    file.write_var(spec | {"Dim_Sizes": list(flat.shape[1:])}, var_data=flat)
    file.close()
    return path


def write_h36m_cdf(folder: Path, motions: dict[str, dict[str, np.ndarray]], flat: bool = True) -> Path:
    """A Human3.6M in its own files: camera frame positions, and pixels if wanted."""
    for subject, of in motions.items():
        for name, world in of.items():
            for number, camera in enumerate(H36M_CAMERAS):
                xyz = all_joints(in_camera(world, number))
                home = folder / subject / "MyPoseFeatures"
                write_cdf(home / "D3_Positions_mono" / f"{name}.{camera}.cdf", 1000 * xyz)
                if flat:
                    write_cdf(home / "D2_Positions" / f"{name}.{camera}.cdf", h36m_pixels(xyz))
    write_metadata(folder / "metadata.xml")
    return folder


def write_h36m_world_cdf(folder: Path, motions: dict[str, dict[str, np.ndarray]]) -> Path:
    """A Human3.6M in its own files, as the archives "D3 Positions" have it: one file a motion, in the world."""
    for subject, of in motions.items():
        for name, world in of.items():
            write_cdf(folder / subject / "MyPoseFeatures" / "D3_Positions" / f"{name}.cdf", 1000 * all_joints(world))
    write_metadata(folder / "metadata.xml")
    return folder


def write_humaneva(folder: Path, motions: dict[str, dict[str, np.ndarray]]) -> Path:
    """A HumanEva-I as VideoPose3D keeps it, detections "gt", and calibrations as the dataset has them, without
    distortion.
    """
    folder.mkdir(parents=True, exist_ok=True)
    motions = {
        subject: {name: convert(xyz, H36M17, HUMANEVA15) for name, xyz in of.items()} for subject, of in motions.items()
    }
    for of in motions.values():
        for name, xyz in of.items():
            xyz[:, HUMANEVA15.joints.index("head")] = xyz[:, HUMANEVA15.joints.index("thorax")] + (0, 0, 0.2)
            of[name] = xyz.astype(np.float32)
    np.savez_compressed(folder / "data_3d_humaneva15.npz", positions_3d=motions)
    for subject in ("S1", "S2", "S3"):
        home = folder / subject / "Calibration_Data"
        home.mkdir(parents=True, exist_ok=True)
        for number in range(3):
            rotation, position = extrinsics(number)
            values = [765.0, 766.0, 320.0, 240.0, 0, 0, 0, 0, 0, 0, *rotation.ravel(), *(-1000 * rotation @ position)]
            (home / f"C{number + 1}.cal").write_text("\n".join(f"{value:.12g}" for value in values) + "\n")
    pixels = {
        subject: {
            name: [humaneva_pixels(in_camera(xyz, number)).astype(np.float32) for number in range(3)]
            for name, xyz in of.items()
        }
        for subject, of in motions.items()
    }
    metadata = {
        "layout_name": "humaneva15",
        "num_joints": 15,
        "keypoints_symmetry": [[2, 3, 4, 8, 9, 10], [5, 6, 7, 11, 12, 13]],
    }
    np.savez_compressed(folder / "data_2d_humaneva15_gt.npz", positions_2d=pixels, metadata=metadata)
    return folder


def humaneva_pixels(xyz: np.ndarray) -> np.ndarray:
    """Pixels of the test's cameras, which have no distortion."""
    return xyz[..., :2] / xyz[..., 2:] * (765.0, 766.0) + (320.0, 240.0)


def cameras_json(names: list[str], **changes: object) -> str:
    """The text of a cameras.json with the test's cameras of Human3.6M; changes are to the first."""
    cameras = []
    fx, fy, cx, cy, k1, k2, k3, p1, p2 = INTRINSICS.tolist()
    inside = {"width": 1000, "height": 1002, "fx": fx, "fy": fy, "cx": cx, "cy": cy, "distortion": [k1, k2, p1, p2, k3]}
    for number, name in enumerate(names):
        rotation, position = extrinsics(number)
        cameras.append(
            {"name": name, **inside, "rotation": rotation.tolist(), "translation": (-rotation @ position).tolist()}
        )
    cameras[0] |= changes
    return json.dumps(
        {"cameras": [{key: value for key, value in camera.items() if value is not None} for camera in cameras]}
    )
