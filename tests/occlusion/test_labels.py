from dataclasses import replace

import numpy as np
import pytest
import torch

from occlupose.occlusion.cylinders import PAPER, self_occluded
from occlupose.occlusion.labels import hidden_by_cylinders, label_poses
from occlupose.skeletons import H36M17, MPI15
from spread_people import standing
from walking_people import behind_the_back, circle, make_poses, stand

LEFT_WRIST, LEFT_KNEE, LEFT_ANKLE = MPI15.index("left_wrist", "left_knee", "left_ankle")
WRIST = H36M17.joints.index("left_wrist")


def behind_cylinders(people):
    return hidden_by_cylinders(people, MPI15)


def test_a_wrist_before_the_belly_is_occluded_from_behind():
    labelled = label_poses(behind_the_back())
    assert (labelled.state[:, 0, WRIST] == 1).all()
    assert (labelled.state[:, 0, H36M17.index("head_top", "right_wrist", "left_ankle", "right_ankle")] == 2).all()


@pytest.mark.parametrize("perspective", [True, False])
def test_only_the_states_change_and_they_are_the_cylinder_mans(perspective):
    poses = make_poses(circle(), stand(1, 4, 100))
    labelled = label_poses(poses, perspective=perspective, rules=PAPER)
    hides = self_occluded(torch.from_numpy(poses.xyz), H36M17, perspective=perspective, rules=PAPER).numpy()
    assert hides.any() and not hides.all()
    np.testing.assert_array_equal(labelled.state, np.where(hides, 1, 2))
    assert replace(labelled, state=poses.state) == poses


def test_what_has_no_place_in_3d_keeps_its_state():
    poses = behind_the_back()
    xyz = poses.xyz.copy()
    xy = poses.xy.copy()
    state = poses.state.copy()
    xyz[0, 0, WRIST] = np.nan  # seen in the image alone
    state[0, 0, WRIST] = 1
    xyz[1, 0, WRIST] = np.nan
    xy[1, 0, WRIST] = np.nan
    state[1, 0, WRIST] = 0
    labelled = label_poses(replace(poses, xyz=xyz, xy=xy, state=state))
    assert labelled.state[:, 0, WRIST].tolist() == [1, 0, 1]
    state[0, 0, WRIST] = 2
    assert label_poses(replace(poses, xyz=xyz, xy=xy, state=state)).state[:, 0, WRIST].tolist() == [2, 0, 1]


def test_a_spread_out_person_alone_hides_nothing():
    assert not behind_cylinders(standing((0, 0, 4))).any()


def test_a_person_in_front_hides_another():
    """The nearer one is all visible; of the further one, straight behind, the joints within the nearer one's cylinders
    are hidden.
    """
    behind = behind_cylinders(standing((0, 0, 6), (0, 0, 4)))
    assert not behind[1].any()
    assert behind[0, MPI15.index("neck", "pelvis", "left_shoulder", "left_hip", "right_hip")].all()
    apart = standing((2.5, 0, 6), (0, 0, 4))
    assert np.array_equal(behind_cylinders(apart), np.concatenate([behind_cylinders(person[None]) for person in apart]))


def test_one_limb_hides_one_joint():
    """A forearm across the line of sight to another person's knee; further away than the knee it hides nothing."""
    people = standing((0, 0, 5), (3, 0, 3))
    for depth, hidden in ((0.6, True), (1.3, False)):
        target = people[0, LEFT_KNEE] * depth
        people[1, LEFT_WRIST - 1 : LEFT_WRIST + 1] = target + np.array([[-0.1, 0, 0], [0.15, 0, 0]])
        behind = behind_cylinders(people)
        assert behind[0, LEFT_KNEE] == hidden and not behind[0, LEFT_ANKLE]
    people[1, LEFT_WRIST - 1 : LEFT_WRIST + 1] = people[0, LEFT_KNEE] * 0.6 + np.array(
        [[-0.1, 0.09, 0], [0.15, 0.09, 0]]
    )
    assert not behind_cylinders(people)[0, LEFT_KNEE]  # further off than the radius


def test_it_is_the_shortest_way_to_the_axis():
    """Compared with slow sampling along each line of sight, for random people with unknown joints."""
    random = np.random.default_rng(1)
    people = random.uniform([-1, -1, 3], [1, 1, 5], (4, 1, 3)) + random.normal(0, 0.35, (4, 15, 3))
    people[0, 5] = np.nan
    fast = behind_cylinders(people)
    alone = np.concatenate([behind_cylinders(person[None]) for person in people])
    assert not fast[0, 5]
    torso = np.linalg.norm(people[:, 3] - people[:, 0], axis=-1)
    parts = [(0, 1, 0.10), (0, 2, None), (3, 4, 0.05), (4, 5, 0.05), (6, 7, 0.05), (7, 8, 0.05)]
    parts += [(9, 10, 0.05), (10, 11, 0.05), (12, 13, 0.05), (13, 14, 0.05)]
    slow = alone.copy()
    share = np.linspace(0, 1, 4001)[:, None]
    for person, joint in np.ndindex(4, 15):
        sight = people[person, joint] / np.linalg.norm(people[person, joint])
        for other in {0, 1, 2, 3} - {person}:
            for start, end, radius in parts:
                points = people[other, start] * (1 - share) + people[other, end] * share
                away = points @ sight
                off = np.linalg.norm(points - away[:, None] * sight, axis=-1)
                best = off.argmin() if np.isfinite(off).all() else None
                limit = torso[other] if radius is None else radius
                if (
                    best is not None
                    and off[best] <= limit
                    and np.linalg.norm(people[person, joint]) - away[best] >= 0.02
                ):
                    slow[person, joint] = True
    assert np.array_equal(fast, slow) and alone.sum() < fast.sum() < fast.size
