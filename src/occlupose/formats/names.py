"""Names of joints as other tools spell them, and our names for them."""

import re
from collections import Counter
from collections.abc import Sequence

from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY22, CMU31, HALPE26, SKELETONS, Skeleton

__all__ = ["match", "to_skeleton"]

SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}

OTHER_NAMES = {
    "midhip": "pelvis",
    "chip": "pelvis",
    "hip": "pelvis",
    "hips": "pelvis",
    "hipcenter": "pelvis",
    "root": "pelvis",
    "midshoulder": "neck",
    "neckbase": "neck",
    "chest": "thorax",
    "tophead": "head_top",
    "headtop": "head_top",
    "topofhead": "head_top",
    "vertex": "head_top",
    "hallux": "big_toe",
    "littletoe": "small_toe",
    "pinkytoe": "small_toe",
    "calcaneus": "heel",
}
"""Other words for a joint, without its side and in small letters, as other tools and datasets have them."""

_FACE = {"nose", *(f"{side}_{part}" for side in ("left", "right") for part in ("eye", "ear"))}
BODY = {*BODY22.joints, "neck", "head"} - _FACE
"""Joints of which a file must have one to be of people: animals have noses, too."""


def _parts(name: str) -> tuple[str, str]:
    """Side ("left", "right" or "") and the rest of a name, in small letters without separators."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)]
    for place in (0, -1):
        if len(words) > 1 and words[place] in SIDES:
            side = SIDES[words.pop(place)]
            return side, "".join(words)
    return "", "".join(words)


_KNOWN = {_parts(joint): joint for skeleton in SKELETONS if skeleton != CMU31 for joint in skeleton.joints}


def match(name: str) -> str | None:
    """Our name of a joint: "LElbow", "left elbow", "elbow_l" and "leftElbow" are left_elbow; None if we have no such
    joint.
    """
    side, part = _parts(name)
    guesses = [(side, part)]
    if not side:
        starts = (start for start in SIDES if part.startswith(start))
        guesses += [(SIDES[start], part.removeprefix(start)) for start in starts]
    for guess in guesses:
        other = _parts(f"{guess[0]} {OTHER_NAMES.get(guess[1], '')}")
        if guess in _KNOWN or other in _KNOWN:
            return _KNOWN.get(guess) or _KNOWN[other]
    return None


def to_skeleton(names: Sequence[str], tool: str) -> Skeleton:
    """The skeleton of joints with these names, in this order: a known one, a part of one, or one of our names beside
    the file's own.

    Arguments:
        tool: name of a skeleton of its own.

    Raises:
        OccluposeError: a name comes twice, or no joint of a person's body is among them; lists the names.
    """
    listed = ", ".join(" ".join(name.split()) for name in names)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise OccluposeError(f"has joint {twice[0]!r} twice; every joint needs a name of its own")
    matched = [match(name) for name in names]
    if not BODY & set(matched):
        raise OccluposeError(
            f"no joint of a person's body in it, only {listed}; name them as in coco17 "
            "(left_elbow, ...), or give the skeleton that they are of"
        )
    joints = list(names)
    for place, ours in enumerate(matched):
        if ours is not None and ours not in joints:
            joints[place] = ours
    exact = [skeleton for skeleton in SKELETONS if skeleton.joints == tuple(joints)]
    parts = [skeleton for skeleton in SKELETONS if set(joints) <= set(skeleton.joints)]
    if exact:
        return exact[0]
    if parts:
        return parts[0].subset(joints)
    limbs = [*BODY22.limbs, *HALPE26.limbs]
    drawn = dict.fromkeys(limb for limb in limbs if set(limb) <= set(joints))
    return Skeleton(tool.lower(), tuple(joints), tuple(drawn))
