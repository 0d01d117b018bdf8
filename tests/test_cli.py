"""The command line as a user meets it: real files in, exit codes, lines and real files out."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

import occlupose
import pasted_people
from commands import ENVIRONMENT, Outcome, assert_refused, names, subprocess_of
from hupor_detections import write_hupor
from media_files import make_sound, make_video
from mocap_files import write_mocap
from occlupose.assets import demo_clip
from occlupose.cameras import Camera
from occlupose.cli import people, terminal
from occlupose.codecs.crops import Crop
from occlupose.evaluation.mpjpe import load_sequences
from occlupose.media import VideoWriter, open_media, read_image, write_image
from occlupose.networks.hourglass import StackedHourglass, save
from occlupose.occlusion import labels
from occlupose.occlusion.cylinders import PAPER
from occlupose.poses import OCCLUDED, VISIBLE, Poses
from occlupose.skeletons import COCO17, H36M17
from other_user import without_rights
from pose_dataset_files import walking, write_h36m
from walking_people import circle, make_poses, stand

IMAGE = ["poses.json", "poses.npz", "preview.png", "run.json"]
VIDEO = ["overlay.mp4", *IMAGE]


def assert_valid(folder: Path, frames: int | None = None) -> Poses:
    """Checks that every file in the folder is complete; returns the poses."""
    poses = Poses.load(folder / "poses.npz")
    assert Poses.load(folder / "poses.json") == poses
    assert frames is None or len(poses) == frames
    assert read_image(folder / "preview.png").shape[0] >= 2
    if (folder / "overlay.mp4").exists():
        with open_media(folder / "overlay.mp4") as overlay:
            assert len(list(overlay)) == len(poses) and not overlay.warnings
    return poses


# ------------------------------------------------------------------------------------------- bad input


def truncated(folder: Path) -> Path:
    path = make_video(folder / "a.mp4", 20)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def huge(folder: Path) -> Path:
    Image.new("1", (16384, 16384)).save(folder / "a.png")
    return folder / "a.png"


def text(folder: Path) -> Path:
    (folder / "a.mp4").write_text("hello\n" * 100)
    return folder / "a.mp4"


def empty(folder: Path) -> Path:
    (folder / "a.mp4").touch()
    return folder / "a.mp4"


def empty_folder(folder: Path) -> Path:
    (folder / "a").mkdir()
    return folder / "a"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nope.mp4", "no such file"),
        (empty_folder, "no images"),
        (empty, "empty"),
        (text, "video"),
        (truncated, "cut off"),
        (lambda folder: make_sound(folder / "a.m4a"), "no video"),
        (huge, "too large"),
        (lambda folder: f"{folder}/*.jpg", "no file"),
    ],
)
def test_input_that_cannot_be_read(command, tmp_path, make, words):
    assert_refused(command("run", make(tmp_path), "-o", tmp_path / "out"), words)
    assert not (tmp_path / "out").exists()


def json_file(folder: Path, content: object) -> Path:
    (folder / "camera.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "camera.json"


def boxes_file(folder: Path, *images: int | str) -> Path:
    """A detector's results: the same person in each of these frames."""
    results = [{"image_id": image, "category_id": 1, "bbox": [10, 4, 40, 40], "score": 0.9} for image in images]
    (folder / "boxes.json").write_text(json.dumps(results))
    return folder / "boxes.json"


def frontend_file(folder: Path) -> Path:
    """An untrained 2D network with high confidence everywhere."""
    torch.manual_seed(0)
    network = StackedHourglass(len(COCO17), stacks=1, width=8, depth=1)
    torch.nn.init.constant_(network.stacks[0].maps.bias, 3.0)
    save(network.state_dict(), network, COCO17, Crop(32, 32), folder / "frontend.safetensors")
    return folder / "frontend.safetensors"


OTHER = {"width": 320, "height": 240, "fx": 300, "fy": 300, "cx": 159.5, "cy": 119.5}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (lambda folder: ["--fov", "0"], ["fov 0"]),
        (lambda folder: ["--fov", "nan"], ["fov nan"]),
        (lambda folder: ["--height", "175"], ["height 175", "metres"]),
        (lambda folder: ["--camera", folder / "nope.json"], ["nope.json", "no such file"]),
        (lambda folder: ["--camera", json_file(folder, "{")], ["camera.json", "not JSON"]),
        (lambda folder: ["--camera", json_file(folder, {"width": 64})], ["camera.json", "height"]),
        (lambda folder: ["--camera", json_file(folder, OTHER)], ["a.mp4", "64 x 48", "320 x 240"]),
        (lambda folder: ["--every", "0"], ["every 0"]),
        (lambda folder: ["--start", "2", "--end", "1"], ["start 2"]),
        (lambda folder: ["--start", "9"], ["a.mp4", "from 9 s on"]),
        (lambda folder: ["--frontend", "nope"], ["nope", "movenet"]),
        (lambda folder: ["--frontend", folder / "nope.onnx"], ["nope.onnx", "no such file"]),
        (
            lambda folder: ["--frontend", folder / "nope.safetensors"],
            ["nope.safetensors", "no such file", "train keypoints"],
        ),
        (lambda folder: ["--flip"], ["movenet", "has no flip"]),
        (
            lambda folder: ["--frontend", "movenet-multipose", "--boxes", boxes_file(folder, 3)],
            ["movenet-multipose", "no boxes", ".safetensors"],
        ),
        (
            lambda folder: ["--frontend", frontend_file(folder), "--boxes", folder / "nope.json"],
            ["nope.json", "no such file"],
        ),
        (
            lambda folder: ["--frontend", frontend_file(folder), "--boxes", boxes_file(folder, 5)],
            ["boxes.json", "e.g. 5", "frame numbers"],
        ),
        (
            lambda folder: ["--frontend", frontend_file(folder), "--boxes", boxes_file(folder, "a.png")],
            ["boxes.json", "e.g. 'a.png'"],
        ),
        (lambda folder: ["--max-people", "0"], ["max_people 0"]),
        (lambda folder: ["--max-people", "-2"], ["max_people -2"]),
        (lambda folder: ["--weights", folder / "nope.safetensors"], ["nope.safetensors", "no such file"]),
        (lambda folder: ["--weights", folder / "a.mp4"], ["a.mp4", "weights"]),
        (lambda folder: ["--device", "nope"], ["device nope"]),
        (lambda folder: ["--device", "meta"], ["device meta"]),
        (lambda folder: ["--frontend", "movenet-multipose", "--device", "nope"], ["device nope"]),
    ],
)
def test_option_that_cannot_be(command, tmp_path, options, words):
    video = make_video(tmp_path / "a.mp4", 5)
    assert_refused(command("run", video, "-o", tmp_path / "out", *options(tmp_path)), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
def test_gpu_that_is_not_there(command, tmp_path):
    assert_refused(command("run", make_video(tmp_path / "a.mp4", 5), "--device", "cuda"), "device cuda", "give cpu")
    assert names(Path()) == []


def test_output_that_is_a_file(command, tmp_path):
    video = make_video(tmp_path / "a.mp4", 5)
    for folder in (video, video / "deeper"):
        assert_refused(command("run", video, "-o", folder), str(folder), "not a directory", "-o")
    assert names(tmp_path) == ["a.mp4", "here"]


@pytest.mark.skipif(sys.platform != "linux", reason="permissions are those of Unix")
@pytest.mark.parametrize("folder", ["locked", "locked/deeper"])
def test_output_folder_without_permission(command, tmp_path, monkeypatch, folder):
    make_video(tmp_path / "a.mp4", 5)
    (tmp_path / "locked").mkdir(mode=0o555)
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    with without_rights():
        outcome = command("run", "a.mp4", "-o", folder)
    assert_refused(outcome, folder, "permission denied")
    assert names(tmp_path / "locked") == []


def test_bad_input_in_a_process_of_its_own(tmp_path):
    assert_refused(subprocess_of("run", tmp_path / "nope.mp4", "-o", tmp_path / "out"), "nope.mp4")
    assert_refused(subprocess_of("lift", tmp_path / "nope.npz", "-o", tmp_path / "out.npz"), "nope.npz")
    assert names(tmp_path) == []


def test_unknown_options_are_refused_with_the_known_ones(command):
    outcome = command("run", "a.mp4", "--fps", "3")
    assert outcome.code == 2 and "--fps" in outcome.err and "Traceback" not in outcome.err


# ------------------------------------------------------------------------------------------ good input


def one_frame(folder: Path) -> Path:
    return make_video(folder / "walk.mp4", 1)


def odd_size(folder: Path) -> Path:
    with VideoWriter(folder / "walk.mp4", 130, 98, 10) as out:
        for _ in range(4):
            out.write(np.full((98, 130, 3), 90, np.uint8))
    return make_video(folder / "walk.mkv", images=[np.full((51, 37, 3), 90, np.uint8)] * 4, size=(37, 51), codec="ffv1")


def grey(folder: Path) -> Path:
    Image.new("L", (97, 63), 90).save(folder / "walk.png")
    return folder / "walk.png"


def alpha(folder: Path) -> Path:
    Image.new("RGBA", (64, 48), (90, 90, 90, 40)).save(folder / "walk.png")
    return folder / "walk.png"


def image_folder(folder: Path) -> Path:
    (folder / "walk").mkdir()
    for index in range(3):
        Image.new("RGB", (64, 48), (90, 90, 90)).save(folder / "walk" / f"{index}.png")
    return folder / "walk"


@pytest.mark.assets
@pytest.mark.parametrize(
    ("make", "files", "frames"),
    [(one_frame, VIDEO, 1), (odd_size, VIDEO, 4), (grey, IMAGE, 1), (alpha, IMAGE, 1), (image_folder, VIDEO, 3)],
)
def test_what_works_with_nobody_in_it(command, tmp_path, make, files, frames):
    path = make(tmp_path)
    outcome = command("run", path)
    assert outcome.code == 0
    messages = [line for line in outcome.err.splitlines() if "fetching once" not in line]
    assert messages == [f"occlupose: warning: {path}: nobody found in it; the files are valid but empty"]
    assert outcome.out.endswith(
        f"out/walk: poses.npz, poses.json, preview.png{', overlay.mp4' if files == VIDEO else ''}\n"
    )
    assert names(Path("out/walk")) == files
    poses = assert_valid(Path("out/walk"), frames)
    assert len(poses.track_id) == 0


def woman() -> np.ndarray:
    """An image with one real person."""
    image = pasted_people.grey(640, 480)
    pasted_people.paste(image, pasted_people.scaled(240), 200, 100)
    return image


def write_by_pillow(mode: str) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(woman()).convert(mode).save(path)


def write_16_bit(code: int) -> Callable[[Path], None]:
    deep = cv2.cvtColor(woman(), code).astype(np.uint16) * 257
    return lambda path: path.write_bytes(cv2.imencode(".png", deep)[1].tobytes())


KINDS = {
    "8-bit": write_by_pillow("RGB"),
    "grey": write_by_pillow("L"),
    "grey with alpha": write_by_pillow("LA"),
    "palette": write_by_pillow("P"),
    "RGBA": write_by_pillow("RGBA"),
    "16-bit": write_16_bit(cv2.COLOR_RGB2BGR),
    "16-bit grey": write_16_bit(cv2.COLOR_RGB2GRAY),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frontend", ["movenet-occlusion", "movenet", "movenet-multipose"])
def test_a_person_in_an_image_of_any_kind(command, tmp_path, kind, frontend):
    KINDS[kind](tmp_path / "photo.png")
    outcome = command("run", tmp_path / "photo.png", "--frontend", frontend)
    assert outcome.code == 0, outcome
    observed = assert_valid(Path("out/photo"), 1).observed
    middle = pasted_people.BODY[[0, 2]].mean() * 240 / 115 + 200
    assert observed.track_id.tolist() == [1]
    assert abs(np.nanmean(observed.xy[..., 0]) - middle) < 10


@pytest.mark.parametrize("count", [1, 2])
def test_at_most_as_many_people_as_asked_for(command, tmp_path, count):
    write_image(tmp_path / "photo.png", pasted_people.crowd(200, 3, 1, 640, 300)[0])
    assert command("run", tmp_path / "photo.png", "--max-people", count).code == 0
    assert len(assert_valid(Path("out/photo"), 1).track_id) == count


def test_up_and_the_joints_as_they_were_lifted(command, tmp_path):
    write_image(tmp_path / "photo.png", pasted_people.crowd(200, 1, 1, 640, 300)[0])
    start = ("run", tmp_path / "photo.png", "--fov", "60", "-o")
    assert command(*start, tmp_path / "plain").code == 0
    assert command(*start, tmp_path / "more", "--up", "-0.2,-1,0", "--keep-lifted").code == 0
    plain = assert_valid(tmp_path / "plain", 1)
    more = assert_valid(tmp_path / "more", 1)
    np.testing.assert_allclose(more.world.up, np.array([-0.2, -1, 0]) / np.hypot(0.2, 1), atol=1e-6)
    assert abs(plain.world.up[0]) < 0.15 and plain.xyz_lifted is None
    assert np.isfinite(more.xyz_lifted).all() and np.abs(more.xyz_lifted - more.xyz).max() > 1e-3
    assert np.isfinite(more.rotation).all() and np.isfinite(more.shape).all()


@pytest.mark.assets
def test_what_works_with_people_in_it(command, tmp_path):
    outcome = command(
        "run",
        demo_clip(),
        "--end",
        "0.1",
        "--every",
        "2",
        "--max-people",
        "1",
        "--height",
        "1.8",
        "-o",
        tmp_path / "deep/er",
    )
    assert outcome.code == 0
    assert (
        outcome.err
        == "occlupose: note: a field of view of 55 degrees was assumed; --fov or --camera makes the metres right\n"
    )
    assert "3 frames, 1 person" in outcome.out and re.search(
        r"1 +│ 0\.0 s │ 0\.1 s │ 3 +│ \d+% +│ \d+% +│ \d+\.\d m", outcome.out
    )
    poses = assert_valid(tmp_path / "deep/er", 3)
    assert (
        poses.track_id.tolist() == [1]
        and poses.observed is not None
        and poses.camera is not None
        and poses.camera.assumed
    )
    assert (poses.state[0] == VISIBLE).any()
    again = command(
        "run", demo_clip(), "--end", "0.1", "--every", "2", "--fov", "60", "--no-video", "-o", tmp_path / "other"
    )
    assert (again.code, again.err) == (0, "")
    assert names(tmp_path / "other") == IMAGE
    assert len(Poses.load(tmp_path / "other/poses.npz").track_id) >= 2


@pytest.mark.assets
def test_people_in_the_boxes_of_a_file(command, tmp_path):
    """One stands still in a folder of images, the boxes say their numbers and names; in the last images there is
    none.
    """
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for number in range(24):
        write_image(tmp_path / "shots" / f"{number}.png", image)
    boxes = boxes_file(tmp_path, *range(10), *(f"{number}.png" for number in range(10, 15)), *map(str, range(15, 20)))
    outcome = command(
        "run",
        tmp_path / "shots",
        "-o",
        tmp_path / "out",
        "--frontend",
        frontend_file(tmp_path),
        "--boxes",
        boxes,
        "--flip",
    )
    assert outcome.code == 0, outcome
    observed = assert_valid(tmp_path / "out", 24).observed
    assert observed.skeleton == COCO17 and len(observed.track_id) == 1
    assert (observed.state[:20] == VISIBLE).any(-1).all() and not (observed.state[20:] == VISIBLE).any()
    assert np.ptp(observed.xy[:20], axis=0).max() < 1


def test_a_camera_file_and_an_unchanged_input(command, tmp_path):
    video = make_video(tmp_path / "a.mp4", 2)
    content = video.read_bytes()
    file = json_file(tmp_path, {"width": 64, "height": 48, "K": [[70, 0, 31.5], [0, 70, 23.5], [0, 0, 1]]})
    assert command("run", video, "--camera", file, "-o", tmp_path).code == 0  # beside the input
    assert Poses.load(tmp_path / "poses.npz").camera == Camera(64, 48, 70, 70, 31.5, 23.5)
    assert video.read_bytes() == content


@pytest.mark.assets
def test_a_video_that_was_cut_off_is_used_as_far_as_it_goes(command, tmp_path):
    generator = np.random.default_rng(0)
    path = make_video(
        tmp_path / "a.mkv", images=[generator.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(30)]
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    outcome = command("run", path)
    assert outcome.code == 0
    lines = outcome.err.splitlines()
    assert len(lines) == 2 and lines[0].startswith(f"occlupose: warning: {path}: was cut off") and "nobody" in lines[1]
    assert 12 <= len(assert_valid(Path("out/a"))) <= 20


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("walk.mp4", "walk"),
        ("../clips/my walk.v2.mov", "my walk.v2"),
        ("shots.v2", "shots.v2"),
        ("shots.v2/*.png", "shots.v2"),
        ("shots.v2/**/*.png", "shots.v2"),
        ("/", "images"),
        ("camera 0", "camera-0"),
        ("rtsp://me:secret@door.example:554/live/1?x=2", "door.example-live-1"),
    ],
)
def test_default_output_folder(tmp_path, monkeypatch, spec, name):
    (tmp_path / "shots.v2").mkdir()
    monkeypatch.chdir(tmp_path)

    class Opened:
        kind = (
            "folder" if spec.startswith(("shots", "/")) else "camera" if "camera" in spec or "rtsp" in spec else "video"
        )

    Opened.name = spec
    assert people._name(Opened) == name


# ------------------------------------------------------------------------------------ full disk, Ctrl-C


@pytest.mark.assets
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_full_disk(tmp_path):
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (96, 128, 3), dtype=np.uint8) for _ in range(31)]
    for moment in range(0, 31, 6):
        images[moment][:] = 90  # the preview's moments are plain, so that its file is smaller than the video
    make_video(tmp_path / "a.mp4", images=images, size=(128, 96))
    code = """
import resource, sys
from pathlib import Path
from occlupose import cli

def run(folder, limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    sys.argv = ["occlupose", "run", "a.mp4", "-o", folder]
    try:
        cli.main()
    except SystemExit as end:
        return end.code
    return 0

assert run("whole", resource.RLIM_INFINITY) == 0
size = {path.name: path.stat().st_size for path in Path("whole").iterdir()}
assert max(size["poses.npz"], size["poses.json"]) < size["preview.png"] < size["overlay.mp4"], size
for name in ("poses.npz", "preview.png", "overlay.mp4"):
    print(name, run(name.replace(".", "-"), size[name] - 1), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "nobody" not in line]
    for name, kept in (
        ("poses.npz", ["run.json"]),
        ("preview.png", ["poses.json", "poses.npz", "run.json"]),
        ("overlay.mp4", IMAGE),
    ):
        folder = name.replace(".", "-")
        assert lines.pop(0).startswith(f"occlupose: {folder}/{name}: could not be written (")
        assert lines.pop(0) == f"{name} 2"
        assert names(tmp_path / folder) == kept
    assert not lines
    assert_valid(tmp_path / "overlay-mp4", 31)


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, *arguments: str | Path) -> None:
        import pty  # which Windows lacks

        self.process, self.screen = pty.fork()
        if self.process == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell has what it starts in the background ignore it
            os.execve(
                sys.executable,
                [sys.executable, "-m", "occlupose", *map(str, arguments)],
                ENVIRONMENT | {"TERM": "xterm"},
            )
        self.shown = ""

    def wait_for(self, pattern: str) -> None:
        """Until the pattern is shown; EOFError at the command's end."""
        while not re.search(pattern, self.shown):
            try:
                read = os.read(self.screen, 65536)
            except OSError:  # Linux's error for a closed pipe
                read = b""
            if not read:
                raise EOFError(self.shown)
            self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", read.decode(errors="replace"))

    def ctrl_c(self) -> None:
        os.kill(self.process, signal.SIGINT)

    def end(self) -> int:
        """Waits for the end; the exit code."""
        with suppress(EOFError):
            self.wait_for("(?!)")
        os.close(self.screen)
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def messages(self) -> list[str]:
        """Lines that are not progress, without the table."""
        return [line for line in re.split(r"[\r\n]+", self.shown) if line.startswith("occlupose: interrupted")]


@pytest.fixture(scope="module")
def long_video(tmp_path_factory) -> Path:
    """Nobody, for five minutes."""
    return make_video(tmp_path_factory.mktemp("long") / "a.mp4", 3000, size=(160, 120))


@pytest.mark.assets
@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
def test_ctrl_c_during_a_run_keeps_the_frames_so_far(tmp_path, long_video):
    terminal = Terminal("run", long_video, "-o", tmp_path / "out")
    terminal.wait_for(r"detecting a\.mp4 .* [1-9]\d*/3000 +0 people")
    terminal.ctrl_c()
    assert terminal.end() == 130
    assert names(tmp_path / "out") == IMAGE
    assert 0 < len(assert_valid(tmp_path / "out")) < 3000
    assert len(terminal.messages()) == 1 and "without overlay.mp4" in terminal.messages()[0]
    assert "out: poses.npz, poses.json, preview.png" in re.sub(r"\s+", " ", terminal.shown)
    assert "Traceback" not in terminal.shown


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
def test_ctrl_c_while_hupor_runs(tmp_path, long_video):
    terminal = Terminal(
        "run",
        long_video,
        "-o",
        tmp_path / "out",
        "--method",
        "hupor",
        "--weights",
        write_hupor(tmp_path / "a.safetensors"),
    )
    terminal.wait_for(r"detecting a\.mp4 .* [1-9]\d*/3000 +0 people")
    terminal.ctrl_c()
    assert terminal.end() == 130
    assert names(tmp_path / "out") == IMAGE
    assert 0 < len(assert_valid(tmp_path / "out")) < 3000
    assert len(terminal.messages()) == 1 and "without overlay.mp4" in terminal.messages()[0]


@pytest.mark.assets
@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
def test_ctrl_c_while_drawing_leaves_the_overlay_out(tmp_path):
    terminal = Terminal("run", make_video(tmp_path / "a.mp4", 120, size=(960, 720)), "-o", tmp_path / "out")
    terminal.wait_for(r"drawing overlay\.mp4 .* [1-9]\d*/120")
    terminal.ctrl_c()
    assert terminal.end() == 130
    assert names(tmp_path / "out") == IMAGE
    assert_valid(tmp_path / "out", 120)
    assert terminal.messages() == ["occlupose: interrupted; overlay.mp4 is left out"]


@pytest.mark.assets
@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
def test_second_ctrl_c_ends_at_once(tmp_path, long_video):
    terminal = Terminal("run", long_video, "-o", tmp_path / "out")
    terminal.wait_for(r"detecting a\.mp4 .* [1-9]\d\d/3000 +0 people")
    terminal.ctrl_c()
    terminal.wait_for("Ctrl-C again ends at once")
    terminal.ctrl_c()
    began = time.monotonic()
    assert terminal.end() == 130
    assert time.monotonic() - began < 5
    assert set(names(tmp_path / "out") if (tmp_path / "out").exists() else ()) <= set(IMAGE)
    assert "Traceback" not in terminal.shown


@pytest.mark.assets
@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix signals")
def test_ctrl_c_is_how_a_camera_ends(tmp_path, long_video):
    terminal = Terminal("run", long_video.as_uri(), "-o", tmp_path / "out")
    terminal.wait_for(r"detecting a\.mp4 .* [1-9]\d*/\? +0 people")
    terminal.ctrl_c()
    assert terminal.end() == 0
    assert names(tmp_path / "out") == ["poses.json", "poses.npz", "run.json"]
    assert 0 < len(Poses.load(tmp_path / "out/poses.npz")) < 3000
    assert not terminal.messages()


@pytest.fixture
def handler():
    """Python's own for Ctrl-C, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handler")
def test_the_first_ctrl_c_is_noted_and_the_second_raised():
    with terminal.Interrupt() as interrupt:
        assert not interrupt.asked
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_who_is_not_to_be_interrupted_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminal.Interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
        assert not interrupt.asked and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_elsewhere_is_one_line(command, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("occlupose.media.open_media", interrupted)
    assert command("run", "a.mp4") == Outcome(130, "", "occlupose: interrupted\n")


# ------------------------------------------------------------------------------------------------ lift


def in_2d(folder: Path, suffix: str = ".npz") -> Path:
    """A person who walks, in 2D, with one joint missing for a while."""
    poses = make_poses(circle()[:40])
    poses.xy[10:20, 0, 3] = np.nan
    poses.xyz[10:20, 0, 3] = np.nan
    poses.state[10:20, 0, 3] = 0
    path = folder / f"flat{suffix}"
    if suffix == ".npz":
        np.savez(path, xy=poses.xy, skeleton="h36m17", fps=10, width=640, height=360)
    else:
        Poses(**{**vars(poses), "xyz": None, "camera": None}).save(path)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_lift(command, tmp_path, suffix):
    outcome = command("lift", in_2d(tmp_path, suffix), "-o", tmp_path / f"lifted{suffix}", "--height", "1.9")
    assert outcome.code == 0
    assert (
        outcome.err
        == "occlupose: note: a field of view of 55 degrees was assumed; --fov or --camera makes the metres right\n"
    )
    assert "40 frames, 1 person" in outcome.out and outcome.out.endswith(f"lifted{suffix}: written\n")
    lifted = Poses.load(tmp_path / f"lifted{suffix}")
    assert (
        np.isfinite(lifted.xyz).all()
        and (lifted.state[10:20, 0, 3] == OCCLUDED).all()
        and (lifted.state[:, 0, 0] == VISIBLE).all()
    )


def test_lift_says_what_may_not_be_meant(command, tmp_path):
    xy = np.random.default_rng(0).uniform(100, 300, (5, 1, 17, 2))
    xy[3, 0, 9] = 0
    xy[4] = 200
    path = saved(tmp_path, xy=xy, width=640, height=480)
    outcome = command("lift", path, "-o", tmp_path / "out.npz", "--fov", "60")
    assert outcome.code == 0
    assert outcome.err.splitlines() == [
        f"occlupose: note: {path}: 1 joints are at exactly (0, 0) and are kept; give NaN if they are missing",
        f"occlupose: note: {path}: person 0: all joints are in one point in 1 frame; give NaN where joints are missing",
        f"occlupose: note: {path}: up and the floor are unknown: nobody touches the floor; the poses are in the camera"
        " frame only",
    ]


def test_lift_with_a_camera(command, tmp_path):
    file = json_file(tmp_path, {"width": 640, "height": 360, "fx": 500, "fy": 500, "cx": 319.5, "cy": 179.5})
    assert command("lift", in_2d(tmp_path), "-o", tmp_path / "out.npz", "--camera", file).err == ""
    assert Poses.load(tmp_path / "out.npz").camera == Camera(640, 360, 500, 500, 319.5, 179.5)


def test_lift_with_up_and_the_joints_as_they_were_lifted(command, tmp_path):
    camera = {"width": 640, "height": 360, "fx": 500, "fy": 500, "cx": 319.5, "cy": 179.5, "up": [0, -1, 0.5]}
    file = json_file(tmp_path, camera)
    flat = in_2d(tmp_path)
    for name, options, up in (
        ("of_camera", ["--camera", file], (0, -1, 0.5)),
        ("given", ["--camera", file, "--up", "-0.5,-1,0", "--keep-lifted"], (-0.5, -1, 0)),
    ):
        outcome = command("lift", flat, "-o", tmp_path / f"{name}.npz", *options)
        assert (outcome.code, outcome.err) == (0, "")
        lifted = Poses.load(tmp_path / f"{name}.npz")
        np.testing.assert_allclose(lifted.world.up, up / np.linalg.norm(up), atol=1e-6)
        assert lifted.camera.up == (0, -1, 0.5)
        assert (lifted.xyz_lifted is not None) == ("--keep-lifted" in options)
        assert np.isfinite(lifted.rotation).all() and np.isfinite(lifted.shape).all()


def test_lift_says_that_the_floor_is_unknown(command, tmp_path):
    poses = make_poses(circle()[:8] + np.arange(8)[:, None, None] * np.array([0.4, 0, 0]))
    Poses(**{**vars(poses), "xyz": None}).save(tmp_path / "flying.npz")
    outcome = command("lift", tmp_path / "flying.npz", "-o", tmp_path / "out.npz")
    said = f"{tmp_path / 'flying.npz'}: up and the floor are unknown: nobody touches the floor"
    assert outcome.err == f"occlupose: note: {said}; the poses are in the camera frame only\n"
    assert outcome.code == 0 and Poses.load(tmp_path / "out.npz").world is None


def saved(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "bad.npz", **{"xy": np.zeros((2, 1, 17, 2)), "skeleton": "coco17", "fps": 10} | arrays)
    return folder / "bad.npz"


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nope.npz", ["nope.npz"]),
        (lambda folder: written(folder, "a.txt", b"x"), ["a.txt", ".npz"]),
        (lambda folder: written(folder, "a.npz", b""), ["a.npz"]),
        (lambda folder: written(folder, "a.npz", b"PK not a zip"), ["a.npz"]),
        (lambda folder: written(folder, "a.npz", in_2d(folder).read_bytes()[:900]), ["a.npz"]),
        (lambda folder: written(folder, "a.json", b"{"), ["a.json", "not JSON"]),
        (lambda folder: written(folder, "a.json", b"[1, 2]"), ["a.json"]),
        (lambda folder: folder, [".npz"]),
        (lambda folder: saved(folder, skeleton="centaur"), ["bad.npz", "centaur"]),
        (lambda folder: saved(folder, fps=0), ["bad.npz", "fps"]),
        (lambda folder: saved(folder, xy=np.zeros((2, 1, 5, 2))), ["bad.npz", "(2, 1, 5, 2)"]),
        (lambda folder: saved(folder, xy=np.array([None])), ["bad.npz"]),
        (lambda folder: saved(folder, xy=np.full((2, 1, 17, 2), 90.0), fps=1e6), ["bad.npz: fps: is 1000000.0;"]),
        (lambda folder: saved(folder, xy=np.full((2, 1, 17, 2), 0.5)), ["bad.npz: x and y lie in 0..1; give pixels"]),
        (lambda folder: saved(folder, xy=np.full((2, 1, 17, 2), 1e7)), ["bad.npz: a joint is at 1e+07 px; give"]),
    ],
)
def test_lift_refuses(command, tmp_path, make, words):
    assert_refused(command("lift", make(tmp_path), "-o", tmp_path / "out.npz"), *words)
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (lambda folder: ["-o", folder / "out.npy"], ["out.npy", ".npz or .json"]),
        (lambda folder: ["-o", folder / "flat.npz" / "out.npz"], ["out.npz", "cannot be written to"]),
        (
            lambda folder: ["-o", folder / "out.npz", "--weights", folder / "nope.safetensors"],
            ["nope.safetensors", "no such file"],
        ),
        (lambda folder: ["-o", folder / "out.npz", "--weights", folder / "flat.npz"], ["flat.npz", "weights"]),
        (lambda folder: ["-o", folder / "out.npz", "--fov", "200"], ["fov 200"]),
        (lambda folder: ["-o", folder / "out.npz", "--camera", json_file(folder, OTHER)], ["320 x 240", "640 x 360"]),
        (lambda folder: ["-o", folder / "out.npz", "--device", "nope"], ["device nope"]),
    ],
)
def test_lift_refuses_options(command, tmp_path, options, words):
    assert_refused(command("lift", in_2d(tmp_path), *options(tmp_path)), *words)
    assert not (tmp_path / "out.npz").exists()


def test_lift_refuses_the_name_of_its_output_before_it_reads(command, tmp_path):
    assert_refused(command("lift", tmp_path / "nope.npz", "-o", tmp_path / "a.csv"), "a.csv", ".npz or .json")


def test_lift_never_writes_over_what_it_reads(command, tmp_path):
    path = in_2d(tmp_path)
    before = path.read_bytes()
    assert_refused(command("lift", path, "-o", tmp_path / "." / path.name), "flat.npz", "is the input")
    assert path.read_bytes() == before


# ---------------------------------------------------------------------------------- labels


def in_3d(folder: Path, name: str = "walk.npz") -> Path:
    """A person who walks around in a circle, in 3D."""
    make_poses(circle()).save(folder / name)
    return folder / name


def test_label_with_the_datas_own_camera(command, tmp_path):
    outcome = command(
        "label", in_3d(tmp_path), in_3d(tmp_path, "again.json"), "-o", tmp_path / "out", "--occlusion-rules", "paper"
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert re.fullmatch(rf"{tmp_path / 'out'}: 2 files of labels, \d+% of the joints occluded\n", outcome.out)
    expected = labels.label_poses(make_poses(circle()), rules=PAPER)
    assert Poses.load(tmp_path / "out" / "walk.npz") == Poses.load(tmp_path / "out" / "again.npz") == expected


PHOTOGRAPH = Path(__file__).parent / "networks" / "pretrained_frame.png"


def test_photographs_get_pseudo_labels(command, tmp_path):
    (tmp_path / "photographs").mkdir()
    shutil.copy(PHOTOGRAPH, tmp_path / "photographs")
    (tmp_path / "photographs" / "broken.jpg").write_bytes(b"no image")
    words = ["pseudo-label", tmp_path / "photographs", "-o", tmp_path / "out", "--credit", "A. Uthor"]
    outcome = command(*words)
    assert outcome.code == 0 and re.fullmatch(r".*: \d+ (person|people) in .*; annotations\.json\n", outcome.out)
    assert "warning: left out: " in outcome.err and "broken.jpg" in outcome.err
    document = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert document["info"]["description"] == "photographs (A. Uthor) with keypoints by movenet-occlusion"
    before = (tmp_path / "out" / "annotations.json").read_bytes()
    assert_refused(command(*words), "annotations.json: is there already; give another folder with -o")
    assert (tmp_path / "out" / "annotations.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--aspects", "0"], "aspects 0: must be between 0.1 and 10"),
        (["--aspects", "1.5", "nan"], "aspects 1.5 nan: must be between"),
        (["--frontend", "movenet-multipose"], "movenet-multipose"),
    ],
)
def test_pseudo_labels_that_cannot_be(command, tmp_path, options, message):
    shutil.copy(PHOTOGRAPH, tmp_path)
    outcome = command("pseudo-label", tmp_path, "-o", tmp_path / "out", *options)
    assert_refused(outcome, message)
    assert not (tmp_path / "out").exists()


def test_photographs_are_never_overwritten(command, tmp_path):
    folder = tmp_path / "data" / "images"
    folder.mkdir(parents=True)
    shutil.copy(PHOTOGRAPH, folder)
    before = (folder / PHOTOGRAPH.name).read_bytes()
    outcome = command("pseudo-label", folder, "-o", tmp_path / "data")
    assert_refused(outcome, "its images are the photographs themselves; give another folder with -o")
    assert names(folder) == [PHOTOGRAPH.name] and (folder / PHOTOGRAPH.name).read_bytes() == before


def test_label_motion_capture_from_virtual_cameras(command, tmp_path):
    write_mocap(tmp_path, {"07": 2}, frames=40)
    file = json_file(tmp_path, {"width": 640, "height": 360, "fx": 500, "fy": 500, "cx": 319.5, "cy": 179.5})
    options = [
        "--views",
        "3",
        "--camera",
        file,
        "--seed",
        "4",
        "--skeleton",
        "coco17",
        "--preview",
        tmp_path / "strip.png",
    ]
    outcome = command(
        "label", tmp_path / "cmu", "-o", tmp_path / "out", *options[:-4], "--preview", tmp_path / "strip.png"
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert "6 files of labels" in outcome.out and outcome.out.endswith(f"{tmp_path / 'strip.png'}: written\n")
    assert read_image(tmp_path / "strip.png").shape[1] == 6 * 340
    files = sorted((tmp_path / "out").rglob("*.npz"))
    assert [path.relative_to(tmp_path / "out").as_posix() for path in files] == [
        f"07_0{take}/view00{view}.npz" for take in (1, 2) for view in (0, 1, 2)
    ]
    poses = Poses.load(files[0])
    assert (poses.skeleton, poses.camera, poses.width) == (H36M17, Camera(640, 360, 500, 500, 319.5, 179.5), 640)
    before = files[0].read_bytes()
    assert command("label", tmp_path / "cmu", "-o", tmp_path / "out", *options[:-4]).code == 0  # the same again
    assert files[0].read_bytes() == before
    assert command("label", tmp_path / "cmu", "-o", tmp_path / "coco", *options[:-2]).code == 0
    assert Poses.load(tmp_path / "coco" / "07_01" / "view000.npz").skeleton.name == "coco17"


def test_label_as_the_paper(command, tmp_path):
    outcome = command(
        "label",
        in_3d(tmp_path),
        "-o",
        tmp_path / "out",
        "--views",
        "2",
        "--projection",
        "orthographic",
        "--occlusion-rules",
        "paper",
    )
    assert (outcome.code, outcome.err) == (0, "")
    poses = Poses.load(tmp_path / "out" / "walk" / "view001.npz")
    assert poses.camera is None
    assert poses == labels.label_poses(poses, perspective=False, rules=PAPER)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (lambda folder: [folder / "nope.npz"], ["nope.npz", "no such file"]),
        (lambda folder: [written(folder, "a.txt", b"x")], ["a.txt", ".amc"]),
        (lambda folder: [folder], [".amc"]),
        (lambda folder: [], ["nothing to label"]),
        (lambda folder: [in_2d(folder)], ["flat.npz", "without xyz", "occlupose lift"]),
        (lambda folder: [write_mocap(folder, {"07": 1}, 5) / "cmu" / "07" / "07_01.amc"], ["07_01.amc", "--views"]),
        (lambda folder: [written(folder, "07_01.amc", b"x"), "--views", "1"], ["07.asf"]),
        (lambda folder: [in_3d(folder), "--views", "-1"], ["views: -1"]),
        (lambda folder: [in_3d(folder), "--views", "1", "--fov", "200"], ["field of view 200"]),
        (lambda folder: [in_3d(folder), "--views", "1", "--camera", folder / "nope.json"], ["nope.json"]),
        (lambda folder: [in_3d(folder), "--skeleton", "centaur"], ["centaur", "h36m17"]),
        (lambda folder: [in_3d(folder), "--preview", folder / "strip.txt"], ["strip.txt"]),
        (lambda folder: [in_3d(folder), "--subjects", "S9"], ["subjects S9", "--dataset"]),
    ],
)
def test_label_refuses(command, tmp_path, arguments, words):
    assert_refused(command("label", *arguments(tmp_path), "-o", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_label_a_dataset(command, tmp_path):
    write_h36m(tmp_path / "h36m", {"S9": {"Walking 1": walking(12, 1)}})
    outcome = command("label", tmp_path / "h36m", "--dataset", "h36m", "--subjects", "S9", "-o", tmp_path / "out")
    assert outcome.code == 0 and "4 files of labels" in outcome.out  # one a camera
    files = sorted((tmp_path / "out").rglob("*.npz"))
    takes = {
        str(tmp_path / "out" / f"{take.name}.npz"): take.poses
        for take in load_sequences("h36m", tmp_path / "h36m", ("S9",), "ground-truth")
    }
    assert [str(file) for file in files] == sorted(takes)
    for file in files:
        poses = Poses.load(file)
        truth = takes[str(file)]
        assert np.array_equal(poses.xyz, truth.xyz)
        assert np.array_equal(poses.state, labels.label_poses(truth).state)
    assert_refused(command("label", tmp_path, "--dataset", "humaneva", "-o", tmp_path / "no"), "data_3d_humaneva15.npz")


def test_label_never_writes_over_what_it_reads(command, tmp_path):
    path = in_3d(tmp_path)
    before = path.read_bytes()
    assert_refused(command("label", path, "-o", tmp_path), "walk.npz", "not overwritten", "-o")
    assert path.read_bytes() == before
    assert_refused(command("label", path, "-o", path), "walk.npz", "cannot be written to")


# ---------------------------------------------------------------------------------- messages


def rendered(table: object) -> str:
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115 (as long as the test)
    console.print(table)
    return console.export_text()


def test_summary():
    poses = make_poses(circle()[:40], stand(1, 6, 40))
    poses.track_id[:] = 1, 12
    poses.state[20:, 0, :5] = OCCLUDED
    for array, missing in ((poses.xy, np.nan), (poses.xyz, np.nan), (poses.state, 0)):
        array[:15, 1] = missing
    text = rendered(terminal.summary(poses, 8.0))
    assert "40 frames, 2 people, 8.0 s (5.0 frames/s)" in text
    rows = [re.split(r"\s*│\s*", line)[1:-1] for line in text.splitlines() if line.startswith("│")]
    assert len(rows) == 2
    assert rows[0] == ["1", "0.0 s", "3.9 s", "40", "85%", "15%", f"{np.median(poses.xyz[:, 0, :, 2]):.1f} m"]
    assert rows[1] == ["12", "1.5 s", "3.9 s", "25", "100%", "0%", "6.0 m"]
    assert max(map(len, text.splitlines())) <= 80
    nobody = rendered(terminal.summary(poses.select(slice(0, 1), [])))
    assert "1 frame, 0 people" in nobody and "frames/s" not in nobody


def test_the_summary_of_an_image_has_no_times():
    text = rendered(terminal.summary(make_poses(circle()[:1])))
    assert "1 frame, 1 person" in text and "from" not in text and "0.0 s" not in text and "100%" in text
    assert "frames/s" not in rendered(terminal.summary(make_poses(circle()[:1]), 8.0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"people": 0}, "nobody found in it"),
        ({"people": 0, "best_rejected": 0.21}, "people were detected, but the confidence of their keypoints is 0.21"),
        ({"people": 1}, "none of their keypoints has enough confidence"),
    ],
)
def test_why_there_are_no_poses(options, words, capsys):
    poses = make_poses(circle()[:2])
    poses.state[:] = 0
    poses.xy[:] = np.nan
    poses.xyz[:] = np.nan
    poses = poses.select(person=poses.track_id[: options["people"]])
    terminal.print_notes(Console(stderr=True), "walk.mp4", poses, options.get("best_rejected", 0.0))
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("unplaced", "words"), [([0], ["person 1: seen", "a field of view"]), ([0, 1], ["person 1, 2"])]
)
def test_who_is_seen_and_nowhere_in_space_is_named(unplaced, words, capsys):
    poses = make_poses(stand(-1, 4, 2), stand(1, 4, 2))
    poses.track_id[:] = 1, 2
    observed = make_poses(stand(-1, 4, 2), stand(1, 4, 2)).to_2d()
    poses = replace(poses, camera=replace(poses.camera, assumed=True), observed=observed)
    poses.state[:, unplaced] = 0
    poses.xy[:, unplaced] = np.nan
    poses.xyz[:, unplaced] = np.nan
    terminal.print_notes(Console(stderr=True), "walk.mp4", poses)
    lines = capsys.readouterr().err.splitlines()
    assert [word in line for word, line in zip(words, lines, strict=True)] == [True] * len(words)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_who_is_nowhere_in_space_has_no_distance_in_the_summary():
    poses = make_poses(stand(1, 6, 4))
    poses.xyz[:] = np.nan
    assert "nan" not in rendered(terminal.summary(poses))


def test_names_that_are_too_long_for_a_line_of_progress():
    assert terminal.short("walk.mp4") == "walk.mp4"
    assert terminal.short("a walk through the whole town.mp4") == "a walk thro…town.mp4"


@pytest.mark.parametrize(
    "named",
    [
        "",
        "run",
        "lift",
        "demo",
        "train",
        "train keypoints",
        "train oanet",
        "label",
        "eval",
        "eval h36m",
    ],
)
def test_help_teaches(command, named):
    outcome = command(*named.split(), "--help")
    assert (outcome.code, outcome.err) == (0, "")
    words = {
        "": ["occlupose demo", "occlupose run walk.mp4", "Exit codes", "130", "doctor"],
        "run": [
            "overlay.mp4",
            "Ctrl-C",
            "--fov DEGREES",
            "--height METRES",
            "--max-people",
            "out/NAME",
            "cuda",
            "--boxes FILE",
            "hupor",
        ],
        "lift": ["coco17", "h36m17", "xyz", ".npz or .json"],
        "demo": ["BSD-3", "--output FOLDER"],
        "train": ["Train a network.", "lifter", "temporal networks", "keypoints"],
        "train keypoints": [
            "--recipe FILE",
            "--steps COUNT",
            "occlupose train recipe keypoints",
            "--annotations FILE",
            "--images",
        ],
        "train oanet": [
            "--recipe NAME|FILE",
            "paper; published, with the paper",
            "--init-from WEIGHTS",
            "--mocap",
            "--video FOLDER",
        ],
        "label": [
            "--views 100 --projection orthographic --occlusion-rules paper",
            "--views COUNT",
            "h36m17",
            ".amc with its .asf",
            "--preview FILE",
        ],
        "eval": ["h36m", "keypoints", "Score"],
        "eval h36m": ["Human3.6M", "--predictions FILE", "--detections NAME", "train oanet"],
    }[named]
    flat = re.sub(r"[│\s]+", " ", outcome.out)
    assert [word for word in words if word not in flat] == []
    assert "None" not in flat


def test_no_command_is_a_question_for_help(command):
    assert command() == command("--help")


def test_version(command):
    assert command("--version") == Outcome(0, f"occlupose {occlupose.__version__}\n", "")
    assert subprocess_of("--version") == Outcome(0, f"occlupose {occlupose.__version__}\n", "")


def test_help_loads_nothing_heavy():
    code = """
import sys
sys.argv = ["occlupose", "--help"]
from occlupose import cli
try:
    cli.main()
except SystemExit:
    heavy = ("torch", "numpy", "cv2", "av", "scipy", "pydantic")
    print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stderr == "[]\n"


def test_a_misspelt_option_is_refused_at_once():
    code = """
import sys
sys.argv = ["occlupose", "run", "walk.mp4", "--strat", "3"]
from occlupose import cli
try:
    cli.main()
except SystemExit:
    print([name for name in ("torch", "av", "scipy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout == "[]\n" and "did you mean --start?" in done.stderr


@pytest.mark.parametrize("named", ["", "run", "lift", "label", "synth", "convert", "convert checkpoint", "doctor"])
def test_help_fits_into_80_columns(command, monkeypatch, named):
    monkeypatch.setenv("COLUMNS", "80")
    lines = command(*named.split(), "--help").out.splitlines()
    wide = [line for line in lines if len(line) > 80]
    assert wide == [line for line in wide if not named and line.startswith("usage: ")]  # which tyro does not break


def test_demo_refuses_its_output_before_it_downloads(command, monkeypatch, tmp_path):
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "file").write_text("no folder")
    assert_refused(command("demo", "-o", tmp_path / "file"), "file: cannot be written to (not a directory)")


def test_by_default_nothing_is_fetched_and_no_extra_is_needed(command, monkeypatch, tmp_path):
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    video = make_video(tmp_path / "a.mp4", 2)
    outcome = command("run", video, "--no-video")
    assert outcome.code == 0 and "fetching" not in outcome.err
    assert not (tmp_path / "cache").exists()
    assert_refused(command("run", video, "--frontend", "blazepose"), "pip install '.[blazepose]'")


def test_what_must_be_fetched_is_announced(command, monkeypatch, tmp_path):
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    blazepose = ["run", make_video(tmp_path / "a.mp4", 2), "--frontend", "blazepose"]
    for arguments, package in ((["demo"], "pose2sim"), (blazepose, "mediapipe")):
        outcome = command(*arguments)
        first, second = outcome.err.splitlines()
        assert outcome.code == 2 and first.startswith("occlupose: fetching once: ") and package in first
        assert second.startswith(f"occlupose: {package}==") and "needs pip and network once" in second
        assert names(Path()) == []


@pytest.mark.assets
@pytest.mark.slow
def test_demo(command):
    outcome = command("demo")
    assert outcome.code == 0
    poses = assert_valid(Path("out/demo"), 100)
    assert len(poses.track_id) >= 2


# ------------------------------------------------------------------------------------------- synthetic people

SMALL = ["--scenes", "3", "--people", "1", "2", "--size", "128", "96", "--workers", "1"]


def test_synthetic_people_and_the_same_again(command, tmp_path):
    outcome = command("synth", *SMALL, "-o", tmp_path / "people", "--seed", "4")
    assert outcome.code == 0 and "3 scenes" in outcome.out
    assert names(tmp_path / "people") == ["annotations.json", "images", "manifest.json", "scenes", "settings.json"]
    assert read_image(tmp_path / "people" / "images" / "000002.jpg").shape == (96, 128, 3)
    command("synth", *SMALL, "-o", tmp_path / "again", "--seed", "4")
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (tmp_path / "people" / "manifest.json").read_bytes()


def test_synthetic_labels_alone(command, tmp_path):
    assert command("synth", *SMALL, "-o", tmp_path / "people", "--labels-only").code == 0
    assert names(tmp_path / "people") == ["annotations.json", "manifest.json", "scenes", "settings.json"]


def test_broken_backdrops_are_left_out_and_named(command, tmp_path):
    (tmp_path / "rooms").mkdir()
    write_image(tmp_path / "rooms" / "good.png", np.full((200, 300, 3), 120, np.uint8))
    (tmp_path / "rooms" / "bad.jpg").write_bytes(b"\xff\xd8 cut")
    outcome = command("synth", *SMALL, "-o", tmp_path / "people", "--backdrops", tmp_path / "rooms")
    assert outcome.code == 0 and "1 broken" in outcome.err and "bad.jpg" in outcome.err


def test_without_egl_images_are_refused_and_labels_are_made(command, tmp_path, monkeypatch):
    import moderngl

    def missing(*_, **__):
        raise RuntimeError("libEGL.so not found")

    for name in ("create_context", "create_standalone_context"):
        monkeypatch.setattr(moderngl, name, missing)
    assert_refused(command("synth", *SMALL, "-o", tmp_path / "people"), "EGL", "libegl1", "labels alone")
    assert not (tmp_path / "people").exists()
    assert command("synth", *SMALL, "-o", tmp_path / "people", "--labels-only").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scenes", "0"], ["scenes: 0"]),
        (["--people", "0", "3"], ["people: 0 to 3"]),
        (["--size", "20", "20"], ["size: 20 x 20"]),
        (["--overlap", "2"], ["overlap: 2"]),
        (["--shard", "0"], ["shard: 0"]),
        (["--workers", "-1"], ["workers -1"]),
        (["--mocap", "nowhere"], ["nowhere"]),
        (["--backdrops", "nowhere"], ["nowhere"]),
        (["--backdrops", ".", "--labels-only"], ["--labels-only"]),
    ],
)
def test_synthetic_people_that_cannot_be(command, tmp_path, options, words):
    assert_refused(command("synth", "-o", tmp_path / "people", *options), *words)
    assert not (tmp_path / "people").exists() or names(tmp_path / "people") == []
