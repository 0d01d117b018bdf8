"""Protocols for multi-person absolute 3D pose: MuPoTS-3D's in three variants, and one for other ground truth.

The variants give different figures for the same predictions:

- `official`: the evaluation that comes with MuPoTS-3D, on the truth in universal scale (`univ_annot3`). In the order of
  the annotations, each person takes the free prediction with the most joints (neck to ankles) less than 40 px away in x
  and in y, if there is any. Predictions are rescaled to the true bone lengths, from the pelvis through the spine
  outwards. AUC: mean PCK at 0, 5 ... 150 mm.
- `smap15`: the same on 15 joints, without spine and head: the neck's parent is the pelvis. SMAP's and HUPOR's figures.
  They also drop predictions whose pelvis is over 30 px from every true one, and images whose true pelvis is not
  visible, which is not done here.
- `gntcn`: Python ports of it (GnTCN and relatives), on the truth in true scale (`annot3`). A person takes the
  prediction with the smallest error after Procrustes alignment, if that is below 250 mm; two people may take the same.
  Bones are rescaled along the parents of other joints, since the ports look parents up by the position in the order of
  rescaling. The absolute root is the true one, moved along its ray to the predicted depth. AUC: mean PCK at 0, 5 ...
  195 mm. Only for comparison with figures of such papers.
- `mpi15`: ours, for data with ground truth in HUPOR's 15 joints. Matched as `official`, but within 1/24 of the image's
  longer side (80 px of 1920), as images may be small; predictions are not rescaled.

Where bones are rescaled, a skeleton of the wrong size is still correct, also in the absolute figures, which then
measure the position of the pelvis and the directions of the bones but not sizes. Tables say so.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from occlupose.cameras import Camera
from occlupose.metrics.matching import MATCH_RADIUS
from occlupose.skeletons import MPI15, MUPOTS17, Skeleton

MISSING_ERROR = 160.0
"""Error, mm, of a joint that is not predicted for a matched person (MuPoTS-3D's evaluation by occlusion)."""

JOINT_GROUPS = {
    "head": ("head_top",),
    "neck": ("neck",),
    "shoulder": ("right_shoulder", "left_shoulder"),
    "elbow": ("right_elbow", "left_elbow"),
    "wrist": ("right_wrist", "left_wrist"),
    "hip": ("right_hip", "left_hip"),
    "knee": ("right_knee", "left_knee"),
    "ankle": ("right_ankle", "left_ankle"),
}
"""The joints that are scored, in the groups of MPI-INF-3DHP. Pelvis, spine and head (centre) are not scored."""

SCORED_JOINTS = tuple(joint for group in JOINT_GROUPS.values() for joint in group)
MATCHING_JOINTS = SCORED_JOINTS[1:]
"""Joints by which people are matched in the image: all scored ones but the top of the head."""

_OUTWARDS = ("spine", "neck", "head_top", "head", *MUPOTS17.joints[2:14])
_PARENTS = {
    "head_top": "neck",
    "neck": "spine",
    "spine": "pelvis",
    "head": "neck",
    "pelvis": "pelvis",
    "right_shoulder": "neck",
    "right_elbow": "right_shoulder",
    "right_wrist": "right_elbow",
    "left_shoulder": "neck",
    "left_elbow": "left_shoulder",
    "left_wrist": "left_elbow",
    "right_hip": "pelvis",
    "right_knee": "right_hip",
    "right_ankle": "right_knee",
    "left_hip": "pelvis",
    "left_knee": "left_hip",
    "left_ankle": "left_knee",
}
_BY_SPINE = tuple((joint, _PARENTS[joint]) for joint in _OUTWARDS)
_BY_PELVIS = (
    ("neck", "pelvis"),
    *((joint, parent) for joint, parent in _BY_SPINE if joint not in ("spine", "neck", "head")),
)
_BY_POSITION = tuple(zip(_OUTWARDS, (_PARENTS[joint] for joint in MUPOTS17.joints), strict=False))

Bones = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class MuPoTSProtocol:
    """How people are matched and scored.

    Attributes:
        name: "official", "smap15", "gntcn" or "mpi15".
        skeleton: of truth and predictions.
        universal: whether the truth is in universal scale, where a dataset has one.
        bones: (joint, parent) in the order of rescaling to the true bone lengths; empty if predictions are not
            rescaled.
        matching: "pixels" or "procrustes".
        radius_share: share of an image's longer side within which a joint counts for a match by pixels; 0: 40 px.
        depth_only: whether only the depth of a predicted root is scored.
        max_threshold: last threshold of the AUC, mm; the first is 0 and the step 5 mm.
        inclusive: whether an error of exactly 150 mm is correct in `PCK_occ` and `PCK_vis`; elsewhere it never is.
        missing_error: error, mm, of a joint of a matched person that is not predicted, in mean errors; None leaves it
            out.
    """

    name: str
    skeleton: Skeleton
    universal: bool = False
    bones: Bones = ()
    matching: Literal["pixels", "procrustes"] = "pixels"
    radius_share: float = 0.0
    depth_only: bool = False
    max_threshold: float = 150.0
    inclusive: bool = False
    missing_error: float | None = None

    @property
    def rescales(self) -> bool:
        """Whether predictions are rescaled to the true bone lengths."""
        return bool(self.bones)

    @property
    def scored(self) -> list[int]:
        """Numbers of the scored joints in the skeleton."""
        return self.skeleton.index(*SCORED_JOINTS)

    @property
    def root(self) -> int:
        """Number of the pelvis."""
        return self.skeleton.index("pelvis")[0]

    def match_radius(self, camera: Camera | None) -> float:
        """Pixels within which a joint counts for a match."""
        share = self.radius_share
        return share * max(camera.width, camera.height) if share and camera is not None else MATCH_RADIUS

    @property
    def thresholds(self) -> Float[np.ndarray, "threshold"]:
        """Of the AUC, mm."""
        return np.arange(0, self.max_threshold + 1, 5)


OFFICIAL = MuPoTSProtocol(
    "official", MUPOTS17, universal=True, bones=_BY_SPINE, inclusive=True, missing_error=MISSING_ERROR
)
SMAP15 = MuPoTSProtocol(
    "smap15",
    MUPOTS17.subset(MUPOTS17.joints[:15]),
    universal=True,
    bones=_BY_PELVIS,
    inclusive=True,
    missing_error=MISSING_ERROR,
)
GNTCN = MuPoTSProtocol(
    "gntcn",
    MUPOTS17,
    bones=_BY_POSITION,
    matching="procrustes",
    depth_only=True,
    max_threshold=195.0,
    inclusive=True,
    missing_error=MISSING_ERROR,
)
MPI15_PROTOCOL = MuPoTSProtocol("mpi15", MPI15, radius_share=1 / 24)
PROTOCOLS = {protocol.name: protocol for protocol in (OFFICIAL, SMAP15, GNTCN, MPI15_PROTOCOL)}
