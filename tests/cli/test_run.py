"""The output folder of `occlupose run`, early refusals and lines of progress."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import ENVIRONMENT, assert_refused, names
from hupor_detections import write_hupor
from media_files import make_video
from occlupose.cli import terminal
from occlupose.media import write_image
from occlupose.poses import Poses
from walking_people import circle, make_poses

FILES = ["overlay.mp4", "poses.json", "poses.npz", "preview.png", "run.json"]


@pytest.fixture
def run(command, tmp_path):
    """`occlupose run` with HUPOR's networks, small and untrained, so that it takes no time."""
    weights = write_hupor(tmp_path / "net.safetensors")

    def call(*arguments):
        return command("run", *arguments, "--method", "hupor", "--weights", weights)

    return call


# -------------------------------------------------------------------------------------- the output folder


def test_the_folder_says_what_it_was_made_from(run, tmp_path):
    video = make_video(tmp_path / "walk.mp4", 3)
    assert run(video).code == 0
    content = json.loads(Path("out/walk/run.json").read_text())
    assert content["input"] == str(video) and content["method"] == "hupor"


def test_the_same_input_again_replaces_its_files(run, tmp_path):
    video = make_video(tmp_path / "walk.mp4", 4)
    assert run(video).code == 0
    assert run(video, "--every", "2").code == 0
    assert names(Path("out/walk")) == FILES and len(Poses.load("out/walk/poses.npz")) == 2


@pytest.mark.parametrize("other", ["b/walk.mp4", "walk.mov"])
def test_another_input_of_the_same_name_is_refused(run, tmp_path, other):
    video = make_video(tmp_path / "walk.mp4", 3)
    (tmp_path / other).parent.mkdir(exist_ok=True)
    second = make_video(tmp_path / other, 2)
    assert run(video).code == 0
    assert_refused(run(second), "out/walk", f"holds poses of {video}", "--overwrite")
    assert len(Poses.load("out/walk/poses.npz")) == 3
    assert run(second, "--overwrite").code == 0
    assert len(Poses.load("out/walk/poses.npz")) == 2
    assert_refused(run(video), f"holds poses of {second}")


def test_a_run_that_ended_while_writing_can_be_repeated(run, tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    first = make_video(tmp_path / "a" / "walk.mp4", 3)
    second = make_video(tmp_path / "walk.mp4", 2)
    assert run(first).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(Poses, "save", lambda *_: sys.exit(9))
        assert run(second, "--overwrite").code == 9
    assert names(Path("out/walk")) == ["run.json"]
    assert run(second).code == 0
    assert len(Poses.load("out/walk/poses.npz")) == 2


def test_poses_of_an_unknown_input_are_not_replaced(run, tmp_path):
    make_poses(circle()).save(tmp_path / "out" / "poses.json")
    video = make_video(tmp_path / "walk.mp4", 2)
    assert_refused(run(video, "-o", tmp_path / "out"), "an unknown input", "--overwrite")
    assert names(tmp_path / "out") == ["poses.json"]
    assert run(video, "-o", tmp_path / "out", "--overwrite").code == 0


def test_no_overlay_of_an_earlier_run_stays(run, tmp_path):
    video = make_video(tmp_path / "walk.mp4", 4)
    assert run(video).code == 0
    assert run(video, "--end", "0.2", "--no-video").code == 0
    assert names(Path("out/walk")) == FILES[1:]


def test_poses_are_kept_where_they_are_too_many_to_draw(run, tmp_path, monkeypatch):
    # of the finished record, which is held in arrays since it is short
    monkeypatch.setattr(Poses, "fits_in_arrays", property(lambda poses: poses._store is not None))
    outcome = run(make_video(tmp_path / "crowd.mp4", 3), "--page")
    assert outcome.code == 0 and names(Path("out/crowd")) == ["poses.json", "poses.npz", "run.json"]
    wrong = "0 people in 3 frames are too many to draw; pictures, video and page are left out"
    assert outcome.err.count(f"crowd.mp4: {wrong}\n") == 1


def test_no_preview_of_an_earlier_run_stays(run, tmp_path):
    video = make_video(tmp_path / "walk.mp4", 4)
    assert run(video).code == 0
    assert run(video.as_uri(), "-o", "out/walk", "--overwrite").code == 0  # as a camera, which has no preview
    assert names(Path("out/walk")) == ["poses.json", "poses.npz", "run.json"]


def test_no_angles_of_an_earlier_run_stay(run, tmp_path):
    video = make_video(tmp_path / "walk.mp4", 4)
    assert run(video, "--no-video").code == 0
    angles = [Path("out/walk") / name for name in ("angles.csv", "angles.png", "angles_1.png", "angles_mine.png")]
    for file in angles:
        file.touch()
    assert run(video, "--no-video").code == 0
    assert [file.exists() for file in angles] == [False, False, False, True]


def test_the_users_own_files_stay(run, tmp_path):
    (tmp_path / "overlay.mp4").write_bytes(b"mine")
    assert run(make_video(tmp_path / "walk.mp4", 2), "-o", tmp_path, "--no-video").code == 0
    assert (tmp_path / "overlay.mp4").read_bytes() == b"mine"


def test_the_input_is_never_written_over(run, tmp_path):
    video = make_video(tmp_path / "overlay.mp4", 2)
    content = video.read_bytes()
    assert_refused(run(video, "-o", tmp_path, "--overwrite"), "overlay.mp4", "is the input")
    assert video.read_bytes() == content


@pytest.mark.parametrize("name", ["result.mp4", "people.npz", "a.JPG"])
def test_a_file_name_for_the_folder_is_refused(run, tmp_path, name):
    assert_refused(run(tmp_path / "nope.mp4", "-o", tmp_path / name), name, "-o is the folder")


def test_a_broken_link_for_the_folder_is_refused_before_the_work(run, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for folder in (tmp_path / "link", tmp_path / "link" / "deeper"):
        assert_refused(run(tmp_path / "nope.mp4", "-o", folder), "link", "broken link")


@pytest.mark.parametrize("name", ["poses.npz", "preview.png", "run.json"])
def test_a_folder_in_the_place_of_a_file_is_refused_before_the_work(run, tmp_path, name):
    (tmp_path / "out" / name).mkdir(parents=True)
    assert_refused(run(tmp_path / "nope.mp4", "-o", tmp_path / "out"), name, "is a folder")


# -------------------------------------------------------------------------------------- early refusals


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--camera", "nope.json"], "nope.json"),
        (["--frontend", "nope.onnx"], "nope.onnx"),
        (["--frontend", "nope.safetensors"], "nope.safetensors"),
        (["--frontend", "nope"], "nope"),
        (["--frontend", "movenet-multipose", "--boxes", "boxes.json"], "boxes"),
        (["--boxes", "nope.json"], "nope.json"),
        (["--flip"], "flip"),
        (["--weights", "nope.safetensors"], "nope.safetensors"),
        (["--fov", "200"], "fov 200"),
        (["--height", "180"], "height 180"),
        (["--max-people", "0"], "max_people 0"),
        (["--method", "hupor", "--flow", "dis"], "flow"),
    ],
)
def test_impossible_options_are_refused_before_networks_are_loaded(tmp_path, options, words):
    (tmp_path / "boxes.json").write_text('[{"image_id": 0, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 0.9}]')
    make_video(tmp_path / "walk.mp4", 3)
    code = f"""
import sys
from occlupose import cli
sys.argv = ["occlupose", "run", "walk.mp4", *{options!r}]
try:
    cli.main()
except SystemExit as end:
    print(end.code, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "2 False\n" and words in done.stderr and done.stderr.count("\n") == 1


def test_images_of_several_sizes_are_refused_before_networks_are_loaded(run, tmp_path):
    for number, width in enumerate((64, 64, 80)):
        write_image(tmp_path / "shots" / f"{number}.png", np.zeros((48, width, 3), np.uint8))
    outcome = run(tmp_path / "shots", "--height", "180")  # which is refused afterwards
    assert_refused(outcome, "2.png", "80x48", "64x48")


# -------------------------------------------------------------------------------------- lines


def test_progress_off_a_terminal_is_a_line_now_and_then(run, tmp_path, monkeypatch):
    monkeypatch.setattr(terminal, "STATUS_SECONDS", 0.0)
    outcome = run(make_video(tmp_path / "walk.mp4", 3), "--fov", "60")
    lines = outcome.err.splitlines()
    assert lines[:3] == [f"occlupose: detecting: {done} of 3 frames, 0 people" for done in (1, 2, 3)]
    assert "occlupose: drawing overlay.mp4: 3 of 3 frames" in lines
    monkeypatch.setattr(terminal, "STATUS_SECONDS", 10.0)
    assert "detecting" not in run(tmp_path / "walk.mp4", "--fov", "60").err


def test_a_reader_who_ends_first_is_no_error(tmp_path):
    make_poses(circle()).save(tmp_path / "a.npz")
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [sys.executable, "-m", "occlupose", "lift", tmp_path / "a.npz", "-o", tmp_path / "b.npz"]
    done = subprocess.run(arguments, env=ENVIRONMENT, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode in (1, 141) and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
    assert len(Poses.load(tmp_path / "b.npz")) == 100


def test_an_address_that_is_none_is_one_line(tmp_path):
    arguments = [sys.executable, "-m", "occlupose", "run", "rtsp://127.0.0.1:9/none"]
    done = subprocess.run(arguments, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "127.0.0.1" in done.stderr


def test_lift_writes_to_out_by_default(command, tmp_path):
    make_poses(circle()[:10]).save(tmp_path / "mine.npz")
    assert command("lift", tmp_path / "mine.npz", "--fov", "60").code == 0
    assert len(Poses.load("out/mine.npz")) == 10


def test_lift_refuses_a_folder_before_the_work(command, tmp_path):
    make_poses(circle()[:10]).save(tmp_path / "mine.npz")
    (tmp_path / "b.npz").mkdir()
    assert_refused(command("lift", tmp_path / "mine.npz", "-o", tmp_path / "b.npz"), "b.npz", "is a folder")
