import csv
import dataclasses
import math
import resource
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from occlupose.errors import OccluposeError
from occlupose.training.loop import (
    Optimisation,
    all_parameters,
    build_optimisers,
    fastest_precision,
    fingerprint,
    train,
)

QUICK = Optimisation(
    steps=24, learning_rate=0.01, warm_up_steps=5, ema_decay=0.9, save_every=4, log_every=2, precision="32-true"
)


@dataclasses.dataclass
class Batch:
    x: torch.Tensor
    y: torch.Tensor


def network(width=6, seed=0):
    """With everything that has a state: batch normalisation and dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, 2))


def batch(generator):
    x = torch.randn(8, 3, generator=generator)
    return Batch(x, torch.stack([x.sum(1), x[:, 0] * x[:, 1]], 1))


def loss(net, batch):
    error = net(batch.x) - batch.y
    return {"first": error[:, 0].square().mean(), "second": 0.5 * error[:, 1].abs().mean()}


class Killed(Exception):
    pass


def killed_at(step):
    """A source of batches that fails as step `step` (from 0) begins."""
    left = iter(range(step))

    def interrupted(generator):
        if next(left, None) is None:
            raise Killed
        return batch(generator)

    return interrupted


def run(folder, source=batch, optimisation=QUICK, width=6, **options):
    return train(network(width), source, loss, optimisation, folder, progress=False, **options)


def rows(folder):
    """The log without the seconds."""
    return [row[:-1] for row in csv.reader((folder / "log.csv").open())]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("step", [1, 4, 13, 23])
def test_a_resumed_run_ends_as_an_uninterrupted_one(tmp_path, step, precision):
    optimisation = dataclasses.replace(QUICK, precision=precision)
    straight = run(tmp_path / "straight", optimisation=optimisation)
    with pytest.raises(Killed):
        run(tmp_path / "resumed", killed_at(step), optimisation)
    torch.manual_seed(99)  # another process has another state
    torch.rand(5)
    assert same(run(tmp_path / "resumed", optimisation=optimisation, resume=True), straight)
    assert rows(tmp_path / "resumed") == rows(tmp_path / "straight")
    ends = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("straight", "resumed")]
    assert same(*(end["network"] for end in ends))
    assert torch.equal(*(end["generator"] for end in ends))


def with_muon(net):
    """The matrices by themselves, with half the learning rate."""
    matrices = [parameter for parameter in net.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in net.parameters() if parameter.ndim != 2]
    return [{"params": others}, {"params": matrices, "muon": True, "scale": 0.5}]


@pytest.mark.parametrize("step", [1, 4, 13])
def test_a_resumed_run_with_muon_ends_as_an_uninterrupted_one(tmp_path, step):
    straight = run(tmp_path / "straight", parameter_groups=with_muon)
    with pytest.raises(Killed):
        run(tmp_path / "resumed", killed_at(step), parameter_groups=with_muon)
    torch.manual_seed(99)
    assert same(run(tmp_path / "resumed", parameter_groups=with_muon, resume=True), straight)
    ends = [torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("straight", "resumed")]
    assert same(*(end["network"] for end in ends))
    assert len(ends[0]["optimisers"]) == 2
    assert not same(straight, run(tmp_path / "other"))


def test_a_run_with_muon_is_not_resumed_without(tmp_path):
    run(tmp_path, parameter_groups=with_muon)
    refused(tmp_path, "not a checkpoint of this run")


def test_muon_updates_the_matrices_of_its_groups_and_adamw_the_rest():
    net = network()
    adamw, muon = build_optimisers(with_muon(net), QUICK)
    assert isinstance(adamw, torch.optim.AdamW) and isinstance(muon, torch.optim.Muon)
    assert [len(group["params"]) for group in (*adamw.param_groups, *muon.param_groups)] == [4, 2]
    for optimiser in (adamw, muon):
        (group,) = optimiser.param_groups
        assert (group["lr"], group["weight_decay"]) == (QUICK.learning_rate, QUICK.weight_decay)
    (alone,) = build_optimisers(all_parameters(net), QUICK)
    assert isinstance(alone, torch.optim.AdamW) and len(alone.param_groups[0]["params"]) == 6


def test_muons_steps_are_as_large_as_adamws_whatever_the_gradients_are():
    """So that one learning rate fits both (Liu et al., 2025); a scale multiplies it."""
    moved = []
    for scale in (1.0, 100.0):
        torch.manual_seed(0)
        net = nn.Linear(64, 96, bias=False)
        before = net.weight.detach().clone()
        groups = [{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [net.weight], "muon": True}]
        _, muon = build_optimisers(groups, dataclasses.replace(QUICK, weight_decay=0.0))
        net.weight.grad = scale * torch.randn(96, 64, generator=torch.Generator().manual_seed(1))
        muon.step()
        moved.append((net.weight.detach() - before).square().mean().sqrt().item() / QUICK.learning_rate)
    assert moved[0] == pytest.approx(moved[1], rel=0.02)
    assert 0.1 < moved[0] < 0.4  # a step of AdamW is up to 1, and around 0.2 as usual


def test_rates_of_all_optimisers_follow_the_plan_and_their_scale(tmp_path):
    plan = dataclasses.replace(QUICK, steps=7, warm_up_steps=3)
    run(tmp_path, optimisation=plan, parameter_groups=with_muon)
    ends = torch.load(tmp_path / "last.pt", weights_only=True)["optimisers"]
    rates = [end["param_groups"][0]["lr"] for end in ends]
    assert rates == pytest.approx([plan.learning_rate_at(6), 0.5 * plan.learning_rate_at(6)])


@pytest.mark.parametrize("step", [7, 10, 11])
def test_means_in_the_log_are_those_of_an_uninterrupted_run_wherever_the_checkpoints_lie(tmp_path, step):
    optimisation = dataclasses.replace(QUICK, steps=12, save_every=3, log_every=4)
    run(tmp_path / "straight", optimisation=optimisation)
    with pytest.raises(Killed):
        run(tmp_path / "resumed", killed_at(step), optimisation)
    run(tmp_path / "resumed", optimisation=optimisation, resume=True)
    assert rows(tmp_path / "resumed") == rows(tmp_path / "straight")
    assert len(rows(tmp_path / "straight")) == 4


def test_a_fingerprint_tells_data_apart():
    one = [np.arange(6.0), np.zeros((2, 3), np.float32)]
    assert fingerprint(one) == fingerprint([array.copy() for array in one])
    assert len({fingerprint(arrays) for arrays in (one, one[:1], one[::-1], [one[0] + 1e-9, one[1]], [])}) == 5


def test_a_run_may_be_interrupted_again_and_again(tmp_path):
    for _ in range(4):
        with pytest.raises(Killed):
            run(tmp_path / "resumed", killed_at(6), resume=True)
    assert same(run(tmp_path / "resumed", resume=True), run(tmp_path / "straight"))
    assert rows(tmp_path / "resumed") == rows(tmp_path / "straight")


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    weights = run(tmp_path)
    log = rows(tmp_path)
    assert same(run(tmp_path, killed_at(0), resume=True), weights)
    assert rows(tmp_path) == log


def test_resuming_where_nothing_is_begins(tmp_path):
    assert same(run(tmp_path / "new", resume=True), run(tmp_path / "straight"))


def test_each_step_draws_one_batch_and_a_resumed_run_those_since_the_checkpoint(tmp_path):
    drawn = []

    def noting(generator):
        made = batch(generator)
        drawn.append(made.x)
        if len(drawn) == 11:
            raise Killed
        return made

    with pytest.raises(Killed):
        run(tmp_path, noting)
    run(tmp_path, noting, resume=True)
    assert len(drawn) == 11 + QUICK.steps - 8
    assert all(torch.equal(one, again) for one, again in zip(drawn[8:11], drawn[11:14], strict=True))
    assert not torch.equal(drawn[0], drawn[1])


def test_the_log_is_a_table_of_means(tmp_path):
    seen = []

    def watched(net, batch):
        terms = loss(net, batch)
        seen.append([term.item() for term in terms.values()])
        return terms

    train(network(), batch, watched, QUICK, tmp_path, progress=False)
    header, *table = csv.reader((tmp_path / "log.csv").open())
    assert header == ["step", "first", "second", "seconds"]
    assert [int(row[0]) for row in table] == list(range(2, 25, 2))
    for number, row in enumerate(table):
        means = torch.tensor(seen[2 * number : 2 * number + 2]).mean(0)
        assert [float(value) for value in row[1:3]] == pytest.approx(means.tolist(), rel=1e-4)


def test_training_lowers_the_loss_and_the_last_step_is_saved(tmp_path):
    run(tmp_path, optimisation=dataclasses.replace(QUICK, steps=301, save_every=1000, log_every=100))
    table = [[float(value) for value in row] for row in rows(tmp_path)[1:]]
    assert [row[0] for row in table] == [100, 200, 300, 301]
    assert table[2][1] < 0.6 * table[0][1]
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 301
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "log.csv"]


def test_the_weights_given_back_are_the_average(tmp_path):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return self.value

    states = []

    def watched(net, batch):
        states.append(net(None).item())
        return {"loss": -net(None).sum()}

    weights = train(Counting(), batch, watched, dataclasses.replace(QUICK, steps=20), tmp_path, progress=False)
    last = torch.load(tmp_path / "last.pt", weights_only=True)["network"]["value"].item()
    average = 0.0
    for step, state in enumerate([*states[1:], last], 1):
        decay = min(QUICK.ema_decay, step / (step + 9))
        average = decay * average + (1 - decay) * state
    assert weights["value"].item() == pytest.approx(average, rel=1e-4)
    assert 0 < average < last


@pytest.mark.parametrize("other", [{"seed": 1}, {"optimisation": dataclasses.replace(QUICK, learning_rate=0.02)}])
def test_the_seed_and_the_recipe_decide(tmp_path, other):
    once = run(tmp_path / "once")
    again = run(tmp_path / "again")
    assert same(once, again)
    assert not same(once, run(tmp_path / "other", **other))


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    run(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OccluposeError, match=r"already holds a training run; give --resume"):
        run(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def refused(tmp_path, reason, **options):
    with pytest.raises(OccluposeError, match=rf"last\.pt: {reason}") as refusal:
        run(tmp_path, resume=True, **options)
    assert "\n" not in str(refusal.value)


def test_a_loss_that_is_not_a_number_ends_the_run_and_leaves_the_last_checkpoint(tmp_path):
    steps = 0

    def breaks(net, batch):
        nonlocal steps
        steps += 1
        return {**loss(net, batch), "other": torch.tensor(math.nan if steps == QUICK.save_every + 2 else 0.0)}

    with pytest.raises(
        OccluposeError, match=rf"{tmp_path}: step {QUICK.save_every + 2}: other is not a number any more; start again"
    ):
        train(network(), batch, breaks, QUICK, tmp_path, progress=False)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["step"] == QUICK.save_every and all(value.isfinite().all() for value in state["network"].values())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_batches_reach_the_network_as_they_are(tmp_path, precision):
    """Also where it calculates in bf16: pixels and metres do not fit into that."""

    class Looks(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, batch):
            assert batch.x.dtype == batch.y.dtype == torch.float32
            seen.append(torch.equal(batch.x, batch.x.bfloat16().float()))
            return loss(self.inner, batch)

    seen = []
    optimisation = dataclasses.replace(QUICK, steps=2, precision=precision)
    train(Looks(), batch, lambda net, given: net(given), optimisation, tmp_path, progress=False)
    assert seen == [False, False]


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    run(tmp_path)
    refused(tmp_path, "not a checkpoint of this run", width=7)


def test_a_run_is_resumed_only_with_its_recipe(tmp_path):
    run(tmp_path, recipe={"width": 6, "noise": 0.5})
    weights = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(
        OccluposeError, match=r"last\.pt: .*started with other settings or data.*; resume with the recipe and the data"
    ):
        run(tmp_path, recipe={"width": 6, "noise": 0.6}, resume=True)
    assert (tmp_path / "last.pt").read_bytes() == weights
    run(tmp_path, recipe={"width": 6, "noise": 0.5}, resume=True)


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\x80\x02]q\x00.", b"\x80\x02.", "[1]", "{}"])
def test_other_files_are_no_checkpoints(tmp_path, content):
    if isinstance(content, bytes):
        (tmp_path / "last.pt").write_bytes(content)
    else:
        torch.save({"[1]": [1], "{}": {}}[content], tmp_path / "last.pt")
    refused(
        tmp_path,
        "(not a checkpoint of this run|cannot be read, damaged or not a checkpoint; start again in another folder)",
    )


def test_half_a_checkpoint_is_refused(tmp_path):
    run(tmp_path)
    whole = (tmp_path / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, "cannot be read, damaged or not a checkpoint; start again in another folder")


def test_a_checkpoint_with_one_flipped_bit_is_refused(tmp_path):
    run(tmp_path)
    with zipfile.ZipFile(tmp_path / "last.pt") as archive:
        tensors = [each for each in archive.infolist() if "/data/" in each.filename]
    tensor = max(tensors, key=lambda each: each.file_size)
    content = bytearray((tmp_path / "last.pt").read_bytes())
    place = tensor.header_offset + 30 + len(tensor.filename) + 64 + tensor.file_size // 2
    content[place] ^= 1
    (tmp_path / "last.pt").write_bytes(content)
    refused(tmp_path, "cannot be read, damaged or not a checkpoint; start again in another folder")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OccluposeError, match=r"log\.csv: could not be written"):
        run(tmp_path / "file" / "run")


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, killed_at(6))
    whole = (tmp_path / "last.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, hard))
    try:
        with pytest.raises(OccluposeError, match=r"last\.pt: could not be written"):
            run(tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "last.pt").read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "log.csv"]


@pytest.mark.parametrize("device", ["tpu:5", "abacus", *([] if torch.cuda.is_available() else ["cuda"])])
def test_a_device_that_is_not_there_is_refused(tmp_path, device):
    with pytest.raises(OccluposeError, match=f"device {device}: unknown, or not on this machine"):
        run(tmp_path, device=device)


@pytest.mark.parametrize("name", ["steps", "warm_up_steps", "save_every", "log_every"])
def test_numbers_of_steps_are_positive(name):
    with pytest.raises(OccluposeError, match=f"{name} 0: must be 1 or more"):
        Optimisation(**{name: 0})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("learning_rate", (-1.0, math.nan, math.inf)),
        ("max_grad_norm", (0.0, -1.0, math.nan)),
        ("weight_decay", (-1e-9, math.nan)),
        ("ema_decay", (-0.1, 1.0, math.nan)),
    ],
)
def test_numbers_that_would_only_fail_later_or_train_uphill_are_refused(name, values):
    for value in values:
        with pytest.raises(OccluposeError, match=f"{name} {value:g}: "):
            Optimisation(**{name: value})


def test_a_row_of_the_log_that_was_cut_short_is_dropped(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path / "resumed", killed_at(7))
    with (tmp_path / "resumed" / "log.csv").open("a") as log:
        log.write("1\n\n6,0.3")
    run(tmp_path / "resumed", resume=True)
    run(tmp_path / "straight")
    assert rows(tmp_path / "resumed") == rows(tmp_path / "straight")


def test_the_rate_warms_up_and_falls_to_nothing():
    plan = Optimisation(steps=1000, learning_rate=2.0, warm_up_steps=100)
    assert plan.learning_rate_at(0) == pytest.approx(0.02)
    assert plan.learning_rate_at(49) == pytest.approx(1.0, rel=0.01)
    assert max(plan.learning_rate_at(step) for step in range(1001)) == pytest.approx(2, rel=0.03)
    assert plan.learning_rate_at(500) == pytest.approx(1.0)
    assert plan.learning_rate_at(1000) == pytest.approx(0, abs=1e-9)


def test_the_rate_may_fall_evenly():
    plan = Optimisation(steps=1000, learning_rate=2.0, warm_up_steps=100, lr_schedule="linear")
    assert plan.learning_rate_at(49) == pytest.approx(2 * 0.5 * (1 - 0.049))
    assert [plan.learning_rate_at(step) for step in (100, 250, 500, 900, 1000)] == pytest.approx(
        [1.8, 1.5, 1.0, 0.2, 0.0]
    )
    dropped = dataclasses.replace(plan, milestones=(0.5,))
    assert [dropped.learning_rate_at(step) for step in (499, 500, 1000)] == pytest.approx(
        [2.0, 0.2, 0.2]
    )  # milestones take precedence
    assert Optimisation().lr_schedule == "cosine"


def test_a_run_with_a_linear_schedule_is_resumed_to_the_same_end(tmp_path):
    optimisation = dataclasses.replace(QUICK, lr_schedule="linear")
    straight = run(tmp_path / "straight", optimisation=optimisation)
    with pytest.raises(Killed):
        run(tmp_path / "resumed", killed_at(13), optimisation)
    assert same(run(tmp_path / "resumed", optimisation=optimisation, resume=True), straight)
    assert not same(straight, run(tmp_path / "other"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_training_on_a_gpu(tmp_path):
    weights = run(tmp_path, device="cuda")
    straight = run(tmp_path / "cpu")
    for name, value in straight.items():
        assert weights[name].shape == value.shape
    with pytest.raises(Killed):
        run(tmp_path / "resumed", killed_at(13), device="cuda")
    run(tmp_path / "resumed", resume=True)  # goes on elsewhere


def test_precision_is_by_default_what_the_device_calculates_fast(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert fastest_precision("cpu") == "bf16-mixed"
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert fastest_precision("cpu") == "32-true"
    automatic = dataclasses.replace(QUICK, precision="auto")
    assert same(run(tmp_path / "auto", optimisation=automatic), run(tmp_path / "whole"))
