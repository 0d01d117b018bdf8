"""occlupose view, and run --page."""

import json
import re
import webbrowser
from pathlib import Path

import numpy as np
import pytest

from commands import assert_refused, names
from hupor_detections import people_in_rows, write_hupor
from media_files import make_video
from moving_skeletons import moving_poses
from occlupose.cli import page as cli_page
from occlupose.methods.hupor.estimator import HUPOR
from walking_people import make_poses, stand


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Addresses that were opened in a browser."""
    addresses = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    monkeypatch.setattr(cli_page, "_has_display", lambda: True)
    return addresses


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / "walk.mp4", 6)


@pytest.fixture
def folder(video):
    """A folder as run writes it."""
    made = Path("out/walk")
    make_poses(stand(-1, 4, 6), stand(1, 4, 6), width=64, height=48).save(made / "poses.npz")
    (made / "run.json").write_text(json.dumps({"input": str(video)}))
    return made


def content_of(path):
    return json.loads(re.search(r'id="content">(.*?)</script>', Path(path).read_text(encoding="utf-8"))[1])


def test_a_page_beside_the_poses_that_is_opened(command, folder, opened):
    outcome = command("view", folder)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{folder / 'page.html'}: written\n", "")
    content = content_of(folder / "page.html")
    assert content["video"]["kind"] == "video" and content["title"] == "walk.mp4" and content["panels"]
    assert opened == [(folder / "page.html").resolve().as_uri()]


def test_where_the_user_says_with_names(command, folder, opened):
    outcome = command("view", folder, "-o", "walk.html", "--names", "Anna", "Ben", "--no-open", "--no-angles")
    assert outcome.out == "walk.html: written\n" and opened == []
    content = content_of("walk.html")
    assert [person["name"] for person in content["people"]] == ["Anna", "Ben"] and content["panels"] == []


def test_of_a_file_without_its_video(command, opened):
    make_poses(stand(0, 4, 3)).save("walk.npz")
    outcome = command("view", "walk.npz", "--no-angles")
    assert (outcome.code, outcome.out, outcome.err) == (0, "out/page.html: written\n", "")
    assert content_of("out/page.html")["video"]["kind"] == "none"


def test_of_a_file_with_its_video(command, video):
    make_poses(stand(0, 4, 6), width=64, height=48).save("walk.json")
    assert command("view", "walk.json", "--video", video, "--no-angles").code == 0
    assert content_of("out/page.html")["video"]["kind"] == "video"


def test_the_video_is_cut_to_the_poses(command, folder):
    poses = make_poses(stand(0, 4, 3), width=64, height=48)
    poses.time += 0.2
    poses.save(folder / "poses.npz")
    assert command("view", folder, "--no-angles").code == 0
    assert content_of(folder / "page.html")["video"]["start"] == pytest.approx(0.2)


def test_a_video_that_is_gone_is_said(command, folder, video):
    video.unlink()
    outcome = command("view", folder, "--no-angles")
    assert outcome.code == 0
    gone = f"{video}: is not there any more, so that the page has no video; see --video"
    assert outcome.err == f"occlupose: note: {gone}\n"


@pytest.mark.parametrize("name", ["0", "rtsp://192.0.2.1/live", "http://192.0.2.1/stream"])
def test_nothing_is_said_of_cameras(command, folder, name):
    (folder / "run.json").write_text(json.dumps({"input": name}))
    outcome = command("view", folder, "--no-angles")
    assert (outcome.code, outcome.err) == (0, "")
    assert content_of(folder / "page.html")["video"]["kind"] == "none"


def test_poses_in_2d_have_no_angles(command):
    moving_poses(np.random.default_rng(0), 4).to_2d().save("flat.npz")
    assert command("view", "flat.npz").code == 0 and content_of("out/page.html")["panels"] == []


def test_why_there_are_no_angles(command):
    poses = moving_poses(np.random.default_rng(0), 4)
    poses.xyz[:] = np.nan
    poses.save("far.npz")
    outcome = command("view", "far.npz")
    assert outcome.code == 0
    assert outcome.err.startswith("occlupose: note: the page has no joint angles: far.npz: nobody")
    assert outcome.err.count("\n") == 1


def test_what_is_refused(command, folder, video):
    assert_refused(command("view", folder, "-o", "a.pdf"), "a.pdf: a page is an .html")
    assert_refused(command("view", "nothing"), "nothing: cannot be read")
    assert_refused(command("view", folder, "--video", "none.mp4"), "none.mp4: there is no such file or folder")
    assert_refused(command("view", folder, "--no-angles", "--names", "A", "B", "C"), "names: 3 for 2 people")
    wide = make_video(video.with_name("wide.mp4"), 6, size=(96, 48))
    assert_refused(command("view", folder, "--no-angles", "--video", wide), "is 96x48, the poses are of 64x48")
    (folder / "page.html").mkdir()
    assert_refused(command("view", folder), "page.html: is a folder")
    assert names(Path()) == ["out"] and names(folder) == ["page.html", "poses.npz", "run.json"]


# ------------------------------------------------------------------------------------------------- run --page


@pytest.fixture
def run(command, tmp_path, video, monkeypatch):
    """`occlupose run` on a video of two people."""
    weights = write_hupor(tmp_path / "net.safetensors")
    monkeypatch.setattr(HUPOR, "detect", lambda self, frame, camera: people_in_rows(2))

    def call(*arguments):
        return command("run", video, "--no-video", *arguments, "--method", "hupor", "--weights", weights)

    return call


def test_run_writes_a_page_and_the_next_run_removes_it(run, opened):
    outcome = run("--page")
    assert outcome.code == 0, outcome.err
    assert outcome.out.endswith("out/walk: poses.npz, poses.json, preview.png, page.html\n") and opened == []
    assert content_of("out/walk/page.html")["video"]["kind"] == "video"
    assert run().code == 0
    assert names(Path("out/walk")) == ["poses.json", "poses.npz", "preview.png", "run.json"]


def test_a_page_of_nobody(run, monkeypatch):
    monkeypatch.setattr(HUPOR, "detect", lambda self, frame, camera: people_in_rows(0))
    assert run("--page").code == 0
    assert content_of("out/walk/page.html")["people"] == []


def test_the_panel_of_a_run(command, run, tmp_path):
    assert_refused(run("--panel", "left"), "--panel left: not known; known are")
