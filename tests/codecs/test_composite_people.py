import numpy as np
import pytest

from occlupose.codecs.composite_people import LimbVotes, connect_people
from occlupose.codecs.multi_person import maps_in_2d
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17, CROWDPOSE14
from tagged_people import perfect_heatmaps, random_people

SHAPE = (96, 128)


def limbs_of(skeleton):
    ends = [skeleton.index(*limb) for limb in skeleton.limbs]
    return [(source, target) for source, target in ends]


def votes_of(people, limbs, seen=None):
    """One vote of every limb of everybody, or of those of `seen` (person, joint) joints: exact and certain."""
    votes = []
    for source, target in limbs:
        known = np.isfinite(people[:, [source, target]]).all((1, 2))
        if seen is not None:
            known &= seen[:, [source, target]].all(1)
        ends = people[known][:, [source, target]]
        votes.append(LimbVotes(np.ones(len(ends)), ends, np.full((len(ends), 2), 1.0)))
    return votes


def fields_of(people, limbs, shape=SHAPE):
    """Exact part affinity fields of all limbs, two cells wide; the mean where several overlap."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    fields = np.zeros((len(limbs), 2, *shape))
    for limb, (source, target) in enumerate(limbs):
        count = np.zeros(shape)
        for person in people:
            start = person[source]
            way = person[target] - start
            if np.isfinite(way).all():
                along = np.clip(((x - start[0]) * way[0] + (y - start[1]) * way[1]) / (way @ way), 0, 1)
                near = np.hypot(start[0] + along * way[0] - x, start[1] + along * way[1] - y) <= 1.5
                fields[limb][:, near] += (way / np.linalg.norm(way))[:, None]
                count += near
        fields[limb] /= np.maximum(count, 1)
    return fields


def same_people(found, people, within=0.1):
    """Whether these are the same people, with the same joints."""
    assert len(found.xy) == len(people)
    taken = set()
    for person in people:
        known = np.isfinite(person).all(-1)
        errors = np.nan_to_num(np.abs(found.xy[:, known] - person[known]), nan=999).max((1, 2))
        best = int(errors.argmin())
        assert errors[best] <= within and best not in taken
        assert np.isnan(found.xy[best, ~known]).all() and not found.score[best, ~known].any()
        taken.add(best)


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("count", [1, 2, 5, 10, 20])
def test_exact_votes_become_the_people_that_made_them(skeleton, count):
    random = np.random.default_rng((count, len(skeleton)))
    people = random_people(random, count, len(skeleton), SHAPE)
    limbs = limbs_of(skeleton)
    nothing = np.zeros((len(limbs), 2, *SHAPE))
    found = connect_people(perfect_heatmaps(people, SHAPE, 1.0), nothing, votes_of(people, limbs), limbs)
    same_people(found, people)
    assert found.score.min() > 0.7


def test_sixty_people():
    random = np.random.default_rng(0)
    shape = (192, 256)
    people = random_people(random, 60, 17, shape)
    limbs = limbs_of(COCO17)
    nothing = np.zeros((len(limbs), 2, *shape))
    found = connect_people(perfect_heatmaps(people, shape, 1.0), nothing, votes_of(people, limbs), limbs)
    same_people(found, people)


@pytest.mark.parametrize("joint", range(17))
def test_a_joint_without_votes_is_found_along_the_field(joint):
    """As the reasoner's joints are: each in turn has a peak and fields, but no limb of it has a vote."""
    random = np.random.default_rng(joint)
    people = random_people(random, 1, 17, SHAPE)
    limbs = limbs_of(COCO17)
    seen = np.ones((1, 17), bool)
    seen[:, joint] = False
    heatmaps = perfect_heatmaps(people, SHAPE, 1.0)
    found = connect_people(heatmaps, fields_of(people, limbs), votes_of(people, limbs, seen), limbs)
    same_people(found, people)
    without = connect_people(heatmaps, np.zeros((19, 2, *SHAPE)), votes_of(people, limbs, seen), limbs)
    assert len(without.xy) > 1  # the person falls apart


def test_a_vote_counts_less_the_farther_it_begins():
    """In spreads; a person takes the nearer of two, and none that is far."""
    limbs = [(0, 1)]
    heatmaps = np.zeros((2, 20, 40))
    heatmaps[0, 10, 10] = 1.0
    heatmaps[1, 10, 20] = 0.8
    heatmaps[1, 16, 20] = 1.0
    ends = np.array([[[11.0, 10], [20, 10]], [[10, 13], [20, 16]]])

    def target(confidence, spread):
        votes = [LimbVotes(np.array(confidence), ends, np.full((2, 2), spread))]
        people = connect_people(heatmaps, np.zeros((1, 2, 20, 40)), votes, limbs)
        row = people.xy[np.isfinite(people.xy[:, 0, 0])][0]
        return row[1].tolist()

    assert target([1.0, 1.0], 1.0) == [20, 10]
    assert target([0.05, 1.0], 5.0) == [20, 16]
    assert np.isnan(target([0.0, 1.0], 0.5)).all()  # e^-3 is less than the least


def test_a_peak_belongs_to_one_person():
    """The one who is surer of it."""
    limbs = [(0, 1)]
    heatmaps = np.zeros((2, 20, 40))
    heatmaps[0, 5, 10] = 1.0
    heatmaps[0, 15, 10] = 0.9
    heatmaps[1, 10, 20] = 0.8
    ends = np.array([[[10.0, 5], [20, 10]], [[10, 15], [20, 10]]])
    votes = [LimbVotes(np.ones(2), ends, np.ones((2, 2)))]
    found = connect_people(heatmaps, np.zeros((1, 2, 20, 40)), votes, limbs)
    assert np.isfinite(found.xy[:, 1, 0]).tolist() == [True, False]


def test_nobody():
    found = connect_people(
        np.zeros((17, 8, 8)),
        np.zeros((19, 2, 8, 8)),
        votes_of(np.zeros((0, 17, 2)), limbs_of(COCO17)),
        limbs_of(COCO17),
    )
    assert found.xy.shape == (0, 17, 2)


@pytest.mark.parametrize("name", ["heatmaps", "fields"])
def test_maps_that_are_not_numbers_are_refused(name):
    maps = {"heatmaps": np.zeros((17, 8, 8)), "fields": np.zeros((19, 2, 8, 8))}
    maps[name].reshape(-1)[7] = np.nan
    with pytest.raises(OccluposeError, match=f"^{name}: some of these maps are not numbers; [^\n]*$"):
        connect_people(**maps, votes=[], limbs=limbs_of(COCO17))


def test_limbs_of_a_codec_are_pairs():
    assert next(zip(*maps_in_2d(COCO17, 64, 64).limbs, strict=True)) == tuple(COCO17.index(*COCO17.limbs[0]))
