from functools import partial

import pytest
import torch

from occlupose.occlusion import gaps
from occlupose.skeletons import BODY22, COCO17

SHAPE = (400, 64, 22)
LIMB = partial(gaps.limb_gaps, skeleton=BODY22)
SEVERAL = partial(gaps.random_segments, skeleton=BODY22)
MODES = [
    gaps.random_joints,
    gaps.random_frames,
    gaps.person_gap,
    gaps.whole_joints,
    LIMB,
    SEVERAL,
    gaps.every_nth_frame,
    gaps.no_mask,
]


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
    if mode is not gaps.no_mask:
        generator = torch.Generator().manual_seed(3)
        assert not torch.equal(mode(SHAPE, generator), mode(SHAPE, generator))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 16, 22), (3, 8, 22), (0, 64, 22)])
def test_small_batches_and_short_sequences(mode, shape):
    draw(mode, shape)


def test_scattered_joints_miss_at_a_rate_of_their_sequence():
    missing = draw(gaps.random_joints).float()
    rate = missing.mean((1, 2))
    assert rate.min() < 0.1
    assert 0.5 < rate.max() < 0.65
    assert rate.mean() == pytest.approx(0.325, abs=0.02)
    assert draw(gaps.random_joints, rate=(0.2, 0.2)).float().mean() == pytest.approx(0.2, abs=0.005)
    # each joint and frame for itself: neighbours in time and joints agree no more often than by chance
    fixed = draw(gaps.random_joints, rate=(0.5, 0.5))
    assert (fixed[:, 1:] == fixed[:, :-1]).float().mean() == pytest.approx(0.5, abs=0.01)
    assert (fixed[..., 1:] == fixed[..., :-1]).float().mean() == pytest.approx(0.5, abs=0.01)


def test_whole_frames_miss_with_all_their_joints():
    missing = draw(gaps.random_frames)
    assert torch.equal(missing.any(2), missing.all(2))
    assert missing.float().mean() == pytest.approx(0.275, abs=0.02)


@pytest.mark.parametrize("longest", [1, 30])
def test_a_gap_is_one_stretch_without_anybody(longest):
    missing = draw(gaps.person_gap, longest=longest)
    assert torch.equal(missing.any(2), missing.all(2))
    lengths = runs(missing.all(2))
    assert (missing[..., 0].int().diff(dim=1) == 1).sum(1).max() <= 1
    assert lengths.max() == longest
    assert len(lengths) > 0.9 * SHAPE[0]


def test_some_joints_miss_throughout():
    missing = draw(gaps.whole_joints)
    assert torch.equal(missing.any(1), missing.all(1))
    assert missing.float().mean() == pytest.approx(0.1, abs=0.01)


def test_one_or_two_limbs_miss_for_a_long_stretch():
    missing = draw(partial(gaps.limb_gaps, skeleton=BODY22))
    groups = [torch.tensor([name in group for name in BODY22.joints]) for group in gaps.LIMBS]
    pairs = {tuple(sorted((a | b).nonzero().flatten().tolist())) for a in groups for b in groups}
    for sequence in missing:
        together = tuple(sequence.any(0).nonzero().flatten().tolist())
        assert not together or together in pairs
        assert sequence.any(1).sum() == 0 or runs(sequence.T).max() <= SHAPE[1]
    assert missing.any(2).float().mean() > 0.3


def always(missing):
    """The share of sequences in which some joint is missing in every frame."""
    return missing.all(1).any(1).float().mean()


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_a_limb_misses_in_the_whole_sequence_in_about_the_given_share(share):
    missing = draw(partial(gaps.limb_gaps, skeleton=BODY22, longest=20, always=share), (4000, 64, 22))
    # a quarter of the sequences have a second limb, which misses throughout as often
    assert always(missing) == pytest.approx(1 - (1 - share) * (1 - share / 4), abs=0.025)


def test_limbs_that_miss_never_or_always_throughout():
    assert always(draw(partial(gaps.limb_gaps, skeleton=BODY22, longest=20, always=0.0))) == 0
    missing = draw(partial(gaps.limb_gaps, skeleton=BODY22, always=1.0))
    assert torch.equal(missing.any(1), missing.all(1))
    assert missing.any((1, 2)).all()


@pytest.mark.parametrize(("shortest", "longest"), [(10, 10), (10, 25), (40, 60)])
def test_limbs_return_after_a_segment_of_that_length(shortest, longest):
    missing = draw(
        partial(gaps.limb_gaps, skeleton=BODY22, shortest=shortest, longest=longest, always=0.0), (400, 200, 22)
    )
    each = missing.mT[missing.any(1)]  # (joint that goes missing, time)
    inside = each[~each[:, 0] & ~each[:, -1]]  # not cut off by an end of the sequence
    lengths = runs(inside)
    assert lengths.min() == shortest
    single = inside[(inside.diff(dim=1).sum(1) == 2) & (inside.sum(1) <= longest)]
    assert runs(single).max() == longest
    assert len(single) > 0.9 * len(inside)  # the others miss as part of two limbs, one after the other or longer
    assert inside.sum(1).max() <= 2 * longest


@pytest.mark.parametrize(("shortest", "longest"), [(10, 36), (5, 8)])
def test_of_several_gaps_each_is_a_limb_or_the_person(shortest, longest):
    one = partial(SEVERAL, count=1, shortest=shortest, longest=longest)
    missing = draw(one, (2000, 100, 22))
    stretch = missing.any(2)
    inside = runs(stretch[~(stretch[:, 0] | stretch[:, -1])])
    assert inside.min() == shortest and inside.max() == longest
    groups = [set(limb) for limb in gaps.LIMBS] + [set(BODY22.joints)]
    for sequence in missing[stretch.any(1)]:
        gone = sequence.any(0)
        assert {name for name, hidden in zip(BODY22.joints, gone, strict=True) if hidden} in groups
        assert torch.equal(sequence[:, gone], sequence.any(1, keepdim=True).expand(-1, int(gone.sum())))
    assert missing.all(2).any(1)[stretch.any(1)].float().mean().item() == pytest.approx(0.25, abs=0.04)


def test_several_gaps_hide_more_than_one():
    share = [draw(partial(SEVERAL, count=count)).float().mean().item() for count in (1, 4, 8)]
    assert share[0] < share[1] < share[2] < 1
    assert not draw(partial(SEVERAL, count=0)).any()


def test_limbs_of_a_skeleton_without_some_joints():
    missing = draw(partial(gaps.limb_gaps, skeleton=COCO17), (200, 64, 17))
    assert missing.any()
    assert not missing.all(2).any()


def test_limbs_name_only_joints_that_there_are():
    assert {name for group in gaps.LIMBS for name in group} <= set(BODY22.joints)


def test_sparse_sampling_keeps_every_nth_frame():
    seen = ~draw(gaps.every_nth_frame)
    assert torch.equal(seen.any(2), seen.all(2))
    steps = {tuple(sequence.nonzero().flatten().diff().unique().tolist()) for sequence in seen[..., 0]}
    assert steps == {(2,), (3,), (4,)}


def test_nothing_is_missing():
    assert not draw(gaps.no_mask).any()


def test_each_sequence_has_a_mode_of_its_own_by_the_weights():
    def everything(shape, generator):
        return torch.zeros(shape, dtype=torch.bool)

    missing = draw(partial(gaps.choose_mask, modes=[(3.0, gaps.no_mask), (1.0, everything)]), (2000, 8, 3))
    assert torch.equal(missing.any((1, 2)), missing.all(2).all(1))
    assert missing.all(2).all(1).float().mean() == pytest.approx(0.25, abs=0.03)
    assert not draw(partial(gaps.choose_mask, modes=[(1.0, gaps.no_mask), (0.0, everything)]), (2000, 8, 3)).any()
