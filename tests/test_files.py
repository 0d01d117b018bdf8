"""Whole files or none."""

import errno
import os

import pytest

from occlupose.errors import OccluposeError
from occlupose.files import atomic, find_by_person, name_by_person, parse_json, remove_leftovers


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "poses.json"
    with atomic(path) as temporary:
        assert temporary.suffix == ".json" and temporary.parent == path.parent
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [file.name for file in path.parent.iterdir()] == ["poses.json"]


@pytest.mark.parametrize("failure", [ValueError("a bug"), KeyboardInterrupt()])
def test_after_a_failure_the_old_file_stands_and_no_other(tmp_path, failure):
    path = tmp_path / "poses.json"
    path.write_text("old")
    with pytest.raises(type(failure)), atomic(path) as temporary:
        temporary.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_naming_the_file(tmp_path):
    path = tmp_path / "poses.json"
    message = r"^.*poses\.json: could not be written \(no space left on device\); choose .*$"
    with pytest.raises(OccluposeError, match=message), atomic(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_really_full_device(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    path = tmp_path / "poses.json"
    with pytest.raises(OccluposeError, match="no space left"), atomic(path) as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "out").write_text("")
    with (
        pytest.raises(OccluposeError, match=r"out/poses\.npz: could not be written"),
        atomic(tmp_path / "out" / "poses.npz"),
    ):
        raise AssertionError("the block runs although nothing can be written")


def test_a_long_name(tmp_path):
    path = tmp_path / f"{'é' * 125}.npz"
    with atomic(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"


@pytest.mark.parametrize("empty", [True, False])
def test_a_folder_appears_where_none_or_an_empty_one_is(tmp_path, empty):
    path = tmp_path / "new"
    if empty:
        path.mkdir()
    with atomic(path) as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("whole")
        assert not (path / "a").exists()
    assert [file.name for file in path.iterdir()] == ["a"]


def test_a_folder_with_files_stands(tmp_path):
    (tmp_path / "a").write_text("old")
    with (
        pytest.raises(OccluposeError, match=r"could not be written \(directory not empty\)"),
        atomic(tmp_path) as temporary,
    ):
        temporary.mkdir()
        (temporary / "b").write_text("new")
    assert [file.name for file in tmp_path.iterdir()] == ["a"] and not temporary.exists()


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path = tmp_path / "new"
    flushed = []
    flush = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(path.exists()) or flush(number))
    with atomic(path) as temporary:
        temporary.mkdir()
        for name in "ab":
            (temporary / name).write_text("whole")
    assert flushed[:2] == [False, False] and path.exists()


def test_leftovers_of_a_killed_process(tmp_path):
    left = [".poses.0123abcd.npz", ".poses_12.0123abcd.trc", ".poses-coco.0123abcd.json", ".run.0123abcd.json"]
    mine = [".poses.npz", ".poses.0123abcg.npz", ".other.0123abcd.npz", "poses.0123abcd.npz", ".posesx.0123abcd.npz"]
    for name in left + mine:
        (tmp_path / name).touch()
    (tmp_path / ".poses-openpose.0123abcd" / "deep").mkdir(parents=True)
    removed = remove_leftovers(tmp_path, ["poses", "run"])
    assert sorted(path.name for path in removed) == sorted([*left, ".poses-openpose.0123abcd"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)


def test_leftovers_of_a_long_name(tmp_path):
    with atomic(tmp_path / f"{'a' * 60}.npz") as temporary:
        temporary.touch()
        left = tmp_path / temporary.name
        assert remove_leftovers(tmp_path, ["a" * 60]) == [left]
        temporary.touch()


def test_old_leftovers_of_any_name(tmp_path):
    """Another process may be writing the newer ones."""
    for name in (".000005.0123abcd.npz", ".000006.0123abcd.npz", "000007.npz", ".hidden"):
        (tmp_path / name).touch()
    for name in (".000005.0123abcd.npz", "000007.npz", ".hidden"):
        os.utime(tmp_path / name, (0, 0))
    assert [path.name for path in remove_leftovers(tmp_path, older_than=3600)] == [".000005.0123abcd.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".000006.0123abcd.npz", ".hidden", "000007.npz"]
    assert remove_leftovers(tmp_path / "nowhere") == []


def test_a_file_for_each_person(tmp_path):
    path = tmp_path / "a[1].b.trc"
    assert name_by_person(path, [7]) == [path]
    several = name_by_person(path, [7, -2])
    assert [file.name for file in several] == ["a[1].b_7.trc", "a[1].b_-2.trc"]
    for file in (path, *several, *(tmp_path / name for name in ("a[1].b_best.trc", "a[1].b_7.csv", "a1.b_7.trc"))):
        file.touch()
    assert find_by_person(path) == sorted([path, *several])
    assert find_by_person(tmp_path / "none" / "a.trc") == []


@pytest.mark.parametrize("text", ["[" * 100_000, b"{", '{"a": 1'])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"nested too deeply|Expecting|Unterminated|property name"):
        parse_json(text)
    assert parse_json('{"a": [1, null]}') == {"a": [1, None]}
