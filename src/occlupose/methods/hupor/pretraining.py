"""Networks that begin with the features of MoveNet MultiPose: their first weights and their learning rates. Ours."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from occlupose.networks import pretrained
from occlupose.networks.movenet import MultiPose
from occlupose.networks.movenet_features import MoveNetFeatures
from occlupose.training.loop import all_parameters

MODEL = "movenet_multipose"


def find_features(network: nn.Module) -> Iterator[MoveNetFeatures]:
    """The features of MultiPose in a network; none in most."""
    return (part for part in network.modules() if isinstance(part, MoveNetFeatures))


def start_from_movenet(network: nn.Module) -> None:
    """Copies MoveNet MultiPose's weights into a network with its features; others stay as they are."""
    for features in find_features(network):
        multipose = pretrained.build(MODEL)
        assert isinstance(multipose, MultiPose)
        features.start_from(multipose)


def describe_start(network: nn.Module) -> dict[str, object]:
    """Entry of the card of a network with MultiPose's features."""
    return {"features": f"MoveNet MultiPose; {pretrained.DATA[MODEL]}"} if any(find_features(network)) else {}


def parameter_groups(module: nn.Module, pretrained_rate: float) -> list[dict[str, Any]]:
    """The parameters of a module as torch's optimisers take them; MultiPose's first blocks are not trained.

    Arguments:
        pretrained_rate: learning rate of MultiPose's layers, as a factor.
    """
    late = []
    for features in find_features(module):
        features.freeze_first_blocks()
        late += features.pretrained_parameters()
    if not late:
        return all_parameters(module)
    known = {id(parameter) for parameter in late}
    new = [parameter for parameter in module.parameters() if parameter.requires_grad and id(parameter) not in known]
    return [{"params": new}, {"params": late, "scale": pretrained_rate}]
