import pytest
import torch
from torch import nn

from occlupose.networks.mspn import (
    INITIAL_HEIGHT,
    LEVELS,
    MSPN,
    MapConvolution,
    StageSize,
    Upsampler,
    build_head,
    initialise,
)

SMALL = StageSize(blocks=(1, 1, 1, 1), widths=(4, 4, 8, 8), width=8)
HEADS = {"maps": 43, "z": 14, "depth": 7}


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_every_stage_has_maps_at_every_level(stages):
    network = MSPN(HEADS, stages=stages, size=SMALL)
    output = network(torch.zeros(2, 3, 64, 96))
    assert [len(stage) for stage in output] == [LEVELS] * stages
    for stage in output:
        for heads in stage:
            assert {name: tuple(maps.shape) for name, maps in heads.items()} == {
                n: (2, count, 16, 24) for n, count in HEADS.items()
            }


def test_a_resnet_50_for_every_stage():
    """The encoder of a stage is a ResNet-50 without its stem: 23.5 M parameters less 9.5 k."""
    network = MSPN(HEADS, stages=2)
    stem = 3 * 64 * 49 + 2 * 64
    for encoder in network.encoders:
        # torchvision's, its classes, its stem
        assert sum(each.numel() for each in encoder.parameters()) == 25_557_032 - 2_049_000 - stem


def test_the_next_stage_receives_features_of_every_level():
    torch.manual_seed(0)
    network = MSPN(HEADS, stages=2, size=SMALL).eval()
    image = torch.randn(1, 3, 64, 64)
    before = network(image)
    for number in range(LEVELS):
        level = network.upsamplers[0].levels[number]
        for connection in level.tell:
            kept = connection[0].weight.data.clone()
            connection[0].weight.data += 0.5
            after = network(image)
            assert torch.equal(before[0][0]["maps"], after[0][0]["maps"])
            assert not torch.equal(before[1][0]["maps"], after[1][0]["maps"]), number
            connection[0].weight.data = kept


def test_the_last_stage_passes_nothing_on():
    upsampler = Upsampler(SMALL, HEADS)
    features = [torch.zeros(1, channels, 16 >> level, 16 >> level) for level, channels in enumerate(SMALL.channels)]
    output = upsampler(features)
    assert output.features is None and output.next_input is None
    assert not any("tell" in name or "onward" in name for name, _ in upsampler.named_parameters())


def test_every_weight_learns():
    network = MSPN(HEADS, stages=2, size=SMALL)
    output = network(torch.randn(2, 3, 64, 64))
    sum(maps.square().mean() for stage in output for heads in stage for maps in heads.values()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("width", [8, 64])
def test_maps_are_small_before_training(width):
    """Whatever is shown, next to peaks of 1."""
    torch.manual_seed(0)
    network = build_head(width, 5)
    initialise(network)
    output = network(100 * torch.randn(4, width, 24, 32))
    torch.testing.assert_close(output.square().mean().sqrt().item(), INITIAL_HEIGHT, rtol=0.35, atol=0)


def test_only_the_heads_are_small_before_training():
    torch.manual_seed(0)
    network = MSPN(HEADS, stages=2, size=SMALL)
    for stage in network(torch.randn(2, 3, 64, 96)):
        assert all(
            0.3 * INITIAL_HEIGHT < maps.square().mean().sqrt() < 2 * INITIAL_HEIGHT
            for heads in stage
            for maps in heads.values()
        )
    lasts = [name for name, part in network.named_modules() if isinstance(part, MapConvolution)]
    assert len(lasts) == 2 * LEVELS * len(HEADS) and all(".heads." in name for name in lasts)
    others = [
        part.weight
        for part in network.modules()
        if isinstance(part, nn.Conv2d) and not isinstance(part, MapConvolution)
    ]
    assert all(weight.std() > 0.03 for weight in others)
