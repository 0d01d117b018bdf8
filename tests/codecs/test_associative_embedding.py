from itertools import permutations

import numpy as np
import pytest

from occlupose.codecs.associative_embedding import (
    COARSE,
    FINE,
    MAX_TAG_DISTANCE,
    MIN_HEIGHT,
    find_tagged_peaks,
    group_people,
    match_peaks,
    matching_order,
)
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17, CROWDPOSE14, MPI15
from tagged_people import perfect_heatmaps, perfect_tags, random_people, random_tags

QUARTER = 0.25 + 1e-6
"""Largest error along an axis of a cell that was moved by a quarter towards the joint."""


def same_people(found, people):
    """Whether these are the same people, one to one, with the same joints."""
    assert len(found.xy) == len(people)
    taken = set()
    for person in people:
        known = np.isfinite(person).all(-1)
        error = np.abs(found.xy[:, known] - person[known]).max((1, 2))
        best = int(np.nanargmin(error))
        assert error[best] <= QUARTER and best not in taken
        assert np.isnan(found.xy[best, ~known]).all() and (found.score[best, ~known] == 0).all()
        taken.add(best)


def slow_peaks(heatmap):
    """Cells (y, x) that are the highest of their window, by the definition; the highest first."""
    rows, columns = heatmap.shape
    found = []
    for y in range(rows):
        for x in range(columns):
            window = heatmap[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
            if heatmap[y, x] > MIN_HEIGHT and heatmap[y, x] == window.max():
                found.append((y, x))
    return sorted(found, key=lambda cell: -heatmap[cell])


def slow_groups(heatmaps, tags, order):
    """People as lists of {joint: cell}, with the best of all matchings of each joint: the most pairs, then the least
    cost.
    """
    people = []
    for joint in order:
        cells = slow_peaks(heatmaps[joint])
        means = [np.mean([tags[k][cell] for k, cell in person.items()], 0) for person in people]
        distance = [[np.linalg.norm(tags[joint][cell] - mean) for mean in means] for cell in cells]
        heights = [heatmaps[joint][cell] for cell in cells]

        def worth(chosen, distance=distance, heights=heights):
            pairs = [(distance[row][person], heights[row]) for row, person in enumerate(chosen) if person is not None]
            if any(apart >= MAX_TAG_DISTANCE for apart, _ in pairs):
                return np.inf, 0
            return -len(pairs), sum(COARSE * np.round(apart) + FINE * apart - height for apart, height in pairs)

        best = min(permutations([*range(len(people)), *[None] * len(cells)], len(cells)), key=worth)
        for row, person in enumerate(best):
            if person is None:
                people.append({joint: cells[row]})
            else:
                people[person][joint] = cells[row]
    return people


@pytest.mark.parametrize("skeleton", [COCO17, CROWDPOSE14], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("count", [1, 2, 5, 10, 20])
def test_perfect_maps_become_the_people_that_made_them(skeleton, count):
    random = np.random.default_rng((count, len(skeleton)))
    people = random_people(random, count, len(skeleton), absent=0.3)
    tags = random_tags(random, count)
    found = group_people(perfect_heatmaps(people), perfect_tags(people, tags), skeleton)
    same_people(found, people)
    np.testing.assert_allclose(np.sort(found.tag[:, 0]), np.sort(tags), atol=1e-5)


def test_sixty_people():
    random = np.random.default_rng(0)
    people = random_people(random, 60, 17, (192, 256))
    tags = random_tags(random, 60)
    found = group_people(perfect_heatmaps(people, (192, 256)), perfect_tags(people, tags, (192, 256)), COCO17)
    same_people(found, people)


def test_nobody():
    found = group_people(np.zeros((17, 8, 8)), np.zeros((17, 8, 8, 1)), COCO17)
    assert found.xy.shape == (0, 17, 2) and found.score.shape == (0, 17) and found.tag.shape == (0, 1)


@pytest.mark.parametrize("seed", range(12))
def test_peaks_are_matched_as_by_trying_all_matchings(seed):
    """Heights and tags of no network: tags of joints of one person differ by up to more than what is matched."""
    random = np.random.default_rng(seed)
    people = random_people(random, 3, 4, (24, 32), apart=6, absent=0.2)
    heatmaps = perfect_heatmaps(people, (24, 32), 1.2) * random.uniform(0.3, 1, (4, 24, 32)).astype(np.float32)
    tags = perfect_tags(people, random_tags(random, 3, apart=0.6), (24, 32)) + random.normal(0, 0.4, (4, 24, 32, 1))
    order = [2, 0, 3, 1]
    peaks = find_tagged_peaks(heatmaps, tags)
    found = [
        {joint: tuple(peaks[joint].cells[row][::-1].tolist()) for joint, row in enumerate(rows) if row >= 0}
        for rows in match_peaks(peaks, order).tolist()
    ]
    slow = slow_groups(heatmaps, tags, order)
    assert len(slow) <= 20 and all(len(each) <= 6 for each in map(slow_peaks, heatmaps))
    assert found == slow


@pytest.mark.parametrize("seed", range(12))
def test_people_are_grouped_as_by_the_definitions(seed):
    """With plain loops: matching, mean tag, joints that are looked for once more, heights, and quarters of cells."""
    random = np.random.default_rng(seed)
    skeleton = COCO17.subset(("left_wrist", "nose", "right_hip", "left_elbow"))
    shape = (24, 32)
    people = random_people(random, 3, 4, shape, apart=6, absent=0.2)
    heatmaps = perfect_heatmaps(people, shape, 1.2) * random.uniform(0.1, 1, (4, *shape)).astype(np.float32)
    tags = perfect_tags(people, random_tags(random, 3, apart=0.6), shape) + random.normal(0, 0.4, (4, *shape, 2))
    found = group_people(heatmaps, tags, skeleton)
    expected = slow_groups(heatmaps, tags, [1, 2, 3, 0])
    assert len(found.xy) == len(expected)
    for xy, score, tag, person in zip(found.xy, found.score, found.tag, expected, strict=True):
        mean = np.mean([tags[joint][cell] for joint, cell in person.items()], 0)
        np.testing.assert_allclose(tag, mean)
        for joint in range(4):
            cell = person.get(joint) or slow_missing(heatmaps[joint], tags[joint], mean)
            if cell is None:
                assert np.isnan(xy[joint]).all() and score[joint] == 0
            else:
                assert score[joint] == heatmaps[joint][cell]
                np.testing.assert_allclose(xy[joint], slow_quarter(heatmaps[joint], *cell))


def slow_missing(heatmap, tags, mean):
    """The cell where height less rounded tag distance is largest; None if it is dark, or its tag another's."""
    cells = [(y, x) for y in range(heatmap.shape[0]) for x in range(heatmap.shape[1])]
    best = max(cells, key=lambda cell: heatmap[cell] - np.round(np.linalg.norm(tags[cell] - mean)))
    near = np.linalg.norm(tags[best] - mean) < MAX_TAG_DISTANCE
    return best if heatmap[best] > 0 and near else None


def slow_quarter(heatmap, y, x):
    """A cell moved by a quarter towards its higher neighbours."""
    place = [float(x), float(y)]
    if 0 < x < heatmap.shape[1] - 1 and heatmap[y, x - 1] != heatmap[y, x + 1]:
        place[0] += 0.25 if heatmap[y, x + 1] > heatmap[y, x - 1] else -0.25
    if 0 < y < heatmap.shape[0] - 1 and heatmap[y - 1, x] != heatmap[y + 1, x]:
        place[1] += 0.25 if heatmap[y + 1, x] > heatmap[y - 1, x] else -0.25
    return place


def test_two_tags_tell_people_apart_where_one_does_not():
    """With a mirrored image every joint has two."""
    random = np.random.default_rng(1)
    people = random_people(random, 2, 17)
    same = perfect_tags(people, [1.0, 1.0])
    told = np.concatenate([same, perfect_tags(people, [3.0, -3.0])], -1)
    same_people(group_people(perfect_heatmaps(people), told, COCO17), people)
    assert len(group_people(perfect_heatmaps(people), same, COCO17).xy) == 2  # two of everything, but mixed
    with pytest.raises(AssertionError):
        same_people(group_people(perfect_heatmaps(people), same, COCO17), people)


def test_a_faint_joint_is_found_where_its_tag_is():
    """Below the height of a peak; and not where it is another person's."""
    random = np.random.default_rng(2)
    people = random_people(random, 2, 17)
    tags = perfect_tags(people, [4.0, -4.0])
    heatmaps = perfect_heatmaps(people)
    alone = perfect_heatmaps(people[1:])
    heatmaps[5] = np.where(alone[5] > 0, alone[5], heatmaps[5] * 0.5 * MIN_HEIGHT)
    same_people(group_people(heatmaps, tags, COCO17), people)
    heatmaps[5] = alone[5]
    found = group_people(heatmaps, tags, COCO17)
    assert np.isnan(found.xy[:, 5]).all(-1).tolist() == (found.tag[:, 0] > 0).tolist()


def test_of_equal_cells_the_first_is_the_peak():
    heatmaps = np.zeros((1, 9, 9))
    heatmaps[0, 3, 3:7] = 0.8
    (peaks,) = find_tagged_peaks(heatmaps, np.zeros((1, 9, 9, 1)))
    assert peaks.cells.tolist() == [[3, 3]] and peaks.score.tolist() == [0.8]


def test_joints_are_matched_from_the_trunk_outwards():
    """As published: numbers of COCO's and of CrowdPose's joints."""
    assert matching_order(COCO17) == [*range(7), 11, 12, 7, 8, 9, 10, 13, 14, 15, 16]
    assert matching_order(CROWDPOSE14) == [12, 13, 0, 1, 6, 7, 2, 3, 4, 5, 8, 9, 10, 11]
    assert sorted(matching_order(MPI15)) == [*range(15)] and MPI15.joints[matching_order(MPI15)[-1]] == "pelvis"


@pytest.mark.parametrize("name", ["heatmaps", "tags"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_maps_that_are_not_numbers_are_refused(name, value):
    maps = {"heatmaps": np.zeros((17, 8, 8)), "tags": np.zeros((17, 8, 8, 1))}
    maps[name].reshape(-1)[5] = value
    with pytest.raises(OccluposeError, match=f"^{name}: some of these maps are not numbers; [^\n]*$"):
        group_people(skeleton=COCO17, **maps)
