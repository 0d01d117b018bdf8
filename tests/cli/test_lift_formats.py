"""occlupose lift with the files of other tools."""

import json

import numpy as np
import pytest

from commands import assert_refused, names
from foreign_files import csv_file, json_file, openpose_folder, openpose_people, walkers
from occlupose import Poses, formats, lift
from occlupose.skeletons import BODY25

SAID = "a field of view of 55 degrees was assumed; --fov or --camera makes the metres right"


@pytest.fixture
def folder(tmp_path):
    """A folder of OpenPose."""
    return openpose_folder(tmp_path / "walk_json", walkers(BODY25))


def test_a_folder(command, folder, tmp_path):
    outcome = command("lift", folder, "-o", tmp_path / "a.npz", "--fps", "25", "--size", "1280x960")
    assert outcome.code == 0 and outcome.out.endswith(f"{tmp_path / 'a.npz'}: written\n")
    tracked = f"{folder}: it does not say who is who: people are tracked, 2 found"
    assert outcome.err.splitlines() == [f"occlupose: note: {tracked}", f"occlupose: note: {SAID}"]
    assert Poses.load(tmp_path / "a.npz") == lift(formats.read(folder, fps=25, size=(1280, 960)).poses)


def test_what_is_assumed_is_one_line(command, folder, tmp_path):
    outcome = command("lift", folder, "-o", tmp_path / "a.json", "--fov", "60")
    assumed = f"{folder}: 30 frames per second and images of 1014 x 711 are assumed; give fps and size if that is wrong"
    assert outcome.err.splitlines()[0] == f"occlupose: note: {assumed}" and outcome.err.count("\n") == 2
    lifted = Poses.load(tmp_path / "a.json")
    assert (lifted.fps, lifted.width, lifted.height) == (30, 1014, 711)


def test_the_size_is_the_cameras(command, folder, tmp_path):
    camera = {"width": 1280, "height": 960, "fx": 1000, "fy": 1000, "cx": 639.5, "cy": 479.5}
    file = json_file(tmp_path / "camera.json", camera)
    outcome = command("lift", folder, "-o", tmp_path / "a.npz", "--fps", "25", "--camera", file)
    assert outcome.code == 0 and "assumed" not in outcome.err
    assert Poses.load(tmp_path / "a.npz").width == 1280
    options = ("--fps", "25", "--size", "640x480", "--camera", file)
    assert_refused(command("lift", folder, "-o", tmp_path / "b.npz", *options), "1280 x 960", "640 x 480")


def test_the_default_output_is_named_after_the_folder(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert command("lift", ".").code == 0
    assert names(folder / "out") == ["walk_json.npz"]


def test_an_array_needs_the_name_of_its_joints(command, tmp_path):
    np.save(tmp_path / "a.npy", walkers())
    refused = command("lift", tmp_path / "a.npy", "-o", tmp_path / "b.npz")
    assert_refused(refused, "a.npy: does not name its 17 joints; give the skeleton", "coco17")
    assert command("lift", tmp_path / "a.npy", "-o", tmp_path / "b.npz", "--skeleton", "coco17").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "1280"], ["--size 1280: not a size; give width and height in pixels, such as 1920x1080"]),
        (["--size", "1280x"], ["--size 1280x: not a size"]),
        (["--size", "-1x5"], ["not a size"]),
        (["--size", "0x5"], ["walk_json: size is 0 x 5; it must be"]),
        (["--fps", "0"], ["walk_json: fps: is 0.0; it must be"]),
        (["--fps", "1e6"], ["walk_json: fps: is 1000000.0; it must be"]),
        (["--fps", "fast"], ["--fps fast: not a number"]),
        (["--skeleton", "coco17"], ["walk_json: has 25 joints, coco17 has 17"]),
        (["--skeleton", "centaur"], ["centaur: not a known skeleton"]),
    ],
)
def test_options_that_are_refused(command, folder, tmp_path, options, words):
    assert_refused(command("lift", folder, "-o", tmp_path / "a.npz", *options), *words)
    assert not (tmp_path / "a.npz").exists()


def test_files_that_are_refused_leave_nothing(command, tmp_path):
    document = openpose_people(walkers(BODY25)[0])
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document)[:-5])
    assert_refused(command("lift", path, "-o", tmp_path / "a.npz"), "a.json: not JSON, or not all of it")
    animal = csv_file(
        tmp_path / "a.csv", [["scorer", *["me"] * 2], ["bodyparts", *["tail"] * 2], ["coords", "x", "y"], [0, 50, 60]]
    )
    assert_refused(
        command("lift", animal, "-o", tmp_path / "a.npz"), "a.csv: no joint of a person's body in it, only tail;"
    )
    assert names(tmp_path) == ["a.csv", "a.json", "here"]


def test_people_in_3d_are_not_lifted(command, tmp_path):
    header = [
        "PathFileType\t4\t(X/Y/Z)\ta.trc",
        "DataRate\tUnits",
        "25\tm",
        "Frame#\tTime\tLHip\t\t\tLKnee\t\t\t",
        "\t\tX1",
    ]
    path = tmp_path / "a.trc"
    path.write_text("\n".join([*header, "1\t0\t0\t1\t0\t0\t0.5\t0", ""]))
    refused = command("lift", path, "-o", tmp_path / "a.npz")
    assert_refused(refused, "a.trc: is in 3D already; Poses.read takes it as it is, lift takes 2D poses")
