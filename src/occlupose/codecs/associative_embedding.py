"""From heatmaps and tags to people (associative embedding, Newell et al. 2017, section 3.3, as in HigherHRNet, Cheng et
al. 2020).

A tag is one number, or a few, for every cell of a joint's map; joints whose tags are alike belong to one person. Peaks
of the heatmaps are matched with people joint by joint, from the trunk outwards. A joint that a person then lacks is
looked for once more, where the person's tag and a heatmap agree best.

Coordinates are cells of the maps. Ours: of several equal cells only the first is a peak; peaks and people whose tags
are too far apart are kept out of the matching, where they would push others to a wrong partner, instead of being parted
afterwards; a joint that is looked for must have a tag that would have been matched, so that nobody takes another's;
there are more candidates, so that crowds are not cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import maximum_filter
from scipy.optimize import linear_sum_assignment

from occlupose.codecs.heatmaps import check_numbers
from occlupose.codecs.limb_fields import PeopleInMaps
from occlupose.skeletons import Skeleton

ORDER = (
    *"nose left_eye right_eye left_ear right_ear head_top neck left_shoulder right_shoulder left_hip right_hip".split(),
    *"left_elbow right_elbow left_wrist right_wrist left_knee right_knee left_ankle right_ankle".split(),
)
"""Order in which joints are matched, as published for COCO and CrowdPose; others follow in the skeleton's order."""

WINDOW = 5
"""Side of the window, cells, in which a peak is the highest cell."""

MIN_HEIGHT = 0.1
"""Minimum height of a peak, as published."""

MAX_CANDIDATES = 100
"""Maximum number of peaks of a joint, the highest; 30 as published."""

MAX_TAG_DISTANCE = 1.0
"""Tags of one person are nearer than this, as published."""

COARSE = 100.0
FINE = 0.001
"""Weights of the tag distance, rounded to whole numbers and exact, against a height of 1, where candidates are matched:
the nearer tag comes first, and of equally near ones the higher peak (Newell section 3.3). The exact distance decides
what is equal then (ours).
"""

APART = 1e6
"""Cost of a pair that is not matched."""


@dataclass(frozen=True, eq=False)
class TaggedPeaks:
    """Candidates of a joint, the highest first: cells (x, y), tags, and heights of the heatmap."""

    cells: Int[np.ndarray, "peak 2"]
    tags: Float[np.ndarray, "peak tag"]
    score: Float[np.ndarray, " peak"]


@dataclass(frozen=True, eq=False)
class GroupedPeople(PeopleInMaps):
    """People with the mean tag of their joints."""

    tag: Float[np.ndarray, "person tag"]


def group_people(
    heatmaps: Float[np.ndarray, "joint y x"], tags: Float[np.ndarray, "joint y x tag"], skeleton: Skeleton
) -> GroupedPeople:
    """The people in an image.

    Arguments:
        heatmaps: around 0..1.

    Raises:
        OccluposeError: maps with NaN or infinite values.
    """
    check_numbers(heatmaps=heatmaps, tags=tags)
    peaks = find_tagged_peaks(heatmaps, tags)
    assignment = match_peaks(peaks, matching_order(skeleton))
    cells = np.full((*assignment.shape, 2), -1)
    total = np.zeros((len(assignment), tags.shape[-1]))
    for joint, of_joint in enumerate(peaks):
        people = np.flatnonzero(assignment[:, joint] >= 0)
        chosen = assignment[people, joint]
        cells[people, joint] = of_joint.cells[chosen]
        total[people] += of_joint.tags[chosen]
    tag = total / (assignment >= 0).sum(-1)[:, None]
    for person, joint in np.argwhere(assignment < 0).tolist():
        cells[person, joint] = _find_missing(heatmaps[joint], tags[joint], tag[person])
    return GroupedPeople(_towards_higher_neighbours(heatmaps, cells), _heights(heatmaps, cells), tag)


def matching_order(skeleton: Skeleton) -> list[int]:
    """Indices of the joints in the order in which they are matched."""
    known = [joint for joint in ORDER if joint in skeleton.joints]
    return skeleton.index(*known, *(joint for joint in skeleton.joints if joint not in known))


def find_tagged_peaks(
    heatmaps: Float[np.ndarray, "joint y x"], tags: Float[np.ndarray, "joint y x tag"]
) -> list[TaggedPeaks]:
    """Local maxima of each joint's heatmap in a window, with the tags there."""
    highest = maximum_filter(heatmaps, (1, WINDOW, WINDOW), mode="constant", cval=-np.inf)
    joints, rows, columns = np.nonzero((heatmaps == highest) & (heatmaps > MIN_HEIGHT))
    found = []
    for joint, (heights, tag) in enumerate(zip(heatmaps, tags, strict=True)):
        y = rows[joints == joint]
        x = columns[joints == joint]
        order = np.argsort(-heights[y, x], kind="stable")[:MAX_CANDIDATES]
        cells = np.stack([x, y], -1)[order]
        near = np.abs(cells[:, None] - cells).max(-1) <= WINDOW // 2
        cells = cells[~np.tril(near, -1).any(1)]  # cells of one window are equal
        found.append(TaggedPeaks(cells, tag[cells[:, 1], cells[:, 0]], heights[cells[:, 1], cells[:, 0]]))
    return found


def match_peaks(peaks: Sequence[TaggedPeaks], order: Sequence[int]) -> Int[np.ndarray, "person joint"]:
    """The index of each person's peak of each joint, -1 where there is none: the largest and then cheapest matching of
    a joint's peaks with the people found so far, by the distance of the tags (Hungarian method). Peaks without a person
    begin one.
    """
    assignment = np.zeros((0, len(peaks)), int)
    total = np.zeros((0, peaks[0].tags.shape[-1]))
    count = np.zeros(0)
    for joint in order:
        of_joint = peaks[joint]
        distance = np.linalg.norm(of_joint.tags[:, None] - total / count[:, None], axis=-1)
        cost = COARSE * np.round(distance) - of_joint.score[:, None] + FINE * distance
        person = np.full(len(of_joint.score), -1)
        alike = distance < MAX_TAG_DISTANCE
        rows, columns = linear_sum_assignment(np.where(alike, cost, APART))
        matched = alike[rows, columns]
        person[rows[matched]] = columns[matched]
        new = np.flatnonzero(person < 0)
        person[new] = len(assignment) + np.arange(len(new))
        assignment = np.concatenate([assignment, np.full((len(new), len(peaks)), -1)])
        total = np.concatenate([total, np.zeros((len(new), total.shape[1]))])
        count = np.concatenate([count, np.zeros(len(new))])
        assignment[person, joint] = np.arange(len(person))
        total[person] += of_joint.tags
        count[person] += 1
    return assignment


def _find_missing(
    heights: Float[np.ndarray, "y x"], tags: Float[np.ndarray, "y x tag"], tag: Float[np.ndarray, " tag"]
) -> tuple[int, int]:
    """The cell (x, y) where height minus rounded tag distance is largest; (-1, -1) if nothing is there, or the tag is
    another person's.
    """
    distance = np.linalg.norm(tags - tag, axis=-1)
    y, x = np.unravel_index((heights - np.round(distance)).argmax(), heights.shape)
    if heights[y, x] <= 0 or distance[y, x] >= MAX_TAG_DISTANCE:
        return -1, -1
    return int(x), int(y)


def _heights(
    heatmaps: Float[np.ndarray, "joint y x"], cells: Int[np.ndarray, "person joint 2"]
) -> Float[np.ndarray, "person joint"]:
    """The heatmaps at these cells; 0 where a joint is absent."""
    x, y = cells.clip(0).transpose(2, 0, 1)
    return np.where(cells[..., 0] < 0, 0, heatmaps[np.arange(len(heatmaps)), y, x])


def _towards_higher_neighbours(
    heatmaps: Float[np.ndarray, "joint y x"], cells: Int[np.ndarray, "person joint 2"]
) -> Float[np.ndarray, "person joint 2"]:
    """Cells moved by a quarter towards the higher neighbour along each axis, unless both are equal or one is beyond the
    border; NaN where a joint is absent.
    """
    rows, columns = heatmaps.shape[1:]
    joint = np.arange(len(heatmaps))
    x, y = cells.transpose(2, 0, 1)
    right = heatmaps[joint, y, (x + 1).clip(0, columns - 1)]
    left = heatmaps[joint, y, (x - 1).clip(0)]
    below = heatmaps[joint, (y + 1).clip(0, rows - 1), x]
    above = heatmaps[joint, (y - 1).clip(0), x]
    across = np.sign(right - left) * ((x > 0) & (x < columns - 1))
    down = np.sign(below - above) * ((y > 0) & (y < rows - 1))
    moved = cells + 0.25 * np.stack([across, down], -1)
    return np.where(cells[..., :1] < 0, np.nan, moved)
