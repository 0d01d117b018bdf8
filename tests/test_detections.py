"""Tests of the record of people found in one image, and of bounding boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlupose.detections import Detections, box_sides, overlap, suppress_similar
from occlupose.errors import OccluposeError
from occlupose.skeletons import COCO17, H36M17


def two_people(**fields) -> Detections:
    xy = np.arange(2 * 17 * 2, dtype=np.float32).reshape(2, 17, 2)
    xy[1, 3] = np.nan
    score = np.linspace(0, 1, 34, dtype=np.float32).reshape(2, 17)
    return Detections(skeleton=COCO17, xy=xy, score=score, **fields)


def test_what_is_not_given_follows_from_the_keypoints():
    found = two_people()
    assert found.state[0].tolist() == [2] * 17
    assert found.state[1, 3] == 0 and (np.delete(found.state[1], 3) == 2).all()
    np.testing.assert_array_equal(found.boxes, [[0, 1, 32, 33], [34, 35, 66, 67]])
    np.testing.assert_allclose(found.box_score, found.score.mean(1))
    assert found.xyz is None
    assert np.isnan(found.spread).all() and np.isnan(found.probability).all()


def test_a_person_without_keypoints_has_no_box():
    found = Detections(skeleton=COCO17, xy=np.full((1, 17, 2), np.nan), score=np.zeros((1, 17)))
    assert np.isnan(found.boxes).all() and not found.state.any()


def test_it_prints_in_one_line():
    assert repr(two_people()) == "Detections(2 people, coco17, 2D)"
    assert repr(two_people(xyz=np.zeros((2, 17, 3))).select([1])) == "Detections(1 person, coco17, 3D)"


@pytest.mark.parametrize("rows", [[1, 0], [0], [], np.array([True, False])])
def test_people_are_selected_by_row_or_mask(rows):
    random = np.random.default_rng(0)
    spread = random.random((2, 17))
    probability = random.random((2, 17, 3))
    found = two_people(xyz=random.normal(size=(2, 17, 3)), spread=spread, probability=probability)
    chosen = found.select(rows)
    index = np.array(rows, bool if len(rows) and isinstance(rows[0], np.bool_) else int)
    for name in ("xy", "score", "state", "boxes", "box_score", "xyz", "spread", "probability"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(found, name)[index])


def test_another_skeleton_takes_the_weakest_of_what_a_joint_is_made_from():
    found = two_people().to(H36M17)
    hips = COCO17.index("left_hip", "right_hip")
    pelvis = H36M17.index("pelvis")[0]
    before = two_people()
    np.testing.assert_allclose(found.xy[:, pelvis], before.xy[:, hips].mean(1))
    np.testing.assert_allclose(found.score[:, pelvis], before.score[:, hips].min(1))
    np.testing.assert_array_equal(found.boxes, before.boxes)
    assert found.to(H36M17) is found


def test_nobody():
    nobody = Detections.none(H36M17, in_3d=True)
    assert len(nobody) == 0 and nobody.xyz is not None and repr(nobody) == "Detections(0 people, h36m17, 3D)"
    assert len(Detections.none(H36M17).to(COCO17)) == 0


@pytest.mark.parametrize(
    ("field", "shape"), [("score", (2, 16)), ("boxes", (2, 3)), ("box_score", (1,)), ("xyz", (2, 17, 2))]
)
def test_arrays_of_other_shapes_are_refused(field, shape):
    arrays = {"xy": np.zeros((2, 17, 2)), "score": np.zeros((2, 17))} | {field: np.zeros(shape)}
    with pytest.raises(OccluposeError, match=f"^{field}: has shape .*; it must be"):
        Detections(skeleton=COCO17, **arrays)


def test_overlap_of_boxes():
    """Half of each, a quarter of the larger, a corner, none, and boxes without an area."""
    box = np.array([0.0, 0, 10, 10])
    others = np.array([[5.0, 0, 15, 10], [0, 0, 5, 5], [8, 8, 18, 18], [10, 0, 20, 10], [3, 3, 3, 9], [9, 9, 1, 1]])
    np.testing.assert_allclose(overlap(box, others), [50 / 150, 25 / 100, 4 / 196, 0, 0, 0])
    assert overlap(box, box) == 1 and overlap(others[4], others[4]) == 0
    assert overlap(others[:, None], others).shape == (6, 6)


def brute_force(similar, order, threshold):
    """Take the best that is left, strike out all that resemble it, repeat."""
    left = set(range(len(order)))
    kept = []
    while left:
        best = min(left, key=lambda row: (-order[row], row))
        kept.append(best)
        left = {row for row in left if row != best and similar[row][best] <= threshold}
    return kept


@given(st.integers(0, 12), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_suppression_agrees_with_brute_force(count, seed, threshold):
    generator = np.random.default_rng(seed)
    similar = generator.random((count, count))
    similar = (similar + similar.T) / 2
    order = generator.integers(0, 5, count) / 4  # with ties
    assert suppress_similar(similar, order, threshold) == brute_force(similar, order, threshold)


def test_the_side_of_a_box_is_the_longer_one_and_at_least_a_pixel():
    boxes = np.array([[0, 0, 30, 20], [5, 5, 6, 45], [7, 7, 7, 7.5]], np.float32)
    assert box_sides(boxes).tolist() == [30, 40, 1]
    assert box_sides(boxes[1]) == 40


def test_another_skeleton_takes_the_mean_spread_and_probability():
    spread = np.arange(34.0).reshape(2, 17)
    probability = np.tile(spread[..., None], 3) / (1, 2, 4)
    found = two_people(spread=spread, probability=probability).to(H36M17)
    pelvis = H36M17.index("pelvis")[0]
    hips = COCO17.index("left_hip", "right_hip")
    np.testing.assert_allclose(found.spread[:, pelvis], spread[:, hips].mean(1))
    np.testing.assert_allclose(found.probability[:, pelvis], probability[:, hips].mean(1))
