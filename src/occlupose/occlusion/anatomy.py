"""What the names of a skeleton's joints say of the body: sides, parts, how fast joints are, how long limbs are."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.skeletons import Skeleton

HEAD = 0
ARMS = 1
LEGS = 2
PARTS = 3
"""Number of parts of the body; a 2D network may swap left and right of each part alone or of several together."""

TRUNK = 0
MIDDLE = 1
END = 2
"""How far out a joint is: of trunk or head, elbow or knee, wrist or ankle and beyond. Those further out are faster."""

_JOINTS = {
    "eye": (HEAD, TRUNK),
    "ear": (HEAD, TRUNK),
    "shoulder": (ARMS, TRUNK),
    "elbow": (ARMS, MIDDLE),
    "wrist": (ARMS, END),
    "hip": (LEGS, TRUNK),
    "knee": (LEGS, MIDDLE),
    "ankle": (LEGS, END),
}
# As a share of body height: Drillis and Contini 1966, in Winter, Biomechanics and Motor Control of Human Movement. From
# shoulder to hip: the difference of their heights above the ground.
_LENGTHS = {
    ("shoulder", "elbow"): 0.186,
    ("elbow", "wrist"): 0.146,
    ("hip", "knee"): 0.245,
    ("knee", "ankle"): 0.246,
    ("shoulder", "hip"): 0.288,
}
_SIDES = ("left", "right")


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The joints of a skeleton, by index.

    Attributes:
        mirror: of each joint, its partner on the other side; a joint on the midline is its own.
        part: `HEAD`, `ARMS` or `LEGS`. Toes are of the legs if limbs of the skeleton lead from the ankles to them,
            fingers likewise; other joints are counted with the head.
        reach: `TRUNK`, `MIDDLE` or `END`.
        moved: whether joint [a] moves joint [b]: an elbow its wrist and fingers. Every joint moves itself.
        pairs: left and right eyes, ears, shoulders, elbows, wrists, hips, knees and ankles, as far as there are any.
        limbs: upper arms, forearms, thighs, shanks, with the end nearer the trunk first, and from shoulders to hips.
        lengths: of the limbs, as a share of body height.
        kinds: of the limbs, a number that the left and the right one share.
    """

    mirror: Int[np.ndarray, " joint"]
    part: Int[np.ndarray, " joint"]
    reach: Int[np.ndarray, " joint"]
    moved: Bool[np.ndarray, "joint joint"]
    pairs: Int[np.ndarray, "pair 2"]
    limbs: Int[np.ndarray, "limb 2"]
    lengths: Float[np.ndarray, " limb"]
    kinds: Int[np.ndarray, " limb"]


@cache
def describe(skeleton: Skeleton) -> Anatomy:
    """The anatomy of a skeleton; without pairs and limbs if it has none of these joints."""
    known = _known_joints(skeleton)
    home = _homes(skeleton, known)
    names = [name.partition("_")[2] for name in home]
    side = np.array([name.partition("_")[0] for name in home])
    part = np.array([_JOINTS[name][0] if name else HEAD for name in names])
    reach = np.array([_JOINTS[name][1] if name else END for name in names])
    same_limb = (side[:, None] == side) & (part[:, None] == part) & (part != HEAD)
    pairs = [tuple(known.get(f"{side}_{name}", -1) for side in _SIDES) for name in _JOINTS]
    limbs = [
        (known.get(f"{side}_{start}", -1), known.get(f"{side}_{end}", -1), kind)
        for kind, (start, end) in enumerate(_LENGTHS)
        for side in _SIDES
    ]
    present = np.array([limb for limb in limbs if min(limb) >= 0], int).reshape(-1, 3)
    return Anatomy(
        mirror=np.array(skeleton.mirror),
        part=part,
        reach=reach,
        moved=(same_limb & (reach >= reach[:, None])) | np.eye(len(skeleton), dtype=bool),
        pairs=np.array([pair for pair in pairs if min(pair) >= 0], int).reshape(-1, 2),
        limbs=present[:, :2],
        lengths=np.array(list(_LENGTHS.values()))[present[:, 2]],
        kinds=present[:, 2],
    )


def _known_joints(skeleton: Skeleton) -> dict[str, int]:
    """Index of each joint whose name is in the table."""
    own = dict(skeleton.aliases)
    names = [f"{side}_{name}" for name in _JOINTS for side in _SIDES]
    return {
        name: skeleton.joints.index(own.get(name, name)) for name in names if own.get(name, name) in skeleton.joints
    }


def _homes(skeleton: Skeleton, known: dict[str, int]) -> list[str]:
    """Of each joint the nearest known one along the limbs of its side; "" where there is none."""
    home = dict.fromkeys(range(len(skeleton)), "") | {row: name for name, row in known.items()}
    frontier = list(known.values())
    edges = [skeleton.index(*limb) for limb in skeleton.limbs]
    for row in frontier:
        for edge in edges:
            other = edge[1 - edge.index(row)] if row in edge else row
            if not home[other] and skeleton.mirror[other] != other:
                home[other] = home[row]
                frontier.append(other)
    return list(home.values())
