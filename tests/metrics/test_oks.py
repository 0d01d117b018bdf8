import contextlib
import copy
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pycocotools._mask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import coco_files as files
from occlupose.datasets.formats.coco import load_ground_truth
from occlupose.errors import OccluposeError
from occlupose.metrics.oks import (
    OCCLUDED_JOINT_BINS,
    KeypointResult,
    OKSProtocol,
    evaluate,
    evaluate_strata,
    keep_people,
    make_strata,
    oks_nms,
    to_coco_results,
)
from occlupose.occlusion.blocks import LIMB_JOINTS

sys.modules["xtcocotools._mask"] = pycocotools._mask  # its own is built for numpy 1; poses do not use it
CrowdCOCO = pytest.importorskip("xtcocotools.coco").COCO
CrowdEval = pytest.importorskip("xtcocotools.cocoeval").COCOeval

KINDS = ("coco", "ochuman", "crowdpose")
COCO_DETECTED = OKSProtocol("coco", "detected")
COCO_TRUE_BOXES = OKSProtocol("coco", "ground truth")
CROWDPOSE_TRUE_BOXES = OKSProtocol("crowdpose", "ground truth")
OCHUMAN_DETECTED = OKSProtocol("ochuman", "detected")
OCHUMAN_TRUE_BOXES = OKSProtocol("ochuman", "ground truth")


def oracle(content, results, path=None):
    """The result of the dataset's own evaluator: pycocotools', or with a path xtcocotools'. -1 is NaN; CrowdPose's last
    three have 4 digits.
    """
    results = copy.deepcopy(results)
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(over="ignore"):
        if path is None:
            whole = COCO()
            whole.dataset = copy.deepcopy(content)
            whole.createIndex()
            evaluator = COCOeval(whole, whole.loadRes(results), "keypoints")
        else:
            whole = CrowdCOCO(str(path))
            evaluator = CrowdEval(
                whole, whole.loadRes(results), "keypoints_crowd", files.SIGMAS["crowdpose"], use_area=False
            )
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return np.where(np.array(evaluator.stats) == -1, np.nan, evaluator.stats)


def written(folder, kind, content):
    return files.write_json(folder / f"{'person_keypoints' if kind == 'coco' else kind}.json", content)


def ours(path, results):
    ground_truth = load_ground_truth(path)
    protocol = OKSProtocol(ground_truth.dataset, "ground truth")
    scores = evaluate(ground_truth, results, protocol)
    return np.array([scores[column] for column in protocol.columns])


def check(folder, kind, content, results):
    """Our figures and those of the dataset's own evaluator."""
    path = written(folder, kind, content)
    our_scores = ours(path, results)
    if kind == "crowdpose":
        our_scores[-3:] = our_scores[-3:].round(4)
        theirs = oracle(content, results, path)
    else:
        for person in content["annotations"]:
            # theirs knows no people without area
            person.setdefault("area", 0.53 * person["bbox"][2] * person["bbox"][3])
        theirs = oracle(content, results)
    np.testing.assert_allclose(our_scores, theirs, rtol=0, atol=1e-9)
    return our_scores


# ------------------------------------------------------------------------------- against the evaluators


@settings(max_examples=90)
@given(
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(KINDS),
    images=st.integers(1, 8),
    large=st.booleans(),
    most=st.sampled_from([1, 3, 12]),
    scores=st.sampled_from([0, 1, 4]),
    damage=st.booleans(),
)
def test_results_equal_those_of_the_datasets_own_evaluators(
    tmp_path_factory, seed, kind, images, large, most, scores, damage
):
    """With ties, more than 20 predictions of an image, crowds, people without joints, images without people; with
    damage also boxes of no or negative size, areas of 0 and none, and predictions without any joint."""
    generator = np.random.default_rng(seed)
    content = files.document(kind, generator, images=images, size=(400, 300) if large else files.SIZE)
    results = files.guesses(kind, content, generator, most=most, scores=scores)
    if damage:
        for person in content["annotations"]:
            if generator.random() < 0.15:
                person["bbox"] = [[5, 5, 0, 0], [50, 40, -20, 10], [5, 5, 0, 30]][generator.integers(3)]
            if generator.random() < 0.1 and kind != "crowdpose":
                person["area"] = 0
            if generator.random() < 0.1:
                person.pop("area", None)
        for result in results:
            if generator.random() < 0.1:
                result["keypoints"][2::3] = [0] * (len(result["keypoints"]) // 3)
    if content["annotations"] and results:
        check(tmp_path_factory.mktemp("case"), kind, content, results)


def one_image(kind, count, seed=0):
    """An image with that many people, and predictions of them that are exact."""
    generator = np.random.default_rng(seed)
    people = [
        files.person(kind, generator, size=(400, 300)) | {"id": number, "image_id": 1} for number in range(1, count + 1)
    ]
    image = {"id": 1, "file_name": "1.jpg", "width": 400, "height": 300, "crowdIndex": 0.5}
    content = files.document(kind, generator, images=0) | {"images": [image], "annotations": people}
    results = []
    for person in people:
        left, top, width, height = person["bbox"]
        joints = np.array(person["keypoints"], float).reshape(-1, 3)
        joints[joints[:, 2] == 0, :2] = left + width / 2, top + height / 2  # unknown; anywhere in the box
        joints[:, 2] = 1
        results.append({"image_id": 1, "category_id": 1, "keypoints": joints.ravel().tolist(), "score": 0.5})
    return content, results


@pytest.mark.parametrize("kind", KINDS)
def test_only_twenty_predictions_per_image_count(tmp_path, kind):
    content, results = one_image(kind, 30)
    assert check(tmp_path, kind, content, results)[5 if kind != "crowdpose" else 3] == pytest.approx(20 / 30)


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_in_images_without_people_are_false_positives(tmp_path, kind):
    content, results = one_image(kind, 4)
    assert check(tmp_path, kind, content, results)[0] == pytest.approx(1)
    content["images"].append(content["images"][0] | {"id": 2, "file_name": "2.jpg"})
    results.insert(0, results[0] | {"image_id": 2, "score": 0.9})
    assert check(tmp_path, kind, content, results)[0] < 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_without_predictions_recall_is_zero(tmp_path, kind):
    content, _ = one_image(kind, 4)
    our_scores = ours(written(tmp_path, kind, content), [])
    assert (our_scores[[0, 1, 2]] == 0).all() and np.nanmax(our_scores) == 0
    if kind == "crowdpose":  # pycocotools cannot do it
        np.testing.assert_array_equal(our_scores, oracle(content, [], tmp_path / "crowdpose.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_without_people_there_are_no_metrics(tmp_path, kind):
    content, results = one_image(kind, 4)
    for person in content["annotations"]:
        person |= {"num_keypoints": 0, "keypoints": [0] * len(person["keypoints"])}
    assert np.isnan(check(tmp_path, kind, content, results)).all()


def test_crowd_regions_absorb_any_number_of_predictions(tmp_path):
    content, results = one_image("coco", 3)
    person = content["annotations"][0] | {
        "bbox": [0, 0, 400, 300],
        "area": 120000,
        "num_keypoints": 0,
        "keypoints": [0] * 51,
    }
    wrong = [results[0] | {"keypoints": [200.0, 150.0, 1.0] * 17, "score": 0.9}] * 5
    assert check(tmp_path, "coco", content, results + wrong)[0] == pytest.approx(3 / 8)
    content["annotations"].append(person | {"id": 9, "iscrowd": 0})
    assert check(tmp_path, "coco", content, results + wrong)[0] == pytest.approx(3 / 7)  # it takes up one
    content["annotations"][-1]["iscrowd"] = 1
    assert check(tmp_path, "coco", content, results + wrong)[0] == pytest.approx(1)


def test_a_person_with_id_0_is_found_too(tmp_path):
    """COCO's evaluator takes a match with number 0 for none. We number people ourselves."""
    content, results = one_image("coco", 3)
    content["annotations"][0]["id"] = 0
    assert oracle(content, results)[0] < 0.9
    assert ours(written(tmp_path, "coco", content), results)[0] == pytest.approx(1)


def test_other_categories_are_ignored(tmp_path):
    content, results = one_image("coco", 3)
    content["categories"].append({"id": 2, "name": "dog"})
    content["annotations"].append(
        {"id": 99, "image_id": 1, "category_id": 2, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}
    )
    results.append(results[0] | {"category_id": 2, "score": 0.99})
    assert ours(written(tmp_path, "coco", content), results)[0] == pytest.approx(1)


def test_crowd_levels_are_images_by_crowd_index(tmp_path):
    content, results = one_image("crowdpose", 2)
    levels = {1: 0.0, 2: 0.2, 3: 0.8, 4: 1.0}
    content["images"] = [content["images"][0] | {"id": image, "crowdIndex": level} for image, level in levels.items()]
    people = content["annotations"]
    content["annotations"] = [
        person | {"id": 10 * image + person["id"], "image_id": image} for image in levels for person in people
    ]
    for image, figures in ((1, (1, 0, 0)), (2, (0, 1, 0)), (3, (0, 0, 0.5)), (4, (0, 0, 0.5))):
        our_scores = check(tmp_path, "crowdpose", content, [result | {"image_id": image} for result in results])
        np.testing.assert_allclose(our_scores[-3:], figures, atol=0.01)
    content["images"][0].pop("crowdIndex")  # theirs stops here
    our_scores = ours(written(tmp_path, "crowdpose", content), results)
    assert np.isnan(our_scores[-3]) and our_scores[0] > 0.2


def test_nothing_is_printed(tmp_path, capfd):
    content, results = one_image("crowdpose", 3)
    ours(written(tmp_path, "crowdpose", content), results)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_real_annotations(tmp_path, kind, seed):
    if "OCCLUPOSE_FORMATS" not in os.environ:
        pytest.skip("OCCLUPOSE_FORMATS names no folder with real files")
    content = json.loads((Path(os.environ["OCCLUPOSE_FORMATS"]) / kind / f"test_{kind}.json").read_text())
    results = files.guesses(kind, content, np.random.default_rng(seed), most=3)
    assert check(tmp_path, kind, content, results)[0] > 0.1


# ------------------------------------------------------------------------------------- strata


def moved(results, which, by=60.0):
    """Predictions with some of their joints, (person, joint), elsewhere."""
    result = copy.deepcopy(results)
    for person, chosen in zip(result, which, strict=True):
        for joint in np.flatnonzero(chosen):
            person["keypoints"][3 * joint] += by
    return result


@pytest.mark.parametrize("kind", KINDS)
def test_strata_are_the_evaluation_of_less_truth(tmp_path, kind):
    """Against the evaluators, on files that were changed by hand."""
    generator = np.random.default_rng(8)
    content = files.document(kind, generator, images=6, most=6)
    results = files.guesses(kind, content, generator, most=2)
    ground_truth = load_ground_truth(written(tmp_path, kind, content))
    by = OKSProtocol(ground_truth.dataset, "detected")
    our_scores = evaluate_strata(ground_truth, results, by)
    limb = np.isin(ground_truth.skeleton.joints, LIMB_JOINTS)
    hidden = [person["keypoints"][2::3].count(1) for person in content["annotations"]]
    cases = {
        name: lambda n, v, low=low, high=high: (v > 0) & (low <= hidden[n] <= high)
        for name, (low, high) in OCCLUDED_JOINT_BINS.items()
    }
    cases |= {"visible joints": lambda n, v: v == 2, "hidden joints": lambda n, v: v == 1}
    cases |= {"visible limb joints": lambda n, v: (v == 2) & limb, "occluded limb joints": lambda n, v: (v == 1) & limb}
    assert set(our_scores) == {"all", *cases}
    for name, case in cases.items():
        changed = copy.deepcopy(content)
        for number, person in enumerate(changed["annotations"]):
            kept = case(number, np.array(person["keypoints"][2::3]))
            person["keypoints"][2::3] = np.where(kept, person["keypoints"][2::3], 0).tolist()
            person["num_keypoints"] = int(kept.sum()) if person["num_keypoints"] else 0
        path = tmp_path / "changed.json"
        path.write_text(json.dumps(changed))
        theirs = oracle(changed, results, path if kind == "crowdpose" else None)
        figures = [our_scores[name][column] for column in by.columns]
        np.testing.assert_allclose(np.round(figures, 4), theirs.round(4), rtol=0, atol=1e-9, err_msg=name)
    assert len({scores["AP"] for scores in our_scores.values()}) > 6


def test_joints_are_scored_by_their_state(tmp_path):
    content, exact = one_image("coco", 8)
    ground_truth = load_ground_truth(written(tmp_path, "coco", content))
    for state, right, wrong in ((1, "visible joints", "hidden joints"), (2, "hidden joints", "visible joints")):
        strata = evaluate_strata(ground_truth, moved(exact, ground_truth.state == state), COCO_DETECTED)
        assert strata[right]["AP"] == pytest.approx(1) and strata[wrong]["AP"] < 0.1 and strata["all"]["AP"] < 0.7


def test_people_of_other_strata_are_neither_right_nor_wrong(tmp_path):
    """However badly they are predicted, within their enlarged box; and being found does not help."""
    content, exact = one_image("coco", 10, seed=4)
    ground_truth = load_ground_truth(written(tmp_path, "coco", content))
    hidden = (ground_truth.state == 1).sum(-1)
    for name, (low, high) in OCCLUDED_JOINT_BINS.items():
        inside = (low <= hidden) & (hidden <= high)
        if not inside.any():
            continue
        noisy = [
            result | {"score": 0.9} for result in moved(exact, (ground_truth.state >= 0) & ~inside[:, None], by=20)
        ]
        part = make_strata(ground_truth)[name]
        scores = evaluate(part, noisy, COCO_DETECTED)
        assert scores.people == inside.sum() and scores["AP"] == pytest.approx(1)
        others = [result for result, own in zip(noisy, inside, strict=True) if not own]
        assert evaluate(part, others, COCO_DETECTED)["AP"] < 0.2
        assert evaluate(ground_truth, noisy, COCO_DETECTED)["AP"] < 0.95
    assert len(np.unique(hidden)) > 3


def test_each_person_is_in_one_stratum_of_people(tmp_path):
    ground_truth = load_ground_truth(
        written(tmp_path, "coco", files.document("coco", np.random.default_rng(5), images=12))
    )
    scores = {name: each.people for name, each in evaluate_strata(ground_truth, [], COCO_DETECTED).items()}
    assert (
        sum(scores[name] for name in OCCLUDED_JOINT_BINS)
        == scores["all"]
        == ((ground_truth.num_keypoints > 0) & ~ground_truth.is_crowd).sum()
        > 10
    )
    assert (ground_truth.state == 1).any() and all(
        (part.id == ground_truth.id).all() for part in make_strata(ground_truth).values()
    )


def test_unknown_boxes_and_areas_do_not_depend_on_the_stratum(tmp_path):
    content, exact = one_image("coco", 6)
    for person in content["annotations"]:
        person["bbox"] = None
        del person["area"]
    ground_truth = load_ground_truth(written(tmp_path, "coco", content))
    chosen = np.arange(6) < 3
    assert evaluate(ground_truth, exact, COCO_DETECTED)["AP"] == pytest.approx(1)
    results = [result | {"score": 0.4 if own else 0.9} for result, own in zip(exact, chosen, strict=True)]
    scores = evaluate(
        keep_people(ground_truth, chosen),
        moved(results, ~chosen[:, None] & (ground_truth.state > 0), by=2),
        COCO_DETECTED,
    )
    assert scores["AP"] == pytest.approx(1) and scores.people == 3


def test_people_who_do_not_count_do_not_count_in_strata(tmp_path):
    """CrowdPose numbers no head and no neck: people who show nothing else are ignored, though they have joints."""
    content, exact = one_image("crowdpose", 4)
    content["annotations"][0] |= {"keypoints": [0] * 36 + [9, 9, 2, 9, 19, 1], "num_keypoints": 0}
    ground_truth = load_ground_truth(written(tmp_path, "crowdpose", content))
    scores = {name: each.people for name, each in evaluate_strata(ground_truth, exact, CROWDPOSE_TRUE_BOXES).items()}
    assert scores["all"] == scores["visible joints"] == sum(scores[name] for name in OCCLUDED_JOINT_BINS) == 3


# -------------------------------------------------------------------------------- people and tables


def result(seed, image=1, joints=17, **changes):
    generator = np.random.default_rng(seed)
    return KeypointResult(
        **{"image": image, "xy": generator.uniform(0, 100, (joints, 2)), "score": generator.random(joints)} | changes
    )


def test_a_persons_score_is_the_boxs_times_the_mean_of_confident_joints():
    assert result(0, score=np.array([0.2, 0.4, 0.8, 0.0] + [0.1] * 13), box_score=0.5).person_score == pytest.approx(
        0.3
    )
    assert result(0, score=np.full(17, 0.2)).person_score == 0


def naive(people, sigmas, most):
    """Suppression as a loop over pairs, as one writes it down first."""
    left = sorted(range(len(people)), key=lambda number: -people[number].person_score)
    kept = []
    for number in left:
        similar = []
        for other in kept:
            area = (people[number].area + people[other].area) / 2
            distance = np.linalg.norm(people[number].xy - people[other].xy, axis=-1)
            similar.append(np.mean(np.exp(-(distance**2) / (2 * area * (2 * sigmas) ** 2))))
        if all(value <= most for value in similar):
            kept.append(number)
    return kept


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), threshold=st.floats(0.3, 0.99))
def test_no_person_is_kept_twice(seed, threshold):
    generator = np.random.default_rng(seed)
    people = []
    for _ in range(generator.integers(1, 6)):
        first = result(int(generator.integers(1000)), area=float(generator.uniform(1000, 9000)))
        for _ in range(generator.integers(1, 5)):
            xy = first.xy + generator.normal(0, generator.choice([0, 1, 4, 9]), (17, 2))
            people.append(
                KeypointResult(
                    1, xy, generator.random(17), float(generator.random()), first.area * generator.uniform(0.7, 1.4)
                )
            )
    sigmas = files.SIGMAS["coco"]
    columns = (np.array([getattr(person, name) for person in people]) for name in ("xy", "person_score", "area"))
    assert oks_nms(*columns, sigmas, threshold=threshold).tolist() == naive(people, sigmas, threshold)


def test_coco_results_are_made_image_by_image(tmp_path):
    ground_truth = load_ground_truth(written(tmp_path, "coco", one_image("coco", 2)[0]))
    people = [result(1, box_score=0.5), result(1, box_score=0.9), result(2), result(1, image=7, box_score=0.4)]
    entries = to_coco_results(people, ground_truth)
    assert [(entry["image_id"], entry["score"]) for entry in entries if entry["image_id"] == 7] == [
        (7, people[3].person_score)
    ]
    assert [entry["score"] for entry in entries[:2]] == sorted(
        (people[1].person_score, people[2].person_score), reverse=True
    )
    assert len(entries) == 3 and entries[2]["keypoints"][:3] == [*people[3].xy[0], people[3].score[0]]
    json.dumps(entries)
    assert len(to_coco_results(people, ground_truth, threshold=1.0)) == 4


def test_raw_predictions_are_finished_before_they_are_scored(tmp_path):
    content, exact = one_image("coco", 5)
    ground_truth = load_ground_truth(written(tmp_path, "coco", content))
    people = [KeypointResult(1, xy, np.full(17, 0.5)) for xy in ground_truth.xy]
    scores = evaluate(ground_truth, people + people, COCO_DETECTED)
    assert scores["AP"] == pytest.approx(1) and scores.predictions == 5
    assert evaluate(ground_truth, exact + exact, COCO_DETECTED).predictions == 10
    assert evaluate_strata(ground_truth, people + people, COCO_DETECTED)["all"] == scores


def test_protocols_are_named_by_the_source_of_their_boxes():
    protocols = (OCHUMAN_TRUE_BOXES, OCHUMAN_DETECTED)
    assert [protocol.name for protocol in protocols] == ["ochuman, ground truth boxes", "ochuman, detected boxes"]
    assert CROWDPOSE_TRUE_BOXES.columns == ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP-E", "AP-M", "AP-H")


@pytest.mark.parametrize(
    ("results", "by", "message"),
    [
        ([], OCHUMAN_TRUE_BOXES, r"is coco, which is not scored by the protocol of ochuman"),
        ([{"image_id": 9}], COCO_DETECTED, r"prediction 0 has image 9, which"),
        ([{"score": float("nan")}], COCO_DETECTED, r"prediction 0 is not finite"),
        ([{"keypoints": [float("inf")] * 51}], COCO_DETECTED, r"prediction 0 is not finite"),
        (
            [{"keypoints": [1.0] * 48}],
            COCO_DETECTED,
            r"prediction 0 has keypoints of shape \(48,\); give x, y and score of 17 joints",
        ),
        ([{"keypoints": "joints"}], COCO_DETECTED, r"prediction 0 cannot be read \("),
        ([{"score": None}], COCO_DETECTED, r"prediction 0 cannot be read \("),
        ([None], COCO_DETECTED, r"prediction 0 has no 'image_id'; it needs image_id, category_id, keypoints and score"),
        (
            [result(0, joints=14)],
            COCO_DETECTED,
            r"a prediction has joints \(14, 2\) and scores \(14,\); give 17 joints and a score for each",
        ),
        ([result(0, xy=np.full((17, 2), np.nan))], COCO_DETECTED, r"a prediction of image 1 is not finite"),
        ([result(0, image=5)], COCO_TRUE_BOXES, r"prediction 0 has image 5, which"),
        ([result(0), {}], COCO_DETECTED, r"partly in COCO's results format; give one kind"),
    ],
)
def test_predictions_that_cannot_be_scored_are_refused(tmp_path, results, by, message):
    content, exact = one_image("coco", 2)
    changed = [exact[0] | each if isinstance(each, dict) else {} if each is None else each for each in results]
    path = written(tmp_path, "coco", content)
    with pytest.raises(OccluposeError, match=message) as caught:
        evaluate(load_ground_truth(path), changed, by)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_skeletons_that_cannot_be_scored_are_refused(tmp_path):
    content, exact = one_image("coco", 2)
    content["categories"][0]["keypoints"] = [f"{name}" for name in ("pelvis", "spine", "thorax")]
    for person in content["annotations"]:
        person["keypoints"] = person["keypoints"][:9]
    ground_truth = load_ground_truth(written(tmp_path, "coco", content))
    with pytest.raises(OccluposeError, match=r"has no sigmas to score joints by; coco17 and crowdpose14 have them"):
        evaluate(ground_truth, [exact[0] | {"keypoints": [1.0] * 9}], OKSProtocol("other", "detected"))
