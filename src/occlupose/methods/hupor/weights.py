"""Weights of HUPOR: half-precision safetensors with the design of the networks in the header, without teachers."""

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
"""Header entry of a file without a RefineNet."""

COMMAND = "occlupose train hupor"


@dataclass(frozen=True, eq=False)
class TrainedHUPOR:
    """Networks ready to use.

    Attributes:
        refiner: a RefineNet, if there is one.
        refiner_recipe: its recipe.
    """

    networks: HUPORNetwork
    refiner: nn.Module | None = None
    refiner_recipe: RefineRecipe | None = None


def save(trained: TrainedHUPOR, path: Path) -> None:
    """Writes the weights, and what `load` needs into the header.

    Raises:
        OccluposeError: the file could not be written.
    """
    tensors = {f"networks.{name}": value for name, value in _without_teachers(trained.networks).items()}
    if trained.refiner is not None:
        tensors |= {f"refiner.{name}": value for name, value in trained.refiner.state_dict().items()}
    recipe = trained.refiner_recipe
    header = {"format": FORMAT, "refiner": NONE if recipe is None else recipe.kind}
    if recipe is not None:
        header["published"] = str(recipe.published)
        header["refiner_width"] = str(recipe.width)
        header["refiner_depth"] = str(recipe.depth)
    header |= trained.networks.design.to_header()
    weights_file.save(weights_file.half_kernels(tensors), header, path)


def load(path: Path) -> TrainedHUPOR:
    """The networks of a weights file, ready to use.

    Raises:
        OccluposeError: the file does not exist, is not a safetensors file, or is not HUPOR's.
    """
    modules, header = weights_file.load(path, _build, format=FORMAT, network="HUPOR", command=COMMAND)
    networks = modules["networks"]
    assert isinstance(networks, HUPORNetwork)
    recipe = _refiner_recipe(header)
    return TrainedHUPOR(networks, None if recipe is None else modules["refiner"], recipe)


def load_initial_weights(networks: HUPORNetwork, path: Path) -> str:
    """Copies the detector of a weights file into networks, and the reasoner if it has the same design.

    Returns:
        How many tensors were copied, in words.

    Raises:
        OccluposeError: the file does not exist, is not HUPOR's, or its detector has another size.
    """
    ours = networks.state_dict()
    theirs = _without_teachers(load(path).networks)
    fit = {name: value for name, value in theirs.items() if name in ours and ours[name].shape == value.shape}
    detector = {name for name in (*theirs, *ours) if name.startswith("detector.")}
    if not detector <= fit.keys():
        raise OccluposeError(
            f"{path}: a detector of another design; train with the design of the file, or without initial weights"
        )
    reasoner = {name for name in (*theirs, *_without_teachers(networks)) if name.startswith("reasoner.")}
    if not reasoner <= fit.keys():
        fit = {name: fit[name] for name in fit if name in detector}
    networks.load_state_dict(ours | fit)
    return f"{len(fit)} of {len(ours)} tensors of {path.name}"


def _without_teachers(networks: HUPORNetwork) -> dict[str, Tensor]:
    """The weights that inference needs."""
    return {name: value for name, value in networks.state_dict().items() if not name.startswith("reasoner.teachers.")}


def _build(header: dict[str, str]) -> nn.ModuleDict:
    networks = HUPORNetwork(HUPORDesign.from_header(header))
    if isinstance(networks.reasoner, DSED):
        networks.reasoner.drop_teachers()
    recipe = _refiner_recipe(header)
    if recipe is None:
        return nn.ModuleDict({"networks": networks})
    with torch.device("cpu"):  # not meta: its adjacency matrix is not in the file
        return nn.ModuleDict({"networks": networks, "refiner": recipe.build()})


def _refiner_recipe(header: dict[str, str]) -> RefineRecipe | None:
    """The recipe of a file's RefineNet."""
    if header["refiner"] == NONE:
        return None
    kind = next((known for known in get_args(RefineKind) if known == header["refiner"]), None)
    if kind is None or header["published"] not in ("True", "False"):
        raise ValueError("refiner")
    width = int(header["refiner_width"])
    depth = int(header["refiner_depth"])
    return RefineRecipe(kind, published=header["published"] == "True", width=width, depth=depth)
