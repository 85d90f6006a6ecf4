"""The small helpers that every part uses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from probes.common.arrays import distinct, median
from probes.common.markdown import markdown_table
from probes.common.text import (
    MAX_NODE_ID_LENGTH,
    did_you_mean,
    node_id_part,
    one_line,
    printable,
)


def test_control_characters_are_escaped() -> None:
    """Escape sequences, newlines and bidirectional overrides do not reach a terminal. A byte of a
    path that is not UTF-8 is a lone surrogate."""
    assert printable("a\x1b[31m\n\u202eb ñ\udcff") == r"a\x1b[31m\n\u202eb ñ\udcff"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", r"\x3a:error::x"),
        ("  ::error::x", r"  \x3a:error::x"),
        ("a ##[error]x", r"a ##\x5berror]x"),
        ("a: b::c", "a: b::c"),
    ],
)
def test_a_text_is_no_workflow_command(text: str, shown: str) -> None:
    """GitHub Actions looks for "::" at the beginning of a line and for "##[" anywhere."""
    assert printable(text) == shown


def test_a_line_is_cut_after_its_escapes() -> None:
    """An escape is longer than the character it stands for."""
    assert one_line("\x00" * 50, 10) == r"\x00\x00\…"


@given(st.text(), st.text())
def test_a_node_id_part_holds_no_separator(first: str, second: str) -> None:
    """Two parts that are joined can be split again."""
    parts = [node_id_part(first), node_id_part(second)]
    assert "::".join(parts).split("::") == parts
    assert all(part.isprintable() for part in parts)


def test_long_node_ids_stay_different() -> None:
    """They are cut, because the terminal and JUnit XML repeat them."""
    parts = [node_id_part("x" * 10**6 + last) for last in "ab"]
    assert [len(part) for part in parts] == [MAX_NODE_ID_LENGTH] * 2
    assert parts[0] != parts[1]


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
