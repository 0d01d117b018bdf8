import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from occlupose.datasets.formats.pickled_npz import read_pickled
from occlupose.errors import OccluposeError
from occlupose.pickles import PickledArray

PLAIN = arrays.arrays(
    st.sampled_from(["f2", "<f4", ">f8", "i1", ">i4", "u8", "b1", "<U3"]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


def plain(value):
    """What was read, with arrays in the place of their pickles."""
    if isinstance(value, PickledArray):
        return plain(value.items)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, list | tuple) else value


def same(one, other):
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.tobytes() == other.tobytes()
            and one.shape == other.shape
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def entry(path: Path, pickled: bytes, shape: tuple[int, ...] = ()) -> Path:
    """An .npz file whose entry `content` is an object array with this pickle."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("content.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": shape})
        file.write(pickled)
    return path


@settings(max_examples=80)
@given(st.dictionaries(st.text(max_size=3), NESTED, max_size=3))
def test_nested_dictionaries_of_arrays_come_back(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "content.npz"
    np.savez_compressed(path, content=content)
    assert same(plain(read_pickled(path, "content")[0]), content)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_older_and_newer_pickles_and_names_of_numpy_are_read(tmp_path, protocol):
    xyz = np.asfortranarray(np.random.default_rng(0).normal(size=(4, 17, 3)).astype(np.float32))[::2]
    content = np.empty((), object)
    content[()] = {"S9": {"Walking 1": [xyz, np.float32(2.5), np.array([xyz, None], object)]}}
    pickled = pickle.dumps(content, protocol=protocol)
    if protocol <= 3:
        pickled = pickled.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    motion, number, views = plain(read_pickled(entry(tmp_path / "a.npz", pickled), "content")[0])["S9"]["Walking 1"]
    np.testing.assert_array_equal(motion, xyz)
    assert number == 2.5 and views[1] is None and same(views[0], motion)


def test_bytes_in_another_coding_are_refused(tmp_path):
    pickled = pickle.dumps(np.array([np.zeros(2)], object), protocol=2)
    assert b"latin1" in pickled
    with pytest.raises(OccluposeError, match="bytes in an unknown encoding"):
        read_pickled(entry(tmp_path / "a.npz", pickled.replace(b"latin1", b"utf_16")), "content")


def test_ordinary_arrays_are_read_too_and_several_at_once(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(3), b={"c": 1})
    b, a = read_pickled(tmp_path / "a.npz", "b", "a")
    assert b == {"c": 1} and a.tolist() == [0, 1, 2]


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("deep", [False, True])
def test_a_malicious_pickle_is_refused_and_nothing_of_it_runs(tmp_path, deep, protocol):
    proof = tmp_path / "proof"
    evils = [
        Evil(os.system, f"touch {proof}"),
        Evil(os.mkdir, str(proof)),
        Evil(eval, f"open({str(proof)!r}, 'w')"),
        Evil(exec, f"open({str(proof)!r}, 'w')"),
        Evil(getattr, os, "mkdir"),
        Evil(np.load, str(proof)),
        Evil(np.memmap, str(proof), "u1", "w+", 0, (8,)),
        Evil(np.ndarray.tofile, np.zeros(1), str(proof)),
    ]
    for evil in evils:
        content = np.empty((), object)
        content[()] = {"S9": {"Walking": [np.zeros(3), evil]}} if deep else evil
        try:
            pickled = pickle.dumps(content, protocol=protocol)
        except (pickle.PicklingError, TypeError):  # what cannot be pickled cannot be sent either
            continue
        path = entry(tmp_path / "evil.npz", pickled)
        with pytest.raises(
            OccluposeError, match=r"evil\.npz: names .*, which may run code and was not touched; give a file of plain"
        ):
            read_pickled(path, "content")
        assert not proof.exists()
    np.load(entry(tmp_path / "evil.npz", pickle.dumps(evils[1])), allow_pickle=True)["content"]
    assert proof.exists()  # numpy itself runs it: the danger is real


def test_what_an_array_is_made_of_is_checked(tmp_path):
    state = (1, (3,), np.dtype("V4"), False, b"x" * 12)
    texts = {
        b"cbuiltins\neval\n.": "names builtins.eval",
        b"cnumpy\nvectorize\n.": "names numpy.vectorize",
        b"c__main__\nx\n.": "names __main__.x",
        b"\x80\x02X\x01\x00\x00\x00aQ.": "persistent",
        pickle.dumps(np.zeros(2, [("a", "i4"), ("b", "O")])): "an array of 'V12'",
        pickle.dumps(np.zeros(2, "M8[s]")): "an array of 'M8'",
        pickle.dumps(state): "an array of 'V4'",
    }
    for pickled, message in texts.items():
        with pytest.raises(OccluposeError, match=message) as refusal:
            read_pickled(entry(tmp_path / "a.npz", pickled), "content")
        assert "\n" not in str(refusal.value) and "a.npz: " in str(refusal.value)


def objects(*operations: bytes) -> bytes:
    return b"".join([b"\x80\x04", *operations, b"."])


RECONSTRUCT = b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b".",
        b"hello",
        pickle.dumps(np.arange(9.0))[:-30],
        objects(RECONSTRUCT, b"K\x05b"),  # a state that is none
        objects(RECONSTRUCT, b"}b"),
        objects(
            RECONSTRUCT, b"(K\x01K\x03\x85cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89C\x04\x00\x00\x00\x00tb"
        ),  # 3 numbers from 4 bytes
        objects(RECONSTRUCT, b"(K\x01K\x03\x85cnumpy\ndtype\nX\x01\x00\x00\x00O\x85R\x89]tb"),  # 3 objects from none
        objects(RECONSTRUCT, b"(K\x01K\x03\x85cnumpy\nndarray\n\x89C\x04\x00\x00\x00\x00tb"),
        objects(b"cnumpy\nndarray\n)R"),
        objects(b"cnumpy._core.multiarray\n_reconstruct\n}X\x01\x00\x00\x00aK\x01sb"),
    ],
)
def test_a_damaged_pickle_is_one_line(tmp_path, pickled):
    path = entry(tmp_path / "a.npz", pickled)
    try:
        content = read_pickled(path, "content")[0]
    except OccluposeError as refusal:
        assert str(refusal).startswith(f"{path}: ") and "\n" not in str(refusal) and "; " in str(refusal)
    else:
        assert b"_reconstruct\n}" in pickled and not isinstance(content, np.ndarray)
    np.savez(tmp_path / "b.npz", content={"a": np.arange(3)})  # and it has left nothing behind
    assert plain(read_pickled(tmp_path / "b.npz", "content")[0])["a"].tolist() == [0, 1, 2]


@settings(max_examples=150)
@given(st.data())
def test_no_damage_does_anything_but_fail_in_one_line(tmp_path_factory, data):
    content = np.empty((), object)
    content[()] = {"S9": {"a": np.arange(4.0), "b": [1, "x", np.array([None, 2], object)]}}
    pickled = bytearray(pickle.dumps(content, protocol=4))
    for _ in range(data.draw(st.integers(1, 4))):
        pickled[data.draw(st.integers(0, len(pickled) - 1))] = data.draw(st.integers(0, 255))
    path = entry(tmp_path_factory.getbasetemp() / "damaged.npz", bytes(pickled))
    try:
        read_pickled(path, "content")
    except OccluposeError as refusal:
        assert len(str(refusal).splitlines()) == 1


def test_files_that_are_none_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, other=np.arange(3))
    with pytest.raises(OccluposeError, match=r"a\.npz: no content in it, but other; give the file that has it"):
        read_pickled(path, "content")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(OccluposeError, match=r"a\.npz: damaged, or not an \.npz file; fetch it again"):
        read_pickled(path, "content")
    with pytest.raises(OccluposeError, match=r"b\.npz: cannot be read \(no such file or directory\)"):
        read_pickled(tmp_path / "b.npz", "content")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.npy", b"no array")
    with pytest.raises(OccluposeError, match=r"a\.npz: damaged"):
        read_pickled(path, "content")
