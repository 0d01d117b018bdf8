"""Files of captured joints: int16 arrays (time, 16, 3) in millimetres, y up, -32768 where missing, one a clip, beside
`joint_names`, `fps`, `unit` and `note`.

Hips, knees, ankles, shoulders, elbows and wrists are BODY22's, and so is the pelvis, the middle of the hips. What the
files call `spine`, `neckbase` and `head` depends on the skeleton that they were captured with. Beside what BODY22 calls
spine, thorax, neck_nose and head_top in CMU's own files (`formats.cmu`, 11 skeletons), with the trunk upright and the
arms hanging, they lie this high above the line of the shoulders (m) and above the hips (in lengths of a leg):

| file, clips | spine | neckbase | head | neckbase to head, m |
| --- | --- | --- | --- | --- |
| CMU's own: spine | -0.31 to -0.26, 0.26 to 0.29 | | | |
| CMU's own: thorax | | -0.08 to -0.05, 0.52 to 0.59 | | |
| CMU's own: neck_nose | | | 0.11 to 0.14, 0.74 to 0.83 | 0.17 to 0.22 (from the thorax) |
| CMU's own: head_top | | | 0.20 to 0.25, 0.85 to 0.96 | 0.25 to 0.32 (from the thorax) |
| cmu_60fps: trials in AMC | -0.28, 0.26 | -0.05, 0.52 | 0.21, 0.80 | 0.25 to 0.32 |
| cmu_60fps: 135_01, 135_02, 85 | -0.21, 0.36 | 0.11, 0.75 | 0.22, 0.88 | 0.13 |
| cmu_60fps: 131_01 to 131_03 | -0.08, 0.40 | 0.01, 0.51 | 0.11, 0.62 | 0.09 |
| cmu_60fps: the other generic skeletons | -0.18, 0.29 to 0.36 | 0.05, 0.57 to 0.63 | 0.12, 0.64 to 0.71 | 0.07 |
| accad_30fps | -0.17 to -0.14, 0.34 to 0.37 | 0.12 to 0.13, 0.69 to 0.71 | 0.21 to 0.22, 0.79 to 0.81 | 0.09 |
| uiprmd_50fps | -0.21 to -0.14, 0.34 to 0.55 | 0.03 to 0.07, 0.59 to 0.81 | 0.25 to 0.27, 0.82 to 1.06 | 0.20 |
| opencap_100fps | missing | -0.01 to 0.02, 0.66 to 0.69 | missing | |

A joint is taken for one of BODY22's where it is the same by construction, or lies within 3 cm of its places by both
measures:

- Trials in AMC: `spine`, `neckbase` and `head` are the ends of the bones lowerback, thorax and head, within 0.5 mm of
  the trial's own file: spine, thorax and head_top.
- The skeleton of 135_01, 135_02 and 85 has a long neck: `neckbase` lies where neck_nose does, `head` where head_top.
- The other generic skeletons and ACCAD: in the BVH files that there are (of 06, 131, 14_19 and ACCAD), `head` is where
  the bone of the head begins, as at the end of the bone upperneck: neck_nose. (ACCAD's is 8 cm higher above the
  shoulders, which are low there, but as high above the hips.)
- UI-PRMD: `head`, which comes from the markers round the head, lies where head_top does, but for s05.

Everything else is unknown, and NaN: `spine` of the other files lies 5 cm and more above ours, `neckbase` 4 cm and more;
no file says which way the head is turned, so there is no face; and there are no feet or hands.

Limits of the data: knees and ankles of OpenCap and UI-PRMD are at the outer side of the joint. The generic skeletons
have no unit and were scaled to a leg of 0.835 m; of most, the shoulders are only 0.23 m apart, and the trunk of 131_01
to 131_03 lacks a bone. UI-PRMD's hips of s05 are 0.31 m apart, those of the others 0.17 to 0.20 m, and its bones change
by up to a sixth of their length, as do the upper arms of OpenCap's jumps. In the last two frames of ACCAD's
Female1_B15_WalkTurnAround180 the left foot flies off.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16

from occlupose.datasets.motion import MAX_FPS, MotionClip, cut_jumps, cut_together
from occlupose.errors import OccluposeError
from occlupose.npz import open_npz
from occlupose.skeletons import BODY22

FACTS = ("joint_names", "fps", "unit", "note")
"""Arrays of a file that are no clips."""

UNIT = "mm, y up"
"""How the unit of a file begins."""

MISSING = -32768

LIMBS = {"pelvis": "pelvis"} | {
    f"{side}_{joint.lower()}": f"{side[0].upper()}{joint}"
    for side in ("left", "right")
    for joint in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
}
"""BODY22's joints of trunk and limbs, and their names in all files."""

TRUNKS: dict[str, dict[str, str]] = {
    "accad_30fps": {"neck_nose": "head"},
    "uiprmd_50fps": {"head_top": "head"},
    "opencap_100fps": {},
}
"""BODY22's joints of back, neck and head in each file of one skeleton."""

CMU = "cmu_60fps"
"""The file of several skeletons; the distance from `neckbase` to `head` tells them apart."""

CMU_TRUNKS = (
    (0.20, {"spine": "spine", "thorax": "neckbase", "head_top": "head"}),
    (0.11, {"neck_nose": "neckbase", "head_top": "head"}),
    (0.00, {"neck_nose": "head"}),
)
"""Least distance from `neckbase` to `head` (m) of a skeleton, and its joints as TRUNKS."""

REST_FRAMES = 5
"""First frames of the clips of the last of CMU_TRUNKS: a rest pose with spread arms, which turns into the motion."""

JUMP_MARGIN = 0.1
"""Seconds beside a jump in which the legs of the salsa and Indian dances are still twisted."""

PARTNERS = ("60", "61")
"""CMU's subjects who dance together: the trials of the same number share a world frame."""

_NO_CLIPS = "not a whole file of captured joints (joint_names, fps, unit, int16 clips); fetch it again"


def read_joints(path: Path) -> list[MotionClip]:
    """The whole clips of `cmu_60fps.npz`, `accad_30fps.npz`, `uiprmd_50fps.npz` or `opencap_100fps.npz`, as captured,
    without the rest pose that some begin with.

    The subject is CMU's number or name of the series, or the person's name in the other files.

    Raises:
        OccluposeError: there is no such file, or it is another file, damaged, or in another unit.
    """
    if path.stem not in (*TRUNKS, CMU):
        known = ", ".join(f"{stem}.npz" for stem in (CMU, *TRUNKS))
        raise OccluposeError(f"{path}: which skeleton its joints are of is not known; give one of {known}")
    try:
        with open_npz(path) as file:
            names = [str(name) for name in file["joint_names"]]
            fps = float(file["fps"])
            unit = str(file["unit"])
            clips = {key: _metres(file[key], len(names)) for key in file if key not in FACTS}
        if not (clips and 1 <= fps <= MAX_FPS):
            raise ValueError
        read = [_clip(path.stem, name, fps, names, joints) for name, joints in clips.items()]
    except FileNotFoundError:
        raise OccluposeError(f"{path}: no such file; a file of captured joints is expected") from None
    except (OSError, KeyError, ValueError, TypeError, IndexError):
        raise OccluposeError(f"{path}: {_NO_CLIPS}") from None
    if not unit.startswith(UNIT):
        raise OccluposeError(f"{path}: its unit is {unit!r}; {UNIT!r} is expected")
    return read


def load_joints(path: Path) -> list[MotionClip]:
    """The clips of `read_joints`, cut at jumps and gaps."""
    return [piece for clip in read_joints(path) for piece in cut_jumps(clip, JUMP_MARGIN)]


def load_pairs(path: Path) -> list[tuple[MotionClip, MotionClip]]:
    """The dances of PARTNERS in `cmu_60fps.npz`: two people in one world frame, frame by frame, cut where one of them
    has to be.

    Raises:
        OccluposeError: as `read_joints`, or the clips of a pair differ in length.
    """
    clips = {clip.name: clip for clip in read_joints(path) if clip.subject in PARTNERS}
    pairs = []
    for name, one in clips.items():
        first, number = name.split("_", 1)
        partner = f"{PARTNERS[1]}_{number}"
        if first != PARTNERS[0] or partner not in clips:
            continue
        other = clips[partner]
        if len(one.joints) != len(other.joints):
            raise OccluposeError(f"{path}: {name} and {partner} differ in length; fetch it again")
        pairs += [(left, right) for left, right in cut_together([one, other], JUMP_MARGIN)]
    return pairs


def find_subject(stem: str, name: str) -> str:
    """The person of a clip, by its name in the file of this stem."""
    if stem == "uiprmd_50fps":
        return name.split("_")[1]
    return name.rpartition("_")[0] if stem == "opencap_100fps" else name.split("_")[0]


def _metres(values: Int16[np.ndarray, "time joint 3"], joints: int) -> Float[np.ndarray, "time joint 3"]:
    if values.dtype != np.int16 or values.shape[1:] != (joints, 3):
        raise ValueError
    missing = (values == MISSING).any(-1, keepdims=True)
    return np.where(missing, np.nan, values / 1000)


def _clip(stem: str, name: str, fps: float, names: list[str], joints: Float[np.ndarray, "time joint 3"]) -> MotionClip:
    at = {joint: joints[:, place] for place, joint in enumerate(names)}
    trunk = _find_cmu_trunk(at) if stem == CMU else TRUNKS[stem]
    own = LIMBS | trunk
    unknown = np.full((len(joints), 3), np.nan)
    body = np.stack([at[own[joint]] if joint in own else unknown for joint in BODY22.joints], 1)
    first = REST_FRAMES if trunk is CMU_TRUNKS[-1][1] else 0
    return MotionClip(name, find_subject(stem, name), fps, body[first:].astype(np.float32))


def _find_cmu_trunk(at: dict[str, Float[np.ndarray, "time 3"]]) -> dict[str, str]:
    """The joints of one of CMU_TRUNKS; none where head and neck are never known."""
    neck = np.linalg.norm(at["head"] - at["neckbase"], axis=-1)
    neck = neck[np.isfinite(neck)]
    return next((trunk for least, trunk in CMU_TRUNKS if len(neck) and np.median(neck) >= least), {})
