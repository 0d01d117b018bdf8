import numpy as np
import pytest

from hupor_maps import people_batch, project, random_people
from occlupose.codecs.limb_fields import find_peaks, score_limbs
from occlupose.codecs.multi_person import MultiPersonMaps, maps_in_2d
from occlupose.poses import VISIBLE
from occlupose.skeletons import MPI15

MAPS = MultiPersonMaps(256, 160)


def test_peaks_lie_between_cells_and_the_highest_comes_first():
    x, y = np.meshgrid(np.arange(30.0), np.arange(20.0))
    maps = np.zeros((2, 20, 30))
    for height, column, row in ((0.9, 7.3, 5.8), (1.0, 20.6, 14.4), (0.05, 12.0, 2.0)):
        maps[1] = np.maximum(maps[1], height * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * 1.1**2)))
    nobody, somebody = find_peaks(maps)
    assert len(nobody.xy) == 0
    np.testing.assert_allclose(somebody.xy, [[20.6, 14.4], [7.3, 5.8]], atol=1e-6)
    assert somebody.score[0] > somebody.score[1] > 0.8


def test_a_top_two_cells_wide_is_one_peak_and_the_border_may_have_one():
    maps = np.zeros((1, 6, 6))
    maps[0, 2, 2:4] = 1
    maps[0, 5, 0] = 0.5
    (both,) = find_peaks(maps)
    np.testing.assert_allclose(both.xy, [[2.5, 2], [0, 5]], atol=1e-4)
    assert both.score.tolist() == [1, 0.5]


def score(field, start, end):
    fields = np.concatenate([field, np.zeros_like(field[:1])])[None]
    return score_limbs(fields, np.zeros(1, int), np.array([start], float), np.array([end], float))[0]


def test_a_limb_scores_where_nearly_all_of_it_agrees():
    way = np.zeros((2, 40, 60))
    one = (5, 10)
    other = (45, 10)
    way[0, 10] = 1
    assert [score(way, one, end) for end in (other, (5, 30))] == [1, -1]
    way[0, 10, 20:30] = 0
    assert score(way, one, other) == -1
    assert score(way, other, one) == -1  # against it
    assert score(np.zeros((2, 128, 208)), one, (5.5, 10.5)) == 0.1


@pytest.mark.parametrize("subset", ["visible", "hidden", "all"])
def test_fields_in_2d_lead_from_joint_to_joint(subset):
    """Of one person each limb of the subset scores 1, as in 3D, and all others -1."""
    codec = maps_in_2d(MPI15, 256, 160)
    random = np.random.default_rng(3)
    people = random_people(random, 1, MAPS)
    states = random.integers(1, 3, (1, 15)).astype(np.uint8)
    given = people_batch(people, states, MAPS)
    sources, targets = codec.limbs
    visible = (states[0, sources] == VISIBLE) & (states[0, targets] == VISIBLE)
    expected = {"visible": visible, "hidden": ~visible, "all": np.ones(14, bool)}[subset]
    cells = (project(people, MAPS)[0] + 0.5) / 4 - 0.5
    limbs = np.arange(14)
    for maps in (codec, MAPS):
        fields = maps.fields(given, subset, 4)[0].numpy()
        scores = score_limbs(fields, limbs, cells[sources], cells[targets])
        np.testing.assert_allclose(scores, np.where(expected, 1, -1), atol=1e-5)
