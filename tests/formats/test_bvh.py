"""BVH files, read back by a reader of their own."""

import numpy as np
import pytest

from bvh_reader import read_bvh
from floor_records import record_of, standing
from known_fits import ROOT, known_fit, poses_of_fit, without
from moving_skeletons import TREE, moving_poses
from occlupose.formats import bvh
from occlupose.kinematics import fit_poses
from occlupose.skeletons import H36M17

SIDED = {"clavicle": "", "upper_arm": "shoulder", "forearm": "elbow", "hand": "wrist", "hand_end": "hand"}
SIDED |= {"thigh": "hip", "shank": "knee", "foot": "ankle", "toes": "foot", "toes_end": "big_toe"}
POINTS = {"pelvis": "pelvis", "abdomen": "lumbar", "chest": "spine", "neck": "thorax", "head": "neck_nose"}
POINTS |= {"head_end": "head_top"}
for side in ("left", "right"):
    POINTS |= {f"{side}_{name}": f"{side}_{point}" if point else "thorax" for name, point in SIDED.items()}
"""The point of the tree at which each joint of a file is."""


def written(path, frames):
    """What a reader finds of a person with these rotations, and the numbers of the motion."""
    fit = known_fit(frames)
    bvh.write(poses_of_fit(fit), path, fit)
    values = np.array([line.split() for line in path.read_text().splitlines()[-len(frames) :]], float)
    return read_bvh(path)[0], values


def test_joints_are_those_of_the_fit(tmp_path):
    poses = moving_poses(np.random.default_rng(0))
    fit = fit_poses(poses).turn_y_up()
    for person, path in enumerate(poses.export(tmp_path / "walk.bvh")):
        places, period = read_bvh(path)
        assert set(places) == set(POINTS) and period == pytest.approx(1 / 60)
        for name, point in POINTS.items():
            expected = fit.xyz[:, person, TREE.points.index(point)]
            np.testing.assert_allclose(places[name], expected, atol=1e-5, err_msg=name)


def test_a_t_pose_has_no_rotations(tmp_path):
    places, values = written(tmp_path / "a.bvh", [{}])
    np.testing.assert_allclose(values[0, :3], ROOT, atol=1e-6)
    assert values.shape == (1, 3 + 3 * len(TREE.segments)) and not values[0, 3:].any()
    knees = places["right_shank"] - places["left_shank"]
    assert knees[0, 0] < -0.1 and places["head_end"][0, 1] > places["pelvis"][0, 1] + 0.5  # the left is at +x, y is up


def test_a_knee_bent_by_90_degrees(tmp_path):
    places, values = written(tmp_path / "a.bvh", [{}, {"left_shank": (np.pi / 2, 0, 0)}])
    shank = places["left_foot"] - places["left_shank"]
    length = np.linalg.norm(shank[0])
    np.testing.assert_allclose(shank, [(0, -length, 0), (0, 0, -length)], atol=1e-6)
    assert sorted(np.abs(values[1, 3:]))[-2:] == pytest.approx([0, 90], abs=1e-4)


def test_mirrored_people_move_mirrored(tmp_path):
    turned = {"shank": (1.2, 0, 0), "upper_arm": (0.1, -0.6, 0.3)}
    left, _ = written(tmp_path / "a.bvh", [{f"left_{name}": vector for name, vector in turned.items()}])
    mirrored = {f"right_{name}": np.array(vector) * (1, -1, -1) for name, vector in turned.items()}
    right, _ = written(tmp_path / "b.bvh", [mirrored])
    for name in ("foot", "toes_end", "hand", "hand_end"):
        expected = (right[f"right_{name}"] - ROOT) * (-1, 1, 1)
        np.testing.assert_allclose(left[f"left_{name}"] - ROOT, expected, atol=1e-6)


def test_curves_do_not_jump_when_a_knee_bends_beyond_a_right_angle(tmp_path):
    bends = np.linspace(1, 2.5, 30)
    _, values = written(
        tmp_path / "a.bvh", [{"left_shank": (bend, 0, 0), "pelvis": (0, 4 * bend, 0)} for bend in bends]
    )
    assert np.abs(np.diff(values[:, 3:], axis=0)).max() < 15


def test_where_somebody_is_absent_the_nearest_frame_is_repeated(tmp_path):
    fit = without(known_fit([{"left_shank": (0.1 * frame, 0, 0)} for frame in range(6)]), [0, 1, 5])
    path = tmp_path / "a.bvh"
    bvh.write(poses_of_fit(fit), path, fit)
    lines = path.read_text().splitlines()[-6:]
    assert lines[0] == lines[1] == lines[2] != lines[3] and lines[4] == lines[5] and "nan" not in lines[0]


def test_inside_a_gap_the_nearest_frame_is_repeated(tmp_path):
    fit = without(known_fit([{"left_shank": (0.1 * frame, 0, 0)} for frame in range(7)]), [2, 3, 4, 5])
    path = tmp_path / "a.bvh"
    bvh.write(poses_of_fit(fit), path, fit)
    lines = path.read_text().splitlines()[-7:]
    assert lines[1] == lines[2] == lines[3] != lines[4] == lines[5] == lines[6] and lines[0] != lines[1]


def test_the_skeletons_of_a_record_stand_on_the_floor_of_its_world(tmp_path):
    truth = standing(people=2)
    for person, path in enumerate(record_of(truth, H36M17).export(tmp_path / "walk.bvh")):
        places, _ = read_bvh(path)
        for name, point in POINTS.items():
            expected = truth.xyz[:, person, TREE.points.index(point)]
            np.testing.assert_allclose(places[name], expected, atol=1e-5, err_msg=name)
        assert min(place[:, 1].min() for place in places.values()) == pytest.approx(0, abs=0.03)  # heels are not in it
