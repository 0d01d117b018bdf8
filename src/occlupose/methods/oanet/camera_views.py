"""The cameras of the training: four studio cameras around the person, and the paper's virtual views."""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from occlupose.skeletons import BODY22
from occlupose.synth.virtual_cameras import AngleGrid, camera_rotation, paper_rotations

DISTANCE = 5.0
"""Metres from the middle of the studio; like the height about as in Human3.6M."""

HEIGHT = 1.5
"""Metres above the floor."""

AZIMUTHS = (45.0, 135.0, 225.0, 315.0)
"""Directions of the studio cameras, degrees about the vertical axis."""

PELVIS = BODY22.joints.index("pelvis")


def to_studio_camera(joints: Float[Tensor, "batch time 22 3"], camera: Tensor) -> Float[Tensor, "batch time 22 3"]:
    """Bodies in the frame of fixed, level cameras (metres), from a world with y up and the floor at 0. Ours.

    Each sequence is centred in the studio.

    Arguments:
        camera: index of each sequence's camera, 0 to 3.
    """
    centre = joints[:, :, PELVIS].mean(1)
    centre[:, 1] = HEIGHT
    azimuth = torch.deg2rad(torch.tensor(AZIMUTHS))[camera]
    rotation = camera_rotation(azimuth, torch.zeros_like(azimuth), torch.zeros_like(azimuth))
    rotated = (joints - centre.view(-1, 1, 1, 3)) @ rotation.mT.unsqueeze(1)
    return rotated + rotated.new_tensor([0.0, 0.0, DISTANCE])


def to_virtual_view(
    joints: Float[Tensor, "batch time 22 3"], generator: Generator, grid: AngleGrid = "signed"
) -> Float[Tensor, "batch time 22 3"]:
    """Root-relative bodies (metres) in one of the paper's hundred virtual views each, for an orthographic camera
    (section 4.2).
    """
    views = paper_rotations(generator, grid=grid)
    chosen = views[torch.randint(len(views), (len(joints),), generator=generator)]
    return (joints - joints[:, :, PELVIS : PELVIS + 1]) @ chosen.mT.unsqueeze(1)
