import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from occlupose.methods.oanet.picture import ROOT, SPREAD, TORSO, frame
from occlupose.skeletons import H36M17

EVERYTHING = torch.ones(2, 6, 17, dtype=torch.bool)


def points(seed=0):
    return torch.randn(2, 6, 17, 2, generator=torch.Generator().manual_seed(seed))


@given(st.floats(0.01, 2000), st.floats(-5000, 5000), st.integers(0, 2**32 - 1))
def test_the_picture_is_the_same_in_any_unit_and_anywhere(scale, shift, seed):
    xy = points(seed)
    believed = torch.rand(2, 6, 17, generator=torch.Generator().manual_seed(seed)) < 0.7
    one = frame(xy, believed)
    other = frame(scale * (xy + shift), believed)
    torch.testing.assert_close(other.xy, one.xy, atol=2e-3 * (1 + abs(shift)), rtol=0)


def test_there_and_back():
    xy = points()
    picture = frame(xy, EVERYTHING)
    torch.testing.assert_close(picture.to_units(xy), picture.xy)
    torch.testing.assert_close(picture.xy * picture.size + picture.root, xy)


def test_the_pelvis_is_the_origin_and_a_missing_joint_lies_there():
    believed = EVERYTHING.clone()
    believed[:, :, 3] = False
    picture = frame(points(), believed)
    assert (picture.xy[:, :, [ROOT, 3]] == 0).all()
    assert (picture.xy[:, :, 4:] != 0).all()


def test_what_is_not_believed_counts_for_nothing():
    believed = torch.rand(2, 6, 17, generator=torch.Generator().manual_seed(1)) < 0.6
    noisy = torch.where(believed.unsqueeze(-1), points(), torch.nan)
    assert torch.equal(frame(noisy, believed).xy, frame(points(), believed).xy)
    assert frame(noisy, believed).xy.isfinite().all()


def test_without_the_pelvis_the_root_is_the_mean_of_the_torso_that_is_left():
    xy = points()
    believed = EVERYTHING.clone()
    believed[:, 2, ROOT] = False
    believed[0, 2, TORSO[:3]] = False
    root = frame(xy, believed).root[:, 2, 0]
    torch.testing.assert_close(root, torch.stack([xy[0, 2, TORSO[3]], xy[1, 2, TORSO].mean(0)]))


def test_without_a_torso_the_root_is_where_it_was_or_will_be():
    xy = points()
    believed = EVERYTHING.clone()
    believed[:, [0, 3, 4], ROOT] = False
    for joint in TORSO:
        believed[:, [0, 3, 4], joint] = False
    root = frame(xy, believed).root[:, :, 0]
    assert torch.equal(root[:, 3], xy[:, 2, ROOT])
    assert torch.equal(root[:, 4], xy[:, 2, ROOT])
    assert torch.equal(root[:, 0], xy[:, 1, ROOT])


def test_where_nothing_is_seen_there_is_nothing_but_no_error():
    picture = frame(points(), torch.zeros_like(EVERYTHING))
    assert (picture.xy == 0).all()
    assert picture.size.isfinite().all()
    assert frame(points()[:0], EVERYTHING[:0]).xy.shape == (0, 6, 17, 2)


@pytest.mark.parametrize("missing", [[], H36M17.index("left_ankle", "right_ankle", "left_knee", "right_knee")])
def test_the_size_of_an_average_person_is_a_metre_whoever_is_missing(missing):
    direction = torch.nn.functional.normalize(points(), dim=-1)
    xy = 300 * direction * SPREAD.view(1, 1, -1, 1)
    believed = EVERYTHING.clone()
    believed[:, :, missing] = False
    assert frame(xy, believed).size.flatten().tolist() == pytest.approx([300, 300], rel=1e-4)
