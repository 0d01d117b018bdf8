import numpy as np
import pytest

from occlupose.codecs.multi_person import TORSO, MultiPersonMaps
from occlupose.methods.hupor.depth import relative_depths, root_depths
from occlupose.skeletons import MPI15

MAPS = MultiPersonMaps(256, 160)
ROOT, NECK, HEAD, KNEE, ANKLE = MPI15.index("pelvis", "neck", "head_top", "left_knee", "left_ankle")


def limbs(**depths):
    found = np.full((1, 14), np.nan)
    for limb, depth in depths.items():
        found[0, MPI15.limbs.index(tuple(limb.split("__")))] = depth
    return found


def test_depths_add_up_from_the_pelvis_and_a_missing_limb_adds_nothing():
    further = relative_depths(limbs(neck__pelvis=0.1, neck__head_top=0.05, left_hip__left_knee=-0.3), MAPS)[0]
    assert further[ROOT] == 0
    assert further[NECK] == pytest.approx(-0.1)  # that field points to the pelvis
    assert further[HEAD] == pytest.approx(-0.05)
    assert further[KNEE] == further[ANKLE] == pytest.approx(-0.3)


def reading(seen, **depths):
    """Depths by the maps of joints, of which these are seen, and where the pelvis is by them; joints of the left are 10
    cm nearer.
    """
    further = np.zeros((1, 15))
    further[0, [MPI15.joints.index(joint) for joint in MPI15.joints if joint.startswith("left_")]] = -0.1
    depth = np.full((1, 7), np.nan)
    heights = np.zeros((1, 7))
    for joint, value in depths.items():
        depth[0, TORSO.index(joint)] = value
    for joint in seen:
        heights[0, TORSO.index(joint)] = 0.9
    return root_depths(depth, heights, further, MAPS)[0]


EVERYTHING = dict(zip(TORSO, (4.0, 4.1, 4.2, 4.3, 4.4, 4.5, 4.6), strict=True))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (TORSO, 4.0),
        (TORSO[1:], (4.5 + 0.1 + 4.6) / 2),
        (("left_hip", "neck", "left_shoulder", "right_shoulder"), 4.6),
        (("right_hip", "neck"), 4.6),
        (("left_shoulder", "right_shoulder", "neck"), (4.3 + 0.1 + 4.4) / 2),
        (("left_shoulder", "neck", "head_top"), 4.1),
        (("head_top",), 4.2),
    ],
)
def test_the_best_visible_joints_determine_the_pelvis(seen, expected):
    assert reading(seen, **EVERYTHING) == pytest.approx(expected)


def test_without_a_visible_cue_all_joints_are_averaged():
    assert reading((), pelvis=4.0, left_hip=5.0) == pytest.approx((4.0 + 5.1) / 2)
    assert reading(("left_shoulder",), pelvis=4.0, left_shoulder=5.0) == pytest.approx(5.1, abs=1e-4)
    assert np.isnan(reading(()))
