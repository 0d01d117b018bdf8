"""Names of what a fitted skeleton consists of: rigid segments, the bones between its points, and what bears a body."""

SIDES = ("left", "right")

MIDLINE = ("abdomen", "chest", "neck", "head")
LIMBS = ("clavicle", "upper_arm", "forearm", "hand", "thigh", "shank", "foot", "toes")

SEGMENTS = ("pelvis", *MIDLINE, *(f"{side}_{limb}" for side in SIDES for limb in LIMBS))
"""Rigid segments, parents before children."""

BONES = (
    *("lumbar", "spine", "thorax", "neck_nose", "head_top", "nose"),
    *(f"{side}_{part}" for side in SIDES for part in ("eye", "ear")),
    *(
        f"{side}_{end}"
        for side in SIDES
        for end in ("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "foot", "heel", "big_toe")
    ),
)
"""Bones, by the point to which each leads."""

BEARING = (
    *(
        f"{side}_{part}"
        for part in ("heel", "big_toe", "knee", "hip", "hand", "wrist", "elbow", "shoulder", "ear")
        for side in SIDES
    ),
    *("spine", "thorax"),
)
"""Points that can bear a body, for the skin below them."""

SHAPE = (
    "gender",
    "age",
    "muscle",
    "weight",
    "height",
    "proportions",
    "cupsize",
    "firmness",
    "african",
    "asian",
    "caucasian",
)
"""Parameters of the body model Anny, 0..1."""
