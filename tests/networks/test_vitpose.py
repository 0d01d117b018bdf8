import math

import pytest
import torch
from torch import nn

from occlupose.errors import OccluposeError
from occlupose.networks.vitpose import (
    Attention,
    DropPath,
    VisionTransformer,
    ViTPose,
    layer_index,
    vitpose_b,
    vitpose_l,
    vitpose_s,
)


def small(crop=(48, 64), head="classic", **options):
    torch.manual_seed(0)
    return ViTPose(VisionTransformer(16, 3, 4, crop=crop, **options), 5, head)


@pytest.mark.parametrize("head", ["classic", "simple"])
@pytest.mark.parametrize(
    ("crop", "grid"), [((48, 64), (4, 3)), ((192, 256), (16, 12)), ((96, 128), (8, 6)), ((80, 32), (2, 5))]
)
def test_maps_of_a_quarter_of_any_crop(crop, grid, head):
    network = small(crop, head)
    assert network.backbone.grid == grid
    (maps,) = network(torch.randn(2, 3, crop[1], crop[0]))
    assert maps.shape == (2, 5, crop[1] // 4, crop[0] // 4)


def test_what_it_is_not_made_for_is_refused():
    with pytest.raises(OccluposeError, match=r"^images of 32 x 64 px: this ViTPose takes 48 x 64$"):
        small()(torch.randn(1, 3, 64, 32))
    with pytest.raises(OccluposeError, match=r"^head grand: not known; known are classic and simple$"):
        small(head="grand")


@pytest.mark.parametrize(
    ("build", "width", "depth", "heads", "drop"),
    [(vitpose_s, 384, 12, 12, 0.1), (vitpose_b, 768, 12, 12, 0.3), (vitpose_l, 1024, 24, 16, 0.5)],
)
def test_sizes_are_those_of_the_authors(build, width, depth, heads, drop):
    with torch.device("meta"):
        backbone = build().backbone
    assert (backbone.pos_embed.shape, len(backbone.blocks)) == ((1, 192, width), depth)
    assert {block.attn.heads for block in backbone.blocks} == {heads}
    rates = [block.drop.rate for block in backbone.blocks]
    assert rates == pytest.approx([drop * number / (depth - 1) for number in range(depth)])


@pytest.mark.parametrize("head", ["classic", "simple"])
def test_every_weight_learns(head):
    network = small(head=head, drop=0.1)
    (maps,) = network(torch.randn(4, 3, 64, 48))
    (maps - 1).square().sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_attention_is_the_formula():
    """Dosovitskiy equation 6: softmax of q k^T / sqrt(width of a head), times v, head by head."""
    torch.manual_seed(0)
    attention = Attention(12, 3)
    x = torch.randn(2, 7, 12)
    query, key, value = attention.qkv(x).reshape(2, 7, 3, 3, 4).permute(2, 0, 3, 1, 4)
    weights = (query @ key.transpose(-1, -2) / math.sqrt(4)).softmax(-1)
    torch.testing.assert_close(attention(x), attention.proj((weights @ value).transpose(1, 2).reshape(2, 7, 12)))


def test_positions_tell_patches_apart():
    network = small().eval().backbone
    image = torch.ones(1, 3, 64, 48)
    with torch.no_grad():
        inner = network(image)[0, :, 1:3, 1:2].flatten(1)
        assert (inner[:, 0] - inner[:, 1]).abs().max() > 1e-3
        network.pos_embed.zero_()
        inner = network(image)[0, :, 1:3, 1:2].flatten(1)
        torch.testing.assert_close(inner[:, 0], inner[:, 1])


def test_paths_are_dropped_for_whole_samples_and_made_up_for():
    torch.manual_seed(0)
    drop = DropPath(0.4)
    kept = drop(torch.ones(20000, 2, 3))
    assert sorted(kept.unique().tolist()) == pytest.approx([0, 1 / 0.6])
    assert torch.equal(kept.amin((1, 2)), kept.amax((1, 2)))
    assert kept.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(drop.eval()(torch.ones(9, 2)), torch.ones(9, 2))
    assert torch.equal(DropPath(0)(torch.ones(9, 2)), torch.ones(9, 2))


def test_it_begins_as_transformers_do():
    network = small().backbone
    for part in network.modules():
        if isinstance(part, nn.Linear):
            assert 0.015 < part.weight.std() < 0.022 and part.weight.abs().max() < 2 and not part.bias.any()


def test_layers_are_counted_from_the_image():
    network = small()
    layers = {name: layer_index(name, 3) for name, _ in network.named_parameters()}
    assert {name for name, number in layers.items() if number == 0} == {
        *("backbone.pos_embed", "backbone.patch_embed.proj.weight", "backbone.patch_embed.proj.bias"),
    }
    for number in (1, 2, 3):
        block = {name for name in layers if name.startswith(f"backbone.blocks.{number - 1}.")}
        assert len(block) == 12 and {layers[name] for name in block} == {number}
    last = {name for name, number in layers.items() if number == 4}
    assert last == {"backbone.norm.weight", "backbone.norm.bias"} | {
        name for name in layers if name.startswith("head.")
    }
    assert layer_index("backbone.blocks.11.mlp.fc1.weight", 12) == 12 and layer_index("head.final_layer.bias", 12) == 13
