"""Every trainer in two processes, which torchrun connects by gloo, against one process."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import torchrun_trainers
from interrupted_runs import ENVIRONMENT
from torchrun_trainers import STOP, TRAINERS, train

FIRST = 1e-4
"""Tolerance of the terms of the loss in the first step of a stage, before rounding errors grow; relative."""

LOG = 1e-2
"""Tolerance in the other steps, relative to the largest value of the term."""


WEIGHTS = 1e-3
"""Tolerance of the weights, absolute; ten times of it, relative."""

FEW = 0.01
"""Share of the weights that may be farther off: their gradient is nothing but rounding errors."""

LATER = ("stage_3d", "end_to_end", "reasoner")
"""Stages that begin with weights of an earlier one, which are not exactly the same."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Runs of each trainer: `alone`, `together` in two processes, and resumed with another number of them:
    `alone_later` and `together_later`.
    """
    folder = tmp_path_factory.mktemp("runs")
    for name in TRAINERS:
        train(name, folder / "together_later" / name, stop=STOP)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = ENVIRONMENT | {"PYTHONPATH": ":".join(map(str, sys.path))}
    command = [*launcher, torchrun_trainers.__file__, str(folder), *TRAINERS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in TRAINERS:
        train(name, folder / "alone" / name)
        train(name, folder / "alone_later" / name, resume=True)
    return folder


def logs(folder: Path) -> dict[str, np.ndarray]:
    """The terms of each step by stage and name, without the seconds."""
    found = {}
    for path in sorted(folder.rglob("log.csv")):
        header, *rows = csv.reader(path.open())
        table = np.array(rows, float)
        for name, column in zip(header[:-1], table.T[:-1], strict=True):
            found[f"{path.parent.relative_to(folder)} {name}"] = column
    return found


@pytest.mark.parametrize("kind", ["together", "alone_later", "together_later"])
@pytest.mark.parametrize("name", TRAINERS)
def test_processes_train_what_one_trains(folder, name, kind):
    """The terms of the loss agree in every step; the weights too, but for those with a gradient of rounding errors."""
    one = logs(folder / "alone" / name)
    other = logs(folder / kind / name)
    assert one.keys() == other.keys() and one
    for term, values in one.items():
        np.testing.assert_allclose(other[term], values, atol=LOG * np.abs(values).max(), err_msg=term)
        if not term.startswith(LATER):
            np.testing.assert_allclose(other[term][0], values[0], rtol=FIRST, err_msg=term)
    for path in sorted((folder / "alone" / name).rglob("last.pt")):
        expected = torch.load(path, weights_only=True)
        found = torch.load(folder / kind / path.relative_to(folder / "alone"), weights_only=True)
        assert (found["step"], found["recipe"]) == (expected["step"], expected["recipe"])
        assert torch.equal(found["generator"], expected["generator"]) and torch.equal(found["torch"], expected["torch"])
        values = [(found["network"][name].float(), value.float()) for name, value in expected["network"].items()]
        off = torch.cat([((one - two).abs() > WEIGHTS * (1 + 10 * two.abs())).flatten() for one, two in values])
        assert off.float().mean() <= FEW
