import pytest
import torch
from torch import nn

from occlupose.networks.discriminator import Discriminator


def test_three_convolutions_and_a_linear_layer():
    kinds = [type(layer) for layer in Discriminator(17).modules() if isinstance(layer, nn.Conv1d | nn.Linear)]
    assert kinds == [nn.Conv1d, nn.Conv1d, nn.Conv1d, nn.Linear]


@pytest.mark.parametrize("frames", [1, 2, 8])
def test_every_window_is_judged_by_itself(frames):
    judge = Discriminator(17, 8, frames)
    poses = torch.randn(3, 19, 17, 3)
    logits = judge(poses)
    assert logits.shape == (3, 19 // frames)
    for number in range(19 // frames):
        window = poses[:, number * frames :][:, :frames]
        torch.testing.assert_close(judge(window), logits[:, number : number + 1])


@pytest.mark.parametrize("frames", [1, 16])
def test_every_frame_and_joint_counts(frames):
    poses = torch.randn(1, 16, 17, 3, requires_grad=True)
    Discriminator(17, 8, frames)(poses).sum().backward()
    assert (poses.grad.abs().sum(-1) > 0).all()
