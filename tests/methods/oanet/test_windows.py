from dataclasses import replace

import numpy as np
import pytest
import torch

from mocap_sequences import video_sequence
from occlupose.datasets.motion import MotionClip
from occlupose.errors import OccluposeError
from occlupose.methods.oanet.windows import MAX_SUBJECT_FRACTION, MocapWindows, VideoWindows
from occlupose.skeletons import COCO17, H36M17, HUMANEVA15


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def straight(frames=300, fps=120.0, *, name="07_01", subject="07"):
    """A clip of human size, y up; the first coordinate of every joint is the time in seconds."""
    joints = (
        np.random.default_rng(0)
        .normal((0, 1, 0), (0.2, 0.4, 0.15), (22, 3))
        .repeat(frames, 0)
        .reshape(22, frames, 3)
        .swapaxes(0, 1)
    )
    joints[..., 0] = (np.arange(frames) / fps)[:, None]
    return MotionClip(name, subject, fps, joints.astype(np.float32))


@pytest.mark.parametrize("fps", [30.0, 60.0, 120.0])
def test_windows_have_speeds_of_the_given_range(fps):
    windows = MocapWindows([straight(round(20 * fps), fps)], 16, (0.5, 2.0)).draw(200, rng())
    assert windows.shape == (200, 16, 22, 3)
    assert windows.dtype == torch.float32
    step = windows[..., 0, 0].diff(dim=1)
    torch.testing.assert_close(step, step[:, :1].expand_as(step), atol=1e-4, rtol=0)
    speed = 30 * step[:, 0]
    assert 0.5 <= speed.min() + 1e-2 < 0.6
    assert 1.9 < speed.max() <= 2.01


def test_still_windows():
    windows = MocapWindows([straight()], 16, still_probability=0.25).draw(300, rng())
    still = (windows == windows[:, :1]).all((1, 2, 3))
    assert still.float().mean().item() == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize("frames", [2, 30, 33])
def test_a_clip_shorter_than_the_window_is_played_to_its_end_and_back(frames):
    windows = MocapWindows([straight(frames, 30.0)], 64).draw(20, rng())
    place = 30 * windows[:, :, 0, 0]
    expected = (frames - 1) - (torch.arange(64) % (2 * frames - 2) - (frames - 1)).abs()
    torch.testing.assert_close(place, expected.float().expand_as(place), atol=1e-3, rtol=0)
    assert (windows.diff(dim=1)[:, :, 0, 0].abs() > 0).all()  # never frozen


def test_windows_never_mix_clips():
    clips = [straight(60 + 10 * n, name=f"07_{n}", subject=f"{n}") for n in range(5)]
    for number, made in enumerate(clips):
        made.joints[..., 1] = number
    windows = MocapWindows(clips, 16).draw(200, rng())
    assert (windows[..., 1] == windows[:, :1, :1, 1]).all()
    assert len(windows[:, 0, 0, 1].unique()) == 5


def shares(seconds):
    """Fraction of the windows from each subject, given the lengths of their two clips in seconds, at 30 and at 120
    frames/s.
    """
    clips = [
        straight(round(fps * times[n]), fps, subject=name)
        for name, times in seconds.items()
        for n, fps in enumerate((30, 120))
    ]
    weight = MocapWindows(clips, 16).weight
    return dict(zip(seconds, (weight / weight.sum()).view(-1, 2).sum(1).tolist(), strict=True))


def test_longer_clips_are_drawn_more_often_whatever_their_rate():
    assert shares({"35": (30, 60), "07": (20, 10)}) == pytest.approx({"35": 0.75, "07": 0.25})
    weight = MocapWindows([straight(300, 30.0), straight(1200, 120.0), straight(3600, 120.0)], 16).weight
    assert (weight / weight[0]).tolist() == pytest.approx([1, 1, 3])


def test_the_fraction_of_some_subjects_is_limited():
    made = shares({"35": (5, 15), "01": (40, 60), "07": (10, 0.5), "clips": (20, 80)})
    assert {name: made[name] for name in MAX_SUBJECT_FRACTION} == pytest.approx(MAX_SUBJECT_FRACTION)
    assert made["35"] / made["07"] == pytest.approx(20 / 10.5)
    # a limit does not raise the fraction of a short subject
    few = shares({"35": (5, 15), "01": (0.5, 0.5), "clips": (0.5, 1.5)})
    assert few == pytest.approx({"35": 20 / 23, "01": 1 / 23, "clips": 2 / 23})


@pytest.mark.parametrize("seconds", [{"01": (40, 60)}, {"clips": (20, 80)}, {"01": (40, 60), "clips": (0.5, 0.5)}])
def test_the_limit_holds_where_there_is_little_or_nothing_of_other_subjects(seconds):
    made = shares({"35": (5, 15)} | seconds)
    for name in seconds:
        assert made[name] <= MAX_SUBJECT_FRACTION[name] + 1e-9


def test_sequences_are_drawn_by_their_weights():
    clips = [
        straight(1200, subject="35"),
        straight(12000, subject="01"),
        straight(3600, subject="07"),
        straight(12000, subject="clips"),
    ]
    for number, made in enumerate(clips):
        made.joints[..., 1] = number
    drawn = MocapWindows(clips, 16).draw(3000, rng())[:, 0, 0, 1].long().bincount()
    assert (drawn / 3000).tolist() == pytest.approx([0.125, 0.15, 0.375, 0.35], abs=0.03)


def test_without_motion_there_is_nothing_to_train_on():
    with pytest.raises(OccluposeError, match="no motion to train on"):
        MocapWindows([], 16)


def test_windows_of_video_have_a_confidence_and_no_ground_truth():
    observations = VideoWindows([video_sequence()], 16).draw(20, rng())
    assert observations.xy.shape == (20, 16, 17, 2)
    assert observations.truth_3d.shape == (0, 16, 17, 3)
    assert not observations.annotated.any()
    ankle = H36M17.joints.index("left_ankle")
    assert (observations.score[..., ankle] == 0).all()
    assert observations.present[..., ankle].all()
    assert observations.score[..., 0].eq(0.9).all()
    assert 0 < observations.present[..., -1].float().mean() < 1
    assert observations.xy.isfinite().all()


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
def test_video_is_resampled_to_the_frame_rate_of_the_networks(fps):
    observations = VideoWindows([video_sequence(round(6 * fps), fps=fps)], 32).draw(5, rng())
    camera_units = (
        1 / VideoWindows([video_sequence()], 8).draw(1, rng()).xy[0, :, 0, 0].diff().mean()
    )  # per second, at 30 frames/s
    second = observations.xy[:, 30, 0, 0] - observations.xy[:, 0, 0, 0]
    assert (second * camera_units / 30).tolist() == pytest.approx([1.0] * 5, abs=1.01 / fps)  # nearest frames


def test_short_video_is_played_to_its_end_and_back():
    observations = VideoWindows([video_sequence(10)], 16).draw(3, rng())
    assert torch.equal(observations.xy[:, 10:], observations.xy[:, 3:9].flip(1))
    assert torch.equal(VideoWindows([video_sequence(1)], 8).draw(1, rng()).xy.diff(dim=1), torch.zeros(1, 7, 17, 2))


def test_joints_that_the_front_end_lacks_are_absent():
    observations = VideoWindows([video_sequence(skeleton=COCO17)], 16).draw(3, rng())
    head, pelvis = H36M17.index("head_top", "pelvis")
    assert not observations.present[..., head].any()
    assert observations.present[..., pelvis].all()


def test_longer_takes_are_drawn_more_often_and_one_at_least_is_needed():
    long = video_sequence(300)
    short = video_sequence(100)
    long.poses.xy[:, 0, 0, 1] = 0
    short.poses.xy[:, 0, 0, 1] = 399
    above = VideoWindows([long, short], 8).draw(400, rng()).xy[:, 0, 0, 1] < 0
    assert above.float().mean().item() == pytest.approx(0.75, abs=0.08)
    with pytest.raises(OccluposeError, match="no 2D joints to learn from"):
        VideoWindows([], 8)
    with pytest.raises(OccluposeError, match="no 2D joints to learn from"):
        VideoWindows(
            [replace(video_sequence(), poses=video_sequence(skeleton=HUMANEVA15).poses.select(joint=["head"]))], 8
        )
