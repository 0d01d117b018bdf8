import numpy as np
from scipy.spatial.transform import Rotation

from moving_skeletons import TREE
from occlupose.kinematics.result import blank, keep_signs
from occlupose.skeletons import COCO21, H36M17


def test_quaternions_of_a_whole_turn_do_not_jump():
    turns = Rotation.from_rotvec(np.linspace(0, 4 * np.pi, 80)[:, None] * [0, 1, 0])
    canonical = turns.as_quat(canonical=True, scalar_first=True)[:, None]
    kept = keep_signs(canonical)
    assert np.abs(np.diff(canonical, axis=0)).max() > 1 > 0.2 > np.abs(np.diff(kept, axis=0)).max()
    same = Rotation.from_quat(kept[:, 0], scalar_first=True) * turns.inv()
    np.testing.assert_allclose(same.magnitude(), 0, atol=1e-7)
    np.testing.assert_array_equal(keep_signs(canonical[:1]), canonical[:1])


def test_a_blank_record_has_nobody():
    fit = blank(TREE, 2, 3)
    assert np.isnan(fit.joints(H36M17)).all() and fit.joints(COCO21).shape == (2, 3, 21, 3)
    assert fit.bone_lengths.shape == (3, len(TREE.rest))
