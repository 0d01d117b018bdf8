from dataclasses import replace

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

import estimator_networks
from bottom_up_networks import DESIGN, SIZE, build, images
from occlupose.codecs.composite_fields import accumulate, directions
from occlupose.errors import OccluposeError
from occlupose.networks import estimators
from occlupose.networks.bottom_up import (
    BASES,
    BottomUpDesign,
    BottomUpNetwork,
    ConnectedMaps,
    load,
    load_initial_weights,
    save,
)
from occlupose.networks.dsed import DSED, Reasoner
from occlupose.networks.mspn import StageSize
from occlupose.networks.weights import header
from occlupose.skeletons import COCO17


def test_the_default_is_the_paper_s_one_stack_behind_w32():
    """Supplement 1.3: 17 heatmaps and the x and y of 16 fields; a first level as wide as these."""
    with torch.device("meta"):
        network = BottomUpNetwork(BottomUpDesign())
    assert isinstance(network.reasoner, DSED) and len(network.reasoner.students) == 1
    assert network.reasoner.channels == 17 + 2 * 16
    assert network.reasoner.students[0].levels[0][0].conv1.in_channels == 49
    assert network.design.letterbox.width == 512 and network.design.codecs[1].shape == (256, 256)


@pytest.mark.parametrize("skeleton", ["coco17", "crowdpose14"])
def test_maps_in_the_size_of_the_input(skeleton):
    maps = build(skeleton=skeleton)(images(2, 96, 64))
    joints = int(skeleton[-2:])
    for each in (maps.visible, maps.hidden, maps.tags):
        assert each.shape == (2, joints, 64, 96) and each.dtype == torch.float32


@pytest.mark.parametrize("fine", [False, True])
def test_the_reasoner_gets_the_mean_of_both_resolutions_at_a_quarter(fine):
    network = build(fine_fields=fine)
    maps = network.detect(images())
    channels = network.reasoner_input(maps)
    assert channels.shape == (2, 49, 16, 16)
    heatmaps = (maps.heatmaps[0] + avg_pool2d(maps.heatmaps[1], 2)) / 2
    fields = (maps.fields[0] + avg_pool2d(maps.fields[1], 2)) / 2 if fine else maps.fields[0]
    torch.testing.assert_close(channels, torch.cat([heatmaps, fields], 1))


def test_visible_maps_are_the_mean_of_both_resolutions_and_hidden_ones_the_reasoner_s():
    network = build()
    given = images()
    maps = network.detect(given)
    output = network(given)

    def resized(each):
        return interpolate(each, (64, 64), mode="bilinear", align_corners=False)

    torch.testing.assert_close(output.visible, (resized(maps.heatmaps[0]) + resized(maps.heatmaps[1])) / 2)
    torch.testing.assert_close(output.tags, resized(maps.tags))
    levels = network.reasoner(network.reasoner_input(maps))[-1]
    torch.testing.assert_close(output.hidden, resized(sum(levels[:3])[:, :17] / 3))


def test_without_a_reasoner_nothing_is_hidden_and_the_rest_is_the_same():
    whole = build()
    bare = build(reasoning="none")
    bare.load_state_dict({name: value for name, value in whole.state_dict().items() if name.startswith("base.")})
    assert not bare(images()).hidden.any()
    assert torch.equal(bare(images()).visible, whole(images()).visible)
    assert not bare.hidden_maps(torch.ones(1, 49, 16, 16)).any()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"skeleton": "crowdpose14", "reasoning": "hourglass", "fine_fields": True, "detach": True},
        {"reasoning": "none", "fields": False},
        {"reasoner_stages": 2},
        {"base": "pifpaf_small", "skeleton": "crowdpose14"},
        {"base": "higher_hrnet_movenet", "fine_fields": True},
        {"base": "pifpaf_movenet", "skeleton": "crowdpose14"},
        {"base": "hupor_small", "skeleton": "crowdpose14", "reasoner_stages": 2},
        {"reasoner_image": True},
    ],
)
def test_a_file_has_the_networks_without_teachers(tmp_path, changes):
    network = build(**changes)
    path = tmp_path / "net.safetensors"
    save(network, path)
    loaded = load(path)
    assert loaded.design == network.design
    assert not any("teachers" in name for name in loaded.state_dict())
    before = network(images())
    after = loaded(images())
    for one, other in ((after.visible, before.visible), (after.hidden, before.hidden)):
        height = max(1, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, atol=0.02 * height, rtol=0.02)  # half precision


def test_the_reasoner_may_see_the_image():
    """Supplement, table 6; files from before it could are of reasoners that do not."""
    design = replace(DESIGN, reasoner_image=True)
    assert BottomUpDesign.from_header(design.to_header()) == design
    older = DESIGN.to_header()
    del older["reasoner_image"]
    assert BottomUpDesign.from_header(older) == DESIGN
    network = build(reasoner_image=True)
    visible = network.reasoner_input(network.detect(images()))
    assert not torch.equal(network.hidden_maps(visible, images()), network.hidden_maps(visible, images(seed=1)))
    hidden = network.hidden_maps(visible, images())[:, :17]
    torch.testing.assert_close(network(images()).hidden.mean(), hidden.mean(), atol=0.02, rtol=0.1)


def test_a_published_size_is_not_written_out(tmp_path):
    design = BottomUpDesign(reasoner_size=None)
    assert design.to_header()["reasoner_size"] == "published"
    assert BottomUpDesign.from_header(design.to_header()) == design
    sized = replace(design, reasoner_size=StageSize((1, 2, 3, 4), (5, 6, 7, 8), 9))
    assert BottomUpDesign.from_header(sized.to_header()) == sized


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"base": "alexnet"}, "base alexnet: not known; known are higher_hrnet_w32"),
        ({"side": 500}, "side 500: must be a multiple of 32"),
        ({"fields": False}, "fields: dsed needs them"),
        ({"skeleton": "ant"}, "ant: not a known skeleton"),
        ({"reasoning": "magic"}, "reasoning magic: not known"),
        ({"reasoner_stages": 0}, "reasoner_stages 0: must be 1 or more"),
    ],
)
def test_impossible_designs_are_refused(wrong, message):
    with pytest.raises(OccluposeError, match=message):
        replace(DESIGN, **wrong)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(OccluposeError, match="no such file"):
        load(tmp_path / "nothing.safetensors")
    design = estimator_networks.design()
    estimators.save(estimator_networks.network(design).state_dict(), design, tmp_path / "other.safetensors")
    with pytest.raises(OccluposeError, match=r"not the weights of a bottom-up network.*occlupose train dsed"):
        load(tmp_path / "other.safetensors")


# ----------------------------------------------------------------------------------------- PifPaf


def test_behind_pifpaf_maps_are_at_a_quarter():
    network = build(base="pifpaf_small")
    maps = network(images(2, 96, 64))
    assert isinstance(maps, ConnectedMaps)
    assert maps.visible.shape == maps.hidden.shape == (2, 17, 16, 24) and maps.fields.shape == (2, 19, 2, 16, 24)
    assert maps.composite.limbs.confidence.shape == (2, 19, 8, 12)


def test_the_reasoner_s_maps_are_added_to_those_of_the_composite_fields():
    """55 channels: 17 of joints and 19 times x and y."""
    network = build(base="pifpaf_small")
    given = images()
    fields = network.detect(given)
    channels = network.reasoner_input(fields)
    assert channels.shape == (2, 55, 16, 16)
    torch.testing.assert_close(channels[:, :17], accumulate(fields.joints, 2))
    ways = interpolate(directions(fields.limbs).flatten(1, 2), scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(channels[:, 17:], ways)
    hidden = network.hidden_maps(channels)
    output = network(given)
    torch.testing.assert_close(output.hidden, hidden[:, :17])
    torch.testing.assert_close(output.fields.flatten(1, 2), channels[:, 17:] + hidden[:, 17:])
    assert torch.equal(output.visible, channels[:, :17])


@pytest.mark.parametrize("base", ["pifpaf_small", "hupor_small"])
@pytest.mark.parametrize("changes", [{"fields": False, "reasoning": "none"}, {"fine_fields": True}])
def test_others_have_fields_of_their_own(base, changes):
    with pytest.raises(OccluposeError, match=f"{base} has its own; leave them as they are"):
        replace(DESIGN, base=base, **changes)


# ------------------------------------------------------------------------------------------ HUPOR


def test_hupor_in_2d_has_the_published_detector():
    """Three stages; heatmaps and two components of the fields, no depths."""
    design = BottomUpDesign("hupor", reasoner_stages=2)
    with torch.device("meta"):
        network = BottomUpNetwork(design)
    assert len(network.base.encoders) == 3 and network.base.encoders[0].levels[0][0].conv1.out_channels == 64
    assert network.reasoner.channels == 17 + 2 * len(design.codecs[0].limbs[0]) == 49
    assert design.family == "hupor" and design.codecs[0].components == 2


def test_hupor_s_reasoner_gets_the_mean_of_the_finest_levels():
    network = build(base="hupor_small")
    heads = network.detect(images())
    channels = network.reasoner_input(heads)
    torch.testing.assert_close(channels, sum(level["maps"] for level in heads[-1][:3]) / 3)
    output = network(images())
    hidden = network.hidden_maps(channels)
    torch.testing.assert_close(output.fields.flatten(1, 2), channels[:, 17:] + hidden[:, 17:])
    assert torch.equal(output.visible, channels[:, :17]) and output.composite is None


def test_hupor_has_no_backbone_of_an_estimator(tmp_path):
    design = estimator_networks.design(model="hrnet_small")
    estimators.save(estimator_networks.network(design).state_dict(), design, tmp_path / "a.safetensors")
    with pytest.raises(OccluposeError, match=r"a\.safetensors: not of hupor_small; train with the base"):
        initialised(tmp_path / "a.safetensors", base="hupor_small")
    save(build(base="hupor_small"), tmp_path / "b.safetensors")
    _, changed, _ = initialised(tmp_path / "b.safetensors", base="hupor_small")
    assert "base.stem.0.0.weight" in changed and any(name.startswith("reasoner.students") for name in changed)


# -------------------------------------------------------------------------------- initial weights


def moved(network, before):
    """Names of the tensors that are not as before."""
    return {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}


def initialised(path, **changes):
    """A network of other random weights after `load_initial_weights`, and the names of what it was given."""
    torch.manual_seed(1)
    network = BottomUpNetwork(replace(DESIGN, **changes))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    words = load_initial_weights(network, path)
    return network, moved(network, before), words


def test_a_run_begins_with_base_and_reasoner(tmp_path):
    save(build(), tmp_path / "a.safetensors")
    given = load(tmp_path / "a.safetensors").state_dict()
    network, changed, words = initialised(tmp_path / "a.safetensors")
    assert words == f"{len(given)} of {len(network.state_dict())} tensors of a.safetensors"
    assert all(torch.equal(network.state_dict()[name], value) for name, value in given.items())
    assert any(name.startswith("reasoner.students") for name in changed)
    assert not any(name.startswith("reasoner.teachers") for name in changed)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"reasoning": "none"}, {}),
        ({"reasoning": "none", "fields": False}, {}),
        ({}, {"reasoning": "none"}),
        ({}, {"reasoner_size": replace(SIZE, width=12)}),
    ],
)
def test_a_base_alone_or_with_another_reasoner(tmp_path, theirs, ours):
    save(build(**theirs), tmp_path / "a.safetensors")
    network, changed, _ = initialised(tmp_path / "a.safetensors", **ours)
    assert changed and all(name.startswith("base.") for name in changed)
    assert ("base.fields.0.weight" in changed) is theirs.get("fields", True)
    given = load(tmp_path / "a.safetensors").state_dict()
    for name, value in network.state_dict().items():
        if name.startswith("base.") and name in given:
            assert torch.equal(value, given[name]), name


def test_of_other_joints_the_weights_of_joints_are_left_out(tmp_path):
    save(build(skeleton="crowdpose14"), tmp_path / "a.safetensors")
    _, changed, _ = initialised(tmp_path / "a.safetensors")
    assert "base.backbone.conv1.weight" in changed and "base.head.deconv_layers.0.1.0.conv1.weight" in changed
    assert not {name for name in changed if "final_layers" in name or "fields" in name or "reasoner" in name}
    assert "base.head.deconv_layers.0.0.0.weight" not in changed


def test_the_backbone_of_an_estimator(tmp_path):
    """HRNet for crops of one person, or of ImageNet alone."""
    design = estimator_networks.design(model="hrnet_small")
    estimators.save(estimator_networks.network(design).state_dict(), design, tmp_path / "a.safetensors")
    _, changed, _ = initialised(tmp_path / "a.safetensors")
    assert changed and all(name.startswith("base.backbone.") for name in changed)


def test_weights_of_another_base_are_refused(tmp_path):
    design = estimator_networks.design(model="simple_baseline_small")
    estimators.save(estimator_networks.network(design).state_dict(), design, tmp_path / "a.safetensors")
    with pytest.raises(OccluposeError, match=r"a\.safetensors: not of higher_hrnet_small; train with the base"):
        initialised(tmp_path / "a.safetensors")


def test_all_bases_are_built_for_any_joints():
    for name, base in BASES.items():
        with torch.device("meta"):
            network = base(len(COCO17), 3)
        if name.startswith("pifpaf"):
            assert (network.joints.count, network.limbs.count) == (17, 3)
        elif name.startswith("hupor"):
            assert network.upsamplers[0].levels[0].heads["maps"][1].out_channels == 17 + 6
        else:
            assert network.head.joints == 17 and network.fields[0].out_channels == 6


def test_pifpaf_of_other_joints_gives_its_backbone(tmp_path):
    save(build(base="pifpaf_small", skeleton="crowdpose14"), tmp_path / "a.safetensors")
    _, changed, _ = initialised(tmp_path / "a.safetensors", base="pifpaf_small")
    assert "base.backbone.conv1.weight" in changed and all(name.startswith("base.backbone.") for name in changed)
    with pytest.raises(OccluposeError, match="not of higher_hrnet_small"):
        initialised(tmp_path / "a.safetensors")


def test_headers_say_what_they_are(tmp_path):
    save(build(reasoning="none"), tmp_path / "a.safetensors")
    about = header(tmp_path / "a.safetensors")
    assert (about["format"], about["base"], about["skeleton"]) == (
        "occlupose bottom-up 1",
        "higher_hrnet_small",
        "coco17",
    )
    assert isinstance(build().reasoner, Reasoner)
