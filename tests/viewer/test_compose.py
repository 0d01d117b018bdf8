from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from media_files import make_video
from occlupose.errors import OccluposeError
from occlupose.media import LiveCamera, VideoWriter, open_media, read_image, write_image
from occlupose.viewer import Composer, preview, render
from occlupose.viewer.compose import _preview_times
from walking_people import FPS, make_poses, stand

PAPER = 128


def clip(path: Path, frames: int = 8, width: int = 640, height: int = 360) -> Path:
    """A grey video at the frame rate of the viewer tests."""
    with VideoWriter(path, width, height, FPS) as out:
        for _ in range(frames):
            out.write(np.full((height, width, 3), PAPER, np.uint8))
    return path


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_the_video_has_every_frame_and_both_views(tmp_path):
    counts: list[int] = []
    with open_media(clip(tmp_path / "in.mp4")) as source:
        render(make_poses(stand(0, 4, 8)), source, tmp_path / "out.mp4", progress=counts.append)
    frames = decoded(tmp_path / "out.mp4")
    assert frames.shape == (8, 360, 640 + 360, 3)
    assert counts == list(range(1, 9))
    assert (np.abs(frames[:, 180, 30:200].astype(int) - PAPER) < 8).all()  # the image beside the people
    assert frames[:, :, 640:].std() > 20


def test_a_frame_without_poses_passes_through(tmp_path):
    poses = make_poses(stand(0, 4, 8)).select(time=slice(0, None, 2))
    with open_media(clip(tmp_path / "in.mp4")) as source:
        compose = Composer(poses, source)
        images = [compose(frame)[:320, :640] for frame in source]
    assert [bool((image != images[1]).any()) for image in images] == [True, False] * 4


def test_poses_are_found_by_time(tmp_path):
    poses = make_poses(stand(0, 4, 8))
    late = replace(poses, time=poses.time + 0.45 / FPS)
    later = replace(poses, time=poses.time + 8.55 / FPS)
    with open_media(clip(tmp_path / "in.mp4")) as source:
        frame = list(source)[3]
        same = Composer(poses, source)(frame)[:320, :640]
        near = Composer(late, source)(frame)[:320, :640]
        none = Composer(later, source)(frame)[:320, :640]
    np.testing.assert_array_equal(same, near)
    assert (none != same).any()


def test_two_dimensional_poses_have_no_panel(tmp_path):
    with open_media(clip(tmp_path / "in.mp4")) as source:
        render(replace(make_poses(stand(0, 4, 8)), xyz=None), source, tmp_path / "out.mp4")
    assert decoded(tmp_path / "out.mp4").shape == (8, 360, 640, 3)


def test_nobody_gives_a_video_with_the_empty_floor(tmp_path):
    with open_media(clip(tmp_path / "in.mp4")) as source:
        render(make_poses(stand(0, 4, 8)).select(person=[]), source, tmp_path / "out.mp4")
    frames = decoded(tmp_path / "out.mp4")
    assert frames.shape == (8, 360, 1000, 3) and frames[:, :, 640:].std() > 5


@pytest.mark.parametrize(
    ("size", "width", "fitted"),
    [
        ((1920, 1080), 960, (960, 540)),
        ((1920, 1080), 641, (640, 360)),
        ((1080, 1920), 960, (404, 720)),
        ((640, 480), 960, (640, 480)),
        ((161, 121), 960, (480, 360)),
        ((2000, 100), 960, (960, 48)),
    ],
)
def test_sizes_are_even_and_bounded(tmp_path, size, width, fitted):
    write_image(tmp_path / "in.png", np.zeros((size[1], size[0], 3), np.uint8))
    with open_media(tmp_path / "in.png") as source:
        compose = Composer(make_poses(stand(0, 4, 1), width=size[0], height=size[1]), source, width)
        image = compose(next(iter(source)))
    assert compose.image_size == fitted
    assert image.shape == (fitted[1], fitted[0] + min(fitted), 3) == (compose.height, compose.width, 3)


@pytest.mark.parametrize(
    ("panel", "size", "shape"),
    [
        ("none", (640, 360), (360, 640)),
        ("side", (640, 360), (360, 1000)),
        ("below", (640, 360), (720, 640)),
        ("side", (360, 640), (640, 720)),
        ("below", (360, 640), (1000, 360)),
        ("none", (65, 49), (49, 65)),
        ("side", (3840, 2160), (1474, 4094)),
        ("none", (4200, 100), (100, 4200)),
    ],
)
def test_the_image_keeps_its_size_and_the_panel_is_where_it_is_wanted(tmp_path, panel, size, shape):
    write_image(tmp_path / "in.png", np.full((size[1], size[0], 3), PAPER, np.uint8))
    poses = make_poses(stand(0, 4, 1), width=size[0], height=size[1])
    with open_media(tmp_path / "in.png") as source:
        compose = Composer(poses, source, panel=panel)
        assert compose(next(iter(source))).shape == (*shape, 3) == (compose.height, compose.width, 3)


def test_places_that_do_not_exist(tmp_path):
    with open_media(clip(tmp_path / "in.mp4")) as source, pytest.raises(OccluposeError, match=r"panel left: .*; give"):
        render(make_poses(stand(0, 4, 8)), source, tmp_path / "out.mp4", panel="left")


def test_the_source_is_not_drawn_upon(tmp_path):
    write_image(tmp_path / "in.png", np.full((360, 640, 3), PAPER, np.uint8))
    with open_media(tmp_path / "in.png") as source:
        frame = next(iter(source))
        Composer(make_poses(stand(0, 4, 1)), source)(frame)
    assert (frame.image == PAPER).all()


def test_the_sound_goes_with_the_picture(tmp_path):
    make_video(tmp_path / "in.mp4", 20, fps=10, sound=2.0)
    with open_media(tmp_path / "in.mp4", start=0.5, end=1.5) as source:
        poses = make_poses(stand(0, 4, 20), width=64, height=48)
        render(poses, source, tmp_path / "out.mp4", panel="none")
        assert source.warnings == []
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
        assert len(list(container.decode(video=0))) == 10
        container.seek(0)
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples / 44100 == pytest.approx(1.0, abs=0.1)


def test_sound_that_does_not_fit_is_left_out_with_a_warning(tmp_path):
    make_video(tmp_path / "in.mkv", 4, fps=10, sound=0.4, sound_codec="pcm_s16le")
    with open_media(tmp_path / "in.mkv") as source:
        render(make_poses(stand(0, 4, 4), width=64, height=48), source, tmp_path / "out.mp4")
    cannot = "its sound (pcm_s16le) cannot be copied into an .mp4; out.mp4 has none"
    assert source.warnings == [f"{tmp_path / 'in.mkv'}: {cannot}"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("content", [None, b"no video"])
def test_sound_that_cannot_be_read_any_more_is_left_out(tmp_path, content):
    path = make_video(tmp_path / "in.mp4", 4, fps=10, sound=0.4)
    with open_media(path) as source:
        sound = source.sound
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with VideoWriter(tmp_path / "out.mp4", 64, 48, fps=10, sound=sound) as out:
        out.write(np.zeros((48, 64, 3), np.uint8))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert len(list(container.decode(video=0))) == 1 and not container.streams.audio


def test_sound_that_is_gone_from_its_file_is_left_out(tmp_path):
    path = make_video(tmp_path / "in.mp4", 4, fps=10, sound=0.4)
    with open_media(path) as source:
        sound = source.sound
    make_video(path, 4, fps=10)
    with VideoWriter(tmp_path / "out.mp4", 64, 48, fps=10, sound=sound) as out:
        out.write(np.zeros((48, 64, 3), np.uint8))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert not container.streams.audio


def test_uncertainty_is_a_pale_circle(tmp_path):
    poses = make_poses(stand(0, 4, 1))
    spread = np.full(poses.state.shape, np.nan)
    spread[..., poses.skeleton.index("head_top")] = 20
    write_image(tmp_path / "in.png", np.full((360, 640, 3), PAPER, np.uint8))
    with open_media(tmp_path / "in.png") as source:
        frame = next(iter(source))
        plain = Composer(poses, source, panel="none")(frame)
        pale = Composer(replace(poses, spread=spread), source, panel="none")(frame)
    changed = (plain != pale).any(-1)
    assert changed.sum() == pytest.approx(np.pi * 40**2, rel=0.15)
    assert np.abs(plain.astype(int) - pale)[changed].max() <= 0.26 * 255


def test_the_preview_of_a_clip_shows_six_preview_times(tmp_path):
    with open_media(clip(tmp_path / "in.mp4", 20)) as source:
        preview(make_poses(stand(0, 4, 20)), source, tmp_path / "out.png", width=960)
    assert Image.open(tmp_path / "out.png").size == (2 * (480 + 270), 3 * 270)


def test_the_preview_of_an_image_shows_two_sides(tmp_path):
    write_image(tmp_path / "in.png", np.full((720, 1280, 3), PAPER, np.uint8))
    with open_media(tmp_path / "in.png") as source:
        preview(make_poses(stand(0, 4, 1), width=1280, height=720), source, tmp_path / "out.png")
    image = read_image(tmp_path / "out.png")
    assert image.shape == (540, 960 + 2 * 540, 3)
    assert (image[:, 960:1500] != image[:, 1500:]).any()


def test_moments_are_those_with_people():
    poses = make_poses(stand(0, 4, 30))
    poses.state[:10] = 0
    poses.xy[:10] = np.nan
    poses.xyz[:10] = np.nan
    times = _preview_times(poses)
    assert len(times) == 6 and times[0] == pytest.approx(1.0) and times[-1] == pytest.approx(2.9)
    assert _preview_times(poses.select(time=slice(0, 0))) == [0.0]
    assert _preview_times(poses.select(time=slice(0, 4))) == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_a_live_camera_cannot_be_shown_again(tmp_path):
    camera = object.__new__(LiveCamera)
    camera.name = "camera 0"
    with pytest.raises(OccluposeError, match="camera 0: a live camera"):
        render(make_poses(stand(0, 4)), camera, tmp_path / "out.mp4")


def test_nothing_is_left_after_an_error(tmp_path):
    def stop(count: int) -> None:
        raise RuntimeError(f"stopped at {count}")

    with open_media(clip(tmp_path / "in.mp4")) as source, pytest.raises(RuntimeError, match="stopped at 1"):
        render(make_poses(stand(0, 4, 8)), source, tmp_path / "out.mp4", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
