import json
import re

import numpy as np
import pytest

from media_files import make_video
from occlupose.errors import OccluposeError
from occlupose.media import open_media
from occlupose.viewer import write_page
from occlupose.viewer.page import footage
from occlupose.viewer.page.content import unpack
from walking_people import make_poses, stand


def content_of(path):
    return json.loads(re.search(r'id="content">(.*?)</script>', path.read_text(encoding="utf-8"))[1])


def poses_of(frames=4):
    return make_poses(stand(-1, 4, frames), stand(1, 4, frames), width=64, height=48)


def test_a_page_with_its_video(tmp_path):
    with open_media(make_video(tmp_path / "walk.mp4", 4)) as source:
        assert write_page(poses_of(), tmp_path / "page.html", source, names=["Anna"]) == [tmp_path / "page.html"]
    content = content_of(tmp_path / "page.html")
    assert content["title"] == "walk.mp4" and content["video"]["kind"] == "video"
    assert [person["name"] for person in content["people"]] == ["Anna", "person 1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "walk.mp4"]


def test_a_page_without_one(tmp_path):
    write_page(poses_of(), tmp_path / "walk.html")
    content = content_of(tmp_path / "walk.html")
    assert content["title"] == "walk" and content["video"]["note"] == "There is no video."


def test_names_that_are_not_utf_8(tmp_path, monkeypatch):
    monkeypatch.setattr(footage, "LONGEST_INSIDE", 0.1)
    page = tmp_path / "p\udce9.html"
    with open_media(make_video(tmp_path / "walk.mp4", 4)) as source:
        written = write_page(poses_of(), page, source, names=["Ren\udce9"], title="caf\udce9")
    content = content_of(page)
    assert (content["title"], content["people"][0]["name"]) == ("caf?", "Ren?")
    assert written == [page, tmp_path / content["video"]["source"]] and written[1].stat().st_size


@pytest.mark.parametrize("poses", [poses_of(0), poses_of(3).select(person=[]), poses_of(1), poses_of(3).to_2d()])
def test_poses_that_are_short_or_empty_or_flat(tmp_path, poses):
    write_page(poses, tmp_path / "page.html")
    assert len(content_of(tmp_path / "page.html")["people"]) == (len(poses.track_id) if len(poses) else 0)


def test_the_page_is_small(tmp_path):
    poses = make_poses(stand(0, 4, 600))
    write_page(poses, tmp_path / "long.html")
    write_page(poses.select(time=slice(0, 1)), tmp_path / "short.html")
    short = (tmp_path / "short.html").stat().st_size
    assert short < 900_000  # most of it is three.js
    assert (tmp_path / "long.html").stat().st_size - short < 600 * 260  # bytes for each frame of a person


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("page.pdf", {}, "page.pdf: a page is an .html; give its name this ending"),
        ("page.html", {"names": ["A", "B", "C"]}, "names: 3 for 2 people; give one for each, or fewer"),
    ],
)
def test_what_is_refused(tmp_path, name, options, words):
    with pytest.raises(OccluposeError, match=re.escape(words)):
        write_page(poses_of(), tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_if_the_page_cannot_be_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(footage, "LONGEST_INSIDE", 0.1)
    monkeypatch.setattr("occlupose.viewer.page.assemble", full)
    with open_media(make_video(tmp_path / "walk.mp4", 4)) as source, pytest.raises(OccluposeError) as error:
        write_page(poses_of(), tmp_path / "page.html", source)
    assert "page.html: could not be written (no space left on device)" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["walk.mp4"]


def test_numbers_that_are_not_known_are_no_invalid_json(tmp_path):
    poses = poses_of()
    poses.xyz[:] = np.nan
    write_page(poses, tmp_path / "page.html")
    content = content_of(tmp_path / "page.html")
    assert np.isnan(unpack(content["people"][0]["xyz"])).all() and np.isfinite(content["camera"]["place"]).all()
