import io

import numpy as np
import pytest
from PIL import Image, ImageOps

import coco_files as files
from occlupose.datasets import leakage as module
from occlupose.datasets.images import ImageIndex, ImageRef
from occlupose.datasets.leakage import ImageHashes, find_leaks, hash_images
from occlupose.errors import OccluposeError


def scene(seed):
    """An image of some detail at several scales, as photographs have it."""
    generator = np.random.default_rng(seed)
    total = np.zeros((240, 320, 3))
    for cells in (3, 6, 12, 30, 80):
        coarse = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += np.asarray(coarse.resize((320, 240), Image.Resampling.BICUBIC), float) / cells
    return Image.fromarray((255 * (total - total.min()) / np.ptp(total)).astype(np.uint8))


def saved(image, path, quality=95):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=quality)
    return path


def leaks_between(train, test):
    """Leaks, and the images that cannot be read."""
    first = hash_images(train)
    second = hash_images(test)
    return find_leaks(first, second), first.unreadable + second.unreadable


CHANGES = {
    "same file": lambda image: image,
    "compressed": lambda image: image,
    "smaller": lambda image: image.resize((150, 112)),
    "larger": lambda image: image.resize((500, 380)),
    "cut": lambda image: image.crop((6, 4, 314, 236)),
    "grey": lambda image: image.convert("L"),
    "mirrored": ImageOps.mirror,
    "mirrored, smaller": lambda image: ImageOps.mirror(image).resize((200, 150)),
}


@pytest.fixture
def train(tmp_path):
    for seed in range(60):
        saved(scene(seed), tmp_path / "train" / f"{seed:02}.jpg")
    return ImageIndex(tmp_path / "train").all()


def test_copies_are_found_however_they_were_changed_and_nothing_else(tmp_path, train):
    for number, (name, change) in enumerate(CHANGES.items()):
        saved(change(scene(number)), tmp_path / "test" / f"{name}.jpg", 95 if name == "same file" else 60)
    for seed in range(100, 140):
        saved(scene(seed), tmp_path / "test" / f"{seed}.jpg")
    found, unreadable = leaks_between(train, ImageIndex(tmp_path / "test").all())
    assert [(leak.first.name, leak.second.path.stem) for leak in found] == [
        (f"{n:02}.jpg", name) for n, name in enumerate(CHANGES)
    ]
    assert [leak.kind for leak in found] == ["same file", *["same image"] * 5, *["mirrored image"] * 2]
    assert found[0].distance == 0 and all(leak.distance <= 8 for leak in found) and not unreadable


def test_images_in_shards_leak_too_and_truncated_ones_are_named(tmp_path):
    folder = files.write_synth(tmp_path / "set", 1) / "shards"
    images = ImageIndex(folder).all()
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "same.jpg").write_bytes(images[3].read_bytes())
    (tmp_path / "copy" / "half.jpg").write_bytes(images[2].read_bytes()[:-400])
    (tmp_path / "copy" / "text.jpg").write_text("no picture")
    found, unreadable = leaks_between(images, [*ImageIndex(tmp_path / "copy").all(), ImageRef(tmp_path / "none.jpg")])
    assert [(leak.first, leak.second.name, leak.kind) for leak in found] == [(images[3], "same.jpg", "same file")]
    assert [line.split(":")[0].rsplit("/", 1)[1] for line in unreadable] == ["half.jpg", "text.jpg", "none.jpg"]
    assert "truncated" in unreadable[0] and not any("\n" in line for line in unreadable)


def test_an_image_rotated_like_its_camera_is_the_same_upright(tmp_path, train):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    scene(7).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", exif=exif)
    (leak,) = leaks_between(train, [ImageRef(tmp_path / "turned.jpg")])[0]
    assert (leak.first.name, leak.kind) == ("07.jpg", "same image")


def hashes(*bits, mirrored=None):
    """Fingerprints of files that do not exist."""
    count = len(bits)
    own = [b"%d %d" % (number, bits[number]) for number in range(count)]
    images = [ImageRef(module.__file__, f"{number}") for number in range(count)]
    return ImageHashes(images, own, np.array(bits, np.uint64), np.array(mirrored or bits, np.uint64), [])


def test_every_pair_within_the_distance_is_found_whatever_the_blocks(monkeypatch):
    generator = np.random.default_rng(0)
    ones = generator.integers(0, 2**63, 150, dtype=np.uint64)
    others = ones[generator.permutation(150)][:90]
    for bit in generator.integers(0, 64, (5, 90)).astype(np.uint64):
        others = others ^ (np.uint64(1) << bit)
    expected = {(a, b) for a in range(150) for b in range(90) if int(ones[a] ^ others[b]).bit_count() <= 4}
    for block in (1, 1000, 1 << 22):
        monkeypatch.setattr(module, "BLOCK", block)
        found = find_leaks(hashes(*ones.tolist()), hashes(*others.tolist()), max_distance=4)
        assert {(int(leak.first.member), int(leak.second.member)) for leak in found} == expected
        assert all(leak.distance <= 4 for leak in found)
    assert 5 < len(expected) < 90


def test_each_pair_once_by_its_closest_kind():
    (leak,) = find_leaks(hashes(0b1111), hashes(0b1001, mirrored=[0b1101]))
    assert (leak.kind, leak.distance) == ("mirrored image", 1)
    (leak,) = find_leaks(hashes(0b1111), hashes(0b1111, mirrored=[0]))
    assert (leak.kind, leak.distance) == ("same file", 0)


def test_nothing_leaks_out_of_nothing():
    assert find_leaks(hashes(), hashes(1, 2)) == find_leaks(hashes(1, 2), hashes()) == []
    assert leaks_between([], []) == ([], [])
    with pytest.raises(OccluposeError, match="max_distance 64: hashes have 64 bits"):
        find_leaks(hashes(), hashes(), max_distance=64)


def test_fingerprints_do_not_depend_on_threads(train):
    one = hash_images(train, threads=1)
    many = hash_images(train, threads=5)
    assert one.sha256 == many.sha256 and one.images == train
    np.testing.assert_array_equal(one.perceptual, many.perceptual)
    buffer = io.BytesIO(train[0].read_bytes())
    assert Image.open(buffer).size == (320, 240)
