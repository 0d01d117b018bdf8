"""Live outputs are held against `lift_rays` on each person by themselves."""

from collections import defaultdict
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lifter_rays import random_rays
from occlupose.errors import OccluposeError
from occlupose.methods.oanet import weights
from occlupose.methods.oanet.gap_filled_inputs import MAX_JOINT_GAP, MAX_POSITION_GAP
from occlupose.methods.oanet.live import LiveLifter
from occlupose.methods.oanet.network import paper_network, shipped_network
from occlupose.methods.oanet.predict import interleave_factor, lift_rays, upsample_factor
from occlupose.networks.live import HistoryBuffer
from occlupose.networks.tcn import STRIDE
from occlupose.skeletons import H36M17

SEEDS = st.integers(0, 2**32 - 1)
CLOSE = 1e-5  # metres, and on the plane z = 1


def lifter(depth=2):
    """A lifter with outputs about as large as those of trained ones."""
    torch.manual_seed(0)
    net = shipped_network(8, depth)
    for tcn in (net.tcn_2d, net.tcn_3d):
        torch.nn.init.normal_(tcn.out.weight, std=0.1)
    return net.eval()


LIFTER = lifter()


def gaps(frames, count, fps, seed):
    """(time, person, 22): joints that flicker, joints and whole people who are not seen for up to some seconds."""
    random = np.random.default_rng(seed)
    seen = random.random((frames, count, 22)) < random.choice([0.1, 0.6, 1.0], (count, 22))
    for _ in range(4):
        start = random.integers(frames)
        length = round(random.uniform(0, 7) * fps)
        who = random.integers(count)
        joints = random.random(22) < random.choice([0.3, 1])
        seen[start : start + length, who, joints] = False
    return seen


def presence(frames, count, fps, seed):
    """(time, person): people come, are away for a moment or for longer than anybody waits, and go."""
    random = np.random.default_rng(seed)
    there = np.ones((frames, count), bool)
    for who in range(count):
        begin, end = sorted(random.integers(0, frames + 1, 2)) if who else (0, frames)
        there[:begin, who] = there[end:, who] = False
        for _ in range(2):
            start = random.integers(frames)
            there[start : start + round(random.uniform(0, 3) * fps), who] = False
    return there


def live(net, rays, seen, there, fps, **options):
    """All outputs in order, each checked to come in its time."""
    lifting = LiveLifter(net, fps, **options)
    outputs = []
    for frame, here in enumerate(there):
        hidden = np.where(seen[frame, here][..., None], rays[frame, here], np.nan)
        output = lifting.update(np.flatnonzero(here) + 1, hidden, seen[frame, here])
        assert (output is None) == (frame < lifting.latency)
        if output is not None:
            assert output.frame == frame - lifting.latency
            outputs.append(output)
    outputs += lifting.finish()
    assert [output.frame for output in outputs] == list(range(len(there)))
    return outputs


def offline(net, rays, seen, there, fps, max_gap=2.0):
    """{frame: {id: (xyz, rays)}}: each person from first to last frame, again after a longer absence, steadied by what
    follows.
    """
    tail = ceil(max_gap * fps)
    outputs = defaultdict(dict)
    for who in range(there.shape[1]):
        at = np.flatnonzero(there[:, who])
        for stretch in np.split(at, np.flatnonzero(np.diff(at) > tail + 1) + 1):
            if not len(stretch):
                continue
            first = int(stretch[0])
            last = int(stretch[-1])
            span = slice(first, last + 1 + tail)
            lifted = lift_rays(net, rays[span, [who]], (seen & there[..., None])[span, [who]], fps)
            for frame in range(first, last + 1):
                outputs[frame][who + 1] = lifted.xyz[frame - first, 0], lifted.rays[frame - first, 0]
    return outputs


def agree(outputs, expected):
    for output in outputs:
        assert output.track_id.tolist() == sorted(expected[output.frame]), output.frame
        assert output.xyz.dtype == output.rays.dtype == np.float32
        for xyz, rays, (other, plane) in zip(
            output.xyz, output.rays, (expected[output.frame][who] for who in output.track_id.tolist()), strict=True
        ):
            np.testing.assert_allclose(xyz, other, atol=CLOSE, rtol=0, err_msg=f"frame {output.frame}")
            np.testing.assert_allclose(rays, plane, atol=CLOSE, rtol=0, err_msg=f"frame {output.frame}")


@pytest.mark.parametrize("fps", [1.0, 10.0, 12.0, 30.0, 60.0, 120.0])
def test_answers_are_the_offline_ones_whoever_comes_and_goes(fps):
    frames = min(round(7 * fps), 240)
    rays = random_rays(3, frames, fps)
    seen = gaps(frames, 3, fps, 1)
    there = presence(frames, 3, fps, 2)
    agree(live(LIFTER, rays, seen, there, fps), offline(LIFTER, rays, seen, there, fps))


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.sampled_from([6.0, 12.0, 30.0, 60.0]), st.integers(1, 90))
def test_answers_are_the_offline_ones_for_any_length(seed, fps, frames):
    rays = random_rays(4, frames, fps, seed)
    seen = gaps(frames, 4, fps, seed)
    there = presence(frames, 4, fps, seed)
    agree(live(LIFTER, rays, seen, there, fps), offline(LIFTER, rays, seen, there, fps))


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_networks_of_any_depth(depth):
    net = lifter(depth)
    fps = 30
    frames = 80
    rays = random_rays(2, frames, fps)
    seen = gaps(frames, 2, fps, 3)
    there = presence(frames, 2, fps, 3)
    agree(live(net, rays, seen, there, fps), offline(net, rays, seen, there, fps))


@pytest.mark.parametrize("fps", [12.0, 60.0])
def test_the_shipped_lifter(fps):
    net = weights.load()
    frames = round(3 * fps)
    rays = random_rays(2, frames, fps)
    seen = gaps(frames, 2, fps, 5)
    there = presence(frames, 2, fps, 5)
    agree(live(net, rays, seen, there, fps), offline(net, rays, seen, there, fps))


def test_who_is_there_but_not_seen_for_long_is_carried_as_offline_and_then_straight_ahead():
    fps = 30
    frames = 300
    gone = 210
    rays = random_rays(1, frames, fps) + 0.3
    seen = np.ones((frames, 1, 22), bool)
    there = np.ones((frames, 1), bool)
    seen[60 : 60 + gone] = False
    outputs = live(LIFTER, rays, seen, there, fps)
    agree(outputs, offline(LIFTER, rays, seen, there, fps))
    middle = np.array([np.abs(output.rays[0].mean(0)).max() for output in outputs])
    carried = MAX_JOINT_GAP + MAX_POSITION_GAP
    assert (middle[60 : 60 + carried] > 0.15).all() and (middle[60 + gone - carried : 60 + gone] > 0.15).all()
    assert middle[60 + gone // 2] < 0.05


def test_another_max_gap():
    fps = 30
    frames = 100
    rays = random_rays(1, frames, fps)
    seen = np.ones((frames, 1, 22), bool)
    there = np.ones((frames, 1), bool)
    there[50:70] = False
    outputs = {max_gap: live(LIFTER, rays, seen, there, fps, max_gap=max_gap) for max_gap in (0.5, 1.0)}
    for max_gap, lifted in outputs.items():
        agree(lifted, offline(LIFTER, rays, seen, there, fps, max_gap))
    assert [len(outputs[max_gap][60].track_id) for max_gap in outputs] == [0, 1]
    assert LiveLifter(LIFTER, fps, max_gap=8).latency == 240


@pytest.mark.parametrize("fps", [12.0, 60.0])
def test_several_people_are_as_each_by_themselves(fps):
    frames = round(1.2 * fps)
    rays = random_rays(3, frames, fps)
    seen = gaps(frames, 3, fps, 7)
    there = presence(frames, 3, fps, 8)
    together = live(LIFTER, rays, seen, there, fps)
    for who in range(3):
        alone = live(LIFTER, rays, seen, there & (np.arange(3) == who), fps)
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_allclose(one.xyz, all_of_them.xyz[all_of_them.track_id == who + 1], atol=CLOSE)


@pytest.mark.parametrize(("fps", "latency"), [(1.0, 8), (12.0, 56), (30.0, 111), (60.0, 223), (240.0, 895)])
def test_the_latency_is_about_the_look_ahead_of_the_networks(fps, latency):
    """What the pages say; a step of the person's own, one that is shared, and the frame between the networks come on
    top.
    """
    assert LiveLifter(LIFTER, fps).latency == latency
    assert abs(
        latency - LIFTER.look_ahead * interleave_factor(fps) / upsample_factor(fps)
    ) <= 3 * STRIDE * interleave_factor(fps)


def test_nobody_and_nothing():
    lifting = LiveLifter(LIFTER, 30)
    assert lifting.finish() == []
    nobody = np.zeros(0, np.int64), np.zeros((0, 22, 2), np.float32), np.zeros((0, 22), bool)
    for _ in range(3):
        assert lifting.update(*nobody) is None
    outputs = lifting.finish()
    assert [output.frame for output in outputs] == [0, 1, 2]
    assert all(output.xyz.shape == (0, len(H36M17), 3) and output.rays.shape == (0, 22, 2) for output in outputs)


def test_a_finished_tracker_starts_again():
    fps = 30
    frames = 40
    rays = random_rays(1, frames, fps)
    seen = np.ones((frames, 1, 22), bool)
    lifting = LiveLifter(LIFTER, fps)
    runs = [
        [*(lifting.update(np.ones(1, int), *now) for now in zip(rays, seen, strict=True)), *lifting.finish()]
        for _ in range(2)
    ]
    for first, second in zip(runs[0][frames:], runs[1][frames:], strict=True):
        assert first.frame == second.frame
        np.testing.assert_array_equal(first.xyz, second.xyz)


def test_memory_is_given_back_when_people_go():
    fps = 30
    lifting = LiveLifter(LIFTER, 30)
    rays = random_rays(1, 1, fps)[0]
    for frame in range(250):  # every second another person, who stays for half of one
        here = slice(0, int(frame % 30 < 15))
        lifting.update(np.array([frame // 30])[here], rays[here], np.ones((1, 22), bool)[here])
    rows = {part.frames.shape[0] for part in lifting._networks.modules() if isinstance(part, HistoryBuffer)}
    assert len(rows) == 1 and max(rows) <= 8  # those of the last seven seconds
    assert len(lifting._outputs) <= lifting.latency + 1


@pytest.mark.parametrize(
    ("fps", "max_gap"), [(0, 2), (-30, 2), (float("nan"), 2), (float("inf"), 2), (30, -1), (30, float("nan"))]
)
def test_a_rate_or_max_gap_that_cannot_be_is_refused(fps, max_gap):
    with pytest.raises(
        OccluposeError, match=r"^fps .*, max_gap .*: impossible; give frames per second, and seconds from 0 on$"
    ):
        LiveLifter(LIFTER, fps, max_gap=max_gap)


def test_networks_of_the_paper_are_refused():
    with pytest.raises(OccluposeError, match="paper's preset, which takes whole windows; give weights of the shipped"):
        LiveLifter(paper_network(8), 30)


@pytest.mark.parametrize(
    ("ids", "rays", "seen"),
    [
        ([1], (1, 17, 2), (1, 22)),
        ([1], (1, 22, 2), (1, 17)),
        ([1, 2], (1, 22, 2), (1, 22)),
        ([1, 1], (2, 22, 2), (2, 22)),
    ],
)
def test_people_that_cannot_be_are_refused(ids, rays, seen):
    lifting = LiveLifter(LIFTER, 30)
    with pytest.raises(OccluposeError, match=r"^frame 0: .*; give \(person,\), \(person, 22, 2\) and \(person, 22\)$"):
        lifting.update(np.array(ids), np.zeros(rays, np.float32), np.ones(seen, bool))
