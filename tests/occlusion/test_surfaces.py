import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from trimesh.ray.ray_pyembree import RayMeshIntersector

from occlupose.bodies.anny import anny
from occlupose.bodies.body import PARTS, adjacent_parts
from occlupose.cameras import Camera
from occlupose.occlusion.surfaces import (
    NEAR_PLANE,
    NO_PART,
    NO_SURFACE,
    OcclusionCause,
    Surface,
    find_occlusion,
    render_zbuffer,
)
from occlupose.poses import ABSENT, OCCLUDED, VISIBLE
from occlupose.skeletons import BODY26
from occlupose.synth.labels import label_scene
from occlupose.synth.layout import SceneSettings, SceneSource, sample_scene

CAMERA = Camera.from_fov(128, 96, 60)


def board(depth, left=-0.5, right=0.5, top=-0.5, bottom=0.5, part=None):
    """A rectangle across the line of sight."""
    corners = np.array([[left, top, depth], [right, top, depth], [right, bottom, depth], [left, bottom, depth]])
    return Surface(
        corners, np.array([[0, 1, 2], [0, 2, 3]]), None if part is None else np.full(4, PARTS.index(part), np.uint8)
    )


def alone(name, x=0.0, y=0.0, z=2.0):
    """One joint of one person; the others unknown."""
    joints = np.full((1, len(BODY26), 3), np.nan)
    joints[0, BODY26.index(name)[0]] = x, y, z
    return joints


def judged(name, surfaces, z=2.0):
    at = BODY26.index(name)[0]
    result = find_occlusion(alone(name, z=z), BODY26, render_zbuffer(surfaces, CAMERA), CAMERA)
    return int(result.state[0, at]), OcclusionCause(result.cause[0, at]), int(result.occluder[0, at])


BEHIND = board(2.1, part="left_hand")


@pytest.mark.parametrize(
    "camera",
    [CAMERA, Camera(128, 96, 110, 110, 20.0, 70.5), Camera(97, 64, 150.0, 80.0, 48.0, 31.5)],
    ids=["middle", "off centre", "two focal lengths"],
)
def test_a_board_covers_the_pixels_with_centres_inside_it_at_its_depth(camera):
    buffer = render_zbuffer([board(3.0, -0.413, 0.307, -0.2031, 0.3537)], camera)
    y, x = np.mgrid[: camera.height, : camera.width]
    ray = camera.rays(np.stack([x, y], -1).astype(float)) * 3.0
    inside = (ray[..., 0] > -0.413) & (ray[..., 0] < 0.307) & (ray[..., 1] > -0.2031) & (ray[..., 1] < 0.3537)
    np.testing.assert_array_equal(buffer.surface == 0, inside)
    np.testing.assert_allclose(buffer.depth[inside], 3.0, rtol=1e-4)
    assert (
        np.isinf(buffer.depth[~inside]).all()
        and (buffer.surface[~inside] == NO_SURFACE).all()
        and (buffer.part == NO_PART).all()
    )


def test_depth_of_a_slanted_board_is_right_in_perspective():
    corners = np.array([[-1.0, -1, 2], [1, -1, 5], [1, 1, 5], [-1, 1, 2]])
    buffer = render_zbuffer([Surface(corners, np.array([[0, 1, 2], [0, 2, 3]]))], CAMERA)
    y, x = np.nonzero(buffer.surface == 0)
    ray = CAMERA.rays(np.stack([x, y], -1).astype(float))
    # z = 3.5 + 1.5 x on the board
    np.testing.assert_allclose(buffer.depth[y, x], 3.5 / (1 - 1.5 * ray[:, 0]), rtol=1e-3)


def test_the_nearer_surface_is_in_front_whatever_the_order():
    near = board(2.0, part="left_hand")
    far = board(3.0, part="right_foot")
    for surfaces in ([near, far], [far, near]):
        buffer = render_zbuffer(surfaces, CAMERA)
        assert buffer.part[48, 64] == PARTS.index("left_hand") and buffer.surface[48, 64] == surfaces.index(near)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_triangles_that_reach_behind_the_camera_match_ray_casting(seed):
    random = np.random.default_rng(seed)
    corners = random.uniform((-3, -3, -2), (3, 3, 4), (3, 3))
    buffer = render_zbuffer([Surface(corners, np.array([[0, 1, 2]]))], CAMERA)
    y, x = np.mgrid[: CAMERA.height, : CAMERA.width]
    ray = CAMERA.rays(np.stack([x, y], -1).astype(float))
    edges = np.cross(corners, np.roll(corners, -1, 0))  # a ray passes a triangle where it is on one side of all edges
    sides = ray @ (edges * np.sign(np.linalg.det(corners))).T
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    z = (normal @ corners[0]) / (ray @ normal)
    exact = (sides > 0).all(-1) & (z > NEAR_PLANE)
    near_edge = (np.abs(sides).min(-1) < 0.05 * np.linalg.norm(edges, axis=1).max()) | (np.abs(z - NEAR_PLANE) < 0.02)
    assert ((buffer.surface == 0) == exact)[~near_edge].all()
    np.testing.assert_allclose(buffer.depth[exact & ~near_edge], z[exact & ~near_edge], rtol=0.02)


def test_nothing_at_all_and_empty_surfaces():
    assert (render_zbuffer([], CAMERA).surface == NO_SURFACE).all()
    assert (render_zbuffer([Surface(np.zeros((0, 3)), np.zeros((0, 3), int))], CAMERA).surface == NO_SURFACE).all()


def test_a_joint_in_its_own_part_is_visible():
    assert judged("left_elbow", [board(1.9, part="left_forearm")]) == (VISIBLE, OcclusionCause.NONE, NO_SURFACE)


def test_a_joint_behind_another_part_of_its_person_is_self_occluded():
    assert judged("left_elbow", [board(1.9, part="left_trunk")]) == (OCCLUDED, OcclusionCause.SELF, 0)


def test_a_joint_before_another_part_of_its_person_is_visible():
    assert judged("left_elbow", [board(2.1, part="left_trunk")]) == (VISIBLE, OcclusionCause.NONE, NO_SURFACE)


def test_a_joint_behind_another_person_is_occluded_by_them_even_by_the_same_part():
    joints = np.concatenate([alone("left_elbow"), alone("left_elbow", x=5)])
    buffer = render_zbuffer([board(2.1, part="left_forearm"), board(1.5, part="left_forearm")], CAMERA)
    result = find_occlusion(joints, BODY26, buffer, CAMERA)
    at = BODY26.index("left_elbow")[0]
    assert (result.state[0, at], result.cause[0, at], result.occluder[0, at]) == (OCCLUDED, OcclusionCause.PERSON, 1)
    assert (result.state[1, at], result.cause[1, at]) == (ABSENT, OcclusionCause.OUTSIDE)
    assert result.occluder[1, at] == NO_SURFACE


def test_a_joint_behind_an_object_is_occluded_by_it():
    assert judged("left_elbow", [board(2.1, part="left_forearm"), board(1.5)]) == (OCCLUDED, OcclusionCause.OBJECT, 1)


@pytest.mark.parametrize("z", [-1.0, 0.0, np.nan])
def test_a_joint_behind_the_camera_or_nowhere_is_absent(z):
    assert judged("nose", [board(2.0)], z=z) == (ABSENT, OcclusionCause.OUTSIDE, NO_SURFACE)


def test_one_pixel_of_a_bar_does_not_occlude_a_joint_but_most_of_its_window_does():
    pixel = 2.0 / CAMERA.fx
    body = board(2.1, part="left_forearm")
    for wide, state in ((0.6, VISIBLE), (2.6, OCCLUDED)):
        bar = board(1.0, -wide * pixel / 4, wide * pixel / 4)
        assert judged("left_elbow", [body, bar])[0] == state


def test_every_joint_has_parts_and_mirrored_joints_mirrored_ones():
    for joint in BODY26.joints:
        other = joint.replace("left", "?").replace("right", "left").replace("?", "right")
        assert adjacent_parts(joint)
        assert set(adjacent_parts(other)) == {
            part.replace("left", "?").replace("right", "left").replace("?", "right") for part in adjacent_parts(joint)
        }


def test_the_far_side_of_a_body_is_occluded_and_rotates_with_it():
    body = anny()
    joints = {}
    for side, yaw in (("left", np.pi / 2), ("right", -np.pi / 2)):  # which side is turned towards the camera
        c = np.cos(yaw)
        s = np.sin(yaw)
        turn = (
            torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
            @ torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]]).float()
        )
        with torch.no_grad():
            posed = body(turn.expand(1, 17, 3, 3), body.neutral[None], torch.tensor([[0.0, 0, 4]]))
        surface = Surface(posed.vertices[0].numpy(), body.faces.numpy(), body.part.numpy())
        camera = Camera.from_fov(256, 256, 40)
        result = find_occlusion(posed.joints.numpy(), BODY26, render_zbuffer([surface], camera), camera)
        joints[side] = dict(zip(BODY26.joints, result.state[0].tolist(), strict=True))
    for name in ("shoulder", "hip", "ear"):
        assert joints["left"][f"left_{name}"] == joints["right"][f"right_{name}"] == VISIBLE
        assert joints["left"][f"right_{name}"] == joints["right"][f"left_{name}"] == OCCLUDED


class Rays:
    """Which triangle of some surfaces a ray from the camera meets first, by Embree: an oracle that shares nothing with
    the z-buffer.
    """

    def __init__(self, surfaces):
        starts = np.cumsum([0, *(len(surface.vertices) for surface in surfaces)])
        self.vertices = np.concatenate([surface.vertices for surface in surfaces]).astype(float)
        self.faces = np.concatenate([surface.faces + start for surface, start in zip(surfaces, starts, strict=False)])
        self.surface = np.concatenate([np.full(len(surface.faces), number) for number, surface in enumerate(surfaces)])
        parts = [np.full(len(s.faces), NO_PART) if s.part is None else s.part[s.faces[:, 0]] for s in surfaces]
        self.part = np.concatenate(parts)
        self.meet = RayMeshIntersector(trimesh.Trimesh(self.vertices, self.faces, process=False), scale_to_box=False)

    def hides(self, way, person, joint, depth):
        """Whether what is met first hides a joint; the way has z = 1."""
        face = int(self.meet.intersects_first(way[None] * NEAR_PLANE, way[None])[0])
        if face < 0:
            return False
        a, b, c = self.vertices[self.faces[face]]
        normal = np.cross(b - a, c - a)
        return (normal @ a) / (normal @ way) < depth and not (
            self.surface[face] == person
            and self.part[face] != NO_PART
            and PARTS[self.part[face]] in adjacent_parts(joint)
        )


def test_labels_of_random_scenes_agree_with_ray_casting():
    source = SceneSource.load(SceneSettings(seed=5, people=(2, 8)))
    agree = same = total = 0
    for number in range(6):
        labels = label_scene(sample_scene(source, number))
        rays = Rays(labels.scene.surfaces())
        camera = labels.scene.camera
        for person, joint in np.argwhere(labels.occlusion.state != ABSENT):
            name = BODY26.joints[joint]
            depth = labels.joints[person, joint, 2]
            hidden = labels.occlusion.state[person, joint] == OCCLUDED
            around = np.rint(labels.xy[person, joint]) + np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), -1).reshape(
                -1, 2
            )
            around = around[((around >= 0) & (around < (camera.width, camera.height))).all(1)]
            votes = [rays.hides(np.append(way[:2], 1.0), person, name, depth) for way in camera.rays(around)]
            exact = rays.hides(labels.joints[person, joint] / depth, person, name, depth)
            total += 1
            agree += hidden == (2 * sum(votes) > len(votes))
            same += hidden == exact
            if hidden != exact:  # all that one ray to the joint says otherwise lies within two pixels of an edge
                assert 0 < sum(votes) < len(votes) or labels.xy[person, joint].min() < 1
    assert total > 400
    assert agree / total >= 0.995
    assert same / total >= 0.97


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_moving_a_person_away_from_the_camera_never_occludes_those_in_front(seed):
    random = np.random.default_rng(seed)
    near = board(random.uniform(1, 2), part="left_hand")
    far = board(random.uniform(2.5, 4), part="right_hand")
    joints = np.concatenate(
        [alone("left_hand", z=near.vertices[0, 2] + 0.01), alone("right_hand", z=far.vertices[0, 2] + 0.01)]
    )
    result = find_occlusion(joints, BODY26, render_zbuffer([near, far], CAMERA), CAMERA)
    assert result.state[0, BODY26.index("left_hand")[0]] == VISIBLE
    assert result.cause[1, BODY26.index("right_hand")[0]] == OcclusionCause.PERSON
