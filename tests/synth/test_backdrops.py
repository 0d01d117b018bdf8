"""One's own images behind synthetic people: found, checked, and cut to size."""

import numpy as np
import pytest

from occlupose.errors import OccluposeError
from occlupose.media import write_image
from occlupose.synth.backdrops import find_backdrops, read_backdrop


def make_image(path, width=160, height=120, seed=0):
    image = (
        np.random.default_rng(seed)
        .integers(0, 256, (height // 20, width // 20, 3), np.uint8)
        .repeat(20, 0)
        .repeat(20, 1)
    )
    path.parent.mkdir(exist_ok=True, parents=True)
    write_image(path, image)
    return path


def test_images_are_found_and_broken_ones_named(tmp_path):
    good = [make_image(tmp_path / "a.png"), make_image(tmp_path / "b" / "c.jpg")]
    (tmp_path / "broken.jpg").write_bytes(good[1].read_bytes()[:200])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    make_image(tmp_path / "tiny.png", 40, 40)
    (tmp_path / "notes.txt").write_text("not asked for")
    make_image(tmp_path / ".hidden.png")
    found, broken = find_backdrops(tmp_path)
    assert found == good
    assert [path.name for path in broken] == ["broken.jpg", "empty.png", "text.png", "tiny.png"]


def test_nothing_usable(tmp_path):
    with pytest.raises(OccluposeError, match="not a folder"):
        find_backdrops(tmp_path / "nowhere")
    with pytest.raises(OccluposeError, match="there are none"):
        find_backdrops(tmp_path)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(OccluposeError, match=r"1 cannot be used \(text.png\)"):
        find_backdrops(tmp_path)


@pytest.mark.parametrize("size", [(80, 60), (320, 100), (100, 320)])
def test_a_part_of_an_image(tmp_path, size):
    path = make_image(tmp_path / "a.png")
    parts = [read_backdrop(path, *size, np.random.default_rng(seed)) for seed in range(5)]
    assert all(part.shape == (size[1], size[0], 3) and part.dtype == np.uint8 for part in parts)
    np.testing.assert_array_equal(parts[0], read_backdrop(path, *size, np.random.default_rng(0)))
    assert any((part != parts[0]).any() for part in parts)


def test_an_image_that_went_missing(tmp_path):
    with pytest.raises(OccluposeError, match="no such file"):
        read_backdrop(tmp_path / "a.png", 80, 60, np.random.default_rng(0))
