"""The line of a step is known for text logs, in memory that does not grow with an even log."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import read
from probes.readers import line_marks
from probes.readers.line_marks import LineMarks, line_of
from probes.record import Record
from testing.logs import csv_of, curve, lines_of, written

ROWS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=40)
"""The differences between each row and the one before it, in step and line."""


def line(record: Record, step: int) -> int | None:
    return line_of(record.provenance.get("lines"), step)


@given(rows=ROWS, data=st.data())
def test_every_row_has_its_line(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    """Whether rows are added one by one or many at once."""
    steps, lines = np.cumsum(rows, axis=0).T
    marks, begin = LineMarks(), 0
    while begin < len(steps):
        end = data.draw(st.integers(begin + 1, len(steps)))
        marks.extend(steps[begin:end], lines[begin:end])
        begin = end
    found = {"stretches": marks.stretches}
    assert [line_of(found, step) for step in steps.tolist()] == lines.tolist()


def test_an_even_log_is_one_stretch(tmp_path: Path) -> None:
    """Also if it is long. A header moves all lines by one."""
    path = written(tmp_path, csv_of(step=range(10, 50_010, 10), loss=curve(5_000)))
    record = read(path)
    assert record.provenance["lines"] == {"stretches": [[10, 2, 10, 1]]}
    assert (line(record, 10), line(record, 50_000)) == (2, 5_001)


def test_of_several_rows_of_a_step_the_first_counts(tmp_path: Path) -> None:
    """An evaluation follows the row of its step, or comes behind all other rows."""
    rows = [{"step": i, "loss": 4.0 - i / 10} for i in range(6)]
    evaluations = [{"step": i, "val_loss": 4.0} for i in (2, 4)]
    beside = read(written(tmp_path, lines_of(*rows[:3], evaluations[0], *rows[3:])))
    behind = read(written(tmp_path, lines_of(*rows, *evaluations)))
    assert [line(beside, step) for step in range(6)] == [1, 2, 3, 5, 6, 7]
    assert [line(behind, step) for step in range(6)] == [1, 2, 3, 4, 5, 6]


def test_lines_that_are_not_printed_lines_are_unknown(tmp_path: Path) -> None:
    """Of a log that is one JSON document, and of a run that was resumed."""
    rows = [{"step": i, "loss": 4.0} for i in (1, 2, 3, 1, 2, 3, 4)]
    assert line(read(written(tmp_path, lines_of(*rows))), 2) is None
    assert line(read(written(tmp_path, '{"loss": [4.0, 3.0]}')), 1) is None


def test_the_lines_of_an_irregular_log_are_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would take too much memory."""
    monkeypatch.setattr(line_marks, "MAX_STRETCHES", 5)
    steps = np.cumsum(np.arange(40) % 7 + 1)
    record = read(written(tmp_path, csv_of(step=steps, loss=curve(40))))
    assert "lines" not in record.provenance


@pytest.mark.parametrize(
    "lines", [None, 7, {}, {"stretches": 3}, {"stretches": [[1]]}, {"stretches": [["a", 1, 1, 1]]}]
)
def test_a_provenance_of_another_kind_names_no_line(lines: object) -> None:
    """A record may come from anywhere."""
    assert line_of(lines, 3) is None
