import io
import pickle
import struct
import tarfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import coco_files as files
from occlupose.datasets.images import ImageCache, ImageIndex, ImageRef, index_shard
from occlupose.errors import OccluposeError
from occlupose.media import write_image


@pytest.fixture
def folder(tmp_path):
    return files.write_synth(tmp_path / "set", 1) / "shards"


def test_a_shards_images_are_its_members(folder):
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            names = [name for name in tar.getnames() if name.endswith(".jpg")]
            assert [image.name for image in index_shard(path)] == names
            for image in index_shard(path):
                content = tar.extractfile(image.name).read()
                assert image.read_bytes() == content
                np.testing.assert_array_equal(image.read(), np.array(Image.open(io.BytesIO(content)).convert("RGB")))


def test_a_shard_is_indexed_once_until_it_changes(folder, monkeypatch):
    path = folder / "000000.tar"
    opened = []
    before = index_shard(path)
    monkeypatch.setattr(tarfile, "open", lambda *given, **named: opened.append(given) or original(*given, **named))
    assert index_shard(path) is before and [image.read().shape for image in before] == [(96, 120, 3)] * 2 and not opened
    monkeypatch.undo()
    path.write_bytes((folder / "000001.tar").read_bytes() + bytes(1024))
    assert index_shard(path)[0].name == "000003.jpg"


original = tarfile.open


def test_images_are_values_that_travel_to_other_processes(folder, tmp_path):
    one, other = index_shard(folder / "000000.tar")
    assert one == pickle.loads(pickle.dumps(one)) != other  # noqa: S301 (our own)
    assert len({one, other, one}) == 2 and ImageRef(tmp_path / "a.png") == ImageRef(tmp_path / "a.png")
    assert str(one) == f"{folder / '000000.tar'}: 000001.jpg" and str(ImageRef(tmp_path / "a.png")) == str(
        tmp_path / "a.png"
    )


def test_threads_read_side_by_side(folder):
    images = ImageIndex(folder).all()
    with ThreadPoolExecutor(8) as workers:
        read = list(workers.map(ImageRef.read, images * 20))
    for number, image in enumerate(read):
        np.testing.assert_array_equal(image, read[number % len(images)])
    assert len(images) == 5 and not np.array_equal(read[0], read[1])


def packed(path, **members):
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(f"{name}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_truncated_images_name_the_file_and_the_member(tmp_path, folder):
    content = ImageIndex(folder).all()[0].read_bytes()
    path = packed(tmp_path / "a.tar", half=content[: len(content) // 2], text=b"no picture", whole=content)
    half, text, whole = index_shard(path)
    with pytest.raises(
        OccluposeError, match=r"a\.tar: half\.jpg: not a readable image \(.*truncated.*\); copy or save it again$"
    ):
        half.read()
    with pytest.raises(OccluposeError, match=r"a\.tar: text\.jpg: its content is not an image, .*; copy or save it"):
        text.read()
    assert whole.read().shape == (96, 120, 3)
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(OccluposeError, match=r"half\.jpg: not a readable image \(.*truncated"):
        ImageRef(tmp_path / "half.jpg").read()
    path.write_bytes(path.read_bytes()[: whole.start + 10])
    with pytest.raises(OccluposeError, match=r"a\.tar: whole\.jpg: the file ends within it; copy it again"):
        whole.read()
    path.unlink()
    with pytest.raises(OccluposeError, match=r"a\.tar: whole\.jpg: cannot be read \(no such file or directory\)"):
        whole.read()


@pytest.mark.parametrize("content", [b"", b"no archive" * 100, None])
def test_shards_that_are_none_are_refused(tmp_path, folder, content):
    whole = (folder / "000000.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(whole[: len(whole) // 3] if content is None else content)
    with pytest.raises(
        OccluposeError, match=r"b\.tar: not a readable \.tar file \(.*\); copy it again, or make it again"
    ):
        ImageIndex(tmp_path).find("000001.jpg")


@pytest.mark.parametrize("name", ["../a.png", "b/../../a.png", "{outside}"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "images" / "b").mkdir(parents=True)
    with pytest.raises(OccluposeError, match=r"a\.png: this name of an image leads out of .*images; correct it in the"):
        ImageIndex(tmp_path / "images").find(name.format(outside=tmp_path / "a.png"))


@pytest.mark.parametrize("name", ["a" * 5000, "a\0.png", "", "."])
def test_names_that_no_image_can_have_are_of_none(tmp_path, name):
    assert ImageIndex(tmp_path).find(name) is None


def test_too_large_images_of_shards_are_refused_before_they_are_decoded(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 13_300, 13_300, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT"
    (image,) = index_shard(packed(tmp_path / "a.tar", large=content))
    with pytest.raises(OccluposeError, match=r"large\.jpg: the image is too large \(13300x13300, 0\.5 GiB as RGB"):
        image.read()


def test_one_name_in_two_shards_is_refused(tmp_path, folder):
    (folder / "000009.tar").write_bytes((folder / "000000.tar").read_bytes())
    with pytest.raises(OccluposeError, match=r"000009\.tar: 000001\.jpg: 000000\.tar has an image of the same name"):
        ImageIndex(folder).find("000001.jpg")


def test_folders_have_their_images_in_order_those_below_too(tmp_path):
    content = {"images": [{"file_name": name, "width": 8, "height": 8} for name in ("b.png", "a/c.png", "a/b.png")]}
    files.write_images(tmp_path, content, np.random.default_rng(0))
    (tmp_path / "a" / "notes.txt").write_text("")
    assert [str(image.path.relative_to(tmp_path)) for image in ImageIndex(tmp_path).all()] == [
        "a/b.png",
        "a/c.png",
        "b.png",
    ]
    assert (
        ImageIndex(tmp_path).find("a/c.png") == ImageRef(tmp_path / "a" / "c.png")
        and ImageIndex(tmp_path).find("c.png") is None
    )


def test_a_cache_reads_what_it_has_room_for_once(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (160, 256, 3), dtype=np.uint8)
    first = ImageRef(tmp_path / "a.png")
    second = ImageRef(tmp_path / "b.png")
    for reference in (first, second):
        write_image(reference.path, image)
    cache = ImageCache(image.nbytes * 4 // 3)  # all levels of one image
    for reference in (first, second):
        np.testing.assert_array_equal(cache.read(reference, (256, 160)).level(0), image)
        reference.path.unlink()
    pyramid = cache.read(first, (256, 160))
    np.testing.assert_array_equal(pyramid.level(0), image)
    assert pyramid.level(3).shape == (20, 32, 3)
    assert cache.get(first) is pyramid and cache.get(second) is None
    with pytest.raises(OccluposeError, match=r"b\.png"):
        cache.read(second, (256, 160))


def test_an_image_of_another_size_than_annotated_is_refused(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((160, 200, 3), np.uint8))
    with pytest.raises(OccluposeError, match=r"a\.png: is 200x160, but 256x160 in its annotations"):
        ImageCache().read(ImageRef(tmp_path / "a.png"), (256, 160))
