import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mocap_sequences import standing_pose
from occlupose.body_height import HEAD_ABOVE_NECK, SOLE_BELOW_ANKLE, check_height, measure_height
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY22_TO_H36M17, H36M17


def people(frames=3, count=2):
    """(people, frames, 17, 3) of somebody who stands, the crown's joint 1.7 m and the ankles 0.08 m up."""
    return np.broadcast_to(standing_pose()[BODY22_TO_H36M17], (count, frames, 17, 3)).copy()


def test_height_goes_from_crown_to_sole():
    # bones, m: the trunk's along the back, the legs' from hip to ankle
    trunk = np.hypot(0.18, 0.03) + np.hypot(0.1, 0.03) + 0.27 + 0.22
    legs = 0.84
    assert measure_height(people())[0] == pytest.approx(HEAD_ABOVE_NECK + trunk + legs + SOLE_BELOW_ANKLE, abs=1e-3)


def test_height_does_not_depend_on_the_pose():
    upright = people()
    turned = upright @ Rotation.from_rotvec([1.0, -0.4, 2.0]).as_matrix().T + (3, 1, 7)
    np.testing.assert_allclose(measure_height(turned), measure_height(upright))
    sitting = upright.copy()
    for side in ("left", "right"):
        hip, knee, ankle = H36M17.index(f"{side}_hip", f"{side}_knee", f"{side}_ankle")
        thigh = np.linalg.norm(upright[..., knee, :] - upright[..., hip, :], axis=-1, keepdims=True)
        sitting[..., knee, :] = sitting[..., hip, :] + thigh * (0, 0, 1)
        sitting[..., ankle, :] = sitting[..., knee, :] + upright[..., ankle, :] - upright[..., knee, :]
    np.testing.assert_allclose(measure_height(sitting), measure_height(upright))


def test_everybody_has_their_own_height():
    both = people()
    both[1] *= 1.1
    one, other = measure_height(both) - HEAD_ABOVE_NECK - SOLE_BELOW_ANKLE
    assert other == pytest.approx(1.1 * one)
    assert measure_height(both[0]) == pytest.approx(measure_height(both)[0])


def test_bad_frames_and_unknown_joints_do_not_count():
    body = people(5, 1)
    expected = measure_height(body)
    body[0, 0] *= 5
    body[0, 1, H36M17.joints.index("head_top")] = np.nan
    body[0, 2] = np.nan
    np.testing.assert_allclose(measure_height(body), expected)


def test_left_and_right_legs_are_averaged():
    body = people()
    plain = measure_height(body)
    body[..., H36M17.joints.index("left_ankle"), 1] -= 0.1
    np.testing.assert_allclose(measure_height(body), plain + 0.05, atol=1e-6)


@pytest.mark.parametrize("height", [None, 0.3, 1.7, 3.0])
def test_heights_that_people_have_are_accepted(height):
    check_height(height)


@pytest.mark.parametrize("height", [0.0, 0.2, 3.1, 180.0, -1.0, float("nan")])
def test_heights_that_cannot_be_are_refused(height):
    with pytest.raises(OccluposeError, match=r"people are 0\.3 to 3 metres tall; give metres"):
        check_height(height)
