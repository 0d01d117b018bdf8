"""Inputs of an archive are found in folders, by patterns, lists and manifests; their folders mirror the tree."""

from dataclasses import replace
from pathlib import Path

import pytest

from occlupose.cli.archive import Archive
from occlupose.cli.archive.inputs import find
from occlupose.cli.estimation import RunOptions
from occlupose.cli.options import CameraOptions
from occlupose.errors import OccluposeError

PLAIN = RunOptions()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Makes empty files with these names; the folder is the current one."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()

    return make


def jobs(*texts, list_file=None, manifest=None):
    """Inputs and their folders."""
    archive = Archive.find(texts, list_file, manifest, Path("out"), PLAIN)
    return {job.input: job.folder.as_posix() for job in archive.jobs}


def is_single(text):
    return Archive.find([text], None, None, Path("out"), PLAIN) is None


def refusal(*texts, **files):
    with pytest.raises(OccluposeError) as caught:
        jobs(*texts, **files)
    return str(caught.value)


# ----------------------------------------------------------------------------------- one input, or many


def test_a_file_a_folder_of_images_and_what_is_not_there_are_single_inputs(tree):
    tree("a.mp4", "shots/1.png", "shots/2.png", "empty/readme.txt")
    for text in (
        "a.mp4",
        "shots",
        "shots/*.png",
        "empty",
        "nope.mp4",
        "nope*.mp4",
        "0",
        "rtsp://door",
        "~nobody/a",
        "",
    ):
        assert is_single(text), text
    assert is_single("a" * 5000)


def test_a_folder_with_videos_is_an_archive_also_where_there_are_images(tree):
    tree("videos/poster.jpg", "videos/a/clip.mp4", "videos/b/10.MOV", "videos/b/2.mov", "videos/b/notes.txt")
    assert jobs("videos") == {
        "videos/a/clip.mp4": "out/a/clip.mp4",
        "videos/b/2.mov": "out/b/2.mov",
        "videos/b/10.MOV": "out/b/10.MOV",
    }


def test_results_and_hidden_files_are_no_inputs(tree):
    tree("v/a.mp4", "v/.hidden.mp4", "v/.trash/b.mp4", "v/overlay.mp4")
    tree("v/out/a.mp4/run.json", "v/out/a.mp4/overlay.mp4", "v/out/a.mp4/page_video.mp4", "v/out/a.mp4/walk.mp4")
    assert [*jobs("v")] == ["v/a.mp4", "v/out/a.mp4/walk.mp4", "v/overlay.mp4"]


def test_links_to_folders_are_followed_once(tree):
    tree("v/a/clip.mp4", "elsewhere/b.mp4")
    Path("v/loop").symlink_to("..", target_is_directory=True)
    Path("v/more").symlink_to("../elsewhere", target_is_directory=True)
    found = find("v").inputs
    assert sorted({Path(name).resolve().name for name in found}) == ["b.mp4", "clip.mp4"] and len(found) == 2


def test_patterns(tree):
    tree("v/1/a.mp4", "v/2/a.mp4", "v/2/b.mov", "v/c.mp4", "v/d.png")
    assert jobs("v/*/*.mp4") == {"v/1/a.mp4": "out/1/a.mp4", "v/2/a.mp4": "out/2/a.mp4"}
    assert [*jobs("v/*")] == ["v/c.mp4", "v/1/a.mp4", "v/2/a.mp4", "v/2/b.mov"]
    assert set(jobs("v/**")) == set(jobs("v/**/*.m*")) == set(jobs("v/*"))


def test_a_pattern_is_no_pattern_where_a_file_has_that_name(tree):
    tree("v/a[1].mp4", "v/a1.mp4")
    assert is_single("v/a[1].mp4")
    assert jobs("v") == {"v/a1.mp4": "out/a1.mp4", "v/a[1].mp4": "out/a[1].mp4"}


# ------------------------------------------------------------------------------------------------ names


def test_inputs_of_one_name_have_folders_of_their_own(tree):
    tree("a/clip.mp4", "b/clip.mp4", "b/short.mp4", "b/short.mov")
    assert jobs("a/clip.mp4", "b/clip.mp4", "b/short.mp4", "b/short.mov") == {
        "a/clip.mp4": "out/a/clip.mp4",
        "b/clip.mp4": "out/b/clip.mp4",
        "b/short.mp4": "out/b/short.mp4",
        "b/short.mov": "out/b/short.mov",
    }


def test_the_tree_begins_where_all_inputs_are(tree):
    tree("x/v/1.mp4", "x/w/deep/2.mp4", "x/shots/1.png", "3.mp4")
    assert jobs("x/v", "x/w") == {"x/v/1.mp4": "out/v/1.mp4", "x/w/deep/2.mp4": "out/w/deep/2.mp4"}
    assert jobs("x/v", "3.mp4") == {"x/v/1.mp4": "out/x/v/1.mp4", "3.mp4": "out/3.mp4"}
    assert jobs("x/v/../v/1.mp4", str(Path("x/shots").resolve())) == {
        "x/v/../v/1.mp4": "out/v/1.mp4",
        str(Path("x/shots").resolve()): "out/shots",
    }
    assert jobs("x/shots/*.png", "x/v/1.mp4") == {"x/shots/*.png": "out/shots", "x/v/1.mp4": "out/v/1.mp4"}


def test_each_input_is_taken_once(tree):
    tree("v/1.mp4", "v/2.mp4")
    assert [*jobs("v", "v/1.mp4", "./v/2.mp4", "v/*.mp4")] == ["v/1.mp4", "v/2.mp4"]


def test_a_missing_input_among_others_is_left_to_fail_by_itself(tree):
    tree("v/1.mp4")
    assert jobs("v/1.mp4", "v/nope.mp4") == {"v/1.mp4": "out/1.mp4", "v/nope.mp4": "out/nope.mp4"}


@pytest.mark.parametrize(
    ("camera", "shown"), [("0", "0"), ("rtsp://door/1", "rtsp://door/1"), ("rtsp://me:secret@door/1", "rtsp://door/1")]
)
def test_a_camera_is_no_part_of_an_archive(tree, camera, shown):
    tree("a.mp4")
    assert refusal("a.mp4", camera) == f"{shown}: a camera has no end; run it by itself, not in an archive"


# -------------------------------------------------------------------------------- lists and manifests


def test_a_list(tree):
    tree("v/1.mp4", "v/two words.mp4")
    Path("list.txt").write_bytes("\ufeffv/1.mp4\r\n\r\nv/two words.mp4".encode())
    assert jobs(list_file=Path("list.txt")) == {"v/1.mp4": "out/1.mp4", "v/two words.mp4": "out/two words.mp4"}
    assert [*jobs("v/two words.mp4", list_file=Path("list.txt"))] == ["v/two words.mp4", "v/1.mp4"]


def test_a_list_of_one_is_an_archive(tree):
    tree("v/1.mp4")
    Path("list.txt").write_text("v/1.mp4")
    assert jobs(list_file=Path("list.txt")) == {"v/1.mp4": "out/1.mp4"}


def test_a_list_that_cannot_be_used(tree):
    Path("empty.txt").write_text("\n \n")
    assert "nope.txt: cannot be read (no such file" in refusal(list_file=Path("nope.txt"))
    assert "empty.txt: names no input; give a text file" in refusal(list_file=Path("empty.txt"))


def test_a_manifest_has_options_for_each_input(tree):
    tree("a/walk.mp4", "b/run.mp4", "c/1.mp4", "c/d/2.mp4")
    Path("camera.json").write_text('{"width": 64, "height": 48, "fx": 70, "fy": 70, "cx": 31.5, "cy": 23.5}')
    Path("m.csv").write_text(
        "input,output,start,end,height,fov,camera,up\n"
        'a/walk.mp4,,1:30,95.5,1.75,60,,"0,-1,0"\n'
        "b/run.mp4,people/anna,,,,,camera.json,\n"
        ",,,,,,,\n"
        "a/walk.mp4,late,100,,,,,\n"
        "c,others,,,,,,\n"
    )
    options = replace(PLAIN, every=2, calibration=CameraOptions(height=1.6))
    archive = Archive.find([], None, Path("m.csv"), Path("out"), options)
    walk, anna, late, first, second = archive.jobs
    assert (walk.folder.as_posix(), anna.folder.as_posix()) == ("out/a/walk.mp4", "out/people/anna")
    assert (late.folder.as_posix(), late.input, late.options.start) == ("out/late", "a/walk.mp4", 100)
    assert [job.folder.as_posix() for job in (first, second)] == ["out/others/1.mp4", "out/others/d/2.mp4"]
    assert walk.options == replace(
        options, start=90, end=95.5, calibration=CameraOptions(fov=60, height=1.75, up=(0, -1, 0))
    )
    assert anna.options == replace(options, calibration=CameraOptions(camera=Path("camera.json"), height=1.6))


def test_a_manifest_with_semicolons(tree):
    tree("a.mp4")
    Path("m.csv").write_text("input;height\na.mp4;1.7\n")
    assert Archive.find([], None, Path("m.csv"), Path("out"), PLAIN).jobs[0].options.calibration.height == 1.7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\na.mp4\n", "m.csv: column file: not known; known are input, output, start, "),
        ("output\na\n", "m.csv: has no column input; known are input, "),
        ("input\n", "m.csv: names no input; "),
        ("", "m.csv: has no column input; "),
        ("input,height\na.mp4,tall\n", "m.csv:2: height tall: not a number; give metres"),
        ("input,height\na.mp4,1.7\na.mp4,180\n", "m.csv:3: height 180"),
        ("input,fov\na.mp4,200\n", "m.csv:2: fov 200"),
        ("input,start\na.mp4,1:75\n", "m.csv:2: start 1:75: not a time; "),
        ("input,start,end\na.mp4,2,1\n", "m.csv:2: start 2 s, end 1 s: an empty range; "),
        ("input,camera\na.mp4,nope.json\n", "m.csv:2: nope.json: "),
        ('input,up\na.mp4,"0,0,0"\n', "m.csv:2: up 0,0,0: not a direction; "),
        ("input,up\na.mp4,0,-1,0\n", "m.csv:2: has more values than columns; "),
        ("input,output\n,b\n", "m.csv:2: has no input; "),
        ("input,output\na.mp4,/b\n", "m.csv:2: output /b: not in the output folder; "),
        ("input,output\na.mp4,b/../../c\n", "m.csv:2: output b/../../c: not in the output folder; "),
        ("input,start\na.mp4,1\na.mp4,2\n", "a.mp4: its folder out/a.mp4 is that of a.mp4, too; "),
        ("input,output\na.mp4,x\nb.mp4,x\n", "b.mp4: its folder out/x is that of a.mp4, too; "),
    ],
)
def test_a_manifest_that_cannot_be_used(tree, text, message):
    tree("a.mp4", "b.mp4")
    Path("m.csv").write_text(text)
    assert refusal(manifest=Path("m.csv")).startswith(message)
