"""Skeletons: named joint sets, and the conversion between them. All other modules refer to joints by name.

Names are shared: `left_wrist` is the same joint in every skeleton that has it; left is the person's own left. Sources
of the orders:

- coco17: COCO keypoints, with its 19 drawn edges and its OKS sigmas.
- crowdpose14: CrowdPose (its `head` is the top of the head), sigmas as in MMPose's configuration.
- h36m17: Human3.6M as VideoPose3D reduces it.
- mpi15: the 15 joints of HUPOR and SMAP, limbs in the order and direction of their part affinity fields.
- mupots17: MuPoTS-3D and the test set of MPI-INF-3DHP.
- humaneva15: HumanEva as VideoPose3D's `common/humaneva_dataset.py` lists it.
- blazepose33: MediaPipe pose landmarks (`left_mouth` is its `mouth_left`).
- cmu31: root and the 30 bone ends of an .asf file of the CMU motion capture database, under their bone names.
- body25: OpenPose's BODY_25 (`neck` is the middle of the shoulders, `pelvis` its MidHip).
- body25b: OpenPose's BODY_25B, of its experimental models; edges ours.
- coco18: OpenPose's COCO model (`neck` is the middle of the shoulders).
- halpe26: Halpe's body and feet (`head_top` is its Head, `pelvis` its Hip), edges as MMPose draws them, sigmas as in
  Halpe's evaluation.
- wholebody133: COCO-WholeBody: coco17, the feet, the 68 points of the face (iBUG's order), the left hand, the right
  hand; sigmas as in its evaluation. The names of the face's points are ours: numbers rise from the outside in.
- mpii16: MPII Human Pose.
- aic14: AI Challenger (`neck` is the base of the neck), sigmas as in its evaluation.
- body22: coco17, then pelvis, spine, thorax, neck_nose and head_top: the joints of our lifters.
- body26: body22, then the balls of the feet and the knuckles of the hands: the joints of our body models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Shaped

from occlupose.errors import OccluposeError

_SUBSET = ":"


@dataclass(frozen=True)
class Skeleton:
    """A named, ordered set of joints.

    Attributes:
        name: in files, e.g. "coco17".
        joints: names, in order.
        limbs: edges to draw, the end nearer the root first (mpi15 keeps the direction of its affinity fields).
        root: the joint that 3D poses are relative to, or None.
        sigmas: per-joint spread of human annotation for object keypoint similarity, as a fraction of the person's
            scale; or None.
        aliases: (shared name, own name) of joints with another name in this set.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    root: str | None = None
    sigmas: tuple[float, ...] | None = None
    aliases: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, *joints: str) -> list[int]:
        """Indices of the named joints, in the order given.

        Raises:
            OccluposeError: a name is not a joint of this skeleton; lists its joints.
        """
        for joint in joints:
            if joint not in self.joints:
                raise OccluposeError(f"{joint}: not a joint of {self.name}; it has {', '.join(self.joints)}")
        return [self.joints.index(joint) for joint in joints]

    @property
    def mirror(self) -> tuple[int, ...]:
        """Index of every joint's partner on the other side, by name; a joint on the midline is its own."""
        return tuple(self.index(*(_partner(joint, self.joints) for joint in self.joints)))

    @property
    def parents(self) -> tuple[int, ...]:
        """Index of every joint's parent, -1 for the root.

        Raises:
            ValueError: the limbs are not one tree with a root (coco17, crowdpose14, blazepose33).
        """
        if self.root is None or len(self.limbs) != len(self) - 1:
            raise ValueError(f"{self.name}: its limbs are not a tree with a root, so joints have no parents")
        parents = {self.root: -1}
        reached = [self.root]
        for parent in reached:
            for limb in self.limbs:
                child = limb[1 - limb.index(parent)] if parent in limb else parent
                if child not in parents:
                    parents[child] = self.joints.index(parent)
                    reached.append(child)
        return tuple(parents[joint] for joint in self.joints)

    def subset(self, joints: Iterable[str]) -> "Skeleton":
        """The skeleton of these joints only, in the order given; `by_name` finds it by its name."""
        joints = tuple(joints)
        indices = self.index(*joints)
        return Skeleton(
            name=f"{self.name.partition(_SUBSET)[0]}{_SUBSET}{'+'.join(joints)}",
            joints=joints,
            limbs=tuple(limb for limb in self.limbs if set(limb) <= set(joints)),
            root=self.root if self.root in joints else None,
            sigmas=None if self.sigmas is None else tuple(self.sigmas[index] for index in indices),
            aliases=tuple(alias for alias in self.aliases if alias[1] in joints),
        )


def _partner(joint: str, joints: tuple[str, ...]) -> str:
    for ours, theirs in (("left_", "right_"), ("right_", "left_"), ("l", "r"), ("r", "l")):
        partner = theirs + joint.removeprefix(ours)
        if joint.startswith(ours) and partner in joints:
            return partner
    return joint


def _pairs(chains: str) -> tuple[tuple[str, str], ...]:
    """Neighbours in chains of names: "a b c, d e" is (a, b), (b, c), (d, e)."""
    return tuple(pair for chain in chains.split(",") for pair in pairwise(chain.split()))


def _numbered(stem: str, numbers: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{stem}{number}" for number in numbers)


def _fingers(side: str) -> list[tuple[str, ...]]:
    """Names of the joints of each finger, from the palm to the tip."""
    fingers = "thumb forefinger middle_finger ring_finger pinky_finger".split()
    return [_numbered(f"{side}_{finger}", range(1, 5)) for finger in fingers]


_FACE = "nose left_eye right_eye left_ear right_ear".split()
_COCO = (
    *_FACE,
    *"left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist".split(),
    *"left_hip right_hip left_knee right_knee left_ankle right_ankle".split(),
)
_FACE_SIGMAS = (0.026, 0.025, 0.025, 0.035, 0.035)
_BODY_SIGMAS = (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)
_HAND_SIGMAS = (
    *(0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024),
    *(0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.02, 0.019, 0.022, 0.031),
)
_LEFT_ARM = "left_shoulder left_elbow left_wrist"
_RIGHT_ARM = "right_shoulder right_elbow right_wrist"
_LEFT_LEG = "left_hip left_knee left_ankle"
_RIGHT_LEG = "right_hip right_knee right_ankle"

COCO17 = Skeleton(
    name="coco17",
    joints=_COCO,
    limbs=_pairs(
        f"{_LEFT_LEG}, {_RIGHT_LEG}, left_hip right_hip, left_shoulder left_hip, right_shoulder right_hip,"
        f"left_shoulder right_shoulder, {_LEFT_ARM}, {_RIGHT_ARM}, left_eye right_eye,"
        "nose left_eye left_ear left_shoulder, nose right_eye right_ear right_shoulder"
    ),
    sigmas=(*_FACE_SIGMAS, *_BODY_SIGMAS),
)

CROWDPOSE14 = Skeleton(
    name="crowdpose14",
    joints=(*_COCO[len(_FACE) :], "head_top", "neck"),
    limbs=_pairs(
        f"neck head_top, neck {_LEFT_ARM}, neck {_RIGHT_ARM}, left_shoulder {_LEFT_LEG}, right_shoulder {_RIGHT_LEG},"
        "left_hip right_hip"
    ),
    sigmas=(*_BODY_SIGMAS, 0.079, 0.079),
)

H36M17 = Skeleton(
    name="h36m17",
    joints=tuple(f"pelvis {_RIGHT_LEG} {_LEFT_LEG} spine thorax neck_nose head_top {_LEFT_ARM} {_RIGHT_ARM}".split()),
    limbs=_pairs(
        f"pelvis {_RIGHT_LEG}, pelvis {_LEFT_LEG}, pelvis spine thorax neck_nose head_top,"
        f"thorax {_LEFT_ARM}, thorax {_RIGHT_ARM}"
    ),
    root="pelvis",
)

MPI15 = Skeleton(
    name="mpi15",
    joints=tuple(f"neck head_top pelvis {_LEFT_ARM} {_LEFT_LEG} {_RIGHT_ARM} {_RIGHT_LEG}".split()),
    limbs=_pairs(
        f"neck head_top, neck pelvis, neck {_RIGHT_ARM}, neck {_LEFT_ARM}, pelvis {_RIGHT_LEG}, pelvis {_LEFT_LEG}"
    ),
    root="pelvis",
)

MUPOTS17 = Skeleton(
    name="mupots17",
    joints=tuple(f"head_top neck {_RIGHT_ARM} {_LEFT_ARM} {_RIGHT_LEG} {_LEFT_LEG} pelvis spine head".split()),
    limbs=_pairs(
        f"pelvis spine neck head head_top, neck {_RIGHT_ARM}, neck {_LEFT_ARM}, pelvis {_RIGHT_LEG}, pelvis {_LEFT_LEG}"
    ),
    root="pelvis",
)

HUMANEVA15 = Skeleton(
    name="humaneva15",
    joints=tuple(f"pelvis thorax {_LEFT_ARM} {_RIGHT_ARM} {_LEFT_LEG} {_RIGHT_LEG} head".split()),
    limbs=_pairs(
        f"pelvis thorax head, thorax {_LEFT_ARM}, thorax {_RIGHT_ARM}, pelvis {_LEFT_LEG}, pelvis {_RIGHT_LEG}"
    ),
    root="pelvis",
)

BLAZEPOSE33 = Skeleton(
    name="blazepose33",
    joints=(
        *"nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer".split(),
        *"left_ear right_ear".split(),
        *"left_mouth right_mouth left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist".split(),
        *"left_pinky right_pinky left_index right_index left_thumb right_thumb".split(),
        *"left_hip right_hip left_knee right_knee".split(),
        *"left_ankle right_ankle left_heel right_heel left_foot_index right_foot_index".split(),
    ),
    limbs=_pairs(
        "nose left_eye_inner left_eye left_eye_outer left_ear,"
        "nose right_eye_inner right_eye right_eye_outer right_ear,"
        "left_mouth right_mouth, left_shoulder right_shoulder, left_hip right_hip,"
        f"{_LEFT_ARM} left_pinky left_index left_wrist left_thumb,"
        f"{_RIGHT_ARM} right_pinky right_index right_wrist right_thumb,"
        f"left_shoulder {_LEFT_LEG} left_heel left_foot_index left_ankle,"
        f"right_shoulder {_RIGHT_LEG} right_heel right_foot_index right_ankle"
    ),
)

CMU31 = Skeleton(
    name="cmu31",
    joints=(
        *"root lhipjoint lfemur ltibia lfoot ltoes rhipjoint rfemur rtibia rfoot rtoes".split(),
        *"lowerback upperback thorax lowerneck upperneck head".split(),
        *"lclavicle lhumerus lradius lwrist lhand lfingers lthumb".split(),
        *"rclavicle rhumerus rradius rwrist rhand rfingers rthumb".split(),
    ),
    limbs=_pairs(
        "root lhipjoint lfemur ltibia lfoot ltoes, root rhipjoint rfemur rtibia rfoot rtoes,"
        "root lowerback upperback thorax lowerneck upperneck head,"
        "thorax lclavicle lhumerus lradius lwrist lhand lfingers, lwrist lthumb,"
        "thorax rclavicle rhumerus rradius rwrist rhand rfingers, rwrist rthumb"
    ),
    root="root",
    aliases=_pairs(
        "left_hip lhipjoint, left_knee lfemur, left_ankle ltibia, right_hip rhipjoint, right_knee rfemur,"
        "right_ankle rtibia, left_shoulder lclavicle, left_elbow lhumerus, left_wrist lradius,"
        "right_shoulder rclavicle, right_elbow rhumerus, right_wrist rradius, neck_nose upperneck, head_top head"
    ),
)

BODY22 = Skeleton(
    name="body22",
    joints=(*_COCO, *"pelvis spine thorax neck_nose head_top".split()),
    limbs=(*H36M17.limbs, *_pairs("neck_nose nose left_eye left_ear, nose right_eye right_ear")),
    root="pelvis",
)

BODY26 = Skeleton(
    name="body26",
    joints=(*BODY22.joints, *"left_foot right_foot left_hand right_hand".split()),
    limbs=(
        *BODY22.limbs,
        *_pairs("left_ankle left_foot, right_ankle right_foot, left_wrist left_hand, right_wrist right_hand"),
    ),
    root="pelvis",
)

_FEET = "left_big_toe right_big_toe left_heel right_heel".split()

FEET4 = Skeleton(name="feet4", joints=tuple(_FEET), limbs=_pairs("left_heel left_big_toe, right_heel right_big_toe"))

COCO21 = Skeleton(
    name="coco21",
    joints=(*COCO17.joints, *_FEET),
    limbs=(
        *COCO17.limbs,
        *_pairs("left_ankle left_big_toe, left_ankle left_heel, right_ankle right_big_toe, right_ankle right_heel"),
    ),
    sigmas=(*(COCO17.sigmas or ()), 0.068, 0.092, 0.066, 0.094),
)
"""COCO's joints with big toes and heels; the sigmas of the feet are COCO-WholeBody's (Jin et al. 2020)."""

_TOES = "big_toe small_toe heel".split()
_LEFT_FOOT = ", ".join(f"left_ankle left_{end}" for end in _TOES)
_RIGHT_FOOT = ", ".join(f"right_ankle right_{end}" for end in _TOES)

BODY25 = Skeleton(
    name="body25",
    joints=(
        *f"nose neck {_RIGHT_ARM} {_LEFT_ARM} pelvis {_RIGHT_LEG} {_LEFT_LEG}".split(),
        *"right_eye left_eye right_ear left_ear left_big_toe left_small_toe left_heel".split(),
        *"right_big_toe right_small_toe right_heel".split(),
    ),
    limbs=_pairs(
        f"pelvis neck, neck {_RIGHT_ARM}, neck {_LEFT_ARM}, pelvis {_RIGHT_LEG}, pelvis {_LEFT_LEG},"
        "neck nose right_eye right_ear, nose left_eye left_ear,"
        "left_ankle left_big_toe left_small_toe, left_ankle left_heel,"
        "right_ankle right_big_toe right_small_toe, right_ankle right_heel"
    ),
    root="pelvis",
)

HALPE26 = Skeleton(
    name="halpe26",
    joints=(
        *_COCO,
        *"head_top neck pelvis left_big_toe right_big_toe left_small_toe right_small_toe left_heel right_heel".split(),
    ),
    limbs=_pairs(
        f"pelvis {_LEFT_LEG}, pelvis {_RIGHT_LEG}, pelvis neck head_top, neck {_LEFT_ARM}, neck {_RIGHT_ARM},"
        "left_eye right_eye, nose left_eye left_ear left_shoulder, nose right_eye right_ear right_shoulder,"
        f"{_LEFT_FOOT}, {_RIGHT_FOOT}"
    ),
    sigmas=(*_FACE_SIGMAS, *_BODY_SIGMAS, 0.026, 0.026, 0.066, *[0.079] * 6),
)

BODY25B = Skeleton(
    name="body25b",
    joints=(
        *_COCO,
        *"upper_neck head_top left_big_toe left_small_toe left_heel".split(),
        *"right_big_toe right_small_toe right_heel".split(),
    ),
    limbs=_pairs(
        f"left_shoulder {_LEFT_LEG}, right_shoulder {_RIGHT_LEG}, left_hip right_hip, upper_neck head_top,"
        f"upper_neck {_LEFT_ARM}, upper_neck {_RIGHT_ARM}, nose left_eye left_ear, nose right_eye right_ear,"
        f"upper_neck nose, {_LEFT_FOOT}, {_RIGHT_FOOT}"
    ),
)

COCO18 = Skeleton(
    name="coco18",
    joints=tuple(
        f"nose neck {_RIGHT_ARM} {_LEFT_ARM} {_RIGHT_LEG} {_LEFT_LEG} right_eye left_eye right_ear left_ear".split()
    ),
    limbs=_pairs(
        f"neck {_RIGHT_ARM}, neck {_LEFT_ARM}, neck {_RIGHT_LEG}, neck {_LEFT_LEG},"
        "neck nose right_eye right_ear, nose left_eye left_ear"
    ),
)

_JAW = (*_numbered("right_jaw", range(1, 9)), "chin", *_numbered("left_jaw", range(8, 0, -1)))
_RIGHT_BROW = _numbered("right_brow", range(1, 6))
_LEFT_BROW = _numbered("left_brow", range(5, 0, -1))
_NOSE_BRIDGE = _numbered("nose_bridge", range(1, 5))
_NOSTRILS = tuple("right_nostril1 right_nostril2 nose_base left_nostril2 left_nostril1".split())
_RIGHT_EYE = _numbered("right_eyelid", range(1, 7))  # from the outer corner over the upper lid
_LEFT_EYE = _numbered("left_eyelid", (4, 3, 2, 1, 6, 5))
_LIPS = (
    *_numbered("right_lip", range(1, 4)),
    "upper_lip",
    *_numbered("left_lip", (3, 2, 1, 5, 4)),
    "lower_lip",
    *_numbered("right_lip", (4, 5)),
)
_INNER_LIPS = (
    *_numbered("right_inner_lip", (1, 2)),
    "upper_inner_lip",
    *_numbered("left_inner_lip", (2, 1, 3)),
    "lower_inner_lip",
    "right_inner_lip3",
)
_FACE68 = (*_JAW, *_RIGHT_BROW, *_LEFT_BROW, *_NOSE_BRIDGE, *_NOSTRILS, *_RIGHT_EYE, *_LEFT_EYE, *_LIPS, *_INNER_LIPS)
_FACE68_LINES = (
    *(_JAW, _RIGHT_BROW, _LEFT_BROW, _NOSE_BRIDGE, _NOSTRILS),
    *((*loop, loop[0]) for loop in (_RIGHT_EYE, _LEFT_EYE, _LIPS, _INNER_LIPS)),
)
_LEFT_FINGERS = _fingers("left")
_RIGHT_FINGERS = _fingers("right")
_LEFT_HAND = ("left_hand_root", *(joint for finger in _LEFT_FINGERS for joint in finger))
_RIGHT_HAND = ("right_hand_root", *(joint for finger in _RIGHT_FINGERS for joint in finger))
_LEFT_HAND_LINES = (("left_wrist", "left_hand_root"), *(("left_hand_root", *finger) for finger in _LEFT_FINGERS))
_RIGHT_HAND_LINES = (("right_wrist", "right_hand_root"), *(("right_hand_root", *finger) for finger in _RIGHT_FINGERS))

WHOLEBODY133 = Skeleton(
    name="wholebody133",
    joints=(
        *_COCO,
        *(f"left_{end}" for end in _TOES),
        *(f"right_{end}" for end in _TOES),
        *(*_FACE68, *_LEFT_HAND, *_RIGHT_HAND),
    ),
    limbs=(
        *COCO17.limbs,
        *_pairs(f"{_LEFT_FOOT}, {_RIGHT_FOOT}"),
        *(pair for line in (*_FACE68_LINES, *_LEFT_HAND_LINES, *_RIGHT_HAND_LINES) for pair in pairwise(line)),
    ),
    sigmas=(
        *(*_FACE_SIGMAS, *_BODY_SIGMAS),
        *(0.068, 0.066, 0.066, 0.092, 0.094, 0.094),
        *(0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020),
        *(0.023, 0.029, 0.032, 0.037, 0.038, 0.043, 0.041, 0.045),
        *(0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015),
        *(0.009, 0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.010),
        *(0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.010, 0.034),
        *(0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.010, 0.008, 0.009, 0.009, 0.009, 0.007),
        *(0.007, 0.008, 0.011, 0.008, 0.008, 0.008, 0.01, 0.008),
        *_HAND_SIGMAS * 2,
    ),
)

MPII16 = Skeleton(
    name="mpii16",
    joints=(
        *"right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck head_top".split(),
        *"right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist".split(),
    ),
    limbs=_pairs(
        f"pelvis {_RIGHT_LEG}, pelvis {_LEFT_LEG}, pelvis thorax upper_neck head_top,"
        f"thorax {_RIGHT_ARM}, thorax {_LEFT_ARM}"
    ),
    root="pelvis",
)

AIC14 = Skeleton(
    name="aic14",
    joints=tuple(f"{_RIGHT_ARM} {_LEFT_ARM} {_RIGHT_LEG} {_LEFT_LEG} head_top neck".split()),
    limbs=_pairs(
        f"neck head_top, neck {_RIGHT_ARM}, neck {_LEFT_ARM}, right_shoulder {_RIGHT_LEG}, left_shoulder {_LEFT_LEG},"
        "right_hip left_hip"
    ),
    sigmas=(
        *(0.01388152, 0.01515228, 0.01057665, 0.01417709, 0.01497891, 0.01402144),
        *(0.03909642, 0.03686941, 0.01981803, 0.03843971, 0.03412318, 0.02415081),
        *(0.01291456, 0.01236173),
    ),
)

BODY22_TO_H36M17 = BODY22.index(*H36M17.joints)
"""Indices in body22 of the joints of h36m17."""

SKELETONS = (
    *(COCO17, H36M17, MPI15, MUPOTS17, CROWDPOSE14, HUMANEVA15, BLAZEPOSE33, CMU31, BODY22, BODY26),
    *(COCO21, BODY25, HALPE26, WHOLEBODY133, MPII16, AIC14, BODY25B, COCO18),
)


def by_name(name: str) -> Skeleton:
    """The skeleton of this name, or the subset that `Skeleton.subset` named so.

    Raises:
        OccluposeError: there is none; lists the known names.
    """
    whole, is_subset, joints = name.partition(_SUBSET)
    for skeleton in SKELETONS:
        if skeleton.name == whole:
            return skeleton.subset(joints.split("+")) if is_subset else skeleton
    known = ", ".join(skeleton.name for skeleton in SKELETONS)
    raise OccluposeError(f"{name}: not a known skeleton; known are {known}")


def find(name: str) -> Skeleton | None:
    """The skeleton of this name or subset; None where none of `SKELETONS` is its base.

    Raises:
        OccluposeError: a subset of joints that its base does not have.
    """
    base = name.partition(_SUBSET)[0]
    return by_name(name) if any(skeleton.name == base for skeleton in SKELETONS) else None


def build_skeleton(
    name: str,
    joint_names: Sequence[str] | None = None,
    limbs: Iterable[tuple[str, str]] | None = None,
    root: str | None = None,
) -> Skeleton:
    """The known skeleton of a name, else one of your own from joint names, limbs to draw and a root.

    Raises:
        OccluposeError: neither a known name nor joint names; other joint names than those of the known skeleton; a
            joint twice, or a limb or root that is not among the joints.
    """
    known = find(name)
    if known is None:
        if joint_names is None:
            names = ", ".join(skeleton.name for skeleton in SKELETONS)
            raise OccluposeError(f"{name}: not a known skeleton; known are {names}; or give joint_names")
        return _own_skeleton(name, joint_names, list(limbs or []), root)
    if joint_names is not None and tuple(joint_names) != known.joints:
        raise OccluposeError(
            f"joint_names: are {', '.join(joint_names)}; {name}'s are {', '.join(known.joints)}, in this order"
        )
    return known


def _own_skeleton(name: str, joints: Sequence[str], limbs: list[tuple[str, str]], root: str | None) -> Skeleton:
    if len(set(joints)) < len(joints):
        raise OccluposeError("joint_names: has a name twice; every joint needs a name of its own")
    for joint in [*(joint for limb in limbs for joint in limb), *([] if root is None else [root])]:
        if joint not in joints:
            raise OccluposeError(f"limbs, root: {joint} is not among the joint_names {', '.join(joints)}")
    return Skeleton(name, tuple(joints), tuple(limbs), root)


# Joints that can be derived from others: the mean of the first list whose joints are all available. Ours; `neck` and
# `thorax` are two datasets' names of one joint, the base of the neck.
_DERIVED: dict[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("left_hip", "right_hip"),),
    "thorax": (("neck",), ("left_shoulder", "right_shoulder")),
    "neck": (("thorax",), ("left_shoulder", "right_shoulder")),
    "spine": (("pelvis", "thorax"),),
}


def _weights(joint: str, source: Skeleton, pending: frozenset[str] = frozenset()) -> dict[int, float] | None:
    """Weights of the source's joints, by index, whose sum is `joint`; None if it cannot be derived."""
    own = joint if joint in source.joints else dict(source.aliases).get(joint)
    if own is not None:
        return {source.joints.index(own): 1.0}
    if joint in pending:
        return None
    for joints in _DERIVED.get(joint, ()):
        parts = [_weights(part, source, pending | {joint}) for part in joints]
        if all(part is not None for part in parts):
            return {index: weight / len(joints) for part in parts if part is not None for index, weight in part.items()}
    return None


@cache
def _conversion(source: Skeleton, target: Skeleton) -> tuple[dict[int, float] | None, ...]:
    return tuple(_weights(joint, source) for joint in target.joints)


def convert(
    values: Float[np.ndarray, "*any joint d"], source: Skeleton, target: Skeleton
) -> Float[np.ndarray, "*any target d"]:
    """Coordinates of the target's joints from the source's: the same joint if there is one, else derived, else NaN.

    Derived joints (ours): pelvis = mean of the hips; thorax = neck = mean of the shoulders; spine = mean of pelvis and
    thorax. A joint is NaN wherever one that it is derived from is NaN.

    Arguments:
        values: pixels, metres or anything that can be averaged; joints in the source's order.
    """
    if source == target:
        return values.copy()
    result = np.full((*values.shape[:-2], len(target), values.shape[-1]), np.nan, values.dtype)
    for index, parts in enumerate(_conversion(source, target)):
        if parts is not None:
            terms = [values[..., part, :] * values.dtype.type(weight) for part, weight in parts.items()]
            result[..., index, :] = sum(terms)
    return result


def convert_weakest(
    values: Shaped[np.ndarray, "*any joint"], source: Skeleton, target: Skeleton
) -> Shaped[np.ndarray, "*any target"]:
    """States or scores of the target's joints: lowest of the joints that each is derived from (see `convert`), or 0."""
    if source == target:
        return values.copy()
    result = np.zeros((*values.shape[:-1], len(target)), values.dtype)
    for index, parts in enumerate(_conversion(source, target)):
        if parts is not None:
            result[..., index] = values[..., list(parts)].min(-1)
    return result
