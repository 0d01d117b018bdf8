"""`occlupose run --method hupor` as a user meets it: files in, lines, exit codes and files out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import occlupose
from commands import assert_refused, names
from hupor_detections import (
    HEIGHT,
    WIDTH,
    FixedPredictions,
    people_in_rows,
    predictions_when,
    three_people,
    write_hupor,
)
from media_files import make_video
from occlupose.cameras import Camera
from occlupose.media import open_media
from occlupose.methods.hupor import predict
from occlupose.methods.hupor.estimator import bone_ratios, standing_height
from occlupose.poses import ABSENT, OCCLUDED, Poses
from occlupose.skeletons import MPI15

PICTURE = ["poses.json", "poses.npz", "preview.png", "run.json"]
VIDEO = ["overlay.mp4", *PICTURE]
DEMONSTRATION = "occlupose: warning: the shipped networks of hupor are small, less accurate than the default method\n"
ASSUMED = "occlupose: note: a field of view of 55 degrees was assumed; --fov or --camera makes the metres right\n"
LIFTER = Path(occlupose.__file__).parent / "weights" / "lifter.safetensors"


@pytest.fixture
def fixed(monkeypatch):
    """Fixed predictions in place of the networks."""

    def make(find: FixedPredictions) -> list[dict[str, object]]:
        asked: list[dict[str, object]] = []

        def load(weights: Path | None, **options: object) -> FixedPredictions:
            asked.append({"weights": weights} | options)
            return find

        monkeypatch.setattr(predict, "load", load)
        return asked

    return make


def write_frame(folder: Path, mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    Image.new(mode, size, tuple([90] * len(mode)) if len(mode) > 1 else 90).save(folder / "walk.png")
    return folder / "walk.png"


def video(folder: Path, frames: int) -> Path:
    return make_video(folder / "walk.mp4", frames, size=(WIDTH, HEIGHT))


def camera_file(folder: Path, **numbers: float) -> Path:
    (folder / "camera.json").write_text(
        json.dumps({"width": WIDTH, "height": HEIGHT, "fx": 300, "fy": 300, "cx": 160, "cy": 90} | numbers)
    )
    return folder / "camera.json"


def valid(folder: Path, frames: int) -> Poses:
    poses = Poses.load(folder / "poses.npz")
    assert Poses.load(folder / "poses.json") == poses and len(poses) == frames and poses.skeleton == MPI15
    return poses


def test_people_in_a_video(command, tmp_path, fixed):
    asked = fixed(predictions_when(three_people(8), "xxxxxxxx", "xxxxxxxx", "xxxxxxxx", "........"))
    Path("mine.safetensors").touch()
    outcome = command("run", video(tmp_path, 8), "--method", "hupor", "--flip", "--weights", "mine.safetensors")
    assert (outcome.code, outcome.err) == (0, ASSUMED)
    assert asked == [{"weights": Path("mine.safetensors"), "flip": True, "device": "cpu"}]
    assert "8 frames, 3 people" in outcome.out and outcome.out.endswith(
        "out/walk: poses.npz, poses.json, preview.png, overlay.mp4\n"
    )
    assert names(Path("out/walk")) == VIDEO
    poses = valid(Path("out/walk"), 8)
    assert poses.track_id.tolist() == [1, 2, 3] and poses.camera.assumed and poses.observed is None
    assert (poses.state == OCCLUDED).sum() == 16 and (np.isnan(poses.xyz).all(-1) == (poses.state == ABSENT)).all()
    with open_media("out/walk/overlay.mp4") as overlay:
        assert len(list(overlay)) == 8


def test_what_the_default_has_too(command, tmp_path, fixed):
    """Every second frame of some, a limit of people, a camera, a height."""
    find = predictions_when(three_people(8), "xxxxxxxx", "xxxxxxxx")
    fixed(find)
    options = ["--every", "2", "--start", "0.2", "--end", "0.7", "--max-people", "1", "--height", "1.9", "--no-video"]
    options += ["--keep-lifted"]
    outcome = command("run", video(tmp_path, 8), "--method", "hupor", *options, "--camera", camera_file(tmp_path))
    assert (outcome.code, outcome.err) == (0, DEMONSTRATION)
    assert names(Path("out/walk")) == PICTURE
    poses = valid(Path("out/walk"), 3)
    assert find.cameras == [Camera(WIDTH, HEIGHT, 300, 300, 160, 90)] * 3 and poses.camera == find.cameras[0]
    assert poses.track_id.tolist() == [1] and poses.fps == 5
    assert standing_height(bone_ratios(poses.xyz_lifted[:, 0])) == pytest.approx(1.9)
    assert standing_height(bone_ratios(poses.xyz[:, 0])) == pytest.approx(1.9, abs=0.12)


@pytest.mark.slow
def test_sixty_people_in_an_image(command, tmp_path, fixed):
    fixed(FixedPredictions([people_in_rows(60)]))
    outcome = command("run", write_frame(tmp_path), "--method", "hupor", "--fov", "70")
    assert (outcome.code, outcome.err) == (0, DEMONSTRATION)
    assert "1 frame, 60 people" in outcome.out
    assert names(Path("out/walk")) == PICTURE and len(valid(Path("out/walk"), 1).track_id) == 60


@pytest.mark.parametrize(
    ("mode", "size"),
    [("L", (97, 63)), ("RGBA", (64, 48)), ("LA", (64, 48)), ("RGB", (1, 1)), ("RGB", (20000, 10))],
    ids=["grey", "transparent", "grey and transparent", "one pixel", "20,000 pixels wide"],
)
def test_images_with_nobody_in_them(command, tmp_path, mode, size):
    path = write_frame(tmp_path, mode, size)
    outcome = command("run", path, "--method", "hupor", "--weights", write_hupor(tmp_path / "net.safetensors"))
    assert outcome.code == 0, outcome
    assert outcome.err == f"occlupose: warning: {path}: nobody found in it; the files are valid but empty\n"
    poses = valid(Path("out/walk"), 1)
    assert (len(poses.track_id), poses.width, poses.height) == (0, *size)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (lambda folder: ["--frontend", "blazepose"], ["frontend", "hupor", "oanet"]),
        (lambda folder: ["--boxes", folder / "boxes.json"], ["boxes", "hupor", "oanet"]),
        (lambda folder: ["--flow", "dis"], ["flow", "hupor", "oanet"]),
        (lambda folder: ["--fov", "0"], ["fov 0"]),
        (lambda folder: ["--height", "175"], ["height 175", "metres"]),
        (lambda folder: ["--max-people", "0"], ["max_people 0"]),
        (lambda folder: ["--camera", folder / "nope.json"], ["nope.json", "no such file"]),
        (lambda folder: ["--camera", camera_file(folder, width=640)], ["walk.png", "320 x 180", "640 x 180"]),
        (lambda folder: ["--camera", camera_file(folder, fx=-300)], ["camera.json", "focal lengths -300"]),
        (lambda folder: ["--camera", camera_file(folder, cx=float("inf"))], ["camera.json", "finite"]),
        (
            lambda folder: ["--weights", folder / "nope.safetensors"],
            ["nope.safetensors", "no such file", "train hupor"],
        ),
        (lambda folder: ["--weights", folder / "walk.png"], ["walk.png", "weights"]),
        (lambda folder: ["--weights", LIFTER], [LIFTER.name, "not the weights of HUPOR", "train hupor"]),
        (
            lambda folder: ["--weights", write_hupor(folder / "broken.safetensors", broken="detector.stem.0.0.weight")],
            ["broken.safetensors", "detector.stem.0.0.weight", "not numbers"],
        ),
        (lambda folder: ["--device", "nope"], ["device nope"]),
    ],
)
def test_what_cannot_be(command, tmp_path, options, words):
    given = ["--weights", write_hupor(tmp_path / "net.safetensors"), *options(tmp_path)]
    assert_refused(command("run", write_frame(tmp_path), "--method", "hupor", "-o", tmp_path / "out", *given), *words)
    assert not (tmp_path / "out").exists()


def test_without_weights(command, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "SHIPPED", tmp_path / "none.safetensors")
    assert_refused(
        command("run", write_frame(tmp_path), "--method", "hupor", "-o", tmp_path / "out"), "hupor", "train hupor"
    )
    assert not (tmp_path / "out").exists()


def test_a_video_without_frames(command, tmp_path):
    (tmp_path / "walk.mp4").touch()
    outcome = command(
        "run", tmp_path / "walk.mp4", "--method", "hupor", "--weights", write_hupor(tmp_path / "net.safetensors")
    )
    assert_refused(outcome, "walk.mp4", "empty")
    path = video(tmp_path, 3)
    assert_refused(command("run", path, "--method", "hupor", "--start", "9"), "walk.mp4", "from 9 s on")
    assert names(Path()) == []


def test_a_method_that_is_none(command, tmp_path):
    outcome = command("run", write_frame(tmp_path), "--method", "smap")
    assert outcome.code == 2 and "hupor" in outcome.err and "Traceback" not in outcome.err
