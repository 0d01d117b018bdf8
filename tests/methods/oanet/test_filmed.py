import numpy as np
import pytest
import torch

from occlupose.datasets.formats import h36m, humaneva
from occlupose.methods.oanet.filmed import load_clips
from occlupose.methods.oanet.windows import MocapWindows
from occlupose.skeletons import BODY22, H36M17, HUMANEVA15
from pose_dataset_files import in_camera, walking, write_h36m, write_humaneva


@pytest.fixture
def data(tmp_path):
    write_h36m(tmp_path, {subject: {"Walking 1": walking(40, seed)} for seed, subject in enumerate(h36m.TRAIN)})
    motions = {subject: {"Walking 1 chunk0": walking(40, seed)} for seed, subject in enumerate(humaneva.TRAIN)}
    return write_humaneva(tmp_path, motions)


def test_human36m_is_seen_by_its_own_four_cameras(data):
    clips = load_clips("h36m", data)
    assert [clip.name for clip in clips[:2]] == ["S1/Walking 1/54138969 0", "S1/Walking 1/55011271 0"]
    assert len(clips) == 5 * 4 and {clip.fps for clip in clips} == {50.0}
    windows = MocapWindows(clips[1:2], 24, own_cameras=True)
    drawn = windows.draw(1, torch.Generator().manual_seed(0))
    filmed = windows.film(drawn, torch.Generator())[:, :, BODY22.index(*H36M17.joints)]
    truth = torch.from_numpy(in_camera(walking(40, 0), 1)).float()
    distance = (filmed[0, :1] - truth).norm(dim=-1).mean(-1)
    assert distance.min() < 0.03  # between two of its frames
    height = drawn[0, :, BODY22.joints.index("head_top"), 1] - drawn[0, :, BODY22.joints.index("left_ankle"), 1]
    assert (height > 1).all()  # y is up


def test_humaneva_is_completed_to_the_joints_of_the_networks(data):
    clips = load_clips("humaneva", data)
    assert len(clips) == 3 * 3 and {clip.fps for clip in clips} == {60.0}
    joints = clips[0].joints
    assert np.isfinite(joints).all()
    places = BODY22.index("pelvis", "spine", "thorax", "neck_nose", "head_top")
    pelvis, spine, thorax, neck, head = joints[:, places].swapaxes(0, 1)
    np.testing.assert_allclose(spine, (pelvis + thorax) / 2, atol=1e-5)
    np.testing.assert_allclose(head - neck, (neck - thorax) / 2, atol=1e-5)
    assert set(HUMANEVA15.joints) - set(BODY22.joints) == {"head"}


def test_frames_with_an_unknown_joint_are_left_out(tmp_path):
    motion = walking(60)
    motion[20:30, 5] = np.nan
    write_h36m(tmp_path, {subject: {"Walking 1": motion} for subject in h36m.TRAIN})
    clips = load_clips("h36m", tmp_path)
    assert [len(clip.joints) for clip in clips[:2]] == [20, 30]
    assert [clip.name[-2:] for clip in clips[:2]] == [" 0", "30"]
