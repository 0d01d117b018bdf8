from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mocap_sequences import striding_joints
from occlupose.body_height import measure_height
from occlupose.errors import OccluposeError
from occlupose.methods.lifter import samples
from occlupose.methods.lifter.augmentation import BodyAugmentation
from occlupose.methods.lifter.features import AHEAD_CHANNELS, CHANNELS, JOINTS
from occlupose.methods.lifter.motions import FPS, LentMotion
from occlupose.methods.lifter.samples import SHARES, LifterSamples, SequenceSettings, interpolate_cubic
from occlupose.networks.temporal_transformer import FUTURE, MARGIN
from occlupose.skeletons import BODY22, BODY22_TO_H36M17, COCO17, H36M17
from occlupose.synth.noise import NoiseModel

NOISES = [NoiseModel.load()]
IN_COCO = torch.tensor([name in COCO17.joints for name in BODY22.joints])
IN_H36M = torch.tensor([name in H36M17.joints for name in BODY22.joints])
SEEN = slice(2 * JOINTS, 3 * JOINTS)
"""Channels of a frame that tell which joints are seen."""

STILL = BodyAugmentation(
    bone_scale=0,
    mirror_probability=0,
    arm_exchange_probability=0,
    bend_probability=0,
    tumble_probability=0,
    still_probability=0,
    wrong_focal_probability=0,
    speed=(1.0, 1.0),
)
CLEAR = SequenceSettings(
    frames=8,
    complete_probability=0,
    self_occlusion_probability=0,
    object_probability=0,
    other_probability=0,
    border_probability=0,
    noise_probability=0,
    sigma_probability=0,
    h36m_probability=0,
    height_probability=0,
    augmentation=STILL,
)
"""Nothing but the masks hides joints."""


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def motion(kind="walking", *, frames=40, bodies=2, held_out=False, size=1.0, name="clip"):
    """A stride; each body is larger than the one before."""
    joints = striding_joints(frames)[:, : len(BODY22)] * size
    return LentMotion(
        name, "01", kind, held_out, np.stack([joints * (1 + 0.1 * n) for n in range(bodies)]).astype("f4")
    )


def sampler(plan=CLEAR, batch=6, motions=None):
    return LifterSamples(motions or [motion(kind) for kind in SHARES], NOISES, plan, batch)


def tensors(batch):
    """All of a batch by name."""
    parts = {**vars(batch), **vars(batch.frames), **vars(batch.frames.view)}
    return {name: value for name, value in parts.items() if isinstance(value, torch.Tensor)}


# ------------------------------------------------------------------------------------------------------------- batch


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_batches_are_finite_and_consistent(seed):
    batch = sampler(SequenceSettings(frames=12), 8)(rng(seed))
    for name, value in tensors(batch).items():
        assert value.isfinite().all(), name
    assert batch.frames.channels.shape == (8, 12, CHANNELS)
    assert batch.ahead.shape == (8, 12, AHEAD_CHANNELS)
    assert batch.joints.shape == (8, 12, JOINTS, 2)
    assert batch.xyz.shape == (8, 12, 17, 3)
    assert batch.root.shape == (8, 12, 3)
    assert batch.missing.shape == (8, 12, 17)
    assert batch.time.dtype == batch.horizon.dtype == torch.float64
    assert (batch.xyz[:, :, 0] == 0).all()
    assert (batch.root[..., 2] > 0).all()
    step = batch.time.diff(dim=1)
    assert (step >= 1 / 60 - 1e-9).all() and (step <= 1 / 8 + 1e-9).all()
    assert (batch.horizon >= batch.time).all()
    assert (batch.horizon <= batch.time + FUTURE + MARGIN).all()
    torch.testing.assert_close(batch.known, batch.frames.seen.any(2).cummax(1).values)
    # a joint is missing only if the 2D skeleton has it
    seen = batch.frames.seen[..., BODY22_TO_H36M17]
    assert not (batch.missing & seen).any()


def test_the_same_generator_gives_the_same_batch():
    draw = sampler(SequenceSettings(frames=6))
    one = tensors(draw(rng(5)))
    same = tensors(draw(rng(5)))
    other = tensors(draw(rng(6)))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["channels"], other["channels"])


def test_the_2d_joints_are_those_of_the_truth():
    batch = sampler(replace(CLEAR, aware=False))(rng())
    truth = batch.xyz + batch.root[:, :, None]
    rays = truth[..., :2] / truth[..., 2:]
    expected = batch.frames.view.normalise(rays)
    shared = [number for number, joint in enumerate(BODY22_TO_H36M17) if IN_COCO[joint]]
    found = batch.frames.joints[..., BODY22_TO_H36M17, :]
    torch.testing.assert_close(found[:, :, shared], expected[:, :, shared], atol=1e-4, rtol=1e-4)
    assert len(shared) == 12


def test_joints_of_the_2d_skeleton():
    coco = sampler(replace(CLEAR, aware=False))(rng()).frames.seen
    torch.testing.assert_close(coco, IN_COCO.expand_as(coco))
    h36m = sampler(replace(CLEAR, aware=False, h36m_probability=1.0))(rng()).frames.seen
    torch.testing.assert_close(h36m, IN_H36M.expand_as(h36m))
    both = sampler(replace(CLEAR, aware=False, h36m_probability=0.3), 300)(rng()).frames.seen
    assert both[:, 0, IN_H36M].all(1).float().mean() == pytest.approx(0.3, abs=0.08)


def test_the_baseline_hides_nothing():
    batch = sampler(SequenceSettings(frames=6, aware=False), 60)(rng())
    seen = batch.frames.seen
    assert (seen[:, :, IN_COCO].all(2) | seen[:, :, IN_H36M].all(2)).all()
    assert not batch.missing.any()
    assert sampler(SequenceSettings(frames=6), 60)(rng()).missing.any()


@pytest.mark.parametrize(
    ("delays", "expected"),
    [((1.0, 0.0), {0.0}), ((0.0, 0.0), {FUTURE}), ((0.0, 1.0), None), ((0.5, 0.0), {0.0, FUTURE})],
    ids=["none", "longest", "random", "both"],
)
def test_look_ahead(delays, expected):
    batch = sampler(replace(CLEAR, frames=32, rate=(10.0, 10.0), delays=delays), 20)(rng())
    first = {round(value, 3) for value in (batch.horizon - batch.time)[:, 0].tolist()}
    assert first == expected if expected else len(first) > 5
    torch.testing.assert_close(batch.horizon[:, -1], batch.time[:, -1])


def test_heights_that_are_given_are_those_of_the_bodies():
    batch = sampler(replace(CLEAR, height_probability=0.5), 40)(rng())
    told = batch.frames.channels[..., -2:]
    given = told[:, 0, 1] == 1
    assert 8 < given.sum() < 32
    height = measure_height(batch.xyz.numpy())
    np.testing.assert_allclose(1.7 * told[given, 0, 0].exp(), height[given], rtol=1e-3)
    assert (told[~given] == 0).all()
    assert (told == told[:, :1]).all()


# ------------------------------------------------------------------------------------------------------------ motion


def sizes(batch):
    """Length of the left thigh, m: 0.42 times the size of the body."""
    hip, knee = H36M17.index("left_hip", "left_knee")
    return (batch.xyz[:, 0, hip] - batch.xyz[:, 0, knee]).norm(dim=-1) / 0.42


def test_kinds_of_motion_have_their_shares_whatever_their_length():
    motions = [motion(kind, frames=20 + 15 * number, size=1 + number, bodies=1) for number, kind in enumerate(SHARES)]
    found = sizes(sampler(replace(CLEAR, frames=2, aware=False), 2000, motions)(rng())).round()
    for number, share in enumerate(SHARES.values()):
        assert (found == 1 + number).float().mean() == pytest.approx(share, abs=0.035)
    assert sum(SHARES.values()) == pytest.approx(1)


def test_clips_of_a_kind_have_shares_by_their_lengths():
    motions = [motion(frames=20, bodies=1), motion(frames=60, size=2, bodies=1)]
    found = sizes(sampler(replace(CLEAR, frames=2, aware=False), 1000, motions)(rng())).round()
    assert (found == 2).float().mean() == pytest.approx(0.75, abs=0.05)


def test_half_of_the_people_have_the_captured_body():
    found = sizes(sampler(replace(CLEAR, frames=2, aware=False), 1000, [motion(bodies=4)])(rng()))
    for body, share in ((1.0, 1 / 2), (1.1, 1 / 6), (1.2, 1 / 6), (1.3, 1 / 6)):
        assert (found - body).abs().lt(0.02).float().mean() == pytest.approx(share, abs=0.06)
    alone = sizes(sampler(replace(CLEAR, frames=2, aware=False), 50, [motion(bodies=1)])(rng()))
    torch.testing.assert_close(alone, torch.ones(50), atol=1e-3, rtol=0)


def test_held_out_and_other_motions_are_not_learnt_from():
    used = motion(bodies=1)
    motions = [used, motion(held_out=True, size=3), motion("fight", size=3)]
    assert (sizes(sampler(motions=motions, batch=100)(rng())) < 1.5).all()
    with pytest.raises(OccluposeError, match="no motion to train on"):
        sampler(motions=motions[1:])


def numbered(frames=30, clips=2):
    """Clips in which all joints of frame n are at (n, 100 clip + body, 0)."""
    found = []
    for clip in range(clips):
        joints = np.zeros((2, frames, JOINTS, 3), np.float32)
        joints[..., 0] = np.arange(frames)[None, :, None]
        joints[..., 1] = 100 * clip + np.arange(2)[:, None, None]
        found.append(LentMotion("clip", "01", "walking", False, joints))
    return found


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(8, 60))
def test_motions_are_played_at_the_rate_and_speed(seed, rate):
    plan = replace(CLEAR, frames=6, augmentation=replace(STILL, speed=(0.5, 1.2), still_probability=0.3))
    drawn = sampler(plan, 12, numbered(60))._draw(rate, rng(seed))[0][:, 0]
    assert (drawn[..., 1] == drawn[:, :1, :1, 1]).all()  # one clip and body
    assert set(drawn[..., 1].flatten().tolist()) <= {0.0, 1.0, 100.0, 101.0}
    x = drawn[:, :, 0, 0]
    assert (x >= 0).all() and (x <= 59).all()
    inside = (x[:, 0] >= 1) & (x[:, -1] <= 58)  # where the spline has all four points
    step = x.diff(dim=1)
    torch.testing.assert_close(step[inside], step[inside][:, :1].expand(-1, 5), atol=1e-3, rtol=0)
    speed = step[inside][:, 0] * rate / FPS
    assert ((speed.abs() < 1e-3) | ((speed > 0.499) & (speed < 1.201))).all()


def test_a_clip_that_is_too_short_ends_with_its_last_frame():
    plan = replace(CLEAR, frames=20)
    x = sampler(plan, 4, numbered(5))._draw(15.0, rng())[0][:, 0, :, 0, 0]
    torch.testing.assert_close(x[:, :3], torch.tensor([[0.0, 2.0, 4.0]]).expand(4, 3))
    assert (x[:, 3:] == 4).all()


def test_interpolation_goes_through_its_points_and_along_parabolas():
    times = torch.tensor([-1.0, 0.0, 1.0, 2.0])
    points = list(torch.randn(4, 5, 22, 3, generator=rng()))
    for share, place in ((0.0, 1), (1.0, 2)):
        found = interpolate_cubic(points, torch.full((5, 1, 1), share))
        torch.testing.assert_close(found, points[place])
    a, b, c = torch.randn(3, 22, 3, generator=rng(1))
    share = torch.linspace(0, 1, 7).view(7, 1, 1)
    parabola = [(a + b * time + c * time**2).expand(7, -1, -1) for time in times]
    torch.testing.assert_close(interpolate_cubic(parabola, share), a + b * share + c * share**2)


# ------------------------------------------------------------------------------------------------------------ hiding


def see(xyz, plan, seed=0, others=None):
    others = torch.full_like(xyz, torch.nan) if others is None else others
    return sampler(plan, len(xyz))._see(xyz, others, rng(seed))


def people(batch=40, frames=8, seed=0):
    """(batch, frames, 22, 3) before their cameras, m."""
    draw = sampler(replace(CLEAR, frames=frames), batch)
    generator = rng(seed)
    return samples.to_random_camera(draw._draw(30.0, generator)[0][:, 0], STILL, generator)


def test_where_a_hidden_joint_is_is_not_told():
    plan = replace(CLEAR, delays=(0.3, 0.5))
    xyz = people()
    keypoints, in_skeleton = see(xyz, plan)
    hidden = in_skeleton & ~keypoints.seen
    assert hidden.float().mean() > 0.05
    assert not keypoints.guessed.any()
    moved = xyz + 0.3 * hidden[..., None] * torch.tensor([1.0, -1.0, 0.5])
    other, _ = see(moved, plan)
    torch.testing.assert_close(other.seen, keypoints.seen)
    assert (other.rays - keypoints.rays)[hidden].abs().amin() > 1e-3
    time = (torch.arange(8).double() / 30).expand(40, -1)
    height = torch.full((40,), torch.nan)
    found = []
    for one in (keypoints, other):
        frames = samples.encode(one, time, height)
        found.append((frames.channels, *samples.look_ahead(frames, time, time + 0.2)))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_some_sequences_are_complete():
    plan = replace(CLEAR, complete_probability=0.5, self_occlusion_probability=1.0, object_probability=1.0)
    keypoints, in_skeleton = see(people(200), plan)
    complete = (keypoints.seen == in_skeleton).all(2).all(1)
    assert complete.float().mean() == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("cause", ["self_occlusion_probability", "object_probability", "border_probability"])
def test_joints_are_hidden_by_what_is_asked_for(monkeypatch, cause):
    monkeypatch.setattr(samples, "mask_kinds", lambda longest: [(1.0, samples.gaps.no_mask)])
    xyz = people(60)
    keypoints, in_skeleton = see(xyz, CLEAR)
    assert (keypoints.seen == in_skeleton).all()
    keypoints, in_skeleton = see(xyz, replace(CLEAR, **{cause: 1.0}))
    hidden = in_skeleton & ~keypoints.seen
    assert 0.03 < hidden.float().mean() < 0.6


def test_somebody_else_hides_who_is_behind(monkeypatch):
    monkeypatch.setattr(samples, "mask_kinds", lambda longest: [(1.0, samples.gaps.no_mask)])
    xyz = people(60)
    for factor, share in ((0.7, 0.7), (1.4, 0.0)):  # the same silhouette, before and behind
        keypoints, in_skeleton = see(xyz, CLEAR, others=factor * xyz)
        hidden = in_skeleton & ~keypoints.seen
        assert (hidden.float().mean() / in_skeleton.float().mean() >= share) if share else not hidden.any()


def dancers():
    """60 and 61, half a metre apart, and somebody alone."""
    together = [replace(motion("dance", name=f"{who}_01", bodies=2), subject=who) for who in ("60", "61")]
    together[1] = replace(together[1], joints=together[1].joints + np.float32([0.5, 0, 0]))
    return [*together, motion(name="60_01")]


def test_who_dances_together_is_together_in_one_world():
    motions = dancers()
    assert samples.find_partners(motions) == [1, 0, -1]
    shorter = replace(motions[1], joints=motions[1].joints[:, :30])
    assert samples.find_partners([motions[0], shorter]) == [-1, -1]
    draw = sampler(replace(CLEAR, frames=3), 400, motions)
    drawn, together = draw._draw(30.0, rng())
    # two thirds of the samples are of dances, half of them on the captured body
    weight = SHARES["dance"] / (SHARES["dance"] + SHARES["walking"])
    assert together.float().mean() == pytest.approx(weight / 2, abs=0.07)
    apart = (drawn[together, 1] - drawn[together, 0])[:, 0].mean(1)
    torch.testing.assert_close(apart.abs(), torch.tensor([0.5, 0.0, 0.0]).expand_as(apart), atol=1e-4, rtol=0)


def test_somebody_else_stands_beside_on_the_same_floor():
    bodies = sampler(replace(CLEAR, frames=6), 50)._draw(30.0, rng())[0][:, 0]
    others = samples.put_beside(bodies.roll(1, 0) + 3.0, bodies, rng(1))
    torch.testing.assert_close(others[..., 1].amin((1, 2)), bodies[..., 1].amin((1, 2)))
    away = (others - bodies).mean((1, 2))[:, [0, 2]].norm(dim=-1)
    low, high = samples.APART
    assert (away >= low - 1e-4).all() and (away <= high + 1e-4).all() and away.std() > 0.2
    moved = others.diff(dim=1) - bodies.roll(1, 0).diff(dim=1)
    assert moved.abs().max() < 1e-4


def test_in_batches_people_hide_each_other():
    plan = replace(CLEAR, frames=6, delays=(0, 0))
    alone = sampler(plan, 200)(rng())
    beside = sampler(replace(plan, other_probability=1.0), 200)(rng())
    assert beside.missing.float().mean() > alone.missing.float().mean() + 0.01
    assert all(value.isfinite().all() for value in tensors(beside).values())
    dance = sampler(plan, 200, dancers()[:2])(rng())
    assert all(value.isfinite().all() for value in tensors(dance).values())


def test_gaps_are_as_long_as_is_asked_for():
    hidden = []
    for longest in (1, 2, 8, 32, 48):
        kinds = samples.mask_kinds(longest)
        assert sum(probability for probability, _ in kinds) == pytest.approx(1)
        missing = {getattr(kind, "func", kind): ~kind((400, 120, len(BODY22)), rng()) for _, kind in kinds}
        away = missing[samples.gaps.person_gap].all(2).sum(1)
        assert away.max() == max(1, longest * 3 // 4)
        hidden.append(float(missing[samples.gaps.random_segments].float().mean()))
    assert hidden == sorted(hidden) and hidden[-1] > 3 * hidden[2]


def test_the_border_cuts_people_straight(monkeypatch):
    monkeypatch.setattr(samples, "mask_kinds", lambda longest: [(1.0, samples.gaps.no_mask)])
    xyz = people(60)
    rays = xyz[..., :2] / xyz[..., 2:]
    inside = sampler(replace(CLEAR, border_probability=1.0), 60)._inside(rays, rng())
    assert 0.1 < (~inside).any(2).any(1).float().mean() <= 1
    for person in range(60):
        shown = rays[person][inside[person]]
        hidden = rays[person][~inside[person]]
        if len(shown):  # a rectangle that has nobody outside of it
            box = ((hidden >= shown.amin(0)) & (hidden <= shown.amax(0))).all(1)
            assert not box.any()


def test_things_hide_a_rectangle():
    xyz = people(80)
    rays = xyz[..., :2] / xyz[..., 2:]
    there = torch.arange(80) % 2 == 0
    behind = samples._behind_things(rays, there, rng())
    assert not behind[~there].any()
    assert 0.3 < behind[there].any(2).any(1).float().mean() <= 1
    for person in range(80):
        for frame in range(8):
            hidden = rays[person, frame, behind[person, frame]]
            seen = rays[person, frame, ~behind[person, frame]]
            if len(hidden):
                assert not ((seen >= hidden.amin(0)) & (seen <= hidden.amax(0))).all(1).any()
    assert (behind[there].any(2).sum(1) < 8).any()  # some pass by


# ------------------------------------------------------------------------------------------------------------- noise


def test_without_noise_joints_are_exact():
    xyz = people()
    keypoints, _ = see(xyz, CLEAR)
    torch.testing.assert_close(keypoints.rays, xyz[..., :2] / xyz[..., 2:])
    assert keypoints.sigma.isnan().all()


def test_noise_moves_joints_and_hides_some():
    xyz = people(100)
    plan = replace(CLEAR, noise_probability=1.0, guess_probability=0, sigma_probability=1.0)
    keypoints, in_skeleton = see(xyz, plan)
    error = (keypoints.rays - xyz[..., :2] / xyz[..., 2:])[keypoints.seen]
    told = keypoints.sigma[keypoints.seen]
    assert (told > 0).all()
    assert 0.3 < ((error / told[:, None]).abs() < 1).float().mean() < 0.95  # as certain as is told, roughly
    assert not keypoints.guessed.any()
    assert not (keypoints.seen & ~in_skeleton).any()


def test_hidden_joints_are_guessed_or_taken_for_seen():
    xyz = people(100)
    plan = replace(CLEAR, noise_probability=1.0, guess_probability=1.0, sigma_probability=1.0)
    keypoints, in_skeleton = see(xyz, plan)
    assert (keypoints.seen | keypoints.guessed == in_skeleton).all()
    assert not (keypoints.seen & keypoints.guessed).any()
    truly, _ = see(xyz, replace(plan, noise_probability=0))
    assert keypoints.guessed.float().mean() > 0.02
    assert (keypoints.seen & ~truly.seen).float().mean() > 0.02
    error = (keypoints.rays - xyz[..., :2] / xyz[..., 2:]).norm(dim=-1)
    believed = keypoints.seen & ~truly.seen
    exact = keypoints.seen & truly.seen
    assert error[believed].median() > 3 * error[exact].median()
    assert keypoints.sigma[believed].median() > 3 * keypoints.sigma[exact].median()
    assert (keypoints.sigma[keypoints.guessed] > 0).all()


def test_a_wrong_focal_length_scales_the_picture():
    xyz = people(60)
    plan = replace(CLEAR, augmentation=replace(STILL, wrong_focal_probability=1.0))
    ratio = see(xyz, plan)[0].rays / (xyz[..., :2] / xyz[..., 2:])
    torch.testing.assert_close(ratio, ratio[:, :1, :1, :1].expand_as(ratio), rtol=1e-3, atol=0)
    assert 0.78 < ratio.min() < 0.95
    assert 1.05 < ratio.max() < 1.28
