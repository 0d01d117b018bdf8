from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation, Slerp

from body_models import random_bodies, random_rotations, skin_in_loops, smpl_arrays
from occlupose.bodies import by_name
from occlupose.bodies.anny import anny
from occlupose.bodies.body import (
    PARTS,
    SEGMENTS,
    SIDES,
    adjacent_parts,
    assign_parts,
    gram_schmidt,
    interpolate_rotations,
)
from occlupose.bodies.cylinders import cylinders
from occlupose.bodies.fitting import from_rotation_vector
from occlupose.bodies.smpl import smpl
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY26

SEEDS = st.integers(0, 2**32 - 2)
BODIES = ("anny", "cylinders", "smpl")


@pytest.fixture(scope="module")
def bodies(tmp_path_factory):
    path = tmp_path_factory.mktemp("smpl") / "smpl.npz"
    np.savez(path, **smpl_arrays())
    return {"anny": anny(), "cylinders": cylinders(), "smpl": smpl(path)}


@pytest.fixture(params=BODIES)
def body(request, bodies):
    return bodies[request.param]


def test_what_a_body_says_of_itself(body):
    vertices = len(body.template)
    assert len(body.shape_names) == len(body.low) == len(body.high) == len(body.neutral)
    assert (body.low <= body.neutral).all() and (body.neutral <= body.high).all() and (body.low < body.high).all()
    assert body.part.shape == (vertices,) and body.part.dtype == torch.uint8
    assert body.texture.shape == (vertices, 3)
    assert int(body.faces.min()) >= 0 and int(body.faces.max()) < vertices
    assert body.skeleton == BODY26
    torch.testing.assert_close(body.weights.sum(1), torch.ones(vertices))
    torch.testing.assert_close(body.regressor.sum(1) + body.head_regressor.sum(1), torch.ones(26), atol=1e-4, rtol=0)
    assert all(parent < bone for bone, parent in enumerate(body.parents)) and body.parents.count(-1) == 1


def test_at_rest_a_body_stands_upright_faces_forward_and_has_its_left_on_its_left(body):
    rest = dict(zip(BODY26.joints, body.rest(body.neutral[None])[0], strict=True))
    chain = "foot ankle knee hip shoulder ear".split()
    assert all(rest[f"left_{low}"][1] < rest[f"left_{high}"][1] for low, high in pairwise(chain))
    assert rest["pelvis"][1] < rest["spine"][1] < rest["thorax"][1] < rest["neck_nose"][1] < rest["head_top"][1]
    assert rest["nose"][2] > rest["left_ear"][2] and rest["left_foot"][2] > rest["left_ankle"][2]
    for joint in BODY26.joints:
        if joint.startswith("left_"):
            assert rest[joint][0] > rest[joint.replace("left_", "right_")][0]


@settings(max_examples=10)
@given(seed=SEEDS)
@pytest.mark.parametrize("name", BODIES)
def test_skinning_is_what_plain_loops_give(bodies, name, seed):
    body = bodies[name]
    pose, shape, translation = random_bodies(body, seed, 2)
    both = body(pose, shape, translation)
    for place in range(2):
        plain = skin_in_loops(body, pose[place], shape[place], translation[place])
        torch.testing.assert_close(both.vertices[place], plain.vertices, atol=5e-6, rtol=1e-5)


@settings(max_examples=10)
@given(seed=SEEDS)
@pytest.mark.parametrize("name", BODIES)
def test_joints_are_the_means_of_vertices_and_beginnings_of_bones_that_the_regressors_say(bodies, name, seed):
    body = replace(bodies[name], pose_directions=None)
    pose, shape, translation = random_bodies(body, seed)
    joints = body.joints(pose, shape, translation)
    assert torch.equal(joints, body(pose, shape, translation).joints)
    plain = skin_in_loops(body, pose[0], shape[0], translation[0])
    torch.testing.assert_close(joints[0], plain.joints, atol=3e-4, rtol=0)  # weights below LEAST are left out


@settings(max_examples=10)
@given(seed=SEEDS)
@pytest.mark.parametrize("name", BODIES)
def test_who_is_moved_as_a_whole_stays_the_same(bodies, name, seed):
    body = bodies[name]
    pose, shape, translation = random_bodies(body, seed)
    moved = random_rotations(seed + 7, most=3.0)
    far = torch.tensor([1.0, -2.0, 3.0])
    before = body(pose, shape, translation)
    after = body(moved @ pose, shape, translation @ moved.T + far)
    torch.testing.assert_close(after.vertices, before.vertices @ moved.T + far, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(after.joints, before.joints @ moved.T + far, atol=1e-5, rtol=1e-5)


def test_bodies_of_a_batch_do_not_know_each_other(body):
    pose, shape, translation = random_bodies(body, 3, 3)
    together = body(pose, shape, translation)
    for place in range(3):
        one = body(*(value[place : place + 1] for value in (pose, shape, translation)))
        torch.testing.assert_close(one.vertices[0], together.vertices[place], atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(one.joints[0], together.joints[place], atol=2e-6, rtol=1e-5)
    empty = body(*(value[:0] for value in (pose, shape, translation)))
    assert empty.vertices.shape == (0, len(body.template), 3) and empty.joints.shape == (0, 26, 3)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_levers_are_what_small_turns_do(body, segment):
    pose, shape, translation = random_bodies(body, 5)
    for side in SIDES:  # bones between two segments share their turns where these are turned alike
        pose[:, SEGMENTS.index(f"{side}_hand")] = pose[:, SEGMENTS.index(f"{side}_forearm")]
    pose[:, 1:3] = pose[:, :1]
    joints, lever_arms = body.lever_arms(pose, shape, translation)
    torch.testing.assert_close(joints, body.joints(pose, shape, translation))
    place = SEGMENTS.index(segment)
    small = 1e-2
    for axis in torch.eye(3):
        there = pose.clone()
        back = pose.clone()
        there[:, place] = from_rotation_vector(small * axis) @ pose[:, place]
        back[:, place] = from_rotation_vector(-small * axis) @ pose[:, place]
        seen = (body.joints(there, shape, translation) - body.joints(back, shape, translation)) / (2 * small)
        torch.testing.assert_close(
            seen, torch.linalg.cross(axis.expand_as(seen), lever_arms[:, :, place]), atol=5e-4, rtol=0
        )


def test_gradients_are_what_small_changes_do(body):
    generator = torch.Generator().manual_seed(0)
    pose, _, translation = random_bodies(body, 1)
    vertices = torch.randn(len(body.template), 3, generator=generator)
    joints = torch.randn(26, 3, generator=generator)
    vertices /= len(body.template)

    def value(vector, shape, translation):
        result = body(from_rotation_vector(vector) @ pose, shape, translation)
        return (result.vertices * vertices).sum() + (result.joints * joints).sum()

    # where shapes have no corners
    between = torch.lerp(body.low, body.high, torch.linspace(0.42, 0.46, len(body.low)))[None]
    given = [0.1 * torch.randn(1, 17, 3, generator=generator), between, translation]
    for argument in given:
        argument.requires_grad_()
    gradients = torch.autograd.grad(value(*given), given)
    for place, gradient in enumerate(gradients):
        assert gradient.isfinite().all()
        direction = torch.randn(given[place].shape, generator=generator)
        there = [one + 0.005 * direction if n == place else one for n, one in enumerate(given)]
        back = [one - 0.005 * direction if n == place else one for n, one in enumerate(given)]
        with torch.no_grad():
            seen = (value(*there) - value(*back)) / 1e-2
        torch.testing.assert_close((gradient * direction).sum(), seen, atol=5e-3, rtol=5e-3)


def test_gradients_are_finite_at_rest(body):
    pose = torch.eye(3).repeat(1, 17, 1, 1).requires_grad_()
    shape = body.neutral[None].clone().requires_grad_()
    translation = torch.zeros(1, 3, requires_grad=True)
    posed_body = body(pose, shape, translation)
    for gradient in torch.autograd.grad(
        posed_body.vertices.sum() + posed_body.joints.sum(), (pose, shape, translation)
    ):
        assert gradient.isfinite().all()


def test_a_surface_has_every_part(body):
    assert set(body.part.tolist()) == set(range(len(PARTS)))


@pytest.mark.parametrize("name", ["anny", "cylinders"])
def test_left_and_right_mirror_each_other(bodies, name):
    body = bodies[name]
    clear = body.texture[:, 0].abs() > 1e-3  # what lies on the midline is of one side
    for part in (part for part in PARTS if part.startswith("left")):
        mirrored = PARTS.index(part.replace("left", "right"))
        left = body.texture[clear & (body.part == PARTS.index(part))]
        right = body.texture[clear & (body.part == mirrored)]
        apart = torch.cdist(left * torch.tensor([-1.0, 1, 1]), right)
        assert (apart.amin(1) < 1e-3).float().mean() > 0.98 and (apart.amin(0) < 1e-3).float().mean() > 0.98, part


def test_joints_have_parts_of_their_own_side_beside_them():
    assert adjacent_parts("left_knee") == ("left_thigh", "left_shank")
    assert adjacent_parts("nose") == ("left_face", "right_face")
    assert adjacent_parts("right_hip") == ("right_trunk", "right_thigh")
    for joint in BODY26.joints:
        assert adjacent_parts(joint) and set(adjacent_parts(joint)) <= set(PARTS)


def test_a_surface_is_divided_by_what_it_follows_and_where_it_is():
    place = np.array(
        [(0.1, 0, 0), (-0.1, 0, 0), (0.1, 0, 0.2), (-0.1, 0, -0.2), (-0.1, 0, 0), (0.1, 0, 0), (0.1, 0, 0)]
    )
    region = ["pelvis", "left_clavicle", "head", "head", "neck", "right_forearm", "chest"]
    parts = [PARTS[part] for part in assign_parts(region, place, ears=0.0).tolist()]
    assert parts == [
        "left_trunk",
        "right_trunk",
        "left_face",
        "right_skull",
        "right_neck",
        "right_forearm",
        "left_trunk",
    ]


@given(seed=SEEDS, share=st.floats(0, 1))
def test_between_two_turns_is_nearly_where_spherical_interpolation_is(seed, share):
    one, other = random_rotations(seed, 2, most=0.4)
    spherical = Slerp([0, 1], Rotation.from_matrix(np.stack([one, other])))(share).as_matrix()
    between = interpolate_rotations(one, other, torch.tensor(share)).numpy()
    assert Rotation.from_matrix(between @ spherical.T).magnitude() < 0.03
    np.testing.assert_allclose(interpolate_rotations(one, other, torch.tensor(0.0)), one, atol=1e-5)
    np.testing.assert_allclose(interpolate_rotations(one, other, torch.tensor(1.0)), other, atol=1e-5)


@given(seed=SEEDS)
def test_square_makes_rotations_and_keeps_them(seed):
    rotation = random_rotations(seed, most=3.0)
    torch.testing.assert_close(gram_schmidt(rotation), rotation, atol=1e-5, rtol=0)
    matrix = gram_schmidt(torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 3))).float())
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3), atol=1e-4, rtol=0)
    assert torch.linalg.det(matrix) > 0


def test_bodies_by_name(tmp_path):
    assert by_name("anny").name == "anny" and by_name("cylinders").name == "cylinders"
    np.savez(tmp_path / "mine.npz", **smpl_arrays())
    assert by_name(str(tmp_path / "mine.npz")).name == "smpl"
    with pytest.raises(
        OccluposeError,
        match=r"^bob: not a known body model; known are anny, cylinders, and SMPL as the path of its \.npz$",
    ):
        by_name("bob")
