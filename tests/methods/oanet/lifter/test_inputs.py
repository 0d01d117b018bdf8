import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.transform import Rotation

from occlupose.methods.oanet.lifter.inputs import (
    AGE,
    ANCHORS,
    CARRY,
    CHANNELS,
    HORIZON,
    SMOOTH,
    SPREAD,
    bridge,
    doubt,
    look_at,
    positions,
    prepare,
)
from occlupose.skeletons import BODY22

SEEDS = st.integers(0, 2**32 - 1)
JOINTS = len(BODY22)


def person(seed=0, frames=40, at=(0.0, 0.0, 4.0)):
    """(1, time, 22, 3) of a body of human size that swings its joints, m, and walks about a little."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 30
    rest = random.normal(0, (0.2, 0.4, 0.15), (JOINTS, 3))
    swing = 0.1 * np.sin(random.uniform(1, 4, (JOINTS, 3)) * time + random.uniform(0, 6, (JOINTS, 3)))
    return torch.from_numpy(rest + swing + 0.3 * np.sin(time) + at).float()[None]


def rays(xyz):
    return xyz[..., :2] / xyz[..., 2:]


def everything(xyz):
    return torch.ones(xyz.shape[:3], dtype=torch.bool)


def bridged(*sights, frames=100):
    """Values, ages, and whether there is a value, of one joint seen in these frames at (frame, -frame)."""
    seen = torch.zeros(1, frames, 1, dtype=torch.bool)
    seen[0, list(sights)] = True
    values = torch.arange(frames).view(1, -1, 1, 1) * torch.tensor([1.0, -1.0])
    filled, ages, known = bridge(torch.where(seen[..., None], values, torch.nan), seen)
    return filled[0, :, 0], ages[0, :, 0], known[0, :, 0]


def test_between_two_sights_a_joint_is_on_the_line():
    filled, ages, known = bridged(10, 30)
    frames = torch.arange(100.0)
    torch.testing.assert_close(filled[10:31], frames[10:31, None] * torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(ages[10:30, 0], torch.exp(-torch.arange(20) / AGE))
    torch.testing.assert_close(ages[11:31, 1], torch.exp(-torch.arange(20) / AGE).flip(0))
    assert known[10:31].all()


def test_before_the_first_and_after_the_last_sight_a_joint_is_held_as_far_as_the_horizon():
    first = HORIZON + 8
    last = HORIZON + 20
    filled, ages, known = bridged(first, last, frames=last + HORIZON + 8)
    assert torch.equal(known.nonzero().flatten(), torch.arange(first - HORIZON, last + HORIZON + 1))
    assert (filled[first - HORIZON : first, 0] == first).all()
    assert (filled[last + 1 : last + 1 + HORIZON, 0] == last).all()
    assert (filled[~known] == 0).all()
    assert (ages[~known] == 0).all()
    assert (ages[first - HORIZON : first, 0] == 0).all()
    assert (ages[last + 1 : last + 1 + HORIZON, 1] == 0).all()


def test_of_a_gap_longer_than_the_horizon_only_the_nearer_sight_counts_at_its_ends():
    gap = HORIZON + 10
    filled, _, known = bridged(0, gap)
    assert known[: gap + 1].all()
    assert (filled[:10, 0] == 0).all()
    assert (filled[gap - 9 : gap, 0] == gap).all()
    torch.testing.assert_close(filled[10 : HORIZON + 1, 0], torch.arange(10.0, HORIZON + 1))
    _, _, known = bridged(0, 2 * HORIZON + 10)
    assert not known[HORIZON + 1 : HORIZON + 10].any()


def test_what_is_seen_is_kept_as_it_is():
    filled, ages, known = bridged(*range(100))
    torch.testing.assert_close(filled[:, 0], torch.arange(100.0))
    assert (ages == 1).all()
    assert known.all()


@settings(max_examples=60)
@given(arrays.arrays(bool, (17, 3)), st.integers(0, 8))
def test_bridging_is_interpolation(mask, horizon):
    seen = torch.from_numpy(mask)[None]
    values = torch.randn(1, 17, 3, 1)
    filled, _, known = bridge(values, seen, horizon)
    for joint in range(3):
        at = np.flatnonzero(mask[:, joint])
        for frame in range(17):
            near = at[np.abs(at - frame) <= horizon]
            assert known[0, frame, joint] == bool(len(near))
            if not len(near):
                assert filled[0, frame, joint] == 0
                continue
            before = near[near <= frame].max(initial=-1)
            after = near[near >= frame].min(initial=99)
            ends = [end for end in (before, after) if 0 <= end < 17]
            expected = (
                np.interp(frame, ends, values[0, ends, joint, 0])
                if len(set(ends)) > 1
                else values[0, ends[0], joint, 0]
            )
            assert filled[0, frame, joint, 0].item() == pytest.approx(float(expected), abs=1e-5)


def doubts(seen, seed=0):
    """(time, 22) doubts of somebody of whom this is seen, (time, 22)."""
    return doubt(prepare(rays(person(seed, len(seen))), seen[None]).channels)[0]


def test_doubt_grows_from_nothing_where_seen_to_one_at_the_horizon():
    at = 50
    joint = BODY22.joints.index("left_wrist")
    seen = torch.ones(100, JOINTS, dtype=torch.bool)
    seen[:, joint] = False
    seen[at, joint] = True
    doubted = doubts(seen)
    assert (doubted[seen] == 0).all()
    away = (torch.arange(100) - at).abs()
    side = doubted[:, joint]
    torch.testing.assert_close(side[at + 1], torch.tensor(1 - math.exp(-1 / AGE)))
    assert (side[away > HORIZON] == 1).all()
    assert (side[(away > 0) & (away <= HORIZON)] < 1).all()
    assert (side[at : at + HORIZON + 2].diff() > 0).all()
    torch.testing.assert_close(side[1 : at + 1].flip(0), side[at:])  # ahead as ago


@settings(max_examples=30)
@given(SEEDS)
def test_doubt_counts_the_frames_to_the_nearest_sight_before_or_after(seed):
    random = np.random.default_rng(seed)
    frames = 90
    seen = random.random((frames, JOINTS)) < random.choice([0, 0.01, 0.05, 0.5, 1], JOINTS)
    doubted = doubts(torch.from_numpy(seen), seed % 100).numpy()
    for joint in range(JOINTS):
        away = np.abs(np.arange(frames)[:, None] - np.flatnonzero(seen[:, joint])).min(1, initial=10**6)
        np.testing.assert_allclose(doubted[:, joint], np.where(away <= HORIZON, 1 - np.exp(-away / AGE), 1), atol=1e-6)
    assert (doubted[seen] == 0).all()


@settings(max_examples=40)
@given(SEEDS)
def test_when_everything_is_seen_the_joints_are_in_it_unchanged(seed):
    xyz = person(seed, at=np.random.default_rng(seed).uniform((-2, -1, 2), (2, 1, 8)))
    inputs = prepare(rays(xyz), everything(xyz))
    assert inputs.channels.shape == (1, 40, CHANNELS)
    flat = (
        torch.cat([positions(inputs.channels) * inputs.size.unsqueeze(-1), torch.ones(1, 40, JOINTS, 1)], -1)
        @ inputs.rotation
    )
    torch.testing.assert_close(flat[..., :2] / flat[..., 2:], rays(xyz), atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(inputs.anchor, rays(xyz)[:, :, ANCHORS].mean(2))
    assert (inputs.channels[..., 2 * JOINTS : 4 * JOINTS] == 1).all()
    torch.testing.assert_close(inputs.channels[..., -1:], inputs.size.log())


@settings(max_examples=40)
@given(SEEDS, st.sampled_from([torch.nan, torch.inf, -1e30, 0.0, 7.0]))
def test_values_under_the_mask_change_nothing(seed, value):
    random = np.random.default_rng(seed)
    xyz = person(seed)
    seen = torch.from_numpy(random.random((1, 40, JOINTS)) < random.random())
    one = prepare(rays(xyz), seen)
    other = prepare(torch.where(seen[..., None], rays(xyz), value), seen)
    for name in ("channels", "rotation", "anchor", "size"):
        assert torch.equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).isfinite().all()


def test_nobody_at_all_is_in_the_middle_of_the_picture():
    inputs = prepare(torch.full((2, 12, JOINTS, 2), torch.nan), torch.zeros(2, 12, JOINTS, dtype=torch.bool))
    assert (inputs.channels[..., :-1] == 0).all()
    assert inputs.channels.isfinite().all()
    torch.testing.assert_close(inputs.rotation, torch.eye(3).expand(2, 12, 3, 3))


def test_over_some_seconds_without_anybody_the_direction_is_bridged():
    xyz = person(frames=140, at=(1.5, 0, 4))
    seen = everything(xyz)
    seen[:, 10:130] = False
    inputs = prepare(rays(xyz), seen)
    held = 9 + HORIZON
    again = 130 - HORIZON
    share = torch.linspace(0, 1, again - held + 1)[:, None]
    torch.testing.assert_close(
        inputs.anchor[0, held : again + 1], torch.lerp(inputs.anchor[0, 9], inputs.anchor[0, 130], share)
    )


def test_over_more_seconds_without_anybody_the_direction_is_straight_ahead():
    """A person who is unseen for longer is so at either end alone: what comes later than horizon and carry is no
    business of a frame.
    """
    xyz = person(frames=400, at=(1.5, 0, 4))
    carried = HORIZON + CARRY
    seen = everything(xyz)
    seen[:, 100:350] = False
    anchor = prepare(rays(xyz), seen).anchor[0]
    torch.testing.assert_close(anchor[99 : 100 + carried], anchor[99].expand(carried + 1, 2))
    torch.testing.assert_close(anchor[350 - carried : 351], anchor[350].expand(carried + 1, 2))
    assert (anchor[100 + carried : 350 - carried] == 0).all()
    seen[:, 100:] = False
    assert torch.equal(prepare(rays(xyz), seen).anchor[0, : 350 - carried], anchor[: 350 - carried])


def test_without_a_torso_the_middle_of_what_is_there_is_the_middle():
    xyz = person()
    seen = everything(xyz)
    seen[:, :, ANCHORS] = False
    others = [joint for joint in range(JOINTS) if joint not in ANCHORS]
    torch.testing.assert_close(prepare(rays(xyz), seen).anchor, rays(xyz)[:, :, others].mean(2))


def flat_person(seed=0):
    """Somebody whose joints all lie at one depth and whose torso is in the camera's axis."""
    xyz = person(seed)
    xyz[..., 2] = 4
    xyz[..., :2] -= xyz[:, :, ANCHORS, :2].mean(2, keepdim=True)
    return xyz


@pytest.mark.parametrize("times", [0.5, 3.0])
def test_twice_as_far_looks_the_same_and_half_as_large(times):
    near = flat_person()
    far = near * torch.tensor([1.0, 1.0, times])
    one, other = (prepare(rays(xyz), everything(xyz)) for xyz in (near, far))
    torch.testing.assert_close(positions(other.channels), positions(one.channels), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(other.size, one.size / times, atol=1e-6, rtol=1e-4)


def test_an_average_person_at_one_metre_has_size_one():
    """The unit is that of SPREAD: joints as far from the middle as they are on average."""
    angle = torch.arange(JOINTS) * 2.4
    xy = SPREAD[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    xy[ANCHORS] = SPREAD[ANCHORS][:, None] * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    xy[ANCHORS] -= xy[ANCHORS].mean(0)
    inputs = prepare(xy.expand(1, 12, JOINTS, 2) / 5, torch.ones(1, 12, JOINTS, dtype=torch.bool))
    torch.testing.assert_close(inputs.size, torch.full((1, 12, 1), 1 / 5), rtol=0.01, atol=0)


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("degrees", [-30, 10, 30])
def test_wherever_the_person_stands_in_the_picture_they_look_the_same(axis, degrees):
    xyz = person()
    xyz[..., :2] -= xyz[:, :, ANCHORS, :2].mean(2, keepdim=True)  # the turn of the camera is then about one axis alone
    turned = xyz @ torch.from_numpy(Rotation.from_euler(axis, degrees, degrees=True).as_matrix()).float().T
    one, other = (prepare(rays(body), everything(body)) for body in (xyz, turned))
    difference = (positions(one.channels) - positions(other.channels)).norm(dim=-1)
    assert difference.mean() < 0.02  # the torso's middle in the picture is not quite the picture of its middle
    assert (rays(turned) - rays(xyz)).norm(dim=-1).mean() > 0.15
    straight = turned @ other.rotation[0].mT  # the turned camera's answer comes back to the camera's own axes
    torch.testing.assert_close(straight, xyz @ one.rotation[0].mT, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("frame", [60, 83])
def test_future_counts_only_within_the_horizon_and_the_smoothing(frame):
    xyz = person(frames=140)
    seen = torch.from_numpy(np.random.default_rng(0).random((1, 140, JOINTS)) < 0.3)
    future = frame + HORIZON + SMOOTH + 1
    changed = rays(xyz).clone()
    less = seen.clone()
    changed[:, future:] += 0.3
    less[:, future:] = ~less[:, future:]
    one = prepare(rays(xyz), seen)
    other = prepare(changed, less)
    torch.testing.assert_close(one.channels[:, : frame + 1], other.channels[:, : frame + 1], atol=1e-5, rtol=1e-5)


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_look_at_is_the_smallest_rotation_onto_the_axis(x, y):
    rotation = look_at(torch.tensor([x, y], dtype=torch.float64))
    direction = torch.tensor([x, y, 1], dtype=torch.float64)
    direction = direction / direction.norm()
    torch.testing.assert_close(rotation @ direction, torch.tensor([0, 0, 1], dtype=torch.float64))
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64))
    assert torch.linalg.det(rotation).item() == pytest.approx(1)
    angle = math.acos(max(-1.0, min(1.0, (rotation.trace().item() - 1) / 2)))
    assert angle == pytest.approx(math.acos(direction[2].item()), abs=1e-6)
