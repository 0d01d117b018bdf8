"""The discriminator of OANet's adversarial loss."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class Discriminator(nn.Module):
    """Logits of whether 3D poses are real: three 1D convolutions over time and a linear layer (paper section 3.2).

    The paper judges "a 3D pose" with convolutions over time. Here a verdict is about any number of frames: 1 judges
    every pose by itself, more judge motion. Kernel 5 and stride 2 are from the authors' later code (the public `sul`);
    a single pose has kernel 1. Ours: the widths, and the mean over the remaining time steps.

    Arguments:
        joints: number of joints of a pose.
        width: channels of the convolutions.
        frames: of a verdict.
    """

    def __init__(self, joints: int, width: int = 256, frames: int = 16) -> None:
        super().__init__()
        self.frames = frames
        kernel = 5 if frames > 1 else 1
        stride = 2 if frames > 1 else 1
        channels = (3 * joints, width, width, width)
        layers = list[nn.Module]()
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(width, 1)

    def forward(self, xyz: Float[Tensor, "batch time joint 3"]) -> Float[Tensor, "batch verdict"]:
        """The logit of "real" of each window of root-relative poses in metres; frames that do not fill one are left
        out.
        """
        windows = xyz.flatten(2).unfold(1, self.frames, self.frames)  # batch, verdict, channel, frame
        return self.linear(self.layers(windows.flatten(0, 1)).mean(-1)).view(windows.shape[:2])
