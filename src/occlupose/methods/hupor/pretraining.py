"""Networks that begin with the features of MoveNet MultiPose: their first weights and their learning rates. Ours."""

from typing import Any

from torch import nn

from occlupose.networks import pretrained
from occlupose.networks.movenet import MultiPose
from occlupose.networks.movenet_features import MoveNetFeatures
from occlupose.training.loop import all_parameters


def start_from_movenet(network: nn.Module) -> None:
    """Copies MoveNet MultiPose's weights into a network with its features; others stay as they are."""
    for part in network.modules():
        if isinstance(part, MoveNetFeatures):
            multipose = pretrained.build("movenet_multipose")
            assert isinstance(multipose, MultiPose)
            part.start_from(multipose)


def parameter_groups(module: nn.Module, pretrained_rate: float) -> list[dict[str, Any]]:
    """The parameters of a module as torch's optimisers take them.

    Arguments:
        pretrained_rate: learning rate of MultiPose's layers, as a factor; its first blocks are not trained.
    """
    features = [part for part in module.modules() if isinstance(part, MoveNetFeatures)]
    late = [parameter for part in features for parameter in part.pretrained_parameters()]
    if not late:
        return all_parameters(module)
    known = {id(parameter) for parameter in late}
    new = [parameter for parameter in module.parameters() if parameter.requires_grad and id(parameter) not in known]
    return [{"params": new}, {"params": late, "scale": pretrained_rate}]
