import csv
from dataclasses import replace

import numpy as np
import pytest

from floor_records import record_of, standing
from known_fits import SIGMA, known_fit, poses_of_fit, without
from moving_skeletons import moving_poses
from occlupose.errors import OccluposeError
from occlupose.kinematics import fit, measure_angles
from occlupose.kinematics.joint_angles import COLUMNS
from occlupose.poses import OCCLUDED
from occlupose.skeletons import COCO17, H36M17
from occlupose.world_frame import WorldFrame

HANGING = {"left_upper_arm": (0, 0, -np.pi / 2), "right_upper_arm": (0, 0, np.pi / 2)}


def measured(frames):
    """Angles of one person with these rotations, degrees by name, (time, angle); the fit is in the camera's axes."""
    fit = known_fit(frames).turn_y_up()  # half a turn, which is its own inverse
    return measure_angles(poses_of_fit(known_fit(frames)), fit)


def degrees(frames):
    angles = measured(frames)
    return {name: np.degrees(angles.value[:, 0, index]) for index, name in enumerate(angles.names)}


def test_who_stands_with_hanging_arms_has_no_angles():
    values = degrees([HANGING])
    assert len(values) == 30 and {name for name, value in values.items() if abs(value[0]) > 0.1} <= {
        "trunk_inclination",  # the thorax is not exactly above the pelvis
        *(f"{side}_shoulder_{turn}" for side in ("left", "right") for turn in ("elevation_plane", "internal_rotation")),
    }
    assert abs(values["trunk_inclination"][0]) < 10


def test_a_t_pose_is_an_elevation_of_90_degrees_in_the_plane_0():
    values = degrees([{}])
    for side in ("left", "right"):
        assert values[f"{side}_shoulder_elevation"] == pytest.approx(90, abs=1e-3)
        assert values[f"{side}_shoulder_elevation_plane"] == pytest.approx(0, abs=1e-3)
        assert values[f"{side}_upper_arm_inclination"] == pytest.approx(90, abs=1e-2)
        assert values[f"{side}_knee_flexion"] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("segment", "vector", "name", "value"),
    [
        ("left_shank", (np.pi / 2, 0, 0), "left_knee_flexion", 90),
        ("right_shank", (np.pi / 2, 0, 0), "right_knee_flexion", 90),
        ("left_thigh", (-1, 0, 0), "left_hip_flexion", np.degrees(1)),
        ("left_thigh", (0, 0, -0.4), "left_hip_adduction", np.degrees(0.4)),
        ("right_thigh", (0, 0.4, 0), "right_hip_internal_rotation", np.degrees(0.4)),
        ("left_foot", (-0.3, 0, 0), "left_ankle_dorsiflexion", np.degrees(0.3)),
        ("left_forearm", (0, -1, 0), "left_elbow_flexion", np.degrees(1)),
        ("right_forearm", (0, 1, 0), "right_elbow_flexion", np.degrees(1)),
        ("abdomen", (0.5, 0, 0), "trunk_flexion", np.degrees(0.5)),
        ("chest", (0, 0, 0.5), "trunk_right_bending", np.degrees(0.5)),
        ("chest", (0, 0.5, 0), "trunk_left_rotation", np.degrees(0.5)),
        ("left_upper_arm", (0, -np.pi / 2, 0), "left_shoulder_elevation_plane", 90),
        ("pelvis", (0.5, 0, 0), "left_thigh_inclination", np.degrees(0.5)),
    ],
)
def test_known_angles(segment, vector, name, value):
    assert degrees([{segment: vector}])[name][0] == pytest.approx(value, abs=1e-2)


def test_mirrored_people_have_the_same_angles():
    turned = {"thigh": (-0.5, 0.2, 0.1), "shank": (1, 0, 0), "upper_arm": (0.2, -0.3, -0.8), "forearm": (0, -1, 0)}
    left = degrees([{f"left_{name}": vector for name, vector in turned.items()}])
    right = degrees([{f"right_{name}": np.multiply(vector, (1, -1, -1)) for name, vector in turned.items()}])
    for name, value in left.items():
        if name.startswith("left"):
            np.testing.assert_allclose(value, right[name.replace("left", "right")], atol=1e-3)


def test_inclinations_are_to_what_is_up():
    poses = poses_of_fit(known_fit([{}]))
    fit = known_fit([{}]).turn_y_up()
    tilted = measure_angles(poses, fit, up=(0, -2 * np.cos(0.3), 2 * np.sin(0.3)))
    inclined = tilted.names.index("left_shank_inclination")
    assert tilted.value[0, 0, inclined] == pytest.approx(0.3, abs=1e-3)


BENT = [HANGING, HANGING | {"left_shank": (1, 0, 0), "pelvis": (0.3, 0, 0)}]


def test_skeletons_in_the_poses_are_not_fitted_again(monkeypatch):
    monkeypatch.setattr(fit, "fit_poses", None)
    truth = standing(BENT)
    angles = measure_angles(record_of(truth, H36M17))
    expected = measure_angles(poses_of_fit(truth), known_fit(BENT).turn_y_up())
    shown = np.isfinite(angles.value)  # of ankles these joints show nothing
    assert shown.sum() == 2 * 28
    np.testing.assert_allclose(angles.value[shown], expected.value[shown], atol=1e-3)
    assert np.isfinite(angles.sigma[shown]).all()


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (30, 0), (20, -15)])
def test_inclinations_are_to_up_in_the_world(pitch, roll):
    poses = record_of(standing(BENT), pitch=pitch, roll=roll)
    expected = [0, np.degrees(0.3 + 1)]
    angles = measure_angles(poses)
    shank = angles.names.index("left_shank_inclination")
    np.testing.assert_allclose(np.degrees(angles.value[:, 0, shank]), expected, atol=0.05)
    turned = measure_angles(poses, up=tuple(poses.world.rotation[0]))  # what the caller says counts more
    np.testing.assert_allclose(np.degrees(turned.value[:, 0, shank]), 90, atol=0.05)


def test_without_a_world_inclinations_are_to_up_in_the_camera():
    poses = record_of(standing(BENT))
    assert poses.camera is not None
    shank = measure_angles(poses).names.index("left_shank_inclination")
    tilted = replace(poses, world=None)
    assert np.degrees(measure_angles(tilted).value[0, 0, shank]) > 15
    level = replace(tilted, camera=replace(poses.camera, up=tuple(poses.world.up)))
    assert np.degrees(measure_angles(level).value[0, 0, shank]) < 0.1


def test_how_certain_up_is_counts_in_inclinations():
    poses = record_of(standing([{"pelvis": (0.5, 0, 0)}, {}]))
    certain = replace(poses, world=WorldFrame.from_floor(poses.world.up, poses.world.translation[2]))
    angles = measure_angles(poses)
    shank = angles.names.index("left_shank_inclination")
    added = angles.sigma**2 - measure_angles(certain).sigma ** 2
    np.testing.assert_allclose(added[:, 0, shank], 0.03**2, rtol=0.01)  # also of what is vertical
    assert added[0, 0, angles.names.index("left_knee_flexion")] == 0


def test_velocities_are_those_of_a_knee_that_bends_evenly():
    angles = measured([{"left_shank": (0.02 * frame, 0, 0)} for frame in range(10)])
    index = angles.names.index("left_knee_flexion")
    np.testing.assert_allclose(angles.velocity[:, 0, index], 0.02 * 50, atol=1e-4)
    assert np.isnan(measured([{}]).velocity).all()  # one frame has none


def test_velocities_follow_the_times_of_the_frames():
    """In a video of a variable rate."""
    time = np.array([0, 0.02, 0.04, 0.24, 0.26, 0.28, 0.28])
    frames = [{"left_shank": (now, 0, 0)} for now in time]
    poses = replace(poses_of_fit(known_fit(frames)), time=time)
    angles = measure_angles(poses, known_fit(frames).turn_y_up())
    velocity = angles.velocity[:, 0, angles.names.index("left_knee_flexion")]
    np.testing.assert_allclose(velocity[:-1], 1, atol=1e-4)
    assert np.isnan(velocity[-1])


def test_standard_deviations_are_those_of_the_joints_rotation():
    angles = measured([{"left_shank": (1, 0, 0)}])
    sigma = dict(zip(angles.names, angles.sigma[0, 0], strict=True))
    for name in ("left_knee_flexion", "left_hip_flexion", "trunk_left_rotation"):
        assert sigma[name] == pytest.approx(SIGMA, rel=1e-3)
    length = known_fit([{}]).bone_lengths[0, known_fit([{}]).skeleton.index("left_knee")[0] - 1]
    assert sigma["left_thigh_inclination"] == pytest.approx(np.sqrt(2) * SIGMA / length, rel=1e-2)


def test_standard_deviations_hold_for_noisy_joints():
    random = np.random.default_rng(0)
    truth = moving_poses(random, 60, people=1)
    noisy = replace(
        truth,
        xyz=truth.xyz + random.normal(0, 0.02, truth.xyz.shape),
        covariance=np.broadcast_to(np.array([1, 1, 1, 0, 0, 0]) * 0.02**2, (*truth.state.shape, 6)),
        camera=None,
    )
    exact = measure_angles(replace(truth, camera=None))
    found = measure_angles(noisy)
    for name in ("left_knee_flexion", "right_elbow_flexion", "left_hip_flexion", "right_thigh_inclination"):
        index = found.names.index(name)
        error = np.abs(found.value - exact.value)[:, 0, index]
        assert (error < 2 * found.sigma[:, 0, index]).mean() > 0.9, name


def test_states_are_the_lowest_of_the_joints_and_absence_is_unknown():
    fit = known_fit([{}] * 5)
    poses = poses_of_fit(without(fit, [4]))
    poses.state[1, 0, poses.skeleton.index("left_ankle")] = OCCLUDED
    angles = measure_angles(poses, fit.turn_y_up())
    states = {name: angles.state[:, 0, index].tolist() for index, name in enumerate(angles.names)}
    assert states["left_knee_flexion"] == [2, 1, 2, 2, 0] and states["right_knee_flexion"] == [2, 2, 2, 2, 0]
    assert states["left_hip_flexion"] == [2, 1, 2, 2, 0] and states["left_thigh_inclination"] == [2, 2, 2, 2, 0]
    assert np.isnan(angles.value[4]).all() and np.isfinite(angles.value[:4]).all()


def test_what_the_joints_do_not_show_is_unknown():
    poses = moving_poses(np.random.default_rng(0), 10, people=1, skeleton=H36M17)
    angles = measure_angles(poses)
    unknown = {name for index, name in enumerate(angles.names) if np.isnan(angles.value[..., index]).all()}
    assert unknown == {"left_ankle_dorsiflexion", "right_ankle_dorsiflexion"}


def test_a_table_has_a_row_for_each_known_angle(tmp_path):
    angles = measured([{"left_shank": (1, 0, 0)}] * 2)
    angles.save(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert tuple(rows[0]) == COLUMNS and len(rows) == 2 * len(angles.names)
    knee = next(row for row in rows if (row["angle"], row["frame"]) == ("left_knee_flexion", "1"))
    assert float(knee["value_deg"]) == pytest.approx(np.degrees(1), abs=1e-4)
    assert (knee["time_s"], knee["person"], knee["state"]) == ("0.02", "1", "visible")
    with pytest.raises(OccluposeError, match=r"a.txt: is no table; give a .csv"):
        angles.save(tmp_path / "a.txt")


def test_poses_in_2d_are_refused():
    with pytest.raises(OccluposeError, match="the poses are in 2D, a skeleton is fitted in 3D; lift them"):
        measure_angles(moving_poses(np.random.default_rng(0), 3).to_2d())


def test_nobody_has_no_angles():
    poses = moving_poses(np.random.default_rng(0), 3)
    assert measure_angles(poses.select(person=[])).value.shape == (3, 0, 30)
    assert measure_angles(poses.select(time=slice(0, 0))).value.shape == (0, 2, 30)


def test_a_skeleton_without_a_pelvis_may_have_a_covariance_of_the_root():
    poses = moving_poses(np.random.default_rng(0), 4, people=1, skeleton=H36M17)
    covariance = np.broadcast_to(np.array([1, 1, 1, 0, 0, 0]) * 1e-4, (*poses.state.shape, 6))
    lifted = replace(poses, covariance=covariance, root_covariance=covariance[:, :, 0])
    angles = measure_angles(lifted.to(COCO17))
    expected = measure_angles(lifted)
    knee = angles.names.index("left_knee_flexion")
    np.testing.assert_allclose(angles.value[..., knee], expected.value[..., knee], atol=np.radians(5))


def test_people_of_whom_no_joint_is_known_are_refused():
    poses = moving_poses(np.random.default_rng(0), 3)
    with pytest.raises(OccluposeError, match="nobody has a joint in 3D that can be fitted"):
        measure_angles(replace(poses, xyz=np.full_like(poses.xyz, np.nan)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"up": (0, 0, 0)}, r"up \(0, 0, 0\): has no direction"),
        ({"fit": known_fit([{}])}, "fit: is of 1 frames and 1 people, the poses are of 3 frames and 1 people; give"),
    ],
)
def test_no_direction_and_the_fit_of_others_are_refused(arguments, message):
    with pytest.raises(OccluposeError, match=message):
        measure_angles(poses_of_fit(known_fit([{}] * 3)), **arguments)
