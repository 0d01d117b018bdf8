import pytest
import torch
from torch import nn

from occlupose.networks import pretrained
from occlupose.networks.estimators import normalise_images
from occlupose.networks.movenet import FROZEN_BLOCKS, MULTI_HEADS, FeaturePyramid
from occlupose.networks.movenet_features import CONTEXT, MoveNetBackbone, MoveNetDetector, scale_images

HEADS = {"flat": 5, "depths": 2}


@pytest.fixture(scope="module")
def multipose():
    return pretrained.build("movenet_multipose")


@pytest.fixture(scope="module")
def detector(multipose):
    torch.manual_seed(0)
    built = MoveNetDetector(HEADS)
    built.start_from(multipose)
    return built.eval()


def images(count=2):
    return torch.randint(256, (count, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_maps_have_a_quarter_of_the_images_size_and_are_small_at_first(detector):
    ((level,),) = detector(scale_images(images()))
    assert {name: tuple(maps.shape) for name, maps in level.items()} == {
        "flat": (2, 5, 16, 24),
        "depths": (2, 2, 16, 24),
    }
    assert 0 < level["flat"].std() < 1


def test_it_begins_with_the_layers_of_multipose(multipose, detector):
    """With MultiPose's last layers in place of new ones, its hidden layers give MultiPose's maps."""
    given = images()
    expected = multipose.maps(given)
    features = detector.pyramid(detector.backbone(scale_images(given)))
    for name in MULTI_HEADS:
        maps = multipose.heads[name][-1](detector.hidden[name](features))
        torch.testing.assert_close(maps, expected[name], rtol=1e-4, atol=1e-4)


def test_every_layer_but_the_first_is_trained(multipose):
    torch.manual_seed(0)
    detector = MoveNetDetector(HEADS)
    detector.start_from(multipose)
    detector.freeze_first_blocks()
    late = detector.pretrained_parameters()
    parts = (detector.context, detector.normalise, detector.heads)
    new = [parameter for part in parts for parameter in part.parameters()]
    trained = {id(parameter) for parameter in [*late, *new]}
    frozen = {name for name, parameter in detector.named_parameters() if id(parameter) not in trained}
    first = ("backbone.stem", *(f"backbone.blocks.{number}." for number in range(FROZEN_BLOCKS)))
    assert frozen and all(name.startswith(first) for name in frozen)
    assert {name for name, parameter in detector.named_parameters() if not parameter.requires_grad} == frozen
    ((level,),) = detector(scale_images(images()))
    sum(maps.square().sum() for maps in level.values()).backward()
    assert all(parameter.grad is not None for parameter in new)
    assert sum(parameter.grad is not None and bool(parameter.grad.any()) for parameter in late) > 0.9 * len(late)
    assert all(parameter.grad is None for name, parameter in detector.named_parameters() if name in frozen)


def test_as_a_backbone_it_undoes_the_normalisation_of_images(multipose):
    """Its features are those of the same images, at a quarter and, four by four, at a sixteenth of their size."""
    torch.manual_seed(0)
    backbone = MoveNetBackbone().eval()
    backbone.start_from(multipose)
    given = images()
    (fine,) = backbone(normalise_images(given))
    expected = backbone.narrow(backbone.extract(scale_images(given)))
    torch.testing.assert_close(fine, expected, rtol=1e-2, atol=1e-2 * float(expected.detach().std()))
    assert fine.shape == (2, backbone.widths[0], 16, 24)
    coarse = backbone.maps(normalise_images(given))
    assert coarse.shape == (2, backbone.features, 4, 6)
    cells = coarse.unflatten(1, (backbone.widths[0], 4, 4))
    torch.testing.assert_close(cells[:, :, 1, 2], fine[:, :, 1::4, 2::4])


def test_the_second_pyramid_is_wider():
    pyramid = FeaturePyramid((8, 16, 24, 32), CONTEXT)
    features = [
        torch.ones(1, channels, 32 // step, 32 // step) for channels, step in ((8, 1), (16, 2), (24, 4), (32, 8))
    ]
    assert pyramid(features).shape == (1, CONTEXT[0], 32, 32)
    assert [layer.out_channels for layer in pyramid.lateral if isinstance(layer, nn.Conv2d)] == [64, 64, 64, 64]
