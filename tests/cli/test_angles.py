"""occlupose angles."""

import csv
from pathlib import Path

import numpy as np
import pytest

from commands import assert_refused, names
from floor_records import record_of, standing
from moving_skeletons import moving_poses


@pytest.fixture
def folder():
    """A folder as run writes it."""
    moving_poses(np.random.default_rng(0), 6).save("out/walk/poses.npz")
    return Path("out/walk")


def test_a_table_beside_the_poses(command, folder):
    outcome = command("angles", folder)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{folder / 'angles.csv'}: written\n", "")
    lines = (folder / "angles.csv").read_text().splitlines()
    assert lines[0] == "frame,time_s,person,angle,state,value_deg,sd_deg,velocity_deg_s"
    assert len(lines) == 1 + 6 * 2 * 30 and lines[-1].startswith("5,")


def test_of_a_file_the_table_is_in_out(command, folder):
    assert command("angles", folder / "poses.npz").out == "out/angles.csv: written\n"
    assert names(folder) == ["poses.npz"]


def test_a_picture_of_each_person(command, folder):
    assert command("angles", folder, "-o", "walk.png").out == "walk_1.png: written\nwalk_4.png: written\n"
    assert names(Path()) == ["out", "walk_1.png", "walk_4.png"]


def test_inclinations_are_to_up_in_the_world(command):
    record_of(standing()).save("walk.npz")
    assert command("angles", "walk.npz", "-o", "angles.csv").code == 0
    with Path("angles.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["angle"] == "right_shank_inclination"]
    assert len(rows) == 5 and all(float(row["value_deg"]) < 0.1 for row in rows)


def test_what_is_refused(command, folder):
    assert_refused(command("angles", folder, "-o", "a.json"), "a.json: angles are a table or a plot; give a .csv")
    assert_refused(command("angles", "nothing"), "nothing: cannot be read")
    moving_poses(np.random.default_rng(0), 6).to_2d().save("flat.npz")
    assert_refused(command("angles", "flat.npz"), "flat.npz: the poses are in 2D", "lift them with occlupose lift")
    assert_refused(command("angles", folder, folder), "one input at a time")
    assert names(Path()) == ["flat.npz", "out"] and names(folder) == ["poses.npz"]
