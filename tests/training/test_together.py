import subprocess
import sys

import pytest
import torch
from torch import nn

from occlupose.training.loop import Optimisation, train
from occlupose.training.together import Place, in_one_batch

PROGRAM = """
import sys
from pathlib import Path

import torch
from torch import nn

from occlupose.training.loop import Optimisation, train
from occlupose.training.together import Place

torch.manual_seed(0)
convolutions = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 6, 3, bias=False)  # a bias would learn from rounding alone
hidden = [part for conv in convolutions for part in (conv, nn.BatchNorm2d(6), nn.ReLU())]
network = nn.Sequential(*hidden, nn.Conv2d(6, 2, 1))


def batch(generator):
    x = torch.randn(8, 3, 9, 7, generator=generator)
    return x[Place.here().share]


def loss(network, x):
    said = network(x)
    return {"square": (said - x[:, :2, 2:-2, 2:-2]).square().mean(), "size": 0.1 * said.abs().mean()}


steps = int(sys.argv[2])
plan = Optimisation(
    steps=steps, learning_rate=0.01, warm_up=2, average=0.9, save_every=3, log_every=2, precision="32-true"
)
weights = train(network, batch, loss, plan, Path(sys.argv[1]), recipe="same", resume=True, progress=False)
if Place.here().first:
    torch.save(weights, Path(sys.argv[1]) / "weights.pt")
"""


def run(folder, processes, steps=9):
    script = folder / "program.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(PROGRAM)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *launcher, str(script), str(folder), str(steps)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "weights.pt", weights_only=True)


def table(folder):
    return [
        [float(value) for value in line.split(",")[:-1]] for line in (folder / "log.csv").read_text().splitlines()[1:]
    ]


def test_two_processes_train_what_one_trains(tmp_path):
    one = run(tmp_path / "one", 1)
    two = run(tmp_path / "two", 2)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5)
    assert torch.tensor(table(tmp_path / "two")) == pytest.approx(torch.tensor(table(tmp_path / "one")), rel=1e-4)
    assert torch.load(tmp_path / "two" / "last.pt", weights_only=True)["step"] == 9


def test_alone_unless_torchrun_says_otherwise(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert Place.here() == Place() == Place(0, 1, 1)
    monkeypatch.setenv("WORLD_SIZE", "8")  # of some other launcher, which is not ours to follow
    assert Place.here() == Place()
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    place = Place.here()
    assert (place.number, place.of, place.neighbours, place.nodes, place.first) == (5, 8, 4, 2, False)
    assert list(range(16))[place.share] == [5, 13]


@pytest.fixture
def group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_alone_the_joint_normalisation_is_the_ordinary_one(group):
    torch.manual_seed(0)
    ordinary = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))
    joint = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))
    joint.load_state_dict(ordinary.state_dict())
    joint = in_one_batch(joint)
    assert type(joint[1][0]) is not nn.BatchNorm2d
    x = torch.randn(5, 3, 8, 8)
    for mode in (True, True, False):
        sums = [network.train(mode)(x) for network in (ordinary, joint)]
        torch.testing.assert_close(*sums)
        for network, said in zip((ordinary, joint), sums, strict=True):
            network.zero_grad()
            said.square().sum().backward()
        for one, other in zip(ordinary.parameters(), joint.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)
    assert ordinary.state_dict().keys() == joint.state_dict().keys()
    for name, value in ordinary.state_dict().items():
        torch.testing.assert_close(joint.state_dict()[name], value)


def test_the_rate_falls_where_it_should():
    plan = Optimisation(steps=210, learning_rate=1.0, warm_up=1, drops=(170 / 210, 200 / 210))
    assert [round(plan.rate(step), 6) for step in (0, 100, 169, 170, 199, 200, 209)] == [1, 1, 1, 0.1, 0.1, 0.01, 0.01]


def test_groups_learn_at_their_own_rates(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.slow = nn.Parameter(torch.zeros(1))
            self.fast = nn.Parameter(torch.zeros(1))

    def groups(network):
        return [{"params": [network.slow], "scale": 0.1, "weight_decay": 0.0}, {"params": [network.fast]}]

    plan = Optimisation(steps=5, learning_rate=0.1, warm_up=1, drops=(0.99,), average=0.0)
    weights = train(
        Two(),
        lambda generator: None,
        lambda network, _: {"down": (network.slow + network.fast).sum()},
        plan,
        tmp_path,
        groups=groups,
        progress=False,
    )
    assert weights["slow"].item() == pytest.approx(-0.05, rel=1e-3)
    assert weights["fast"].item() == pytest.approx(-0.5, rel=2e-3)
