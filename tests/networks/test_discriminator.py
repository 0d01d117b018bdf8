import torch
from torch import nn

from occlupose.networks.discriminator import Discriminator


def test_three_convolutions_and_a_linear_layer():
    kinds = [type(layer) for layer in Discriminator(17).modules() if isinstance(layer, nn.Conv1d | nn.Linear)]
    assert kinds == [nn.Conv1d, nn.Conv1d, nn.Conv1d, nn.Linear]


def test_sequences_of_any_length_are_judged_one_by_one():
    judge = Discriminator(17, 8)
    for length in (8, 16, 128):
        poses = torch.randn(3, length, 17, 3)
        logits = judge(poses)
        assert logits.shape == (3,)
        torch.testing.assert_close(judge(poses[1:2]), logits[1:2])


def test_every_frame_and_joint_counts():
    poses = torch.randn(1, 16, 17, 3, requires_grad=True)
    Discriminator(17, 8)(poses).sum().backward()
    assert (poses.grad.abs().sum(-1) > 0).all()
