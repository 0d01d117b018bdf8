import pytest
import torch

from occlupose.networks.refine import GCN, INITIAL_CONNECTION, MLP, Correction, ModulatedGraph, adjacency_matrix
from occlupose.skeletons import H36M17, MPI15

NETWORKS = pytest.mark.parametrize("make", [GCN, MLP], ids=["gcn", "mlp"])


def trained(network, seed=0):
    """One with random output, as after training, in evaluation mode."""
    torch.manual_seed(seed)
    for name, weight in network.named_parameters():
        if weight.ndim > 1 and "learnt" not in name:
            torch.nn.init.normal_(weight, std=0.1)
    return network.eval()


def layer(inputs=4, outputs=6, seed=0, **more):
    torch.manual_seed(seed)
    made = ModulatedGraph(inputs, outputs, adjacency_matrix(MPI15), **more)
    for weight in made.parameters():
        torch.nn.init.normal_(weight)
    return made


def parameters(network):
    return sum(weight.numel() for weight in network.parameters())


def test_joints_are_connected_with_themselves_and_along_limbs():
    connected = adjacency_matrix(MPI15)
    assert torch.equal(connected, connected.T)
    assert int((connected > 0).sum()) == 15 + 2 * 14
    neck, head, pelvis, wrist, elbow = MPI15.index("neck", "head_top", "pelvis", "left_wrist", "left_elbow")
    assert connected[neck, wrist] == 0
    assert connected[neck, neck].item() == pytest.approx(1 / 5)  # head, pelvis, both shoulders and itself
    assert connected[neck, head].item() == pytest.approx((5 * 2) ** -0.5)
    assert connected[pelvis, neck].item() == pytest.approx((4 * 5) ** -0.5)
    assert connected[wrist, elbow].item() == pytest.approx((2 * 3) ** -0.5)
    assert torch.linalg.eigvalsh(connected).abs().max().item() == pytest.approx(1)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_its_formula(bias):
    made = layer(bias=bias)
    x = torch.randn(3, 15, 4)
    between = adjacency_matrix(MPI15) + (made.learnt + made.learnt.T) / 2
    expected = torch.zeros(3, 15, 6)
    for person in range(3):
        for i in range(15):
            for j in range(15):
                weight = made.own.weight if i == j else made.neighbours.weight
                expected[person, i] += between[i, j] * made.modulation[j] * (weight @ x[person, j])
            if bias:
                expected[person, i] += made.bias
    torch.testing.assert_close(made(x), expected)


def test_the_learnt_adjacency_is_symmetric_and_small_at_first():
    made = ModulatedGraph(4, 6, adjacency_matrix(MPI15))
    torch.testing.assert_close(made.adjacency(), adjacency_matrix(MPI15) + INITIAL_CONNECTION, rtol=0, atol=1e-9)
    optimiser = torch.optim.SGD(made.parameters(), lr=1.0)
    made(torch.randn(2, 15, 4)).square().sum().backward()
    optimiser.step()
    assert (made.learnt - INITIAL_CONNECTION).abs().max() > 1e-3
    assert torch.equal(made.adjacency(), made.adjacency().T)


def test_before_training_only_neighbours_count():
    made = ModulatedGraph(4, 6, adjacency_matrix(MPI15))
    torch.nn.init.zeros_(made.learnt)
    x = torch.randn(1, 15, 4, requires_grad=True)
    elbow, shoulder, wrist = MPI15.index("left_elbow", "left_shoulder", "left_wrist")
    made(x)[0, elbow].sum().backward()
    assert sorted(x.grad[0].abs().sum(-1).nonzero().flatten().tolist()) == sorted([elbow, shoulder, wrist])


def test_connections_of_nothing_but_oneself_leave_a_linear_layer():
    made = ModulatedGraph(4, 6, torch.eye(15))
    x = torch.randn(2, 15, 4)
    torch.nn.init.zeros_(made.learnt)
    torch.testing.assert_close(made(x), x @ made.own.weight.T)


def test_without_modulation_mirrored_people_give_mirrored_answers():
    network = trained(GCN(width=16))
    x = torch.randn(2, 15, 5)
    sides = list(MPI15.mirror)
    assert not torch.allclose(network(x)[:, sides], network(x[:, sides]), atol=1e-4)
    for part in network.modules():
        if isinstance(part, ModulatedGraph):
            torch.nn.init.ones_(part.modulation)
    torch.testing.assert_close(network(x)[:, sides], network(x[:, sides]))


def test_the_size_of_the_graph():
    joints = 15 * 15
    first = 2 * 5 * 128
    hidden = 2 * 128 * 128
    last = 2 * 128 * 3
    norm = 2 * 128
    modulation = 15 * 128
    expected = (
        (first + modulation + joints + norm) + 4 * (hidden + modulation + joints + norm) + (last + 15 * 3 + joints + 3)
    )
    assert parameters(GCN()) == expected == 145_398


def test_the_size_of_the_perceptron():
    linear = 75 * 160 + 160 * 256 + 256 * 256 + 256 * 128 + 128 * 45 + 45
    assert parameters(MLP()) == linear + 2 * (160 + 256 + 256 + 128) == 158_669


@NETWORKS
def test_before_training_the_output_is_zero_and_has_gradients(make):
    network = make()
    x = torch.randn(4, 15, 5)
    assert (network(x) == 0).all()
    assert torch.equal(Correction(network)(x), x[..., 2:])
    network(x).sum().backward()
    assert any(weight.grad.abs().sum() > 0 for weight in network.parameters())


@NETWORKS
def test_every_weight_counts(make):
    network = trained(make()).train()
    (network(torch.randn(4, 15, 5)) * torch.randn(4, 15, 3)).sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad.abs().sum() > 0, name


@NETWORKS
def test_people_do_not_mix_in_use(make):
    network = trained(make())
    x = torch.randn(3, 15, 5)
    together = network(x)
    assert together.shape == (3, 15, 3)
    assert together.abs().max() > 0
    for one, alone in zip(together, x, strict=True):
        torch.testing.assert_close(network(alone[None])[0], one)
    assert network(x[:0]).shape == (0, 15, 3)


def test_other_skeletons():
    assert GCN(H36M17, 4, width=8, depth=1)(torch.randn(2, 17, 4)).shape == (2, 17, 3)
    assert MLP(17, 4, widths=(8,))(torch.randn(2, 17, 4)).shape == (2, 17, 3)


def test_a_correction_is_added_to_the_input():
    network = trained(MLP())
    x = torch.randn(2, 15, 5)
    assert torch.equal(Correction(network)(x), x[..., 2:] + network(x))
