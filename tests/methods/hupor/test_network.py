from dataclasses import replace

import pytest
import torch

from hupor_samples import DESIGN
from occlupose.codecs.multi_person import MultiPersonMaps, PeopleBatch
from occlupose.errors import OccluposeError
from occlupose.methods.hupor.losses import PoseMaps
from occlupose.methods.hupor.network import (
    IMAGE_HEAD,
    LIMB_DEPTH_HEAD,
    TORSO_DEPTH_HEAD,
    HUPORDesign,
    HUPORNetwork,
    add_maps,
    split_channels,
    stack_channels,
)
from occlupose.networks.dsed import DSED, Reasoner
from occlupose.networks.mspn import LEVELS, StageSize
from occlupose.skeletons import MPI15


def networks(**changes):
    torch.manual_seed(0)
    return HUPORNetwork(replace(DESIGN, **changes)).eval()


def images(count=2):
    return torch.randint(256, (count, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def random_maps(seed=0, batch=2):
    random = torch.Generator().manual_seed(seed)
    return PoseMaps(*(torch.randn(batch, *shape, 16, 16, generator=random) for shape in ((15,), (14, 3))))


def same(one, other):
    return torch.equal(one.heatmaps, other.heatmaps) and torch.equal(one.fields, other.fields)


def test_the_published_networks():
    """Three stages of a ResNet-50 for what is visible, two of DSED for what is hidden, on 57 maps of 208 x 128
    cells.
    """
    design = HUPORDesign()
    assert (design.width, design.height, design.stages, design.reasoner_stages) == (832, 512, 3, 2)
    assert design.codec == MultiPersonMaps() and (design.letterbox.width, design.letterbox.height) == (832, 512)
    with torch.device("meta"):
        whole = HUPORNetwork(design)
    assert len(whole.detector.encoders) == 3 and len(whole.reasoner.students) == 2
    assert isinstance(whole.reasoner, DSED) and whole.reasoner.channels == 15 + 14 * 3
    assert [level.heads[IMAGE_HEAD][1].out_channels for level in whole.detector.upsamplers[0].levels] == [
        15 + 28
    ] * LEVELS


@pytest.mark.parametrize(
    "design",
    [
        HUPORDesign(),
        DESIGN,
        replace(DESIGN, reasoning="hourglass", detach=True),
        replace(DESIGN, detector="movenet"),
        replace(DESIGN, reasoner_image=True),
        replace(DESIGN, reasoning="none", reasoner_size=None, width=96),
    ],
)
def test_a_design_goes_through_a_header(design):
    header = design.to_header()
    assert all(isinstance(value, str) for value in header.values())
    assert HUPORDesign.from_header(header) == design


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": "33"},
        {"width": "wide"},
        {"size": "1 1 1"},
        {"size": "published"},
        {"reasoning": "magic"},
        {"detach": "yes"},
        {"stages": "0"},
        {"reasoner_size": "1 1 1 1 1 1 1 1 0"},
    ],
)
def test_impossible_headers_are_refused(wrong):
    with pytest.raises((ValueError, OccluposeError)):
        HUPORDesign.from_header(DESIGN.to_header() | wrong)
    incomplete = DESIGN.to_header()
    del incomplete[next(iter(wrong))]
    with pytest.raises(KeyError):
        HUPORDesign.from_header(incomplete)


def test_the_kind_of_detector_is_not_in_older_headers():
    header = DESIGN.to_header()
    del header["detector"]
    assert HUPORDesign.from_header(header) == DESIGN
    with pytest.raises(ValueError, match="detector"):
        HUPORDesign.from_header(header | {"detector": "another"})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 100}, "input 100 x 64: its sides must be multiples of 32"),
        ({"height": 0}, "height 0: must be 1 or more"),
        ({"stages": 0}, "stages 0: must be 1 or more"),
        ({"reasoner_stages": 0}, "reasoner_stages 0: must be 1 or more"),
        ({"reasoning": "magic"}, "reasoning magic: not known; known are dsed, hourglass, none"),
    ],
)
def test_impossible_designs_are_refused(wrong, message):
    with pytest.raises(OccluposeError, match=message):
        replace(DESIGN, **wrong)


def test_impossible_sizes_are_refused():
    with pytest.raises(OccluposeError, match=r"blocks \(1, 0, 1, 1\): each must be 1 or more"):
        StageSize((1, 0, 1, 1), (4, 4, 8, 8), 8)
    with pytest.raises(OccluposeError, match=r"widths .*: must be a list of 4"):
        StageSize((1, 1, 1, 1), (4, 4, 8), 8)
    with pytest.raises(OccluposeError, match="width 0: must be 1 or more"):
        StageSize((1, 1, 1, 1), (4, 4, 8, 8), 0)


def test_kinds_of_reasoning():
    assert isinstance(networks().reasoner, DSED)
    assert networks(detach=True).reasoner.detach and not networks().reasoner.detach
    plain = networks(reasoning="hourglass").reasoner
    assert isinstance(plain, Reasoner) and not isinstance(plain, DSED)
    assert networks(reasoning="none").reasoner is None


def test_the_detector_predicts_maps_and_depths_at_every_stage_and_level():
    output = networks().detect(images())
    assert [len(stage) for stage in output] == [LEVELS] * 2
    for stage in output:
        for heads in stage:
            shapes = {name: tuple(maps.shape) for name, maps in heads.items()}
            assert shapes == {
                IMAGE_HEAD: (2, 43, 16, 16),
                LIMB_DEPTH_HEAD: (2, 14, 16, 16),
                TORSO_DEPTH_HEAD: (2, 7, 16, 16),
            }


def test_channels_are_heatmaps_ways_limb_by_limb_and_depths():
    whole = networks()
    numbers = torch.arange(57.0)[None, :, None, None].expand(1, 57, 16, 16)
    maps = split_channels(numbers, whole.codec)
    assert maps.heatmaps[0, :, 0, 0].tolist() == list(range(15))
    assert maps.fields[0, :, :2, 0, 0].tolist() == [[15 + 2 * limb, 16 + 2 * limb] for limb in range(14)]
    assert maps.fields[0, :, 2, 0, 0].tolist() == list(range(43, 57))
    assert torch.equal(stack_channels(maps), numbers)
    given = random_maps()
    assert same(split_channels(stack_channels(given), whole.codec), given)
    heads = {IMAGE_HEAD: numbers[:, :43], LIMB_DEPTH_HEAD: numbers[:, 43:]}
    assert same(whole.maps_of_level(heads), maps)


def test_visible_maps_are_the_mean_of_the_finest_levels_with_depths_of_the_finest():
    """The last stage's three; a mean, so that peaks stay at 1."""
    whole = networks()
    output = whole.detect(images())
    levels = [whole.maps_of_level(heads) for heads in output[-1]]
    visible = whole.visible_maps(output)
    torch.testing.assert_close(visible.heatmaps, sum(level.heatmaps for level in levels[:3]) / 3)
    torch.testing.assert_close(visible.fields[:, :, :2], sum(level.fields[:, :, :2] for level in levels[:3]) / 3)
    assert torch.equal(visible.fields[:, :, 2], levels[0].fields[:, :, 2])


@pytest.mark.parametrize("reasoning", ["dsed", "hourglass"])
def test_hidden_maps_are_averaged_in_the_same_way(reasoning):
    whole = networks(reasoning=reasoning, reasoner_stages=2)
    given = random_maps()
    levels = [split_channels(level, whole.codec) for level in whole.reasoner(stack_channels(given))[-1]]
    hidden = whole.hidden_maps(given)
    torch.testing.assert_close(hidden.heatmaps, sum(level.heatmaps for level in levels[:3]) / 3)
    torch.testing.assert_close(hidden.fields[:, :, :2], sum(level.fields[:, :, :2] for level in levels[:3]) / 3)
    assert torch.equal(hidden.fields[:, :, 2], levels[0].fields[:, :, 2])


def test_without_a_reasoner_nothing_is_hidden():
    given = random_maps()
    hidden = networks(reasoning="none").hidden_maps(given)
    assert hidden.heatmaps.shape == given.heatmaps.shape and hidden.fields.shape == given.fields.shape
    assert not hidden.heatmaps.any() and not hidden.fields.any()
    assert same(add_maps(given, hidden), given)


def test_combined_maps_are_the_exact_sum():
    one = random_maps(0)
    other = random_maps(1)
    whole = add_maps(one, other)
    assert torch.equal(whole.heatmaps, one.heatmaps + other.heatmaps) and torch.equal(
        whole.fields, one.fields + other.fields
    )


def test_the_reasoner_has_no_image_and_does_not_affect_the_detector():
    """Other weights of the reasoner change what is hidden; what is visible stays to the bit."""
    whole = networks()
    visible = whole.visible_maps(whole.detect(images()))
    hidden = whole.hidden_maps(visible)
    for parameter in whole.reasoner.parameters():
        parameter.data += 0.1
    again = whole.visible_maps(whole.detect(images()))
    assert same(again, visible) and not same(whole.hidden_maps(again), hidden)


def test_true_maps_are_of_the_networks_shapes():
    given = PeopleBatch(torch.rand(2, 3, 15, 2) * 60, torch.rand(2, 3, 15), torch.full((2, 3, 15), 2), torch.ones(2))
    whole = networks()
    output = whole.maps_of_level(whole.detect(images())[0][0])
    assert output.heatmaps.shape == whole.codec.heatmaps(given, "all", 0).shape == (2, len(MPI15), 16, 16)
    assert output.fields.shape == whole.codec.fields(given, "all", 0).shape == (2, len(MPI15.limbs), 3, 16, 16)
