import numpy as np
import pytest
import torch

from occlupose.bodies.anny import anny
from occlupose.bodies.feet import feet
from occlupose.skeletons import BODY26, FEET4


@pytest.fixture(scope="module")
def standing():
    """An average body at rest: x to its left, y up, z forward."""
    body = anny()
    return body(torch.eye(3).expand(1, 17, 3, 3), body.neutral[None], torch.zeros(1, 3))


def test_a_heel_is_behind_the_ankle_and_a_big_toe_before_the_ball_of_the_foot(standing):
    found = dict(zip(FEET4.joints, feet(standing.vertices[0].numpy()), strict=True))
    joints = dict(zip(BODY26.joints, standing.joints[0].numpy(), strict=True))
    sole = standing.vertices[0, :, 1].min().item()
    for side, sign in (("left", 1), ("right", -1)):
        heel = found[f"{side}_heel"]
        toe = found[f"{side}_big_toe"]
        assert heel[2] < joints[f"{side}_ankle"][2] - 0.02
        assert joints[f"{side}_foot"][2] + 0.02 < toe[2]
        assert 0.2 < toe[2] - heel[2] < 0.3  # the length of a foot
        assert sign * toe[0] < sign * joints[f"{side}_foot"][0]  # the big toe is the inner one
        assert sole < heel[1] < sole + 0.04 and sole < toe[1] < sole + 0.04


def test_feet_are_mirrored(standing):
    found = feet(standing.vertices[0].numpy())
    np.testing.assert_allclose(found[list(FEET4.mirror)], found * (-1, 1, 1), atol=2e-3)


def test_they_move_with_the_body_and_are_taken_of_many_at_once(standing):
    one = standing.vertices[0].numpy()
    both = np.stack([one, 2 * one + (1, 2, 3)])
    np.testing.assert_allclose(feet(both)[1], 2 * feet(one) + (1, 2, 3), atol=1e-5)
