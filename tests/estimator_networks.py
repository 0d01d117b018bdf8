"""Small random estimators for tests."""

import torch

from occlupose.codecs.crops import Crop
from occlupose.networks.estimators import CODECS, EstimatorDesign
from occlupose.skeletons import COCO17


def design(model="hrnet_small", skeleton=COCO17, codec="udp", size=(32, 64)):
    grid = {"udp": "corners", "msra": "stride"}[codec]
    return EstimatorDesign(model, skeleton, CODECS[codec](Crop(*size, grid=grid), 4, 1.5))


def network(about, seed=0):
    """Random, and by no means dark."""
    torch.manual_seed(seed)
    net = about.build()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
    torch.nn.init.normal_(net.head.final_layer.weight)
    return net.eval()
