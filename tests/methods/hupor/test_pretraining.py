from dataclasses import replace

import torch
from torch import nn

from hupor_samples import DESIGN, TINY
from occlupose.methods.hupor.network import HUPORNetwork
from occlupose.methods.hupor.pretraining import describe_start, parameter_groups, start_from_movenet
from occlupose.methods.hupor.train import HUPORTraining
from occlupose.networks import pretrained

MOVENET = replace(DESIGN, detector="movenet")


def ids(parameters):
    return {id(parameter) for parameter in parameters}


def test_groups_have_every_trained_parameter_once():
    """MultiPose's layers, slower, and all others; its first blocks are in neither."""
    network = HUPORNetwork(MOVENET)
    new, late = parameter_groups(network, 0.05)
    assert late["scale"] == 0.05 and "scale" not in new
    trained = ids(parameter for parameter in network.parameters() if parameter.requires_grad)
    assert ids(new["params"]) | ids(late["params"]) == trained
    assert not ids(new["params"]) & ids(late["params"])
    assert ids(network.reasoner.parameters()) <= ids(new["params"])
    assert ids(network.detector.pyramid.parameters()) <= ids(late["params"])
    assert not any(parameter.requires_grad for parameter in network.detector.backbone.stem.parameters())


def test_a_detector_that_is_not_trained_stays_so():
    recipe = replace(TINY, design=MOVENET, train_detector=False)
    training = HUPORTraining(HUPORNetwork(MOVENET), recipe, 4)
    parameter_groups(training, 0.05)
    assert not any(parameter.requires_grad for parameter in training.networks.detector.parameters())


def test_networks_without_movenet_have_one_group_and_keep_their_weights():
    network = HUPORNetwork(DESIGN)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    start_from_movenet(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    (group,) = parameter_groups(network, 0.05)
    assert ids(group["params"]) == ids(network.parameters()) and describe_start(network) == {}


def test_networks_with_it_begin_with_multipose_and_say_so():
    network = nn.ModuleDict({"deep": HUPORNetwork(MOVENET)})
    start_from_movenet(network)
    backbone = pretrained.build("movenet_multipose").backbone
    assert torch.equal(network["deep"].detector.backbone.stem.weight, backbone.stem.weight)
    assert describe_start(network)["features"].startswith("MoveNet MultiPose; trained by Google")
