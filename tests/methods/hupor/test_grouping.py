from itertools import combinations, permutations

import numpy as np
import pytest

from hupor_maps import FOCAL, exact_maps, project, random_person
from occlupose.codecs.limb_fields import Peaks
from occlupose.codecs.multi_person import MultiPersonMaps
from occlupose.methods.hupor.decode import decode
from occlupose.methods.hupor.grouping import (
    assign_peaks,
    find_limb_candidates,
    limb_order,
    sample_limb_depths,
)
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import MPI15

MAPS = MultiPersonMaps(256, 160)
PELVIS, NECK, SHOULDER = MPI15.index("pelvis", "neck", "left_shoulder")


def found(**places):
    """Peaks of these joints, all others having none."""
    nothing = Peaks(np.zeros((0, 2)), np.zeros(0))
    return [
        Peaks(np.array(places[name], float), np.ones(len(places[name]))) if name in places else nothing
        for name in MPI15.joints
    ]


def field(**vectors):
    """Fields that point everywhere alike, limb by limb."""
    fields = np.zeros((14, 3, *MAPS.shape))
    for limb, way in vectors.items():
        fields[MPI15.limbs.index(tuple(limb.split("__"))), :2] = np.array(way)[:, None, None]
    return fields


def together(found, fields, depth):
    return assign_peaks(found, find_limb_candidates(found, fields, MAPS), depth, MAPS)


def test_people_grow_from_the_pelvis_to_the_neck_and_on():
    steps = limb_order(MAPS)
    assert steps[0] == (1, PELVIS, NECK, True)
    assert steps[1] == (0, NECK, MPI15.index("head_top")[0], False)
    assert [limb for limb, *_ in steps[2:]] == list(range(2, 14)) and not any(against for *_, against in steps[1:])


def test_the_nearer_person_gets_a_contested_joint():
    """Three people one behind the other, one neck, which of all is nearest to that person's size; then two."""
    fields = field(neck__pelvis=(0, 1))
    pelvises = [(20.0, 30.0), (21.0, 30.0), (22.0, 30.0)]
    depth = np.array([0.6, 0.3, 0.9])
    person = together(found(pelvis=pelvises, neck=[(21.0, 10.0)]), fields, depth)
    assert person[:, NECK].tolist() == [-1, 0, -1]
    person = together(found(pelvis=pelvises, neck=[(21.0, 10.0), (21.5, 10.0)]), fields, depth)
    assert person[2, NECK] == -1 and sorted(person[:2, NECK]) == [0, 1]


def behind_each_other(joint, depths, maps):
    """People in one pose at these depths, m, who all have one joint at the same pixel, but the joints by which they
    grow to it, from the pelvis, more than 2.5 cells apart."""
    before = {there: here for _, here, there, _ in limb_order(maps)}
    chain = [before[joint]]
    while chain[-1] != PELVIS:
        chain.append(before[chain[-1]])
    for seed in range(99):
        body = random_person(np.random.default_rng(seed))
        places = np.array([[20.0, -15.0, FOCAL]]) / FOCAL * (np.array(depths)[:, None] + body[joint, 2])
        people = body - body[joint] + places[:, None]
        xy = project(people, maps)
        apart = min(np.linalg.norm(one - other, axis=-1).min() for one, other in combinations(xy[:, chain], 2))
        if apart > 2.5 * maps.stride and (xy > 0).all() and (xy < [maps.width, maps.height]).all():
            return people, xy
    raise AssertionError("no such pose")


@pytest.mark.parametrize("hidden", [(), ("pelvis",)])
@pytest.mark.parametrize("depths", list(permutations((4.0, 5.5, 8.0))))
@pytest.mark.parametrize("name", ["neck", "left_knee", "right_wrist"])
def test_of_people_behind_each_other_the_nearest_has_the_joint_that_all_might_take(name, depths, hidden):
    """Of maps of them; that joint is hidden of the farther ones. So may the nearest one's
    pelvis be, who then is known to be the nearest by the hips alone."""
    maps = MultiPersonMaps()
    joint = MPI15.index(name)[0]
    people, xy = behind_each_other(joint, depths, maps)
    states = np.full((3, 15), VISIBLE, np.uint8)
    nearest = int(np.argmin(depths))
    states[np.arange(3) != nearest, joint] = OCCLUDED
    states[nearest, MPI15.index(*hidden)] = OCCLUDED
    decoded = decode(exact_maps(people, states, maps), maps)
    assert len(decoded.xy) == 3
    rows = np.linalg.norm(decoded.xy[:, PELVIS] - xy[:, None, PELVIS], axis=-1).argmin(1)
    assert sorted(rows) == [0, 1, 2]
    found = decoded.state[rows, joint]
    assert found[nearest] == VISIBLE and (np.delete(found, nearest) == ABSENT).all()
    np.testing.assert_allclose(decoded.xy[rows[nearest], joint], xy[nearest, joint], atol=0.5)
    np.testing.assert_allclose(decoded.z[rows, PELVIS], depths, atol=0.01)


def test_a_limb_that_is_longer_than_that_person_s_counts_less():
    """48 cm of a trunk at 1 cm a pixel are 12 cells: of two necks that the field leads to as well, the one at that
    distance is taken.
    """
    fields = field(neck__pelvis=(0, 1))
    both = found(pelvis=[(20.0, 36.0)], neck=[(20.0, 4.0), (20.0, 25.0)])
    assert together(both, fields, np.array([1.0]))[0, NECK] == 1
    assert together(both, fields, np.array([np.nan]))[0, NECK] == 0  # nobody knows, and the first is as good


def test_a_low_peak_on_the_way_to_a_joint_is_not_taken_for_it():
    fields = field(neck__pelvis=(0, 1))
    both = found(pelvis=[(20.0, 36.0)], neck=[(20.0, 30.0), (20.0, 25.0)])
    assert together(both, fields, np.array([1.0]))[0, NECK] == 0
    both[NECK].score[0] = 0.4
    assert together(both, fields, np.array([1.0]))[0, NECK] == 1


def test_depth_along_a_limb_is_the_mean_without_extremes():
    fields = np.zeros((14, 3, *MAPS.shape))
    fields[1, 2] = 0.2
    fields[1, 2, :, 24:27] = 5.0  # another limb crosses
    xy = np.full((1, 15, 2), np.nan)
    xy[0, NECK] = (10.0, 10.0)
    xy[0, PELVIS] = (46.0, 10.0)
    measured = sample_limb_depths(fields, xy, MAPS)
    assert measured[0, 1] == pytest.approx(0.2, abs=0.06)
    assert np.isnan(np.delete(measured[0], 1)).all()
