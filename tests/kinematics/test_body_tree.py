import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from moving_skeletons import TREE, moving_angles, moving_rotation, own_bones
from occlupose.bodies.fitting import from_rotation_vector
from occlupose.kinematics.angles import from_angles
from occlupose.skeletons import BODY26, COCO21, H36M17, convert

REST = torch.eye(3, dtype=torch.float64).expand(1, len(TREE.segments), 3, 3)


def placed(angles=None):
    """Points by name with these angles of some segments, degrees: flexion, to the side, twist."""
    values = torch.zeros(len(TREE.segments) - 1, 3, dtype=torch.float64)
    for segment, own in (angles or {}).items():
        values[TREE.segments.index(segment) - 1] = torch.tensor(own, dtype=torch.float64).deg2rad()
    relative = torch.cat([REST[0, :1], from_angles(values, TREE.axes)])
    points = TREE.place(TREE.compose(relative)[None], TREE.rest)[0].numpy()
    return dict(zip(TREE.points, points, strict=True))


def test_at_rest_a_person_stands_in_a_t_pose():
    at = placed()
    for side, sign in (("left", 1), ("right", -1)):
        arm = np.array([at[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist", "hand")])
        np.testing.assert_allclose(np.diff(arm, axis=0)[:, 1:], 0, atol=1e-12)
        assert (sign * np.diff(arm[:, 0]) > 0.1).all()
        leg = np.array([at[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle")])
        np.testing.assert_allclose(np.diff(leg, axis=0)[:, [0, 2]], 0, atol=1e-12)
        assert (np.diff(leg[:, 1]) < -0.4).all()
        assert at[f"{side}_heel"][2] < at[f"{side}_ankle"][2] < at[f"{side}_foot"][2] < at[f"{side}_big_toe"][2]
    assert at["nose"][2] > at["left_ear"][2] + 0.05
    assert 1.6 < at["head_top"][1] - at["left_heel"][1] < 1.8


def test_a_bent_knee_takes_the_ankle_behind_it_and_a_bent_elbow_the_wrist_before_it():
    at = placed({f"{side}_{name}": (90, 0, 0) for side in ("left", "right") for name in ("shank", "forearm")})
    for side in ("left", "right"):
        length = placed()[f"{side}_knee"][1] - placed()[f"{side}_ankle"][1]
        np.testing.assert_allclose(at[f"{side}_ankle"] - at[f"{side}_knee"], [0, 0, -length], atol=1e-12)
        forearm = at[f"{side}_wrist"] - at[f"{side}_elbow"]
        np.testing.assert_allclose(forearm, [0, 0, np.linalg.norm(forearm)], atol=1e-12)


@pytest.mark.parametrize(
    ("segment", "angles", "joint", "direction"),
    [
        ("chest", (20, 0, 0), "thorax", (0, 0, 1)),
        ("chest", (0, 20, 0), "thorax", (1, 0, 0)),
        ("chest", (0, 0, 20), "left_shoulder", (0, 0, -1)),
        ("head", (20, 0, 0), "nose", (0, -1, 0)),
        ("head", (0, 0, 20), "nose", (1, 0, 0)),
        ("left_clavicle", (20, 0, 0), "left_shoulder", (0, 0, 1)),
        ("left_clavicle", (0, 20, 0), "left_shoulder", (0, -1, 0)),
        ("left_upper_arm", (20, 0, 0), "left_elbow", (0, 0, 1)),
        ("left_upper_arm", (0, 20, 0), "left_elbow", (0, -1, 0)),
        ("left_hand", (20, 0, 0), "left_hand", (0, -1, 0)),
        ("left_hand", (0, 20, 0), "left_hand", (0, 0, -1)),
        ("left_thigh", (20, 0, 0), "left_knee", (0, 0, 1)),
        ("left_thigh", (0, 20, 0), "left_knee", (-1, 0, 0)),
        ("left_thigh", (0, 0, 20), "left_big_toe", (-1, 0, 0)),
        ("left_shank", (0, 0, 20), "left_big_toe", (-1, 0, 0)),
        ("left_foot", (20, 0, 0), "left_foot", (0, 1, 0)),
        ("left_foot", (0, 20, 0), "left_foot", (-1, 0, 0)),
        ("left_toes", (20, 0, 0), "left_big_toe", (0, 1, 0)),
    ],
)
def test_angles_turn_as_the_table_says(segment, angles, joint, direction):
    moved = placed({segment: angles})[joint] - placed()[joint]
    assert moved @ direction > 0.005
    assert abs(moved @ direction) > 0.7 * np.linalg.norm(moved)
    if segment.startswith("left"):
        other = placed({segment.replace("left", "right"): angles})[joint.replace("left", "right")]
        mirrored = other - placed()[joint.replace("left", "right")]
        np.testing.assert_allclose(mirrored, moved * (-1, 1, 1), atol=1e-12)


def test_internal_rotation_lowers_the_hand_of_a_bent_arm_and_pronation_turns_the_palm_back():
    bent = placed({"left_forearm": (90, 0, 0)})["left_wrist"]
    assert placed({"left_forearm": (90, 0, 0), "left_upper_arm": (0, 0, 20)})["left_wrist"][1] < bent[1] - 0.05
    assert (
        placed({"left_forearm": (0, 0, 20), "left_hand": (80, 0, 0)})["left_hand"][2] < placed()["left_hand"][2] - 0.02
    )


def test_mirrored_angles_are_a_mirrored_person():
    angles = torch.from_numpy(moving_angles(np.random.default_rng(0), 5))
    names = TREE.segments[1:]
    partner = [names.index(name.replace("left", "?").replace("right", "left").replace("?", "right")) for name in names]
    sign = torch.tensor([(1, 1, 1) if "_" in name else (1, -1, -1) for name in names])
    points = []
    for each in (angles, sign * angles[:, partner]):
        relative = torch.cat([REST[:, :1].expand(5, 1, 3, 3), from_angles(each, TREE.axes)], 1)
        points.append(TREE.place(TREE.compose(relative), TREE.rest).numpy())
    mirror = list(TREE.skeleton.mirror)
    np.testing.assert_allclose(points[1], points[0][:, mirror] * (-1, 1, 1), atol=1e-12)


def test_points_are_where_a_walk_through_the_tree_puts_them():
    random = np.random.default_rng(1)
    bones = own_bones(random)
    relative = TREE.to_parent_relative(moving_rotation(random, 3))
    turns = [Rotation.from_matrix(relative[:, index].numpy()) for index in range(len(TREE.segments))]
    places = [np.zeros((3, 3))]
    for bone, start in enumerate(TREE.start):
        segment = int(TREE.carrier[bone])
        turn = Rotation.identity()
        while segment >= 0:
            turn = turns[segment] * turn
            segment = TREE.parents[segment]
        places.append(places[start] + turn.apply(bones[bone].numpy()))
    np.testing.assert_allclose(TREE.place(TREE.compose(relative), bones), np.stack(places, 1), atol=1e-12)


def test_lever_arms_are_those_of_small_turns():
    random = np.random.default_rng(2)
    rotation = moving_rotation(random, 2)
    levers = TREE.lever_arms(rotation, TREE.rest)
    turn = torch.tensor([1e-6, -2e-6, 3e-6], dtype=torch.float64)
    for segment in range(len(TREE.segments)):
        turned = rotation.clone()
        turned[:, segment] = from_rotation_vector(turn) @ rotation[:, segment]
        moved = TREE.place(turned, TREE.rest) - TREE.place(rotation, TREE.rest)
        expected = torch.linalg.cross(turn.expand_as(levers[:, :, segment]), levers[:, :, segment])
        np.testing.assert_allclose(moved, expected, atol=1e-11)


def test_the_joints_of_other_skeletons_are_points():
    at = np.stack(list(placed().values()))
    for skeleton in (H36M17, COCO21, BODY26):
        assert np.isfinite(convert(at, TREE.skeleton, skeleton)).all()


def test_ranges_hold_rest_or_are_hinges():
    assert (TREE.low <= TREE.high).all()
    hinges = {name for name, low, high in zip(TREE.segments[1:], TREE.low, TREE.high, strict=True) if low[1] == high[1]}
    assert {name.split("_", 1)[1] for name in hinges} == {"forearm", "shank", "toes"}
    knee = TREE.segments.index("left_shank") - 1
    assert math.isclose(TREE.high[knee, 0], math.radians(155))
