"""The page about the architecture has the layers of the import contract."""

import re
import tomllib
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_lists_the_layers_of_the_import_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    contract = [re.findall(r"\w+", layer) for layer in layers]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)
    assert [[module for _, module in group] for _, group in groupby(rows, lambda row: row[0])] == contract
    assert [number for number, _ in groupby(rows, lambda row: row[0])] == [str(n + 1) for n in range(len(layers))]
