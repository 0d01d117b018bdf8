import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mocap_sequences import standing_pose, striding_joints
from occlupose.methods.lifter.features import (
    AHEAD_CHANNELS,
    CHANNELS,
    FAR,
    GUESS_SIGMA,
    HALF_CERTAIN,
    JOINTS,
    MEMORY,
    RMS_DISTANCE,
    SCALE_TIME,
    SEEN_SIGMA,
    TORSO,
    Memory,
    SeenKeypoints,
    View,
    encode,
    encode_frame,
    find_horizon,
    look_ahead,
    rotation_to_axis,
    stack,
)
from occlupose.networks.temporal_transformer import FUTURE, MARGIN
from occlupose.skeletons import BODY22

POINTS = st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
WRIST = BODY22.joints.index("left_wrist")
NO_HEIGHT = torch.tensor([torch.nan])

# channels of a frame, in order
NOW = slice(0, 2 * JOINTS)
SEEN = slice(2 * JOINTS, 3 * JOINTS)
CERTAINTY = slice(3 * JOINTS, 4 * JOINTS)
BEFORE = slice(4 * JOINTS, 6 * JOINTS)
AGES = slice(6 * JOINTS, 8 * JOINTS)
KNOWN = slice(8 * JOINTS, 9 * JOINTS)
LOG_SCALE = 9 * JOINTS
CENTRE = slice(9 * JOINTS + 1, 9 * JOINTS + 3)
LOG_HEIGHT = 9 * JOINTS + 3
HEIGHT_GIVEN = 9 * JOINTS + 4


def at(*names):
    return list(BODY22.index(*names))


def standing(where=(0.0, 0.0, 4.0)):
    """(1, 22, 3) of somebody who stands before the camera, m."""
    return torch.from_numpy(standing_pose() * (1, -1, -1) + (0, 0.9, 0) + where).float()[None]


def striding(frames, where=(0.0, 0.0, 4.0)):
    """(1, frames, 22, 3) of somebody who strides before the camera."""
    joints = striding_joints(frames)[:, : len(BODY22)]
    return torch.from_numpy(joints * (1, -1, -1) + (0, 0.9, 0) + where).float()[None]


def project(xyz):
    return xyz[..., :2] / xyz[..., 2:]


def keypoints(rays, hidden=None, guessed=None, sigma=None):
    """All joints are seen but the hidden ones, of which some are guessed."""
    hidden = torch.zeros(rays.shape[:-1], dtype=torch.bool) if hidden is None else hidden
    guessed = torch.zeros_like(hidden) if guessed is None else guessed
    sigma = torch.full(rays.shape[:-1], torch.nan) if sigma is None else sigma
    return SeenKeypoints(rays, ~hidden, guessed, sigma)


def mask(*names):
    """(1, 22) of these joints."""
    hidden = torch.zeros(1, JOINTS, dtype=torch.bool)
    hidden[:, at(*names)] = True
    return hidden


def seconds(*passed):
    return torch.tensor(passed, dtype=torch.float32)


# -------------------------------------------------------------------------------------------------------------- view


@settings(max_examples=40)
@given(POINTS)
def test_the_rotation_to_the_axis_is_the_smallest_one(point):
    x, y = point
    rotation = rotation_to_axis(torch.tensor(point, dtype=torch.float64))
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).double())
    assert torch.linalg.det(rotation) == pytest.approx(1)
    direction = torch.tensor([x, y, 1.0]).double()
    turned = rotation @ direction
    torch.testing.assert_close(turned, torch.tensor([0, 0, direction.norm().item()]).double(), atol=1e-6, rtol=1e-6)
    angle = Rotation.from_matrix(rotation.numpy()).magnitude()
    assert angle == pytest.approx(math.acos(1 / direction.norm().item()), abs=1e-5)


def test_normalised_joints_are_centred_and_scaled():
    view = View(torch.eye(3), torch.tensor(0.25))
    rays = torch.tensor([[0.5, -0.25], [0.0, 0.0]])
    torch.testing.assert_close(view.normalise(rays), torch.tensor([[2.0, -1.0], [0.0, 0.0]]))
    turned = View(rotation_to_axis(rays[0]), torch.tensor(0.5))
    torch.testing.assert_close(turned.normalise(rays)[0], torch.zeros(2), atol=1e-6, rtol=0)


def test_points_beside_a_turned_camera_stay_finite():
    view = View(rotation_to_axis(torch.tensor([5.0, 0.0])), torch.tensor(1.0))
    assert view.normalise(torch.tensor([[-5.0, 0.0], [-0.2, 0.0]])).isfinite().all()


@settings(max_examples=30)
@given(POINTS)
def test_a_camera_turned_about_its_centre_sees_the_same(point):
    """Up to the roll: one joint of the torso is seen, which is the centre then."""
    rays = project(standing())
    seen = mask("left_shoulder", "left_elbow", "left_wrist", "nose", "left_knee")
    turned = torch.cat([rays, torch.ones_like(rays[..., :1])], 2) @ rotation_to_axis(torch.tensor(point))
    found = []
    for view_of in (rays, project(turned)):
        frame = encode_frame(Memory(1), keypoints(view_of, ~seen), seconds(0), NO_HEIGHT)
        joints = frame.joints[seen]
        found.append((torch.view_as_complex(joints.contiguous()), frame.view.scale))
    (one, scale), (other, turned_scale) = found
    torch.testing.assert_close(scale, turned_scale, rtol=1e-3, atol=0)
    roll = (other * one.conj()).sum() / one.abs().square().sum()
    torch.testing.assert_close(roll.abs(), torch.tensor(1.0), rtol=1e-3, atol=0)
    torch.testing.assert_close(one * roll, other, atol=2e-3, rtol=1e-3)


def test_people_beside_the_axis_look_as_if_they_were_on_it():
    """Where the whole torso is seen: the middle of a torso that is looked at from the side is somewhere else."""
    plain = encode_frame(Memory(1), keypoints(project(standing())), seconds(0), NO_HEIGHT).joints
    turn = torch.from_numpy(Rotation.from_rotvec([0, 0.4, 0]).as_matrix()).float()
    beside = encode_frame(Memory(1), keypoints(project(standing() @ turn.mT)), seconds(0), NO_HEIGHT).joints
    torch.testing.assert_close(plain, beside, atol=0.02, rtol=0)
    untouched = View(torch.eye(3)[None], plain.new_tensor([0.25])).normalise(project(standing() @ turn.mT))
    assert (untouched - untouched.mean(1, keepdim=True) - plain).abs().max() > 0.15


@pytest.mark.parametrize("zoom", [0.2, 0.7, 3.0])
def test_a_zoomed_picture_of_somebody_on_the_axis_has_another_scale_alone(zoom):
    rays = project(standing())
    rays = rays - rays[:, TORSO].mean(1, keepdim=True)
    plain = encode_frame(Memory(1), keypoints(rays), seconds(0), NO_HEIGHT)
    zoomed = encode_frame(Memory(1), keypoints(zoom * rays), seconds(0), NO_HEIGHT)
    torch.testing.assert_close(zoomed.view.scale, zoom * plain.view.scale, rtol=1e-3, atol=0)
    torch.testing.assert_close(zoomed.joints, plain.joints, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("zoom", [0.9, 0.3])
def test_of_those_who_are_far_away_the_network_does_not_know_how_far(zoom):
    rays = project(standing((0.0, 0.0, 10.0)))
    rays = rays - rays[:, TORSO].mean(1, keepdim=True)
    plain = encode_frame(Memory(1), keypoints(rays), seconds(0), NO_HEIGHT)
    zoomed = encode_frame(Memory(1), keypoints(zoom * rays), seconds(0), NO_HEIGHT)
    assert zoomed.view.scale < plain.view.scale < 1 / FAR
    torch.testing.assert_close(zoomed.channels, plain.channels, rtol=1e-3, atol=1e-3)


def test_the_scale_is_about_the_inverse_of_the_distance():
    for distance in (3.0, 6.0, 12.0):
        xyz = standing((0.0, 0.0, distance))
        scale = encode_frame(Memory(1), keypoints(project(xyz)), seconds(0), NO_HEIGHT).view.scale.item()
        assert scale * distance == pytest.approx(1, abs=0.15)


def test_the_scale_is_that_of_the_joints_that_are_known():
    """By the mean square of their usual distances from the centre."""
    rays = torch.zeros(1, JOINTS, 2)
    rays[0, TORSO] = torch.tensor([[0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]])
    hidden = torch.ones(1, JOINTS, dtype=torch.bool)
    hidden[:, TORSO] = False
    scale = encode_frame(Memory(1), keypoints(rays, hidden), seconds(0), NO_HEIGHT).view.scale
    expected = 0.1 / RMS_DISTANCE[TORSO].square().mean().sqrt()
    torch.testing.assert_close(scale[0], expected, rtol=1e-3, atol=0)


# ------------------------------------------------------------------------------------------------------------ memory


def test_a_hidden_joint_moves_with_those_that_are_seen():
    rays = project(standing())
    memory = Memory(1)
    memory.update(keypoints(rays), seconds(0))
    step = torch.tensor([0.03, -0.02])
    wrong = rays + step
    wrong[:, WRIST] = 7.0
    memory.update(keypoints(wrong, mask("left_wrist")), seconds(0.1))
    torch.testing.assert_close(memory.rays, rays + step)
    assert memory.age[0, WRIST] == pytest.approx(0.1)
    assert memory.age.sum() == pytest.approx(0.1)
    memory.update(keypoints(rays, torch.ones(1, JOINTS, dtype=torch.bool)), seconds(0.2))  # nothing is seen
    torch.testing.assert_close(memory.rays, rays + step)
    assert memory.age[0, WRIST] == pytest.approx(0.3)
    memory.update(keypoints(rays), seconds(0.1))
    torch.testing.assert_close(memory.rays, rays)
    assert (memory.age == 0).all()


def test_joints_that_appear_do_not_move_the_others():
    rays = project(standing())
    memory = Memory(1)
    memory.update(keypoints(rays, mask("left_ankle", "left_wrist")), seconds(0))
    memory.update(keypoints(rays, mask("left_wrist")), seconds(0.1))
    memory.update(keypoints(rays, mask("left_elbow")), seconds(0.1))
    torch.testing.assert_close(memory.rays, rays)


def test_a_joint_that_was_never_seen_is_known_by_a_guess():
    rays = project(standing())
    guess = rays.clone()
    guess[:, WRIST] += 0.3
    memory = Memory(1)
    hidden = mask("left_wrist")
    memory.update(keypoints(rays, hidden), seconds(0))
    assert not memory.known[0, WRIST]
    memory.update(keypoints(guess, hidden, hidden), seconds(0.1))
    assert memory.known.all()
    torch.testing.assert_close(memory.rays[:, WRIST], guess[:, WRIST])
    assert memory.age[0, WRIST] > 100
    memory.update(keypoints(rays, hidden, hidden), seconds(0.1))  # another guess: the first one stays
    torch.testing.assert_close(memory.rays[:, WRIST], guess[:, WRIST])
    memory.update(keypoints(rays), seconds(0.1))
    torch.testing.assert_close(memory.rays[:, WRIST], rays[:, WRIST])


def test_a_guess_does_not_replace_what_was_seen():
    rays = project(standing())
    memory = Memory(1)
    memory.update(keypoints(rays), seconds(0))
    hidden = mask("left_wrist")
    memory.update(keypoints(rays + 0.5 * hidden[..., None], hidden, hidden), seconds(0.1))
    torch.testing.assert_close(memory.rays, rays)


def test_the_scale_is_smoothed_over_time():
    small = project(standing())
    memory = Memory(1)
    before = memory.update(keypoints(small), seconds(0)).scale
    after = Memory(1).update(keypoints(2 * small), seconds(0)).scale
    found = memory.update(keypoints(2 * small), seconds(SCALE_TIME)).scale
    share = 1 - math.exp(-1)
    torch.testing.assert_close(found.log(), torch.lerp(before.log(), after.log(), share))
    for _ in range(20):
        found = memory.update(keypoints(2 * small), seconds(SCALE_TIME)).scale
    torch.testing.assert_close(found, after)


@pytest.mark.parametrize("rate", [10, 30])
def test_the_scale_is_smoothed_alike_at_any_rate(rate):
    small = project(standing())
    memory = Memory(1)
    memory.update(keypoints(small), seconds(0))
    before = memory.scale.clone()
    for _ in range(rate):
        found = memory.update(keypoints(2 * small), seconds(1 / rate)).scale
    after = Memory(1).update(keypoints(2 * small), seconds(0)).scale
    share = ((found / before).log() / (after / before).log()).item()
    assert share == pytest.approx(1 - math.exp(-1 / SCALE_TIME), abs=1e-3)


def test_nobody_who_was_never_seen_has_a_scale():
    memory = Memory(2)
    rays = project(standing()).expand(2, -1, -1)
    nothing = torch.ones(2, JOINTS, dtype=torch.bool)
    frame = encode_frame(memory, keypoints(rays, nothing), seconds(0, 0), NO_HEIGHT.expand(2))
    assert frame.channels.isfinite().all()
    assert (frame.view.scale == 1).all()
    assert (frame.channels[:, : 9 * JOINTS] == 0).all()
    first = memory.update(keypoints(rays), seconds(0.1, 0.1)).scale  # not smoothed: it is the first one
    torch.testing.assert_close(first, Memory(2).update(keypoints(rays), seconds(0, 0)).scale)


def test_the_centre_is_that_of_the_torso_or_of_all_where_it_is_unknown():
    rays = project(standing())
    memory = Memory(1)
    memory.update(keypoints(rays), seconds(0))
    torch.testing.assert_close(memory.centre, rays[:, TORSO].mean(1))
    head = Memory(1)
    head.update(keypoints(rays, ~mask("nose", "left_eye")), seconds(0))
    torch.testing.assert_close(head.centre, rays[:, at("nose", "left_eye")].mean(1))


def test_people_are_forgotten_taken_up_and_exchanged():
    memory = Memory(3)
    rays = torch.stack([project(standing((x, 0.0, 4.0)))[0] for x in (-1.0, 0.0, 1.0)])
    memory.update(keypoints(rays), seconds(0, 0, 0))
    before = {name: value.clone() for name, value in vars(memory).items()}
    memory.reorder(torch.tensor([2, -1, 0]))
    fresh = vars(Memory(1))
    for name, value in vars(memory).items():
        torch.testing.assert_close(value[[0, 2]], before[name][[2, 0]])
        torch.testing.assert_close(value[1:2], fresh[name])
    memory.reorder(torch.zeros(0, dtype=torch.long))
    assert len(memory.rays) == 0
    memory.reorder(torch.tensor([-1]))
    torch.testing.assert_close(vars(memory), fresh)


# ---------------------------------------------------------------------------------------------------------- channels


def test_what_the_channels_are():
    rays = project(standing((0.3, 0.1, 4.0)))
    memory = Memory(1)
    encode_frame(memory, keypoints(rays, mask("left_ankle")), seconds(0), torch.tensor([1.87]))
    hidden = mask("left_wrist", "right_wrist", "left_ankle")
    guess = mask("right_wrist")
    sigma = torch.full((1, JOINTS), torch.nan)
    sigma[0, 0] = HALF_CERTAIN * memory.scale[0]
    frame = encode_frame(memory, keypoints(rays, hidden, guess, sigma), seconds(0.3), torch.tensor([1.87]))
    channels = frame.channels[0]
    assert channels.shape == (CHANNELS,)
    here = ~hidden[0] | guess[0]
    torch.testing.assert_close(channels[SEEN].bool(), ~hidden[0])
    torch.testing.assert_close(channels[NOW].view(-1, 2)[here], frame.view.normalise(rays)[0, here])
    assert (channels[NOW].view(-1, 2)[~here] == 0).all()
    known = torch.ones(JOINTS, dtype=torch.bool)
    known[at("left_ankle")] = False
    torch.testing.assert_close(channels[KNOWN].bool(), known)
    torch.testing.assert_close(channels[BEFORE].view(-1, 2)[known], frame.view.normalise(rays)[0, known])
    certainty = channels[CERTAINTY]
    assert certainty[0] == pytest.approx(0.5, abs=1e-3)
    assert certainty[1] == pytest.approx(1 / (1 + SEEN_SIGMA / HALF_CERTAIN))
    assert certainty[at("right_wrist")].item() == pytest.approx(1 / (1 + GUESS_SIGMA / HALF_CERTAIN))
    assert (certainty[~here] == 0).all()
    age = channels[AGES].view(2, JOINTS)
    for row, length in enumerate(MEMORY):
        assert age[row, WRIST] == pytest.approx(math.exp(-0.3 / length))
    assert (age[:, at("left_ankle")] == 0).all()
    assert (age[:, 0] == 1).all()
    torch.testing.assert_close(channels[LOG_SCALE], memory.scale.log()[0])
    torch.testing.assert_close(channels[CENTRE], memory.centre[0])
    assert channels[LOG_HEIGHT] == pytest.approx(math.log(1.87 / 1.7))
    assert channels[HEIGHT_GIVEN] == 1
    unknown = encode_frame(Memory(1), keypoints(rays), seconds(0), NO_HEIGHT).channels[0]
    assert unknown[LOG_HEIGHT] == unknown[HEIGHT_GIVEN] == 0


def random_record(frames=12, people=3, seed=0):
    """People of whom much is hidden, and some guessed; their times."""
    generator = torch.Generator().manual_seed(seed)
    xyz = torch.cat([striding(frames, (x, 0.0, 3.0 + x)) for x in range(people)])
    rays = project(xyz) + 0.01 * torch.randn(people, frames, JOINTS, 2, generator=generator)
    hidden = torch.rand(people, frames, JOINTS, generator=generator) < 0.4
    hidden[0, 3:6] = True
    hidden[1, :4] = True
    guessed = hidden & (torch.rand(hidden.shape, generator=generator) < 0.3)
    guessed[1, :2] = False
    sigma = 0.01 * torch.rand(hidden.shape, generator=generator)
    sigma[0] = torch.nan
    time = torch.rand(people, frames, generator=generator).double().cumsum(1) / 15
    return keypoints(rays, hidden, guessed, sigma), time


def test_whole_sequences_are_encoded_as_frame_by_frame():
    record, time = random_record()
    height = torch.tensor([1.6, torch.nan, 1.9])
    whole = encode(record, time, height)
    assert whole.channels.shape == (3, 12, CHANNELS)
    for person in range(3):
        memory = Memory(1)
        frames = []
        for frame in range(12):
            passed = time[person, frame] - time[person, max(frame - 1, 0)]
            frames.append(
                encode_frame(memory, record[person : person + 1, frame], passed[None].float(), height[[person]])
            )
        one = stack(frames)
        for name in ("channels", "joints", "seen", "age"):
            torch.testing.assert_close(getattr(one, name)[0], getattr(whole, name)[person])
        torch.testing.assert_close(vars(one.view[0]), vars(whole.view[person]))


def test_frames_of_other_people():
    record, _ = random_record()
    frame = encode_frame(Memory(3), record[:, 0], seconds(0, 0, 0), NO_HEIGHT.expand(3))
    other = frame.reorder(torch.tensor([2, -1, 1, 0]))
    for name in ("channels", "joints", "seen", "age"):
        torch.testing.assert_close(getattr(other, name)[[0, 2, 3]], getattr(frame, name)[[2, 1, 0]])
    torch.testing.assert_close(vars(other.view[[0, 2, 3]]), vars(frame.view[[2, 1, 0]]))
    nobody = frame.reorder(torch.zeros(0, dtype=torch.long))
    assert nobody.channels.shape == (0, CHANNELS)
    new = nobody.reorder(torch.tensor([-1, -1]))
    assert new.channels.shape == (2, CHANNELS)
    assert new.view.rotation.shape == (2, 3, 3)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_what_is_not_told_does_not_count(seed):
    """Neither where hidden joints are, nor how certain they are."""
    record, time = random_record(seed=seed)
    told = record.seen | record.guessed
    other = SeenKeypoints(
        torch.where(told[..., None], record.rays, torch.nan),
        record.seen,
        record.guessed,
        torch.where(told, record.sigma, 99.0),
    )
    found = []
    for one in (record, other):
        frames = encode(one, time, NO_HEIGHT.expand(3))
        ahead, joints = look_ahead(frames, time, find_horizon(time, torch.full((3,), 0.5).double()))
        found.append((frames.channels, ahead, joints))
    assert all(part.isfinite().all() for part in found[0])
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_frames_do_not_depend_on_later_ones():
    record, time = random_record()
    whole = encode(record, time, NO_HEIGHT.expand(3))
    cut = encode(record[:, :7], time[:, :7], NO_HEIGHT.expand(3))
    torch.testing.assert_close(whole.channels[:, :7], cut.channels, rtol=0, atol=0)


# ------------------------------------------------------------------------------------------------------------- ahead


def test_the_horizon_is_the_last_frame_within_the_delay():
    time = torch.tensor([[0.0, 0.1, 0.25, 1.0, 1.7], [5.0, 5.3, 5.6, 5.9, 6.2]]).double()
    found = find_horizon(time, torch.tensor([0.15, 0.3]).double())
    expected = torch.tensor([[0.1, 0.25, 0.25, 1.0, 1.7], [5.3, 5.6, 5.9, 6.2, 6.2]]).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(find_horizon(time, torch.zeros(2).double()), time, rtol=0, atol=0)
    longest = find_horizon(time, torch.tensor([torch.inf, FUTURE]).double())
    expected = torch.tensor([[1.0, 1.0, 1.7, 1.7, 1.7], [6.2, 6.2, 6.2, 6.2, 6.2]]).double()
    torch.testing.assert_close(longest, expected, rtol=0, atol=0)


@pytest.mark.parametrize("fps", [10, 24, 29.97, 30, 50, 60])
def test_rounded_times_do_not_cut_the_last_frame_off(fps):
    time = (torch.arange(200).double() / fps)[None]
    count = 6
    found = find_horizon(time, torch.tensor([count / fps]).double())
    torch.testing.assert_close(found[:, :-count], time[:, count:], rtol=0, atol=0)


def ahead_of(record, time, horizon):
    frames = encode(record, time, NO_HEIGHT.expand(len(time)))
    return frames, *look_ahead(frames, time, horizon)


def still_but_for_the_wrist(frames=8, hidden=slice(2, 5)):
    """Somebody who stands still, whose left wrist moves, and is hidden in some frames; at 10 frames/s."""
    rays = project(standing()).expand(frames, -1, -1).clone()
    rays[:, WRIST, 0] += 0.02 * torch.arange(frames)
    gone = torch.zeros(1, frames, JOINTS, dtype=torch.bool)
    gone[:, hidden, WRIST] = True
    return keypoints(rays[None], gone), (torch.arange(frames).double() / 10)[None]


def test_a_hidden_joint_is_between_where_it_was_and_will_be_seen():
    record, time = still_but_for_the_wrist()
    frames, ahead, joints = ahead_of(record, time, torch.full_like(time, 0.7))
    assert ahead.shape == (1, 8, AHEAD_CHANNELS)
    torch.testing.assert_close(ahead[..., : 2 * JOINTS].unflatten(2, (JOINTS, 2)), joints)
    last = frames.joints[0, 1, WRIST]
    following = frames.joints[0, 5, WRIST]
    for frame, share in ((2, 0.25), (3, 0.5), (4, 0.75)):
        # but for the person's scale, which a hidden joint changes a little
        torch.testing.assert_close(joints[0, frame, WRIST], torch.lerp(last, following, share), atol=0.01, rtol=0)
    assert (last - following).norm() > 0.2
    seen = record.seen[0]
    torch.testing.assert_close(joints[0, seen], frames.joints[0, seen])
    waits = ahead[0, :, 2 * JOINTS : 4 * JOINTS].unflatten(1, (2, JOINTS))
    for frame, wait in ((0, 0.0), (2, 0.3), (3, 0.2), (4, 0.1), (5, 0.0)):
        for row, length in enumerate(MEMORY):
            assert waits[frame, row, WRIST] == pytest.approx(math.exp(-wait / length), rel=1e-4)
    torch.testing.assert_close(ahead[0, :, -1], (0.7 - time[0]).float())


def test_nothing_beyond_the_horizon_is_told():
    record, time = still_but_for_the_wrist()
    frames, ahead, joints = ahead_of(record, time, time + 0.2)
    torch.testing.assert_close(joints[0, 2, WRIST], frames.joints[0, 2, WRIST])
    assert (joints[0, 3, WRIST] - frames.joints[0, 3, WRIST]).norm() > 0.05
    waits = ahead[0, :, 2 * JOINTS : 4 * JOINTS].unflatten(1, (2, JOINTS))
    assert (waits[2, :, WRIST] == 0).all()
    assert (waits[3, :, WRIST] > 0.1).all()


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.4])
def test_what_lies_ahead_is_that_of_the_record_cut_at_the_horizon(delay):
    record, time = random_record(frames=20)
    horizon = find_horizon(time, torch.full((3,), delay).double())
    _, ahead, joints = ahead_of(record, time, horizon)
    for person in range(3):
        for frame in range(0, 20, 4):
            stop = int((time[person] <= time[person, frame] + delay + MARGIN).sum())
            own = slice(person, person + 1)
            cut = time[own, :stop]
            _, ahead_cut, joints_cut = ahead_of(record[own, :stop], cut, cut[:, -1:].expand(1, frame + 1))
            torch.testing.assert_close(ahead[person, frame], ahead_cut[0, frame])
            torch.testing.assert_close(joints[person, frame], joints_cut[0, frame])


def test_a_joint_seen_only_later_is_where_it_will_be_seen():
    record, time = still_but_for_the_wrist(hidden=slice(0, 4))
    frames, _, joints = ahead_of(record, time, torch.full_like(time, 0.7))
    for frame in range(4):
        torch.testing.assert_close(joints[0, frame, WRIST], frames.joints[0, 4, WRIST], atol=1e-3, rtol=0)


def test_a_joint_that_is_never_seen_again_stays():
    record, time = still_but_for_the_wrist(hidden=slice(4, 8))
    frames, _, joints = ahead_of(record, time, torch.full_like(time, 0.7))
    torch.testing.assert_close(joints, frames.joints)


def test_the_first_frames_alone():
    record, time = random_record()
    horizon = find_horizon(time, torch.full((3,), 0.3).double())
    frames = encode(record, time, NO_HEIGHT.expand(3))
    whole = look_ahead(frames, time, horizon)
    first = look_ahead(frames, time, horizon[:, :5])
    torch.testing.assert_close([part[:, :5] for part in whole], list(first))


def test_usual_distances_are_symmetric():
    assert torch.equal(RMS_DISTANCE, RMS_DISTANCE[list(BODY22.mirror)])
    assert np.isclose(RMS_DISTANCE[at("left_ankle")].item(), 1.0)
