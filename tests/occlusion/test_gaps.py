from functools import partial

import pytest
import torch

from occlupose.occlusion import gaps
from occlupose.skeletons import BODY22, COCO17

SHAPE = (400, 64, 22)
MODES = [gaps.scattered, gaps.frames, gaps.gap, gaps.joints, partial(gaps.limb, skeleton=BODY22), gaps.sampled, gaps.nothing]


def draw(mode, shape=SHAPE, seed=0, **options):
    """Where joints are missing."""
    seen = mode(shape, torch.Generator().manual_seed(seed), **options)
    assert seen.shape == shape
    assert seen.dtype == torch.bool
    return ~seen


def runs(missing):
    """Lengths of all unbroken stretches of True in a (sequence, time) mask."""
    edges = torch.nn.functional.pad(missing.int(), (1, 1)).diff(dim=1)
    return (edges == -1).nonzero()[:, 1] - (edges == 1).nonzero()[:, 1]


@pytest.mark.parametrize("mode", MODES)
def test_the_same_generator_gives_the_same_mask_and_goes_on(mode):
    assert torch.equal(draw(mode, seed=3), draw(mode, seed=3))
    if mode is not gaps.nothing:
        generator = torch.Generator().manual_seed(3)
        assert not torch.equal(mode(SHAPE, generator), mode(SHAPE, generator))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 16, 22), (3, 8, 22), (0, 64, 22)])
def test_small_batches_and_short_sequences(mode, shape):
    draw(mode, shape)


def test_scattered_joints_miss_at_a_rate_of_their_sequence():
    missing = draw(gaps.scattered).float()
    rate = missing.mean((1, 2))
    assert rate.min() < 0.1
    assert 0.5 < rate.max() < 0.65
    assert rate.mean() == pytest.approx(0.325, abs=0.02)
    assert draw(gaps.scattered, rate=(0.2, 0.2)).float().mean() == pytest.approx(0.2, abs=0.005)
    # each joint and frame for itself: neighbours in time and joints agree no more often than by chance
    fixed = draw(gaps.scattered, rate=(0.5, 0.5))
    assert (fixed[:, 1:] == fixed[:, :-1]).float().mean() == pytest.approx(0.5, abs=0.01)
    assert (fixed[..., 1:] == fixed[..., :-1]).float().mean() == pytest.approx(0.5, abs=0.01)


def test_whole_frames_miss_with_all_their_joints():
    missing = draw(gaps.frames)
    assert torch.equal(missing.any(2), missing.all(2))
    assert missing.float().mean() == pytest.approx(0.275, abs=0.02)


@pytest.mark.parametrize("longest", [1, 30])
def test_a_gap_is_one_stretch_without_anybody(longest):
    missing = draw(gaps.gap, longest=longest)
    assert torch.equal(missing.any(2), missing.all(2))
    lengths = runs(missing.all(2))
    assert (missing[..., 0].int().diff(dim=1) == 1).sum(1).max() <= 1
    assert lengths.max() == longest
    assert len(lengths) > 0.9 * SHAPE[0]


def test_some_joints_miss_throughout():
    missing = draw(gaps.joints)
    assert torch.equal(missing.any(1), missing.all(1))
    assert missing.float().mean() == pytest.approx(0.1, abs=0.01)


def test_one_or_two_limbs_miss_for_a_long_stretch():
    missing = draw(partial(gaps.limb, skeleton=BODY22))
    groups = [torch.tensor([name in group for name in BODY22.joints]) for group in gaps.LIMBS]
    pairs = {tuple(sorted((a | b).nonzero().flatten().tolist())) for a in groups for b in groups}
    for sequence in missing:
        together = tuple(sequence.any(0).nonzero().flatten().tolist())
        assert not together or together in pairs
        assert sequence.any(1).sum() == 0 or runs(sequence.T).max() <= SHAPE[1]
    shares = missing.any(2).float().mean(1)
    assert (shares == 1).any()  # up to the whole sequence
    assert shares.mean() > 0.3


def test_limbs_of_a_skeleton_without_some_joints():
    missing = draw(partial(gaps.limb, skeleton=COCO17), (200, 64, 17))
    assert missing.any()
    assert not missing.all(2).any()


def test_limbs_name_only_joints_that_there_are():
    assert {name for group in gaps.LIMBS for name in group} <= set(BODY22.joints)


def test_sparse_sampling_keeps_every_nth_frame():
    seen = ~draw(gaps.sampled)
    assert torch.equal(seen.any(2), seen.all(2))
    steps = {tuple(sequence.nonzero().flatten().diff().unique().tolist()) for sequence in seen[..., 0]}
    assert steps == {(2,), (3,), (4,)}


def test_nothing_is_missing():
    assert not draw(gaps.nothing).any()


def test_each_sequence_has_a_mode_of_its_own_by_the_weights():
    def everything(shape, generator):
        return torch.zeros(shape, dtype=torch.bool)

    missing = draw(partial(gaps.choose, modes=[(3.0, gaps.nothing), (1.0, everything)]), (2000, 8, 3))
    assert torch.equal(missing.any((1, 2)), missing.all(2).all(1))
    assert missing.all(2).all(1).float().mean() == pytest.approx(0.25, abs=0.03)
    assert not draw(partial(gaps.choose, modes=[(1.0, gaps.nothing), (0.0, everything)]), (2000, 8, 3)).any()
