"""Scoring everybody in absolute 3D, as a user does it at the command line."""

import csv

import numpy as np
import pytest
import torch

from commands import assert_refused
from mupots_files import sequence_3dpw, write_mupots, write_scenes
from occlupose.datasets.formats import mupots, synth_scenes, threedpw
from occlupose.detections import Detections
from occlupose.evaluation.predictions import ImagePredictions
from occlupose.methods.hupor.network import HUPORDesign, HUPORNetwork
from occlupose.methods.hupor.weights import TrainedHUPOR
from occlupose.methods.hupor.weights import save as save_weights
from occlupose.networks.mspn import StageSize
from occlupose.skeletons import MPI15, MUPOTS17


def save(path, found, skeleton, factor=1.0):
    """Everybody predicted where they are, but for a factor."""
    people = {}
    for one in found:
        score = np.ones(one.xy.shape[:2])
        people[one.name] = Detections(skeleton=skeleton, xy=one.xy, xyz=factor * one.xyz, score=score)
    ImagePredictions(skeleton, people).save(path)
    return path


@pytest.fixture
def data(tmp_path):
    write_mupots(tmp_path / "mupots")
    return tmp_path / "mupots"


@pytest.mark.parametrize(
    ("options", "protocol"),
    [([], "official"), (["--protocol", "smap15"], "smap15"), (["--protocol", "gntcn"], "gntcn")],
)
def test_mupots_predictions_by_each_protocol(command, tmp_path, data, options, protocol):
    file = save(tmp_path / "p.npz", mupots.load(data), MUPOTS17)
    outcome = command("eval", "mupots", "--data", data, "--predictions", file, "-o", tmp_path / "s.csv", *options)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    assert f"mupots, {protocol}: 6 images, 18 people, 18 of them matched; 18 predictions" in outcome.out
    assert outcome.out.endswith(f"{tmp_path / 's.csv'}: written\n") and "true bone lengths" in outcome.out
    with (tmp_path / "s.csv").open(newline="") as written:
        pooled = next(row for row in csv.DictReader(written) if row["subset"] == "all joints")
    assert (pooled["dataset"], pooled["protocol"], pooled["predictions"]) == ("mupots", protocol, "p.npz")
    assert float(pooled["PCK"]) == 1
    # official truth is 1.1 times as large, so absolute places are wrong by its measure, and right by the ports'
    assert float(pooled["PCK_abs"]) == (1 if protocol == "gntcn" else 0)


def test_sequences_and_predictions_that_lack_them(command, tmp_path, data):
    file = save(tmp_path / "p.npz", mupots.load(data, ["TS7"]), MUPOTS17)
    some = command("eval", "mupots", "--data", data, "--predictions", file, "--sequences", "TS7")
    assert some.code == 0 and "3 images, 9 people" in some.out
    outcome = command("eval", "mupots", "--data", data, "--predictions", file)
    assert_refused(outcome, "p.npz: lacks 3 of 6 images, first TS1/img_000000.jpg")


def test_3dpw(command, tmp_path):
    folder = tmp_path / "3dpw"
    folder.mkdir()
    np.savez(folder / "downtown_stairs_00.npz", **sequence_3dpw(np.random.default_rng(0)))
    file = save(tmp_path / "p.npz", threedpw.load(folder), MPI15, factor=1.1)
    outcome = command("eval", "3dpw", "--data", folder, "--predictions", file)
    assert (
        outcome.code == 0
        and "3dpw, mpi15: 3 images, 6 people, 6 of them matched" in outcome.out
        and "bone lengths" not in outcome.out
    )
    assert_refused(
        command("eval", "3dpw", "--data", folder, "--protocol", "official"),
        "--protocol: not an option of eval 3dpw; ",
    )


def test_our_own_scenes(command, tmp_path):
    write_scenes(tmp_path / "synth")
    people = {}
    for sample in synth_scenes.load(tmp_path / "synth"):
        xyz = sample.camera.back_project(sample.xy, sample.z)
        xyz[:, MPI15.index("left_hip")] += (0, 0, 0.4)
        score = np.ones(sample.state.shape)
        people[sample.image.name] = Detections(skeleton=MPI15, xy=sample.xy, xyz=xyz, score=score, state=sample.state)
    ImagePredictions(MPI15, people).save(tmp_path / "p.npz")
    outcome = command(
        "eval",
        "synth",
        "--data",
        tmp_path / "synth",
        "--predictions",
        tmp_path / "p.npz",
        "-o",
        tmp_path / "s.csv",
    )
    assert outcome.code == 0 and "synth, mpi15: 2 images, 6 people, 6 of them matched" in outcome.out
    with (tmp_path / "s.csv").open(newline="") as written:
        pooled = next(csv.DictReader(written))
    assert (float(pooled["PCK_occ"]), float(pooled["PCK_vis"]), float(pooled["hip"])) == (0, 1, 0.5)
    assert float(pooled["MPJPE_occ_mm"]) == pytest.approx(400, rel=1e-5) and pooled["rescaled_bones"] == "no"


def test_what_a_network_finds_is_kept_and_scored_again(command, tmp_path):
    write_scenes(tmp_path / "synth")
    tiny = StageSize((1, 1, 1, 1), (4, 4, 4, 4), 8)
    torch.manual_seed(0)
    save_weights(
        TrainedHUPOR(HUPORNetwork(HUPORDesign(64, 64, 1, tiny, reasoner_stages=1, reasoner_size=tiny))),
        tmp_path / "w.safetensors",
    )
    start = ("eval", "synth", "--data", tmp_path / "synth", "-o", tmp_path / "s.csv")
    first = command(*start, "--weights", tmp_path / "w.safetensors", "--save-predictions", tmp_path / "p.npz", "--flip")
    assert (first.code, first.err) == (0, "") and f"{tmp_path / 'p.npz'}: predictions written" in first.out
    figures = [row | {"predictions": ""} for row in csv.DictReader((tmp_path / "s.csv").open(newline=""))]
    again = command(*start, "--predictions", tmp_path / "p.npz")
    assert again.code == 0 and again.out == first.out.partition("written\n")[2]
    assert figures == [row | {"predictions": ""} for row in csv.DictReader((tmp_path / "s.csv").open(newline=""))]
    assert_refused(command(*start, "--weights", tmp_path / "none.safetensors"), "none.safetensors")
    assert_refused(command(*start, "--weights", tmp_path / "w.safetensors", "--device", "nowhere"), "nowhere")


def test_what_is_refused(command, tmp_path, data):
    file = save(tmp_path / "p.npz", mupots.load(data), MUPOTS17)
    start = ("eval", "mupots", "--data", data)
    for other in (["--weights", file], ["--save-predictions", tmp_path / "q.npz"], ["--flip"]):
        assert_refused(command(*start, "--predictions", file, *other), f"leave out {other[0]}")
    assert_refused(command(*start, "--predictions", file, "-o", tmp_path), "is a folder")
    assert_refused(command(*start, "--predictions", file, "-o", file / "s.csv"), "cannot be written to")
    assert_refused(command(*start, "--predictions", tmp_path / "none.npz"), "none.npz: cannot be read")
    assert_refused(
        command("eval", "mupots", "--data", tmp_path / "nowhere", "--predictions", file),
        "nowhere: no such folder",
    )
    assert_refused(command("eval", "synth", "--data", data, "--predictions", file), "no scene in it")
