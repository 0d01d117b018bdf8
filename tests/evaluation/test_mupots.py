import csv
import io

import numpy as np
import pytest
from rich.console import Console
from scipy.spatial.transform import Rotation

from image_dataset_files import write_h36m
from mupots_files import SQUARE, mpi15_of, nobody, people_standing, person, sequence_3dpw, write_mupots, write_sequence
from mupots_reference import reference_scores, written
from occlupose.cameras import Camera
from occlupose.datasets.formats import synth_scenes
from occlupose.datasets.image_samples import make_mpi15_sample
from occlupose.datasets.images import ImageRef
from occlupose.detections import Detections
from occlupose.errors import OccluposeError
from occlupose.evaluation.evaluator import Evaluation
from occlupose.evaluation.mupots import MuPoTSEvaluator, load_samples, prepare
from occlupose.evaluation.predictions import ImagePredictions
from occlupose.media import write_image
from occlupose.metrics.mupots import GNTCN, JOINT_GROUPS, MPI15_PROTOCOL, OFFICIAL, PROTOCOLS, SCORED_JOINTS, SMAP15
from occlupose.metrics.people3d import LENGTHS, SHARES
from occlupose.skeletons import COCO17, HUMANEVA15, MPI15, MUPOTS17

GENERATOR = np.random.default_rng(0)


def refused(match, call, *arguments):
    with pytest.raises(OccluposeError, match=match) as refusal:
        call(*arguments)
    assert "\n" not in str(refusal.value) and "; " in str(refusal.value)


def exact(truths, skeleton=MUPOTS17):
    """Everybody predicted where they are."""
    people = {}
    for truth in truths:
        joints = truth.skeleton.index(*skeleton.joints)
        xy = truth.xy[:, joints]
        xyz = truth.xyz[:, joints]
        people[truth.name] = Detections(skeleton=skeleton, xy=xy, xyz=xyz, score=np.ones(xy.shape[:2]))
    return ImagePredictions(skeleton, people)


def load_mupots(folder, variant="official", sequences=()):
    """Its images, and the protocol."""
    protocol = PROTOCOLS[variant]
    return load_samples("mupots", folder, sequences, universal=protocol.universal), protocol


def evaluate(dataset, samples, predictions, protocol):
    """The report and the table."""
    evaluator = MuPoTSEvaluator(dataset, protocol, predictions.skeleton, "p.npz")
    table = Evaluation(samples, predictions, evaluator).run()
    return evaluator.report, table


def score(samples, predictions, protocol):
    return evaluate("synth", samples, predictions, protocol)[0]


def notes(dataset, samples, predictions, protocol):
    return evaluate(dataset, samples, predictions, protocol)[1].notes


# ------------------------------------------------------------------------------- the datasets


@pytest.mark.parametrize(
    ("variant", "protocol", "factor"), [("official", OFFICIAL, 1.1), ("smap15", SMAP15, 1.1), ("gntcn", GNTCN, 1.0)]
)
def test_mupots_by_each_variant_with_its_truth(tmp_path, variant, protocol, factor):
    known = write_mupots(tmp_path)
    truths, by = load_mupots(tmp_path, variant)
    assert by is protocol and len(truths) == 6
    np.testing.assert_allclose(truths[4].xyz, factor * known["TS7"][1], atol=1e-9)
    assert truths[4].name == "TS7/img_000001.jpg" and truths[4].sequence == "TS7" and truths[4].skeleton == MUPOTS17
    scores = score(truths, exact(truths), by).pooled()
    assert scores["PCK"] == scores["PCK_abs"] == scores["PCK_occ"] == scores["PCK_vis"] == 1 and scores.people == 18
    assert len(load_mupots(tmp_path, variant, ["TS7"])[0]) == 3


def test_3dpw_has_no_states_and_one_protocol(tmp_path):
    for name in ("downtown_stairs_00", "office_phoneCall_00"):
        np.savez(tmp_path / f"{name}.npz", **sequence_3dpw(GENERATOR))
    truths = load_samples("3dpw", tmp_path)
    assert (
        len(truths) == 6
        and not truths[0].occlusion_annotated
        and truths[0].name == "downtown_stairs_00/image_00000.jpg"
    )
    assert len(load_samples("3dpw", tmp_path, ["office_phoneCall"])) == 3
    report, table = evaluate("3dpw", truths, exact(truths, MPI15), MPI15_PROTOCOL)
    assert report.pooled()["PCK"] == 1 and np.isnan(report.pooled()["PCK_occ"]) and report.pooled()["PA-MPJPE"] < 1e-6
    lines = [labels[4:] for labels, _ in table.rows]
    assert [line[:2] for line in lines[:5]] == [
        ("all", of)
        for of in (
            "mean of sequences",
            "all joints",
            "all joints of 3DPW-OCC",
            "downtown_stairs_00",
            "office_phoneCall_00",
        )
    ]
    assert ("all", "all joints of 3DPW-OCC", 6) in lines
    assert any("3DPW" not in line and "SMPL's head joint" in line for line in table.notes)


def make_sample(tmp_path, camera=True, name="000000.jpg", has_image=True):
    """One image of our own: two people, with a joint hidden and one absent."""
    view = Camera(640, 480, 600.0, 610.0, 320.0, 240.0)
    xyz = mpi15_of(people_standing(GENERATOR, 2)).astype(np.float32)
    state = np.full((2, 15), 2, np.uint8)
    state[0, 3] = 1
    state[1, 5] = 0
    absent = state == 0
    write_image(tmp_path / name, np.zeros((480, 640, 3), np.uint8))
    xy = np.where(absent[..., None], np.nan, view.project(xyz)).astype(np.float32)
    where = ImageRef(tmp_path / name) if has_image else None
    return xyz, make_mpi15_sample(where, (640, 480), xy, xyz[..., 2], state, camera=view if camera else None)


def test_our_own_scenes(tmp_path, monkeypatch):
    xyz, one = make_sample(tmp_path)
    monkeypatch.setattr(synth_scenes, "load", lambda folder: [one])
    (truth,) = load_samples("synth", tmp_path)
    assert truth.name == "000000.jpg" and truth.sequence == "" and truth.read().shape == (480, 640, 3)
    assert np.isnan(truth.xyz[1, 5]).all() and np.isnan(truth.xyz).sum() == 3
    np.testing.assert_allclose(truth.xyz[0], xyz[0], atol=1e-4)
    assert np.argwhere(truth.state == 1).tolist() == [[0, 3]]
    report, table = evaluate("synth", [truth], exact([truth], MPI15), MPI15_PROTOCOL)
    assert report.pooled()["PCK_occ"] == 1 and report.pooled()["PCK"] == 1 and report.pooled()["PCK_abs"] == 1
    assert [labels[5] for labels, _ in table.rows] == ["all joints", "all joints"] and len(table.views) == 3


def test_of_scenes_in_parts_those_are_scored_that_are_not_learnt_from(tmp_path, monkeypatch):
    _, one = make_sample(tmp_path)
    asked = []
    monkeypatch.setattr(synth_scenes, "load", lambda folder: asked.append(folder.name) or [one])
    monkeypatch.setattr(synth_scenes, "has_scenes", lambda folder: folder.is_dir())
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        load_samples("synth", tmp_path)
    assert asked == [tmp_path.name, "val", "test"]


def test_human36m_s_own_test_subjects_every_64th_frame(tmp_path):
    seen = write_h36m(tmp_path, np.random.default_rng(0), subject=9, frames=(0, 3, 64))
    write_h36m(tmp_path, np.random.default_rng(1), subject=1)
    truths = load_samples("h36m-images", tmp_path)
    assert [truth.name for truth in truths] == ["s_09_0.jpg", "s_09_2.jpg"]
    moved = exact(truths, MPI15)
    for people in moved.by_sample.values():
        people.xyz[:, MPI15.index("left_wrist")] += [0, 0, 0.14]
    report = score(truths, moved, MPI15_PROTOCOL)
    assert len(seen) == 3 and report.pooled(matched=True)["MPJPE"] == pytest.approx(140 / len(SCORED_JOINTS), abs=0.1)


def test_scenes_that_cannot_be_scored(tmp_path, monkeypatch):
    _, one = make_sample(tmp_path)
    for samples, words in (
        ([one, one], "two images are called 000000.jpg"),
        ([make_sample(tmp_path, camera=False)[1]], "its camera is unknown"),
    ):
        monkeypatch.setattr(synth_scenes, "load", lambda folder, samples=samples: samples)
        refused(words, load_samples, "synth", tmp_path)
    monkeypatch.setattr(synth_scenes, "load", lambda folder: [make_sample(tmp_path, has_image=False)[1]])
    (truth,) = load_samples("synth", tmp_path)
    assert truth.name == "scene 0"
    refused("scene 0: has labels only", truth.read)


# ----------------------------------------------------------------------------------- scoring


def test_a_network_gets_each_image_and_its_camera(tmp_path, monkeypatch):
    _, one = make_sample(tmp_path)
    seen = []

    def network(image, camera):
        seen.append((image.shape, camera))
        return Detections(skeleton=MPI15, xy=one.xy, xyz=one.xyz, score=np.ones((2, 15)))

    monkeypatch.setattr(synth_scenes, "load", lambda folder: [one])
    monkeypatch.setattr("occlupose.evaluation.mupots.load", lambda weights, **options: network)
    evaluation = prepare("synth", tmp_path)
    done = []
    evaluation.run(done.append)
    assert seen == [((480, 640, 3), one.camera)] and done == [1] and evaluation.record.skeleton == MPI15
    assert list(evaluation.record.by_sample) == ["000000.jpg"]
    assert evaluation.evaluator.report.pooled()["PCK"] == 1


def test_predictions_in_other_skeletons(tmp_path):
    write_mupots(tmp_path)
    for variant in ("official", "smap15"):
        truths, by = load_mupots(tmp_path, variant)
        whole = score(truths, exact(truths, MUPOTS17), by).pooled()
        fifteen = score(truths, exact(truths, MPI15), by).pooled()
        assert whole["PCK"] == fifteen["PCK"] == 1
        # official has the spine halfway, which turns the trunk
        assert (fifteen["MPJPE"] < 1e-6) == (variant == "smap15")
    truths, by = load_mupots(tmp_path)
    predictions = exact(truths, MPI15)
    assert any("no spine" in line for line in notes("mupots", truths, predictions, by))
    assert not any("no spine" in line for line in notes("mupots", truths, exact(truths), by))


def test_joints_that_a_skeleton_lacks_are_nowhere_right(tmp_path):
    write_mupots(tmp_path)
    truths, by = load_mupots(tmp_path, "smap15")
    without = MUPOTS17.subset([joint for joint in MUPOTS17.joints if joint != "head_top"])
    predictions = exact(truths, without)
    report = score(truths, predictions, by)
    assert report.pooled()["PCK"] == pytest.approx(13 / 14) and report.pooled()["head"] == 0
    lines = notes("mupots", truths, predictions, by)
    assert "joints that the predictions never have: head_top" in lines and any(
        "errors of 160 mm: 7.1%" in line for line in lines
    )
    limbs = exact(truths, MUPOTS17.subset(["left_wrist", "left_ankle"]))
    refused("have no pelvis", score, truths, limbs, by)
    assert COCO17.root is None and HUMANEVA15.root == "pelvis"


def test_the_score_of_a_person_orders_predictions(tmp_path):
    _, truth = make_sample(tmp_path)
    for best, expected in ((0.9, 1.0), (0.1, 2 / 3)):
        xyz = np.concatenate([truth.xyz, truth.xyz[:1] + 9])
        xy = np.concatenate([truth.xy, truth.xy[:1] + 900])
        scores = np.concatenate([np.full((2, 15), best), np.full((1, 15), 0.5)])
        predictions = ImagePredictions(MPI15, {"000000.jpg": Detections(skeleton=MPI15, xy=xy, xyz=xyz, score=scores)})
        assert score([truth], predictions, MPI15_PROTOCOL).root_ap == pytest.approx(expected)


# ------------------------------------------------------------------- MuPoTS-3D, computed twice

WRIST, ELBOW, HIP, PELVIS = MUPOTS17.index("left_wrist", "left_elbow", "right_hip", "pelvis")


def turned_wrist(xyz, millimetres):
    """The left wrist that far away, about the line from its elbow to the other hip: no variant's bones become longer or
    shorter.
    """
    result = xyz.copy()
    for old, new in zip(xyz, result, strict=True):
        axis = (old[HIP] - old[ELBOW]) / np.linalg.norm(old[HIP] - old[ELBOW])
        arm = old[WRIST] - old[ELBOW]
        radius = np.linalg.norm(np.cross(axis, arm))
        new[WRIST] = old[ELBOW] + Rotation.from_rotvec(2 * np.arcsin(millimetres / 2000 / radius) * axis).apply(arm)
    return result


def along_the_ray(xyz, millimetres):
    """Everybody that much farther away, the pelvis staying at its pixel."""
    root = xyz[:, [PELVIS]]
    return xyz + millimetres / 1000 * root / np.linalg.norm(root, axis=-1, keepdims=True)


def scaled(xyz):
    root = xyz[:, [PELVIS]]
    return root + 1.4 * (xyz - root)


def with_another(xyz, xy):
    """One more person, without a match, first in the list."""
    strange = 3 * GENERATOR.normal(0, 1, (1, 17, 3)) + [0, 0, 20]
    return np.concatenate([strange, xyz]), np.concatenate([xy[:1] + 900, xy])


def all_at_once(xyz, xy):
    """One person is missing, one is extra, and nothing is exact."""
    xyz, xy = with_another(xyz[1:] * GENERATOR.uniform(0.97, 1.03, (len(xyz) - 1, 1, 1)), xy[1:])
    return xyz + GENERATOR.normal(0, 0.07, xyz.shape), xy + GENERATOR.normal(0, 15, xy.shape)


CASES = {
    "perfect": (lambda xyz, xy: (xyz, xy), {"PCK": 1, "PCK_abs": 1, "PCOD": 1, "root": 1}),
    "shifted": (lambda xyz, xy: (xyz + np.array([0.1, 0.02, 0.2]), xy), {"PCK": 1, "PCK_abs": 0, "PCOD": 1, "root": 1}),
    "scaled": (lambda xyz, xy: (scaled(xyz), xy), {"PCK": 1, "PCK_abs": 1, "root": 1}),
    "swapped": (lambda xyz, xy: (xyz[[1, 0, 2]], xy), {"PCK_abs": 1 / 3, "root": 1}),
    "missing": (
        lambda xyz, xy: (xyz[[2, 0]], xy[[2, 0]]),
        {"PCK": 2 / 3, "PCK_abs": 2 / 3, "PCOD": 1 / 3, "root": 2 / 3},
    ),
    "extra": (with_another, {"PCK": 1, "PCK_abs": 1, "PCOD": 1}),
    "just inside": (lambda xyz, xy: (turned_wrist(xyz, 149.99), xy), {"PCK": 1, "PCK_abs": 1, "wrist": 1}),
    "just outside": (
        lambda xyz, xy: (turned_wrist(xyz, 150.01), xy),
        {"PCK": 13 / 14, "PCK_abs": 13 / 14, "wrist": 0.5},
    ),
    "just inside, absolute": (lambda xyz, xy: (along_the_ray(xyz, 149.99), xy), {"PCK": 1, "PCK_abs": 1}),
    "just outside, absolute": (lambda xyz, xy: (along_the_ray(xyz, 150.01), xy), {"PCK": 1, "PCK_abs": 0}),
    "all at once": (all_at_once, {}),
}
"""Predictions for an image with this truth (m, px), and the scores that follow for all people."""

OF_PORTS = {"scaled": {"PCK", "PCK_abs"}, "swapped": {"PCK_abs"}, "missing": {"PCK", "PCK_abs", "PCOD"}}
"""Figures that follow for the others only: ports hang bones elsewhere, match by shape, and may give one prediction to
two people.
"""


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("variant", ["official", "smap15", "gntcn"])
def test_mupots_from_its_files_to_figures_computed_twice(tmp_path, variant, case):
    """The files in their real form, predictions in a file of ours, and the protocol by loops over what the .mat files
    say.
    """
    write_mupots(tmp_path)
    change, expected = CASES[case]
    predictions = {}
    frames_of = {"TS1": [], "TS7": []}
    for name, frames in frames_of.items():
        for number, (xyz, xy, hidden) in enumerate(written(tmp_path / "MultiPersonTestSet", name, variant)):
            # as files have them
            changed = change(xyz / 1000, xy)
            predicted = changed[0].astype(np.float32).astype(float)
            predicted_xy = changed[1].astype(np.float32).astype(float)
            scores = GENERATOR.permutation(len(predicted)) / 8 + 0.1
            predictions[f"{name}/img_{number:06}.jpg"] = Detections(
                skeleton=MUPOTS17, xy=predicted_xy, xyz=predicted, score=np.repeat(scores[:, None], 17, 1)
            )
            frames.append((xyz, xy, 1000 * predicted, predicted_xy, hidden, scores))
    ImagePredictions(MUPOTS17, predictions).save(tmp_path / "predictions.npz")
    truths, protocol = load_mupots(tmp_path, variant)
    report = score(truths, ImagePredictions.load(tmp_path / "predictions.npz", truths), protocol)
    everything = reference_scores(frames_of["TS1"] + frames_of["TS7"], variant)
    each = [reference_scores(frames, variant) for frames in frames_of.values()]
    assert report.root_ap == pytest.approx(everything["root"])
    for people, matched in (("all", False), ("matched", True)):
        means = {column: np.nanmean([one[people][column] for one in each]) for column in everything[people]}
        for second, scores in ((everything[people], report.pooled(matched)), (means, report.over_sequences(matched))):
            assert {column: scores[column] for column in second} == pytest.approx(
                second, rel=1e-6, abs=1e-5, nan_ok=True
            )
    skipped = OF_PORTS.get(case, set()) if variant == "gntcn" else set()
    known = {**everything["all"], "root": everything["root"]}
    assert {column: known[column] for column in expected if column not in skipped} == pytest.approx(
        {column: value for column, value in expected.items() if column not in skipped}
    )


# ------------------------------------------------------------------------------------ tables


def text(printable):
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(printable)
    return console.export_text()


def test_tables_notes_and_csv(tmp_path):
    write_mupots(tmp_path)
    truths, by = load_mupots(tmp_path)
    predictions = exact(truths)
    first = truths[0].name
    people = predictions.by_sample[first]
    # one is missed
    predictions.by_sample[first] = people.select([0, 1])
    _, table = evaluate("mupots", truths, predictions, by)
    whole, lengths, joints, sequences = table.views
    shown = text(whole)
    assert (
        "│ all, mean of sequences     │ 18     │  94.4 │" in shown
        and "│ matched, all joints        │ 17     │ 100.0 │" in shown
    )
    assert (
        "PA-MPJPE" in text(lengths)
        and "│ all," not in text(lengths)
        and "ankle" in text(joints)
        and "TS7" in text(sequences)
    )
    lines = table.notes
    assert lines[0] == "mupots, official: 6 images, 18 people, 17 of them matched; 17 predictions"
    assert any("true bone lengths" in line for line in lines) and any(
        "no TS2, TS3" in line and "TS7" not in line for line in lines
    )
    assert any("within 250 mm: 94.4 %" in line for line in lines) and not any("estimated" in line for line in lines)
    table.write_csv(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [(row["scored_people"], row["subset"]) for row in written] == [
        (people, of) for people in ("all", "matched") for of in ("mean of sequences", "all joints", "TS1", "TS7")
    ]
    assert list(written[0]) == [
        *("dataset", "protocol", "rescaled_bones", "predictions", "scored_people", "subset", "people"),
        *SHARES,
        *(f"{name}_mm" for name in LENGTHS),
        "predicted",
        *JOINT_GROUPS,
        "AP_root",
    ]
    assert (
        written[1]["PCK"] == f"{17 / 18:.6f}"
        and written[1]["AP_root"] == f"{17 / 18:.6f}"
        and written[0]["AP_root"] == ""
    )
    assert (
        {row["rescaled_bones"] for row in written} == {"yes"}
        and written[2]["people"] == "9"
        and written[1]["predictions"] == "p.npz"
    )


def test_notes_of_each_protocol(tmp_path):
    write_mupots(tmp_path)
    truths, by = load_mupots(tmp_path, "gntcn")
    assert any("Python ports" in line for line in notes("mupots", truths, exact(truths), by))
    _, truth = make_sample(tmp_path)
    _, table = evaluate("synth", [truth], exact([truth], MPI15), MPI15_PROTOCOL)
    assert len(table.notes) == 2  # nothing was rescaled, nothing is missing
    assert text(table.views[0]).count("100.0") == 10  # all but the AUC


def test_a_dash_where_there_is_nothing_to_score(tmp_path):
    truths = nobody("a")
    _, table = evaluate("synth", truths, exact(truths, MPI15), MPI15_PROTOCOL)
    assert text(table.views[0]).count(" - ") == 2 * (len(SHARES) - 1)
    assert not any("within 250 mm" in line for line in table.notes)


def test_badly_estimated_cameras_are_reported(tmp_path):
    annotation = person(people_standing(GENERATOR, 1)[0], SQUARE)
    annotation["annot2"] = annotation["annot2"] + GENERATOR.normal(0, 9, (2, 17))
    write_sequence(tmp_path, "TS1", [[annotation]], [[np.zeros((1, 17), np.uint8)]])
    truths, by = load_mupots(tmp_path)
    assert any("estimated" in line for line in notes("mupots", truths, exact(truths), by))
