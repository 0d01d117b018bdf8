"""From a dataset's files to its tables, by the functions and by the command line."""

import csv
import sys

import numpy as np
import pytest
import torch

from occlupose import cli
from occlupose.datasets.formats import h36m, humaneva
from occlupose.datasets.formats.pose_folder import load_sequences as folder_takes
from occlupose.errors import OccluposeError
from occlupose.evaluation.evaluator import Evaluation, one_by_one
from occlupose.evaluation.lifting import lifter_predictor
from occlupose.evaluation.mpjpe import MPJPEEvaluator, input_2d, load_sequences, missing
from occlupose.evaluation.predictions import SequencePredictions
from occlupose.methods.oanet.lifting import load_lifter
from occlupose.methods.oanet.masked_inputs import MaskedEncoder
from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.weights import save
from occlupose.metrics.pose3d import joint_errors, procrustes, root_relative
from occlupose.occlusion.cylinders import self_occluded
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import COCO17, H36M17, HUMANEVA15
from pose_dataset_files import in_camera, walking, write_h36m, write_humaneva
from walking_people import make_poses, stand

H36M = {
    "S9": {"Walking 1": walking(12, 1), "Walking": walking(30, 2), "Eating": walking(10, 3)},
    "S11": {"Eating 1": walking(10, 4)},
}
HUMANEVA = {f"Validate/S{n}": {"Walking 1 chunk0": walking(10, n), "Jog 1 chunk2": walking(8, n)} for n in (1, 2, 3)}


@pytest.fixture(scope="module")
def human36m(tmp_path_factory):
    return write_h36m(tmp_path_factory.mktemp("h36m"), H36M)


@pytest.fixture(scope="module")
def human_eva(tmp_path_factory):
    return write_humaneva(tmp_path_factory.mktemp("humaneva"), HUMANEVA)


@pytest.fixture
def evaluate(monkeypatch, capsys):
    """Runs `occlupose eval ...`; gives the exit code and what was printed."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["occlupose", "eval", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "120")
        try:
            code = cli.main()
        except SystemExit as end:
            code = end.code
        return (code or 0, *capsys.readouterr())

    return call


def score(sequences, predictions, dataset="h36m"):
    """The report and the table."""
    evaluator = MPJPEEvaluator(dataset, sequences, predictions.skeleton)
    table = Evaluation(sequences, predictions, evaluator).run()
    return evaluator.report, table


def figures(path):
    """(what, name, joints) -> millimetres by column, of a report's .csv."""
    with path.open(newline="") as file:
        first, *rest = csv.reader(file)
    assert first == [
        "group",
        "name",
        "joints",
        "mpjpe_mm",
        "p_mpjpe_mm",
        "n_mpjpe_mm",
        "mpjve_mm_per_frame",
        "mpjve_mm_per_second",
    ]
    return {tuple(row[:3]): [float(value) if value else np.nan for value in row[3:]] for row in rest}


def test_perfect_predictions_have_no_error(human36m, human_eva, tmp_path, evaluate):
    for dataset, folder, sequences in (
        ("h36m", human36m, h36m.load_sequences(human36m)),
        ("humaneva", human_eva, humaneva.load_sequences(human_eva)),
    ):
        perfect = {
            sequence.name: sequence.poses.xyz[:, 0] for sequence in sequences
        }  # in the camera frame, not about the root
        SequencePredictions(sequences[0].poses.skeleton, perfect).save(tmp_path / "p.npz")
        code, out, err = evaluate(
            dataset, "--data", folder, "--predictions", tmp_path / "p.npz", "-o", tmp_path / "r.csv"
        )
        assert code == 0 and err == "" and "mean of actions" in out
        found = figures(tmp_path / "r.csv")
        np.testing.assert_allclose(found["action", "mean of actions", "all"], 0, atol=1e-2)
        assert np.nanmax([*found.values()]) < 1e-2


def test_known_predictions_have_known_scores(human36m, tmp_path, evaluate):
    sequences = h36m.load_sequences(human36m)
    wrist = H36M17.joints.index("left_wrist")
    off = {}
    for sequence in sequences:
        off[sequence.name] = root_relative(sequence.poses.xyz[:, 0])
        off[sequence.name][:, wrist] += np.array([0, 0.03, 0.04]) * (1 if sequence.action == "Eating" else 3)
    np.savez(tmp_path / "p.npz", skeleton="h36m17", **off)
    code, out, _ = evaluate("h36m", "--data", human36m, "--predictions", tmp_path / "p.npz", "-o", tmp_path / "r.csv")
    found = figures(tmp_path / "r.csv")
    assert code == 0
    assert found["action", "Eating", "all"][0] == pytest.approx(50 / 17, abs=1e-2)
    assert found["action", "Walking", "all"][0] == pytest.approx(150 / 17, abs=1e-2)
    assert found["action", "mean of actions", "all"][0] == pytest.approx(100 / 17, abs=1e-2)
    assert found["action", "mean of frames", "all"][0] == pytest.approx((20 * 50 + 42 * 150) / 62 / 17, abs=1e-2)
    assert found["joint", "left_wrist", "all"][0] == pytest.approx((20 * 50 + 42 * 150) / 62, abs=1e-2)
    assert found["joint", "right_wrist", "all"][0] == pytest.approx(0, abs=1e-2)
    assert found["action", "Eating", "all"][3:] == pytest.approx([0, 0], abs=1e-2)
    assert found["action", "Eating", "all"][1] > 0 and found["action", "Eating", "all"][2] > 0
    assert "not the whole protocol, so the means differ: no Directions, Discussion, Greeting, " in out
    assert "5.9" in out
    assert "2D: ground-truth; visible or occluded: self-occlusion of the true poses, by the Cylinder Man\n" in out
    assert "\n16 sequences, 248 frames\n" in out


def test_each_subject_of_humaneva_counts_as_an_action_of_its_own(human_eva, tmp_path, evaluate):
    sequences = humaneva.load_sequences(human_eva)
    grown = {sequence.name: 1.1 * root_relative(sequence.poses.xyz[:, 0]) for sequence in sequences}
    SequencePredictions(HUMANEVA15, grown).save(tmp_path / "p.npz")
    evaluate("humaneva", "--data", human_eva, "--predictions", tmp_path / "p.npz", "-o", tmp_path / "r.csv")
    found = figures(tmp_path / "r.csv")
    names = {name for of, name, _ in found if of == "action"}
    assert names == {f"{action} S{n}" for action in ("Walk", "Jog") for n in (1, 2, 3)} | {
        "mean of actions",
        "mean of frames",
    }
    jog = [
        100 * np.linalg.norm(root_relative(sequence.poses.xyz[:, 0]), axis=-1)
        for sequence in sequences
        if (sequence.subject, sequence.action) == ("S2", "Jog")
    ]
    assert found["action", "Jog S2", "all"][0] == pytest.approx(np.mean(jog), abs=1e-2)
    assert found["action", "Jog S2", "all"][2] == pytest.approx(0, abs=1e-2)
    means = [found["action", name, "all"][0] for name in names if name.split()[0] in ("Walk", "Jog")]
    assert found["action", "mean of actions", "all"][0] == pytest.approx(np.mean(means), abs=1e-3)


def test_missing_parts_of_a_protocol_are_reported(human36m, human_eva, tmp_path):
    assert missing("humaneva", humaneva.load_sequences(human_eva)) == ["Box S1", "Box S2", "Box S3"]
    assert missing("humaneva", humaneva.load_sequences(human_eva, ("Validate/S3",))) == ["S1", "S2", "Box S3"]
    assert (
        set(missing("h36m", h36m.load_sequences(human36m))) == set(h36m.ACTIONS) - {"Walking", "Eating"}
        and len(h36m.ACTIONS) == 15
    )
    whole = write_h36m(tmp_path, {"S9": {f"{action} 1": walking(2) for action in h36m.ACTIONS}})
    assert missing("h36m", h36m.load_sequences(whole, ("S9",))) == ["S11"]


@pytest.mark.parametrize("detections", ["ground-truth", "exact"])
def test_the_shipped_lifter_is_scored_and_its_predictions_score_the_same(human36m, tmp_path, evaluate, detections):
    data = ("h36m", "--data", human36m, "--subjects", "S9", "--detections", detections)
    code, out, err = evaluate(*data, "--save-predictions", tmp_path / "p.npz", "-o", tmp_path / "a.csv")
    assert code == 0 and "12 sequences, 208 frames" in out and err == "", err
    again = evaluate(*data, "--predictions", tmp_path / "p.npz", "-o", tmp_path / "b.csv")
    assert again[0] == 0 and (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    error = figures(tmp_path / "a.csv")["action", "mean of actions", "all"]
    assert 5 < error[1] < error[0] < 200  # the networks never saw such a person
    sequences = h36m.load_sequences(human36m, ("S9",), detections=detections)
    sequence = sequences[5]
    truth = sequence.poses.xyz[:, 0]
    predicted = np.load(tmp_path / "p.npz")[sequence.name]
    report, _ = score([sequence], SequencePredictions(H36M17, {sequence.name: predicted}))
    by_hand = joint_errors(procrustes(predicted, truth), truth).mean()
    assert report.mean()[1] == pytest.approx(by_hand, abs=1e-6)


def test_the_shipped_lifter_is_scored_on_humaneva_without_the_joint_it_lacks(human_eva, tmp_path, evaluate):
    code, out, err = evaluate(
        "humaneva",
        "--data",
        human_eva,
        "--subjects",
        "Validate/S1",
        "--detections",
        "gt",
        "-o",
        tmp_path / "r.csv",
        "--every",
        "2",
    )
    assert (
        code == 0
        and err == ""
        and "not scored, without a prediction or ground truth: 6.7% of the joints, among them every head" in out
    )
    found = figures(tmp_path / "r.csv")
    assert np.isnan(found["joint", "head", "all"]).all() and 0 < found["joint", "left_knee", "all"][0] < 500
    assert found["joint", "left_knee", "all"][4] == pytest.approx(30 * found["joint", "left_knee", "all"][3], rel=1e-3)


def test_any_predictor_can_be_plugged_in(human36m):
    sequences = h36m.load_sequences(human36m, ("S11",), detections="exact")
    seen = []

    def nobody_moves(sequence):
        seen.append(input_2d(sequence))
        return np.zeros((len(sequence.poses), 17, 3))

    evaluator = MPJPEEvaluator("h36m", sequences, H36M17)
    Evaluation(sequences, one_by_one(nobody_moves), evaluator).run()
    report = evaluator.report
    assert [poses.camera for poses in seen] == [sequence.poses.camera for sequence in sequences]
    assert all(
        poses == sequence.poses.observed and poses.xyz is None for poses, sequence in zip(seen, sequences, strict=True)
    )
    expected = np.mean(
        [np.linalg.norm(root_relative(sequence.poses.xyz[:, 0]), axis=-1).mean() for sequence in sequences]
    )
    assert report.mean()[0] == pytest.approx(expected)
    without = h36m.load_sequences(human36m, ("S11",))[0]
    assert input_2d(without).xyz is None and np.array_equal(input_2d(without).xy, without.poses.xy)


def test_networks_of_the_paper_are_scored_by_their_weights(human36m, tmp_path, evaluate):
    torch.manual_seed(0)
    oanet = OANetNetwork(8, encoder=MaskedEncoder(16))
    save(oanet.state_dict(), oanet, weights := tmp_path / "oanet.safetensors")
    code, out, err = evaluate(
        "h36m", "--data", human36m, "--subjects", "S9", "--weights", weights, "-o", tmp_path / "r.csv"
    )
    assert code == 0 and err == "" and "12 sequences" in out
    # before training all joints lie in the root: the error is the mean distance from it
    truth = [
        np.linalg.norm(root_relative(sequence.poses.xyz[:, 0]), axis=-1)
        for sequence in h36m.load_sequences(human36m, ("S9",))
    ]
    assert figures(tmp_path / "r.csv")["action", "mean of frames", "all"][0] == pytest.approx(
        1000 * np.concatenate(truth).mean(), rel=1e-3
    )


@pytest.mark.parametrize(("least", "high_confidence"), [(0.3, False), (0.0, True)])
def test_networks_get_the_same_input_in_inference_as_in_training(human36m, least, high_confidence):
    """A joint that is hidden, but guessed: those that know no occlusion have learnt with the guess."""
    torch.manual_seed(0)
    oanet = OANetNetwork(8, refine=False, encoder=MaskedEncoder(16, least)).eval()
    torch.nn.init.normal_(oanet.tcn_3d.out.weight)
    lift = lifter_predictor(oanet)
    wrist = H36M17.joints.index("left_wrist")
    poses = input_2d(h36m.load_sequences(human36m, ("S9",))[0])
    poses.state[:, 0, wrist] = OCCLUDED
    answers = []
    for place in (0.0, 300.0):
        poses.xy[:, 0, wrist] = place
        answers.append(lift(poses))
    assert np.array_equal(*answers) != high_confidence


def test_the_cylinder_man_says_what_is_occluded_where_detections_do_not(human36m):
    sequences = h36m.load_sequences(human36m, ("S9",), detections="exact")
    evaluator = MPJPEEvaluator("h36m", sequences, H36M17)
    of_takes = [evaluator.states(sequence) for sequence in sequences]
    for sequence, state in zip(sequences, of_takes, strict=True):
        behind = self_occluded(
            torch.from_numpy(in_camera(H36M["S9"][sequence.name.split("/")[1]], camera_of(sequence))), H36M17
        ).numpy()
        np.testing.assert_array_equal(state == OCCLUDED, behind)
        assert ((state == OCCLUDED) ^ (state == VISIBLE)).all()
    assert any((state == OCCLUDED).any() for state in of_takes)


def camera_of(sequence):
    return ["54138969", "55011271", "58860488", "60457274"].index(sequence.name.rsplit("/", 1)[1])


def test_states_of_detections_decide_and_divide_the_errors(human36m, tmp_path, evaluate):
    sequences = h36m.load_sequences(human36m, ("S9",))
    off = {}
    for number, sequence in enumerate(sequences):
        seen = input_2d(sequence).to(COCO17)
        wrist = COCO17.joints.index("left_wrist")
        if number % 2:
            seen.state[:, 0, wrist] = OCCLUDED
        else:
            seen.xy[:, 0, wrist] = np.nan
            seen.state[:, 0, wrist] = ABSENT
            seen.score[:, 0, wrist] = 0
        home = tmp_path / "mine" / sequence.name
        home.parent.mkdir(parents=True, exist_ok=True)
        seen.save(home.with_name(home.name + ".npz"))
        off[sequence.name] = sequence.poses.xyz[:, 0].copy()
        off[sequence.name][:, H36M17.joints.index("left_wrist")] += (0.1, 0, 0)
        off[sequence.name][:, H36M17.joints.index("head_top")] += (0, 0.9, 0)
    np.savez(tmp_path / "p.npz", skeleton="h36m17", **off)
    data = ("h36m", "--data", human36m, "--subjects", "S9", "--detections", tmp_path / "mine")
    code, out, _ = evaluate(*data, "--predictions", tmp_path / "p.npz", "-o", tmp_path / "r.csv")
    found = figures(tmp_path / "r.csv")
    assert code == 0 and "visible or occluded: the detections' states" in out
    assert found["action", "mean of actions", "occluded"][0] == pytest.approx(100, abs=1e-2)  # the wrist alone
    assert found["action", "mean of actions", "visible"][0] == pytest.approx(0, abs=1e-2)
    # not in COCO
    assert (
        np.isnan(found["joint", "head_top", "occluded"]).all() and np.isnan(found["joint", "head_top", "visible"]).all()
    )
    assert found["joint", "head_top", "all"][0] == pytest.approx(900, abs=1e-2)
    assert "occluded (6%)" in out and "all (100%)" in out


def test_what_is_not_predicted_is_not_scored(human36m, tmp_path):
    sequences = h36m.load_sequences(human36m, ("S11",))
    knee = H36M17.joints.index("left_knee")
    some = {sequence.name: sequence.poses.xyz[:, 0].copy() for sequence in sequences}
    for xyz in some.values():
        xyz[:, knee] = np.nan
    SequencePredictions(H36M17, some).save(tmp_path / "p.npz")
    report, table = score(sequences, SequencePredictions.load(tmp_path / "p.npz", sequences))
    assert (
        not report.scored("left_knee")
        and report.scored("right_knee")
        and report.mean()[0] == pytest.approx(0, abs=1e-5)
    )
    assert (
        table.notes[3]
        == "not scored, without a prediction or ground truth: 5.9% of the joints, among them every left_knee"
    )
    some[sequences[0].name][:, knee] = 0
    assert score(sequences, SequencePredictions(H36M17, some))[1].notes[3].endswith("ground truth: 4.4% of the joints")
    some |= {sequence.name: sequence.poses.xyz[:, 0] for sequence in sequences}
    assert len(score(sequences, SequencePredictions(H36M17, some))[1].notes) == 4


def test_takes_without_a_truth_cannot_be_scored_but_are_lifted(tmp_path):
    make_poses(stand(0, 5, 12)).save(tmp_path / "a.npz")
    sequences = folder_takes(tmp_path)
    lifted = lifter_predictor(load_lifter())(input_2d(sequences[0]))
    assert lifted.shape == (12, 17, 3) and np.isfinite(lifted).all()
    with pytest.raises(OccluposeError, match="a: 2D only; give sequences with 3D ground truth"):
        MPJPEEvaluator("h36m", sequences, H36M17)


def test_bad_input_is_one_line(human36m, human_eva, tmp_path, evaluate):
    data = ("h36m", "--data", human36m)
    (tmp_path / "file").touch()
    for arguments, message in [
        (("h36m", "--data", human_eva), "metadata.xml: no such file; it is in the code release"),
        (("humaneva", "--data", human36m), "data_3d_humaneva15.npz: no such file; get HumanEva-I from"),
        (("h36m", "--data", tmp_path / "nowhere"), "nowhere/metadata.xml: no such file"),
        (
            ("h36m", "--data", human36m, "--weights", human36m / "data_3d_h36m.npz"),
            "not readable as weights of the lifter; give a file that `occlupose train lifter` wrote",
        ),
        ((*data, "--subjects", "S1"), "no S1 in it, but S9, S11; "),
        ((*data, "--detections", "cpn"), "no such detections; give ground-truth, exact or a folder"),
        ((*data, "--predictions", tmp_path / "p.npz"), "p.npz: cannot be read"),
        ((*data, "--predictions", tmp_path / "p.npz", "--weights", tmp_path / "w"), "leave out --weights"),
        (
            (*data, "--predictions", tmp_path / "p.npz", "--save-predictions", tmp_path / "q.npz"),
            "leave out --",
        ),
        ((*data, "--weights", tmp_path / "none.safetensors"), "none.safetensors"),
        ((*data, "--every", "0"), "every 0: every n-th frame; "),
        ((*data, "-o", tmp_path / "file" / "r.csv"), "cannot be written to"),
    ]:
        code, out, err = evaluate(*arguments)
        assert code == 2 and out == "" and err.startswith("occlupose: ") and err.count("\n") == 1 and message in err, (
            arguments,
            err,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_tables_have_all_rows_also_for_missing_values(human36m):
    sequences = load_sequences("h36m", human36m, ("S11",), "ground-truth")
    _, table = score(
        sequences,
        SequencePredictions(
            H36M17, {sequence.name: np.full_like(sequence.poses.xyz[:, 0], np.nan) for sequence in sequences}
        ),
    )
    by_action, by_state, by_joint = table.views
    assert [labels for labels, _ in by_action.rows] == [("Eating",), ("mean of actions",), ("mean of frames",)]
    assert [labels for labels, _ in by_joint.rows] == [(joint,) for joint in H36M17.joints]
    assert len(by_state.rows) == 6 and all(np.isnan(value) for _, values in by_joint.rows for value in values.values())
