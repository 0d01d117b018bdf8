import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mupots_files import people_standing
from occlupose.metrics.matching import (
    compare_depth_order,
    match_pixels,
    match_procrustes,
    match_roots,
    rescale_bones,
)
from occlupose.metrics.mupots import OFFICIAL, SMAP15
from occlupose.metrics.pose3d import procrustes


def people(count):
    return people_standing(np.random.default_rng(0), count)


@pytest.mark.parametrize(("pixels", "near"), [(39.9, True), (40.0, False), (-39.9, True), (-40.0, False)])
@pytest.mark.parametrize("axis", [0, 1])
def test_the_edge_of_40_px(pixels, near, axis):
    xy = np.arange(26.0).reshape(1, 13, 2) * 100
    other = xy.copy()
    other[..., axis] += pixels
    other[..., 1 - axis] -= 39
    assert (match_pixels(xy, other)[0] == 0) == near
    assert match_pixels(xy, other + 500)[0] == -1


def test_people_choose_one_after_the_other():
    """The first takes the prediction that the second would fit better; the second gets what is left."""
    xy = np.zeros((2, 13, 2))
    xy[1] += 30
    predicted = np.stack([xy[0] + 25, xy[0] + 300])
    predicted[1, :2] = xy[1, :2]
    assert match_pixels(xy, predicted).tolist() == [0, 1]
    assert match_pixels(xy[::-1], predicted).tolist() == [0, 1]
    assert match_pixels(xy, predicted[::-1]).tolist() == [1, 0]
    assert match_pixels(xy, predicted[:1]).tolist() == [0, -1]
    assert match_pixels(xy, xy[:1].repeat(2, 0)).tolist() == [0, 1]  # of equals the first
    assert match_pixels(xy, np.full((1, 13, 2), np.nan)).tolist() == [-1, -1]


def test_python_ports_match_by_shape_and_may_match_twice():
    xyz = people(2)
    turned = xyz[:1] @ np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]) * 2 + 7
    assert match_procrustes(xyz[:1], turned).tolist() == [0]
    assert match_procrustes(
        np.stack([xyz[0], xyz[0] + 3]), np.stack([xyz[1] * 0 + np.eye(17, 3), turned[0]])
    ).tolist() == [
        1,
        1,
    ]
    assert match_procrustes(xyz, xyz[:0]).tolist() == [-1, -1] and match_procrustes(xyz[:0], xyz).tolist() == []
    far = xyz[:1].copy()
    far[0] = np.random.default_rng(0).normal(0, 1, (17, 3))
    error = 1000 * np.linalg.norm(procrustes(far, xyz[:1]) - xyz[:1], axis=-1).mean()
    assert match_procrustes(xyz[:1], far, error + 0.1).tolist() == [0] and match_procrustes(
        xyz[:1], far, error - 0.1
    ).tolist() == [-1]
    assert match_procrustes(xyz[:1], np.full((1, 17, 3), np.nan)).tolist() == [-1]


@pytest.mark.parametrize(
    ("truth", "predicted", "right"),
    [
        ([3.0, 5.0], [3.0, 3.1], 2),
        ([3.0, 5.0], [3.1, 3.0], 1),
        ([3.0, 3.2], [3.2, 3.0], 2),
        ([3.0, 3.2], [3.4, 3.0], 1),
        ([3.0, 3.4], [3.2, 3.0], 1),
        ([3.0, 5.0], [3.0, np.nan], 0),
        ([4.0, 4.0], [4.0, 4.0], 2),
        ([4.0, 4.0], [4.0, 4.5], 1),
    ],
)
def test_depth_order(truth, predicted, right):
    assert compare_depth_order(np.array(truth), np.array(predicted)).tolist() == [right]


def test_depth_order_leaves_out_people_of_unknown_depth():
    assert compare_depth_order(np.array([3.0, np.nan, 4.0]), np.array([1.0, 2.0, 3.0])).tolist() == [2]
    assert compare_depth_order(np.array([3.0]), np.array([1.0])).tolist() == []


@pytest.mark.parametrize(("millimetres", "hit"), [(249, True), (251, False)])
def test_the_edge_of_the_root(millimetres, hit):
    assert match_roots(np.array([[0.0, 0, 5]]), np.array([[0.0, 0, 5 + millimetres / 1000]])).tolist() == [hit]


def test_a_root_is_found_once_by_the_best():
    truth = np.array([[0.0, 0, 5], [0.1, 0, 5], [np.nan] * 3])
    predicted = np.array([[0.0, 0, 5], [0.0, 0, 5.01], [0.05, 0, 5], [np.nan] * 3])
    assert match_roots(truth, predicted).tolist() == [True, True, False, False]
    assert (
        match_roots(truth[:0], predicted).tolist() == [False] * 4 and match_roots(truth, predicted[:0]).tolist() == []
    )


def test_a_bone_without_a_length_loses_its_joint():
    truth = np.array([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    result = rescale_bones(np.array([[[0.0, 0, 0], [0, 0, 0], [0, 3, 0]]]), truth, [(1, 0), (2, 1)])
    assert np.isnan(result[0, 1:]).all() and (result[0, 0] == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.3, 3), st.sampled_from([OFFICIAL, SMAP15]))
def test_rescaled_bones_are_as_long_as_the_true_ones_and_point_as_before(seed, factor, protocol):
    generator = np.random.default_rng(seed)
    truth = people_standing(generator, 2)[:, : len(protocol.skeleton)]
    predicted = people_standing(generator, 2)[:, : len(protocol.skeleton)]
    index = protocol.skeleton.index
    bones = [(index(joint)[0], index(parent)[0]) for joint, parent in protocol.bones]
    result = rescale_bones(factor * predicted, truth, bones)
    for joint, parent in bones:
        new = result[:, joint] - result[:, parent]
        old = predicted[:, joint] - predicted[:, parent]
        true = truth[:, joint] - truth[:, parent]
        np.testing.assert_allclose(np.linalg.norm(new, axis=-1), np.linalg.norm(true, axis=-1), rtol=1e-9)
        np.testing.assert_allclose(np.cross(new, old), 0, atol=1e-9)
        assert ((new * old).sum(-1) > 0).all()
    np.testing.assert_array_equal(result[:, protocol.root], factor * predicted[:, protocol.root])
