"""Matches predicted people to true ones in one image, and compares their depths and bones."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int

from occlupose.metrics.pose3d import joint_errors, procrustes

MATCH_RADIUS = 40.0
"""Pixels in x and in y within which a joint counts for a match (MuPoTS-3D)."""

MAX_PROCRUSTES_ERROR = 250.0
"""Mean error after alignment, mm, below which `gntcn` matches (the ports)."""

ROOT_THRESHOLD = 250.0
"""Error, mm, below which a root is correct for its average precision (RootNet)."""

SAME_DEPTH = 300.0
"""Difference in depth, mm, below which two people are equally far away (SMAP)."""


def match_pixels(
    xy: Float[np.ndarray, "person joint 2"],
    predicted: Float[np.ndarray, "prediction joint 2"],
    radius: float = MATCH_RADIUS,
) -> Int[np.ndarray, "person"]:
    """The prediction of each person, or -1: in the order of the people, the free one with the most joints nearby, the
    first of equals.

    Arguments:
        radius: pixels in x and in y that a joint must be closer than.
    """
    near = (np.abs(xy[:, None] - predicted) < radius).all(-1).sum(-1)
    matches = np.full(len(xy), -1)
    taken = np.zeros(len(predicted), bool)
    for person, joints in enumerate(near):
        free = np.where(taken, 0, joints)
        if free.any():
            matches[person] = free.argmax()
            taken[matches[person]] = True
    return matches


def match_procrustes(
    xyz: Float[np.ndarray, "person joint 3"],
    predicted: Float[np.ndarray, "prediction joint 3"],
    max_error: float = MAX_PROCRUSTES_ERROR,
) -> Int[np.ndarray, "person"]:
    """The prediction with the smallest error after Procrustes alignment for each person, or -1; two people may have the
    same.

    Arguments:
        max_error: mean error over the joints that both have, mm, that it must be below.
    """
    if not len(predicted) or not len(xyz):
        return np.full(len(xyz), -1)
    truth = np.broadcast_to(xyz[:, None], (len(xyz), *predicted.shape))
    aligned = procrustes(np.broadcast_to(predicted, truth.shape), truth)
    errors = joint_errors(aligned, truth)
    known = np.isfinite(errors)
    means = np.where(known.any(-1), 1000 * np.where(known, errors, 0).sum(-1) / np.maximum(known.sum(-1), 1), np.inf)
    return np.where(means.min(-1) < max_error, means.argmin(-1), -1)


def match_roots(
    truth: Float[np.ndarray, "person 3"],
    predicted: Float[np.ndarray, "prediction 3"],
    max_error: float = ROOT_THRESHOLD,
) -> Bool[np.ndarray, "prediction"]:
    """Which predicted roots are correct: the nearest free person is less than `max_error` mm away, and then taken.

    Arguments:
        predicted: in descending order of score.
    """
    free = np.isfinite(truth).all(-1)
    hits = np.zeros(len(predicted), bool)
    for number, root in enumerate(predicted):
        distances = np.where(free, 1000 * np.linalg.norm(truth - root, axis=-1), np.inf)
        if len(distances) and (nearest := int(np.nanargmin(np.append(distances, np.inf)))) < len(distances):
            hits[number] = distances[nearest] < max_error
            free[nearest] &= not hits[number]
    return hits


def compare_depth_order(
    depth: Float[np.ndarray, "person"], predicted: Float[np.ndarray, "person"], same_depth: float = SAME_DEPTH
) -> Int[np.ndarray, "pair"]:
    """For each pair of people: 2 if their depth order is predicted correctly, 1 if not, 0 if one of them is not
    predicted.

    SMAP's ordinal depth: correct is the same sign of the difference, or both differences below a threshold. People of
    unknown depth are left out.

    Arguments:
        depth: of the true roots, m.
        predicted: of the roots of the matching predictions, m; NaN where there is none.
        same_depth: the threshold, mm.
    """
    known = np.isfinite(depth)
    depth = depth[known]
    predicted = predicted[known]
    first, second = np.triu_indices(len(depth), 1)
    true_difference = depth[first] - depth[second]
    difference = predicted[first] - predicted[second]
    same_sign = np.sign(true_difference) == np.sign(difference)
    both_small = (1000 * np.abs(true_difference) < same_depth) & (1000 * np.abs(difference) < same_depth)
    return np.where(np.isnan(difference), 0, np.where(same_sign | both_small, 2, 1))


def rescale_bones(
    predicted: Float[np.ndarray, "person joint 3"],
    truth: Float[np.ndarray, "person joint 3"],
    bones: Iterable[tuple[int, int]],
) -> Float[np.ndarray, "person joint 3"]:
    """Predictions with their own bone directions and the true bone lengths; NaN at the end of a bone of length 0.

    Arguments:
        bones: (joint, parent), parents first.
    """
    result = predicted.copy()
    for joint, parent in bones:
        bone = predicted[:, joint] - predicted[:, parent]
        length = np.linalg.norm(bone, axis=-1)
        true_length = np.linalg.norm(truth[:, joint] - truth[:, parent], axis=-1)
        factor = np.divide(true_length, length, out=np.full(len(bone), np.nan), where=length > 0)
        result[:, joint] = result[:, parent] + bone * factor[:, None]
    return result
