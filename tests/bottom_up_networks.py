"""Small bottom-up networks with random weights."""

from dataclasses import replace

import torch

from occlupose.networks.bottom_up import BottomUpDesign, BottomUpNetwork
from occlupose.networks.mspn import StageSize

SIZE = StageSize((1, 1, 1, 1), (4, 4, 8, 8), 8)
DESIGN = BottomUpDesign("higher_hrnet_small", side=64, reasoner_size=SIZE)


def build(**changes):
    """A network whose outputs differ from image to image: no weight is as small as in an untrained head."""
    torch.manual_seed(0)
    network = BottomUpNetwork(replace(DESIGN, **changes)).eval()
    for name, value in network.base.named_parameters():
        if value.std() < 0.01 and name.endswith("weight") and value.ndim > 1:
            torch.nn.init.normal_(value, std=0.1)
    return network


def images(count=2, width=64, height=64, seed=0):
    """Random RGB images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=generator)
