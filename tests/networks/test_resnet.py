import pytest
import torch

from occlupose.networks.resnet import RESNET18, RESNET34, ResNet


@pytest.mark.parametrize(("blocks", "parameters"), [(RESNET18, 11_689_512), (RESNET34, 21_797_672)])
def test_it_is_the_network_that_others_have_weights_for(blocks, parameters):
    network = ResNet(blocks, classes=1000)
    assert sum(value.numel() for value in network.parameters()) == parameters
    names = set(network.state_dict())
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            parts = {f"conv{n}.weight" for n in (1, 2)} | {
                f"bn{n}.{what}" for n in (1, 2) for what in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
            }
            assert {f"layer{stage}.{block}.{part}" for part in parts} <= names
    assert {"conv1.weight", "bn1.weight", "layer2.0.downsample.0.weight", "layer2.0.downsample.1.running_var", "fc.bias"} <= names
    assert not any(name.startswith("layer1.0.downsample") for name in names)


@pytest.mark.parametrize("size", [96, 128, 75])
def test_features_of_pictures_of_any_size(size):
    network = ResNet(RESNET18, 8, inputs=2)
    picture = torch.randn(2, 2, size, size, requires_grad=True)
    features = network(picture)
    assert features.shape == (2, network.features) == (2, 64)
    features.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    assert picture.grad.abs().sum() > 0
