import pickle

import pytest

from occlupose.datasets.report import DataReport
from occlupose.errors import OccluposeError, naming


@pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a\x1b[31mb", "a\x00b", "a\u2028b", "a\x9bb"])
def test_names_in_files_break_no_line_and_steer_no_terminal(name):
    with pytest.raises(OccluposeError) as caught, naming(name):
        raise OccluposeError(f"{name}: wrong; give another")
    line = str(caught.value)
    assert line.isprintable() and line.startswith("a ") and line.endswith("b: wrong; give another")


def test_notes_are_of_one_line(tmp_path):
    report = DataReport(tmp_path / "a.json")
    report.add_problem("missing images", "a\n\x1b[2Jb.png")
    assert report.lines() == [f"{tmp_path}/a.json: missing images: 1 (a [2Jb.png)"]


def test_errors_travel_to_other_processes():
    error = pickle.loads(pickle.dumps(OccluposeError("a: wrong; give another")))  # noqa: S301 (our own)
    assert isinstance(error, OccluposeError) and str(error) == "a: wrong; give another"
