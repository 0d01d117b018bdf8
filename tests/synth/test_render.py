"""Images of scenes: the same geometry as the labels, light, and the error where images cannot be rendered."""

import builtins
from dataclasses import replace

import numpy as np
import pytest
import torch

from occlupose.bodies.anny import anny
from occlupose.cameras import Camera
from occlupose.errors import OccluposeError
from occlupose.occlusion.surfaces import render_zbuffer
from occlupose.synth.camera_effects import apply_camera_effects
from occlupose.synth.clothing import CLOTHING_OFFSET, ClothedMesh
from occlupose.synth.render import Renderer
from occlupose.synth.sampling import sample_person, sample_surroundings
from occlupose.synth.scene import Person, Scene, SceneObject
from occlupose.synth.virtual_cameras import axis_rotation

CORNERS = np.array([[x, y, z] for x in (-0.3, 0.3) for y in (0.0, 0.6) for z in (-0.3, 0.3)])
BOX = np.array(
    [
        [0, 1, 3],
        [0, 3, 2],
        [4, 6, 7],
        [4, 7, 5],
        [0, 4, 5],
        [0, 5, 1],
        [2, 3, 7],
        [2, 7, 6],
        [0, 2, 6],
        [0, 6, 4],
        [1, 5, 7],
        [1, 7, 3],
    ]
)


def standing(x, z, *, facing=0.0, appearance_seed=1, gender=0.5, raised=0.0):
    """A person who stands on the ground, perhaps with an arm raised (radians)."""
    body = anny()
    pose = axis_rotation(1, torch.tensor([facing])).repeat(17, 1, 1)
    pose[4:7] = pose[4:7] @ axis_rotation(2, torch.tensor([raised]))
    shape = body.neutral.clone()
    shape[0] = gender
    posed = body(pose[None], shape[None], torch.zeros(1, 3))
    lift = np.array([x, -float(posed.vertices[0, :, 1].min()), z])
    joints = posed.joints[0].numpy() + lift
    vertices = posed.vertices[0].numpy() + lift
    return Person(shape.numpy(), pose.numpy(), lift, joints, vertices, appearance_seed)


def scene(*people, camera=None, objects=(), appearance_seed=3, camera_position=(0.0, 1.5, 4.0), pitch=0.1):
    """A scene with a camera towards -z."""
    rotation = (axis_rotation(0, torch.tensor([pitch]))[0] @ torch.diag(torch.tensor([1.0, -1, -1]))).double().numpy()
    camera = camera or Camera.from_fov(256, 192, 50)
    return Scene(anny(), people, objects, camera, rotation, np.array(camera_position), appearance_seed)


@pytest.fixture(scope="module")
def renderer():
    try:
        return Renderer()
    except OccluposeError as error:
        pytest.skip(f"EGL is missing: {error}")


@pytest.fixture(scope="module")
def three_people():
    people = [
        standing(-0.7, 0, facing=0.4, appearance_seed=5),
        standing(0.1, -0.5, facing=2.0, appearance_seed=6, raised=1.2),
        standing(0.8, 0.6, appearance_seed=7),
    ]
    return scene(*people, objects=(SceneObject("box", CORNERS + np.array([0.2, 0, 0.8]), BOX, 4),))


def test_an_image_is_the_same_each_time(renderer, three_people):
    first = renderer.render(three_people)
    renderer.render(replace(three_people, appearance_seed=99))
    assert first.shape == (192, 256, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, renderer.render(three_people))
    assert (first != renderer.render(replace(three_people, appearance_seed=99))).mean() > 0.5


@pytest.mark.parametrize(
    "camera",
    [
        Camera.from_fov(256, 192, 50),
        Camera(320, 180, 250.0, 310.0, 140.3, 101.8),
        Camera(180, 240, 260.0, 215.0, 100.2, 130.6),
    ],
)
def test_bare_bodies_are_where_the_labels_are(renderer, three_people, camera):
    seen = replace(three_people, camera=camera)
    truth = render_zbuffer(seen.surfaces(), camera).surface
    assert len(np.unique(truth)) == 5
    assert (renderer.surface_ids(seen) == truth).mean() > 0.998


@pytest.mark.parametrize("camera", [Camera.from_fov(512, 320, 50), Camera(480, 320, 400.0, 460.0, 200.3, 171.8)])
def test_dressed_people_are_where_the_labels_are(renderer, three_people, camera):
    seen = replace(three_people, camera=camera)
    truth = render_zbuffer(seen.surfaces(), camera).surface >= 0
    renderer.render(seen)
    drawn = renderer.foreground_mask(camera)
    assert (drawn == truth).mean() > 0.99
    assert (drawn[truth]).mean() > 0.99  # clothes add at the edge and take nothing away
    moved = np.roll(truth, 2, axis=1)
    assert (drawn == truth).mean() > (drawn == moved).mean() > (drawn == np.roll(truth, 6, axis=1)).mean()


def test_clothes_and_hair_stay_near_the_body():
    person = standing(0, 0)
    pattern = ClothedMesh(anny())
    for seed in range(12):
        vertices, normal = pattern.add_clothes(person.vertices, sample_person(np.random.default_rng(seed)))
        moved = np.linalg.norm(vertices - person.vertices, axis=1)
        assert 0.002 < moved.max() <= CLOTHING_OFFSET + 1e-6
        assert np.isfinite(normal).all()
    bare, _ = pattern.add_clothes(person.vertices, None)
    np.testing.assert_allclose(bare, person.vertices, atol=1e-6)


def test_joints_are_on_their_people(renderer, three_people):
    seen = replace(three_people, objects=(), people=three_people.people[:1])
    item = renderer.surface_ids(seen)
    xy = np.rint(seen.camera.project(seen.to_camera(seen.people[0].joints))).astype(int)
    inside = (xy >= 0).all(1) & (xy < (seen.camera.width, seen.camera.height)).all(1)
    assert inside.sum() > 15
    assert (item[xy[inside, 1], xy[inside, 0]] == 0).mean() > 0.9


def sunny():
    """The seed of an outdoor scene with shadows."""
    samples = ((seed, sample_surroundings(np.random.default_rng(seed))) for seed in range(200))
    return next(
        seed for seed, drawn in samples if not drawn.indoor and sum(drawn.sun) > 5 and drawn.sun_direction[1] < 0.75
    )


def test_people_throw_shadows(renderer):
    look = sunny()
    with_them = renderer.render(scene(standing(0, 0), appearance_seed=look)).astype(float).mean(-1)
    camera = Camera.from_fov(256, 192, 50)
    empty = renderer.render(scene(appearance_seed=look)).astype(float).mean(-1)
    ground = (render_zbuffer(scene(standing(0, 0)).surfaces(), camera).surface < 0) & (np.arange(192) > 120)[:, None]
    darker = np.where(ground, empty - with_them, 0)
    assert (darker > 15).sum() > 40
    assert (np.where(ground, with_them - empty, 0) > 25).mean() < 0.01


def test_people_differ(renderer):
    one = renderer.render(scene(standing(0, 0, appearance_seed=1))).astype(float)
    other = renderer.render(scene(standing(0, 0, appearance_seed=2))).astype(float)
    first_person = render_zbuffer(scene(standing(0, 0)).surfaces(), scene().camera).surface == 0
    assert np.abs(one - other)[first_person].mean() > 5 * np.abs(one - other)[~first_person].mean()


def test_a_given_image_stands_behind(renderer):
    backdrop = np.zeros((192, 256, 3), np.uint8)
    backdrop[..., 0] = 200
    backdrop[96:, :, 1] = 120
    image = renderer.render(scene(standing(0, 0)), backdrop=backdrop).astype(float)
    np.testing.assert_allclose(image[5:40, :60].mean((0, 1)), [200, 0, 0], atol=45)
    assert np.abs(image - backdrop).mean() > 2
    with pytest.raises(OccluposeError, match="256x192 are needed"):
        renderer.render(scene(standing(0, 0)), backdrop=backdrop[:100])


def test_a_scene_without_anybody_and_one_from_under_the_ground(renderer):
    assert renderer.render(scene()).std() > 3
    assert renderer.render(scene(standing(0, 0), camera_position=(0.0, -0.2, 3.0))).shape == (192, 256, 3)


def test_a_camera_adds_noise_and_blur():
    look = replace(
        sample_surroundings(np.random.default_rng(0)),
        defocus=0.0,
        motion=(0.0, 0.0),
        shot=0.0,
        read=0.0,
        coarse=0.0,
        quality=96,
    )
    image = np.zeros((64, 512, 3), np.uint8)
    image[:, 256:] = 180
    clean = apply_camera_effects(image, look, np.random.default_rng(0)).astype(int)
    assert np.abs(clean - image).mean() < 2
    noisy = apply_camera_effects(image, replace(look, read=5.0), np.random.default_rng(0)).astype(int)
    assert 2 < (noisy - clean)[:, 300:].std() < 8
    soft = apply_camera_effects(image, replace(look, defocus=3.0), np.random.default_rng(0)).astype(int)
    assert np.abs(np.diff(soft[32, :, 0])).max() < 60 < np.abs(np.diff(clean[32, :, 0])).max()
    assert not np.array_equal(
        apply_camera_effects(image, replace(look, motion=(9.0, 0.0)), np.random.default_rng(0)), clean
    )


def test_without_egl_one_line_says_what_to_do(monkeypatch):
    moderngl = pytest.importorskip("moderngl")

    def fails(**_):
        raise RuntimeError("eglInitialize failed\n(0x3001)")

    monkeypatch.setattr(moderngl, "create_standalone_context", fails)
    with pytest.raises(OccluposeError) as caught:
        Renderer()
    message = str(caught.value)
    assert (
        "apt install libegl1 libgl1-mesa-dri" in message
        and "labels alone work without it" in message
        and "\n" not in message
    )


def test_without_moderngl_one_line_says_what_to_do(monkeypatch):
    real = builtins.__import__

    def fails(name, *arguments, **named):
        if name == "moderngl":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", fails)
    with pytest.raises(OccluposeError, match=r"pip install '\.\[render\]'"):
        Renderer()
