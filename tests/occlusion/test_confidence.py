import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from occlupose.occlusion.confidence import ABSENT, OCCLUDED, VISIBLE, classify_joints, discount_by_flow, in_image

unit = st.floats(0, 1, width=32)
scores = arrays(np.float32, (3, 2, 4), elements=unit)
displacements = arrays(np.float32, (3, 2, 4, 2), elements=st.floats(-1, 1, width=32))


@given(scores, displacements)
def test_agreement_leaves_the_score(score, motion):
    np.testing.assert_array_equal(discount_by_flow(score, motion, motion), score)


@given(scores, displacements, displacements)
def test_confidence_lies_between_zero_and_the_score(score, motion, flow):
    confidence = discount_by_flow(score, motion, flow)
    assert (confidence >= 0).all() and (confidence <= score).all()


@given(scores, displacements, st.floats(0, 2), st.floats(0, 2))
def test_more_disagreement_never_gives_more_confidence(score, motion, a, b):
    near, far = sorted((a, b))
    aside = np.array([0.6, 0.8])
    assert (
        discount_by_flow(score, motion, motion + far * aside)
        <= discount_by_flow(score, motion, motion + near * aside) + 1e-6
    ).all()


def test_the_papers_threshold_rejects_at_0_148_box_sides():
    score = np.full((1, 1, 1), 0.9)
    still = np.zeros((1, 1, 1, 2))
    for disagreement, expected in ((0.147, VISIBLE), (0.149, OCCLUDED)):
        assert classify_joints(discount_by_flow(score, still, still + np.array([disagreement, 0])))[0, 0, 0] == expected


@pytest.mark.parametrize("missing", ["motion", "flow", "both"])
def test_without_a_displacement_the_score_stands(missing):
    score = np.array([[[0.7, 0.2]]])
    one = np.ones((1, 1, 2, 2))
    nothing = np.full((1, 1, 2, 2), np.nan)
    motion = one if missing == "flow" else nothing
    flow = one if missing == "motion" else nothing
    np.testing.assert_array_equal(discount_by_flow(score, motion, flow), score)


def test_sigma_is_the_disagreement_that_costs_exp_minus_half():
    still = np.zeros((1, 1, 1, 2))
    assert discount_by_flow(np.ones((1, 1, 1)), still, still + np.array([0.03, 0.04]), sigma=0.05)[
        0, 0, 0
    ] == pytest.approx(np.exp(-0.5))


def test_states():
    confidence = np.array([0.3, 0.29, 0.0, np.nan, 0.9, 0.9, 0.1])
    xy = np.array([[5, 5], [5, 5], [5, 5], [5, 5], [np.nan, 5], [100, 5], [-9, 5]])
    expected = [VISIBLE, OCCLUDED, OCCLUDED, ABSENT, ABSENT, OCCLUDED, OCCLUDED]
    states = classify_joints(confidence, xy, (100, 50))
    assert states.dtype == np.uint8
    np.testing.assert_array_equal(states, expected)


def test_states_without_positions_depend_on_confidence_alone():
    np.testing.assert_array_equal(
        classify_joints(np.array([0.6, 0.5, np.nan]), min_confidence=0.55), [VISIBLE, OCCLUDED, ABSENT]
    )


def test_states_without_a_size_know_no_edge():
    assert classify_joints(np.array([0.9]), np.array([[-100.0, 5]]))[0] == VISIBLE


@given(arrays(np.float32, 6, elements=unit | st.just(np.nan)), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_stricter_threshold_never_makes_a_joint_visible(confidence, a, b):
    lax, strict = sorted((a, b))
    assert (classify_joints(confidence, min_confidence=strict) <= classify_joints(confidence, min_confidence=lax)).all()


def test_a_pixel_reaches_half_a_pixel_from_its_centre():
    xy = np.array([[-0.5, 0], [-0.51, 0], [9.49, 0], [9.5, 0], [0, 4.5], [np.nan, 0]])
    np.testing.assert_array_equal(in_image(xy, (10, 5)), [True, False, True, False, False, False])
