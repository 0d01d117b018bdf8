"""Small files of motion capture, written for tests: one person of round lengths, and motions that are known."""

from pathlib import Path

import numpy as np

from occlupose.datasets.motion import MotionClip

UNIT = 2.54 / 0.45 / 100  # m in one unit of length of the files
BONES = {  # parent, direction at rest (x left, y up, z forward), length in the file's units, freedoms
    "lhipjoint": ("root", (0.6, -0.8, 0), 2, ""),
    "lfemur": ("lhipjoint", (0, -1, 0), 7, "rx ry rz"),
    "ltibia": ("lfemur", (0, -1, 0), 7, "rx"),
    "rhipjoint": ("root", (-0.6, -0.8, 0), 2, ""),
    "rfemur": ("rhipjoint", (0, -1, 0), 7, "rx ry rz"),
    "rtibia": ("rfemur", (0, -1, 0), 7, "rx"),
    "lowerback": ("root", (0, 1, 0), 2, "rx ry rz"),
    "upperback": ("lowerback", (0, 1, 0), 2, "rx ry rz"),
    "thorax": ("upperback", (0, 1, 0), 2, "rx ry rz"),
    "upperneck": ("thorax", (0, 1, 0), 3, "rx ry rz"),
    "head": ("upperneck", (0, 1, 0), 2, "rx ry rz"),
    "lclavicle": ("thorax", (1, 0, 0), 3, "ry rz"),
    "lhumerus": ("lclavicle", (1, 0, 0), 5, "rx ry rz"),
    "lradius": ("lhumerus", (1, 0, 0), 4, "rx"),
    "rclavicle": ("thorax", (-1, 0, 0), 3, "ry rz"),
    "rhumerus": ("rclavicle", (-1, 0, 0), 5, "rx ry rz"),
    "rradius": ("rhumerus", (-1, 0, 0), 4, "rx"),
}
FREE = {name: freedoms.split() for name, (_, _, _, freedoms) in BONES.items() if freedoms}


def asf(without: str = "", axis: dict[str, tuple[float, float, float]] | None = None) -> str:
    """The skeleton's text, less one bone's definition, with these axes (degrees) instead of (0, 0, 0)."""
    lines = [
        ":version 1.10",
        ":name VICON",
        ":units",
        "  mass 1.0",
        "  length 0.45",
        "  angle deg",
        ":root",
        "  order TX TY TZ RX RY RZ",
    ]
    lines += ["  axis XYZ", "  position 0 0 0", "  orientation 0 0 0", ":bonedata"]
    for number, (name, (_, direction, length, freedoms)) in enumerate(BONES.items(), 1):
        if name == without:
            continue
        turned = " ".join(map(str, (axis or {}).get(name, (0, 0, 0))))
        lines += ["  begin", f"    id {number}", f"    name {name}", f"    direction {' '.join(map(str, direction))}"]
        lines += [
            f"    length {length}",
            f"    axis {turned}  XYZ",
            *([f"    dof {freedoms}"] if freedoms else []),
            "  end",
        ]
    children: dict[str, list[str]] = {}
    for name, (parent, *_) in BONES.items():
        children.setdefault(parent, []).append(name)
    return "\n".join(
        [
            *lines,
            ":hierarchy",
            "  begin",
            *(f"    {parent} {' '.join(names)}" for parent, names in children.items()),
            "  end\n",
        ]
    )


def amc(frames: int = 1, **values: object) -> str:
    """A motion's text: each bone's values, one row for all frames or one row a frame; all angles not given are zero."""
    rows = {"root": 6} | {name: len(freedoms) for name, freedoms in FREE.items()}
    table = {
        name: np.broadcast_to(np.asarray(values.get(name, np.zeros(count)), float), (frames, count))
        for name, count in rows.items()
    }
    text = ["#!OML:ASF F:\\VICON\\USERDATA", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(frames):
        text += [
            str(frame + 1),
            *(f"{name} {' '.join(f'{value:.10g}' for value in row[frame])}" for name, row in table.items()),
        ]
    return "\n".join(text) + "\n"


def swinging(frames: int, seed: int = 0) -> str:
    """A motion's text: a person who wanders about and swings every joint slowly."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 120
    swing = {
        name: 25 * np.sin(random.uniform(1, 4, len(free)) * time + random.uniform(0, 6, len(free)))
        for name, free in FREE.items()
    }
    wander = 10 * np.sin(random.uniform(0.3, 1, 3) * time + random.uniform(0, 6, 3)) + (0, 17, 0)
    return amc(frames, **swing, root=np.concatenate([wander, 20 * np.sin(random.uniform(0.5, 2, 3) * time)], 1))


def write_mocap(folder: Path, takes: dict[str, int], frames: int = 300) -> Path:
    """`folder` with cmu/NN/NN.asf and the given number of takes of each subject NN."""
    for subject, count in takes.items():
        home = folder / "cmu" / subject
        home.mkdir(parents=True)
        (home / f"{subject}.asf").write_text(asf())
        for take in range(1, count + 1):
            (home / f"{subject}_{take:02}.amc").write_text(swinging(frames, seed=100 * int(subject) + take))
    return folder


STANDING = {  # m; left at +x, y up, z forward
    "pelvis": (0, 0.9, 0),
    "RHip": (-0.1, 0.9, 0),
    "RKnee": (-0.1, 0.5, 0.02),
    "RAnkle": (-0.1, 0.1, 0),
    "LHip": (0.1, 0.9, 0),
    "LKnee": (0.1, 0.5, 0.03),
    "LAnkle": (0.1, 0.1, 0),
    "spine": (0, 1.15, 0.01),
    "neckbase": (0, 1.4, 0),
    "head": (0, 1.7, 0.02),
    "LShoulder": (0.2, 1.4, 0),
    "LElbow": (0.2, 1.1, 0),
    "LWrist": (0.2, 0.85, 0.1),
    "RShoulder": (-0.2, 1.4, 0),
    "RElbow": (-0.2, 1.1, 0),
    "RWrist": (-0.2, 0.85, 0.2),
}
"""A person in the joints of files of captured joints."""


def standing(frames: int, *, neck: float = 0.3, x: float = 0.0) -> np.ndarray:
    """STANDING for some frames, in the files' int16 millimetres, moved by x (m), the head `neck` above the neck."""
    places = np.array(list((STANDING | {"head": (0, 1.4 + neck, 0)}).values())) + np.array((x, 0, 0))
    return np.repeat(np.rint(1000 * places)[None], frames, 0).astype(np.int16)


def write_joints(path: Path, fps: float = 60, **arrays: np.ndarray) -> Path:
    """A file of captured joints with these clips (or other arrays instead of its own)."""
    path.parent.mkdir(exist_ok=True)
    own = {"joint_names": np.array(list(STANDING)), "fps": fps, "unit": "mm, y up, -32768 = missing", "note": ""}
    np.savez(path, **(own | arrays))
    return path


def make_clip(
    frames: int = 240, *, seed: int = 0, fps: float = 120.0, name: str = "07_01", subject: str = "07"
) -> MotionClip:
    """A person who swings their limbs, made without files."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / fps
    rest = random.normal(0, 0.5, (22, 3))
    return MotionClip(
        name, subject, fps, (rest + 0.2 * np.sin(random.uniform(1, 5, (22, 3)) * time)).astype(np.float32)
    )
