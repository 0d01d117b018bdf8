import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from occlupose.errors import OccluposeError
from occlupose.networks.vitpose import DropPath
from occlupose.training.distributed import Process, share_batches, synchronise
from occlupose.training.loop import Optimisation, train

PROGRAM = """
import sys
from pathlib import Path

import torch
from torch import nn

from occlupose.training.loop import Optimisation, train
from occlupose.training.distributed import Process, batch_count, main_first

torch.manual_seed(0)
convolutions = nn.Conv2d(3, 6, 3, bias=False), nn.Conv2d(6, 6, 3, bias=False)  # a bias would learn from rounding alone
hidden = [part for conv in convolutions for part in (conv, nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2))]
network = nn.Sequential(*hidden, nn.Conv2d(6, 2, 1))


def batch(generator):
    x = torch.randn(8, 3, 9, 7, generator=generator)
    return x[Process.current().share(8)]


def loss(network, x):
    output = network(x)
    kept = x[:, 2, 2:-2, 2:-2] > 0.3  # of some images more than of others
    error = (output - x[:, :2, 2:-2, 2:-2]).square().sum(1)
    return {"square": (error * kept).sum() / batch_count(kept.sum()), "size": 0.1 * output.abs().mean()}


steps = int(sys.argv[2])
made = Path(sys.argv[1]) / "made"
with main_first():
    if not made.exists():
        made.write_text(str(Process.current().rank))
assert made.read_text() == "0"
plan = Optimisation(
    steps=steps, learning_rate=0.01, warm_up_steps=2, ema_decay=0.9, save_every=3, log_every=2, precision="32-true"
)
weights = train(network, batch, loss, plan, Path(sys.argv[1]), recipe="same", resume=True, progress=False)
if Process.current().is_main:
    torch.save(weights, Path(sys.argv[1]) / "weights.pt")
"""


@dataclass
class Inner:
    values: torch.Tensor
    nothing: None


@dataclass
class Outer:
    inner: Inner
    number: torch.Tensor


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


def test_a_batch_of_records_is_shared_row_by_row(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    inner = Inner(torch.arange(8).view(4, 2), None)
    part = share_batches(lambda generator: Outer(inner, torch.arange(4)), 4)(torch.Generator())
    assert part.inner.values.tolist() == [[2, 3], [6, 7]] and part.inner.nothing is None
    assert part.number.tolist() == [1, 3]


def test_alone_unless_torchrun_says_otherwise(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert Process.current() == Process() == Process(0, 1, 1)
    monkeypatch.setenv("WORLD_SIZE", "8")  # of some other launcher, which is not ours to follow
    assert Process.current() == Process()
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    process = Process.current()
    ranks = (process.rank, process.world_size, process.local_world_size, process.local_rank, process.is_main)
    assert ranks == (5, 8, 4, 1, False)
    assert list(range(16))[process.share(16)] == [5, 13]
    with pytest.raises(OccluposeError, match="batch 12: cannot be shared evenly by 8 processes; give a multiple of 8"):
        process.share(12)


@pytest.fixture
def group(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_alone_the_synced_normalisation_is_the_ordinary_one(group):
    torch.manual_seed(0)
    ordinary = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))
    synced = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))
    synced.load_state_dict(ordinary.state_dict())
    synced = synchronise(synced)
    assert type(synced[1][0]) is not nn.BatchNorm2d
    x = torch.randn(5, 3, 8, 8)
    for mode in (True, True, False):
        sums = [network.train(mode)(x) for network in (ordinary, synced)]
        torch.testing.assert_close(*sums)
        for network, output in zip((ordinary, synced), sums, strict=True):
            network.zero_grad()
            output.square().sum().backward()
        for one, other in zip(ordinary.parameters(), synced.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)
    assert ordinary.state_dict().keys() == synced.state_dict().keys()
    for name, value in ordinary.state_dict().items():
        torch.testing.assert_close(synced.state_dict()[name], value)


def test_alone_synced_dropout_draws_what_the_ordinary_one_draws(group):
    ordinary = nn.Sequential(nn.Dropout(0.3), DropPath(0.4))
    synced = synchronise(nn.Sequential(nn.Dropout(0.3), DropPath(0.4)))
    assert [type(part).__name__ for part in synced] == ["SyncDropout", "SyncDropPath"]
    x = torch.ones(16, 5, 7, requires_grad=True)
    for network in (ordinary, synced):
        torch.manual_seed(4)
        assert 0 < (network(x) == 0).float().mean() < 1
    torch.manual_seed(4)
    expected = ordinary(x)
    torch.manual_seed(4)
    assert torch.equal(synced(x), expected)
    assert torch.equal(synced.eval()(x), x)


def test_the_rate_falls_where_it_should():
    plan = Optimisation(steps=210, learning_rate=1.0, warm_up_steps=1, milestones=(170 / 210, 200 / 210))
    assert [round(plan.learning_rate_at(step), 6) for step in (0, 100, 169, 170, 199, 200, 209)] == [
        1,
        1,
        1,
        0.1,
        0.1,
        0.01,
        0.01,
    ]


def test_groups_learn_at_their_own_rates(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.slow = nn.Parameter(torch.zeros(1))
            self.fast = nn.Parameter(torch.zeros(1))

    def groups(network):
        return [{"params": [network.slow], "scale": 0.1, "weight_decay": 0.0}, {"params": [network.fast]}]

    plan = Optimisation(steps=5, learning_rate=0.1, warm_up_steps=1, milestones=(0.99,), ema_decay=0.0)
    weights = train(
        Two(),
        lambda generator: None,
        lambda network, _: {"down": (network.slow + network.fast).sum()},
        plan,
        tmp_path,
        parameter_groups=groups,
        progress=False,
    )
    assert weights["slow"].item() == pytest.approx(-0.05, rel=1e-3)
    assert weights["fast"].item() == pytest.approx(-0.5, rel=2e-3)
