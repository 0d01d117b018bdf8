"""2D joints of any length to 3D, with OANet's temporal networks."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from occlupose.methods.oanet.network import OANetNetwork
from occlupose.methods.oanet.normalise import normalise_2d
from occlupose.networks.tcn import STRIDE

WINDOWS_AT_ONCE = 32
"""Windows per forward pass, so that memory does not grow with the length."""


@torch.inference_mode()
def predict_3d(
    oanet: OANetNetwork, xy: Float[Tensor, "time joint 2"], reliable: Bool[Tensor, "time joint"], window: int = 128
) -> Float[Tensor, "time joint 3"]:
    """3D joints of one person, metres, relative to the root.

    Windows of the length used in training, half a window apart, are averaged where they overlap (ours).

    Arguments:
        xy: H36M-17 joints in any unit; ignored where not reliable.
        window: frames of a window. A shorter sequence is one window, its last frame repeated up to a multiple of the
            networks' stride.
    """
    time = len(xy)
    if not time:
        return xy.new_zeros(0, xy.shape[1], 3)
    window = min(window, -(-time // STRIDE) * STRIDE)
    padded = torch.arange(max(window, time)).clamp_max(time - 1)
    starts = [*range(0, len(padded) - window, window // 2), len(padded) - window]
    frames = torch.stack([padded[start : start + window] for start in starts])
    device = next(oanet.parameters()).device
    inputs = (normalise_2d(xy[part].to(device), reliable[part].to(device)) for part in frames.split(WINDOWS_AT_ONCE))
    outputs = torch.cat([oanet(part).xyz.cpu() for part in inputs])
    total = torch.zeros(len(padded), *outputs.shape[2:])
    count = torch.zeros(len(padded), 1, 1)
    for start, output in zip(starts, outputs, strict=True):
        total[start : start + window] += output
        count[start : start + window] += 1
    return (total / count)[:time]
