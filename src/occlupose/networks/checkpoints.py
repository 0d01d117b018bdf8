"""Checkpoints of other projects as weights of our estimators and of our bottom-up networks.

Supported are files of MMPose 0.x and 1.x, of the authors of Simple Baselines, HRNet, HigherHRNet and ViTPose, and, for
the backbone alone, of MMPretrain, torchvision, timm and MAE. Our networks use the names that these share, so few
tensors are renamed. The result lists ignored tensors; tensors that do not fit are an error. HigherHRNet's names are
known from other projects that load its files; no original file was at hand.
"""

import pickle
import re
import zipfile
from dataclasses import dataclass
from functools import cache
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import interpolate
from torch.serialization import safe_globals

from occlupose.errors import OccluposeError
from occlupose.networks.bottom_up import BASES
from occlupose.networks.estimators import ESTIMATORS, build
from occlupose.networks.vitpose import ViTPose
from occlupose.networks.weights import full_precision
from occlupose.pickles import NUMPY

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which a file may hold its weights, in order of precedence. Averaged weights (EMA) come first, as in timm;
MMPose has them under `state_dict`, and those without averaging under `ema_state_dict`.
"""

_STAND_INS: list[Any] = [(meaning, ".".join(name)) for name, meaning in NUMPY.items()]
"""Stand-ins for the NumPy arrays that MMPose writes beside the weights."""


@dataclass(frozen=True)
class Translated:
    """Weights for one of our networks.

    Attributes:
        tensors: by name: the network's whole state dict, or its `backbone.` part; float32.
        whole: whether the head is included.
        joints: number of heatmaps of the head; 0 without one.
        origin: project whose names the file uses.
        notes: what was changed or ignored, in words.
    """

    tensors: dict[str, Tensor]
    whole: bool
    joints: int
    origin: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Dialect:
    """Names of a project for the parts of a backbone.

    Attributes:
        origin: the project, for files without a pose head and without the prefix `backbone.`.
        signature: pattern of a name that only this project has.
        renames: patterns and their replacements, our names.
        ignored: pattern of parts that no estimator has.
    """

    origin: str
    signature: str
    renames: tuple[tuple[str, str], ...] = ()
    ignored: str = "$^"


_DIALECTS = (
    _Dialect(
        "MMPretrain",
        r"layers\.0\.attn\.qkv\.weight",
        (
            (r"^layers\.(\d+)\.ln([12])\.", r"blocks.\1.norm\2."),
            (r"^layers\.(\d+)\.ffn\.layers\.0\.0\.", r"blocks.\1.mlp.fc1."),
            (r"^layers\.(\d+)\.ffn\.layers\.1\.", r"blocks.\1.mlp.fc2."),
            (r"^layers\.", "blocks."),
            (r"^ln1\.", "norm."),
            (r"^patch_embed\.projection\.", "patch_embed.proj."),
        ),
        r"cls_token$",
    ),
    _Dialect("ViTPose", r"last_norm\.weight", ((r"^last_norm\.", "norm."),), r"cls_token$"),
    _Dialect(
        "timm or MAE",
        r"blocks\.0\.attn\.qkv\.weight",
        ignored=r"cls_token$|mask_token$|head\.|head_drop\.|fc_norm\.|pre_logits\.|decoder_",
    ),
    _Dialect(
        "timm", r"stage2\.0\.branches\.", ignored=r"incre_modules\.|downsamp_modules\.|final_layer\.|classifier\."
    ),
    _Dialect("torchvision or timm", r"layer1\.0\.conv1\.weight", ignored=r"fc\."),
)

_UNUSED = r"backbone\.stage4\.\d+\.fuse_layers\.[123]\."
"""Fusion layers of the coarser branches, in ImageNet checkpoints; a head on the finest branch does not need them."""

_CURE = "give a .pth, .pt or .safetensors file of MMPose, ViTPose, timm or MAE"


def translate(path: Path, model: str, *, crop: tuple[int, int] = (192, 256)) -> Translated:
    """Converts a checkpoint of another project to weights of one of our estimators or bases of bottom-up networks.

    Position embeddings of a transformer are interpolated (bicubic) if the grid of the file differs from the crop's. The
    embedding of a class token is added to all others, as in ViTPose for its own and MAE's checkpoints; for MMPretrain's
    checkpoints it is ignored, as in MMPretrain.

    Arguments:
        path: .pth, .pt or .safetensors.
        model: its name in ESTIMATORS or BASES.
        crop: width and height of the input, px; for ViTPose.

    Raises:
        OccluposeError: not readable, or not of this model; names the first tensor that does not fit, and the model that
            fits.
    """
    found = read(path)
    entries, origin, ignored = _match_names(found, path)
    last_layers = ("head.final_layer.weight", "head.coarse.weight", "head.final_layers.1.weight")
    last = next((theirs for ours, theirs in entries.items() if ours in last_layers), None)
    maps = found[last].shape[0] if last and found[last].ndim else 0
    if misfit := _misfit(entries, found, model, maps, crop):
        others = [name for name in (*ESTIMATORS, *BASES) if name != model]
        fitting = [f"--model {name}" for name in others if not _misfit(entries, found, name, maps, crop)]
        kind = " with the classic head" if model.startswith("vitpose") else ""
        cure = f"give {' or '.join(fitting)}, which it fits" if fitting else f"give a checkpoint of {model}{kind}"
        raise OccluposeError(f"{path}: {misfit}; {cure}")
    expected, grid = _expected(model, maps, crop)
    tensors = {ours: found[theirs] for ours, theirs in entries.items() if ours in expected}
    notes: list[str] = []
    if grid is not None:
        tensors["backbone.pos_embed"], notes = _positions(
            tensors["backbone.pos_embed"], grid, drop=origin.startswith("MM")
        )
    if ignored:
        parts = sorted({name.removeprefix("backbone.").split(".")[0] for name in ignored})
        notes.append(f"ignored: {', '.join(parts)}")
    if len(tensors) < len(entries):
        notes.append("ignored: fusion layers of the last exchange to the coarser branches")
    if model == "vitpose_s" and origin == "timm or MAE":
        notes.append(
            "attention has 12 heads here, as in ViTPose's small MAE; timm's small transformers have 6, and will not"
            " work well"
        )
    # missing in old files
    counts = {name: torch.tensor(0) for name in expected if name.endswith("num_batches_tracked")}
    full = full_precision(counts | tensors)
    return Translated({name: full[name] for name in expected if name in full}, bool(maps), maps, origin, tuple(notes))


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without wrappers. No code in the file is run.

    Raises:
        OccluposeError: no such file, damaged, not a checkpoint, or it holds objects that need code to be made.
    """
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            with safe_globals(_STAND_INS):
                content = load_pickled(path)
    except FileNotFoundError:
        raise OccluposeError(f"{path}: no such file; {_CURE}") from None
    except pickle.UnpicklingError as error:
        code = re.search(r"(?:GLOBAL|class|function|global) ([\w.]+\.\w+)", str(error))
        if code is None:
            raise OccluposeError(f"{path}: not readable as a checkpoint; {_CURE}") from error
        cure = "if you trust it, load it where it comes from and save its state_dict alone"
        raise OccluposeError(
            f"{path}: holds {code[1]}, which only code could make, and no code is run here; {cure}"
        ) from error
    except Exception as error:  # a damaged file may fail in any way
        raise OccluposeError(f"{path}: not readable as a checkpoint; {_CURE}") from error
    if isinstance(content, dict) and {"network", "average", "optimiser"} <= content.keys():
        raise OccluposeError(
            f"{path}: checkpoint of a training run of occlupose; --resume continues it, and writes a .safetensors file"
            " at the end"
        )
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    named = content.items() if isinstance(content, dict) else ()
    tensors = {
        re.sub(r"^(module\.|_orig_mod\.)+", "", str(name)): value for name, value in named if isinstance(value, Tensor)
    }
    # MMCV's names for weights without averaging
    kept = {name: value for name, value in tensors.items() if not name.startswith("ema_")}
    if not kept:
        raise OccluposeError(f"{path}: there are no weights in it; {_CURE}")
    return kept


def load_pickled(path: Path) -> Any:
    """What `torch.save` wrote, without running code, on the CPU.

    Raises:
        Exception: of any kind; the file is missing or damaged, be it by one bit.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch does not look at the checksums
                raise ValueError("damaged")
    return torch.load(path, map_location="cpu", weights_only=True)


def _match_names(found: dict[str, Tensor], path: Path) -> tuple[dict[str, str], str, list[str]]:
    """Our names with theirs, the project, and their names that are ignored."""
    prefixed = any(name.startswith("backbone.") for name in found)
    bodies = {name.removeprefix("backbone."): name for name in found if not prefixed or name.startswith("backbone.")}
    dialect = next((each for each in _DIALECTS if any(re.match(each.signature, name) for name in bodies)), None)
    if dialect is None:
        raise OccluposeError(f"{path}: {next(iter(found))} and the other names are of no known network; {_CURE}")
    heads = {}
    ignored = []
    bare_head = r"((?:deconv_layers\.|final_layers\.|final_layer\.(?:weight|bias)).*)"
    head = r"(?:keypoint_head|head)\.(.*)" if prefixed else bare_head
    for name in found:
        part = re.match(head, name)
        if part and not re.match(r"fc\.|layers\.", part[1]):
            heads[f"head.{part[1]}"] = name
        elif prefixed and re.match(r"head\.|neck\.|data_preprocessor\.", name):
            ignored.append(name)
        elif prefixed and not name.startswith("backbone."):
            heads[name] = name  # unknown; refused later
    entries = {}
    for name, theirs in bodies.items():
        if theirs in heads.values():
            continue
        if re.match(dialect.ignored, name):
            ignored.append(theirs)
            continue
        for pattern, ours in dialect.renames:
            name = re.sub(pattern, ours, name)
        entries[f"backbone.{name}"] = theirs
    entries |= heads
    if dialect.origin == "ViTPose":
        origin = "ViTPose"
    elif prefixed and any(name.startswith("keypoint_head.") for name in found):
        origin = "MMPose 0.x"
    elif prefixed and (dialect.origin == "timm or MAE" or "head.coarse.weight" in heads):
        origin = "occlupose"
    elif prefixed:
        origin = "MMPose 1.x" if heads else "MMPretrain"
    else:
        origin = "the authors' code" if heads else dialect.origin
    return entries, origin, ignored


@cache
def _expected(
    model: str, joints: int, crop: tuple[int, int]
) -> tuple[dict[str, tuple[int, ...]], tuple[int, int] | None]:
    """Shapes of a network's state dict (without joints, of its backbone's), and the grid of patches of a ViTPose."""
    with torch.device("meta"):
        network = BASES[model](joints or 1) if model in BASES else build(model, joints or 1, crop=crop)
    shapes = {
        name: tuple(value.shape)
        for name, value in network.state_dict().items()
        if joints or name.startswith("backbone.")
    }
    return shapes, network.backbone.grid if isinstance(network, ViTPose) else None


def _misfit(
    entries: dict[str, str], found: dict[str, Tensor], model: str, joints: int, crop: tuple[int, int]
) -> str | None:
    """The first tensor of a checkpoint that does not fit the model, in words."""
    expected, grid = _expected(model, joints, crop)
    for ours, theirs in entries.items():
        shape = tuple(found[theirs].shape)
        if ours not in expected:
            if not re.match(_UNUSED, ours):
                return f"{theirs} {shape} has no place in {model}"
        elif ours == "backbone.pos_embed" and grid is not None and len(shape) == 3 and shape[2] == expected[ours][2]:
            if _grid(shape[1], grid) is None:
                return f"{theirs} {shape} is of no known grid, and {model} has {grid[0]} x {grid[1]}"
        elif shape != expected[ours]:
            return f"{theirs} is {shape}, but {model} has {expected[ours]} there"
    missing = (name for name in expected if name not in entries and not name.endswith("num_batches_tracked"))
    return next((f"{name} {expected[name]} of {model} is missing" for name in missing), None)


def _grid(tokens: int, ours: tuple[int, int]) -> tuple[int, int, int] | None:
    """Number of class tokens, and rows and columns of the patches: our grid, square, or 4:3 like crops."""
    for classes in (0, 1):
        if tokens - classes == ours[0] * ours[1]:
            return classes, *ours
    for classes in (0, 1):
        for rows, columns in ((1, 1), (4, 3)):
            scale = isqrt((tokens - classes) // (rows * columns))
            if scale and rows * columns * scale**2 == tokens - classes:
                return classes, rows * scale, columns * scale
    return None


def _positions(embedding: Tensor, grid: tuple[int, int], *, drop: bool) -> tuple[Tensor, list[str]]:
    """Position embeddings for a grid of patches, and notes on what was done."""
    known = _grid(embedding.shape[1], grid)
    assert known is not None  # checked by `_misfit`
    classes, *theirs = known
    notes = []
    patches = embedding.float()[:, classes:]
    if tuple(theirs) != grid:
        square = patches.transpose(1, 2).unflatten(2, theirs)
        patches = interpolate(square, grid, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2).contiguous()
        notes.append(f"positions interpolated from {theirs[0]} x {theirs[1]} patches to {grid[0]} x {grid[1]}")
    if classes:
        patches = patches if drop else patches + embedding.float()[:, :1]
        notes.append(f"position of the class token {'ignored' if drop else 'added to all'}")
    return patches, notes
