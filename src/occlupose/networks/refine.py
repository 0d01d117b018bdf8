"""RefineNet of HUPOR (arXiv 2208.00090): from the detected joints of a person to all joints of that person in 3D.

There are two networks: a graph convolutional network with modulated weights (Zou and Tang, "Modulated Graph
Convolutional Network for 3D Human Pose Estimation", ICCV 2021), as in the paper, and the perceptron of the code that
the authors published before the paper was final. Both predict 0 before training (ours).

The names of submodules are those in weight files.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occlupose.skeletons import MPI15, Skeleton

INITIAL_CONNECTION = 1e-6
"""Initial value of the learnt part of the adjacency matrix (Zou and Tang)."""


def adjacency_matrix(skeleton: Skeleton) -> Float[Tensor, "joint joint"]:
    """The symmetrically normalised adjacency matrix of joints, connected along limbs, with self-loops (Kipf and Welling
    2017).
    """
    connected = torch.eye(len(skeleton))
    for limb in skeleton.limbs:
        one, other = skeleton.index(*limb)
        connected[one, other] = connected[other, one] = 1
    scale = connected.sum(-1).rsqrt()
    return scale[:, None] * connected * scale


class ModulatedGraph(nn.Module):
    """A modulated graph convolution: joint i receives A_ij (m_j * W h_j) from every joint j, with one W for itself and
    another for its neighbours.

    Zou and Tang. A is the adjacency matrix plus a learnt symmetric matrix. The modulation m starts at 1, where it has
    no effect (ours).

    Arguments:
        inputs, outputs: channels of a joint.
        skeleton: the adjacency matrix (`adjacency_matrix`).
        bias: add a bias; not needed before a normalisation.
    """

    skeleton: Float[Tensor, "joint joint"]

    def __init__(self, inputs: int, outputs: int, skeleton: Float[Tensor, "joint joint"], *, bias: bool = True) -> None:
        super().__init__()
        joints = len(skeleton)
        self.register_buffer("skeleton", skeleton.clone(), persistent=False)
        self.own = nn.Linear(inputs, outputs, bias=False)
        self.neighbours = nn.Linear(inputs, outputs, bias=False)
        self.modulation = nn.Parameter(torch.ones(joints, outputs))
        self.learnt = nn.Parameter(torch.full((joints, joints), INITIAL_CONNECTION))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        for linear in (self.own, self.neighbours):
            nn.init.xavier_uniform_(linear.weight)

    def adjacency(self) -> Float[Tensor, "joint joint"]:
        """A: the given and the learnt part."""
        return self.skeleton + (self.learnt + self.learnt.T) / 2

    def forward(self, x: Float[Tensor, "batch joint inputs"]) -> Float[Tensor, "batch joint outputs"]:
        adjacency = self.adjacency()
        diagonal = adjacency.diagonal()
        own = diagonal[:, None] * self.modulation * self.own(x)
        output = own + (adjacency - diagonal.diag()) @ (self.modulation * self.neighbours(x))
        return output if self.bias is None else output + self.bias


class GraphLayer(nn.Module):
    """A modulated graph convolution, batch normalisation of channels over people and joints, ReLU.

    Arguments:
        residual: add the input to the output.
    """

    def __init__(self, inputs: int, outputs: int, skeleton: Float[Tensor, "joint joint"], *, residual: bool) -> None:
        super().__init__()
        self.graph = ModulatedGraph(inputs, outputs, skeleton, bias=False)
        self.norm = nn.BatchNorm1d(outputs)
        self.residual = residual

    def forward(self, x: Float[Tensor, "batch joint inputs"]) -> Float[Tensor, "batch joint outputs"]:
        output = self.norm(self.graph(x).mT).mT.relu()
        return x + output if self.residual else output


class GCN(nn.Sequential):
    """(person, joint, inputs) to (person, joint, 3): an input layer, residual hidden layers and an output layer.

    HUPOR's supplement: four hidden layers of width 128. That each is one layer with a residual is ours.

    Arguments:
        skeleton: joints and the limbs that connect them.
        inputs: channels of a joint.
        width: hidden channels.
        depth: hidden layers.
    """

    def __init__(self, skeleton: Skeleton = MPI15, inputs: int = 5, *, width: int = 128, depth: int = 4) -> None:
        adjacency = adjacency_matrix(skeleton)
        last = ModulatedGraph(width, 3, adjacency)
        nn.init.zeros_(last.own.weight)
        nn.init.zeros_(last.neighbours.weight)
        super().__init__(
            GraphLayer(inputs, width, adjacency, residual=False),
            *(GraphLayer(width, width, adjacency, residual=True) for _ in range(depth)),
            last,
        )


class MLP(nn.Sequential):
    """(person, joint, inputs) to (person, joint, 3): linear layers on all inputs of a person, each with batch
    normalisation and ReLU.

    Arguments:
        joints: joints of a person.
        inputs: channels of a joint.
        widths: of the hidden layers; the default is that of the authors' earlier code.
    """

    def __init__(self, joints: int = 15, inputs: int = 5, *, widths: tuple[int, ...] = (160, 256, 256, 128)) -> None:
        sizes = (joints * inputs, *widths)
        last = nn.Linear(sizes[-1], 3 * joints)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        hidden = list[nn.Module]()
        for before, after in pairwise(sizes):
            hidden += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
        super().__init__(nn.Flatten(), *hidden, last, nn.Unflatten(1, (joints, 3)))


class Correction(nn.Module):
    """Adds the output of a network to the detected positions, the last three input channels. Ours.

    Arguments:
        network: (person, joint, channel) to (person, joint, 3).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "person joint channel"]) -> Float[Tensor, "person joint 3"]:
        return x[..., -3:] + self.network(x)
