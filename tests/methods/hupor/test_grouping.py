import numpy as np
import pytest

from hupor_people import crowd, perfect, project
from occlupose.codecs.scenes import SceneMaps
from occlupose.methods.hupor.decode import decode
from occlupose.methods.hupor.grouping import Peaks, associate, connections, limb_depths, limb_scores, order, peaks
from occlupose.skeletons import MPI15

MAPS = SceneMaps(256, 160)
PELVIS, NECK, SHOULDER = MPI15.index("pelvis", "neck", "left_shoulder")


def found(**places):
    """Peaks of these joints, all others having none."""
    nothing = Peaks(np.zeros((0, 2)), np.zeros(0))
    return [Peaks(np.array(places[name], float), np.ones(len(places[name]))) if name in places else nothing for name in MPI15.joints]


def field(**ways):
    """Fields that point everywhere alike, limb by limb."""
    fields = np.zeros((14, 3, *MAPS.shape))
    for limb, way in ways.items():
        fields[MPI15.limbs.index(tuple(limb.split("__"))), :2] = np.array(way)[:, None, None]
    return fields


def together(found, fields, depth):
    return associate(found, connections(found, fields, MAPS), depth, MAPS)


def test_people_grow_from_the_pelvis_to_the_neck_and_on():
    steps = order(MAPS)
    assert steps[0] == (1, PELVIS, NECK, True)
    assert steps[1] == (0, NECK, MPI15.index("head_top")[0], False)
    assert [limb for limb, *_ in steps[2:]] == list(range(2, 14)) and not any(against for *_, against in steps[1:])


def test_peaks_lie_between_cells_and_the_highest_comes_first():
    x, y = np.meshgrid(np.arange(30.0), np.arange(20.0))
    maps = np.zeros((2, 20, 30))
    for height, column, row in ((0.9, 7.3, 5.8), (1.0, 20.6, 14.4), (0.05, 12.0, 2.0)):
        maps[1] = np.maximum(maps[1], height * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * 1.1**2)))
    nobody, somebody = peaks(maps)
    assert len(nobody.xy) == 0
    np.testing.assert_allclose(somebody.xy, [[20.6, 14.4], [7.3, 5.8]], atol=1e-6)
    assert somebody.score[0] > somebody.score[1] > 0.8


def test_a_flat_top_is_no_peak_and_the_border_may_have_one():
    maps = np.zeros((1, 6, 6))
    maps[0, 2, 2:4] = 1
    maps[0, 5, 0] = 0.5
    (only,) = peaks(maps)
    assert np.abs(only.xy - [0, 5]).max() <= 0.5
    assert only.score.tolist() == [0.5]


def test_a_limb_scores_where_nearly_all_of_it_agrees():
    way = np.zeros((2, 40, 60))
    way[0, 10] = 1
    one, other = np.array([[5.0, 10.0]]), np.array([[45.0, 10.0], [5.0, 30.0]])
    assert limb_scores(way, one, other)[0].tolist() == [1, -1]
    way[0, 10, 20:30] = 0
    assert limb_scores(way, one, other)[0, 0] == -1
    assert limb_scores(way, other[:1], one)[0, 0] == -1  # against it
    assert limb_scores(np.zeros((2, 128, 208)), one, one + 0.5)[0, 0] == 0.1


def test_who_is_nearer_takes_the_joint_first():
    """Three people one behind the other, one neck; then two."""
    fields = field(neck__pelvis=(0, 1))
    pelvises = [(20.0, 30.0), (21.0, 30.0), (22.0, 30.0)]
    depth = np.array([0.6, 0.3, 0.9])
    mine = together(found(pelvis=pelvises, neck=[(21.0, 16.0)]), fields, depth)
    assert mine[:, NECK].tolist() == [-1, 0, -1]
    mine = together(found(pelvis=pelvises, neck=[(21.0, 16.0), (21.5, 16.0)]), fields, depth)
    assert mine[2, NECK] == -1 and sorted(mine[:2, NECK]) == [0, 1]


def test_a_limb_that_is_longer_than_that_person_s_counts_less():
    """48 cm of a trunk at 1 cm a pixel are 12 cells: of two necks that the field leads to as well, the one at that distance is taken."""
    fields = field(neck__pelvis=(0, 1))
    both = found(pelvis=[(20.0, 36.0)], neck=[(20.0, 4.0), (20.0, 25.0)])
    assert together(both, fields, np.array([1.0]))[0, NECK] == 1
    assert together(both, fields, np.array([np.nan]))[0, NECK] == 0  # nobody knows, and the first is as good


def test_depth_along_a_limb_is_the_mean_without_extremes():
    fields = np.zeros((14, 3, *MAPS.shape))
    fields[1, 2] = 0.2
    fields[1, 2, :, 24:27] = 5.0  # another limb crosses
    xy = np.full((1, 15, 2), np.nan)
    xy[0, NECK], xy[0, PELVIS] = (10.0, 10.0), (46.0, 10.0)
    measured = limb_depths(fields, xy, MAPS)
    assert measured[0, 1] == pytest.approx(0.2, abs=0.06)
    assert np.isnan(np.delete(measured[0], 1)).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_perfect_maps_give_the_people_that_made_them(count):
    """To half a pixel, whichever joints are hidden."""
    for seed in range(3):
        maps, random = SceneMaps(416, 256), np.random.default_rng(seed)
        people = crowd(random, count, maps, apart=6)
        states = random.integers(1, 3, people.shape[:2]).astype(np.uint8)
        decoded = decode(perfect(people, states, maps), maps)
        assert len(decoded.xy) == count
        xy = project(people, maps)
        for person in range(count):
            who = np.linalg.norm(xy[:, PELVIS] - decoded.xy[person, PELVIS], axis=-1).argmin()
            assert np.linalg.norm(decoded.xy[person] - xy[who], axis=-1).max() <= 0.5
            np.testing.assert_array_equal(decoded.state[person], states[who])
