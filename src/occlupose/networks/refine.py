"""RefineNet of HUPOR (arXiv 2208.00090): somebody's joints as they were found in, all of their joints in space out.

Two networks of one kind: a graph of joints with modulated weights (Zou and Tang, "Modulated Graph Convolutional Network
for 3D Human Pose Estimation", ICCV 2021), as in the paper, and the perceptron of the code that its authors published
before the paper was final. That both say 0 before training is ours.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from occlupose.skeletons import MPI15, Skeleton

INITIAL_CONNECTION = 1e-6
"""What is learnt of a graph's connections begins with (Zou and Tang)."""


def adjacency_matrix(skeleton: Skeleton) -> Float[Tensor, "joint joint"]:
    """How far joints are connected: each with itself and along limbs; every entry divided by the root of both joints'
    numbers of connections, which keeps it symmetric (Kipf and Welling 2017)."""
    connected = torch.eye(len(skeleton))
    for limb in skeleton.limbs:
        one, other = skeleton.index(*limb)
        connected[one, other] = connected[other, one] = 1
    scale = connected.sum(-1).rsqrt()
    return scale[:, None] * connected * scale


class ModulatedGraph(nn.Module):
    """A layer on a graph: joint i gets, of every joint j, A_ij (m_j * W h_j), with one W for itself and another for its
    neighbours.

    Zou and Tang. A is how joints are connected, and a symmetric matrix that is learnt added to it. That modulation
    begins with 1, where it does nothing, is ours.

    Arguments:
        inputs, outputs: channels of a joint.
        connected: how joints are connected, as `adjacency` says.
        bias: is added to every joint; not needed where a normalisation follows.
    """

    connected: Float[Tensor, "joint joint"]

    def __init__(
        self, inputs: int, outputs: int, connected: Float[Tensor, "joint joint"], *, bias: bool = True
    ) -> None:
        super().__init__()
        joints = len(connected)
        self.register_buffer("connected", connected.clone(), persistent=False)
        self.own = nn.Linear(inputs, outputs, bias=False)
        self.neighbours = nn.Linear(inputs, outputs, bias=False)
        self.modulation = nn.Parameter(torch.ones(joints, outputs))
        self.learnt = nn.Parameter(torch.full((joints, joints), INITIAL_CONNECTION))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        for linear in (self.own, self.neighbours):
            nn.init.xavier_uniform_(linear.weight)

    def adjacency(self) -> Float[Tensor, "joint joint"]:
        """A: what was given and what is learnt."""
        return self.connected + (self.learnt + self.learnt.T) / 2

    def forward(self, x: Float[Tensor, "batch joint inputs"]) -> Float[Tensor, "batch joint outputs"]:
        both = self.adjacency()
        alone = both.diagonal()
        said = alone[:, None] * self.modulation * self.own(x) + (both - alone.diag()) @ (
            self.modulation * self.neighbours(x)
        )
        return said if self.bias is None else said + self.bias


class GraphLayer(nn.Module):
    """A layer on a graph, batch normalisation of its channels over people and joints, ReLU.

    Arguments:
        residual: what comes in is added to what goes out.
    """

    def __init__(self, inputs: int, outputs: int, connected: Float[Tensor, "joint joint"], *, residual: bool) -> None:
        super().__init__()
        self.graph = ModulatedGraph(inputs, outputs, connected, bias=False)
        self.norm = nn.BatchNorm1d(outputs)
        self.residual = residual

    def forward(self, x: Float[Tensor, "batch joint inputs"]) -> Float[Tensor, "batch joint outputs"]:
        said = self.norm(self.graph(x).mT).mT.relu()
        return x + said if self.residual else said


class GCN(nn.Sequential):
    """(person, joint, inputs) to (person, joint, 3): a layer that widens, hidden residual ones, and one that says where
    joints are.

    HUPOR's supplement: four hidden layers of width 128. That each of them is one layer with a residual of its own is
    ours.

    Arguments:
        skeleton: its limbs connect the joints.
        inputs: channels of a joint.
        width: channels inside.
        depth: hidden layers.
    """

    def __init__(self, skeleton: Skeleton = MPI15, inputs: int = 5, *, width: int = 128, depth: int = 4) -> None:
        connected = adjacency_matrix(skeleton)
        last = ModulatedGraph(width, 3, connected)
        nn.init.zeros_(last.own.weight)
        nn.init.zeros_(last.neighbours.weight)
        super().__init__(
            GraphLayer(inputs, width, connected, residual=False),
            *(GraphLayer(width, width, connected, residual=True) for _ in range(depth)),
            last,
        )


class MLP(nn.Sequential):
    """(person, joint, inputs) to (person, joint, 3): all numbers of a person through linear layers with batch
    normalisation and ReLU.

    Arguments:
        joints: of a person.
        inputs: channels of a joint.
        widths: of the hidden layers; those of the authors' earlier code.
    """

    def __init__(self, joints: int = 15, inputs: int = 5, *, widths: tuple[int, ...] = (160, 256, 256, 128)) -> None:
        sizes = (joints * inputs, *widths)
        hidden = (
            (nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True))
            for before, after in pairwise(sizes)
        )
        last = nn.Linear(sizes[-1], 3 * joints)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(
            nn.Flatten(), *(layer for layers in hidden for layer in layers), last, nn.Unflatten(1, (joints, 3))
        )


class Correction(nn.Module):
    """What a network says is added to where joints were found: the last three channels that go in. Ours.

    Arguments:
        network: (person, joint, channel) to (person, joint, 3).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "person joint channel"]) -> Float[Tensor, "person joint 3"]:
        return x[..., -3:] + self.network(x)
