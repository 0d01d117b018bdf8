import pytest
import torch

from occlupose.networks.resnet import RESNET18, RESNET34, RESNET50, RESNET101, RESNET152, BasicBlock, Bottleneck, ResNet


@pytest.mark.parametrize(
    ("blocks", "block", "parameters"),
    [
        (RESNET18, BasicBlock, 11_689_512),
        (RESNET34, BasicBlock, 21_797_672),
        (RESNET50, Bottleneck, 25_557_032),
        (RESNET101, Bottleneck, 44_549_160),
        (RESNET152, Bottleneck, 60_192_808),
    ],
)
def test_it_is_the_network_that_others_have_weights_for(blocks, block, parameters):
    with torch.device("meta"):
        network = ResNet(blocks, classes=1000, block=block)
    assert sum(value.numel() for value in network.parameters()) == parameters
    names = set(network.state_dict())
    convolutions = (1, 2) if block is BasicBlock else (1, 2, 3)
    for stage, count in enumerate(blocks, 1):
        for number in range(count):
            parts = {f"conv{n}.weight" for n in convolutions} | {
                f"bn{n}.{what}"
                for n in convolutions
                for what in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            }
            assert {f"layer{stage}.{number}.{part}" for part in parts} <= names
    assert {
        "conv1.weight",
        "bn1.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.running_var",
        "fc.bias",
    } <= names
    assert any(name.startswith("layer1.0.downsample") for name in names) == (block is Bottleneck)
    assert not any(name.startswith("layer2.1.downsample") for name in names)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
@pytest.mark.parametrize("size", [96, 128, 75])
def test_features_of_images_of_any_size(size, block):
    network = ResNet(RESNET18, 8, inputs=2, block=block)
    image = torch.randn(2, 2, size, size, requires_grad=True)
    features = network(image)
    assert features.shape == (2, network.features) == (2, 64 * block.expansion)
    features.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    assert image.grad.abs().sum() > 0


def test_the_vector_is_the_mean_of_the_maps():
    torch.manual_seed(0)
    network = ResNet(RESNET18, 8).eval()
    image = torch.randn(2, 3, 96, 64)
    maps = network.maps(image)
    assert maps.shape == (2, 64, 3, 2)
    torch.testing.assert_close(network(image), maps.mean((2, 3)))


def test_a_bottleneck_halves_in_its_wide_convolution():
    """As in torchvision, timm and MMPose; the paper does so in the first, whose weights would fit as well."""
    block = Bottleneck(8, 16, 2)
    assert [part.stride for part in (block.conv1, block.conv2, block.conv3)] == [(1, 1), (2, 2), (1, 1)]
    assert block(torch.randn(1, 8, 6, 4)).shape == (1, 16, 3, 2)
