import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.transform import Rotation

from occlupose.methods.oanet.gap_filled_inputs import (
    AGE_DECAY,
    CHANNELS,
    MAX_JOINT_GAP,
    MAX_POSITION_GAP,
    RMS_DISTANCE,
    SCALE_SMOOTHING,
    TORSO,
    GapFilledEncoder,
    interpolate_gaps,
    rotation_to_axis,
)
from occlupose.skeletons import BODY22

SEEDS = st.integers(0, 2**32 - 1)
JOINTS = len(BODY22)


def person(seed=0, frames=40, at=(0.0, 0.0, 4.0)):
    """(1, time, 22, 3) of a body of human size with swinging joints that walks a little, m."""
    random = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] / 30
    rest = random.normal(0, (0.2, 0.4, 0.15), (JOINTS, 3))
    swing = 0.1 * np.sin(random.uniform(1, 4, (JOINTS, 3)) * time + random.uniform(0, 6, (JOINTS, 3)))
    return torch.from_numpy(rest + swing + 0.3 * np.sin(time) + at).float()[None]


def rays(xyz):
    return xyz[..., :2] / xyz[..., 2:]


def everything(xyz):
    return torch.ones(xyz.shape[:3], dtype=torch.bool)


def centre(inputs):
    """(1, time, 2): where the rotated camera points, on the plane z = 1."""
    return inputs.rotation[..., 2, :2] / inputs.rotation[..., 2, 2:]


def filled_gaps(*observations, frames=100):
    """Values, ages and mask of one joint that is observed in these frames, at (frame, -frame)."""
    observed = torch.zeros(1, frames, 1, dtype=torch.bool)
    observed[0, list(observations)] = True
    values = torch.arange(frames).view(1, -1, 1, 1) * torch.tensor([1.0, -1.0])
    filled, ages, known = interpolate_gaps(torch.where(observed[..., None], values, torch.nan), observed)
    return filled[0, :, 0], ages[0, :, 0], known[0, :, 0]


def test_between_two_observations_a_joint_is_interpolated_linearly():
    filled, ages, known = filled_gaps(10, 30)
    frames = torch.arange(100.0)
    torch.testing.assert_close(filled[10:31], frames[10:31, None] * torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(ages[10:30, 0], torch.exp(-torch.arange(20) / AGE_DECAY))
    torch.testing.assert_close(ages[11:31, 1], torch.exp(-torch.arange(20) / AGE_DECAY).flip(0))
    assert known[10:31].all()


def test_before_the_first_and_after_the_last_observation_a_joint_is_held_up_to_the_maximum_gap():
    first = MAX_JOINT_GAP + 8
    last = MAX_JOINT_GAP + 20
    filled, ages, known = filled_gaps(first, last, frames=last + MAX_JOINT_GAP + 8)
    assert torch.equal(known.nonzero().flatten(), torch.arange(first - MAX_JOINT_GAP, last + MAX_JOINT_GAP + 1))
    assert (filled[first - MAX_JOINT_GAP : first, 0] == first).all()
    assert (filled[last + 1 : last + 1 + MAX_JOINT_GAP, 0] == last).all()
    assert (filled[~known] == 0).all()
    assert (ages[~known] == 0).all()
    assert (ages[first - MAX_JOINT_GAP : first, 0] == 0).all()
    assert (ages[last + 1 : last + 1 + MAX_JOINT_GAP, 1] == 0).all()


def test_in_a_gap_longer_than_the_maximum_only_the_nearer_observation_is_used():
    gap = MAX_JOINT_GAP + 10
    filled, _, known = filled_gaps(0, gap)
    assert known[: gap + 1].all()
    assert (filled[:10, 0] == 0).all()
    assert (filled[gap - 9 : gap, 0] == gap).all()
    torch.testing.assert_close(filled[10 : MAX_JOINT_GAP + 1, 0], torch.arange(10.0, MAX_JOINT_GAP + 1))
    _, _, known = filled_gaps(0, 2 * MAX_JOINT_GAP + 10)
    assert not known[MAX_JOINT_GAP + 1 : MAX_JOINT_GAP + 10].any()


def test_observed_values_are_kept():
    filled, ages, known = filled_gaps(*range(100))
    torch.testing.assert_close(filled[:, 0], torch.arange(100.0))
    assert (ages == 1).all()
    assert known.all()


@settings(max_examples=60)
@given(arrays.arrays(bool, (17, 3)), st.integers(0, 8))
def test_gaps_are_filled_as_by_numpy_interp(mask, max_gap):
    observed = torch.from_numpy(mask)[None]
    values = torch.randn(1, 17, 3, 1)
    filled, _, known = interpolate_gaps(values, observed, max_gap)
    for joint in range(3):
        at = np.flatnonzero(mask[:, joint])
        for frame in range(17):
            near = at[np.abs(at - frame) <= max_gap]
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


def uncertainties(observed, seed=0):
    """(time, 22) uncertainty of a person with these joints observed, (time, 22)."""
    return GapFilledEncoder()(rays(person(seed, len(observed))), observed[None]).correctable[0]


def test_uncertainty_grows_from_0_where_observed_to_1_at_the_maximum_gap():
    at = 50
    joint = BODY22.joints.index("left_wrist")
    observed = torch.ones(100, JOINTS, dtype=torch.bool)
    observed[:, joint] = False
    observed[at, joint] = True
    uncertain = uncertainties(observed)
    assert (uncertain[observed] == 0).all()
    away = (torch.arange(100) - at).abs()
    side = uncertain[:, joint]
    torch.testing.assert_close(side[at + 1], torch.tensor(1 - math.exp(-1 / AGE_DECAY)))
    assert (side[away > MAX_JOINT_GAP] == 1).all()
    assert (side[(away > 0) & (away <= MAX_JOINT_GAP)] < 1).all()
    assert (side[at : at + MAX_JOINT_GAP + 2].diff() > 0).all()
    torch.testing.assert_close(side[1 : at + 1].flip(0), side[at:])  # symmetric in time


@settings(max_examples=30)
@given(SEEDS)
def test_uncertainty_depends_on_the_frames_to_the_nearest_observation(seed):
    random = np.random.default_rng(seed)
    frames = 90
    observed = random.random((frames, JOINTS)) < random.choice([0, 0.01, 0.05, 0.5, 1], JOINTS)
    uncertain = uncertainties(torch.from_numpy(observed), seed % 100).numpy()
    for joint in range(JOINTS):
        away = np.abs(np.arange(frames)[:, None] - np.flatnonzero(observed[:, joint])).min(1, initial=10**6)
        np.testing.assert_allclose(
            uncertain[:, joint], np.where(away <= MAX_JOINT_GAP, 1 - np.exp(-away / AGE_DECAY), 1), atol=1e-6
        )
    assert (uncertain[observed] == 0).all()


@settings(max_examples=40)
@given(SEEDS)
def test_with_all_joints_observed_the_input_can_be_undone(seed):
    xyz = person(seed, at=np.random.default_rng(seed).uniform((-2, -1, 2), (2, 1, 8)))
    inputs = GapFilledEncoder()(rays(xyz), everything(xyz))
    assert inputs.channels(inputs.xy).shape == (1, 40, CHANNELS)
    flat = torch.cat([inputs.xy * inputs.scale, torch.ones(1, 40, JOINTS, 1)], -1) @ inputs.rotation
    torch.testing.assert_close(flat[..., :2] / flat[..., 2:], rays(xyz), atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(centre(inputs), rays(xyz)[:, :, TORSO].mean(2))
    assert (inputs.extra[..., :-1] == 1).all()
    torch.testing.assert_close(inputs.extra[..., -1:], inputs.scale.squeeze(-1).log())


@settings(max_examples=40)
@given(SEEDS, st.sampled_from([torch.nan, torch.inf, -1e30, 0.0, 7.0]))
def test_unobserved_values_have_no_effect(seed, value):
    random = np.random.default_rng(seed)
    xyz = person(seed)
    observed = torch.from_numpy(random.random((1, 40, JOINTS)) < random.random())
    one = GapFilledEncoder()(rays(xyz), observed)
    other = GapFilledEncoder()(torch.where(observed[..., None], rays(xyz), value), observed)
    for name in ("xy", "correctable", "extra", "rotation", "scale"):
        assert torch.equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).isfinite().all()


def test_without_any_observation_the_direction_is_straight_ahead():
    inputs = GapFilledEncoder()(torch.full((2, 12, JOINTS, 2), torch.nan), torch.zeros(2, 12, JOINTS, dtype=torch.bool))
    assert (inputs.channels(inputs.xy)[..., :-1] == 0).all()
    assert inputs.channels(inputs.xy).isfinite().all()
    torch.testing.assert_close(inputs.rotation, torch.eye(3).expand(2, 12, 3, 3))


def test_over_some_seconds_without_observations_the_direction_is_interpolated():
    xyz = person(frames=140, at=(1.5, 0, 4))
    observed = everything(xyz)
    observed[:, 10:130] = False
    inputs = GapFilledEncoder()(rays(xyz), observed)
    held = 9 + MAX_JOINT_GAP
    again = 130 - MAX_JOINT_GAP
    share = torch.linspace(0, 1, again - held + 1)[:, None]
    torch.testing.assert_close(
        centre(inputs)[0, held : again + 1], torch.lerp(centre(inputs)[0, 9], centre(inputs)[0, 130], share)
    )


def test_over_more_seconds_without_observations_the_direction_is_straight_ahead():
    """In a longer gap only the frames near its ends have a direction, whatever comes after."""
    xyz = person(frames=400, at=(1.5, 0, 4))
    filled = MAX_JOINT_GAP + MAX_POSITION_GAP
    observed = everything(xyz)
    observed[:, 100:350] = False
    found = centre(GapFilledEncoder()(rays(xyz), observed))[0]
    torch.testing.assert_close(found[99 : 100 + filled], found[99].expand(filled + 1, 2))
    torch.testing.assert_close(found[350 - filled : 351], found[350].expand(filled + 1, 2))
    assert (found[100 + filled : 350 - filled] == 0).all()
    observed[:, 100:] = False
    assert torch.equal(centre(GapFilledEncoder()(rays(xyz), observed))[0, : 350 - filled], found[: 350 - filled])


def test_without_a_torso_the_centre_is_the_mean_of_the_known_joints():
    xyz = person()
    observed = everything(xyz)
    observed[:, :, TORSO] = False
    others = [joint for joint in range(JOINTS) if joint not in TORSO]
    torch.testing.assert_close(centre(GapFilledEncoder()(rays(xyz), observed)), rays(xyz)[:, :, others].mean(2))


def flat_person(seed=0):
    """A person with all joints at one depth and the torso on the camera's axis."""
    xyz = person(seed)
    xyz[..., 2] = 4
    xyz[..., :2] -= xyz[:, :, TORSO, :2].mean(2, keepdim=True)
    return xyz


@pytest.mark.parametrize("times", [0.5, 3.0])
def test_distance_changes_only_the_scale(times):
    near = flat_person()
    far = near * torch.tensor([1.0, 1.0, times])
    one = GapFilledEncoder()(rays(near), everything(near))
    other = GapFilledEncoder()(rays(far), everything(far))
    torch.testing.assert_close(other.xy, one.xy, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(other.scale, one.scale / times, atol=1e-6, rtol=1e-4)


def test_an_average_person_at_5_metres_has_scale_1_over_5():
    """RMS_DISTANCE is the unit: joints at their average distance from the centre."""
    angle = torch.arange(JOINTS) * 2.4
    xy = RMS_DISTANCE[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    xy[TORSO] = RMS_DISTANCE[TORSO][:, None] * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    xy[TORSO] -= xy[TORSO].mean(0)
    inputs = GapFilledEncoder()(xy.expand(1, 12, JOINTS, 2) / 5, torch.ones(1, 12, JOINTS, dtype=torch.bool))
    torch.testing.assert_close(inputs.scale, torch.full((1, 12, 1, 1), 1 / 5), rtol=0.01, atol=0)


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("degrees", [-30, 10, 30])
def test_the_input_does_not_depend_on_the_position_in_the_image(axis, degrees):
    xyz = person()
    xyz[..., :2] -= xyz[:, :, TORSO, :2].mean(2, keepdim=True)  # so that the camera is rotated about one axis only
    turned = xyz @ torch.from_numpy(Rotation.from_euler(axis, degrees, degrees=True).as_matrix()).float().T
    one = GapFilledEncoder()(rays(xyz), everything(xyz))
    other = GapFilledEncoder()(rays(turned), everything(turned))
    difference = (one.xy - other.xy).norm(dim=-1)
    assert difference.mean() < 0.02  # the projected centre is not exactly the centre of the projections
    assert (rays(turned) - rays(xyz)).norm(dim=-1).mean() > 0.15
    straight = turned @ other.rotation[0].mT  # back from the rotated camera to the camera's own axes
    torch.testing.assert_close(straight, xyz @ one.rotation[0].mT, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("frame", [60, 83])
def test_no_frame_beyond_the_maximum_gap_and_the_smoothing_matters(frame):
    xyz = person(frames=140)
    observed = torch.from_numpy(np.random.default_rng(0).random((1, 140, JOINTS)) < 0.3)
    future = frame + MAX_JOINT_GAP + SCALE_SMOOTHING + 1
    changed = rays(xyz).clone()
    less = observed.clone()
    changed[:, future:] += 0.3
    less[:, future:] = ~less[:, future:]
    one = GapFilledEncoder()(rays(xyz), observed)
    other = GapFilledEncoder()(changed, less)
    channels = [inputs.channels(inputs.xy)[:, : frame + 1] for inputs in (one, other)]
    torch.testing.assert_close(*channels, atol=1e-5, rtol=1e-5)


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_rotation_to_axis_is_the_smallest_one(x, y):
    rotation = rotation_to_axis(torch.tensor([x, y], dtype=torch.float64))
    direction = torch.tensor([x, y, 1], dtype=torch.float64)
    direction = direction / direction.norm()
    torch.testing.assert_close(rotation @ direction, torch.tensor([0, 0, 1], dtype=torch.float64))
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64))
    assert torch.linalg.det(rotation).item() == pytest.approx(1)
    angle = math.acos(max(-1.0, min(1.0, (rotation.trace().item() - 1) / 2)))
    assert angle == pytest.approx(math.acos(direction[2].item()), abs=1e-6)
