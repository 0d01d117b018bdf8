"""Weights of HUPOR: half-precision safetensors that carry what is needed to build the networks. Teachers stay
behind.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from occlupose.errors import OccluposeError
from occlupose.methods.hupor.network import HUPORDesign, HUPORNetwork
from occlupose.methods.hupor.refine import RefineKind, RefineRecipe
from occlupose.networks import weights as weights_file
from occlupose.networks.dsed import DSED

FORMAT = "occlupose hupor 1"

NONE = "none"
"""What a file without a refiner says of it."""

COMMAND = "occlupose train hupor"


@dataclass(frozen=True, eq=False)
class TrainedHUPOR:
    """Networks ready to use.

    Attributes:
        refiner: corrects their people, where there is one.
        refinement: what that is.
    """

    networks: HUPORNetwork
    refiner: nn.Module | None = None
    refinement: RefineRecipe | None = None


def save(trained: TrainedHUPOR, path: Path) -> None:
    """Writes the weights, and what `load` needs in the header.

    Raises:
        OccluposeError: the file could not be written.
    """
    refiner = trained.refiner
    recipe = trained.refinement
    tensors = {f"networks.{name}": value for name, value in _useful(trained.networks).items()}
    tensors |= {f"refiner.{name}": value for name, value in ({} if refiner is None else refiner.state_dict()).items()}
    own = (
        {}
        if recipe is None
        else {"published": recipe.published, "refiner_width": recipe.width, "refiner_depth": recipe.depth}
    )
    named = {"format": FORMAT, "refiner": NONE if recipe is None else recipe.kind}
    header = named | {name: str(value) for name, value in own.items()} | trained.networks.design.header()
    weights_file.save(weights_file.half_kernels(tensors), header, path)


def load(path: Path) -> TrainedHUPOR:
    """The networks of a weights file, ready to use.

    Raises:
        OccluposeError: no such file, not a safetensors file, or not one of HUPOR.
    """
    whole, header = weights_file.load(path, _build, format=FORMAT, network="HUPOR", command=COMMAND)
    networks = whole["networks"]
    assert isinstance(networks, HUPORNetwork)
    recipe = _refinement(header)
    return TrainedHUPOR(networks, None if recipe is None else whole["refiner"], recipe)


def load_initial_weights(networks: HUPORNetwork, path: Path) -> str:
    """Puts the weights of a file into networks: its detector, and its reasoner where they have the same; says what was
    taken.

    Raises:
        OccluposeError: no such file, not one of HUPOR, or a detector of another size.
    """
    given = load(path).networks
    ours = networks.state_dict()
    theirs = _useful(given)
    fit = {name: value for name, value in theirs.items() if name in ours and ours[name].shape == value.shape}
    missing = [name for name in ours if name.startswith("detector.") and name not in fit]
    if missing or any(name.startswith("detector.") and name not in fit for name in theirs):
        raise OccluposeError(
            f"{path}: a detector of another design; train with the design of the file, or begin from nothing"
        )
    reasons = {name for name in (*theirs, *_useful(networks)) if name.startswith("reasoner.")}
    if not reasons <= fit.keys():
        fit = {name: value for name, value in fit.items() if name.startswith("detector.")}
    networks.load_state_dict(ours | fit)
    return f"{len(fit)} of {len(ours)} tensors of {path.name}"


def _useful(networks: HUPORNetwork) -> dict[str, Tensor]:
    """What is needed to use the networks."""
    return {name: value for name, value in networks.state_dict().items() if not name.startswith("reasoner.teachers.")}


def _build(header: dict[str, str]) -> nn.ModuleDict:
    networks = HUPORNetwork(HUPORDesign.of(header))
    if isinstance(networks.reasoner, DSED):
        networks.reasoner.drop_teachers()
    recipe = _refinement(header)
    if recipe is None:
        return nn.ModuleDict({"networks": networks})
    with torch.device("cpu"):  # which joints are connected it knows by itself, and no file
        return nn.ModuleDict({"networks": networks, "refiner": recipe.build()})


def _refinement(header: dict[str, str]) -> RefineRecipe | None:
    """What a file says of its refiner."""
    if header["refiner"] == NONE:
        return None
    kind = next((known for known in get_args(RefineKind) if known == header["refiner"]), None)
    if kind is None or header["published"] not in ("True", "False"):
        raise ValueError("refiner")
    width = int(header["refiner_width"])
    depth = int(header["refiner_depth"])
    return RefineRecipe(kind, published=header["published"] == "True", width=width, depth=depth)
