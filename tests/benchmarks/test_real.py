import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import coco_files as files
from occlupose.cameras import Camera
from occlupose.datasets.formats.coco import load_ground_truth
from occlupose.metrics.oks import KeypointResult, OKSProtocol, evaluate

FPS = 60.0
CAMERA = Camera.from_fov(1080, 1920)
DETECTED = OKSProtocol("coco", "detected")


@pytest.fixture
def real(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return import_module("real")


@pytest.fixture
def view(real):
    """A person 4 m away, whose 12 joints accelerate by 2 m/s² relative to the hips."""
    joints = np.random.default_rng(0).normal(0, 0.4, (12, 3))
    time = np.arange(20) / FPS
    moving = np.ones(12)
    moving[real.HIPS] = 0
    xyz = joints + [0, 0, 4] + time[:, None, None] ** 2 * moving[:, None] * [1, 0, 0]
    hidden = np.zeros((20, 12), bool)
    hidden[:, 0] = True
    return real.View(xyz, CAMERA.project(xyz), hidden, ~hidden, CAMERA, FPS)


@pytest.fixture
def person(real, view):
    """The same person, predicted as it is."""
    return real.Person(view.xy.copy(), view.xyz.copy(), np.ones((20, 12), bool), view.hidden.copy())


def test_the_truth_has_no_error(real, view, person):
    scores = real.score_video(person, view)
    assert [scores[name] for name in ("error_px", "p_mpjpe_mm", "n_mpjpe_mm")] == pytest.approx([0, 0, 0], abs=1e-6)
    assert scores["pck_20"] == scores["pck_10"] == 1
    assert scores["acceleration"] == pytest.approx(2 * 10 / 12)
    assert [scores[name] for name in real.COUNTS] == [20, 20, 20, 0, 20, 20, 220, 0]


def test_size_and_place_do_not_count_but_rotation_does(real, view, person):
    scores = real.score_video(replace(person, xyz=1.3 * view.xyz + 0.2), view)
    assert scores["n_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    scores = real.score_video(replace(person, xyz=view.xyz * [-1, 1, -1]), view)
    assert scores["p_mpjpe_mm"] == pytest.approx(0, abs=1e-6) and scores["n_mpjpe_mm"] > 100


def test_frames_with_left_and_right_exchanged(real, view, person):
    person.xy[3:8] = person.xy[3:8][:, list(real.BODY.mirror)]
    assert real.score_video(person, view)["swapped"] == 5


def test_errors_are_measured_by_the_torso(real, view, person):
    torso = view.torso[:, None]
    person.xy[..., 0] += 0.15 * torso
    scores = real.score_video(person, view)
    assert (scores["pck_20"], scores["pck_10"]) == (1, 0)
    assert scores["error_px"] == pytest.approx(0.15 * np.median(torso))


def test_a_person_who_was_not_found(real, view, person):
    person.xy[:11] = np.nan
    person.xyz[:5] = np.nan
    person.known[:5] = False
    person.hidden[:5] = False
    scores = real.score_video(person, view)
    assert scores["error_px"] == np.inf and scores["pck_20"] == pytest.approx(9 / 20)
    assert scores["n_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert [scores[name] for name in real.COUNTS] == [20, 9, 15, 0, 15, 15, 165, 0]


def test_counts_of_views_are_added_and_the_rest_is_their_mean(real, view, person):
    first = real.score_video(person, view)
    second = first | {"n_mpjpe_mm": first["n_mpjpe_mm"] + 10, "hidden": 5}
    scores = real.both([first, second])
    assert scores["n_mpjpe_mm"] == pytest.approx(5, abs=1e-6) and scores["hidden"] == 25


def test_ground_truth_is_read_by_the_names_of_joints(real, view, tmp_path):
    order = np.random.default_rng(1).permutation(12)
    names = {"xyz": view.xyz, "xy": view.xy, "hidden_by_own_body": view.hidden, "well_seen": view.well_seen}
    camera = {name: getattr(CAMERA, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}
    arrays = {f"cam01/{name}": values[:, order] for name, values in names.items()}
    arrays["cam01/camera"] = json.dumps(camera)
    joints = np.array(real.BODY.joints)[order]
    np.savez(tmp_path / "single_person.npz", joint_names=joints, fps=FPS, **arrays)
    loaded = real.load_view(tmp_path, "cam01")
    assert all(np.array_equal(getattr(loaded, name), value) for name, value in vars(view).items() if name != "camera")
    assert loaded.camera == CAMERA


@pytest.fixture
def crowd(tmp_path):
    """Annotated people, and a prediction of each, half of them exact."""
    content = files.document("coco", np.random.default_rng(3), images=6)
    truth = load_ground_truth(files.write_json(tmp_path / "person_keypoints.json", content))
    entries = [
        {"image_id": int(image), "category_id": 1, "score": 0.5 + number / 100}
        | {"keypoints": np.c_[xy + 50 * (number % 2), np.ones(17)].ravel().tolist()}
        for number, (image, xy) in enumerate(zip(truth.image_id, truth.xy, strict=True))
        if truth.num_keypoints[number]
    ]
    return truth, entries


def test_all_images_drawn_once_are_the_whole(real, crowd):
    truth, entries = crowd
    drawn = evaluate(*real.draw(truth, entries, np.array(list(truth.images))), DETECTED)
    whole = evaluate(truth, entries, DETECTED)
    assert 0.1 < whole["AP"] < 0.9
    assert drawn.values == whole.values and drawn.people == whole.people


def test_images_may_be_drawn_twice_or_not_at_all(real, crowd):
    truth, entries = crowd
    chosen = max(truth.images, key=lambda image: int((truth.image_id == image).sum()))
    drawn, predictions = real.draw(truth, entries, np.array([chosen, chosen]))
    assert len(drawn) == 2 * (truth.image_id == chosen).sum()
    assert len(predictions) == 2 * sum(entry["image_id"] == chosen for entry in entries)
    assert set(drawn.image_id.tolist()) == set(drawn.images) == {1, 2}


def test_intervals_hold_the_score_and_are_repeatable(real, crowd):
    truth, _ = crowd
    results = [
        KeypointResult(int(image), xy + 50 * (number % 2), np.full(17, 0.9))
        for number, (image, xy) in enumerate(zip(truth.image_id, truth.xy, strict=True))
        if truth.num_keypoints[number]
    ]
    scores = real.score_photographs(results, truth, DETECTED, 50)
    assert scores == real.score_photographs(results, truth, DETECTED, 50)
    for joints in ("all joints", "hidden joints"):
        assert scores[f"{joints}, ap_low"] < scores[f"{joints}, ap"] < scores[f"{joints}, ap_high"]


# -------------------------------------------------------------------------------------------- joints in true boxes


def boxed(real, similarity, confidence, visible=(True, True, False), image=(0, 0, 1)):
    close = np.zeros(3, bool)
    close[0] = True
    return real.BoxedJoints(np.array(similarity), np.array(confidence), np.array(visible), close, np.array(image))


def test_similarity_of_visible_and_hidden_joints(real):
    found = boxed(real, [1.0, 0.5, 0.2], [0.9, 0.1, 0.4]).metrics()
    assert found["visible joints, oks"] == pytest.approx(0.75) and found["hidden joints, oks"] == pytest.approx(0.2)
    assert found["close-ups, oks"] == 1 and found["visible or hidden, auc"] == 0.5


def test_photographs_that_repeat_count_as_often(real):
    joints = boxed(real, [1.0, 0.4, 0.2], [0.9, 0.1, 0.4], visible=(True, False, True), image=(0, 0, 1))
    found = joints.metrics(np.array([0, 0, 1]))
    assert found["visible joints, oks"] == pytest.approx((2 * 1.0 + 0.2) / 3)
    assert found["visible or hidden, auc"] == pytest.approx((2 * 2 + 2 * 1) / 6)


def test_the_gain_over_itself_is_nothing(real):
    joints = boxed(real, [1.0, 0.5, 0.2], [0.9, 0.1, 0.4], visible=(True, False, True))
    found = real.score_boxed(joints, joints, draws=20)
    gains = [value for name, value in found.items() if "gain" in name]
    assert len(gains) == 12 and np.nan_to_num(gains).tolist() == [0] * 12


def test_the_interval_of_a_gain_is_around_it(real):
    random = np.random.default_rng(0)
    image = np.arange(100)
    visible = random.random(100) < 0.5
    worse = real.BoxedJoints(random.random(100), random.random(100), visible, visible, image)
    better = replace(worse, similarity=worse.similarity + random.uniform(0, 0.2, 100))
    found = real.score_boxed(better, worse, draws=200)
    name = "joints in true boxes, visible joints, oks gain"
    assert 0.07 < found[f"{name}_low"] < found[name] < found[f"{name}_high"] < 0.13
