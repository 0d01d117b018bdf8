import io
import tarfile
import zipfile

import numpy as np
import pytest

from image_dataset_files import records, write_scenes, write_tar
from occlupose.datasets.formats import synth_scenes
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY26, MPI15

NAMES = [{"neck": "thorax"}.get(joint, joint) for joint in MPI15.joints]


@pytest.fixture(scope="module")
def made():
    return records(5)


def test_joints_are_those_of_the_record(made):
    """Pixels, depths and states by name; nothing of joints outside of the image, nor of people without any in it."""
    places = BODY26.index(*NAMES)
    left_out = 0
    for record in made:
        sample = synth_scenes.from_record(record)
        state = record.state[:, places]
        here = (state > 0).any(1)
        left_out += (state[here] == 0).sum()
        assert np.array_equal(sample.state, state[here])
        absent = sample.state == 0
        assert np.array_equal(sample.xy[~absent], record.xy[:, places][here][~absent])
        assert np.array_equal(sample.z[~absent], record.xyz[:, places, 2][here][~absent])
        assert np.isnan(sample.xy[absent]).all() and np.isnan(sample.z[absent]).all()
        assert sample.size == (256, 160) and sample.annotated.all() and sample.image is None and sample.has_depth
        xyz = sample.camera.back_project(sample.xy.astype(float), sample.z)
        assert np.abs(xyz - record.xyz[:, places][here])[~absent].max() < 1e-4
    assert left_out > 0


@pytest.mark.parametrize("shard", [None, 2, 100])
def test_files_and_shards_are_the_same_scenes(made, tmp_path, shard):
    folder = write_scenes(tmp_path / "set", made, shard=shard)
    found = synth_scenes.load(folder)
    assert len(found) == len(made)
    for sample, record in zip(found, made, strict=True):
        assert np.array_equal(sample.state, synth_scenes.from_record(record).state)
        assert np.array_equal(sample.z, synth_scenes.from_record(record).z, equal_nan=True)
        assert sample.image.name == f"{record.number:06}.jpg"
        assert sample.image.read(sample.size).shape == (160, 256, 3)
    if shard == 2:
        assert len(synth_scenes.load(folder / "shards")) == 5
        assert len(synth_scenes.load(sorted((folder / "shards").iterdir())[-1])) == 1


@pytest.mark.parametrize("shard", [None, 3])
def test_labels_alone(made, tmp_path, shard):
    found = synth_scenes.load(write_scenes(tmp_path / "set", made, shard=shard, images=False))
    assert len(found) == 5 and all(sample.image is None for sample in found)


def test_a_person_outside_is_left_out(made):
    record = made[0]
    state = record.state.copy()
    state[0] = 0
    sample = synth_scenes.from_record(type(record)(**(vars(record) | {"state": state})))
    assert len(sample) == len(synth_scenes.from_record(record)) - 1
    nobody = synth_scenes.from_record(type(record)(**(vars(record) | {"state": 0 * state})))
    assert len(nobody) == 0 and nobody.xy.shape == (0, 15, 2) and nobody.z.shape == (0, 15)


def test_what_is_no_scene_is_named(made, tmp_path):
    with pytest.raises(OccluposeError, match=r"no scene in it.*occlupose synth"):
        synth_scenes.load(tmp_path)
    whole = made[0].to_bytes()
    at = whole.index(b"xyz.npy") + 60
    damaged = {
        "text": b"a record",
        "cut": whole[: len(whole) // 2],
        "wrong": bytes([*whole[:at], *(255 - byte for byte in whole[at : at + 50]), *whole[at + 50 :]]),
    }
    for name, content in damaged.items():
        path = write_tar(tmp_path / f"{name}.tar", [("000000.npz", content)])
        with pytest.raises(OccluposeError, match=f"{name}.tar: 000000.npz: not a scene"):
            synth_scenes.load(path)
        (tmp_path / name / "scenes").mkdir(parents=True)
        (tmp_path / name / "scenes" / "7.npz").write_bytes(content)
        with pytest.raises(OccluposeError, match=r"7.npz: not a scene"):
            synth_scenes.load(tmp_path / name)
    short = tmp_path / "short.tar"
    short.write_bytes(write_tar(tmp_path / "whole.tar", [("000000.npz", whole)]).read_bytes()[:1000])
    with pytest.raises(OccluposeError, match=r"short.tar: not a readable \.tar file"):
        synth_scenes.load(short)


def test_arrays_that_contradict_each_other_are_refused(made, tmp_path):
    content = dict(np.load(io.BytesIO(made[0].to_bytes())))
    path = tmp_path / "scenes" / "7.npz"
    path.parent.mkdir()
    for change, words in (
        ({"state": content["state"][:1]}, "state has shape"),
        ({"xyz": content["xyz"].astype(str)}, "xyz has shape .* of <U"),
        ({"width": np.inf}, "width has shape"),
        ({"version": np.inf}, "cannot convert float infinity"),
        ({"camera": np.eye(4)}, r"camera has shape \(4, 4\)"),
        ({"camera": np.full((3, 3), np.nan)}, "camera: not an intrinsic matrix"),
        ({"width": np.int64(0)}, "camera: image size 0 x"),
    ):
        np.savez(path, **content | change)
        with pytest.raises(OccluposeError, match=rf"7\.npz: .*{words}[^\n]*$"):
            synth_scenes.load(tmp_path)
    np.savez(path, **content | {"number": np.inf})
    with pytest.raises(OccluposeError, match=r"7\.npz: not a scene .*infinity"):
        synth_scenes.SceneRecord.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", b"no array")
    with pytest.raises(OccluposeError, match=r"7\.npz: not a scene"):
        synth_scenes.load(tmp_path)


def test_members_that_are_no_files_are_left_out(made, tmp_path):
    path = write_tar(tmp_path / "a.tar", [("000000.npz", made[0].to_bytes())])
    with tarfile.open(path, "a") as tar:
        for name, target in (("000.npz", "000.npz"), ("001.npz", "nowhere"), ("002.npz", "/etc/passwd")):
            link = tarfile.TarInfo(name)
            link.type = tarfile.SYMTYPE
            link.linkname = target
            tar.addfile(link)
    assert synth_scenes.has_scenes(path) and len(synth_scenes.load(path)) == 1
    large = tarfile.TarInfo("003.npz")
    large.size = 10**12
    path.write_bytes(large.tobuf() + bytes(1024))
    with pytest.raises(OccluposeError, match=r"a\.tar: not a readable \.tar file \(.*\)"):
        synth_scenes.load(path)


def test_joints_of_another_skeleton_are_refused(made, tmp_path):
    record = made[0]
    other = type(record)(**(vars(record) | {"xy": record.xy[:, :22]}))
    with pytest.raises(OccluposeError, match=r"000000.npz: not a scene.*xy has shape \(\d, 22, 2\)"):
        synth_scenes.load(write_scenes(tmp_path / "set", [other]))
