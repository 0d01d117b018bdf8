"""A stream says what the whole record says when it ends at that moment."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.methods.lifter.lifting import TrackLifter
from occlupose.methods.lifter.network import LifterNetwork
from occlupose.methods.lifter.smoothing import BEFORE
from occlupose.methods.lifter.streaming import StreamLifter
from occlupose.networks.temporal_transformer import FUTURE, PAST
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE, FramePoses, Poses
from occlupose.poses_builder import PosesBuilder
from occlupose.skeletons import COCO17

CAMERA = Camera.from_fov(640, 480)
FRAMES = 60


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
    state[:14, 1] = ABSENT
    state[20:30, 0] = ABSENT
    state[38:42] = ABSENT
    state[52:, 0] = ABSENT
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


def stream(poses, lift, latency=FUTURE):
    """The frames that a stream returns, and how many it returned after each frame."""
    lifter = StreamLifter(lift, PosesBuilder(poses.skeleton, poses.fps, CAMERA), latency)
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
            spread=None if poses.spread is None else poses.spread[frame, present],
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


def assert_stream_is_the_record_cut(poses, lifter, latency, frames):
    """Frames of a stream are those of the record that ends `latency` seconds later."""
    found, _ = stream(poses, TrackLifter(CAMERA, None, lifter), latency)
    assert len(found) == len(poses)
    lift = TrackLifter(CAMERA, None, lifter)
    for frame in frames:
        stop = int(np.searchsorted(poses.time, poses.time[frame] + latency + 1e-4, "right"))
        assert_same_frame(found[frame], lift(poses.select(slice(0, stop))), frame)


@pytest.mark.parametrize(("fps", "latency"), [(10.0, 0.3), (10.0, 1.0), (30.0, 0.0), (30.0, 0.1), (59.94, 0.3)])
def test_a_frame_is_that_of_the_record_cut_at_the_latency(network, fps, latency):
    assert_stream_is_the_record_cut(record(fps), network, latency, range(4, FRAMES, 14))


@pytest.mark.parametrize("latency", [0.3, FUTURE])
def test_a_video_that_stands_still_for_long_is_two_videos(network, latency):
    """The frames before the break are told when the next one comes, with their people."""
    poses = record(10.0, frames=30)
    poses = replace(poses, time=poses.time + np.where(np.arange(30) < 19, 0, 2.5))
    assert_stream_is_the_record_cut(poses, network, latency, [2, 15, 17, 18, 19, 25])


@pytest.mark.parametrize(("fps", "latency"), [(25.0, FUTURE), (29.97, math.inf)])
def test_with_the_full_look_ahead_a_stream_is_the_whole_record(network, fps, latency):
    poses = record(fps)
    found, _ = stream(poses, TrackLifter(CAMERA, 1.6, network), latency)
    whole = TrackLifter(CAMERA, 1.6, network)(poses)
    for frame, one in enumerate(found):
        assert_same_frame(one, whole, frame)


@pytest.mark.parametrize("latency", [0.0, 0.3])
def test_a_frame_is_returned_after_the_latency(network, latency):
    _, counts = stream(record(frames=25), TrackLifter(CAMERA, None, network), latency)
    wait = round(latency * 30)
    assert counts == [max(0, frame + 1 - wait) for frame in range(25)]


def test_the_last_frame_of_a_person_knows_all_that_follows(network):
    """That they are not seen any more for as long as the look-ahead goes, also where times are rounded."""
    poses = record(frames=65)
    state = poses.state.copy()
    state[18:] = ABSENT
    hidden = state == ABSENT
    xy = np.where(hidden[..., None], np.nan, poses.xy)
    poses = replace(poses, state=state, xy=xy, score=np.where(hidden, 0, poses.score), spread=None)
    assert poses.time[17 + 45] > poses.time[17] + FUTURE
    found, _ = stream(poses, TrackLifter(CAMERA, None, network))
    whole = TrackLifter(CAMERA, None, network)(poses)
    for frame in (16, 17):
        assert_same_frame(found[frame], whole, frame)


def test_somebody_lost_for_long_begins_anew(network):
    poses = record(10.0, frames=50)
    state = np.full_like(poses.state, ABSENT)
    state[:10] = VISIBLE
    state[35:] = VISIBLE
    known = state != ABSENT
    xy = np.where(known[..., None], np.nan_to_num(poses.xy, nan=200), np.nan)
    poses = replace(poses, state=state, xy=xy, score=state / 2, spread=np.where(known, 3.0, np.nan))
    found, _ = stream(poses, TrackLifter(CAMERA, None, network), 0.3)
    lift = TrackLifter(CAMERA, None, network)
    later = lift(poses.select(slice(35, 50)))
    for frame in (35, 40, 46):
        cut = lift(poses.select(slice(0, min(frame + 4, 50))))
        assert_same_frame(found[frame], cut, frame)
        one = lift(poses.select(slice(35, min(frame + 4, 50))))
        assert_same_frame(found[frame], one, frame - 35)
    assert_same_frame(found[49], later, 14)
    assert [len(one.track_id) for one in found[10:35]] == [0] * 25


def test_memory_does_not_grow(network):
    """What is kept of people who were lost, and of frames that were told."""
    poses = record(10.0, frames=60)
    state = poses.state.copy()
    state[20:, 0] = ABSENT
    lifter = StreamLifter(TrackLifter(CAMERA, None, network), PosesBuilder(poses.skeleton, poses.fps, CAMERA), 0.3)
    for frame in range(60):
        present = (state[frame] != ABSENT).any(-1)
        parts = (values[frame, present] for values in (poses.xy, poses.score, state))
        lifter.update(FramePoses(poses.time[frame], poses.track_id[present], *parts))
        assert len(lifter._frames) <= 10 * (BEFORE + 0.3) + 2
        assert len(lifter._stream.times) <= 10 * (PAST + BEFORE + 0.3) + 3
    assert lifter._ids == [4]
    assert set(lifter._first) == set(lifter._last) == {4}
    assert len(lifter._memory.rays) == 1


def test_ids_are_ascending_however_people_come(network):
    poses = record(10.0, frames=8)
    state = np.full_like(poses.state, VISIBLE)
    state[:4, 0] = ABSENT
    hidden = state == ABSENT
    xy = np.where(hidden[..., None], np.nan, np.nan_to_num(poses.xy, nan=200))
    poses = replace(poses, state=state, xy=xy, score=state / 2, spread=np.where(hidden, np.nan, 3.0))
    found, _ = stream(poses, TrackLifter(CAMERA, None, network), 0.0)
    turned, _ = stream(poses.select(person=[4, 3]), TrackLifter(CAMERA, None, network), 0.0)
    for one, other in zip(found, turned, strict=True):
        assert sorted(one.track_id.tolist()) == one.track_id.tolist() == other.track_id.tolist()
        np.testing.assert_allclose(one.xyz, other.xyz, atol=1e-5)


def test_a_stream_of_nobody(network):
    lifter = StreamLifter(TrackLifter(CAMERA, None, network), PosesBuilder(COCO17, 10.0, CAMERA), 0.1)
    nobody = np.zeros((0, 17))
    found = []
    for frame in range(4):
        empty = FramePoses(frame / 10, np.zeros(0, np.int64), np.zeros((0, 17, 2)), nobody, nobody.astype(np.uint8))
        found += lifter.update(empty)
    found += lifter.finish()
    assert [one.xyz.shape for one in found] == [(1, 0, 17, 3)] * 4
    np.testing.assert_allclose([one.time[0] for one in found], np.arange(4) / 10)


@pytest.mark.parametrize("latency", [-0.1, math.nan])
def test_an_impossible_latency_is_refused(network, latency):
    with pytest.raises(OccluposeError, match="give seconds, 0 or more"):
        StreamLifter(TrackLifter(CAMERA, None, network), PosesBuilder(COCO17, 30.0, CAMERA), latency)


def test_frames_out_of_order_are_refused(network):
    lifter = StreamLifter(TrackLifter(CAMERA, None, network), PosesBuilder(COCO17, 30.0, CAMERA))
    nobody = (np.zeros(0, np.int64), np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32))
    lifter.update(FramePoses(2.0, *nobody, np.zeros((0, 17), np.uint8)))
    with pytest.raises(OccluposeError, match=r"time 1 s: after a frame of 2 s; give frames in order"):
        lifter.update(FramePoses(1.0, *nobody, np.zeros((0, 17), np.uint8)))


def test_somebody_of_whom_nothing_is_believed_is_nowhere(network):
    """All joints far outside of the image, which the lifter does not believe."""
    poses = record(frames=20)
    far = np.full_like(poses.xy, 5000.0)
    state = np.full_like(poses.state, VISIBLE)
    poses = replace(poses, xy=far, state=state, score=np.ones_like(poses.score), spread=np.full_like(poses.spread, 2.0))
    lifted = TrackLifter(CAMERA, None, network)(poses)
    assert np.isnan(lifted.xyz).all()
    assert (lifted.state == ABSENT).all()
    found, _ = stream(poses, TrackLifter(CAMERA, None, network), 0.3)
    assert [len(one.track_id) for one in found] == [0] * 20
