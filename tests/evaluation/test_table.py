import io
from math import nan
from pathlib import Path

import pytest
from rich.console import Console

from occlupose.errors import OccluposeError
from occlupose.evaluation.table import Column, Table

SHARE = Column("share", factor=100)
LENGTH = Column("length", "length mm", "length_mm", digits=2)
ROWS = [(("a", 3), {"share": 0.12345, "length": 7.0}), (("b", 0), {"share": nan, "length": nan})]
TABLE = Table(
    ("name", "people"),
    [SHARE, LENGTH],
    ROWS,
    views=[Table(("who",), [LENGTH], [(("a",), ROWS[0][1])])],
    notes=["a note"],
)


def text(view: Table) -> list[list[str]]:
    """The cells of a printed table, row by row."""
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(view)
    lines = [line for line in console.export_text().splitlines() if "│" in line or "┃" in line]
    return [[cell.strip() for cell in line.replace("┃", "│").strip("│").split("│")] for line in lines]


def test_a_view_has_one_decimal_and_a_dash_where_there_is_nothing():
    assert text(Table(("name", "people"), [SHARE, LENGTH], ROWS)) == [
        ["name", "people", "share", "length mm"],
        ["a", "3", "12.3", "7.0"],
        ["b", "0", "-", "-"],
    ]


def test_views_and_notes_are_printed(capsys):
    TABLE.print()
    out = capsys.readouterr().out
    assert "length mm" in out and "share" not in out and out.endswith("\na note\n")


def test_every_row_is_in_the_file(tmp_path):
    TABLE.write_csv(tmp_path / "new" / "t.csv")
    assert (tmp_path / "new" / "t.csv").read_text().splitlines() == [
        "name,people,share,length_mm",
        "a,3,0.123450,7.00",
        "b,0,,",
    ]
    with pytest.raises(OccluposeError, match="could not be written"):
        TABLE.write_csv(Path("/proc/nowhere/t.csv"))
