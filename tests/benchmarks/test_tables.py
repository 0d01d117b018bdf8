import csv
import json
from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture
def tables(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    module = import_module("tables")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def write(folder, name, text):
    rows = [line.split(";") for line in text.split()]
    with (folder / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            row if number == 0 else [cell.replace("_", " ") for cell in row] for number, row in enumerate(rows)
        )
    (folder / f"{name}.json").write_text(json.dumps({"command": "it", "machine": "one"}))


def lines(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


def test_lifting_shows_the_joints_that_count(tables, tmp_path):
    write(
        tmp_path,
        "lifting",
        """method;kind;condition;joints;weighting;mpjpe_mm;p_mpjpe_mm
        ours;walking;all_present;all;view;30;20
        ours;all_kinds;all_present;all;view;40;25
        ours;all_kinds;all_present;all;frame;40;26
        ours;all_kinds;arm_1_s;all;view;40;50
        ours;all_kinds;arm_1_s;missing;view;40;60
        hold;all_kinds;arm_1_s;missing;view;40;80
        interpolate;all_kinds;arm_1_s;missing;view;40;70""",
    )
    assert lines(tables.lifting())[2:] == [["all present", "25.0", "", ""], ["arm 1 s", "60.0", "80.0", "70.0"]]
    assert lines(tables.lifting_by_frame())[2:] == [["all present", "26.0"]]
    shown = [line[:3] for line in lines(tables.lifting_by_kind())[2:]]
    assert shown == [["walking", "20 (–; –)", "– (–; –)"], ["all kinds", "25 (–; –)", "60 (–; 70)"]]


def test_delays_are_side_by_side(tables, tmp_path):
    write(
        tmp_path,
        "lifting_delay",
        """delay_s;condition;p_mpjpe_mm;missing_p_mpjpe_mm;acceleration;true_acceleration;root_m;root_share
        0;all_present;30;;9;5;.1;.02
        0;arm_1_s;40;80;9;5;.1;.02
        offline;all_present;28;;7;5;.05;.01
        offline;arm_1_s;35;70;7;5;.05;.01""",
    )
    found = lines(tables.lifting_by_delay())
    assert found[0][1:] == ["0", "offline"]
    assert found[2:] == [["all present", "30.0", "28.0"], ["arm 1 s", "40.0 (80.0)", "35.0 (70.0)"]]
    assert lines(tables.calm_by_delay())[2:] == [
        ["all present", "0", "9.0", "5.0", "0.10 (2.0%)"],
        ["all present", "offline", "7.0", "5.0", "0.05 (1.0%)"],
    ]


def test_uncertainty_is_that_of_the_worst_axes(tables, tmp_path):
    write(
        tmp_path,
        "lifting_uncertainty",
        """state;input;kind;delay_s;axis;within_1_sigma;within_2_sigma
        seen;exact;dance;0;x;.7;.95
        seen;exact;all_kinds;0;x;.6;.96
        seen;exact;all_kinds;0;y;.7;.9""",
    )
    assert lines(tables.lifting_uncertainty())[2:] == [["seen", "exact", "60% to 70%; 90% to 96%"]]
    assert lines(tables.lifting_uncertainty_by_kind())[2] == ["seen", "exact", "dance", "70% to 70%; 95% to 95%"]
