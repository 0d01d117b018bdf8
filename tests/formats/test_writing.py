"""What holds for every format that is written."""

import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from commands import names
from floor_records import record_of, standing
from moving_skeletons import moving_poses
from occlupose import formats
from occlupose.errors import OccluposeError
from occlupose.formats.registry import EXPORTS
from occlupose.kinematics import fit, fit_poses
from occlupose.poses import JOINT_FIELDS, PERSON_FIELDS, TRACK_FIELDS
from occlupose.skeletons import H36M17, build_skeleton
from pose_records import record, records, uncertain

every_format = pytest.mark.parametrize("each", EXPORTS, ids=lambda each: each.name)


def refused(path, words):
    return pytest.raises(OccluposeError, match=rf"^{path}: [^\n]*{words}[^\n]*$")


def absent(poses, column):
    """The record with a person in no frame."""
    arrays = {name: values.copy() for name, values in poses.arrays.items()}
    for name, values in arrays.items():
        values[:, column] = 0 if name in ("state", "score") else np.nan
    observed = None if poses.observed is None else absent(poses.observed, column)
    return replace(poses, **arrays, observed=observed)


@every_format
def test_a_format_is_named_by_name_or_suffix(tmp_path, each):
    poses = record(3, 1, H36M17)
    path = tmp_path / formats.file_name("new/walk", each.name)
    assert poses.export(str(path), each.name) == [path] and names(path.parent) == [path.name]
    if each.ending == f".{each.name}":
        assert poses.export(tmp_path / f"a{each.ending.upper()}") == [tmp_path / f"a{each.ending.upper()}"]


@every_format
def test_a_full_disk_leaves_what_was_there(tmp_path, each):
    poses = record(300, 1, H36M17, observed=None)
    path = tmp_path / formats.file_name("walk", each.name)
    before = [path.name]
    if path.suffix:
        path.write_text("old")
    else:
        path.mkdir()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with refused(path, "could not be written .*; choose a folder that is writable and has room"):
            poses.export(path, each.name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == before and (path.read_text() == "old" if path.suffix else names(path) == [])


@every_format
def test_a_file_where_a_folder_should_be(tmp_path, each):
    (tmp_path / "a").write_text("")
    path = tmp_path / "a" / formats.file_name("walk", each.name)
    with refused(path, "could not be written"):
        record(3, 1, H36M17).export(path, each.name)


@every_format
def test_names_may_be_odd(tmp_path, each):
    folder = tmp_path / os.fsdecode(b"gr\xfc\xdfe \n")  # Latin-1
    written = record(3, 2, H36M17).export(folder / f"{'a' * 200}{each.ending}", each.name)
    assert sorted(path.name for path in written) == names(folder)


@every_format
def test_a_file_is_replaced_and_a_folder_with_files_is_not(tmp_path, each):
    path = tmp_path / formats.file_name("walk", each.name)
    record(3, 1, H36M17).export(path, each.name)
    if path.suffix:
        size = path.stat().st_size
        record(9, 1, H36M17).export(path, each.name)
        assert path.stat().st_size > size and names(tmp_path) == [path.name]
    words = "is a folder; give the name of a file" if path.suffix else "is a folder with files in it; give another name"
    for folder in [tmp_path, *([] if path.suffix else [path])]:
        with refused(folder, words):
            record(3, 1, H36M17).export(folder, each.name)


@every_format
def test_an_empty_folder_is_taken_by_a_format_that_is_one(tmp_path, each):
    if each.ending == "-openpose":
        assert record(3, 1, H36M17).export(tmp_path, each.name) == [tmp_path]
    else:
        with refused(tmp_path, "is a folder; give the name of a file"):
            record(3, 1, H36M17).export(tmp_path, each.name)


@every_format
def test_nobody_is_refused(tmp_path, each):
    path = tmp_path / formats.file_name("walk", each.name)
    poses = record(3, 1, H36M17)
    for empty in (poses.select(person=[]), poses.select(time=slice(0, 0)), absent(poses, 0)):
        with refused(path, "nobody is in the poses; give poses of at least one person"):
            empty.export(path, each.name)
    assert names(tmp_path) == []


@every_format
def test_a_person_in_no_frame_is_left_out(tmp_path, each):
    poses = record(3, 2, H36M17)
    path = tmp_path / formats.file_name("walk", each.name)
    other = tmp_path / formats.file_name("other", each.name)
    assert absent(poses, 0).export(path, each.name) == [path]
    poses.select(person=4).export(other, each.name)
    if each.name not in ("openpose", "rrd") and "xlsx" not in each.name:  # whose bytes hold times or random ids
        assert path.read_bytes() == other.read_bytes()


@every_format
def test_frames_without_anybody_are_written(tmp_path, each):
    poses = record_of(standing(), H36M17)
    arrays = {name: values.copy() for name, values in poses.arrays.items()}
    for name, values in arrays.items():
        values[[0, 2]] = 0 if name in ("state", "score") else np.nan
    path = tmp_path / formats.file_name("walk", each.name)
    assert replace(poses, **arrays).export(path, each.name) == [path]


@every_format
def test_2d_is_enough_where_the_format_is_in_2d(tmp_path, each):
    path = tmp_path / formats.file_name("walk", each.name)
    poses = record(3, 1, H36M17, camera=False).to_2d()
    if each.dimensions == 3:
        with refused(path, f"the poses are in 2D, {each.name} holds 3D; lift them with occlupose lift"):
            poses.export(path, each.name)
    else:
        assert poses.export(path, each.name) == [path]


@pytest.mark.parametrize("each", [each for each in EXPORTS if each.library], ids=lambda each: each.name)
def test_without_its_package_one_line_names_the_extra(tmp_path, monkeypatch, each):
    module, extra = each.library
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / formats.file_name("walk", each.name)
    with refused(path, rf"needs {module}; pip install '\.\[{extra}\]' in a clone of occlupose"):
        record(3, 1, H36M17).export(path, each.name)


def test_the_extras_are_those_of_the_package():
    import tomllib

    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {each.library[1] for each in EXPORTS if each.library} <= {*extras}


def test_a_skeleton_is_fitted_once_for_all_formats(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(fit, "fit_poses", lambda poses: calls.append(poses) or fit_poses(poses))
    poses = moving_poses(np.random.default_rng(0), 5)
    files = {tmp_path / name: None for name in ("a.csv", "a.bvh", "a.mot", "a.glb")}
    written = [path.name for path in formats.write_all(poses, files)]
    assert written == ["a.csv", "a_1.bvh", "a_4.bvh", "a_1.mot", "a_4.mot", "a.glb"] and len(calls) == 1
    assert [path.name for path in formats.write_all(poses, {tmp_path / "b.csv": None})] == ["b.csv"]
    assert len(calls) == 1


def test_skeletons_in_the_poses_are_not_fitted_again(tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "fit_poses", None)
    poses = record_of(standing(), H36M17)
    for name in ("a.bvh", "a.mot", "a.glb"):
        assert poses.export(tmp_path / name) == [tmp_path / name]


@pytest.mark.parametrize("name", ["bone_offsets", "xyz"])
def test_skeletons_that_cannot_be_meant_are_refused(tmp_path, name):
    poses = record_of(standing(), H36M17)
    wild = replace(poses, **{name: np.full_like(getattr(poses, name), 1e30)})
    with refused(tmp_path / "a.glb", "the skeletons have bones or places that cannot be meant; give metres"):
        wild.export(tmp_path / "a.glb")


@every_format
def test_what_a_format_cannot_hold_is_left_out(tmp_path, each):
    poses = record_of(standing(people=2), H36M17)
    poses = replace(poses, spread=np.ones(poses.state.shape))
    assert {*poses.arrays, *poses.constants} == {*JOINT_FIELDS, *PERSON_FIELDS, *TRACK_FIELDS}
    assert poses.export(tmp_path / formats.file_name("a", each.name), each.name)


def test_who_has_no_joint_that_can_be_fitted_is_named(tmp_path):
    poses = moving_poses(np.random.default_rng(0), 5, people=2)
    unknown = {"xyz": poses.xyz.copy()}
    unknown["xyz"][:, 1] = np.nan
    unknown["xyz"][:, 1, 0] = 1e-3
    lone = replace(poses, **unknown, skeleton=build_skeleton("own", ["elsewhere", *poses.skeleton.joints[1:]]))
    without = "no joint of person 4 can be fitted; give a format without rotations, such as csv"
    with refused(tmp_path / "a.bvh", rf"{without}, or in Python poses\.select\(person=...\) of the others$"):
        lone.export(tmp_path / "a.bvh")
    with refused(tmp_path / "a.bvh", f"{without}$"):
        lone.select(person=4).export(tmp_path / "a.bvh")
    assert names(tmp_path) == []
    assert lone.export(tmp_path / "a.csv") and lone.select(person=1).export(tmp_path / "a.bvh")


def test_unknown_formats(tmp_path):
    with pytest.raises(OccluposeError, match=r"^fbx: is no format of files to write; they are csv, .*, rrd$"):
        record(3, 1, H36M17).export(tmp_path / "a.csv", "fbx")
    cure = r'give one of \.csv, \.xlsx, \.trc, .*\.glb, \.nc, \.rrd, or give --to coco \(in Python format="coco"\)'
    for name in ("a.json", "a"):
        with refused(tmp_path / name, f"its suffix is that of no format to write; {cure}"):
            record(3, 1, H36M17).export(tmp_path / name)


@pytest.mark.parametrize("format", ["gltf", None])
def test_the_text_form_of_gltf_is_not_written(tmp_path, format):
    with refused(tmp_path / "a.gltf", "glTF is written in binary; give a .glb"):
        record(3, 1, H36M17).export(tmp_path / "a.gltf", format)
    assert names(tmp_path) == []


@settings(max_examples=10)
@given(records())
def test_any_record_is_written_or_refused_in_one_line(tmp_path_factory, poses):
    folder = tmp_path_factory.mktemp("any")
    for each in EXPORTS:
        try:
            assert all(path.exists() for path in poses.export(folder / f"a{each.ending}", each.name))
        except OccluposeError as error:
            assert str(error).startswith(f"{folder}/a") and "\n" not in str(error)


def test_exports_of_a_name_are_removed_and_no_other_files(tmp_path):
    poses = uncertain(record(3, 2, H36M17))
    for each in EXPORTS:
        poses.export(tmp_path / f"poses{each.ending}", each.name)
    poses.save(tmp_path / "poses.npz")
    others = ["other.csv", "poses_best.trc", "poses_1.csv"]
    for name in others:
        poses.select(person=1).export(tmp_path / name)
    formats.remove(tmp_path, "poses")
    assert names(tmp_path) == sorted([*others, "poses.npz"])
