"""MOT files: the published names of the model's coordinates, and known poses."""

import os
from pathlib import Path

import numpy as np
import pytest

from floor_records import record_of, standing
from known_fits import ROOT, known_fit, poses_of_fit, without
from moving_skeletons import moving_poses
from occlupose.formats import mot
from occlupose.formats.mot import COORDINATES, HIPS

NAMES = """pelvis_tilt pelvis_list pelvis_rotation pelvis_tx pelvis_ty pelvis_tz hip_flexion_r hip_adduction_r
hip_rotation_r knee_angle_r ankle_angle_r subtalar_angle_r mtp_angle_r hip_flexion_l hip_adduction_l hip_rotation_l
knee_angle_l ankle_angle_l subtalar_angle_l mtp_angle_l lumbar_extension lumbar_bending lumbar_rotation arm_flex_r
arm_add_r arm_rot_r elbow_flex_r pro_sup_r wrist_flex_r wrist_dev_r arm_flex_l arm_add_l arm_rot_l elbow_flex_l
pro_sup_l wrist_flex_l wrist_dev_l""".split()
"""The coordinates of Rajagopal2015.osim, without those of the patellae."""

HANGING = {"left_upper_arm": (0, 0, -np.pi / 2), "right_upper_arm": (0, 0, np.pi / 2)}


def read(path):
    """Header and columns of a file."""
    lines = path.read_text().splitlines()
    begin = lines.index("endheader") + 1
    columns = np.array([line.split("\t") for line in lines[begin + 1 :]], float).T
    return lines[:begin], dict(zip(lines[begin].split("\t"), columns, strict=True))


def coordinates(path, frames, poses=None):
    fit = known_fit(frames)
    mot.write(poses or poses_of_fit(fit), path, fit)
    return read(path)[1]


def test_names_and_header_are_opensims(tmp_path):
    poses = moving_poses(np.random.default_rng(0), 20)
    for path in poses.export(tmp_path / "walk.mot"):
        header, columns = read(path)
        assert set(columns) == {"time", *NAMES} and set(COORDINATES) == set(NAMES)
        assert header[0] == "Coordinates" and header[2:5] == ["nRows=20", "nColumns=38", "inDegrees=yes"]
        assert all(np.isfinite(values).all() for values in columns.values())


def test_who_stands_with_hanging_arms_is_neutral(tmp_path):
    columns = coordinates(tmp_path / "a.mot", [HANGING])
    neutral = {name: values[0] for name, values in columns.items() if abs(values[0]) > 1e-4}
    # palms face the thighs; the person looks at the camera, along z, and the model along x
    places = dict(
        zip(("pelvis_tx", "pelvis_ty", "pelvis_tz"), ROOT - np.array([HIPS[2], HIPS[1], HIPS[0]]), strict=True)
    )
    assert neutral == pytest.approx({"pelvis_rotation": -90, "pro_sup_r": 90, "pro_sup_l": 90} | places, abs=1e-4)


@pytest.mark.parametrize(
    ("segment", "vector", "name", "degrees"),
    [
        ("left_thigh", (-1, 0, 0), "hip_flexion_l", 1),
        ("right_thigh", (-1, 0, 0), "hip_flexion_r", 1),
        ("left_thigh", (0, 0, -0.4), "hip_adduction_l", 0.4),
        ("right_thigh", (0, 0, 0.4), "hip_adduction_r", 0.4),
        ("left_thigh", (0, -0.4, 0), "hip_rotation_l", 0.4),
        ("right_thigh", (0, 0.4, 0), "hip_rotation_r", 0.4),
        ("left_shank", (np.pi / 2, 0, 0), "knee_angle_l", np.pi / 2),
        ("right_shank", (np.pi / 2, 0, 0), "knee_angle_r", np.pi / 2),
        ("chest", (0.5, 0, 0), "lumbar_extension", -0.5),
        ("chest", (0, 0, 0.5), "lumbar_bending", 0.5),
        ("chest", (0, 0.5, 0), "lumbar_rotation", 0.5),
        ("left_forearm", (0, -1, 0), "elbow_flex_l", 1),
        ("right_forearm", (0, 1, 0), "elbow_flex_r", 1),
        ("left_hand", (0, 0, -0.5), "wrist_flex_l", 0.5),
        ("right_toes", (-0.3, 0, 0), "mtp_angle_r", -0.3),
    ],
)
def test_one_joint_turned_moves_one_coordinate(tmp_path, segment, vector, name, degrees):
    columns = coordinates(tmp_path / "a.mot", [HANGING, HANGING | {segment: vector}])
    changes = {name: values[1] - values[0] for name, values in columns.items() if name != "time"}
    moved = {each for each, change in changes.items() if abs(change) > 1e-3}
    assert moved == {name} and changes[name] == pytest.approx(np.degrees(degrees), abs=1e-3)


def test_arms_are_raised_forward_and_sideways(tmp_path):
    columns = coordinates(tmp_path / "a.mot", [HANGING, {}, {"left_clavicle": (-np.pi / 2, 0, 0)} | HANGING])
    np.testing.assert_allclose(columns["arm_add_l"][:2], (0, -90), atol=1e-3)
    np.testing.assert_allclose(columns["arm_add_r"][:2], (0, -90), atol=1e-3)
    assert columns["arm_flex_l"][2] == pytest.approx(90, abs=1e-3) and abs(columns["arm_add_l"][2]) < 1e-3


def test_the_feet_point_up_and_down(tmp_path):
    columns = coordinates(tmp_path / "a.mot", [{"right_foot": (-0.3, 0, 0)}, {"right_foot": (0.5, 0, 0)}])
    assert columns["ankle_angle_r"] == pytest.approx(np.degrees((0.3, -0.5)), abs=1.5)
    assert np.abs(columns["subtalar_angle_r"]).max() < 8 and not columns["ankle_angle_l"].any()


def test_frames_without_the_person_are_left_out(tmp_path):
    fit = without(known_fit([HANGING] * 5), [0, 3])
    path = tmp_path / "a.mot"
    mot.write(poses_of_fit(fit), path, fit)
    np.testing.assert_allclose(read(path)[1]["time"], [0.02, 0.04, 0.08])


def test_the_skeletons_of_a_record_stand_on_the_floor_of_its_world(tmp_path):
    truth = standing([HANGING, {"pelvis": (0.3, 0.2, 0.1)}])
    (path,) = record_of(truth).export(tmp_path / "a.mot")
    mot.write(record_of(truth), tmp_path / "b.mot", truth)
    columns = read(path)[1]
    for name, values in read(tmp_path / "b.mot")[1].items():
        np.testing.assert_allclose(columns[name], values, atol=2e-3, err_msg=name)
    assert columns["pelvis_tilt"][0] == pytest.approx(0, abs=1e-3)  # though the camera is tilted
    assert 0.7 < columns["pelvis_ty"][0] < 1.2  # above the floor


@pytest.mark.slow
@pytest.mark.skipif("OCCLUPOSE_OSIM" not in os.environ, reason="OCCLUPOSE_OSIM names no Rajagopal2015.osim")
def test_opensim_poses_its_model_as_ours(tmp_path):
    """The segments of the model have our directions, but for its own bends, in which no coordinate is."""
    opensim = pytest.importorskip("opensim")
    opensim.Logger.setLevelString("Off")
    poses = moving_poses(np.random.default_rng(0), 20, people=1)
    (path,) = poses.export(tmp_path / "a.mot")
    model = opensim.Model(str(Path(os.environ["OCCLUPOSE_OSIM"])))
    for coordinate in model.getCoordinateSet():
        coordinate.set_clamped(False)
        coordinate.set_locked(False)
    state = model.initSystem()
    table = opensim.TimeSeriesTable(str(path))
    xyz = poses.xyz[:, 0] * (1, -1, -1)
    for frame in range(len(poses)):
        row = table.getRowAtIndex(frame)
        for column, name in enumerate(table.getColumnLabels()):
            coordinate = model.getCoordinateSet().get(name)
            rotates = coordinate.getMotionType() == opensim.Coordinate.Rotational
            coordinate.setValue(state, np.radians(row[column]) if rotates else row[column], False)
        model.realizePosition(state)

        def place(joint):
            where = model.getJointSet().get(joint).getChildFrame().getPositionInGround(state)
            return np.array([where.get(axis) for axis in range(3)])

        for side in ("left", "right"):
            for one, other, upper, lower in (
                ("hip", "walker_knee", "hip", "knee"),
                ("walker_knee", "ankle", "knee", "ankle"),
                ("acromial", "elbow", "shoulder", "elbow"),
                ("elbow", "radius_hand", "elbow", "wrist"),
            ):
                theirs = place(f"{other}_{side[0]}") - place(f"{one}_{side[0]}")
                ends = poses.skeleton.index(f"{side}_{upper}", f"{side}_{lower}")
                ours = xyz[frame, ends[1]] - xyz[frame, ends[0]]
                cosine = theirs @ ours / np.linalg.norm(theirs) / np.linalg.norm(ours)
                assert np.degrees(np.arccos(cosine)) < 10, (frame, side, upper)
