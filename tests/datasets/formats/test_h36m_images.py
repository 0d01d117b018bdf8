import numpy as np
import pytest

from image_dataset_files import SIZE, rewritten, write_h36m
from occlupose.datasets.formats.h36m_images import NO_JOINTS, load
from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError
from occlupose.skeletons import H36M17, MPI15

NAMES = [{"neck": "thorax"}.get(joint, joint) for joint in MPI15.joints]


def test_joints_before_the_camera(tmp_path):
    seen = write_h36m(tmp_path, np.random.default_rng(0))[:, H36M17.index(*NAMES)]
    for folder in (tmp_path, tmp_path / "annotations"):
        found = load(folder, every=1)
        assert len(found) == 3
        for sample, xyz in zip(found, seen, strict=True):
            assert sample.state.shape == (1, 15) and (sample.state == 2).all() and sample.size == SIZE
            assert np.abs(sample.camera.back_project(sample.xy.astype(float), sample.z) - xyz).max() < 1e-4
            assert sample.image.read(sample.size).shape == (*SIZE[::-1], 3)
    assert [sample.image.name for sample in load(tmp_path)] == ["s_01_0.jpg", "s_01_2.jpg"]  # frames 0 and 5


def test_what_is_missing_is_named(tmp_path):
    write_h36m(tmp_path, np.random.default_rng(0))
    with pytest.raises(OccluposeError, match=r"no Human36M_subject9_data.json in"):
        load(tmp_path, subjects=(9, 11))
    joints = tmp_path / "annotations/Human36M_subject1_joint_3d.json"
    report = DataReport(tmp_path)
    rewritten(joints, lambda content: content["2"]["1"].pop("5"))
    assert len(load(tmp_path, report=report, every=1)) == 2 and report.problems == {NO_JOINTS: ["s_01/s_01_2.jpg"]}
    rewritten(joints, lambda content: content["2"]["1"]["0"].pop())
    with pytest.raises(OccluposeError, match=r"joint_3d.json: 2\.1\.0: list should have at least 17 items"):
        load(tmp_path)
    rewritten(tmp_path / "annotations/Human36M_subject1_camera.json", lambda content: content.pop("3"))
    write_h36m(tmp_path / "other", np.random.default_rng(0))
    rewritten(
        tmp_path / "other/annotations/Human36M_subject1_camera.json",
        lambda content: content.update({"1": content.pop("3")}),
    )
    with pytest.raises(OccluposeError, match=r"camera.json: no camera 3, but s_01/s_01_0.jpg is of it"):
        load(tmp_path / "other")
