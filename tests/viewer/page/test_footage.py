import base64

import av
import numpy as np
import pytest

from media_files import index_of, make_video
from occlupose.errors import OccluposeError
from occlupose.media import open_media, write_image
from occlupose.viewer.page import footage
from walking_people import make_poses, stand


def poses_of(frames, width=64, height=48):
    return make_poses(stand(0, 4, frames), width=width, height=height)


def decoded(inside, folder):
    path = folder / "inside.mp4"
    path.write_bytes(base64.b64decode(inside))
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_short_video_lies_inside(tmp_path):
    counts = []
    with open_media(make_video(tmp_path / "in.mp4", 10), start=0.3) as source:
        made = footage.embed(poses_of(7), source, tmp_path / "page.html", counts.append)
    assert made.content["kind"] == "video" and made.content["start"] == pytest.approx(0.3)
    assert made.content["fps"] == 10
    assert made.content["note"] == "The video lies in this file." and made.beside == []
    assert [index_of(image) for image in decoded(made.inside, tmp_path)] == [*range(3, 10)] and counts == [*range(1, 8)]
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".mp4"] == []


def test_a_long_one_lies_beside_the_page_which_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(footage, "LONGEST_INSIDE", 0.5)
    with open_media(make_video(tmp_path / "in.mp4", 10)) as source:
        made = footage.embed(poses_of(10), source, tmp_path / "page.html", None)
    assert made.beside == [tmp_path / "page_video.mp4"] and made.beside[0].stat().st_size and not made.inside
    assert made.content["source"] == "page_video.mp4"
    assert "longer than 0.5 s: it is page_video.mp4" in made.content["note"]


def test_a_long_video_of_few_poses_does_not_lie_inside(tmp_path, monkeypatch):
    monkeypatch.setattr(footage, "LONGEST_INSIDE", 0.5)
    with open_media(make_video(tmp_path / "in.mp4", 10)) as source:
        assert footage.embed(poses_of(2), source, tmp_path / "page.html", None).beside


def test_its_input_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(footage, "LONGEST_INSIDE", 0.5)
    with open_media(make_video(tmp_path / "page_video.mp4", 10)) as source, pytest.raises(OccluposeError) as error:
        footage.embed(poses_of(10), source, tmp_path / "page.html", None)
    assert str(error.value).endswith("page_video.mp4: is the input; give the page another name")


def test_a_large_video_is_made_smaller_and_keeps_its_sound(tmp_path):
    make_video(tmp_path / "in.mp4", 3, size=(1000, 1500), sound=0.3)
    with open_media(tmp_path / "in.mp4") as source:
        made = footage.embed(poses_of(3, 1000, 1500), source, tmp_path / "page.html", None)
    assert decoded(made.inside, tmp_path)[0].shape == (960, 640, 3)
    with av.open(str(tmp_path / "inside.mp4")) as container:
        assert container.streams.audio


def test_an_image(tmp_path):
    write_image(tmp_path / "in.png", np.full((48, 64, 3), 90, np.uint8))
    with open_media(tmp_path / "in.png") as source:
        made = footage.embed(poses_of(1), source, tmp_path / "page.html", None)
    assert made.content["kind"] == "image" and base64.b64decode(made.inside).startswith(b"\xff\xd8")


def test_without_a_video(tmp_path):
    made = footage.embed(poses_of(2), None, tmp_path / "page.html", None)
    assert made.content["kind"] == "none" and not made.inside


def test_the_video_of_other_poses_is_refused(tmp_path):
    with open_media(make_video(tmp_path / "in.mp4", 3)) as source, pytest.raises(OccluposeError) as error:
        footage.embed(poses_of(3, 64, 64), source, tmp_path / "page.html", None)
    assert str(error.value).endswith("in.mp4: is 64x48, the poses are of 64x64; give the video of these poses")
