import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlupose.methods.oanet.masked_inputs import RMS_DISTANCE, ROOT, TORSO, MaskedEncoder
from occlupose.skeletons import H36M17

EVERYTHING = torch.ones(2, 6, 17, dtype=torch.bool)


def points(seed=0):
    return torch.randn(2, 6, 17, 2, generator=torch.Generator().manual_seed(seed))


@given(st.floats(0.01, 2000), st.floats(-5000, 5000), st.integers(0, 2**32 - 1))
def test_the_result_does_not_depend_on_unit_and_position(scale, shift, seed):
    xy = points(seed)
    reliable = torch.rand(2, 6, 17, generator=torch.Generator().manual_seed(seed)) < 0.7
    one = MaskedEncoder()(xy, reliable)
    other = MaskedEncoder()(scale * (xy + shift), reliable)
    torch.testing.assert_close(other.xy, one.xy, atol=2e-3 * (1 + abs(shift)), rtol=0)


def test_other_joints_are_normalised_alike():
    xy = points()
    normalised = MaskedEncoder()(xy, EVERYTHING)
    torch.testing.assert_close(normalised.normalise(xy), normalised.xy)
    torch.testing.assert_close(normalised.normalise(xy + normalised.scale) - normalised.xy, torch.ones_like(xy))


def test_the_pelvis_is_the_origin_and_a_missing_joint_lies_there():
    reliable = EVERYTHING.clone()
    reliable[:, :, 3] = False
    normalised = MaskedEncoder()(points(), reliable)
    assert (normalised.xy[:, :, [ROOT, 3]] == 0).all()
    assert (normalised.xy[:, :, 4:] != 0).all()


def test_unreliable_joints_have_no_effect():
    reliable = torch.rand(2, 6, 17, generator=torch.Generator().manual_seed(1)) < 0.6
    noisy = torch.where(reliable.unsqueeze(-1), points(), torch.nan)
    assert torch.equal(MaskedEncoder()(noisy, reliable).xy, MaskedEncoder()(points(), reliable).xy)
    assert MaskedEncoder()(noisy, reliable).xy.isfinite().all()


def test_without_the_pelvis_the_root_is_the_mean_of_the_reliable_torso_joints():
    xy = points()
    reliable = EVERYTHING.clone()
    reliable[:, 2, ROOT] = False
    reliable[0, 2, TORSO[:3]] = False
    root = MaskedEncoder()(xy, reliable).root[:, 2, 0]
    torch.testing.assert_close(root, torch.stack([xy[0, 2, TORSO[3]], xy[1, 2, TORSO].mean(0)]))


def test_without_a_torso_the_root_is_the_last_one_before_or_the_first_after():
    xy = points()
    reliable = EVERYTHING.clone()
    reliable[:, [0, 3, 4], ROOT] = False
    for joint in TORSO:
        reliable[:, [0, 3, 4], joint] = False
    root = MaskedEncoder()(xy, reliable).root[:, :, 0]
    assert torch.equal(root[:, 3], xy[:, 2, ROOT])
    assert torch.equal(root[:, 4], xy[:, 2, ROOT])
    assert torch.equal(root[:, 0], xy[:, 1, ROOT])


def test_without_reliable_joints_the_result_is_zero():
    normalised = MaskedEncoder()(points(), torch.zeros_like(EVERYTHING))
    assert (normalised.xy == 0).all()
    assert normalised.scale.isfinite().all()
    assert MaskedEncoder()(points()[:0], EVERYTHING[:0]).xy.shape == (0, 6, 17, 2)


@pytest.mark.parametrize("missing", [[], H36M17.index("left_ankle", "right_ankle", "left_knee", "right_knee")])
def test_the_scale_of_an_average_person_is_a_metre_whichever_joints_are_missing(missing):
    direction = torch.nn.functional.normalize(points(), dim=-1)
    xy = 300 * direction * RMS_DISTANCE.view(1, 1, -1, 1)
    reliable = EVERYTHING.clone()
    reliable[:, :, missing] = False
    assert MaskedEncoder()(xy, reliable).scale.flatten().tolist() == pytest.approx([300, 300], rel=1e-4)
