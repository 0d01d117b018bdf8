import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from occlupose.datasets.formats import coco
from occlupose.datasets.formats.synth_scenes import SceneRecord
from occlupose.errors import OccluposeError
from occlupose.media import write_image
from occlupose.poses import ABSENT
from occlupose.skeletons import BODY26, COCO17
from occlupose.synth.dataset import DatasetPlan, write_dataset
from occlupose.synth.generate import ImageSettings, generate_scenes
from occlupose.synth.labels import label_scene
from occlupose.synth.layout import SceneSettings, SceneSource, sample_scene
from occlupose.synth.pose_prior import PosePrior
from occlupose.synth.record import encode_run_lengths


def source(**given):
    return SceneSource(
        SceneSettings(**({"seed": 2, "people": (2, 4), "width": 256, "height": 160} | given)), PosePrior.load()
    )


def made(folder, count=12, *, workers=0, images=None, shard=None, **given):
    plan = DatasetPlan(folder, count, shard, images)
    assert sum(write_dataset(plan, source(**given), workers=workers)) == count
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people") / "set"
    made(folder, images=ImageSettings())
    return folder


def test_pycocotools_reads_it_and_masks_boxes_and_joints_belong_together(dataset):
    read = COCO(str(dataset / "annotations.json"))
    assert len(read.imgs) == 12 and len(read.anns) > 12
    inside = total = 0
    for annotation in read.anns.values():
        mask = read.annToMask(annotation)
        y, x = np.nonzero(mask)
        left, top, width, height = annotation["bbox"]
        assert (left, top, left + width, top + height) == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert annotation["area"] == mask.sum() == len(x)
        points = np.array(annotation["keypoints"]).reshape(-1, 3)
        assert annotation["num_keypoints"] == (points[:, 2] > 0).sum()
        assert (points[points[:, 2] == 0, :2] == 0).all()
        for u, v, state in points:
            if state:
                assert -0.5 <= u <= 255.5 and -0.5 <= v <= 159.5
            if state == 2:
                total += 1
                inside += mask[max(0, round(v) - 1) : round(v) + 2, max(0, round(u) - 1) : round(u) + 2].any()
        assert ((points[:, 2] == 1) == np.isin(annotation["reasons"], (1, 2, 3))).all()
    assert inside / total > 0.99  # a nose may stick out of a silhouette by a pixel


def test_our_own_reader_reads_it_with_its_images(dataset):
    read = coco.load(dataset / "annotations.json", dataset / "images")
    assert read.skeleton == COCO17
    image = read.people[0].read()
    assert image.shape == (160, 256, 3) and image.std() > 5


def test_who_hides_a_joint_is_an_annotation_of_the_same_image_or_somebody_unseen(dataset):
    document = json.loads((dataset / "annotations.json").read_text())
    for annotation in document["annotations"]:
        for reason, by in zip(annotation["reasons"], annotation["hidden_by"], strict=True):
            assert (by > 0) == (reason in (1, 2))
            assert not by or (by - 1) // 100 + 1 == annotation["image_id"]
            assert reason != 1 or by == annotation["id"]


def test_scenes_in_our_own_format_say_the_same_as_the_generator(dataset):
    record = SceneRecord.load(dataset / "scenes" / "000003.npz")
    labels = label_scene(sample_scene(source(), 3))
    np.testing.assert_allclose(record.xyz, labels.joints, atol=1e-5)
    np.testing.assert_array_equal(record.state, labels.occlusion.state)
    np.testing.assert_allclose(record.root_depth, record.xyz[:, BODY26.index("pelvis")[0], 2])
    projected = record.xyz @ record.camera.T
    there = record.state != ABSENT
    np.testing.assert_allclose((projected[..., :2] / projected[..., 2:])[there], record.xy[there], atol=0.01)
    poses = labels.poses()
    assert poses.xyz.shape == (1, len(labels.joints), 26, 3) and (poses.state[0] == record.state).all()


def test_the_same_seed_gives_the_same_bytes_however_many_work(dataset, tmp_path):
    again = made(tmp_path / "again", images=ImageSettings(), workers=2)
    assert again == json.loads((dataset / "manifest.json").read_text())


def test_another_seed_gives_other_bytes(tmp_path):
    one = made(tmp_path / str(1), 3, seed=1)
    other = made(tmp_path / str(2), 3, seed=2)
    assert one["files"] != other["files"]


def test_labels_alone_are_the_labels_of_the_images(dataset, tmp_path):
    made(tmp_path / "labels")
    one = json.loads((dataset / "annotations.json").read_text())
    other = json.loads((tmp_path / "labels" / "annotations.json").read_text())
    assert one["annotations"] == other["annotations"] and one["images"] == other["images"]
    assert not (tmp_path / "labels" / "images").exists()


def test_shards_hold_the_same_files(dataset, tmp_path):
    manifest = made(tmp_path / "shards", images=ImageSettings(), shard=5)
    tars = sorted((tmp_path / "shards" / "shards").iterdir())
    assert len(tars) == 3 and len(manifest["files"]) == 4
    with tarfile.open(tars[0]) as tar:
        assert tar.getnames() == [f"{n:06}.{kind}" for n in range(5) for kind in ("jpg", "npz")]
        assert tar.extractfile("000002.jpg").read() == (dataset / "images" / "000002.jpg").read_bytes()


def test_a_killed_run_is_resumed_to_the_same_end(tmp_path):
    folder = tmp_path / "killed"
    code = f"""
from pathlib import Path
import sys; sys.path.insert(0, {str(__import__("pathlib").Path(__file__).parent)!r})
from test_dataset import *
if __name__ == "__main__":
    made(Path({str(folder)!r}), 40, workers=1)
"""
    script = tmp_path / "run.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, script], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.time() + 120
    while not list((folder / ".parts").glob("0*.json")) and process.poll() is None and time.time() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)  # the worker too, which would go on writing
    process.wait()
    assert not (folder / "manifest.json").exists() and list((folder / ".parts").glob("0*.json"))
    first = next(write_dataset(DatasetPlan(folder, 40, None, None), source(), workers=0))
    assert first >= 10
    assert made(folder, 40) == made(tmp_path / "whole", 40)
    assert not (folder / ".parts").exists()


def test_what_a_killed_run_left_is_removed_by_a_later_one(tmp_path):
    """Temporary files that are older than an hour."""
    plan = DatasetPlan(tmp_path / "data", 3, images=None)
    source = SceneSource.load(SceneSettings(seed=3, people=(1, 1), width=160, height=100))
    writing = write_dataset(plan, source, workers=0)
    next(writing)
    writing.close()
    (tmp_path / "data" / "scenes").mkdir(exist_ok=True)
    left = [tmp_path / "data" / name for name in (".settings.0123abcd.json", "scenes/.000001.0123abcd.npz")]
    for path in left:
        path.touch()
        os.utime(path, (0, 0))
    assert sum(write_dataset(plan, source, workers=0)) == 3
    assert not any(path.exists() for path in left)


def test_a_finished_dataset_is_left_alone(dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    made(dataset, images=ImageSettings())
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before


def test_a_folder_with_another_dataset_or_something_else_is_refused(dataset, tmp_path):
    with pytest.raises(OccluposeError, match="seed 2, not 5"):
        made(dataset, images=ImageSettings(), seed=5)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(OccluposeError, match="is not empty"):
        made(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_finished_dataset_that_lost_a_file_says_which(tmp_path):
    made(tmp_path / "set", 3)
    (tmp_path / "set" / "scenes" / "000001.npz").unlink()
    with pytest.raises(OccluposeError, match=r"000001\.npz: is missing"):
        made(tmp_path / "set", 3)


def test_a_run_that_was_killed_at_its_very_end_is_finished(tmp_path):
    made(tmp_path / "set", 3)
    (tmp_path / "set" / ".parts").mkdir()
    made(tmp_path / "set", 3)
    assert not (tmp_path / "set" / ".parts").exists()


@pytest.mark.parametrize("content", ["[]", "{", "7", "[" * 100_000])
def test_settings_without_effect_are_named(tmp_path, content):
    made(tmp_path, 1)
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(OccluposeError, match=r"settings\.json"):
        made(tmp_path, 1)


def test_other_backdrops_of_the_same_names_are_another_dataset(tmp_path):
    for shade in (40, 200):
        write_image(tmp_path / "room.png", np.full((90, 120, 3), shade, np.uint8))
        plan = DatasetPlan(tmp_path / "set", 1, None, ImageSettings((tmp_path / "room.png",)))
        if shade == 40:
            list(write_dataset(plan, source(), workers=0))
            continue
        with pytest.raises(OccluposeError, match="other backdrops"):
            list(write_dataset(plan, source(), workers=0))


def test_the_number_of_threads_changes_nothing(tmp_path):
    before = torch.get_num_threads()
    try:
        files = []
        for threads in (1, 4):
            torch.set_num_threads(threads)
            files.append(made(tmp_path / str(threads), 4, people=(4, 6))["files"])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert files[0] == files[1]


def test_a_full_disk_is_reported_and_leaves_no_partial_file(tmp_path, monkeypatch):
    from pathlib import Path

    real = Path.write_bytes

    def full(path, content):
        if "scenes" in path.parts and path.name.startswith(".000005"):
            raise OSError(28, "No space left on device")
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OccluposeError, match=r"000005\.npz: could not be written .no space left on device"):
        made(tmp_path / "full")
    assert not list((tmp_path / "full").rglob(".0*")) and not (tmp_path / "full" / "manifest.json").exists()
    monkeypatch.undo()
    assert made(tmp_path / "full")["files"] == made(tmp_path / "other")["files"]


def test_two_runs_into_one_folder_end_well(tmp_path):
    plan = DatasetPlan(tmp_path / "set", 12)
    first = write_dataset(plan, source(), workers=0)
    assert [next(first) for _ in range(3)] == [0, 10, 2]  # all but the end
    assert list(write_dataset(plan, source(), workers=0)) == [12]
    assert list(first) == []
    assert (tmp_path / "set" / "manifest.json").exists() and not (tmp_path / "set" / ".parts").exists()


@pytest.mark.parametrize("given, named", [({"scenes": 0}, "scenes: 0"), ({"scenes": 1, "shard": 0}, "shard: 0")])
def test_numbers_that_cannot_be_are_refused(tmp_path, given, named):
    with pytest.raises(OccluposeError, match=named):
        DatasetPlan(tmp_path, **given)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut"], ids=["missing", "empty", "cut short"])
def test_a_damaged_scene_is_named(tmp_path, content):
    path = tmp_path / "000000.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OccluposeError, match=str(path)):
        SceneRecord.load(path)


def test_scenes_in_memory_come_in_order_and_are_the_same_from_workers():
    here = list(generate_scenes(source(), range(4), workers=0))
    there = list(generate_scenes(source(), range(4), workers=2))
    assert [one.record.number for one in there] == [0, 1, 2, 3]
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.record.xyz, other.record.xyz)
        np.testing.assert_array_equal(one.surface, other.surface)
        assert one.image is None


def test_scenes_without_end_stop_when_nobody_asks():
    endless = generate_scenes(source(), workers=1)
    assert [next(endless).record.number for _ in range(3)] == [0, 1, 2]
    endless.close()


@pytest.mark.parametrize("mask", [np.zeros((3, 4), bool), np.ones((3, 4), bool), np.eye(4, dtype=bool)])
def test_run_lengths_are_those_of_pycocotools(mask):
    from pycocotools import mask as oracle

    code = encode_run_lengths(mask)
    np.testing.assert_array_equal(oracle.decode(oracle.frPyObjects(code, *mask.shape)), mask)
    assert sum(code["counts"]) == mask.size
