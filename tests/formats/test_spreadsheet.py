"""Tables of poses."""

import csv

import numpy as np
import openpyxl
import pytest
from hypothesis import given, settings

from floor_records import record_of, standing
from occlupose.errors import OccluposeError
from occlupose.formats import spreadsheet
from occlupose.skeletons import H36M17, Skeleton
from pose_records import record, records, uncertain

STATES = {"absent": 0, "occluded": 1, "visible": 2}


def rows(path):
    """The rows of a CSV or XLSX file, by the names of the columns; texts, "" where empty."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [*csv.DictReader(file)]
    header, *table = openpyxl.load_workbook(path, read_only=True).active.iter_rows(values_only=True)
    return [dict(zip(header, ("" if cell is None else str(cell) for cell in row), strict=True)) for row in table]


def numbers(table, *columns):
    """(row, column); NaN where empty."""
    return np.float32([row[column] or np.nan for row in table for column in columns]).reshape(-1, len(columns))


every_suffix = pytest.mark.parametrize("suffix", [".csv", ".xlsx"])


@every_suffix
def test_long_has_every_number(tmp_path, suffix):
    poses = uncertain(record(5, 2, H36M17))
    table = rows(poses.export(tmp_path / f"walk{suffix}")[0])
    assert len(table) == 5 * 2 * 17
    assert [row["joint"] for row in table[:17]] == [*H36M17.joints]
    states = np.array([STATES[row["state"]] for row in table])
    np.testing.assert_array_equal(states, poses.state.ravel())
    for names, values in {
        ("score",): poses.score,
        ("x_px", "y_px"): poses.xy,
        ("x_m", "y_m", "z_m"): poses.xyz,
        ("spread_px",): poses.spread,
        tuple(f"cov_{pair}_m2" for pair in ("xx", "yy", "zz", "xy", "xz", "yz")): poses.covariance,
    }.items():
        np.testing.assert_array_equal(numbers(table, *names), values.reshape(len(table), -1))
    people = table[::17]
    assert [(int(row["frame"]), int(row["person"])) for row in people[:3]] == [(0, 1), (0, 4), (1, 1)]
    np.testing.assert_array_equal(numbers(people, "time_s")[::2, 0], np.float32(poses.time))
    pairs = [f"root_cov_{pair}_m2" for pair in ("xx", "yy", "zz", "xy", "xz", "yz")]
    np.testing.assert_array_equal(numbers(people, *pairs), poses.root_covariance.reshape(10, 6))


@every_suffix
def test_wide_has_the_same_in_a_row_for_each_person(tmp_path, suffix):
    poses = uncertain(record(5, 2, H36M17))
    long = rows(poses.export(tmp_path / f"walk{suffix}")[0])
    wide = rows(poses.export(tmp_path / f"wide{suffix}", f"{suffix[1:]}-wide")[0])
    assert len(wide) == 10
    for number, row in enumerate(long):
        person = wide[number // 17]
        own = {name: cell for name, cell in row.items() if name not in person and name != "joint"}
        assert {f"{row['joint']}_{name}": cell for name, cell in own.items()}.items() <= person.items()


@settings(max_examples=25)
@given(records(two_d=True))
def test_any_record_is_written_without_loss(tmp_path_factory, poses):
    path = tmp_path_factory.mktemp("any") / "a.csv"
    spreadsheet.write_csv(poses, path)
    there = (poses.state > 0).any(-1)
    table = rows(path)
    np.testing.assert_array_equal(numbers(table, "x_px", "y_px"), poses.xy[there].reshape(-1, 2))
    assert [int(row["frame"]) for row in table] == np.nonzero(there)[0].repeat(len(poses.skeleton)).tolist()


@every_suffix
def test_names_of_joints_may_be_odd(tmp_path, suffix):
    joints = ('a, "b"', "=1+1", "é\n;", "http://x")
    poses = record(2, 1, Skeleton("odd", joints, ()), observed=None, lifted=False)
    assert [row["joint"] for row in rows(poses.export(tmp_path / f"é{suffix}")[0])] == [*joints] * 2


def test_frames_without_a_person_have_no_row_and_later_chunks_count_on(tmp_path, monkeypatch):
    monkeypatch.setattr(spreadsheet, "_CHUNK", 2)
    poses = record(5, 1, H36M17)
    there = np.array([True, False, True, True, True])[:, None, None]
    poses.state[~there[:, 0, 0]] = 0
    poses.xy[~there[:, 0, 0]] = np.nan
    poses.xyz[~there[:, 0, 0]] = np.nan
    table = rows(poses.export(tmp_path / "walk.csv")[0])
    assert [int(row["frame"]) for row in table[::17]] == [0, 2, 3, 4]


def test_a_sheet_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(spreadsheet, "SHEET", (50, 1000))
    with pytest.raises(OccluposeError, match=r"^\S*a.xlsx: 86 rows and 11 columns are more than the 50 and 1000 of a"):
        record(5, 1, H36M17).export(tmp_path / "a.xlsx")
    assert [*tmp_path.iterdir()] == []
    record(5, 1, H36M17).export(tmp_path / "a.xlsx", "xlsx-wide")


@every_suffix
def test_places_in_the_world_and_contacts_of_feet_have_columns(tmp_path, suffix):
    truth = standing(people=2)
    poses = record_of(truth, H36M17)
    table = rows(poses.export(tmp_path / f"walk{suffix}")[0])
    x, up, z = numbers(table, "x_world_m", "z_world_m", "y_world_m").T
    expected = truth.joints(H36M17).reshape(-1, 3)
    np.testing.assert_allclose(np.stack([x, up, -z], -1), expected, atol=1e-5)
    np.testing.assert_array_equal(numbers(table, "x_m", "y_m", "z_m"), poses.xyz.reshape(-1, 3))
    contacts = [f"{side}_{part}_contact" for part in ("heel", "big_toe") for side in ("left", "right")]
    np.testing.assert_array_equal(numbers(table, *contacts), [[0.75, 0, 0, 0]] * len(table))
    wide = rows(poses.export(tmp_path / f"wide{suffix}", f"{suffix[1:]}-wide")[0])
    assert len(wide) == 10
    assert [row["left_heel_contact"] for row in wide] == ["0.75"] * 10
    assert wide[1]["left_wrist_z_world_m"] == table[17 + H36M17.index("left_wrist")[0]]["z_world_m"]


def test_what_is_unknown_has_no_columns(tmp_path):
    poses = record(3, 1, H36M17)
    header = [*rows(poses.export(tmp_path / "walk.csv")[0])[0]]
    assert header == "frame time_s person joint state score x_px y_px x_m y_m z_m".split()
