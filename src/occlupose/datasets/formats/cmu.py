"""CMU motion capture: ASF skeletons, AMC motions, and clips of joint positions.

Coordinates are those of the capture: metres, y up; a person with all angles zero faces +z with the left hand at +x.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from occlupose.datasets.motion import EXTREMITIES, MAX_FPS, MotionClip, cut_jumps
from occlupose.errors import OccluposeError, reason
from occlupose.npz import open_npz
from occlupose.skeletons import BODY22

METRES_PER_UNIT = 2.54 / 0.45 / 100
"""Metres in one ASF length unit (1/0.45 inch)."""

BODY22_FROM_ASF = {
    "left_shoulder": "lclavicle",
    "right_shoulder": "rclavicle",
    "left_elbow": "lhumerus",
    "right_elbow": "rhumerus",
    "left_wrist": "lradius",
    "right_wrist": "rradius",
    "left_hip": "lhipjoint",
    "right_hip": "rhipjoint",
    "left_knee": "lfemur",
    "right_knee": "rfemur",
    "left_ankle": "ltibia",
    "right_ankle": "rtibia",
    "spine": "lowerback",
    "thorax": "thorax",
    "neck_nose": "upperneck",
    "head_top": "head",
}
"""The ASF bone whose end is the joint. The pelvis is the middle of the hips, as in Human3.6M, not the ASF root above
it.
"""

BODY22_FROM_CLIPS = {
    "left_shoulder": "lshoulder",
    "right_shoulder": "rshoulder",
    "left_elbow": "lelbow",
    "right_elbow": "relbow",
    "left_wrist": "lwrist",
    "right_wrist": "rwrist",
    "left_hip": "lhip",
    "right_hip": "rhip",
    "left_knee": "lknee",
    "right_knee": "rknee",
    "left_ankle": "lankle",
    "right_ankle": "rankle",
    "spine": "lowerback",
    "thorax": "thorax",
    "neck_nose": "upperneck",
    "head_top": "head_top",
}

MAX_DISTANCE = 1e6
"""Metres from the origin of a capture to a joint. Ours."""

VALIDATION_SUBJECTS = ("02", "08", "32")
"""Subjects held out of all training."""

VALIDATION_COPIES = (
    "walking__walking_1",
    "walking_extra__walking_13",
    "walking_extra__walking_14",
    "walking_extra__walking_15",
    "walking_extra__walking_16",
    "walking_extra__walking_17",
    "walking_extra__walking_18_t",
    "walking_extra__walking_19",
    "walking_extra__walking_19_t",
    "walking_extra__walking_20",
    "walking_extra__walking_21",
    "walking_extra__walking_25__0",
)
"""Clips of joint positions that share a second with a validation subject's motion (`clip_distance` under 6 degrees; the
seven plain copies are under 2.1). They are left out of training."""

CARD_DATA = (
    "CMU Graphics Lab motion capture (free to use, also commercially); subjects 02, 08, 32 and copies of their takes"
    " held out"
)
"""Training data on the card of weights that were trained on the first part of `split_clips`."""

FACE_OFFSETS = {
    "nose": (0.0, 0.03, 0.12),
    "left_eye": (0.032, 0.06, 0.09),
    "right_eye": (-0.032, 0.06, 0.09),
    "left_ear": (0.075, 0.045, 0.01),
    "right_ear": (-0.075, 0.045, 0.01),
}
"""Metres left, up and forward of the upper neck, in the head's axes. The capture has no face; these are an average
adult's (ours).
"""


ROTATION_CHANNELS = ("rx", "ry", "rz")
"""Names of a bone's angles."""


@dataclass(frozen=True)
class Bone:
    """One bone of an ASF skeleton.

    Attributes:
        offset: rest direction times length, m.
        axis: orientation of the axes that its angles rotate about.
        freedoms: its free angles.
    """

    name: str
    parent: str
    offset: Float[np.ndarray, "3"]
    axis: Rotation
    freedoms: tuple[str, ...]


def read_asf(path: Path) -> list[Bone]:
    """The bones of an ASF skeleton, parents first (the root itself is not a bone).

    Raises:
        OccluposeError: the file has no bones or no hierarchy, a bone is damaged, or an undefined bone is named.
    """
    raw: dict[str, dict[str, list[str]]] = {}
    order: list[tuple[str, str]] = []
    section = ""
    bone: dict[str, list[str]] = {}
    for line in _lines(path):
        word, *rest = line.split() or [""]
        if word.startswith(":"):
            section = word
        elif section == ":bonedata":
            if word == "begin":
                bone = {}
            elif word == "end" and bone.get("name"):
                raw[bone["name"][0]] = bone
            else:
                bone[word] = rest
        elif section == ":hierarchy" and word not in ("begin", "end", ""):
            order += [(child, word) for child in rest]
    if not raw or not order:
        raise OccluposeError(
            f"{path}: no bones or no hierarchy in it; an .asf skeleton of the CMU database is expected"
        )
    bones = []
    known = {"root"}
    for child, parent in order:
        if parent not in known:
            raise OccluposeError(
                f"{path}: bone {child}: its parent {parent} is not defined before it; fetch the file again"
            )
        try:
            bones.append(_bone(child, raw[child], parent))
        except (KeyError, ValueError, IndexError):
            raise OccluposeError(f"{path}: bone {child} is missing or damaged; fetch the file again") from None
        known.add(child)
    return bones


def _bone(name: str, raw: dict[str, list[str]], parent: str) -> Bone:
    direction = np.array(raw["direction"][:3], float).reshape(3)
    axis = np.array(raw["axis"][:3], float).reshape(3)
    offset = direction * float(raw["length"][0]) * METRES_PER_UNIT
    freedoms = tuple(raw.get("dof", ()))
    if not (np.isfinite(offset).all() and np.isfinite(axis).all() and set(freedoms) <= set(ROTATION_CHANNELS)):
        raise ValueError
    return Bone(name, parent, offset, Rotation.from_euler("xyz", axis, degrees=True), freedoms)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise OccluposeError(f"{path}: {reason(error)}; a file of the CMU database is expected") from None


def read_amc(path: Path) -> dict[str, Float[np.ndarray, "time values"]]:
    """The values of each bone in each frame of an AMC motion, as written (degrees; root: three lengths, then three
    angles).

    Raises:
        OccluposeError: not an AMC file, values that are not numbers, or frames whose bones differ (a truncated file).
    """
    values: dict[str, list[list[float]]] = {}
    frames = 0
    for number, line in enumerate(_lines(path), 1):
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        if words[0].isdigit():
            frames += 1
            continue
        try:
            values.setdefault(words[0], []).append([float(word) for word in words[1:]])
        except ValueError:
            raise OccluposeError(
                f"{path}: line {number} has values that are not numbers; fetch the file again"
            ) from None
    if "root" not in values or any(len(rows) != frames for rows in values.values()):
        raise OccluposeError(
            f"{path}: not every bone has a value in each of {frames} frames; the file is cut short or no .amc motion"
        )
    try:
        arrays = {bone: np.array(rows) for bone, rows in values.items()}
    except ValueError:
        raise OccluposeError(
            f"{path}: a bone's number of values changes between frames; fetch the file again"
        ) from None
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise OccluposeError(f"{path}: values that are not finite; fetch the file again")
    return arrays


def forward_kinematics(
    bones: list[Bone], motion: dict[str, Float[np.ndarray, "time values"]]
) -> tuple[dict[str, Float[np.ndarray, "time 3"]], dict[str, Rotation]]:
    """End point (metres) and global rotation of each bone, and of the root, in each frame.

    The motion must have six values of the root and one for each freedom of each bone (`read_motion` checks this).
    """
    root = motion["root"]
    ends = {"root": root[:, :3] * METRES_PER_UNIT}
    turns = {"root": Rotation.from_euler("xyz", root[:, 3:6], degrees=True)}
    for bone in bones:
        turn = turns[bone.parent]
        if bone.freedoms:
            angles = np.zeros((len(root), 3))
            angles[:, [ROTATION_CHANNELS.index(freedom) for freedom in bone.freedoms]] = motion[bone.name]
            turn = turn * (bone.axis * Rotation.from_euler("xyz", angles, degrees=True) * bone.axis.inv())
        turns[bone.name] = turn
        ends[bone.name] = ends[bone.parent] + turn.apply(bone.offset)
    return ends, turns


def read_motion(asf: Path, amc: Path) -> tuple[Float[np.ndarray, "time 22 3"], Float[np.ndarray, "time 4 3"]]:
    """BODY22 joints of one AMC motion, and its EXTREMITIES (NaN where the skeleton lacks them); metres, y up, 120
    frames a second.

    Raises:
        OccluposeError: a damaged file, a skeleton without a bone that BODY22 needs, or a motion of another skeleton.
    """
    bones = read_asf(asf)
    missing = set(BODY22_FROM_ASF.values()) - {bone.name for bone in bones}
    if missing:
        raise OccluposeError(
            f"{asf}: no bone {', '.join(sorted(missing))}; a full-body skeleton of the CMU database is expected"
        )
    motion = read_amc(amc)
    for name, count in [("root", 6), *((bone.name, len(bone.freedoms)) for bone in bones if bone.freedoms)]:
        given = motion[name].shape[1] if name in motion else 0
        if given != count:
            raise OccluposeError(
                f"{amc}: {name} has {given} values a frame; {asf.name} gives it {count}: fetch both files again"
            )
    with np.errstate(all="ignore"):
        ends, turns = forward_kinematics(bones, motion)
        joints = make_body22({joint: ends[bone] for joint, bone in BODY22_FROM_ASF.items()}, turns["head"].as_matrix())
    if not (np.abs(joints) < MAX_DISTANCE).all():
        raise OccluposeError(f"{amc}: joints more than {MAX_DISTANCE:g} m away; fetch both files again")
    unknown = np.full_like(ends["root"], np.nan)
    return joints, np.stack([ends.get(bone, unknown) for bone in EXTREMITIES], 1)


def read_clip(amc: Path) -> MotionClip:
    """One AMC motion, NN_MM.amc, with the skeleton NN.asf beside it.

    Raises:
        OccluposeError: as `read_motion`, or the skeleton is missing.
    """
    subject = amc.stem.partition("_")[0]
    joints, ends = read_motion(amc.with_name(f"{subject}.asf"), amc)
    return MotionClip(amc.stem, subject, 120.0, joints.astype(np.float32), ends.astype(np.float32))


def read_clips(path: Path) -> list[MotionClip]:
    """The clips of a file of joint positions (`joint_names`, `fps`, one (time, joint, 3) array a clip; metres, y up).

    Raises:
        OccluposeError: the file does not exist or is not of this format.
    """
    try:
        with open_npz(path) as file:
            names = [str(name) for name in file["joint_names"]]
            fps = float(file["fps"])
            return [_clip(key, fps, names, file[key]) for key in file if key not in ("joint_names", "fps")]
    except FileNotFoundError:
        raise OccluposeError(f"{path}: no such file; a file of joint positions is expected") from None
    except (OSError, KeyError, ValueError, TypeError, IndexError):
        raise OccluposeError(
            f"{path}: not a whole file of joint positions (joint_names, fps, finite clips); fetch it again"
        ) from None


def _clip(name: str, fps: float, names: list[str], positions: Float[np.ndarray, "time joint 3"]) -> MotionClip:
    if positions.shape[1:] != (len(names), 3) or not (np.isfinite(positions).all() and 1 <= fps <= MAX_FPS):
        raise ValueError
    ends = {joint: positions[:, names.index(source)].astype(float) for joint, source in BODY22_FROM_CLIPS.items()}
    with np.errstate(all="ignore"):
        joints = make_body22(ends, estimate_head_axes(ends)).astype(np.float32)
    if not np.isfinite(joints).all():  # shoulders or head and neck in one point
        raise ValueError
    if not set(EXTREMITIES) <= set(names):
        return MotionClip(name, "clips", fps, joints)
    extremities = positions[:, [names.index(end) for end in EXTREMITIES]].astype(np.float32)
    return MotionClip(name, "clips", fps, joints, extremities)


def estimate_head_axes(ends: dict[str, Float[np.ndarray, "time 3"]]) -> Float[np.ndarray, "time 3 3"]:
    """The head's left, up and forward axes as columns, for captures without rotations: up along the neck, left
    along the shoulders. Ours.
    """
    up = _unit(ends["head_top"] - ends["neck_nose"])
    across = ends["left_shoulder"] - ends["right_shoulder"]
    left = _unit(across - (across * up).sum(-1, keepdims=True) * up)
    return np.stack([left, up, np.cross(left, up)], -1)


def make_body22(
    ends: dict[str, Float[np.ndarray, "time 3"]], head: Float[np.ndarray, "time 3 3"]
) -> Float[np.ndarray, "time 22 3"]:
    """BODY22 from captured joints, with the pelvis between the hips and an average face."""
    ends = ends | {"pelvis": (ends["left_hip"] + ends["right_hip"]) / 2}
    ends |= {joint: ends["neck_nose"] + head @ np.array(offset) for joint, offset in FACE_OFFSETS.items()}
    return np.stack([ends[joint] for joint in BODY22.joints], 1)


def load_clips(folder: Path, subjects: tuple[str, ...] | None = None) -> list[MotionClip]:
    """The motions of all or of some subjects below a folder.

    It holds `cmu/NN/NN.asf`, `cmu/NN/NN_MM.amc` and, optionally, `cmu_expmap/joints_60fps.npz` (subject "clips").

    Raises:
        OccluposeError: the folder holds no AMC motion.
    """
    motions = [amc for amc in sorted(folder.glob("cmu/*/*.amc")) if subjects is None or amc.parent.name in subjects]
    positions = folder / "cmu_expmap" / "joints_60fps.npz"
    with_positions = positions.exists() and (subjects is None or "clips" in subjects)
    if not (motions or (with_positions and subjects)):
        raise OccluposeError(f"{folder}: no cmu/NN/NN_MM.amc in it; give the folder that holds the CMU motion capture")
    clips = [read_clip(amc) for amc in motions]
    if with_positions:
        clips += read_clips(positions)
    return [piece for clip in clips for piece in cut_jumps(clip)]


def split_clips(clips: list[MotionClip]) -> tuple[list[MotionClip], list[MotionClip]]:
    """Training clips and validation clips: different subjects, and no copies of validation motions in training."""
    validation = [clip for clip in clips if clip.subject in VALIDATION_SUBJECTS]
    others = [clip for clip in clips if clip.subject not in VALIDATION_SUBJECTS]
    return [clip for clip in others if clip.name.split(".")[0] not in VALIDATION_COPIES], validation


def clip_distance(one: MotionClip, other: MotionClip) -> float:
    """Distance of the most similar seconds of two clips: root mean square angle (degrees) between their limbs, in the
    axes of the torso.
    """
    a = measure_limb_directions(one.joints[:: round(one.fps / 60)])
    b = measure_limb_directions(other.joints[:: round(other.fps / 60)])
    distance = np.degrees(np.sqrt(np.maximum(0, 2 - 2 * np.einsum("tld,sld->ts", a, b) / a.shape[1])))
    second = min(60, *distance.shape)
    diagonals = (np.diagonal(distance, offset) for offset in range(second - len(a), len(b) - second + 1))
    return min(float(np.convolve(diagonal, np.ones(second) / second, "valid").min()) for diagonal in diagonals)


def measure_limb_directions(joints: Float[np.ndarray, "time 22 3"]) -> Float[np.ndarray, "time 8 3"]:
    """Unit vectors along upper arms, forearms, thighs and shanks in the axes of the torso."""

    def at(name: str) -> Float[np.ndarray, "time 3"]:
        return joints[:, BODY22.joints.index(name)]

    trunk = {
        "head_top": at("thorax"),
        "neck_nose": at("pelvis"),
        "left_shoulder": at("left_shoulder"),
        "right_shoulder": at("right_shoulder"),
    }
    axes = estimate_head_axes(trunk)
    limbs = [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")]
    bones = np.stack(
        [_unit(at(f"{side}_{end}") - at(f"{side}_{start}")) for side in ("left", "right") for start, end in limbs], 1
    )
    return bones @ axes


def _unit(vector: Float[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3"]:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)
