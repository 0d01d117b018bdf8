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


def height_at(heatmap, place):
    """The map in the cell nearest to a place."""
    x, y = np.floor(np.asarray(place) + 0.5).astype(int)
    return heatmap[min(max(y, 0), heatmap.shape[0] - 1), min(max(x, 0), heatmap.shape[1] - 1)]


def slow_line_score(field, start, end):
    """Mean agreement along a line, if all but five in a hundred samples agree (Cao et al. 2017, as in SMAP)."""
    way = end - start
    length = np.hypot(*way)
    few = 0.1 if length < np.sqrt(field.shape[1] * field.shape[2]) / 150 else -1.0
    count = int(np.clip(np.rint(np.sqrt(5 * np.abs(way).max())), 5, 25))
    agreement = []
    for step in range(count):
        x, y = (np.maximum(start + step / (count - 1) * way, -0.5) + 0.5).astype(int)
        vector = field[:, min(y, field.shape[1] - 1), min(x, field.shape[2] - 1)]
        agreement.append(vector @ way / max(length, 1e-6))
    agreeing = [each for each in agreement if each > 0.05]
    return np.mean(agreeing) if len(agreeing) > 0.95 * count else few


def slow_peaks(heatmap, minimum):
    """(height, place) of the cells that are higher than their neighbours before them, row by row, and not lower than
    those after; moved to the top of the parabola through the logarithms along each axis.
    """

    def offset(before, here, after):
        if min(before, after) <= 0:
            return 0.0
        left, middle, right = np.log([before, here, after])
        curve = left - 2 * middle + right
        return 0.0 if curve == 0 else np.clip((left - right) / (2 * curve), -0.5, 0.5)

    rows, columns = heatmap.shape
    padded = np.pad(heatmap, 1, constant_values=-np.inf)
    found = []
    for y in range(rows):
        for x in range(columns):
            window = padded[y : y + 3, x : x + 3]
            here = window[1, 1]
            around = window.ravel()
            if here > minimum and (here > around[:4]).all() and (here >= around[5:]).all():
                place = np.array([x + offset(*window[1]), y + offset(*window[:, 1])])
                found.append((here, place))
    return sorted(found, key=lambda peak: -peak[0])


def slow_people(heatmaps, fields, votes, limbs):
    """The greedy decoder by its description, with plain loops and without a queue: seeds of 0.2 or more, the highest
    first; always the most certain connection, by a vote of 0.05 or more, else along a field; a peak for one person.
    """
    found = [slow_peaks(heatmap, 0.1) for heatmap in heatmaps]
    peaks = [[place for _, place in of_joint] for of_joint in found]
    heights = [[height for height, _ in of_joint] for of_joint in found]
    given = []  # (joint, place) that somebody has

    def free(joint, place):
        return all(other != joint or np.hypot(*(place - where)) >= 2 for other, where in given)

    def by_votes(limb, end, other, place):
        best = (0.0, None)
        for confidence, ends, spread in zip(votes[limb].confidence, votes[limb].ends, votes[limb].spread, strict=True):
            distance = np.hypot(*(ends[end] - place)) / max(spread[end], 1.0)
            lead = ends[1 - end]
            worth = confidence * np.exp(-distance) * height_at(heatmaps[other], lead) * free(other, lead)
            if worth > best[0]:
                best = (worth, lead)
        if best[0] <= 0.05:
            return None
        near = [peak for peak in peaks[other] if np.hypot(*(peak - best[1])) < 2]
        return best[0], min(near, key=lambda peak: np.hypot(*(peak - best[1]))) if near else best[1]

    def by_field(limb, end, other, place):
        best = (0.05, None)
        for peak, height in zip(peaks[other], heights[other], strict=True):
            line = (place, peak) if end == 0 else (peak, place)
            worth = slow_line_score(fields[limb], *line) * height * free(other, peak)
            if worth > best[0]:
                best = (worth, peak)
        return None if best[1] is None else best

    people = []
    seeds = [
        (height, joint, place)
        for joint in range(len(heatmaps))
        for height, place in zip(heights[joint], peaks[joint], strict=True)
        if height > 0.2
    ]
    for _, joint, place in sorted(seeds, key=lambda seed: -seed[0]):
        if not free(joint, place):
            continue
        person = {}
        ways = [(np.inf, joint, place)]
        while ways:
            ways.sort(key=lambda way: way[0])
            _, joint, place = ways.pop()
            if joint in person or not free(joint, place):
                continue
            person[joint] = place
            given.append((joint, place))
            for limb, ends in enumerate(limbs):
                if joint in ends and (other := ends[1 - ends.index(joint)]) not in person:
                    end = ends.index(joint)
                    found = by_votes(limb, end, other, place) or by_field(limb, end, other, place)
                    if found:
                        ways.append((found[0], other, found[1]))
        people.append(person)
    return people


@pytest.mark.parametrize("seed", range(8))
def test_people_are_connected_as_by_the_description(seed):
    """Of maps that no network makes: votes doubtful, misplaced and missing, fields noisy, people near each other."""
    random = np.random.default_rng(seed)
    shape = (40, 56)
    limbs = limbs_of(CROWDPOSE14)
    people = random_people(random, 4, 14, shape, apart=3, absent=0.15)
    heights = random.uniform(0.15, 1, (14, 1, 1))
    heatmaps = perfect_heatmaps(people, shape, 1.2) * heights + random.uniform(0, 0.02, (14, *shape))
    fields = fields_of(people, limbs, shape) * random.uniform(0, 1, (len(limbs), 1, 1, 1))
    fields = fields + random.normal(0, 0.1, fields.shape)
    votes = [
        LimbVotes(
            random.uniform(0.1, 1, len(each.confidence)),
            each.ends + random.normal(0, 1, each.ends.shape),
            random.uniform(0.3, 3, each.spread.shape),
        )
        for each in votes_of(people, limbs, random.random((4, 14)) > 0.3)
    ]
    found = connect_people(heatmaps, fields, votes, limbs)
    slow = slow_people(heatmaps, fields, votes, limbs)
    assert len(found.xy) == len(slow) > 1 and max(map(len, slow)) > 5
    for xy, person in zip(found.xy, slow, strict=True):
        assert np.flatnonzero(np.isfinite(xy[:, 0])).tolist() == sorted(person)
        for joint, place in person.items():
            np.testing.assert_allclose(xy[joint], place, atol=1e-4)


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
