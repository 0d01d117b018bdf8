"""glTF files, evaluated by a reader of their own."""

from dataclasses import replace

import numpy as np
import pytest

from floor_records import record_of, standing
from gltf_reader import Glb
from known_fits import known_fit, poses_of_fit, without
from moving_skeletons import moving_poses
from occlupose.bodies.anny import anny
from occlupose.formats import gltf
from occlupose.kinematics import fit_poses
from occlupose.kinematics.surface import move_body
from occlupose.skeletons import H36M17


@pytest.fixture(scope="module")
def poses():
    return moving_poses(np.random.default_rng(0), 12)


@pytest.fixture(scope="module")
def fit(poses):
    return fit_poses(poses).turn_y_up()


@pytest.fixture(scope="module")
def file(poses, tmp_path_factory):
    (path,) = poses.export(tmp_path_factory.mktemp("gltf") / "walk.glb")
    return Glb(path)


def one_person(path, fit):
    gltf.write(poses_of_fit(fit), path, fit)
    return Glb(path)


def test_joints_are_those_of_the_fit(file, fit, poses):
    np.testing.assert_allclose(file.times(), poses.time, atol=1e-6)
    for frame, time in enumerate(file.times()):
        places = file.places(time)
        for person, track_id in enumerate(poses.track_id):
            for point, name in enumerate(fit.skeleton.joints):
                expected = fit.xyz[frame, person, point]
                np.testing.assert_allclose(places[f"id_{track_id}:{name}"], expected, atol=1e-5)


def test_the_skin_is_the_body_model(file, fit, poses):
    body = anny(captured=True)
    for person, track_id in enumerate(poses.track_id):
        motion = move_body(fit, person, body)
        for frame in (0, 7, 11):
            expected = motion.at(slice(frame, frame + 1)).vertices[0].numpy()
            vertices = file.vertices(f"id_{track_id}:body", file.times()[frame])
            assert np.linalg.norm(vertices - expected, axis=1).max() < 2e-4


def test_between_frames_bones_turn_evenly(file):
    time = file.times()[3:5].mean()
    middle = file.vertices("id_1:body", time)
    around = (file.vertices("id_1:body", file.times()[3]) + file.vertices("id_1:body", file.times()[4])) / 2
    assert np.linalg.norm(middle - around, axis=1).max() < 0.01


def test_the_parts_of_a_file(file, poses):
    document = file.document
    assert document["asset"]["version"] == "2.0" and len(document["buffers"]) == 1
    tops = [document["nodes"][node]["name"] for node in document["scenes"][0]["nodes"]]
    assert tops == ["id_1:person", "id_1:body", "id_4:person", "id_4:body"]
    assert [document["nodes"][file.names.index(f"id_{n}:person")]["extras"]["track_id"] for n in (1, 4)] == [1, 4]
    bones = [file.names[joint].removeprefix("id_1:") for joint in document["skins"][0]["joints"]]
    assert bones[0] == "pelvis_bone" and len(bones) == 26
    assert {"left_thigh_bone", "right_hand_bone", "head_bone", "chest_bone"} < {*bones}
    primitive = document["meshes"][0]["primitives"][0]
    weights = sum(file.array(primitive["attributes"][f"WEIGHTS_{number}"]).sum(1) for number in range(2))
    np.testing.assert_allclose(weights, 1, atol=1e-5)
    indices = file.array(primitive["indices"])
    assert indices.max() < len(weights) and len(indices) % 3 == 0
    normals = file.array(primitive["attributes"]["NORMAL"])
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    rest = file.array(primitive["attributes"]["POSITION"]).astype(float)
    sizes = [volume(rest + depth * normals, indices) for depth in (0, 0.002)]
    assert 0.04 < sizes[0] < sizes[1] - 0.002 < 0.12  # triangles and normals show outwards; 1.5 m^2 of skin


def test_every_node_has_its_own_name(file, tmp_path):
    assert len({*file.names}) == len(file.names)
    alone = one_person(tmp_path / "a.glb", known_fit([{}] * 2)).names
    assert len({*alone}) == len(alone) and {"left_hand", "left_hand_bone"} < {*alone}


def volume(vertices, indices):
    """Cubic metres inside triangles that run counterclockwise, seen from outside."""
    corners = vertices[indices.reshape(-1, 3)]
    return np.sum(corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])) / 6


def test_a_t_pose_and_a_bent_knee(tmp_path):
    glb = one_person(tmp_path / "a.glb", known_fit([{}, {"left_shank": (np.pi / 2, 0, 0)}]))
    straight = glb.places(0.0)
    bent = glb.places(glb.times()[1])
    np.testing.assert_allclose(straight["left_ankle"][[0, 2]], straight["left_knee"][[0, 2]], atol=1e-6)
    np.testing.assert_allclose(bent["left_ankle"][:2], bent["left_knee"][:2], atol=1e-6)
    assert bent["left_ankle"][2] < bent["left_knee"][2] - 0.3
    lowest = [glb.vertices("body", time)[:, 1].min() for time in glb.times()]
    assert abs(lowest[0] - straight["left_big_toe"][1]) < 0.1 and lowest[1] == pytest.approx(lowest[0], abs=0.05)


def test_mirrored_people_have_mirrored_bodies(tmp_path):
    left = one_person(tmp_path / "a.glb", known_fit([{"left_shank": (1.2, 0, 0), "left_upper_arm": (0, 0, -1)}]))
    right = one_person(tmp_path / "b.glb", known_fit([{"right_shank": (1.2, 0, 0), "right_upper_arm": (0, 0, 1)}]))
    middle = left.places(0.0)["pelvis"][0]
    mirrored = right.vertices("body", 0.0) * (-1, 1, 1) + (2 * middle, 0, 0)
    np.testing.assert_allclose(left.vertices("body", 0.0).min(0), mirrored.min(0), atol=0.01)
    np.testing.assert_allclose(left.vertices("body", 0.0).max(0), mirrored.max(0), atol=0.01)


def test_who_is_absent_has_no_size(tmp_path):
    fit = known_fit([{}] * 6)
    poses = poses_of_fit(without(fit, [2, 3]))
    path = tmp_path / "a.glb"
    gltf.write(poses, path, fit)
    glb = Glb(path)
    sizes = [np.ptp(glb.vertices("body", time), axis=0).max() for time in glb.times()]
    assert min(sizes[:2] + sizes[4:]) > 1 and max(sizes[2:4]) < 1e-9


@pytest.mark.parametrize("away", [[0, 1], [4, 5], [0, 1, 3, 5]], ids=["late", "early", "both"])
def test_who_has_not_come_or_has_left_has_no_size(tmp_path, away):
    poses = poses_of_fit(without(known_fit([{}] * 6), away))
    fit = known_fit([{}] * 6)
    for frame in {*away} & {0, 1, 4, 5}:  # between first and last frame a fit is known everywhere
        fit = without(fit, [frame])
    path = tmp_path / "a.glb"
    gltf.write(poses, path, fit)
    glb = Glb(path)
    times = (poses.time - poses.time[0]).astype(np.float32)
    sizes = [np.ptp(glb.vertices("body", time), axis=0).max() for time in times]
    assert [size < 1e-9 for size in sizes] == [frame in away for frame in range(6)]
    assert all(size > 1 for frame, size in enumerate(sizes) if frame not in away)


def test_times_that_do_not_ascend_are_left_out(tmp_path):
    fit = known_fit([{}] * 4)
    poses = replace(poses_of_fit(fit), time=np.array([5.0, 5.5, 5.5, 6]))
    path = tmp_path / "a.glb"
    gltf.write(poses, path, fit)
    np.testing.assert_allclose(Glb(path).times(), [0, 0.5, 1])


def test_the_skeletons_of_a_record_stand_on_the_floor_of_its_world(tmp_path):
    truth = standing(people=2)
    poses = record_of(truth, H36M17)
    glb = Glb(poses.export(tmp_path / "a.glb")[0])
    for frame, time in enumerate(glb.times()):
        places = glb.places(time)
        for person, track_id in enumerate(poses.track_id):
            for point, name in enumerate(truth.skeleton.joints):
                expected = truth.xyz[frame, person, point]
                np.testing.assert_allclose(places[f"id_{track_id}:{name}"], expected, atol=1e-5)
    assert glb.vertices("id_1:body", 0.0)[:, 1].min() == pytest.approx(0, abs=0.1)  # soles are below the joints
