import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mupots_files import WIDE, people_standing
from mupots_reference import reference_scores
from occlupose.datasets.image_samples import ImageSample
from occlupose.detections import Detections
from occlupose.metrics.mupots import (
    GNTCN,
    JOINT_GROUPS,
    MPI15_PROTOCOL,
    OFFICIAL,
    PROTOCOLS,
    SCORED_JOINTS,
    SMAP15,
)
from occlupose.metrics.people3d import COLUMNS, MuPoTSReport, average_precision, image_errors
from occlupose.poses import OCCLUDED, VISIBLE
from occlupose.skeletons import MUPOTS17

ALL = list(PROTOCOLS.values())
BY_NAME = [pytest.param(protocol, id=protocol.name) for protocol in ALL]
RESCALING = [pytest.param(protocol, id=protocol.name) for protocol in ALL if protocol.rescales]


def frame(xyz, predicted=None, *, xy=None, score=None, occluded=None, sequence=""):
    """An image of MUPOTS17 people and what is predicted, by default everybody as they are, seen where they are."""
    predicted = xyz if predicted is None else predicted
    score = np.ones(len(predicted)) if score is None else np.array(score, float)
    sample = ImageSample(
        image=None,
        size=(WIDE.width, WIDE.height),
        skeleton=MUPOTS17,
        xy=WIDE.project(xyz),
        state=np.where(np.zeros(xyz.shape[:2], bool) if occluded is None else occluded, OCCLUDED, VISIBLE),
        xyz=xyz,
        occlusion_annotated=occluded is not None,
        sequence=sequence,
    )
    seen = WIDE.project(predicted) if xy is None else xy
    scores = np.repeat(score[:, None], 17, 1)
    return sample, Detections(skeleton=MUPOTS17, xy=seen, xyz=predicted, score=scores)


def people(count=3, seed=0):
    return people_standing(np.random.default_rng(seed), count)


def report(protocol, *frames):
    result = MuPoTSReport(protocol)
    for each in frames:
        result.add(*each)
    return result


def stretched(xyz, factor):
    """Everybody larger about their pelvis."""
    pelvis = xyz[:, [MUPOTS17.index("pelvis")[0]]]
    return pelvis + factor * (xyz - pelvis)


def moved(xyz, joint, by):
    """Everybody with one joint elsewhere; `by` in mm."""
    result = xyz.copy()
    result[:, MUPOTS17.index(joint)[0]] += np.array(by) / 1000
    return result


# ------------------------------------------------------------------------------- the extremes


@pytest.mark.parametrize("protocol", BY_NAME)
def test_a_perfect_prediction_is_perfect(protocol):
    occluded = np.random.default_rng(1).random((3, 17)) < 0.3
    found = report(protocol, frame(people(), occluded=occluded), frame(people(2, 5), occluded=occluded[:2]))
    for matched in (False, True):
        scores = found.pooled(matched)
        assert scores.people == 5
        for column in ("PCK", "PCK_abs", "PCK_occ", "PCK_vis", "PCOD", "predicted", *JOINT_GROUPS):
            assert scores[column] == 1, column
        assert scores["AUC"] == pytest.approx(1 - 1 / len(protocol.thresholds))  # nothing is nearer than 0 mm
        for column in ("MPJPE", "MPJPE_abs", "MPJPE_occ", "MPJPE_vis", "PA-MPJPE"):
            assert scores[column] == pytest.approx(0, abs=1e-6), column
    assert found.root_ap == 1 and found.matched == 5 and found.images == 2 and found.predictions == 5


@pytest.mark.parametrize("protocol", BY_NAME)
def test_a_shifted_prediction_is_right_relative_only(protocol):
    xyz = people()
    seen = WIDE.project(xyz)
    scores = report(protocol, frame(xyz, xyz + np.array([0, 0, 0.2]), xy=seen)).pooled()
    assert scores["PCK"] == 1 and scores["MPJPE"] == pytest.approx(0, abs=1e-6)
    if not protocol.depth_only:
        assert scores["PCK_abs"] == 0 and scores["MPJPE_abs"] == pytest.approx(200)
        sideways = report(protocol, frame(xyz, xyz + np.array([0.1, 0, 0]), xy=seen)).pooled()
        assert sideways["PCK_abs"] == 1 and sideways["MPJPE_abs"] == pytest.approx(100)


def test_python_ports_keep_the_true_ray_and_the_predicted_depth():
    xyz = people()
    sideways = report(GNTCN, frame(xyz, xyz + np.array([1.0, 0.5, 0])))
    assert sideways.pooled()["MPJPE_abs"] == pytest.approx(0, abs=1e-5)
    behind = image_errors(*frame(xyz, xyz + np.array([0, 0, 0.3])), GNTCN)
    root = xyz[:, MUPOTS17.index("pelvis")[0]]
    np.testing.assert_allclose(
        behind.absolute, np.repeat(300 * np.linalg.norm(root / root[:, 2:], axis=-1)[:, None], 14, 1), rtol=1e-6
    )


@pytest.mark.parametrize("protocol", RESCALING)
def test_a_skeleton_of_another_size_is_right_where_bones_are_rescaled(protocol):
    xyz = people()
    seen = WIDE.project(xyz)
    for factor in (0.5, 1.7):
        scores = report(protocol, frame(xyz, stretched(xyz, factor), xy=seen)).pooled()
        if protocol is GNTCN:
            assert scores["PCK"] < 1  # it hangs bones on the wrong parents
        else:
            assert scores["PCK"] == scores["PCK_abs"] == 1 and scores["MPJPE"] == pytest.approx(0, abs=1e-6)


def test_a_skeleton_of_another_size_is_wrong_where_they_are_not():
    xyz = people()
    scores = report(MPI15_PROTOCOL, frame(xyz, stretched(xyz, 1.5), xy=WIDE.project(xyz))).pooled()
    sizes = np.linalg.norm(xyz - xyz[:, [14]], axis=-1)[:, [MUPOTS17.index(joint)[0] for joint in SCORED_JOINTS]]
    assert scores["MPJPE"] == pytest.approx(500 * sizes.mean()) and scores["PCK"] == pytest.approx(
        (500 * sizes < 150).mean()
    )
    assert scores["PA-MPJPE"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("protocol", BY_NAME)
def test_the_order_of_predictions_does_not_matter(protocol):
    xyz = people(4)
    predicted = xyz + np.random.default_rng(2).normal(0, 0.05, xyz.shape)
    one = report(protocol, frame(xyz, predicted[[0, 1, 2, 3]])).pooled()
    other = report(protocol, frame(xyz, predicted[[2, 0, 3, 1]])).pooled()
    assert one.values == pytest.approx(other.values, nan_ok=True)


def test_people_with_swapped_3d_poses_are_wrong():
    xyz = people(2)
    predicted = xyz[::-1].copy()
    found = report(MPI15_PROTOCOL, frame(xyz, predicted, xy=WIDE.project(xyz))).pooled()
    assert found["PCK_abs"] == 0 and found["PCOD"] == 0 and found["MPJPE_abs"] > 500
    assert image_errors(*frame(xyz, predicted, xy=WIDE.project(xyz)), MPI15_PROTOCOL).matched.all()


@pytest.mark.parametrize("protocol", BY_NAME)
def test_who_is_missed_counts_among_all_people_only(protocol):
    xyz = people(4)
    # people not alike enough for the ports to give two of them the same prediction
    xyz[3] = np.random.default_rng(3).normal(0, 1.5, xyz[3].shape) + xyz[3]
    found = report(protocol, frame(xyz, xyz[:3], occluded=np.eye(4, 17, dtype=bool)))
    all_people = found.pooled()
    matched = found.pooled(True)
    assert (all_people.people, matched.people, found.matched) == (4, 3, 3)
    for column in ("PCK", "PCK_abs", "PCK_vis", *JOINT_GROUPS):
        assert matched[column] == 1, column
    assert all_people["PCK"] == all_people["PCK_abs"] == all_people["knee"] == 0.75
    assert all_people["PCOD"] == pytest.approx(3 / 6) and matched["PCOD"] == 1
    assert all_people["MPJPE"] == matched["MPJPE"] == pytest.approx(0, abs=1e-6) and matched["predicted"] == 1
    assert found.root_ap == pytest.approx(0.75)


@pytest.mark.parametrize("protocol", BY_NAME)
def test_false_positives_lower_only_the_precision_of_the_root(protocol):
    xyz = people(2)
    others = np.concatenate([xyz, people(3, 9) + np.array([30.0, 30, 0])])
    clean = report(protocol, frame(xyz, xyz, score=[0.5] * 2 + [0.9] * (len(xyz) - 2)))
    noisy = report(protocol, frame(xyz, others, score=[0.5] * 2 + [0.9] * (len(others) - 2)))
    assert clean.pooled().values == pytest.approx(noisy.pooled().values, nan_ok=True)
    assert clean.root_ap == 1 and noisy.root_ap == pytest.approx(2 / 5)


@pytest.mark.parametrize("protocol", BY_NAME)
def test_no_people_and_no_predictions(protocol):
    xyz = people(2)
    none = xyz[:0]
    empty = report(protocol, frame(none, xyz), frame(none, none))
    assert all(math.isnan(empty.pooled()[column]) for column in (*COLUMNS, *JOINT_GROUPS)) and math.isnan(empty.root_ap)
    assert (empty.images, empty.predictions, empty.pooled().people) == (2, 2, 0)
    missed = report(protocol, frame(xyz, none))
    assert missed.pooled()["PCK"] == 0 and math.isnan(missed.pooled(True)["PCK"]) and missed.root_ap == 0
    assert math.isnan(MuPoTSReport(protocol).pooled()["PCK"]) and math.isnan(MuPoTSReport(protocol).root_ap)


# ---------------------------------------------------------------------------------- the edges


@pytest.mark.parametrize(("millimetres", "plain", "inclusive"), [(149.9, 1, 1), (150.0, 0, 1), (150.1, 0, 0)])
@pytest.mark.parametrize("protocol", [OFFICIAL, SMAP15, MPI15_PROTOCOL], ids=lambda protocol: protocol.name)
def test_the_edge_of_150_mm(protocol, millimetres, plain, inclusive):
    """One joint is that much away; the bone to it keeps its length, so that rescaling keeps the error."""
    xyz = people(1)
    wrist, elbow = MUPOTS17.index("left_wrist", "left_elbow")
    xyz[:, wrist] = xyz[:, elbow] + (0.25, 0, 0)
    angle = 2 * np.arcsin(millimetres / 2 / 250)
    predicted = xyz.copy()
    predicted[:, wrist] = xyz[:, elbow] + 0.25 * np.array([np.cos(angle), np.sin(angle), 0])
    occluded = np.zeros((1, 17), bool)
    for side in (False, True):
        occluded[:, wrist] = side
        scores = report(protocol, frame(xyz, predicted, xy=WIDE.project(xyz), occluded=occluded)).pooled()
        wrong = 0 if plain else 1
        assert scores["PCK"] == pytest.approx((14 - wrong) / 14) and scores["PCK_abs"] == scores["PCK"]
        assert scores["wrist"] == (1 - wrong / 2)
        edge = plain if protocol is MPI15_PROTOCOL else inclusive
        if side:
            assert scores["PCK_occ"] == edge and scores["PCK_vis"] == 1
        else:
            assert scores["PCK_vis"] == pytest.approx((13 + edge) / 14) and math.isnan(scores["PCK_occ"])


def test_the_top_of_the_head_and_the_pelvis_do_not_count_for_matching():
    xyz = people(1)
    away = WIDE.project(xyz) + 200
    for joint, matched in (
        ("head_top", False),
        ("pelvis", False),
        ("spine", False),
        ("head", False),
        ("neck", True),
        ("left_ankle", True),
    ):
        xy = away.copy()
        xy[:, MUPOTS17.index(joint)] -= 200
        assert image_errors(*frame(xyz, xyz, xy=xy), OFFICIAL).matched[0] == matched, joint


def test_average_precision_by_hand():
    score = np.array([0.9, 0.8, 0.7, 0.6])
    hits = np.array([True, False, True, False])
    assert average_precision(score, hits, 2) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(score[::-1], hits[::-1], 4) == pytest.approx((1 + 2 / 3) / 4)
    assert average_precision(-score, hits, 2) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert math.isnan(average_precision(score, hits, 0)) and average_precision(score[:0], hits[:0], 3) == 0


# ------------------------------------------------------------------- unknown joints


def test_a_joint_that_is_not_predicted_is_wrong_and_has_an_error_by_the_protocol():
    xyz = people(2)
    predicted = moved(xyz, "left_wrist", (np.nan, 0, 0))
    occluded = np.zeros((2, 17), bool)
    occluded[:, MUPOTS17.index("left_wrist", "right_wrist")] = True
    for protocol, error, occluded_error in ((SMAP15, 160 / 14, 80), (OFFICIAL, 160 / 14, 80), (MPI15_PROTOCOL, 0, 0)):
        scores = report(protocol, frame(xyz, predicted, xy=WIDE.project(xyz), occluded=occluded)).pooled(True)
        assert (
            scores["PCK"] == pytest.approx(13 / 14)
            and scores["wrist"] == 0.5
            and scores["PCK_occ"] == 0.5
            and scores["PCK_vis"] == 1
        )
        assert scores["predicted"] == pytest.approx(13 / 14)
        assert scores["MPJPE"] == pytest.approx(error, abs=1e-6) and scores["MPJPE_occ"] == pytest.approx(
            occluded_error, abs=1e-6
        )


def test_a_prediction_without_a_pelvis_is_relative_to_nothing():
    xyz = people(2)
    found = report(MPI15_PROTOCOL, frame(xyz, moved(xyz, "pelvis", (np.nan, 0, 0)), xy=WIDE.project(xyz)))
    assert (
        found.matched == 2
        and found.pooled(True)["PCK"] == 0
        and found.pooled(True)["PCK_abs"] == 1
        and found.root_ap == 0
    )


def test_a_joint_without_a_truth_does_not_count():
    xyz = people(2)
    unknown = moved(xyz, "left_wrist", (np.nan, 0, 0))
    scores = report(
        MPI15_PROTOCOL, frame(unknown, moved(xyz, "right_wrist", (0, 400, 0)), xy=WIDE.project(xyz))
    ).pooled()
    assert (
        scores["PCK"] == pytest.approx(12 / 13) and scores["wrist"] == 0 and scores["MPJPE"] == pytest.approx(400 / 13)
    )
    rootless = report(MPI15_PROTOCOL, frame(moved(xyz, "pelvis", np.full(3, np.nan)), xyz)).pooled()
    assert math.isnan(rootless["PCK"]) and rootless["PCK_abs"] == 1 and math.isnan(rootless["PCOD"])


def test_without_labels_there_is_no_occlusion():
    scores = report(MPI15_PROTOCOL, frame(people())).pooled()
    assert math.isnan(scores["PCK_occ"]) and math.isnan(scores["PCK_vis"]) and math.isnan(scores["MPJPE_occ"])


# ------------------------------------------------------------------- where the variants differ


def test_the_spine_matters_to_official_alone():
    xyz = people()
    bent = moved(xyz, "spine", (600, 0, 0))
    seen = WIDE.project(xyz)
    of = {protocol.name: report(protocol, frame(xyz, bent, xy=seen)).pooled() for protocol in (OFFICIAL, SMAP15)}
    assert of["smap15"]["MPJPE"] == pytest.approx(0, abs=1e-6) and of["official"]["MPJPE"] > 20


def test_thresholds_of_the_auc():
    assert (
        OFFICIAL.thresholds.tolist()
        == SMAP15.thresholds.tolist()
        == MPI15_PROTOCOL.thresholds.tolist()
        == list(range(0, 151, 5))
    )
    assert GNTCN.thresholds.tolist() == list(range(0, 200, 5))
    xyz = people(1)
    seen = WIDE.project(xyz)
    apart = xyz + 0.0
    apart[:, [i for i, joint in enumerate(MUPOTS17.joints) if joint != "pelvis"]] += np.array([0.0, 0.1025, 0])
    for protocol in (replace(OFFICIAL, bones=()), replace(GNTCN, bones=(), matching="pixels")):
        scores = report(protocol, frame(xyz, apart, xy=seen)).pooled()
        thresholds = protocol.thresholds
        assert scores["AUC"] == pytest.approx((thresholds > 102.5).mean())


def test_matched_by_pixels_or_by_shape():
    xyz = people(1)
    far = WIDE.project(xyz) + 500
    assert (
        image_errors(*frame(xyz, xyz, xy=far), GNTCN).matched.all()
        and not image_errors(*frame(xyz, xyz, xy=far), OFFICIAL).matched.any()
    )


def test_all_sequences_count_the_same_in_their_mean():
    xyz = people(1)
    frames = [frame(xyz, sequence="a") for _ in range(3)] + [
        frame(xyz, xyz[:0], sequence="b"),
        frame(xyz[:0], sequence="c"),
    ]
    found = report(MPI15_PROTOCOL, *frames)
    assert (
        found.pooled()["PCK"] == 0.75
        and found.over_sequences()["PCK"] == 0.5
        and found.over_sequences(True)["PCK"] == 1
    )
    assert (
        found.sequences == ["a", "b", "c"]
        and found.pooled(sequences=["a"])["PCK"] == 1
        and found.pooled(sequences=["b"])["PCK"] == 0
    )
    assert found.pooled(sequences=["a", "b"]).people == 4 and found.over_sequences().people == 4


# ------------------------------------------------------------------ a second computation


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["official", "smap15", "gntcn", "mpi15"])
def test_a_second_computation_agrees(name, seed):
    generator = np.random.default_rng(seed)
    protocol = PROTOCOLS[name]
    images = []
    frames = []
    for _ in range(6):
        xyz = people_standing(generator, int(generator.integers(1, 5)))
        kept = generator.permutation(len(xyz))[: generator.integers(1, len(xyz) + 2)]
        predicted = np.concatenate([xyz[kept], people_standing(generator, 1)])
        predicted = predicted * generator.uniform(0.95, 1.05, (len(predicted), 1, 1)) + generator.normal(
            0, 0.06, predicted.shape
        )
        xy = WIDE.project(predicted) + generator.normal(0, 15, (len(predicted), 17, 2))
        occluded = generator.random((len(xyz), 17)) < 0.4
        score = generator.random(len(predicted))
        images.append((1000 * xyz, WIDE.project(xyz), 1000 * predicted, xy, occluded, score))
        frames.append(frame(xyz, predicted, xy=xy, occluded=occluded, score=score))
    found = report(protocol, *frames)
    second = reference_scores(images, name)
    assert found.root_ap == pytest.approx(second["root"])
    for people, matched in (("all", False), ("matched", True)):
        scores = found.pooled(matched)
        assert {column: scores[column] for column in second[people]} == pytest.approx(second[people], rel=1e-6)
    all_people = second["all"]
    assert 0.2 < all_people["PCK"] <= second["matched"]["PCK"] < 1 and all_people["PCK_abs"] < all_people["PCK"]


# --------------------------------------------------------------------------------- properties


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 4), st.integers(0, 4), st.sampled_from(ALL))
def test_figures_keep_their_bounds(seed, truths, predictions, protocol):
    generator = np.random.default_rng(seed)
    xyz = people_standing(generator, truths)
    predicted = people_standing(generator, predictions)
    found = report(protocol, frame(xyz, predicted, occluded=generator.random((truths, 17)) < 0.5))
    all_people = found.pooled()
    matched = found.pooled(True)
    for scores in (all_people, matched):
        for column in ("PCK", "AUC", "PCK_abs", "PCK_occ", "PCK_vis", "PCOD", "predicted"):
            assert math.isnan(scores[column]) or 0 <= scores[column] <= 1
    assert found.matched <= (truths if protocol is GNTCN else min(truths, predictions))
    if found.matched:
        assert all_people["PCK"] == pytest.approx(matched["PCK"] * found.matched / truths)
        assert matched["PA-MPJPE"] >= 0 and not math.isnan(matched["MPJPE"])
    if truths:
        assert 0 <= found.root_ap <= 1
        assert protocol is GNTCN or all_people["AUC"] <= all_people["PCK"]
