"""A text log is read in pieces of bounded size, whatever its lines are."""

import tracemalloc
from pathlib import Path

import pytest

from probes import read
from probes.readers import csv_log, json_lines, line_batches
from probes.record import RecordError
from testing.logs import points, written


def test_a_line_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_batches, "MAX_LINE_BYTES", 1000)
    with pytest.raises(RecordError, match="line 2 is longer than 1000 bytes"):
        read(written(tmp_path, '{"loss": 4.0}\n' + " " * 2000))


def test_a_line_that_is_too_long_is_never_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused as soon as it passes the limit, before its end is found."""
    monkeypatch.setattr(line_batches, "READ_BYTES", 100)
    monkeypatch.setattr(line_batches, "MAX_LINE_BYTES", 1000)
    path = written(tmp_path, '{"loss": 4.0}\n' + "x" * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match="line 2 is longer than 1000 bytes"):
            list(line_batches.batches(path))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_line_that_is_no_text_is_refused_with_its_number(tmp_path: Path) -> None:
    """Only in a last line without its newline it counts as cut."""
    with pytest.raises(RecordError, match="log, line 3 is damaged: it is not UTF-8 text"):
        read(written(tmp_path, b"step,loss\n0,4.0\n1,\xff\n2,3.0\n"))
    assert points(read(written(tmp_path, b"step,loss\n0,4.0\n1,\xff")), "loss") == {0: 4.0}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (json_lines.FORMAT, '\n{"loss": 4.0}\n\n{"loss": 3.0}\n \n'),
        (csv_log.FORMAT, "\nloss\n\n4.0\n\n3.0\n\n"),
    ],
    ids=["JSON lines", "CSV"],
)
def test_blank_lines_are_skipped(tmp_path: Path, form, text: str) -> None:
    assert form.recognises(text.encode())
    assert points(read(written(tmp_path, text)), "loss") == {0: 4.0, 1: 3.0}
