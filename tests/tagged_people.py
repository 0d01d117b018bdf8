"""Random people in 2D, and the heatmaps and tags that perfect networks make of them."""

import numpy as np

SHAPE = (96, 128)
"""Rows and columns of the maps."""

SIGMA = 2.0
"""Of the Gaussians, cells."""

REACH = 8
"""Cells around a joint that have its tag, more than its Gaussian has."""


def random_people(random, count, joints, shape=SHAPE, *, apart=5.0, absent=0.0):
    """(person, joint, 2), cells: no joint within `apart` of the same joint of another person, nor at the border.

    Arguments:
        absent: probability that a joint is absent (NaN); everybody has one at least.
    """
    size = np.array(shape[::-1])
    people = np.full((count, joints, 2), np.nan)
    for joint in range(joints):
        chosen = []
        while len(chosen) < count:
            place = random.uniform(3, size - 4)
            if all(np.linalg.norm(place - other) > apart for other in chosen):
                chosen.append(place)
        people[:, joint] = chosen
    gone = random.random((count, joints)) < absent
    gone[np.arange(count), random.integers(0, joints, count)] = False
    people[gone] = np.nan
    return people


def random_tags(random, count, *, apart=2.0):
    """One number for each person, in any order and at any distance above `apart`."""
    steps = apart + random.exponential(1.0, count)
    return random.permutation(np.cumsum(steps) - steps.sum() / 2)


def perfect_heatmaps(people, shape=SHAPE, sigma=SIGMA):
    """(joint, y, x): a Gaussian of height 1 at every joint, the highest where they overlap."""
    rows = np.arange(shape[0])[:, None]
    columns = np.arange(shape[1])
    maps = np.zeros((people.shape[1], *shape), np.float32)
    for person in people:
        for joint in np.flatnonzero(np.isfinite(person).all(-1)):
            x, y = person[joint]
            maps[joint] = np.maximum(maps[joint], np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)))
    maps[maps < 0.01] = 0
    return maps


def perfect_tags(people, tags, shape=SHAPE, reach=REACH):
    """(joint, y, x, 1): near a joint the tag of its person; of two joints, of the nearer one. Elsewhere 0."""
    rows = np.arange(shape[0])[:, None]
    columns = np.arange(shape[1])
    maps = np.zeros((people.shape[1], *shape, 1), np.float32)
    nearest = np.full((people.shape[1], *shape), float(reach))
    for person, tag in zip(people, tags, strict=True):
        for joint in np.flatnonzero(np.isfinite(person).all(-1)):
            x, y = person[joint]
            distance = np.hypot(columns - x, rows - y)
            maps[joint, distance < nearest[joint], 0] = tag
            nearest[joint] = np.minimum(nearest[joint], distance)
    return maps
