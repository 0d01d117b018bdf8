import pytest
import torch
import trimesh

from mocap_sequences import striding_joints
from occlupose.bodies.body import PARTS
from occlupose.bodies.cylinders import AROUND, CAP, MIDDLE, SHAPE, SIDE, cylinders
from occlupose.bodies.fitting import fit_pose, fit_shape, from_rotation_vector
from occlupose.skeletons import BODY26

CAPSULES = len(MIDDLE) + 2 * len(SIDE)


def surface(**numbers):
    """(vertex, 3) of a body at rest with these numbers of its shape, else 1; its joints by name."""
    body = cylinders()
    shape = torch.tensor([[numbers.get(name, 1.0) for name in SHAPE]])
    random_bodies = body(torch.eye(3).expand(1, 17, 3, 3), shape, torch.zeros(1, 3))
    return random_bodies.vertices[0], dict(zip(BODY26.joints, random_bodies.joints[0], strict=True))


@pytest.mark.parametrize("girth", [0.75, 1.0, 1.3])
def test_every_capsule_is_closed_and_looks_outwards(girth):
    vertices, _ = surface(girth=girth)
    pieces = trimesh.Trimesh(vertices.numpy(), cylinders().faces.numpy(), process=False).split(only_watertight=False)
    assert len(pieces) == CAPSULES
    assert all(piece.is_watertight and piece.volume > 0 and piece.area_faces.min() > 1e-7 for piece in pieces)
    assert len(vertices) == CAPSULES * (2 * CAP * AROUND + 2)


def test_an_average_adult():
    vertices, joints = surface()
    assert float(vertices[:, 1].max() - vertices[:, 1].min()) == pytest.approx(1.75, abs=0.005)
    across = (joints["left_shoulder"] - joints["thorax"])[0]
    trunk = cylinders().part == PARTS.index("left_trunk")
    assert float(across) == pytest.approx(0.17)
    assert 0.15 < float(vertices[trunk][:, 2].max() - vertices[trunk][:, 2].min()) < 2 * float(across)


def test_a_part_begins_at_the_first_corner_of_its_faces():
    vertices, _ = surface()
    body = cylinders()
    middles = vertices[body.faces].mean(1)
    parts = [PARTS[part] for part in body.part[body.faces[:, 0]].tolist()]
    ear = surface()[1]["left_ear"][2]
    for (x, _, z), part in zip(middles.tolist(), parts, strict=True):
        assert (x > 0) == part.startswith("left_")
        if part.endswith(("face", "skull")):
            assert (z > float(ear) - 0.03) if part.endswith("face") else (z < float(ear) + 0.03)


LENGTHS = {
    "trunk": ("pelvis", "thorax"),
    "shoulders": ("left_shoulder", "right_shoulder"),
    "hips": ("left_hip", "right_hip"),
    "head": ("thorax", "head_top"),
    "upper_arm": ("left_shoulder", "left_elbow"),
    "forearm": ("right_elbow", "right_wrist"),
    "hand": ("right_wrist", "right_hand"),
    "thigh": ("left_hip", "left_knee"),
    "shank": ("right_knee", "right_ankle"),
    "foot": ("left_ankle", "left_foot"),
}


@pytest.mark.parametrize("number", SHAPE)
def test_a_number_of_the_shape_changes_its_piece_and_no_other(number):
    def lengths(joints):
        return {name: float((joints[one] - joints[other])[:2].norm()) for name, (one, other) in LENGTHS.items()}

    before = lengths(surface()[1])
    after = lengths(surface(**{number: 1.2})[1])
    assert after == pytest.approx(
        {name: (1.2 if name == number else 1.0) * length for name, length in before.items()}, rel=1e-3
    )


def test_girth_makes_thick_and_moves_no_joint():
    (thin, joints) = surface(girth=0.8)
    (thick, same) = surface(girth=1.2)
    assert all(torch.equal(joints[name], same[name]) for name in joints)
    body = cylinders()
    thigh = body.part == PARTS.index("left_thigh")
    wide = [float(vertices[thigh][:, 2].max() - vertices[thigh][:, 2].min()) for vertices in (thin, thick)]
    assert wide[1] / wide[0] == pytest.approx(1.5, rel=1e-3)


def test_all_shapes_in_range_have_limbs_in_the_right_order():
    body = cylinders()
    for shape in (body.low, body.high):
        rest = dict(zip(BODY26.joints, body.rest(shape[None])[0], strict=True))
        assert rest["left_ankle"][1] < rest["left_knee"][1] < rest["left_hip"][1] < rest["left_shoulder"][1]
        assert (
            rest["left_hip"][0]
            < rest["left_shoulder"][0]
            < rest["left_elbow"][0]
            < rest["left_wrist"][0]
            < rest["left_hand"][0]
        )


def test_a_walking_person_of_another_build_is_fitted():
    joints = torch.from_numpy(striding_joints(24)).float()
    body = cylinders()
    shape = fit_shape(joints, body)
    assert ((body.low <= shape) & (shape <= body.high)).all()
    fitted = fit_pose(joints, body, shape.expand(len(joints), -1))
    assert fitted.error.mean() < 0.01
    unfitted = fit_pose(joints, body, body.neutral.expand(len(joints), -1))
    assert fitted.error.mean() < unfitted.error.mean()


def test_a_body_of_the_same_model_is_fitted_exactly():
    body = cylinders()
    generator = torch.Generator().manual_seed(0)
    shape = torch.lerp(body.low, body.high, 0.2 + 0.6 * torch.rand(len(SHAPE), generator=generator))
    joints = body.joints(
        from_rotation_vector(0.3 * torch.randn(20, 17, 3, generator=generator)),
        shape.expand(20, -1),
        torch.zeros(20, 3),
    )
    found = fit_shape(joints, body)
    assert fit_pose(joints, body, found.expand(20, -1)).error.max() < 0.004
    lengths = slice(0, SHAPE.index("girth"))  # which no joint shows
    torch.testing.assert_close(found[lengths], shape[lengths], atol=0.04, rtol=0)
