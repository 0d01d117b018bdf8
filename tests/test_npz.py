"""Arrays of .npz files: plain ones as they were written, everything else refused in one line."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from occlupose.npz import open_npz


def header(text: str) -> bytes:
    """A .npy file without data, with this header."""
    content = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content


def shaped(shape: object, kind: str = "<f4") -> bytes:
    return header(f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape!r}, }}")


def archive(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def wrong(path, name: str = "a") -> str:
    with open_npz(path) as file, pytest.raises(ValueError) as caught:
        _ = file[name]
    line = str(caught.value)
    assert line.startswith(f"damaged or not plain arrays ({name}: ") and "\n" not in line
    return line


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_they_were(tmp_path, save):
    arrays = {
        "number": np.float64(2.5),
        "text": np.array("coco17"),
        "empty": np.zeros((100, 0, 17, 2), np.float32),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "none": np.array([], "U0"),
        "large": np.arange(300_000).astype(">i4"),
    }
    save(tmp_path / "a.npz", **arrays)
    with open_npz(tmp_path / "a.npz") as file:
        assert sorted(file) == sorted(arrays) and "text" in file and "other" not in file
        for name, array in arrays.items():
            assert file[name].dtype == np.asarray(array).dtype and np.array_equal(file[name], array), name
        with pytest.raises(KeyError):
            _ = file["other"]


def test_bytes_are_read_as_files_are():
    content = io.BytesIO()
    np.savez(content, a=np.arange(3))
    with open_npz(content) as file:
        assert file["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut"])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"^not a whole \.npz archive$"), open_npz(tmp_path / "a.npz"):
        pass
    with pytest.raises(FileNotFoundError), open_npz(tmp_path / "none.npz"):
        pass


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (shaped((10**10,)), "its data are not of shape"),
        (shaped((3,)) + bytes(11), "its data are not of shape"),
        (shaped((3,)) + bytes(13), "its data are not of shape"),
        (shaped((3_000_000_000, 0)), "is too large"),
        (shaped((0, 3_000_000_000)), "is too large"),
        (shaped((3_000_000_000,), "<U0"), "is too large"),
        (shaped((-1, -3)) + bytes(12), "its data are not of shape"),
        (shaped((1,), "|O") + bytes(8), "objects, which are not read"),
        (shaped((1,), "<M8[s]") + bytes(8), "values of type datetime64"),
        (header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }") + bytes(4), "values of type"),
        (header("(" * 100), "a: "),
        (header("{'descr': '<f4', 'shape': (1,), "), "a: "),
        (b"", "a: "),
        (b"\x93NUMPY\x01\x00\xff\xff", "a: "),
    ],
)
def test_arrays_that_are_refused(tmp_path, content, words):
    assert words in wrong(archive(tmp_path / "a.npz", a=content))


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(20.0), b=np.array("text"))
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(len(whole)):
        for bit in (0, 3, 7):
            content = bytearray(whole)
            content[place] ^= 1 << bit
            try:
                with open_npz(io.BytesIO(content)) as file:
                    arrays = [file[name] for name in file]
            except ValueError as error:
                assert "\n" not in str(error)
                continue
            assert {str(array) for array in arrays} <= {str(np.arange(20.0)), "text"}


def test_other_ways_of_packing_are_no_other_exceptions(tmp_path):
    path = archive(tmp_path / "a.npz", a=shaped((3,)) + bytes(12))
    whole = path.read_bytes()
    at = whole.index(b"PK\x01\x02")
    for offset, change in ((8, 1), (10, 14), (10, 12), (10, 9), (10, 99)):  # encrypted; LZMA, BZIP2, unknown
        content = bytearray(whole)
        content[at + offset] = change
        content[offset - 2] = change
        path.write_bytes(content)
        wrong(path)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = archive(tmp_path / "a.npz", a=shaped((5 * 2**20,)) + bytes(20 * 2**20), b=shaped((1,)) + bytes(4))
    tracemalloc.start()
    with open_npz(path, 10 * 2**20) as file:
        assert file["b"].tolist() == [0]
        with pytest.raises(ValueError, match=r"\(a: needs 0\.0 GiB of memory, at most 0\.00976562 are allowed\)$"):
            _ = file["a"]
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
