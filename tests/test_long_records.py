"""Records that are held by track say the same as dense ones, bit for bit."""

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from long_records import by_track, passing, tracks_of
from occlupose import formats
from occlupose import poses as module
from occlupose.errors import OccluposeError
from occlupose.formats import spreadsheet
from occlupose.methods.oanet.lifting import lift_checked, load_lifter
from occlupose.poses import OCCLUDED, VISIBLE, Poses, with_fields
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import COCO17, H36M17
from occlupose.world import stand
from walking_people import circle, make_poses, walk

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "memory.py"


@pytest.fixture(autouse=True)
def nothing_is_dense(monkeypatch):
    """Every record with more absent than present people is held by track."""
    monkeypatch.setattr(module, "FEW_PLACES", 0)


@pytest.fixture
def dense():
    return passing()


@pytest.fixture
def long(dense):
    return by_track(dense)


def same(one, other):
    """Equal values of equal types, absent people included."""
    assert one.names == other.names
    for name, values in one.arrays.items():
        assert values.dtype == other.arrays[name].dtype
        np.testing.assert_array_equal(values, other.arrays[name])
    assert one == other and other == one
    assert (one.observed is None) == (other.observed is None)
    if one.observed is not None:
        same(one.observed, other.observed)


def test_arrays(dense, long):
    same(dense, long)
    assert not long.xy.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        long.xy[0] = 0
    assert repr(long) == repr(dense)


def test_another_value_is_another_record(dense, long):
    xyz = dense.xyz.copy()
    xyz[1, 0, np.isfinite(xyz[1, 0, :, 0]).argmax()] += 1e-3
    for changed in (replace(dense, xyz=xyz), replace(dense, spread=None), replace(dense, fps=3.0)):
        assert changed != long and by_track(changed) != long


def test_parts(dense, long):
    for part in (
        {"time": slice(3, 30, 2), "person": [7, 1], "joint": ["left_wrist", "nose"]},
        {"time": dense.time > 0.5},
        {"person": 4},
        {"time": slice(0, 0)},
    ):
        same(dense.select(**part), long.select(**part))
    same(dense.to_2d(), long.to_2d())
    same(dense.to(H36M17), long.to(H36M17))
    same(dense, copy.deepcopy(long))


def test_frames_in_another_order_and_twice(dense):
    """Which the times allow where they are equal."""
    dense = with_fields(dense, time=np.zeros(len(dense)))
    long = by_track(dense)
    for time in (slice(None, None, -1), slice(30, 3, -2), [9, 8, 8, 20]):
        same(dense.select(time), long.select(time))


def test_fields_have_the_same_types_and_checks(dense, long):
    options = {"fps": 50, "time": dense.time / 2, "width": 640.0}
    changed = replace(dense, **options)
    same(changed, with_fields(dense, **options))
    same(changed, with_fields(long, **options))
    assert with_fields(long, **options).observed.fps == 50
    about = dense.about | {"observed": None}
    same(Poses.by_track(tracks_of(dense), dense.names, **about | {"fps": 25}), replace(dense, observed=None, fps=25))
    for name, value in {"bone_offsets": np.zeros((5, 3, 3)), "time": dense.time[None], "track_id": [1, 2]}.items():
        message = rf"^{name}: has shape .*; beside xy \(40, 5, 22, 2\) it must be \("
        with pytest.raises(OccluposeError, match=message):
            Poses.by_track(tracks_of(dense), dense.names, **about | {name: value})
        with pytest.raises(OccluposeError, match=message):
            with_fields(long, **{name: value})


def test_tracks_and_frames(dense, long):
    for one, other in zip(dense.tracks(), long.tracks(), strict=True):
        assert vars(one).keys() == vars(other).keys()
        for name, values in vars(one).items():
            np.testing.assert_array_equal(values, getattr(other, name))
    for one, other in zip(dense.frames(), long.frames(), strict=True):
        for name, values in vars(one).items():
            np.testing.assert_array_equal(values, getattr(other, name))
            assert getattr(values, "shape", ()) == getattr(getattr(other, name), "shape", ())


def test_counts(dense, long):
    expected = [(dense.state == state).sum() for state in range(3)]
    assert dense.count_states().tolist() == long.count_states().tolist() == expected
    for states in ((VISIBLE,), (OCCLUDED, VISIBLE)):
        np.testing.assert_array_equal(long.has_state(*states), np.isin(dense.state, states).any((0, 2)))
    assert long.is_anybody_there


def test_frames_are_collected(long):
    builder = PosesBuilder(long.skeleton, long.fps, long.camera, in_3d=True, frames=list(long.frames()))
    collected = builder.poses(long.track_id.tolist())
    assert "xy" not in vars(collected)
    for name in ("xy", "xyz", "state"):
        np.testing.assert_array_equal(getattr(collected, name), getattr(long, name))


def test_contradictions_name_the_frame(dense):
    for person, name, value in ((3, "score", 2.0), (0, "rotation", 3.0)):
        wrong = passing()
        frame = int(np.flatnonzero((wrong.state[:, person] > 0).any(-1))[-1])
        getattr(wrong, name)[frame, person] = value
        with pytest.raises(OccluposeError, match=f"^{name}: frame {frame}, person {wrong.track_id[person]}"):
            by_track(wrong)


def test_an_array_that_is_too_large_is_refused(monkeypatch, long):
    assert long.fits_in_arrays
    monkeypatch.setattr(module, "MAX_JOINTS", 1000)
    assert not long.fits_in_arrays
    with pytest.raises(OccluposeError, match=r"^xyz: of 5 people in 40 frames is too large"):
        _ = long.xyz
    assert len(list(long.frames())) == 40


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_files(tmp_path, dense, long, suffix):
    for name, poses in (("dense", dense), ("long", long)):
        file = tmp_path / f"{name}{suffix}"
        poses.save(file)
        same(dense, Poses.load(file))
    assert (tmp_path / f"dense{suffix}").stat().st_size == (tmp_path / f"long{suffix}").stat().st_size


@pytest.mark.parametrize("format", ["csv", "csv-wide", "coco", "openpose"])
def test_exports_do_without_whole_arrays(tmp_path, monkeypatch, dense, long, format):
    folder = tmp_path / "dense"
    folder.mkdir()
    dense.export(folder / "poses", format)
    monkeypatch.setattr(module, "MAX_JOINTS", 3000)
    monkeypatch.setattr(spreadsheet, "_CHUNK", 10)
    with pytest.raises(OccluposeError, match="too large for one array"):
        _ = long.xy
    (tmp_path / "long").mkdir()
    long.export(tmp_path / "long" / "poses", format)
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(files) == (40 if format == "openpose" else 1)
    for file in files:
        assert (tmp_path / "long" / file).read_bytes() == (folder / file).read_bytes()


def test_what_the_user_says_of_a_file(tmp_path, dense, long):
    long = with_fields(long, camera=None)
    long.save(tmp_path / "long.npz")
    said = formats.read(tmp_path / "long.npz", fps=50, size=(800, 600), skeleton=long.skeleton).poses
    assert "xy" not in vars(said)
    same(said, replace(dense, camera=None, fps=50, time=dense.time / 2, width=800, height=600))


def test_people_are_lifted_and_fitted_as_in_a_dense_record(monkeypatch):
    """Of walkers with gaps, and of somebody who is never seen."""
    monkeypatch.setattr(module, "FEW_PLACES", 10**9)
    whole = make_poses(circle()[:60], walk(lambda time: np.stack([time - 2, 5 + 0 * time], -1), 60), circle()[:60])
    flat = whole.to_2d().to(COCO17)
    for person, hidden in enumerate((slice(20, 60), slice(0, 30), slice(None))):
        for name, value in {"xy": np.nan, "state": 0, "score": 0}.items():
            getattr(flat, name)[hidden, person] = value
    network = load_lifter()
    lifted = lift_checked(flat, None, None, None, network)
    fitted, why = stand(lifted, keep_lifted=True)
    monkeypatch.setattr(module, "FEW_PLACES", 0)
    long = lift_checked(by_track(flat), None, None, None, network)
    assert "xyz" not in vars(long)
    same(lifted, long)
    same(fitted, stand(long, keep_lifted=True)[0])
    assert stand(long)[1] == why


@pytest.mark.hour
def test_an_hour_with_300_people_stays_within_a_gibibyte(tmp_path):
    table = tmp_path / "memory.csv"
    subprocess.run([sys.executable, BENCHMARK, "--table", table], check=True)
    lines = [line.split(",") for line in table.read_text().splitlines()[1:]]
    assert [line[4] for line in lines] == ["detections", "lifting", "skeletons", "writing", "reading"]
    assert max(float(line[6]) for line in lines) <= 1024


def test_the_same_in_small(tmp_path):
    """Three minutes with few people: the stages run, and the file is the record."""
    table = tmp_path / "memory.csv"
    command = [sys.executable, BENCHMARK, "--minutes", "3", "--people", "12", "--seconds", "0.5", "0.6"]
    subprocess.run([*command, "--table", table], check=True)
    assert table.read_text().splitlines()[-1].split(",")[4] == "reading"
