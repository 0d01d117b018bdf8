"""Where the training's cameras stand: a studio of four around the person, and the paper's virtual views."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from occlupose.skeletons import BODY22
from occlupose.synth.views import facing, paper_views

DISTANCE = 5.0
HEIGHT = 1.5
"""Metres from the middle of the studio, and above its floor: about those of Human3.6M."""

DIRECTIONS = (45.0, 135.0, 225.0, 315.0)
"""Degrees about the vertical axis."""

PELVIS = BODY22.joints.index("pelvis")


def studio(joints: Float[Tensor, "batch time 22 3"], camera: Tensor) -> Float[Tensor, "batch time 22 3"]:
    """The bodies before still, level cameras: metres, camera frame, from a world with y up whose floor is at 0. Ours.

    Each sequence has its middle in the middle of the studio.

    Arguments:
        camera: number of each sequence's camera, 0 to 3.
    """
    centre = joints[:, :, PELVIS].mean(1)
    centre[:, 1] = HEIGHT
    azimuth = torch.deg2rad(torch.tensor(DIRECTIONS))[camera]
    rotation = facing(azimuth, torch.zeros_like(azimuth), torch.zeros_like(azimuth))
    seen = (joints - centre.view(-1, 1, 1, 3)) @ rotation.mT.unsqueeze(1)
    return seen + seen.new_tensor([0.0, 0.0, DISTANCE])


def virtual(joints: Float[Tensor, "batch time 22 3"], generator: Generator) -> Float[Tensor, "batch time 22 3"]:
    """The bodies as one of the paper's hundred virtual views sees each (section 4.2), root-relative: metres,
    orthographic camera.
    """
    views = paper_views(generator)
    chosen = views[torch.randint(len(views), (len(joints),), generator=generator)]
    return (joints - joints[:, :, PELVIS : PELVIS + 1]) @ chosen.mT.unsqueeze(1)
