"""occlupose export, and run --export."""

import csv
import sys
from pathlib import Path

import pytest

from commands import assert_refused, names
from floor_records import record_of, standing
from foreign_files import openpose_folder, walkers
from hupor_detections import people_in_rows, write_hupor
from media_files import make_video
from occlupose.methods.hupor.estimator import HUPOR
from occlupose.skeletons import BODY25, H36M17
from pose_records import record


@pytest.fixture
def folder():
    """A folder as run writes it."""
    for name in ("poses.npz", "poses.json"):
        record(3, 2, H36M17).save(Path("out/walk") / name)
    return Path("out/walk")


def test_a_file_by_its_suffix(command, folder):
    outcome = command("export", folder, "-o", "walk.csv")
    assert (outcome.code, outcome.out, outcome.err) == (0, "walk.csv: written\n", "")
    record(3, 2, H36M17).export("same.csv")
    assert Path("walk.csv").read_bytes() == Path("same.csv").read_bytes()


def test_several_formats_beside_the_poses(command, folder):
    outcome = command("export", folder, "--to", "csv", "trc", "openpose")
    files = ["poses.csv", "poses_1.trc", "poses_4.trc", "poses-openpose"]
    assert outcome.out.splitlines() == [f"{folder / name}: written" for name in files]
    assert names(folder) == sorted([*files, "poses.json", "poses.npz"])


def test_of_a_file_they_are_in_out_or_where_the_user_says(command, folder):
    assert command("export", folder / "poses.json", "--to", "nc").out == "out/poses.nc: written\n"
    assert command("export", folder, "--to", "nc", "coco", "-o", "new").code == 0
    assert names(Path("new")) == ["poses-coco.json", "poses.nc"]


def test_people_stand_on_the_floor_of_the_world(command):
    record_of(standing(), H36M17).save("walk.npz")
    assert command("export", "walk.npz", "--to", "csv", "trc", "bvh", "-o", "new").code == 0
    assert names(Path("new")) == ["walk.bvh", "walk.csv", "walk.trc"]
    with Path("new/walk.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["joint"] == "right_ankle"]
    cells = Path("new/walk.trc").read_text().splitlines()[6].split("\t")
    y = 2 + 3 * H36M17.index("right_ankle")[0] + 1
    assert float(cells[y]) == pytest.approx(float(rows[0]["z_world_m"]), abs=1e-6)
    assert 0 < float(cells[y]) < 0.2


def test_files_of_other_tools(command, tmp_path):
    source = openpose_folder(tmp_path / "walk_json", walkers(BODY25))
    outcome = command("export", source, "-o", "walk.csv", "--fps", "50")
    assert outcome.code == 0 and "people are tracked, 2 found" in outcome.err
    lines = Path("walk.csv").read_text().splitlines()
    assert lines[0] == "frame,time_s,person,joint,state,score,x_px,y_px" and lines[51].startswith("1,0.02,")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["no format to write; give --to csv, or a file"]),
        (
            ["-o", "a.json"],
            ["a.json: its suffix is that of no format to write; give one of .csv, ", "or give --to coco"],
        ),
        (["--to", "gltf", "-o", "a.gltf"], ["a.gltf: ", "give a .glb"]),
        (["--to", "fbx"], ["fbx: is no format of files to write; they are csv, "]),
        (["--to", "csv", "trc", "-o", "a.csv"], ["a.csv: is the name of a file"]),
        (["--to", "coco", "-o", "out/walk/poses.npz"], ["poses.npz: is the input; give another file to write"]),
        (["--to", "csv", "-o", "out/walk"], ["out/walk: is a folder; give the name of a file"]),
    ],
)
def test_what_is_refused(command, folder, arguments, words):
    assert_refused(command("export", folder, *arguments), *words)
    assert names(folder) == ["poses.json", "poses.npz"] and names(Path()) == ["out"]


def test_inputs_that_are_refused(command, folder):
    assert_refused(command("export", "nothing", "--to", "csv"), "nothing: cannot be read")
    assert_refused(command("export", folder, folder, "--to", "csv"), "one input at a time")


# ----------------------------------------------------------------------------------------------- run --export


@pytest.fixture
def run(command, tmp_path, monkeypatch):
    """`occlupose run` on a video of two people."""
    weights = write_hupor(tmp_path / "net.safetensors")
    video = make_video(tmp_path / "walk.mp4", 4)
    monkeypatch.setattr(HUPOR, "detect", lambda self, frame, camera: people_in_rows(2))

    def call(*arguments):
        return command("run", video, "--no-video", *arguments, "--method", "hupor", "--weights", weights)

    return call


WITHOUT = ["poses.json", "poses.npz", "preview.png", "run.json"]


def test_run_writes_other_formats_too(run):
    outcome = run("--export", "csv", "trc")
    assert outcome.code == 0, outcome.err
    assert names(Path("out/walk")) == sorted([*WITHOUT, "poses.csv", "poses_1.trc", "poses_2.trc"])
    assert outcome.out.endswith("preview.png, poses.csv, poses_1.trc, poses_2.trc\n")


def test_an_export_that_fails_hides_nothing_of_the_run(run):
    (Path("out/walk/poses.c3d") / "mine").mkdir(parents=True)
    outcome = run("--export", "csv", "c3d")
    assert outcome.code == 2
    assert outcome.err.startswith("occlupose: note: ")
    assert outcome.err.splitlines()[-1].startswith("occlupose: out/walk/poses.c3d")
    assert len(outcome.out.splitlines()) > 1  # the summary
    assert outcome.out.endswith("out/walk: poses.npz, poses.json, preview.png, poses.csv\n")
    assert names(Path("out/walk")) == sorted([*WITHOUT, "poses.c3d", "poses.csv"])


def test_the_next_run_leaves_no_old_exports(run):
    assert run("--export", "csv", "openpose").code == 0
    assert run("--export", "openpose").code == 0
    assert names(Path("out/walk")) == sorted([*WITHOUT, "poses-openpose"])
    assert run().code == 0
    assert names(Path("out/walk")) == WITHOUT


def test_formats_are_refused_before_anything_is_done(run, monkeypatch):
    assert_refused(run("--export", "fbx"), "fbx: is no format of files to write")
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    assert_refused(run("--export", "c3d"), "poses.c3d: needs ezc3d; pip install '.[c3d]' in a clone of occlupose")
    assert not Path("out").exists()


def test_a_run_in_which_nobody_is_writes_no_exports(run, monkeypatch):
    monkeypatch.setattr(HUPOR, "detect", lambda self, frame, camera: people_in_rows(0))
    outcome = run("--export", "csv")
    assert outcome.code == 0 and "nobody found in it" in outcome.err
    assert names(Path("out/walk")) == WITHOUT
