import math

import pytest
import torch

from occlupose.methods.movenet.losses import NOBODY, heat_loss, make_targets, offset_loss, place_loss, visible_loss
from occlupose.methods.movenet.samples import UNKNOWN, Sample
from occlupose.networks.occlusion_movenet import MARGIN, PLACE_STRIDE
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE

MIDDLE = (130.0, 130.0)
"""The middle of cell 32."""

NOTHING = torch.zeros(1, 17, 64, 64), torch.zeros(1, 34, 64, 64)
"""Thunder's maps where it sees nobody."""


def sample(state=VISIBLE, *, score=1.0, photograph=False, covered=None, others=(), xy=MIDDLE, weight=1.0):
    """All joints in one place and one state; px."""
    others = torch.tensor(others).reshape(1, -1, 1, 2).expand(-1, -1, 21, -1) if len(others) else None
    return Sample(
        images=torch.zeros(1, 256, 256, 3, dtype=torch.uint8),
        photographs=torch.zeros(1, 256, 256, 3, dtype=torch.uint8),
        is_photograph=torch.tensor([photograph]),
        covered=torch.zeros(1, 64, 64) if covered is None else covered,
        xy=torch.tensor(xy).expand(1, 21, 2),
        state=torch.full((1, 21), state, dtype=torch.uint8),
        score=torch.full((1, 21), score),
        weight=torch.full((1, 21), weight),
        others=torch.full((1, 0, 21, 2), torch.nan) if others is None else others,
        synthetic=torch.tensor([not photograph]),
    )


def thunder(x, y, confidence):
    """Thunder's maps with one confident cell of each joint, whose joint is at a quarter of the cell."""
    heat = torch.zeros(1, 17, 64, 64)
    heat[:, :, y, x] = confidence
    return heat, torch.full((1, 34, 64, 64), 0.25)


# ---------------------------------------------------------------------------------------------------------- targets


def test_a_visible_joint_has_a_peak():
    heat = make_targets(sample(VISIBLE), *NOTHING).heat[0, 5]
    assert heat.argmax().item() == 64 * 32 + 32 and heat.max().item() == pytest.approx(1)
    assert heat[32, 33].item() == pytest.approx(math.exp(-1 / (2 * 1.3**2)))


@pytest.mark.parametrize("state", [OCCLUDED, ABSENT])
def test_the_heatmap_of_a_hidden_joint_is_dark(state):
    """OANet eq. 1."""
    assert make_targets(sample(state), *NOTHING).heat.max() == 0


def test_without_dark_heatmaps_an_occluded_joint_has_a_peak():
    assert make_targets(sample(OCCLUDED), *NOTHING, dark=False).heat.max().item() == pytest.approx(1)
    assert make_targets(sample(ABSENT), *NOTHING, dark=False).heat.max() == 0


def test_other_people_have_peaks_too():
    heat = make_targets(sample(OCCLUDED, others=[(30.0, 50.0)]), *NOTHING).heat[0, 5]
    assert divmod(heat.argmax().item(), 64) == (12, 7)


def test_thunder_is_followed_in_photographs_and_only_there():
    maps = thunder(10, 12, 0.8)
    heat = make_targets(sample(VISIBLE, photograph=True, score=0.6), *maps).heat[0, 5]
    assert heat[12, 10].item() == pytest.approx(0.8) and heat[32, 32].item() == pytest.approx(0.6)
    assert make_targets(sample(VISIBLE), *maps).heat[0, 5, 12, 10] < 0.1


def test_what_is_behind_a_cover_is_dark():
    covered = torch.zeros(1, 64, 64)
    covered[0, 12, 10] = 0.75
    maps = thunder(10, 12, 0.8)
    photograph = sample(VISIBLE, photograph=True, covered=covered)
    assert make_targets(photograph, *maps).heat[0, 5, 12, 10].item() == pytest.approx(0.2)
    assert make_targets(photograph, *maps, dark=False).heat[0, 5, 12, 10].item() == pytest.approx(0.8)


def test_synthetic_people_hide_a_photograph_in_any_case():
    """Their scenes are the data, not occluders."""
    covered = torch.zeros(1, 64, 64)
    covered[0, 12, 10] = 1
    scene = sample(VISIBLE, photograph=True, covered=covered)
    scene.synthetic[:] = True
    for dark in (True, False):
        assert make_targets(scene, *thunder(10, 12, 0.8), dark=dark).heat[0, 5, 12, 10] < 0.1


def test_what_thunder_sees_of_a_hidden_joint_is_taken_away():
    """A part of its peak may stick out from behind the occluder."""
    hidden = make_targets(sample(OCCLUDED, photograph=True), *thunder(33, 32, 0.8)).heat[0, 5]
    assert hidden.max() < 0.1
    unknown = make_targets(sample(UNKNOWN, photograph=True, weight=0.0), *thunder(33, 32, 0.8)).heat[0, 5]
    assert unknown.max().item() == pytest.approx(0.8)


def test_feet_in_photographs_are_known_near_the_persons_own_only():
    real = make_targets(sample(VISIBLE, photograph=True), *NOTHING).heat_weight[0]
    assert (real[:17] == 1).all()
    assert real[17:, 32, 32].all() and not real[17:, :, :20].any()
    unknown = make_targets(sample(UNKNOWN, photograph=True, weight=0.0), *NOTHING).heat_weight[0]
    assert not unknown[17:].any()
    assert (make_targets(sample(VISIBLE), *NOTHING).heat_weight == 1).all()


# ----------------------------------------------------------------------------------------------------------- losses


def test_perfect_heatmaps_cost_nothing():
    targets = make_targets(sample(VISIBLE), *NOTHING)
    assert heat_loss(torch.logit(targets.heat, 1e-7), targets).item() == pytest.approx(0, abs=1e-3)
    assert heat_loss(torch.zeros_like(targets.heat), targets) > 1000


def test_cells_without_weight_do_not_count():
    targets = make_targets(sample(VISIBLE), *NOTHING)
    targets.heat_weight = torch.zeros_like(targets.heat)
    assert heat_loss(torch.ones_like(targets.heat), targets) == 0


def test_offsets_lead_from_the_cell_to_the_joint():
    """As in Thunder: (y, x), cells from the corner of the cell."""
    targets = make_targets(sample(VISIBLE, xy=(131.0, 129.0)), *NOTHING)
    torch.testing.assert_close(targets.offset[0, 5, :, 32, 32], torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(targets.offset[0, 5, :, 32, 31], torch.tensor([0.25, 1.75]))
    assert offset_loss(targets.offset.flatten(1, 2), targets) == 0
    off = targets.offset.clone()
    off[:, :, 0] += 0.1
    expected = 0.1 * targets.offset_weight.sum((2, 3)).mean().item()
    assert offset_loss(off.flatten(1, 2), targets).item() == pytest.approx(expected, rel=1e-4)


def test_other_offsets_are_thunders():
    targets = make_targets(sample(VISIBLE, photograph=True), *thunder(10, 12, 0.8))
    assert (targets.offset[0, 5, :, 12, 10] == 0.25).all() and targets.offset_weight[0, 5, 12, 10] > 0.7


def test_the_loss_of_places_is_that_of_the_cells_around():
    """In the middle of a cell that of this cell alone; between two cells the mean of both."""
    places = torch.randn(1, 21, 64, 64).flatten(2).log_softmax(2).unflatten(2, (64, 64))
    x = 20
    y = 10
    middle = tuple(PLACE_STRIDE * (cell + 0.5 - MARGIN) for cell in (x, y))
    expected = -places[0, :, y, x].mean()
    torch.testing.assert_close(place_loss(places, sample(xy=middle)), expected, atol=1e-3, rtol=0)
    between = (middle[0] + PLACE_STRIDE / 2, middle[1])
    expected = -places[0, :, y, x : x + 2].mean()
    torch.testing.assert_close(place_loss(places, sample(xy=between)), expected, atol=1e-3, rtol=0)


def test_places_that_are_unknown_or_beyond_the_grid_do_not_count():
    places = torch.full((1, 21, 64, 64), -math.log(64**2))
    assert place_loss(places, sample(weight=0.0)) == 0
    assert place_loss(places, sample(xy=(-140.0, 50.0))) == 0
    assert place_loss(places, sample(xy=(-100.0, 50.0))).item() == pytest.approx(math.log(64**2), rel=1e-5)


# ------------------------------------------------------------------------------------------------ nobody, and states


@pytest.mark.parametrize(("confidence", "kept"), [(NOBODY - 0.01, False), (NOBODY + 0.01, True)])
def test_where_there_is_nobody_all_is_dark_unless_thunder_sees_somebody(confidence, kept):
    background = sample(UNKNOWN, photograph=True, weight=0.0)
    heat = make_targets(background, *thunder(10, 12, confidence)).heat[:, :17]
    assert heat.max().item() == pytest.approx(confidence if kept else 0)


def test_thunder_need_not_see_a_person_who_is_there():
    heat = make_targets(sample(VISIBLE, photograph=True), *thunder(10, 12, 0.1)).heat[0, 5]
    assert heat[12, 10].item() == pytest.approx(0.1)


@pytest.mark.parametrize(("state", "logit"), [(VISIBLE, 2.0), (OCCLUDED, -2.0), (ABSENT, -2.0)])
def test_visibility_is_learnt_by_cross_entropy(state, logit):
    loss = visible_loss(torch.full((1, 21), logit), sample(state))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_unknown_states_do_not_count():
    assert visible_loss(torch.full((1, 21), 5.0), sample(UNKNOWN)) == 0
    assert visible_loss(torch.full((1, 21), 5.0), sample(OCCLUDED, weight=0.0)) == 0
