"""Training 2D estimators, converting and scoring them, as a user does it at the command line."""

import csv
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import coco_files as files
from commands import assert_refused, caller, names
from interrupted_runs import kill_after, run_to_the_end
from occlupose.media import read_image, write_image
from occlupose.networks.estimators import build, load
from occlupose.skeletons import COCO17, H36M17
from other_user import without_rights

TINY = ["--recipe", str(Path(__file__).with_name("tiny_ljof.json"))]
RUN = ["hrnet_small.json", "hrnet_small.safetensors", "last.pt", "log.csv"]
WEIGHTS = "hrnet_small.safetensors"

COCO_COLUMNS = ["AP", "AP50", "AP75", "AP-M", "AP-L", "AR", "AR50", "AR75", "AR-M", "AR-L"]
COLUMNS = dict.fromkeys(("coco", "ochuman", "synth"), COCO_COLUMNS)
COLUMNS["crowdpose"] = ["AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP-E", "AP-M", "AP-H"]
JOINTS = {"coco": "coco17", "ochuman": "coco17", "synth": "coco17", "crowdpose": "crowdpose14"}

COCO_TRAIN = "annotations/person_keypoints_train2017.json"
COCO_VAL = "annotations/person_keypoints_val2017.json"
OCHUMAN_VAL = "ochuman_coco_format_val_range_0.00_1.00.json"
OCHUMAN_TEST = "ochuman_coco_format_test_range_0.00_1.00.json"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An estimator of COCO's joints that was trained a little."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        call = caller(patch, lambda: ("", ""))
        assert call("train", "ljof", "--data", files.write_coco(folder / "coco"), "-o", folder / "run", *TINY).code == 0
    return folder / "run" / WEIGHTS


def tiny(folder, **changes):
    """The recipe of TINY with other values of some fields."""
    recipe = json.loads(Path(TINY[1]).read_text()) | changes
    return ["--recipe", files.write_json(folder / "recipe.json", recipe)]


def people(path):
    """How many in a file are to be found."""
    return sum(
        person["num_keypoints"] > 0 and not person["iscrowd"] for person in json.loads(path.read_text())["annotations"]
    )


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def card(folder):
    """What stands beside the weights, by strict JSON."""

    def refuse(constant):
        raise ValueError(constant)

    return json.loads((folder / "hrnet_small.json").read_text(), parse_constant=refuse)


# ------------------------------------------------------------------------------- each layout


@pytest.mark.parametrize(
    ("write", "dataset", "learnt", "tested"),
    [
        (files.write_coco, "coco", COCO_TRAIN, COCO_VAL),
        (files.write_crowdpose, "crowdpose", "json/crowdpose_trainval.json", "json/crowdpose_test.json"),
        (files.write_synth, "synth", "annotations.json", "annotations.json"),
        (lambda folder: files.write_synth(folder, shards=False), "synth", "annotations.json", "annotations.json"),
    ],
    ids=["coco", "crowdpose", "shards", "synth"],
)
def test_train_and_score(command, tmp_path, write, dataset, learnt, tested):
    data = write(tmp_path / "data")
    run = tmp_path / "run"
    scores = tmp_path / "scores.csv"
    outcome = command("train", "ljof", "--data", data, "-o", run, *TINY)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert (
        lines[0] == f"hrnet_small: training on {people(data / learnt)} people of {Path(learnt).name} ({dataset}),"
        f" {JOINTS[dataset]}"
    )
    assert lines[-1].startswith(f"{run / WEIGHTS}: weights and card written; score them with ")
    assert names(run) == RUN
    about = card(run)
    assert str(tmp_path) not in json.dumps(about) and "--data DATA" in about["command"]
    assert about["data"]["people"] == people(data / learnt) and about["recipe"]["blocks"] is not None

    outcome = command(*lines[-1].partition("score them with occlupose ")[2].split(), "-o", scores)  # by its own account
    assert (outcome.code, outcome.err) == (0, "")
    expected = people(data / tested)
    who = f"{dataset}: {expected} people of {Path(tested).name}; {expected} predictions in ground-truth boxes\n"
    assert f"{dataset}, ground truth boxes" in outcome.out and who in outcome.out and "detected" not in outcome.out
    assert outcome.out.endswith(f"{scores}: written\n")
    table = rows(scores)
    assert list(table[0]) == [
        "dataset",
        "boxes",
        "frontend",
        "box_source",
        "stratum",
        "people",
        "predictions",
        *COLUMNS[dataset],
    ]
    assert {(row["dataset"], row["boxes"]) for row in table} == {(dataset, "ground truth")}
    assert [row["stratum"] for row in table[:3]] == ["all", "visible joints", "hidden joints"] and len(table) == 9
    assert int(table[0]["people"]) == sum(int(row["people"]) for row in table[-4:]) == expected
    assert all(value == "" or 0 <= float(value) <= 1 for row in table for value in list(row.values())[7:])

    protocol = "coco" if dataset == "synth" else dataset
    found = sorted(data.glob("*/*det*.json"))
    for boxes in found:
        outcome = command(
            "eval", protocol, "--data", data, "--frontend", run / WEIGHTS, "--boxes", boxes, "-o", scores, "--flip"
        )
        assert (outcome.code, outcome.err) == (0, "")
        assert (
            f"{dataset}, detected boxes" in outcome.out and f"predictions in the boxes of {boxes.name}" in outcome.out
        )
        assert {row["boxes"] for row in rows(scores)} == {"detected"}
    assert len(found) == (dataset != "synth")


def test_ochuman_by_its_two_protocols(command, tmp_path, weights):
    data = files.write_ochuman(tmp_path / "data")
    content = json.loads((data / OCHUMAN_TEST).read_text())
    some = files.write_json(tmp_path / "boxes.json", files.boxes(content)[:-2])
    options = ["eval", "ochuman", "--data", data, "--frontend", weights]
    true = command(*options, "--box-source", "ground-truth", "-o", tmp_path / "ground-truth.csv")
    detected = command(*options, "--boxes", some, "-o", tmp_path / f"{some}.csv")
    assert (true.code, true.err, detected.code, detected.err) == (0, "", 0, "")
    count = people(data / OCHUMAN_TEST)
    given = len(json.loads(some.read_text()))
    assert f"ochuman: {count} people of {OCHUMAN_TEST}; {count} predictions in ground-truth boxes" in true.out
    assert f"ochuman: {count} people of {OCHUMAN_TEST}; {given} predictions in the boxes of boxes.json" in detected.out
    assert "ochuman, ground truth boxes" in true.out and "detected" not in true.out
    assert "ochuman, detected boxes" in detected.out and "ground truth" not in detected.out
    tables = [rows(tmp_path / "ground-truth.csv"), rows(Path(f"{some}.csv"))]
    assert [{row["boxes"] for row in table} for table in tables] == [{"ground truth"}, {"detected"}]
    assert [{row["predictions"] for row in table} for table in tables] == [{str(count)}, {str(given)}]
    other = command(*options, "--split", "val")
    assert other.code == 0 and f"ochuman: {people(data / OCHUMAN_VAL)} people of {OCHUMAN_VAL}" in other.out


def test_ochuman_has_nothing_to_train_on_but_may_be(command, tmp_path):
    data = files.write_ochuman(tmp_path / "data")
    options = ["train", "ljof", "--data", data, "-o", tmp_path / "run", *TINY]
    assert_refused(command(*options), "no annotations of the split train", OCHUMAN_VAL, "--annotations FILE")
    assert names(tmp_path) == ["data", "here"]
    outcome = command(*options, "--annotations", data / OCHUMAN_VAL)
    assert (
        outcome.code == 0
        and f"training on {people(data / OCHUMAN_VAL)} people of {OCHUMAN_VAL} (ochuman), coco17" in outcome.out
    )
    assert "--annotations ANNOTATIONS" in card(tmp_path / "run")["command"]


@pytest.mark.parametrize("name", ["coco", "crowdpose", "ochuman"])
def test_real_files(command, tmp_path, name):
    if "OCCLUPOSE_FORMATS" not in os.environ:
        pytest.skip("OCCLUPOSE_FORMATS names no folder with real files")
    data = Path(os.environ["OCCLUPOSE_FORMATS"]) / name
    scores = tmp_path / "scores.csv"
    outcome = command("train", "ljof", "--data", data, "-o", tmp_path / "run", *TINY)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert f"({name}), {JOINTS[name]}\n" in outcome.out and names(tmp_path / "run") == RUN
    boxes = {"coco": ["test_coco_det_AP_H_56.json"], "crowdpose": ["test_crowdpose_det_AP_40.json"], "ochuman": []}[
        name
    ]
    for where in ("ground-truth", *(data / file for file in boxes)):
        outcome = command(
            "eval",
            name,
            "--data",
            data,
            "--frontend",
            tmp_path / "run" / WEIGHTS,
            *(() if where == "ground-truth" else ("--boxes", where)),
            "-o",
            scores,
        )
        assert outcome.code == 0, outcome
        assert "could not be used" not in outcome.out
        assert list(rows(scores)[0])[7:] == COLUMNS[name]
        assert {row["boxes"] for row in rows(scores)} == {"ground truth" if where == "ground-truth" else "detected"}
        count = sum(
            person["num_keypoints"] > 0 and not person["iscrowd"]
            for person in json.loads((data / f"test_{name}.json").read_text())["annotations"]
        )
        assert f"{name}: {count} people of test_{name}.json" in outcome.out


# ---------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"blocks": None}),
        ([], {"blocks": {"joint_share": 1.0, "size": 0.1}}),
        ([], {"structure": None}),
        ([], {"structure": {"kind": "body"}}),
        ([], {"structure": {"kind": "limbs", "schedule": {"weight": 0.4}}}),
        ([], {"structure": {"schedule": {"at": 0.5}}}),
        ([], {"structure": {"schedule": {"start": 0.5}}}),
        ([], {"structure": {"schedule": {"rate": 2.0}}}),
        (["--learning-rate", "0.01", "--seed", "3"], {"ema_decay": 0.5, "learning_rate": 0.01, "seed": 3}),
        ([], {"model": "simple_baseline_small"}),
    ],
)
def test_what_can_be_chosen_is_on_the_card_and_in_the_log(command, tmp_path, options, expected):
    data = files.write_crowdpose(tmp_path / "data")
    run = tmp_path / "run"
    outcome = command("train", "ljof", "--data", data, "-o", run, *tiny(tmp_path, **expected), *options)
    assert (outcome.code, outcome.err) == (0, "")
    model = expected.get("model", "hrnet_small")
    recipe = json.loads((run / f"{model}.json").read_text())["recipe"]

    def part(whole, of):
        return {key: part(whole[key], value) if isinstance(value, dict) else whole[key] for key, value in of.items()}

    assert part(recipe, expected) == expected
    log = rows(run / "log.csv")
    assert ("structure" in log[-1]) == (recipe["structure"] is not None)
    assert int(log[-1]["step"]) == round(people(data / "json" / "crowdpose_trainval.json") / 4)


def test_seeds_decide(command, tmp_path):
    data = files.write_coco(tmp_path / "data")
    written = []
    for number, seed in enumerate((0, 0, 1)):
        run = tmp_path / f"run{number}"
        assert command("train", "ljof", "--data", data, "-o", run, *TINY, "--seed", seed).code == 0
        written.append((run / WEIGHTS).read_bytes())
    assert written[0] == written[1] != written[2]


@pytest.mark.slow
def test_a_memorised_person_is_found(command, tmp_path):
    """Four people, and a network that has seen nobody else: figures are far from 0, of seen and of hidden joints,
    mirrored or not.
    """
    data = tmp_path / "data"
    generator = np.random.default_rng(0)
    content = files.document("synth", generator, images=3, most=2)
    files.write_json(data / "annotations.json", content)
    files.write_images(data / "images", content, generator)
    options = tiny(tmp_path, batch=16, epochs=800, learning_rate=0.05, ema_decay=0.95)
    assert command("train", "ljof", "--data", data, "-o", tmp_path / "run", *options).code == 0
    for extra in ([], ["--flip"]):
        outcome = command(
            "eval",
            "coco",
            "--data",
            data,
            "--frontend",
            tmp_path / "run" / WEIGHTS,
            "-o",
            tmp_path / "scores.csv",
            *extra,
        )
        assert outcome.code == 0
        by_stratum = {row["stratum"]: row for row in rows(tmp_path / "scores.csv")}
        for stratum in ("visible limb joints", "occluded limb joints"):
            assert float(by_stratum[stratum]["AP50"]) > 0.5, outcome.out


# ------------------------------------------------------------------------- killed in the middle


@pytest.mark.slow
def test_killed_and_resumed_is_as_if_nothing_had_happened(tmp_path):
    data = files.write_coco(tmp_path / "data")
    recipe = tiny(tmp_path, epochs=20, ema_decay=0.9)

    def line(folder):
        module = [sys.executable, "-m", "occlupose", "train", "ljof", "--data", str(data), "-o", str(folder)]
        return [*module, *map(str, recipe), "--resume"]

    run_to_the_end(line(tmp_path / "whole"))
    kill_after(tmp_path / "killed" / "last.pt", line(tmp_path / "killed"))
    assert not (tmp_path / "killed" / WEIGHTS).exists()
    run_to_the_end(line(tmp_path / "killed"))
    whole = (tmp_path / "whole" / WEIGHTS).read_bytes()
    killed = (tmp_path / "killed" / WEIGHTS).read_bytes()
    assert whole == killed
    steps = [[row["step"] for row in rows(tmp_path / name / "log.csv")] for name in ("whole", "killed")]
    assert steps[0] == steps[1]


def test_a_run_is_not_overwritten_and_is_resumed_only_as_itself(command, tmp_path, weights):
    data = files.write_coco(tmp_path / "data")
    run = tmp_path / "run"
    options = ["train", "ljof", "--data", data, "-o", run, *TINY]
    assert command(*options).code == 0
    outcome = command(*options, "--resume")  # there is nothing left to do
    assert outcome.code == 0
    outcome = outcome.out.splitlines()[0] + "\n"
    before = {path: path.read_bytes() for path in run.iterdir()}
    assert_refused(command(*options), "already holds a training run", "--resume")
    for other in (["--epochs", "2"], ["--seed", "1"], tiny(tmp_path, blocks=None), ["--init-from", weights]):
        assert_refused(
            command(*options, "--resume", *other),
            "last.pt",
            "other settings or data",
            "resume with the recipe",
            out=outcome,
        )
    assert {path: path.read_bytes() for path in run.iterdir()} == before


# --------------------------------------------------------------------- checkpoints of others


def checkpoint(path, *, model="hrnet_small", joints=17, head=True, seed=0):
    """As MMPose 0.x writes one: other words for the head, optimiser and all."""
    torch.manual_seed(seed)
    state = build(model, joints, crop=(64, 64)).state_dict()
    named = {
        name.replace("head.", "keypoint_head."): value
        for name, value in state.items()
        if head or name.startswith("backbone.")
    }
    torch.save(
        {"meta": {"epoch": 210, "mmpose_version": "0.29.0"}, "state_dict": named, "optimizer": {"state": {}}}, path
    )
    return path


def converted(command, source, *options):
    output = source.with_suffix(".safetensors")
    outcome = command(
        "convert", "checkpoint", source, "--model", "hrnet_small", "--crop", "64", "64", "-o", output, *options
    )
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return output, outcome.out


def test_a_checkpoint_of_others_finds_joints(command, tmp_path):
    data = files.write_coco(tmp_path / "data")
    output, message = converted(command, checkpoint(tmp_path / "theirs.pth"))
    first, second = message.splitlines()
    assert first == f"{output}: from a checkpoint of MMPose 0.x, hrnet_small written"
    assert "decoded by udp" in second and "--codec" in second
    classic = tmp_path / "classic.safetensors"
    quiet = ["convert", "checkpoint", tmp_path / "theirs.pth", "--model", "hrnet_small"]
    assert command(*quiet, "--codec", "msra", "-o", classic).out.count("\n") == 1
    assert (load(classic)[1].maps.crop.grid, load(output)[1].maps.crop.grid) == ("stride", "corners")
    network, design = load(output)
    assert (design.skeleton, design.maps.crop.width, design.maps.crop.height) == (COCO17, 64, 64)
    theirs = torch.load(tmp_path / "theirs.pth", weights_only=True)["state_dict"]
    final = network.state_dict()["head.final_layer.weight"]
    torch.testing.assert_close(final, theirs["keypoint_head.final_layer.weight"], atol=1e-6, rtol=1e-3)
    outcome = command("eval", "coco", "--data", data, "--frontend", output)
    assert outcome.code == 0 and f"{people(data / COCO_VAL)} predictions" in outcome.out
    run = tmp_path / "run"
    assert command("train", "ljof", "--data", data, "-o", run, *TINY, "--init-from", output).code == 0
    begun = card(run)["begun_with"].split()
    assert begun[0] == begun[2] and begun[-1] == "theirs.safetensors" and "--init-from WEIGHTS" in card(run)["command"]


def test_a_backbone_alone_starts_a_training_and_finds_nothing(command, tmp_path):
    data = files.write_crowdpose(tmp_path / "data")
    output, message = converted(command, checkpoint(tmp_path / "theirs.pth", head=False), "--skeleton", "crowdpose14")
    assert "the backbone of hrnet_small written; train it: occlupose train ljof --recipe hrnet_small" in message
    outcome = command("eval", "crowdpose", "--data", data, "--frontend", output)
    assert_refused(outcome, str(output), "a backbone alone", f"occlupose train ljof --init-from {output}")
    assert command("train", "ljof", "--data", data, "-o", tmp_path / "run", *TINY, "--init-from", output).code == 0
    taken, _, whole, *_ = card(tmp_path / "run")["begun_with"].split()
    assert 0 < int(taken) < int(whole)


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda folder: checkpoint(folder / "a.pth", model="vitpose_s"), [], ["a.pth", "give --model vitpose_s"]),
        (
            lambda folder: checkpoint(folder / "a.pth"),
            ["--model", "hrnet_w32"],
            ["a.pth", "hrnet_w32", "give --model hrnet_small"],
        ),
        (
            lambda folder: checkpoint(folder / "a.pth", joints=14),
            [],
            ["14 joints", "coco17 has 17", "give --skeleton crowdpose14"],
        ),
        (lambda folder: checkpoint(folder / "a.pth", joints=3), [], ["3 joints", "give a checkpoint of 17 joints"]),
        (lambda folder: checkpoint(folder / "a.pth"), ["--skeleton", "centaur"], ["centaur", "coco17"]),
        (lambda folder: checkpoint(folder / "a.pth"), ["--crop", "60", "60"], ["60 x 60", "multiples of 32"]),
        (lambda folder: checkpoint(folder / "a.pth"), ["--model", "hrnet"], ["model hrnet", "hrnet_small"]),
        (lambda folder: checkpoint(folder / "a.pth"), ["-o", "out.pth"], ["out.pth", "give a .safetensors file"]),
        (
            lambda folder: checkpoint(folder / "a.pth"),
            ["-o", "../a.pth/out.safetensors"],
            ["out.safetensors", "cannot be written to"],
        ),
        (lambda folder: folder / "nope.pth", [], ["nope.pth", "no such file"]),
        (lambda folder: files.write_json(folder / "a.pth", {}), [], ["a.pth", "not readable as a checkpoint"]),
    ],
)
def test_checkpoints_that_do_not_fit(command, tmp_path, make, options, words):
    outcome = command(
        "convert", "checkpoint", make(tmp_path), "--model", "hrnet_small", "-o", "out.safetensors", *options
    )
    assert_refused(outcome, *words)
    assert names(Path()) == []


def test_what_is_ours_already_is_not_converted(command, weights):
    outcome = command("convert", "checkpoint", weights, "--model", "hrnet_small", "-o", "out.safetensors")
    assert_refused(outcome, str(weights), "already a file of occlupose")
    assert names(Path()) == []


# ------------------------------------------------------------------------------------ bad input


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damaged(folder):
    for name in (COCO_TRAIN, COCO_VAL):
        cut(folder / "coco" / name)
    return []


def boxes_of_others(folder):
    content = [{"image_id": 999, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9}]
    return ["--boxes", files.write_json(folder / "boxes.json", content)]


def empty(folder):
    (folder / "empty").mkdir(exist_ok=True)
    return ["--data", folder / "empty"]


def other_model(folder):
    output = folder / "other.safetensors"
    torch.manual_seed(0)
    from occlupose.methods.ljof.recipe import published
    from occlupose.networks.estimators import save

    design = published("simple_baseline_small").design(COCO17)
    save(design.build().state_dict(), design, output)
    return output


BOTH = [
    (lambda folder: ["--data", folder / "nope"], ["nope", "no such folder"]),
    (empty, ["empty", "no annotations of joints", "--annotations FILE"]),
    (damaged, ["person_keypoints_", "invalid json"]),
    (lambda folder: ["--annotations", folder / "nope.json"], ["nope.json", "cannot be read"]),
    (lambda folder: ["--annotations", files.write_json(folder / "a.json", [1])], ["a.json", "COCO's keypoint format"]),
    (lambda folder: ["--device", "nope"], ["device nope"]),
]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *BOTH,
        (lambda folder: ["--recipe", "hrnet"], ["recipe hrnet", "hrnet_small", "vitpose_b"]),
        (lambda folder: tiny(folder, model="hrnet"), ["recipe.json", "model hrnet", "hrnet_small", "vitpose_b"]),
        (lambda folder: tiny(folder, crop={"width": 64, "height": 70}), ["crop 64 x 70", "multiples of 32"]),
        (lambda folder: tiny(folder, crop={"width": 0}), ["recipe.json: crop.", "0"]),
        (lambda folder: tiny(folder, blocks={"size": 2}), ["recipe.json: blocks.size 2: must be", "between 0 and 1"]),
        (lambda folder: tiny(folder, lja=True), ["recipe.json: lja: not a field of the recipe"]),
        (lambda folder: ["--epochs", "0"], ["epochs 0"]),
        (lambda folder: ["--epochs", "inf"], ["epochs inf"]),
        (lambda folder: ["--batch", "0"], ["batch 0"]),
        (lambda folder: ["--learning-rate", "-1"], ["rate -1"]),
        (lambda folder: ["--image-cache-gib", "nan"], ["image cache nan"]),
        (lambda folder: ["--seed", "-1"], ["seed -1"]),
        (lambda folder: ["--seed", str(2**63)], ["seed 9223372036854775808"]),
        (lambda folder: ["--init-from", folder / "nope.safetensors"], ["nope.safetensors", "no such file"]),
        (lambda folder: ["--init-from", checkpoint(folder / "a.pth")], ["a.pth", "not readable as weights"]),
        (
            lambda folder: ["--init-from", other_model(folder)],
            ["other.safetensors", "simple_baseline_small", "give --recipe"],
        ),
        (lambda folder: ["--holdout", folder / "nope"], ["nope", "no such folder"]),
        (lambda folder: ["--holdout", *empty(folder)[1:]], ["empty", "no image in it"]),
    ],
)
def test_trainings_that_cannot_be(command, tmp_path, options, words):
    files.write_coco(tmp_path / "coco")
    outcome = command("train", "ljof", "--data", tmp_path / "coco", "-o", tmp_path / "run", *TINY, *options(tmp_path))
    # it is known by then who is learnt from
    assert_refused(outcome, *words, out=outcome.out if words == ["device nope"] else "")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *BOTH,
        (boxes_of_others, ["boxes.json", "image_id", "999", "give detections of these images"]),
        (lambda folder: ["--boxes", folder / "coco" / COCO_VAL], ["person_keypoints_val2017.json", "results format"]),
        (
            lambda folder: ["--boxes", folder / "nope.json"],
            ["nope.json", "no such file", "a detector's results in COCO's format"],
        ),
        (
            lambda folder: ["--frontend", "blazepose", "--box-source", "ground-truth"],
            ["blazepose: detects people by itself and takes no boxes; give movenet"],
        ),
        (lambda folder: ["--boxes", "found"], ["boxes found: no such file", "--box-source detector"]),
        (lambda folder: ["--boxes", "ground-truth"], ["no such file", "--box-source ground-truth"]),
        (lambda folder: [*boxes_of_others(folder), "--box-source", "detector"], ["boxes", "give one of the two"]),
        (lambda folder: ["--detector", "nope"], ["nope", "no such person detector", "yolox:FILE.onnx"]),
        (lambda folder: ["--detector", "yolox:nope.onnx"], ["nope.onnx: no such file"]),
        (lambda folder: ["--detector", "a.onnx", "--box-source", "ground-truth"], ["nothing to find in ground-truth"]),
        (lambda folder: ["--detector", "a.onnx", *boxes_of_others(folder)], ["boxes, detector", "give one of the two"]),
        (lambda folder: ["--frontend", "movenet-multipose", "--detector", "a.onnx"], ["takes no detector"]),
        (lambda folder: ["--frontend", "movenet", "--flip"], ["movenet: has no flip"]),
        (lambda folder: ["--frontend", "movenet", "--device", "nope"], ["device nope"]),
        (lambda folder: ["--threads", "0"], ["threads 0", "give 1 or more"]),
        (lambda folder: ["--frontend", "nope"], ["nope", "no such front end", "movenet"]),
        (lambda folder: ["--frontend", folder / "nope.safetensors"], ["nope.safetensors", "no such file"]),
        (
            lambda folder: ["--frontend", files.write_json(folder / "a.safetensors", {})],
            ["a.safetensors", "not readable"],
        ),
        (lambda folder: ["-o", folder / "coco" / COCO_VAL / "scores.csv"], ["scores.csv", "cannot be written to"]),
        (lambda folder: ["-o", folder], ["is a folder", "-o"]),
    ],
)
def test_scores_that_cannot_be(command, tmp_path, weights, options, words):
    files.write_coco(tmp_path / "coco")
    call = ["eval", "coco", "--data", tmp_path / "coco", "--frontend", weights, "-o", tmp_path / "scores.csv"]
    assert_refused(command(*call, *options(tmp_path)), *words)
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize("data", ["coco", "crowdpose", "ochuman", "synth"])
@pytest.mark.parametrize("asked", ["coco", "crowdpose", "ochuman"])
def test_each_dataset_has_its_command(command, tmp_path, weights, asked, data):
    folder = getattr(files, f"write_{data}")(tmp_path / "data")
    right = "coco" if data == "synth" else data
    outcome = command("eval", asked, "--data", folder, "--frontend", weights)
    if asked == right:
        assert outcome.code == 0 and f"{data}, ground truth boxes" in outcome.out
    else:
        assert_refused(outcome, f"not annotations of {asked}", f"give occlupose eval {right}", "data")


def test_joints_that_have_no_protocol(command, tmp_path, weights):
    """Human3.6M's may be learnt, but no required accuracy is stated."""
    data = tmp_path / "data"
    generator = np.random.default_rng(0)
    content = files.document("coco", generator)
    content["categories"][0]["keypoints"] = list(H36M17.joints)
    files.write_json(data / "people.json", content)
    files.write_images(data, content, generator)
    assert command("train", "ljof", "--data", data, "-o", tmp_path / "run", *TINY).code == 0
    outcome = command("eval", "coco", "--data", data, "--frontend", tmp_path / "run" / WEIGHTS)
    assert_refused(outcome, "people.json", "h36m17 has no sigmas", "coco17 and crowdpose14 have them")


def test_crowdpose_has_no_validation_here(command, tmp_path, weights):
    data = files.write_crowdpose(tmp_path / "data")
    outcome = command("eval", "crowdpose", "--data", data, "--frontend", weights, "--split", "val")
    assert_refused(outcome, "no annotations of the split val", "crowdpose_test.json", "another split")


@pytest.mark.skipif(sys.platform != "linux", reason="permissions are those of Unix")
@pytest.mark.parametrize("what", ["train", "eval"])
def test_output_without_permission(command, tmp_path, weights, monkeypatch, what):
    files.write_coco(tmp_path / "data")
    (tmp_path / "locked").mkdir(mode=0o555)
    folder = tmp_path
    while folder != folder.parent and folder.owner() == tmp_path.owner() and folder != Path("/tmp"):
        folder.chmod(0o755)
        folder = folder.parent
    monkeypatch.chdir(tmp_path)
    recipe = shutil.copyfile(TINY[1], tmp_path / "recipe.json")  # others may not enter where the tests are
    recipe.chmod(0o644)
    call = {
        "train": ["train", "ljof", "--data", "data", "-o", "locked/run", "--recipe", recipe],
        "eval": ["eval", "coco", "--data", "data", "--frontend", weights, "-o", "locked/scores.csv"],
    }[what]
    with without_rights():
        outcome = command(*call)
    assert_refused(outcome, "locked", "permission denied", "-o")
    assert names(tmp_path / "locked") == []


# ------------------------------------------------- what is wrong with single people and images


def spoil(what, content, folder):
    """Does it to the first person with joints, or that person's image."""
    annotation = next(person for person in content["annotations"] if person["num_keypoints"] and not person["iscrowd"])
    image = next(image for image in content["images"] if image["id"] == annotation["image_id"])
    joint = 3 * next(number for number, v in enumerate(annotation["keypoints"][2::3]) if v)
    if what == "area":
        annotation["area"] = 0
    elif what == "box":
        annotation["bbox"] = [500, 500, 20, 20]
    elif what == "edge":
        annotation["bbox"][2] += 200
    elif what == "no box":
        del annotation["bbox"]
    elif what == "outside":
        annotation["keypoints"][joint] = 400
    elif what == "nan":
        annotation["keypoints"][joint] = float("nan")
    elif what == "category":
        content["annotations"].append(annotation | {"id": 5000, "category_id": 77})
    elif what == "same id":
        content["annotations"].append(dict(annotation))
    elif what == "same picture":
        content["images"].append(dict(image))
    elif what == "missing":
        (folder / image["file_name"]).unlink()
    elif what == "truncated":
        (folder / image["file_name"]).write_bytes((folder / image["file_name"]).read_bytes()[:400])
    elif what == "resized":
        write_image(folder / image["file_name"], read_image(folder / image["file_name"])[::2, ::2])


WRONG = {
    "area": "people whose area is not positive, kept: 1 (annotation ",
    "box": "people whose box is outside of their image, left out: 1 (annotation ",
    "edge": "boxes that extend beyond their image, clipped: 1 (annotation ",
    "no box": "people without a box, left out: 1 (annotation ",
    "outside": "people with joints outside of their image, kept: 1 (annotation ",
    "nan": "people with coordinates that are not finite; those joints count as not annotated: 1 (annotation ",
    "category": "annotations of a category that the file does not define, left out: 1 (annotation 5000)",
    "same id": "annotations with the id of another one, kept: 1 (annotation ",
    "same picture": "images that are listed twice, used once: 1 (",
    "missing": "missing images, their people left out: 1 (",
}


def spoilt(folder, *what):
    """COCO with something wrong in both of its files."""
    files.write_coco(folder)
    for name, images in ((COCO_TRAIN, "train2017"), (COCO_VAL, "val2017")):
        content = json.loads((folder / name).read_text())
        for each in what:
            spoil(each, content, folder / images)
        files.write_json(folder / name, content)
    return folder


@pytest.mark.parametrize("what", WRONG)
def test_faults_are_counted_and_named_and_do_not_stop_the_run(command, tmp_path, weights, what):
    data = spoilt(tmp_path / "data", what)
    run = tmp_path / "run"
    scores = tmp_path / "scores.csv"
    train = ["train", "ljof", "--data", data, "-o", run, *TINY]
    score = ["eval", "coco", "--data", data, "--frontend", weights, "-o", scores]
    for call, name in ((train, COCO_TRAIN), (score, COCO_VAL)):
        outcome = command(*call, "--strict")
        assert_refused(outcome, name, WRONG[what].partition(": 1 (")[0])
        assert not run.exists() and not scores.exists()
    if what in ("nan", "outside", "missing", "edge"):  # for the others it is enough to know that they are found
        outcome = command(*train)
        assert (
            outcome.code == 0 and outcome.err.count("\n") == 1 and f"{data / COCO_TRAIN}: {WRONG[what]}" in outcome.err
        )
        assert all(np.isfinite(float(value)) for row in rows(run / "log.csv") for value in row.values())
        assert all(value.isfinite().all() for value in load(run / WEIGHTS)[0].state_dict().values())
    outcome = command(*score)
    assert outcome.code == 0 and outcome.err.count("\n") == 1 and f"{data / COCO_VAL}: {WRONG[what]}" in outcome.err
    assert ("count as missed" in outcome.out) == (what in ("box", "no box", "missing"))
    assert len(rows(scores)) == 9


@pytest.mark.parametrize(("what", "words"), [("truncated", "not a readable image"), ("resized", "in its annotations")])
def test_unusable_images(command, tmp_path, weights, what, words):
    data = spoilt(tmp_path / "data", what)
    run = tmp_path / "run"
    scores = tmp_path / "scores.csv"
    train = ["train", "ljof", "--data", data, "-o", run, *TINY, "--epochs", "4"]
    score = ["eval", "coco", "--data", data, "--frontend", weights, "-o", scores]
    outcome = command(*train)
    assert outcome.code == 0 and words in outcome.out and "images that could not be read, skipped: 1\n" in outcome.out
    outcome = command(*score)
    assert (
        outcome.code == 0
        and "images that could not be used, whose people count as missed: 1 (first " in outcome.out
        and words in outcome.out
    )
    found = rows(scores)[0]
    assert int(found["predictions"]) < int(found["people"]) == people(data / COCO_VAL)
    scores.unlink()
    detections = next((data / "person_detection_results").iterdir())
    outcome = command(*score, "--boxes", detections)
    assert outcome.code == 0 and words in outcome.out
    scores.unlink()
    training_output = (
        f"hrnet_small: training on {people(data / COCO_TRAIN)} people of {Path(COCO_TRAIN).name} (coco), coco17\n"
    )
    outcome = command(*train[:-2], "--epochs", "4", "-o", tmp_path / "strict", "--strict")
    assert (
        outcome.code == 2
        and outcome.out.startswith(training_output)
        and outcome.err.count("\n") == 1
        and words in outcome.err
    )
    assert not (tmp_path / "strict" / WEIGHTS).exists()
    assert_refused(command(*score, "--strict"), words)
    assert not scores.exists()


def test_people_without_joints_are_no_problem(command, tmp_path, weights):
    data = files.write_coco(tmp_path / "data")
    for name in (COCO_TRAIN, COCO_VAL):
        content = json.loads((data / name).read_text())
        annotation = next(person for person in content["annotations"] if person["num_keypoints"])
        annotation |= {"keypoints": [0] * 51, "num_keypoints": 0}
        files.write_json(data / name, content)
    outcome = command("train", "ljof", "--data", data, "-o", tmp_path / "run", *TINY, "--strict")
    assert (outcome.code, outcome.err) == (0, "") and f"training on {people(data / COCO_TRAIN)} people" in outcome.out
    outcome = command("eval", "coco", "--data", data, "--frontend", weights, "--strict")
    assert (outcome.code, outcome.err) == (0, "") and f"coco: {people(data / COCO_VAL)} people" in outcome.out


def test_all_at_once(command, tmp_path):
    data = spoilt(tmp_path / "data", "area", "outside", "category", "same id", "same picture")
    outcome = command("train", "ljof", "--data", data, "-o", tmp_path / "run", *TINY)
    assert outcome.code == 0 and outcome.err.count("\n") == 5


def test_boxes_of_other_images_are_left_out_and_named(command, tmp_path, weights):
    data = files.write_coco(tmp_path / "data")
    found = files.boxes(json.loads((data / COCO_VAL).read_text()))
    boxes = files.write_json(tmp_path / "boxes.json", [*found, found[0] | {"image_id": 999}])
    call = ["eval", "coco", "--data", data, "--frontend", weights, "--boxes", boxes]
    outcome = command(*call)
    assert outcome.code == 0 and outcome.err.count("\n") == 1
    assert f"{boxes}: boxes of images that the annotations do not have, left out: 1 (image_id 999)" in outcome.err
    assert_refused(command(*call, "--strict"), "boxes.json", "image_id 999")


# ---------------------------------------------------------------------------------- unseen images


def test_images_in_both_sets_are_reported(command, tmp_path):
    data = files.write_coco(tmp_path / "data")
    other = tmp_path / "other"
    used = {
        person["image_id"]
        for person in json.loads((data / COCO_TRAIN).read_text())["annotations"]
        if person["num_keypoints"]
    }
    first = data / "train2017" / f"{min(used):012}.jpg"
    generator = np.random.default_rng(9)
    write_image(other / "new.png", files.drawing(generator))
    call = ["train", "ljof", "--data", data, *TINY, "--holdout", other]
    clean = command(*call, "-o", tmp_path / "clean", "--strict")
    assert (
        clean.code == 0
        and f"{other}: images in the training data: 0; with a copy in it: 0; in neither way: 1\n" in clean.out
    )
    assert "--holdout HOLDOUT" in card(tmp_path / "clean")["command"]
    (other / "copy.jpg").write_bytes(first.read_bytes())
    write_image(other / "mirrored.png", read_image(first)[:, ::-1])
    outcome = command(*call, data / "val2017", "-o", tmp_path / "copies")
    assert outcome.code == 0
    assert f"{other / 'copy.jpg'}: same file as {first} of the training data\n" in outcome.out
    assert f"{other / 'mirrored.png'}: mirrored image as {first} of the training data\n" in outcome.out
    assert f"{other}: images in the training data: 0; with a copy in it: 2; in neither way: 1\n" in outcome.out
    assert (
        f"{data / 'val2017'}: images in the training data: 0; with a copy in it: 0; in neither way: 4\n" in outcome.out
    )
    stopped = command(*call, "-o", tmp_path / "stopped", "--strict")
    assert (
        stopped.code == 2
        and stopped.err.count("\n") == 1
        and f"{other}: images that are in the training data too: 2; leave them out" in stopped.err
    )
    assert not (tmp_path / "stopped").exists()


def test_training_and_test_images_in_one_folder(command, tmp_path):
    """As CrowdPose has them: the test's annotations say which."""
    data = files.write_crowdpose(tmp_path / "data")
    content = json.loads((data / "json" / "crowdpose_trainval.json").read_text())
    used = {person["image_id"] for person in content["annotations"] if person["num_keypoints"]}
    call = ["train", "ljof", "--data", data, *TINY, "--strict", "--holdout"]
    tested = data / "json" / "crowdpose_test.json"
    outcome = command(*call, tested, "-o", tmp_path / "run")
    assert outcome.code == 0
    assert f"{tested}: images in the training data: 0; with a copy in it: 0; in neither way: 4\n" in outcome.out
    stopped = command(*call, data / "images", "-o", tmp_path / "stopped")
    assert (
        stopped.code == 2
        and f"{data / 'images'}: images that are in the training data too: {len(used)}; leave them out" in stopped.err
    )
    assert not (tmp_path / "stopped").exists()


# ------------------------------------------------------------------------------------------- words


def test_people_are_detected_by_default(command, tmp_path):
    data = files.write_ochuman(tmp_path / "data")
    outcome = command("eval", "ochuman", "--data", data, "-o", tmp_path / "scores.csv")
    assert (
        outcome.code == 0
        and "ochuman, detected boxes" in outcome.out
        and "in boxes of movenet-occlusion itself" in outcome.out
    )
    assert {row["boxes"] for row in rows(tmp_path / "scores.csv")} == {"detected"}


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (
            "train ljof",
            [
                "--recipe NAME|FILE",
                "hrnet_small",
                "--holdout FOLDERS|FILES",
                "torchrun",
                "--resume",
                "occlupose train recipe ljof",
            ],
        ),
        (
            "eval crowdpose",
            [
                "CrowdPose",
                "by crowding",
                "--detector FILE",
                "--threads",
                "--box-source",
                "--boxes FILE",
                "val2017",
                "--flip",
                ".csv file",
            ],
        ),
        ("convert checkpoint", ["MMPose, ViTPose, timm or MAE", "No code in it is run", "--skeleton NAME", "licence"]),
        ("convert", ["smpl", "anny", "checkpoint"]),
    ],
)
def test_help_teaches(command, named, words):
    outcome = command(*named.split(), "--help")
    assert (outcome.code, outcome.err) == (0, "")
    flat = " ".join(outcome.out.replace("│", " ").split())
    assert [word for word in words if word not in flat] == []
    assert "None" not in flat
