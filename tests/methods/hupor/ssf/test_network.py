import pytest
import torch

from occlupose.bodies.anny import anny
from occlupose.bodies.cylinders import cylinders
from occlupose.bodies.fitting import TWISTED
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.ssf.network import SSF, ShapeInit, ShapeOpt, joint_heatmaps, network_input
from occlupose.methods.hupor.ssf.reconstruct import reconstruct
from occlupose.methods.hupor.ssf.weights import load, save
from occlupose.networks import weights as weights_file
from ssf_scenes import make_people, three_people

TINY = {"size": 32, "blocks": (1, 1), "width": 4, "cnn_width": 2, "hidden": (8, 8)}


def given(size=32, seed=0, image=False):
    people, _ = three_people(seed).ssf_input().crop_people(size)
    if image:
        people.image = torch.rand(len(people), 3, size, size, generator=torch.Generator().manual_seed(seed))
    return people


def tiny(**changes):
    torch.manual_seed(0)
    return SSF(cylinders(), **{"input_type": "mask"} | TINY | changes)


def test_the_published_sizes():
    with torch.device("meta"):
        init = ShapeInit(10)
        opt = ShapeOpt(10)
    shapes = {name: tuple(value.shape) for name, value in (init.state_dict() | opt.state_dict()).items()}
    assert init.resnet.conv1.weight.shape == (64, 3, 7, 7)
    assert [len(getattr(init.resnet, f"layer{stage}")) for stage in (1, 2, 3, 4)] == [3, 4, 6, 3]
    assert (
        [layer.out_features for layer in init.hidden[::2]]
        == [layer.out_features for layer in opt.hidden[::2]]
        == [1024, 512]
    )
    assert [layer.out_features for layer in opt.joined[::2]] == [512, 512]
    assert sum("cnn" in name and len(shape) == 4 for name, shape in shapes.items()) == 4
    assert init.output.out_features == 10 + 2 * len(TWISTED)


@pytest.mark.parametrize("look", ["mask", "image"])
@pytest.mark.parametrize("body", [anny, cylinders])
def test_every_weight_learns(look, body):
    torch.manual_seed(0)
    ssf = SSF(body(), input_type=look, **TINY)
    people = given(image=True)
    output = ssf(people)
    for fitted in (output.initial, output.final):
        assert fitted.pose.shape == (3, 17, 3, 3)
        assert fitted.shape.shape == (3, len(body().shape_names))
        assert fitted.joints.shape == (3, 26, 3)
    (
        output.final.pose[..., 0].square().sum() * 1e-3 + output.final.pose[..., 0, 1].sum() + output.final.error.sum()
    ).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in ssf.parameters())
    assert sum(float(weight.grad.abs().sum()) > 0 for weight in ssf.parameters()) > 0.9 * len(list(ssf.parameters()))


def test_it_starts_at_the_neutral_shape_without_twist():
    ssf = tiny()
    people = given()
    output = ssf(people)
    span = ssf.body.high - ssf.body.low
    assert ((output.final.shape - ssf.body.neutral) / span).abs().max() < 0.02
    assert output.twist.abs().max() < 0.1


def test_shapes_stay_in_their_range():
    ssf = tiny()
    for logits in (torch.full((1, 11), 50.0), torch.full((1, 11), -50.0)):
        shape = ssf.to_shape(logits)
        assert (shape >= ssf.body.low - 1e-6).all() and (shape <= ssf.body.high + 1e-6).all()
    assert torch.allclose(ssf.to_shape(torch.zeros(1, 11))[0], ssf.body.neutral, atol=1e-6)


def test_predicted_twists_and_shapes_are_those_of_the_body():
    """The answers of both networks go through Skeleton2Pose as they are."""
    ssf = tiny().eval()
    people = given(seed=2)
    logits = torch.linspace(-1.2, 1.2, 8)
    added = torch.linspace(0.3, -0.3, 8)
    with torch.no_grad():
        ssf.init.output.weight.zero_(), ssf.opt.output.weight.zero_()
        direction = torch.stack([logits.cos(), logits.sin()], 1) - torch.tensor([1.0, 0.0])
        ssf.init.output.bias.copy_(torch.cat([torch.full((11,), 0.4), direction.flatten()]))
        ssf.opt.output.bias.copy_(torch.cat([torch.full((11,), -0.9), added]))
    output = ssf(people)
    assert torch.allclose(output.twist, (logits + added).expand(3, -1), atol=1e-5)
    for fitted, logit, twist in ((output.initial, 0.4, logits), (output.final, -0.5, logits + added)):
        shape = ssf.to_shape(torch.full((3, 11), logit))
        expected = reconstruct(people.joints, ssf.body, shape, twist.expand(3, -1))
        assert torch.allclose(fitted.pose, expected.pose, atol=1e-5) and torch.allclose(
            fitted.joints, expected.joints, atol=1e-5
        )


def test_heatmaps_are_zero_for_unknown_joints_and_centred_at_known_ones():
    people = given(64)
    people.joints[1, 3] = torch.nan
    maps = joint_heatmaps(people)
    assert maps.shape == (3, 26, 64, 64) and maps.isfinite().all()
    assert (maps[1, 3] == 0).all()
    flat = torch.einsum("pxc,pjc->pjx", people.intrinsics, people.joints / people.joints[..., 2:])
    place = maps[0, 0].argmax().item()
    assert (torch.tensor([place % 64, place // 64]) - flat[0, 0]).abs().max() <= 0.5


def test_input_types():
    people = given(image=True)
    assert network_input(people, "mask").shape == (3, 28, 32, 32)
    assert network_input(people, "image").shape == (3, 3, 32, 32)
    assert network_input(people, "image").mean().abs() < 1.5


def test_answers_of_people_with_unknown_joints_are_finite():
    people = given()
    people.joints[:, ::3] = torch.nan
    output = tiny()(people)
    assert all(value.isfinite().all() for value in vars(output.final).values())


def test_weights_come_back_as_they_were_written(tmp_path):
    ssf = tiny().eval()
    people = make_people(0).ssf_input().crop_people(32)[0]
    save(ssf, tmp_path / "a.safetensors")
    back = load(tmp_path / "a.safetensors")
    assert (back.body.name, back.input_type, back.size, back.blocks, back.width, back.cnn_width, back.hidden) == (
        "cylinders",
        "mask",
        32,
        (1, 1),
        4,
        2,
        (8, 8),
    )
    assert torch.allclose(back(people).final.joints, ssf(people).final.joints, atol=1e-3)
    save(ssf, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("change", [{"format": "other"}, {"body": "smpl"}, {"look": "nose"}, {"width": "5"}])
def test_files_of_something_else_are_refused(tmp_path, change):
    path = tmp_path / "a.safetensors"
    save(tiny(), path)
    tensors = tiny().state_dict()
    weights_file.save(tensors, weights_file.header(path) | change, path)
    with pytest.raises(OccluposeError, match=r"a\.safetensors: not"):
        load(path)
