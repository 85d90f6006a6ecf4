"""The small helpers that every part uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from probes.common.arrays import distinct, median
from probes.common.markdown import markdown_table
from probes.common.text import did_you_mean, printable


def test_control_characters_are_replaced() -> None:
    """Escape sequences, newlines and bidirectional overrides do not reach a terminal."""
    assert printable("a\x1b[31m\n\u202eb ñ") == "a�[31m��b ñ"


def test_the_nearest_names_are_offered() -> None:
    """If no name is similar, the text `otherwise` is returned."""
    assert did_you_mean("los", ["loss", "lr"]) == "did you mean 'loss'?"
    assert did_you_mean("xyz", ["loss", "lr"], "the names are loss, lr") == "the names are loss, lr"


WHOLE = npst.arrays(np.int64, st.integers(0, 30), elements=st.integers(-5, 5))
FLOATS = npst.arrays(
    np.float64,
    st.tuples(st.integers(1, 4), st.integers(1, 9)),
    elements=st.floats(width=32) | st.sampled_from([0.0, 1.0]),
)


@given(WHOLE)
def test_distinct_values_are_those_of_numpy(values: np.ndarray) -> None:
    np.testing.assert_array_equal(distinct(values), np.unique(values))


@given(FLOATS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_median_has_the_bits_of_numpys(values: np.ndarray) -> None:
    """The median is taken over the last axis, with NaN and infinities among the values."""
    np.testing.assert_array_equal(median(values), np.median(values, axis=-1))
    np.testing.assert_array_equal(median(values[0]), np.median(values[0]))


def test_a_median_of_nothing_is_nan() -> None:
    assert np.isnan(median(np.empty(0)))
    assert np.isnan(median(np.empty((2, 0)))).tolist() == [True, True]


def test_a_markdown_table_has_one_line_for_each_row() -> None:
    """A cell may contain a vertical bar or a line break; the row still has one line."""
    assert markdown_table(["run", "cause"], [["a|b", "first\nsecond"], ["c", ""]]) == [
        "| run | cause |",
        "| --- | --- |",
        r"| a\|b | first second |",
        "| c |  |",
    ]
