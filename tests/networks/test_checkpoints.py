"""Files are built here with the names of the other projects, by rules written down here; the numbers are random."""

import os
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import interpolate

from occlupose.errors import OccluposeError
from occlupose.networks.bottom_up import BASES
from occlupose.networks.checkpoints import read, translate
from occlupose.networks.estimators import build


def randomised(network):
    """The network with every number random, and as an odd one as a trained one has."""
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            value.fill_(7)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=generator)
        else:
            value += 0.02 * torch.randn(value.shape, generator=generator)
    return network.eval()


def same(translated, source, model, *, crop=(64, 64)):
    """Whether a new network with the converted weights has the same output as the source, bit by bit."""
    other = build(model, translated.joints, crop=crop).eval()
    other.load_state_dict(translated.tensors)
    images = torch.randn(1, 3, crop[1], crop[0], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return all(torch.equal(a, b) for a, b in zip(source(images), other(images), strict=True))


def written(tensors, path, **beside):
    torch.save({"meta": {"epoch": 210}, "state_dict": OrderedDict(tensors), **beside}, path)
    return path


def norm(name, width):
    yield from ((f"{name}.{what}", (width,)) for what in ("weight", "bias", "running_mean", "running_var"))
    yield f"{name}.num_batches_tracked", ()


def mm_resnet(depths, width=64):
    """MMPose's ResNet, of bottlenecks: torchvision's names."""
    yield "conv1.weight", (width, 3, 7, 7)
    yield from norm("bn1", width)
    inputs = width
    for stage, depth in enumerate(depths):
        inner = width << stage
        for number in range(depth):
            block = f"layer{stage + 1}.{number}"
            shapes = ((inner, inputs, 1, 1), (inner, inner, 3, 3), (4 * inner, inner, 1, 1))
            for convolution, shape in enumerate(shapes, 1):
                yield f"{block}.conv{convolution}.weight", shape
                yield from norm(f"{block}.bn{convolution}", shape[0])
            if number == 0:
                yield f"{block}.downsample.0.weight", (4 * inner, inputs, 1, 1)
                yield from norm(f"{block}.downsample.1", 4 * inner)
            inputs = 4 * inner


def mm_hrnet(width, *, multiscale):
    """MMPose's, the authors' and timm's HRNet."""
    for number, inputs in ((1, 3), (2, 64)):
        yield f"conv{number}.weight", (64, inputs, 3, 3)
        yield from norm(f"bn{number}", 64)
    yield from ((name, shape) for name, shape in mm_resnet((4,)) if name.startswith("layer1"))
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        last = f"transition{stage - 1}.{stage - 1}.0"
        before = 256 if stage == 2 else width << (stage - 2)
        if stage == 2:
            yield "transition1.0.0.weight", (width, 256, 3, 3)
            yield from norm("transition1.0.1", width)
        yield f"{last}.0.weight", (width << (stage - 1), before, 3, 3)
        yield from norm(f"{last}.1", width << (stage - 1))
        for module in range(modules):
            for branch in range(stage):
                channels = width << branch
                for block in range(4):
                    for convolution in (1, 2):
                        yield (
                            f"stage{stage}.{module}.branches.{branch}.{block}.conv{convolution}.weight",
                            (channels, channels, 3, 3),
                        )
                        yield from norm(f"stage{stage}.{module}.branches.{branch}.{block}.bn{convolution}", channels)
            for target in range(stage if multiscale or (stage, module) != (4, 2) else 1):
                for source in range(stage):
                    way = f"stage{stage}.{module}.fuse_layers.{target}.{source}"
                    if source > target:
                        yield f"{way}.0.weight", (width << target, width << source, 1, 1)
                        yield from norm(f"{way}.1", width << target)
                    for step in range(target - source):
                        outputs = width << (target if step == target - source - 1 else source)
                        yield f"{way}.{step}.0.weight", (outputs, width << source, 3, 3)
                        yield from norm(f"{way}.{step}.1", outputs)


def mm_head(inputs, joints, deconvolutions):
    """Of MMPose's heatmap heads."""
    for number in range(deconvolutions):
        yield f"deconv_layers.{3 * number}.weight", (inputs, 256, 4, 4)
        yield from norm(f"deconv_layers.{3 * number + 1}", 256)
        inputs = 256
    yield "final_layer.weight", (joints, inputs, 1, 1)
    yield "final_layer.bias", (joints,)


def mm_higher_hrnet(width, joints):
    """Heads of MMPose's and of the authors' HigherHRNet: 1x1 convolutions to heatmaps and tags and to heatmaps, and
    between them a transposed convolution with four basic blocks. The originals cannot be had here; these names are
    those that other projects which load them write down.
    """
    for number, (outputs, inputs) in enumerate(((2 * joints, width), (joints, width))):
        yield f"final_layers.{number}.weight", (outputs, inputs, 1, 1)
        yield f"final_layers.{number}.bias", (outputs,)
    yield "deconv_layers.0.0.0.weight", (width + 2 * joints, width, 4, 4)
    yield from norm("deconv_layers.0.0.1", width)
    for block in range(1, 5):
        for convolution in (1, 2):
            yield f"deconv_layers.0.{block}.0.conv{convolution}.weight", (width, width, 3, 3)
            yield from norm(f"deconv_layers.0.{block}.0.bn{convolution}", width)


VIT = {
    "norm1": "ln1",
    "attn.qkv": "attn.qkv",
    "attn.proj": "attn.proj",
    "norm2": "ln2",
    "mlp.fc1": "ffn.layers.0.0",
    "mlp.fc2": "ffn.layers.1",
}
"""Of a block: timm's and the ViTPose repository's names, and those of MMPretrain, which MMPose 1.x uses."""


def vit_names(depth, project):
    """Of a transformer's parts, as the project has them, and ours."""
    mm = project == "mmpose"
    names = {
        f"patch_embed.{'projection' if mm else 'proj'}.{what}": f"backbone.patch_embed.proj.{what}"
        for what in ("weight", "bias")
    }
    for block in range(depth):
        for timm, mmpretrain in VIT.items():
            for what in ("weight", "bias"):
                theirs = f"layers.{block}.{mmpretrain}.{what}" if mm else f"blocks.{block}.{timm}.{what}"
                names[theirs] = f"backbone.blocks.{block}.{timm}.{what}"
    last = {"mmpose": "ln1", "vitpose": "last_norm", "timm": "norm"}[project]
    return names | {f"{last}.{what}": f"backbone.norm.{what}" for what in ("weight", "bias")}


CROP = (96, 128)
"""Of the transformers here: 8 x 6 patches."""


@pytest.fixture(scope="module")
def vitpose():
    torch.manual_seed(0)
    network = randomised(build("vitpose_s", crop=CROP))
    with torch.no_grad():
        # sums of such numbers are exact
        network.backbone.pos_embed.copy_((network.backbone.pos_embed * 1024).round() / 1024)
    return network


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return randomised(build("simple_baseline_r50"))


@pytest.fixture(scope="module")
def hrnet():
    torch.manual_seed(0)
    return randomised(build("hrnet_w32"))


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return randomised(build("simple_baseline_small"))


def shapes(network, part):
    return {
        name.removeprefix(f"{part}."): tuple(value.shape)
        for name, value in network.state_dict().items()
        if name.startswith(f"{part}.")
    }


def test_the_names_of_resnets_and_hrnets_are_mmposes(resnet, hrnet):
    assert shapes(resnet, "backbone") == dict(mm_resnet((3, 4, 6, 3))) and shapes(resnet, "head") == dict(
        mm_head(2048, 17, 3)
    )
    assert shapes(hrnet, "backbone") == dict(mm_hrnet(32, multiscale=False)) and shapes(hrnet, "head") == dict(
        mm_head(32, 17, 0)
    )
    with torch.device("meta"):
        assert shapes(build("hrnet_w48"), "backbone") == dict(mm_hrnet(48, multiscale=False))
        assert shapes(build("srpose_w32"), "backbone") == dict(mm_hrnet(32, multiscale=True))


@pytest.mark.parametrize(("prefix", "origin"), [("keypoint_head.", "MMPose 0.x"), ("head.", "MMPose 1.x")])
@pytest.mark.parametrize("model", ["simple_baseline_r50", "hrnet_w32"])
def test_mmpose(model, prefix, origin, resnet, hrnet, tmp_path):
    source = resnet if model == "simple_baseline_r50" else hrnet
    theirs = {
        name if name.startswith("backbone.") else prefix + name.removeprefix("head."): v
        for name, v in source.state_dict().items()
    }
    translated = translate(written(theirs, tmp_path / "a.pth"), model)
    assert (translated.whole, translated.joints, translated.origin, translated.notes) == (True, 17, origin, ())
    assert same(translated, source, model)


def test_the_authors_of_hrnet(tmp_path):
    """Everything on one level, the head as `final_layer`."""
    torch.manual_seed(0)
    source = randomised(build("hrnet_small"))
    path = tmp_path / "pose_hrnet_256x192.pth"
    torch.save({name.split(".", 1)[1]: value for name, value in source.state_dict().items()}, path)
    translated = translate(path, "hrnet_small")
    assert (translated.whole, translated.joints, translated.origin) == (True, 17, "the authors' code")
    assert same(translated, source, "hrnet_small")


@pytest.mark.parametrize(
    ("project", "origin", "head"), [("mmpose", "MMPose 1.x", "head"), ("vitpose", "ViTPose", "keypoint_head")]
)
def test_vitpose(project, origin, head, vitpose, tmp_path):
    ours = vitpose.state_dict()
    theirs = {f"backbone.{name}": ours[mine] for name, mine in vit_names(12, project).items()}
    assert len(theirs) + 1 == len(shapes(vitpose, "backbone"))
    theirs |= {f"{head}.{name}": ours[f"head.{name}"] for name, _ in mm_head(384, 17, 2)}
    positions = ours["backbone.pos_embed"]
    if project == "vitpose":  # it adds the class token's position, of a token that is not there, to all others
        added = torch.randint(-9, 9, (1, 1, 384), generator=torch.Generator().manual_seed(2)) / 1024
        positions = torch.cat([added, positions - added], 1)
    translated = translate(
        written(theirs | {"backbone.pos_embed": positions}, tmp_path / "a.pth"), "vitpose_s", crop=CROP
    )
    assert (translated.whole, translated.joints, translated.origin) == (True, 17, origin)
    assert translated.notes == (("position of the class token added to all",) if project == "vitpose" else ())
    assert same(translated, vitpose, "vitpose_s", crop=CROP)


@pytest.mark.parametrize("project", ["mmpose", "timm"])
def test_transformers_for_classes_give_the_backbone(project, vitpose, tmp_path):
    """Of MMPretrain, which leaves the class token's position aside, and of timm and MAE, where it is treated as ViTPose
    does.
    """
    ours = vitpose.state_dict()
    prefix = "backbone." if project == "mmpose" else ""
    theirs = {prefix + name: ours[mine] for name, mine in vit_names(12, project).items()}
    generator = torch.Generator().manual_seed(3)
    positions = torch.randn(1, 1 + 14 * 14, 384, generator=generator)
    theirs |= {f"{prefix}pos_embed": positions, f"{prefix}cls_token": torch.zeros(1, 1, 384)}
    if project == "timm":
        theirs |= {"head.weight": torch.zeros(1000, 384), "head.bias": torch.zeros(1000)}
    else:
        theirs |= {"head.layers.head.weight": torch.zeros(1000, 384), "head.layers.head.bias": torch.zeros(1000)}
    translated = translate(written(theirs, tmp_path / "a.pth"), "vitpose_s", crop=CROP)
    assert (translated.whole, translated.joints) == (False, 0)
    assert translated.origin == ("timm or MAE" if project == "timm" else "MMPretrain")
    assert translated.notes[:2] == (
        "positions interpolated from 14 x 14 patches to 8 x 6",
        f"position of the class token {'added to all' if project == 'timm' else 'ignored'}",
    )
    assert translated.notes[2] == "ignored: cls_token, head"
    assert set(translated.tensors) == {name for name in ours if name.startswith("backbone.")}
    grid = interpolate(positions[:, 1:].reshape(1, 14, 14, 384).permute(0, 3, 1, 2), (8, 6), mode="bicubic")
    expected = grid.permute(0, 2, 3, 1).reshape(1, 48, 384) + (positions[:, :1] if project == "timm" else 0)
    torch.testing.assert_close(translated.tensors.pop("backbone.pos_embed"), expected)
    assert all(torch.equal(value, ours[name]) for name, value in translated.tensors.items())


def test_mae_brings_a_decoder_that_is_left_aside(vitpose, tmp_path):
    ours = vitpose.state_dict()
    theirs = {name: ours[mine] for name, mine in vit_names(12, "timm").items()}
    theirs |= {
        "cls_token": torch.zeros(1, 1, 384),
        "mask_token": torch.zeros(1, 1, 512),
        "decoder_pos_embed": torch.zeros(1, 197, 512),
    }
    theirs |= {
        "pos_embed": torch.cat([torch.zeros(1, 1, 384), ours["backbone.pos_embed"]], 1),
        "decoder_blocks.0.norm1.weight": torch.zeros(512),
    }
    torch.save({"model": theirs}, tmp_path / "mae.pth")
    translated = translate(tmp_path / "mae.pth", "vitpose_s", crop=CROP)
    assert translated.notes[1] == "ignored: cls_token, decoder_blocks, decoder_pos_embed, mask_token"
    assert "12 heads" in translated.notes[2]
    assert all(torch.equal(value, ours[name]) for name, value in translated.tensors.items())


def test_vitpose_for_another_crop_keeps_where_things_are(vitpose, tmp_path):
    """A pattern that is linear in the rows stays so, away from the border."""
    tensors = dict(vitpose.state_dict())
    rows = torch.linspace(0, 1, 16)[None, :, None, None].expand(1, 16, 12, 384)
    path = written(tensors | {"backbone.pos_embed": rows.reshape(1, 192, 384)}, tmp_path / "a.pth")
    translated = translate(path, "vitpose_s", crop=CROP)
    assert translated.origin == "occlupose" and translated.notes == (
        "positions interpolated from 16 x 12 patches to 8 x 6",
    )
    ours = translated.tensors["backbone.pos_embed"].reshape(8, 6, 384)
    torch.testing.assert_close(ours[1:7, 2, 0], (torch.arange(1, 7) * 2 + 0.5) / 15, atol=0.01, rtol=0)
    assert torch.equal(translate(path, "vitpose_s").tensors["backbone.pos_embed"].reshape(16, 12, 384), rows[0])


@pytest.mark.parametrize("model", ["hrnet_w32", "srpose_w32"])
def test_timms_hrnet(model, tmp_path):
    """It has the coarser branches, which SRPose needs and HRNet's own head does not, and layers for classes."""
    generator = torch.Generator().manual_seed(0)
    theirs = {name: torch.randn(shape, generator=generator) for name, shape in mm_hrnet(32, multiscale=True)}
    theirs |= {
        f"{name}.weight": torch.zeros(2, 2)
        for name in ("incre_modules.0.0.conv1", "downsamp_modules.0.0", "final_layer.0", "classifier")
    }
    save_file(theirs, tmp_path / "model.safetensors")
    translated = translate(tmp_path / "model.safetensors", model)
    assert (translated.whole, translated.joints, translated.origin) == (False, 0, "timm")
    assert translated.notes[0] == "ignored: classifier, downsamp_modules, final_layer, incre_modules"
    assert translated.notes[1:] == (
        () if model == "srpose_w32" else ("ignored: fusion layers of the last exchange to the coarser branches",)
    )
    expected = dict(mm_hrnet(32, multiscale=model == "srpose_w32"))
    assert set(translated.tensors) == {f"backbone.{name}" for name in expected}
    assert all(torch.equal(translated.tensors[f"backbone.{name}"], theirs[name]) for name in expected)


def test_torchvisions_resnet(resnet, tmp_path):
    theirs = {
        name.removeprefix("backbone."): v for name, v in resnet.state_dict().items() if name.startswith("backbone.")
    }
    torch.save(theirs | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, tmp_path / "resnet50.pth")
    translated = translate(tmp_path / "resnet50.pth", "simple_baseline_r50")
    assert (translated.whole, translated.joints, translated.origin) == (False, 0, "torchvision or timm")
    assert translated.notes == ("ignored: fc",)
    other = build("simple_baseline_r50").eval()
    report = other.load_state_dict(translated.tensors, strict=False)
    assert report.unexpected_keys == [] and all(name.startswith("head.") for name in report.missing_keys)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(other.backbone(image), resnet.backbone(image))


def wrappings():
    """How projects wrap weights: what they write besides, and what they put before the names."""
    zeros = lambda tensors: {name: 0 * value for name, value in tensors.items()}  # noqa: E731
    yield "bare", lambda tensors: tensors
    yield "state_dict", lambda tensors: {"state_dict": tensors, "optimizer": {"state": {}, "param_groups": []}}
    yield "parallel", lambda tensors: {"state_dict": {f"module.{name}": value for name, value in tensors.items()}}
    yield "compiled", lambda tensors: {"model": {f"_orig_mod.{name}": value for name, value in tensors.items()}}
    yield "timm's average", lambda tensors: {"state_dict": zeros(tensors), "state_dict_ema": tensors}
    yield "MAE's average", lambda tensors: {"model": zeros(tensors), "model_ema": tensors}
    yield (
        "MMEngine's average",
        lambda tensors: {
            "state_dict": tensors,
            "ema_state_dict": {"steps": torch.tensor(3)}
            | {f"module.{name}": value for name, value in zeros(tensors).items()},
        },
    )
    yield (
        "MMCV's average",
        lambda tensors: {
            "state_dict": tensors | {f"ema_{name.replace('.', '_')}": value for name, value in zeros(tensors).items()}
        },
    )
    yield (
        "arrays",
        lambda tensors: {
            "state_dict": tensors,
            "meta": {
                "dataset_meta": {"sigmas": np.array([0.1, 0.2], np.float32), "names": np.array(["a", "b"])},
                "ap": np.float64(0.7),
            },
        },
    )


@pytest.mark.parametrize(("wrap"), [pytest.param(wrap, id=name) for name, wrap in wrappings()])
def test_wrappings(wrap, small, tmp_path):
    torch.save(wrap(dict(small.state_dict())), tmp_path / "a.pth")
    assert same(translate(tmp_path / "a.pth", "simple_baseline_small"), small, "simple_baseline_small")


def test_halves_become_whole_and_old_files_have_no_counts(small, tmp_path):
    halves = {name: v.half() for name, v in small.state_dict().items() if not name.endswith("num_batches_tracked")}
    translated = translate(written(halves, tmp_path / "a.pt"), "simple_baseline_small")
    assert list(translated.tensors) == list(small.state_dict())
    for name, value in translated.tensors.items():
        assert torch.equal(value, halves[name].float() if name in halves else torch.tensor(0)), name


def test_our_own_srpose(tmp_path):
    tensors = build("srpose_w32").state_dict()
    translated = translate(written(tensors, tmp_path / "a.pth"), "srpose_w32")
    assert (translated.whole, translated.joints, translated.origin, translated.notes) == (True, 17, "occlupose", ())
    assert list(translated.tensors) == list(tensors)
    assert all(torch.equal(value, tensors[name]) for name, value in translated.tensors.items())


def refusal(path, model="simple_baseline_small", **options):
    with pytest.raises(OccluposeError) as error:
        translate(path, model, **options)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


class Trap:
    """What a malicious file does when it is read carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


CURE = "give a .pth, .pt or .safetensors file of MMPose, ViTPose, timm or MAE"


def test_files_that_cannot_be_read_are_refused(small, tmp_path):
    whole = written(dict(small.state_dict()), tmp_path / "a.pth").read_bytes()
    torch.save(dict(small.state_dict()), tmp_path / "older.pth", _use_new_zipfile_serialization=False)
    older = (tmp_path / "older.pth").read_bytes()
    assert refusal(tmp_path / "none.pth") == f"no such file; {CURE}"
    assert refusal(tmp_path / "none.safetensors") == f"no such file; {CURE}"
    for name, content in (
        ("cut.pth", whole[: len(whole) // 2]),
        ("cut_older.pth", older[:-4]),
        ("cut_tensor.pth", older[: older.rindex(b".") + 5]),
        ("nothing.pth", b"\x80\x02."),
        ("text.pth", b"once upon a time"),
        ("empty.pth", b""),
        ("text.safetensors", b"once upon a time there was a file"),
        ("zip.safetensors", whole),
    ):
        (tmp_path / name).write_bytes(content)
        assert refusal(tmp_path / name) == f"not readable as a checkpoint; {CURE}", name
    (tmp_path / "folder.pth").mkdir()
    assert refusal(tmp_path / "folder.pth") == f"not readable as a checkpoint; {CURE}"
    for content in ({}, {"state_dict": {}}, {"state_dict": {"a": 3}}, [1, 2], torch.zeros(3)):
        torch.save(content, tmp_path / "b.pth")
        assert refusal(tmp_path / "b.pth") == f"there are no weights in it; {CURE}"


def test_one_flipped_bit_is_noticed(small, tmp_path):
    path = written(dict(small.state_dict()), tmp_path / "a.pth")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert refusal(path) == f"not readable as a checkpoint; {CURE}"


def test_no_code_is_run(small, tmp_path):
    path = written(dict(small.state_dict()), tmp_path / "a.pth", hook=Trap(tmp_path / "caught"))
    message = refusal(path)
    assert (
        message.startswith("holds ")
        and "mkdir, which only code could make, and no code is run here; if you trust it, " in message
    )
    assert not (tmp_path / "caught").exists()


def test_other_networks_are_refused_and_the_fitting_one_is_named(small, hrnet, tmp_path):
    path = written(dict(small.state_dict()), tmp_path / "a.pth")
    fits = "give --model simple_baseline_small, which it fits"
    wide = "(64, 3, 7, 7)"
    assert (
        refusal(path, "simple_baseline_r50")
        == f"backbone.conv1.weight is (16, 3, 7, 7), but simple_baseline_r50 has {wide} there; {fits}"
    )
    assert refusal(path, "vitpose_s") == f"backbone.conv1.weight (16, 3, 7, 7) has no place in vitpose_s; {fits}"
    tensors = dict(hrnet.state_dict())
    path = written(
        {name.replace("head.", "keypoint_head."): value for name, value in tensors.items()}, tmp_path / "b.pth"
    )
    first = "backbone.transition1.0.0.weight is (32, 256, 3, 3), but hrnet_w48 has (48, 256, 3, 3) there"
    assert refusal(path, "hrnet_w48") == f"{first}; give --model hrnet_w32, which it fits"
    first = "keypoint_head.final_layer.weight (17, 32, 1, 1) has no place in srpose_w32"
    assert refusal(path, "srpose_w32") == f"{first}; give --model hrnet_w32, which it fits"
    with pytest.raises(OccluposeError, match=r"^model hourglass: not known; known are "):
        translate(path, "hourglass")


def test_joints_are_those_of_the_head(tmp_path):
    path = written(build("simple_baseline_small", 5).state_dict(), tmp_path / "a.pth")
    translated = translate(path, "simple_baseline_small")
    assert translated.joints == len(translated.tensors["head.final_layer.bias"]) == 5


def test_the_checkpoint_of_a_training_is_not_its_weights(small, tmp_path):
    torch.save({"network": small.state_dict(), "average": {}, "optimiser": {}, "step": 3}, tmp_path / "last.pt")
    assert refusal(tmp_path / "last.pt").startswith("checkpoint of a training run of occlupose; --resume continues it")


def test_what_is_missing_or_unknown_is_named(small, tmp_path):
    tensors = dict(small.state_dict())
    cure = "give a checkpoint of simple_baseline_small"
    lost = {name: value for name, value in tensors.items() if name != "backbone.layer3.1.bn2.bias"}
    expected = f"backbone.layer3.1.bn2.bias (64,) of simple_baseline_small is missing; {cure}"
    assert refusal(written(lost, tmp_path / "a.pth")) == expected
    lost = {name: value for name, value in tensors.items() if name != "head.final_layer.bias"}
    assert (
        refusal(written(lost, tmp_path / "a.pth"))
        == f"head.final_layer.bias (17,) of simple_baseline_small is missing; {cure}"
    )
    for name in ("associate_keypoint_heads.0.final_layer.weight", "head.cls.weight", "backbone.layer5.weight"):
        path = written(tensors | {name: torch.zeros(2, 3)}, tmp_path / "a.pth")
        assert refusal(path) == f"{name} (2, 3) has no place in simple_baseline_small; {cure}"
    path = written({"encoder.weight": torch.zeros(2, 3)}, tmp_path / "a.pth")
    assert refusal(path) == f"encoder.weight and the other names are of no known network; {CURE}"


def test_transformers_that_are_not_ours_are_refused(vitpose, tmp_path):
    tensors = dict(vitpose.state_dict())
    path = written(tensors | {"backbone.pos_embed": torch.zeros(1, 50 * 3, 384)}, tmp_path / "a.pth")
    first = "backbone.pos_embed (1, 150, 384) is of no known grid, and vitpose_s has 16 x 12"
    cure = "give a checkpoint of vitpose_s with the classic head"
    assert refusal(path, "vitpose_s") == f"{first}; {cure}"
    path = written(tensors | {"backbone.blocks.0.mlp.experts.0.weight": torch.zeros(3, 3)}, tmp_path / "a.pth")
    assert (
        refusal(path, "vitpose_s") == f"backbone.blocks.0.mlp.experts.0.weight (3, 3) has no place in vitpose_s; {cure}"
    )
    simple = {name: value for name, value in tensors.items() if not name.startswith("head.deconv")}
    path = written(simple | {"head.final_layer.weight": torch.zeros(17, 384, 3, 3)}, tmp_path / "a.pth")
    expected = "head.final_layer.weight is (17, 384, 3, 3), but vitpose_s has (17, 256, 1, 1) there"
    assert refusal(path, "vitpose_s") == f"{expected}; {cure}"


def test_reading_gives_what_is_there(small, tmp_path):
    found = read(written(dict(small.state_dict()), tmp_path / "a.pth"))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        n: tuple(v.shape) for n, v in small.state_dict().items()
    }


# ------------------------------------------------------------------------------------ HigherHRNet


@pytest.fixture(scope="module")
def higher():
    torch.manual_seed(0)
    return randomised(BASES["higher_hrnet_w32"](14))


@pytest.mark.parametrize(("width", "joints"), [(32, 17), (48, 14)])
def test_the_names_of_higher_hrnets_are_mmposes(width, joints):
    with torch.device("meta"):
        network = BASES[f"higher_hrnet_w{width}"](joints)
    assert shapes(network, "backbone") == dict(mm_hrnet(width, multiscale=False))
    assert shapes(network, "head") == dict(mm_higher_hrnet(width, joints))
    assert not shapes(network, "fields")


@pytest.mark.parametrize(
    ("prefixes", "origin"), [(("backbone.", "keypoint_head."), "MMPose 0.x"), (("", ""), "the authors' code")]
)
def test_higher_hrnet(prefixes, origin, higher, tmp_path):
    """As MMPose writes it, and as its authors do, on one level."""
    before, head = prefixes
    names = [
        *((before + name, f"backbone.{name}") for name, _ in mm_hrnet(32, multiscale=False)),
        *((head + name, f"head.{name}") for name, _ in mm_higher_hrnet(32, 14)),
    ]
    ours = higher.state_dict()
    theirs = {name: ours[mine] for name, mine in names}
    assert len(theirs) == len(ours)
    translated = translate(written(theirs, tmp_path / "a.pth"), "higher_hrnet_w32")
    assert (translated.whole, translated.joints, translated.origin, translated.notes) == (True, 14, origin, ())
    other = BASES["higher_hrnet_w32"](14).eval()
    other.load_state_dict(translated.tensors)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one = higher(images)
        two = other(images)
    assert torch.equal(one.heatmaps[1], two.heatmaps[1]) and torch.equal(one.tags, two.tags)


def test_the_model_that_fits_is_named(higher, hrnet, tmp_path):
    path = written(higher.state_dict(), tmp_path / "a.pth")
    with pytest.raises(OccluposeError, match=r"a.pth: .*; give --model higher_hrnet_w32, which it fits"):
        translate(path, "hrnet_w32")
    with pytest.raises(OccluposeError, match=r"a.pth: .*; give --model higher_hrnet_w32, which it fits"):
        translate(path, "higher_hrnet_w48")
    path = written(hrnet.state_dict(), tmp_path / "b.pth")
    with pytest.raises(OccluposeError, match=r"b.pth: .*; give --model hrnet_w32, which it fits"):
        translate(path, "higher_hrnet_w32")
