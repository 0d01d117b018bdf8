"""A stream says what the whole record says when it ends at that moment."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from occlupose.cameras import Camera
from occlupose.methods.lifter.lifting import TrackLifter
from occlupose.methods.lifter.network import LifterNetwork
from occlupose.methods.lifter.streaming import StreamLifter
from occlupose.networks.temporal_transformer import FUTURE
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import COCO17

CAMERA = Camera.from_fov(640, 480)
FRAMES = 90


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = LifterNetwork(32, 2).eval()
    for parameter in network.parameters():  # so that everything matters
        parameter.data = parameter.data + 0.05 * torch.randn_like(parameter)
    return network


def record(fps=30.0, frames=FRAMES, people=2, seed=0):
    """People whose joints wander; some are hidden, some guessed, and everybody is lost for a while."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, 30 / fps, (frames, people, 17, 2)).cumsum(0)
    xy = 240 + 60 * random.normal(size=(1, people, 17, 2)) + steps
    state = random.choice([ABSENT, OCCLUDED, VISIBLE], p=[0.1, 0.15, 0.75], size=(frames, people, 17)).astype(np.uint8)
    state[:20, 1] = ABSENT
    state[40:50, 0] = ABSENT
    state[60:64] = ABSENT
    state[80:, 0] = ABSENT
    spread = np.where(state == ABSENT, np.nan, random.uniform(1, 20, state.shape))
    return Poses(
        xy=np.where((state == ABSENT)[..., None], np.nan, xy),
        score=np.where(state == ABSENT, 0, random.random(state.shape)),
        state=state,
        xyz=None,
        track_id=np.arange(people) + 3,
        time=np.arange(frames) / fps,
        skeleton=COCO17,
        fps=fps,
        width=640,
        height=480,
        spread=spread,
    )


def stream(poses, lift):
    """The frames that a stream returns, and how many it returned after each frame."""
    lifter = StreamLifter(lift, PosesBuilder(poses.skeleton, poses.fps, CAMERA))
    found = []
    counts = []
    for frame in range(len(poses)):
        present = (poses.state[frame] != ABSENT).any(-1)
        given = FramePoses(
            poses.time[frame],
            poses.track_id[present],
            poses.xy[frame, present],
            poses.score[frame, present],
            poses.state[frame, present],
            spread=poses.spread[frame, present],
        )
        found += lifter.update(given)
        counts.append(len(found))
    return found + lifter.finish(), counts


def assert_same_frame(one, whole, frame):
    """A record of one frame is that frame of another."""
    people = [int(track) for track in whole.track_id if (whole.state[frame, whole.track_id == track] != ABSENT).any()]
    assert one.track_id.tolist() == people
    columns = np.isin(whole.track_id, people)
    assert one.time[0] == whole.time[frame]
    np.testing.assert_array_equal(one.state[0], whole.state[frame, columns])
    np.testing.assert_allclose(one.xyz[0], whole.xyz[frame, columns], atol=1e-5, rtol=0)
    np.testing.assert_allclose(one.xy[0], whole.xy[frame, columns], atol=2e-2, rtol=1e-5)
    np.testing.assert_allclose(one.covariance[0], whole.covariance[frame, columns], rtol=1e-2, atol=1e-6)
    np.testing.assert_allclose(one.root_covariance[0], whole.root_covariance[frame, columns], rtol=1e-2, atol=1e-6)
    np.testing.assert_array_equal(one.observed.xy[0], whole.observed.xy[frame, columns])


@pytest.mark.parametrize("latency", [0.0, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("fps", [10.0, 30.0, 59.94])
def test_a_frame_is_that_of_the_record_cut_at_the_latency(network, latency, fps):
    poses = record(fps)
    found, _ = stream(poses, TrackLifter(CAMERA, None, network, latency))
    assert len(found) == len(poses)
    lift = TrackLifter(CAMERA, None, network)
    for frame in range(0, len(poses), 7):
        stop = int(np.searchsorted(poses.time, poses.time[frame] + latency + 1e-4, "right"))
        assert_same_frame(found[frame], lift(poses.select(slice(0, stop))), frame)


@pytest.mark.parametrize("latency", [FUTURE, math.inf])
def test_with_the_full_look_ahead_a_stream_is_the_whole_record(network, latency):
    poses = record()
    found, _ = stream(poses, TrackLifter(CAMERA, 1.6, network, latency))
    whole = TrackLifter(CAMERA, 1.6, network)(poses)
    for frame, one in enumerate(found):
        assert_same_frame(one, whole, frame)


@pytest.mark.parametrize("latency", [0.0, 0.3, 1.0])
def test_a_frame_is_returned_after_the_latency(network, latency):
    _, counts = stream(record(), TrackLifter(CAMERA, None, network, latency))
    wait = round(latency * 30)
    assert counts == [max(0, frame + 1 - wait) for frame in range(FRAMES)]


def test_somebody_lost_for_long_begins_anew(network):
    poses = record(frames=200)
    state = poses.state.copy()
    state[:] = ABSENT
    state[:10] = VISIBLE
    state[90:] = VISIBLE
    xy = np.where((state == ABSENT)[..., None], np.nan, np.nan_to_num(poses.xy, nan=200))
    poses = replace(poses, state=state, xy=xy, score=state / 2, spread=None)
    poses = replace(poses, spread=np.where(state == ABSENT, np.nan, 3.0))
    found, _ = stream(poses, TrackLifter(CAMERA, None, network, 0.3))
    lift = TrackLifter(CAMERA, None, network)
    later = lift(poses.select(slice(90, 200)))
    assert_same_frame(found[100], lift(poses.select(slice(0, 110))), 100)
    np.testing.assert_allclose(found[199].xyz[0], later.xyz[109], atol=1e-5)
    assert [len(one.track_id) for one in found[10:90]] == [0] * 80
