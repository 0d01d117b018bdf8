import pytest
import torch

from occlupose.networks.pifpaf import JOINT_NUMBERS, LIMB_NUMBERS, PifPaf, pifpaf_r50, pifpaf_small
from occlupose.networks.resnet import RESNET18, ResNet


def tiny(joints=5, limbs=4):
    torch.manual_seed(0)
    return PifPaf(ResNet(RESNET18, 4, pool=False), joints, limbs)


def test_fields_at_an_eighth_of_the_resolution():
    fields = tiny()(torch.randn(2, 3, 64, 96))
    assert fields.joints.confidence.shape == fields.joints.scale.shape == fields.joints.spread.shape == (2, 5, 8, 12)
    assert fields.joints.offset.shape == (2, 5, 2, 8, 12)
    assert fields.limbs.confidence.shape == (2, 4, 8, 12)
    assert fields.limbs.offset.shape == (2, 4, 2, 2, 8, 12)
    assert fields.limbs.scale.shape == fields.limbs.spread.shape == (2, 4, 2, 8, 12)


def test_nobody_is_seen_before_training():
    fields = tiny().eval()(torch.randn(1, 3, 64, 64))
    for field in (fields.joints, fields.limbs):
        assert field.confidence.sigmoid().max() < 0.05
        assert field.offset.abs().max() < 0.5 and field.spread.abs().max() < 0.5


def test_the_backbone_has_no_pooling():
    """A ResNet's features at a sixteenth, with the weights of one that pools."""
    pooled = ResNet(RESNET18, 4)
    plain = ResNet(RESNET18, 4, pool=False)
    assert pooled.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(1, 3, 64, 64)
    assert pooled.maps(images).shape[-1] == 2 and plain.maps(images).shape[-1] == 4


def test_each_number_of_a_field_is_a_channel_of_its_own():
    network = tiny()
    fields = network(torch.randn(2, 3, 64, 64))
    parts = {
        "joints": (
            JOINT_NUMBERS,
            (fields.joints.confidence, fields.joints.offset, fields.joints.spread, fields.joints.scale),
        ),
        "limbs": (
            LIMB_NUMBERS,
            (fields.limbs.confidence, fields.limbs.offset, fields.limbs.spread, fields.limbs.scale),
        ),
    }
    for name, (numbers, values) in parts.items():
        seen = torch.zeros(getattr(network, name).conv.weight.shape[0])
        for value in values:
            network.zero_grad()
            value.sum().backward(retain_graph=True)
            seen += getattr(network, name).conv.bias.grad.abs() > 0
        assert (seen == 1).all() and len(seen) == numbers * 4 * (5 if name == "joints" else 4)


def test_every_weight_learns():
    network = pifpaf_small(5, 4)
    output = network(torch.randn(2, 3, 64, 64))
    fields = (output.joints, output.limbs)
    values = [getattr(field, part) for field in fields for part in ("confidence", "offset", "scale", "spread")]
    sum(value.square().sum() for value in values).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize(("build", "least", "most"), [(pifpaf_r50, 20e6, 30e6), (pifpaf_small, 0, 2e6)])
def test_sizes(build, least, most):
    with torch.device("meta"):
        network = build()
    assert least < sum(value.numel() for value in network.parameters()) < most
    assert (network.joints.count, network.limbs.count) == (17, 19)
