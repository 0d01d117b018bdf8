"""Numbers in text files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from occlupose.errors import OccluposeError
from occlupose.formats.tables import frame_of, read_numbers, split_lines


@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(width=64)),
    st.sampled_from(",;\t"),
)
def test_numbers_are_read_as_they_were_written(numbers, delimiter):
    lines = [delimiter.join(map(repr, row)) for row in numbers.tolist()]
    read = read_numbers(split_lines(lines), range(numbers.shape[1]), "a.csv")
    np.testing.assert_array_equal(read, numbers)


def test_empty_cells_and_short_rows_are_missing():
    rows = split_lines(["a,b,c", "", '1," 2 ",', "NA,null", "  ,nan,3"])
    assert next(rows) == ["a", "b", "c"]
    expected = [[1, 2, np.nan], [np.nan] * 3, [np.nan, np.nan, 3]]
    np.testing.assert_array_equal(read_numbers(rows, range(3), "a.csv"), expected)
    assert read_numbers([], [0, 1], "a.csv").shape == (0, 2)


def test_a_lone_quotation_mark_is_refused():
    with pytest.raises(OccluposeError, match=r"^a\.csv: not a table \(field larger .*\); write the file again$"):
        list(split_lines(["a,b", '1,"2', *["3,4" * 100] * 1000], where="a.csv"))


def test_what_is_no_number():
    with pytest.raises(OccluposeError, match=r"^a.csv: 'up' where a number should be; write the file again$"):
        read_numbers([["1"], ["up"]], [0], "a.csv")


@pytest.mark.parametrize(("cell", "frame"), [("3", 3), ("3.0", 3), ("img3.png", "img3.png"), ("inf", "inf"), ("", "")])
def test_frames(cell, frame):
    assert frame_of(cell) == frame
