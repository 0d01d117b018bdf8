"""From 2D joints of any length to 3D, with OANet's temporal networks."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.methods.oanet.network import OANet
from occlupose.methods.oanet.picture import frame
from occlupose.networks.tcn import STRIDE

AT_ONCE = 32
"""Windows that go through the networks together, so that memory does not grow with the length."""


@torch.inference_mode()
def predict(
    oanet: OANet, xy: Float[Tensor, "time joint 2"], believed: Bool[Tensor, "time joint"], length: int = 128
) -> Float[Tensor, "time joint 3"]:
    """3D joints of one person, metres, relative to the root.

    Windows of the length learnt, half a window apart, whose answers are averaged where they overlap (ours).

    Arguments:
        xy: H36M-17 joints in any unit; ignored where not believed.
        length: frames of a window; a shorter sequence is one window, held at its end up to a multiple of the networks'
            stride.
    """
    time = len(xy)
    if not time:
        return xy.new_zeros(0, xy.shape[1], 3)
    window = min(length, -(-time // STRIDE) * STRIDE)
    padded = torch.arange(max(window, time)).clamp_max(time - 1)
    starts = [*range(0, len(padded) - window, window // 2), len(padded) - window]
    places = torch.stack([padded[start : start + window] for start in starts])
    device = next(oanet.parameters()).device
    pictures = (frame(xy[part].to(device), believed[part].to(device)) for part in places.split(AT_ONCE))
    answers = torch.cat([oanet(picture).xyz.cpu() for picture in pictures])
    total = torch.zeros(len(padded), *answers.shape[2:])
    count = torch.zeros(len(padded), 1, 1)
    for start, answer in zip(starts, answers, strict=True):
        total[start : start + window] += answer
        count[start : start + window] += 1
    return (total / count)[:time]
