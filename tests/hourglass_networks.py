"""A small random hourglass for tests."""

import torch

from occlupose.codecs.crops import Crop
from occlupose.networks.hourglass import StackedHourglass
from occlupose.skeletons import COCO17

CROP = Crop(32, 48, padding=1.5)
ARMS = COCO17.subset(("nose", "left_wrist", "right_wrist"))


def network(skeleton=ARMS, stacks=2):
    """Random, and by no means dark."""
    torch.manual_seed(0)
    net = StackedHourglass(len(skeleton), stacks=stacks, width=8, depth=2)
    with torch.no_grad():
        net(torch.randint(0, 256, (8, 48, 32, 3), dtype=torch.uint8))  # its normalisation has seen something
        for stack in net.stacks:
            torch.nn.init.normal_(stack.maps.weight)
            torch.nn.init.zeros_(stack.maps.bias)
    return net.eval()
