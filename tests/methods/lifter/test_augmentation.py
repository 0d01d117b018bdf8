from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import kstest, uniform

from occlupose.methods.lifter import augmentation
from occlupose.methods.lifter.augmentation import (
    BENDING,
    CHAINS,
    GROUPS,
    PARENT_INDEX,
    PARENTS,
    PELVIS,
    PROPORTIONS,
    BodyAugmentation,
    augment_bodies,
    bend_joints,
    exchange_arms,
    mirror_people,
    to_random_camera,
    torso_axes,
)
from occlupose.skeletons import BODY22

SEEDS = st.integers(0, 2**32 - 1)
PLAIN = BodyAugmentation(
    bone_scale=0, mirror_probability=0, arm_exchange_probability=0, bend_probability=0, tumble_probability=0
)
STRAIGHT = replace(PLAIN, elevation=(0.0, 0.0), roll=0.0, off_axis=0.0)
STANDING = {  # m; left, up, forward
    "nose": (0, 1.6, 0.12),
    "eye": (0.03, 1.63, 0.09),
    "ear": (0.08, 1.62, 0.01),
    "shoulder": (0.18, 1.42, 0),
    "elbow": (0.25, 1.13, 0),
    "wrist": (0.28, 0.88, 0.08),
    "hip": (0.1, 0.95, 0),
    "knee": (0.12, 0.52, 0.02),
    "ankle": (0.12, 0.08, 0),
    "pelvis": (0, 0.95, 0),
    "spine": (0, 1.15, 0),
    "thorax": (0, 1.42, 0),
    "neck_nose": (0, 1.55, 0),
    "head_top": (0, 1.7, 0.02),
}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def people(batch=6, frames=20, seed=0):
    """(batch, time, 22, 3) of people who stand and sway, in random directions; m, y up."""
    random = np.random.default_rng(seed)
    rest = np.array([STANDING[name.removeprefix("left_").removeprefix("right_")] for name in BODY22.joints], float)
    rest[[name.startswith("right_") for name in BODY22.joints], 0] *= -1
    sway = 0.04 * np.cumsum(random.normal(0, 0.3, (batch, frames, 22, 3)), 1)
    turn = Rotation.from_rotvec(random.uniform(-np.pi, np.pi, (batch, 1)) * (0, 1, 0)).as_matrix()
    return torch.from_numpy(
        (rest + sway) @ turn.transpose(0, 2, 1)[:, None] + random.normal(0, 1, (batch, 1, 1, 3))
    ).float()


def bones(joints):
    """Offset of each joint from its parent, m; for the pelvis its position."""
    steps = joints - joints[:, :, PARENT_INDEX]
    steps[:, :, PELVIS] = joints[:, :, PELVIS]
    return steps


def lengths(joints):
    """Length of each bone, by the joint at its end; 0 for the pelvis."""
    return (joints - joints[:, :, PARENT_INDEX]).norm(dim=-1)


def angles(one, other):
    """Angles between directions, degrees."""
    return torch.rad2deg(torch.nn.functional.cosine_similarity(one, other, dim=-1).clamp(-1, 1).acos())


def named(*names):
    """Mask of the BODY22 joints of this name, on either side."""
    return torch.tensor([joint.removeprefix("left_").removeprefix("right_") in names for joint in BODY22.joints])


def partner(name):
    """Name of the joint of the other side."""
    other = {"left": "right", "right": "left"}
    return "_".join(other.get(part, part) for part in name.split("_"))


def side(joints):
    """Positive for a body, negative for its mirror image: whether up x left x forward (to the nose) turns the right
    way.
    """
    up = joints[:, :, BODY22.joints.index("thorax")] - joints[:, :, BODY22.joints.index("pelvis")]
    left = joints[:, :, BODY22.joints.index("left_shoulder")] - joints[:, :, BODY22.joints.index("right_shoulder")]
    forward = joints[:, :, BODY22.joints.index("nose")] - joints[:, :, BODY22.joints.index("neck_nose")]
    return (torch.linalg.cross(left, up) * forward).sum(-1)


def test_every_chain_ends_at_the_pelvis():
    assert set(PARENTS) == set(BODY22.joints)
    joints = people()
    torch.testing.assert_close(CHAINS @ bones(joints), joints)
    assert {PROPORTIONS[number] for number in GROUPS} == set(PROPORTIONS)


def test_bones_of_a_group_change_by_one_factor_that_is_constant_over_time():
    joints = people()
    changed = augment_bodies(joints, replace(PLAIN, bone_scale=0.1), rng())
    ratio = (lengths(changed) / lengths(joints))[:, :, [j for j in range(22) if BODY22.joints[j] != "pelvis"]]
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), atol=1e-4, rtol=1e-4)
    by_name = dict(zip([name for name in BODY22.joints if name != "pelvis"], ratio[:, 0].T, strict=True))
    for name, value in by_name.items():
        torch.testing.assert_close(value, by_name[partner(name)], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(by_name["left_knee"], by_name["left_elbow"], atol=1e-3)
    assert not torch.allclose(by_name["left_knee"][:1], by_name["left_knee"][1:], atol=1e-3)
    assert (ratio > 0.74).all() and (ratio < 1.26).all()
    # directions stay
    torch.testing.assert_close(
        torso_axes(changed)[..., 1], torso_axes(augment_bodies(joints, PLAIN, rng()))[..., 1], atol=0.05, rtol=0
    )


def test_without_augmentation_bodies_are_unchanged():
    torch.testing.assert_close(augment_bodies(people(), PLAIN, rng()), people())


def test_a_mirrored_body_has_left_and_right_exchanged():
    joints = people()
    mirrored = mirror_people(joints[:, None], 1.0, rng())[:, 0]
    for name in BODY22.joints:
        ours = mirrored[:, :, BODY22.joints.index(name)]
        theirs = joints[:, :, BODY22.joints.index(partner(name))]
        torch.testing.assert_close(ours, theirs * torch.tensor([-1.0, 1, 1]))
    assert (side(joints) > 0).all()
    assert (side(mirrored) > 0).all()  # still a person with the heart on the left


def test_people_are_mirrored_together():
    joints = people(2).expand(400, 2, -1, -1, -1)
    changed = (mirror_people(joints, 0.3, rng()) - joints).abs().amax((2, 3, 4)) > 1e-3
    assert changed.float().mean() == pytest.approx(0.3, abs=0.06)
    assert (changed[:, 0] == changed[:, 1]).all()


@settings(max_examples=20)
@given(SEEDS, st.floats(0, 90))
def test_bent_bones_keep_their_lengths(seed, degrees):
    straight = bones(people(4, 24, seed))
    bent = bend_joints(straight, degrees, rng(seed))
    torch.testing.assert_close(bent.norm(dim=-1), straight.norm(dim=-1), atol=1e-5, rtol=1e-4)


def test_all_bones_but_the_hips_are_bent():
    straight = bones(people())
    bent = bend_joints(straight, 30.0, rng())
    kept = named("pelvis", "hip")
    assert kept.sum() == 3
    assert torch.equal(bent[:, :, kept], straight[:, :, kept])
    assert (angles(bent, straight)[:, :, ~kept].mean((0, 1)) > 3).all()
    assert torch.equal(bend_joints(straight, 0.0, rng()), straight)


@pytest.mark.parametrize("bone", BENDING)
def test_everything_after_a_bent_bone_rotates_with_it(bone, monkeypatch):
    monkeypatch.setattr(augmentation, "JOINT_BENDING", named(bone).float())
    straight = bones(people())
    bent = bend_joints(straight, 30.0, rng())
    for joint in named(bone).nonzero().flatten():  # left and right each for itself
        hanging = CHAINS[:, joint] == 1
        one = straight[:, :, hanging]
        other = bent[:, :, hanging]
        # all lengths and angles among them
        torch.testing.assert_close(other @ other.mT, one @ one.mT, atol=1e-5, rtol=1e-4)
        assert angles(other, one).mean() > 10
        if hanging.sum() >= 3:  # turned, not mirrored
            volume = torch.linalg.det(other[:, :, [0, 1, -1]])
            before = torch.linalg.det(one[:, :, [0, 1, -1]])
            torch.testing.assert_close(volume, before, atol=1e-5, rtol=1e-2)
    alone = (CHAINS[:, named(bone)] == 0).all(1)
    assert torch.equal(bent[:, :, alone], straight[:, :, alone])


def test_bends_have_the_given_size_and_half_of_the_variance_is_constant(monkeypatch):
    monkeypatch.setattr(augmentation, "JOINT_BENDING", named("elbow").float())
    side = BODY22.joints.index("left_elbow")
    along_x = torch.zeros(300, 320, len(BODY22), 3)
    along_x[..., 0] = 1
    turned = torch.rad2deg(bend_joints(along_x, 1.0, rng())[:, :, side, 1:])  # small turns about z and y, degrees
    assert turned.mean() == pytest.approx(0, abs=0.08)
    staying = turned.mean(1)
    assert staying.var() == pytest.approx(1 / 2, rel=0.15)
    coming = (turned - staying.unsqueeze(1)).square().mean()
    assert coming == pytest.approx(1 / 3, rel=0.15)  # 1/2 at its knots and 1/4 half way between them


def test_bends_change_smoothly():
    still = bones(people(20, 1)).expand(-1, 96, -1, -1)
    arm = bend_joints(still, 16.0, rng())[:, :, named("elbow")]
    steps = angles(arm[:, 1:], arm[:, :-1])
    assert steps.mean() < 3
    assert steps.max() < 12
    assert angles(arm[:, 48:], arm[:, :48]).mean() > 12


def test_bent_bodies_stay_connected_and_the_bend_probability():
    joints = people(400, 12)
    bent = augment_bodies(joints, replace(PLAIN, bend_probability=0.3), rng())
    torch.testing.assert_close(lengths(bent), lengths(joints), atol=1e-5, rtol=1e-4)
    kept = named("pelvis", "hip")
    torch.testing.assert_close(bent[:, :, kept], joints[:, :, kept])
    changed = (bent - joints).norm(dim=-1).amax((1, 2)) > 0.02
    assert changed.float().mean() == pytest.approx(0.3, abs=0.07)
    torch.testing.assert_close(bent[~changed], joints[~changed], atol=1e-5, rtol=0)


@settings(max_examples=20)
@given(SEEDS)
def test_exchanged_arms_keep_their_lengths_and_start_at_the_shoulders(seed):
    joints = people(5, 4, seed)
    order = torch.randperm(5, generator=rng(seed))
    swapped = exchange_arms(joints, order)
    arms = [BODY22.joints.index(f"{s}_{j}") for s in ("left", "right") for j in ("elbow", "wrist")]
    others = [j for j in range(22) if j not in arms]
    torch.testing.assert_close(lengths(swapped)[:, :, arms], lengths(joints)[order][:, :, arms], atol=1e-5, rtol=1e-4)
    assert torch.equal(swapped[:, :, others], joints[:, :, others])
    for s in ("left", "right"):
        shoulder = BODY22.joints.index(f"{s}_shoulder")
        wrist = BODY22.joints.index(f"{s}_wrist")
        in_camera = ((swapped[:, :, wrist] - swapped[:, :, shoulder]).unsqueeze(-2) @ torso_axes(swapped)).squeeze(-2)
        before = (
            (joints[order][:, :, wrist] - joints[order][:, :, shoulder]).unsqueeze(-2) @ torso_axes(joints[order])
        ).squeeze(-2)
        torch.testing.assert_close(in_camera, before, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(exchange_arms(joints, torch.arange(5)), joints, atol=1e-5, rtol=1e-4)


def test_the_torso_axes_are_left_up_and_forward():
    frame = torso_axes(people())
    torch.testing.assert_close(frame.mT @ frame, torch.eye(3).expand_as(frame), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(frame), torch.ones(frame.shape[:2]))
    joints = people()
    nose = joints[:, :, BODY22.joints.index("nose")] - joints[:, :, BODY22.joints.index("neck_nose")]
    assert ((nose.unsqueeze(-2) @ frame)[..., 0, 2] > 0).all()


@settings(max_examples=30)
@given(SEEDS)
def test_bodies_are_in_front_of_the_camera_rigid_and_not_mirrored(seed):
    joints = people(8, 10, seed)
    in_camera = to_random_camera(joints, BodyAugmentation(tumble_probability=0.3, distance=(0.5, 9.0)), rng(seed))
    assert in_camera[..., 2].min() >= 0.6 - 1e-5
    distances = [
        (x.flatten(1, 2).unsqueeze(1) - x.flatten(1, 2).unsqueeze(2)).norm(dim=-1) for x in (in_camera, joints)
    ]
    # one rigid motion for the whole sequence: the camera stands still
    torch.testing.assert_close(*distances, atol=1e-4, rtol=1e-4)
    assert torch.equal(side(in_camera) > 0, side(joints) > 0)


def test_a_level_camera_sees_upright_people_at_its_distances():
    in_camera = to_random_camera(people(200, 4), STRAIGHT, rng())
    pelvis = in_camera[:, :, BODY22.joints.index("pelvis")]
    head = in_camera[:, :, BODY22.joints.index("head_top")]
    assert (head[..., 1] < pelvis[..., 1] - 0.5).all()
    middle = pelvis.mean(1)
    torch.testing.assert_close(middle[:, :2], torch.zeros(200, 2), atol=1e-4, rtol=0)
    assert middle[:, 2].min() >= 2 - 1e-3
    assert middle[:, 2].max() <= 9 + 1e-3
    assert middle[:, 2].log().mean() == pytest.approx(np.log(18) / 2, abs=0.1)


def test_the_azimuth_is_uniform():
    frame = torso_axes(to_random_camera(people(300, 1), STRAIGHT, rng()))[:, 0, :, 2]
    angle = torch.atan2(frame[:, 0], frame[:, 2])
    assert torch.histc(angle, 6, -torch.pi, torch.pi).min() > 25


def test_a_camera_that_looks_down_is_nearer_to_the_head():
    in_camera = to_random_camera(people(50, 1), replace(STRAIGHT, elevation=(30.0, 30.0)), rng())
    up = torso_axes(in_camera)[:, 0, :, 1]
    assert up[:, 2].mean() == pytest.approx(-0.5, abs=0.1)


def test_people_stand_within_the_off_axis_angle():
    middle = to_random_camera(people(300, 1), replace(STRAIGHT, off_axis=25.0), rng())[
        :, 0, BODY22.joints.index("pelvis")
    ]
    across = torch.rad2deg(torch.atan2(middle[:, 0].abs(), middle[:, 2]))
    down = torch.rad2deg(torch.atan2(middle[:, 1].abs(), middle[:, 2]))
    assert 22 < across.max() < 25.1
    assert 22 < down.max() < 27.3  # under the turn across, a little steeper
    assert (middle.norm(dim=-1) < 9.01).all()


def test_tumbled_bodies_lie_or_hang_head_down():
    down = torso_axes(to_random_camera(people(300, 1), replace(STRAIGHT, tumble_probability=1.0), rng()))[:, 0, 1, 1]
    assert (down > 0.8).any()  # hanging by the feet
    assert (down.abs() < 0.2).any()  # lying
    upright = (
        torso_axes(to_random_camera(people(300, 1), replace(STRAIGHT, tumble_probability=0.1), rng()))[:, 0, 1, 1]
        < -0.85
    )
    assert upright.float().mean() == pytest.approx(0.9, abs=0.05)


def test_orientations_of_tumbled_bodies_are_uniform():
    joints = people(3000, 1)
    in_camera = to_random_camera(joints, replace(STRAIGHT, tumble_probability=1.0), rng())
    frames = torso_axes(in_camera)[:, 0]
    up = frames[:, :, 1]
    assert (up[:, 1] > 0).float().mean() == pytest.approx(0.5, abs=0.03)  # half of them head down
    rotation = frames @ torso_axes(joints)[:, 0].mT
    for row, column in np.ndindex(3, 3):  # each entry of an even rotation is even between -1 and 1
        assert kstest(rotation[:, row, column], uniform(-1, 2).cdf).pvalue > 1e-3, (row, column)
    angle = ((rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).acos()
    assert kstest(angle, lambda x: (x - np.sin(x)) / np.pi).pvalue > 1e-3
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(3000))


def test_the_same_generator_gives_the_same_view():
    for act in (augment_bodies, to_random_camera):
        assert torch.equal(act(people(), BodyAugmentation(), rng(1)), act(people(), BodyAugmentation(), rng(1)))
        assert not torch.equal(act(people(), BodyAugmentation(), rng(1)), act(people(), BodyAugmentation(), rng(2)))


def test_the_motion_capture_is_not_changed():
    joints = people()
    to_random_camera(augment_bodies(joints, BodyAugmentation(), rng()), BodyAugmentation(), rng())
    to_random_camera(joints, BodyAugmentation(), rng())
    assert torch.equal(joints, people())
