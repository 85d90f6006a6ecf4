"""A text log is read in pieces of bounded size, whatever its lines are."""

import tracemalloc
from pathlib import Path

import pytest

from probes import read
from probes.readers import csv_log, json_lines, line_batches
from probes.readers.line_batches import Batch, batches
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


def test_bytes_that_are_no_text_are_damage_only_in_a_number(tmp_path: Path) -> None:
    """In a last line without its newline, such bytes count as a line that was cut."""
    with pytest.raises(RecordError, match="log, line 3: column 'loss' holds '4\ufffd'"):
        read(written(tmp_path, b"step,loss\n0,4.0\n1,4\xff\n2,3.0\n"))
    assert points(read(written(tmp_path, b"step,loss\n0,4.0\n1,\xff")), "loss") == {0: 4.0}
    text = b"step,loss,who\n0,4.0,Ren\xe9\n1,3.0,Ren\xe9\n"
    assert points(read(written(tmp_path, text)), "loss") == {0: 4.0, 1: 3.0}


LOGS = {
    "CSV": "step,loss\n0,4.0\n1,3.0\n",
    "JSON lines": '{"step": 0, "loss": 4.0}\n{"step": 1, "loss": 3.0}\n',
    "JSON object of lists": '{"loss": [4.0, 3.0]}',
    "Hugging Face trainer state": '[{"step": 0, "loss": 4.0}, {"step": 1, "loss": 3.0}]',
    "printed lines": "step 0: loss 4.0\r\nstep 1: loss 3.0\r\n",
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize(("form", "text"), LOGS.items(), ids=LOGS)
def test_the_byte_order_mark_tells_the_encoding(
    tmp_path: Path, form: str, text: str, encoding: str
) -> None:
    """PowerShell writes UTF-16 with `> log.txt`."""
    mark = "\ufeff" if encoding.endswith("e") else ""
    record = read(written(tmp_path, (mark + text).encode(encoding)))
    assert points(record, "loss") == {0: 4.0, 1: 3.0}
    assert record.provenance["reader"]["format"] == form


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised_without_its_mark(tmp_path: Path, encoding: str) -> None:
    text = "".join(f"step {i}: loss {4.5 - i}\n" for i in range(4))
    assert points(read(written(tmp_path, text.encode(encoding))), "loss")[3] == 1.5


@pytest.mark.parametrize("read_bytes", [3, 10, 262_144])
def test_a_character_may_be_in_two_pieces_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_bytes: int
) -> None:
    monkeypatch.setattr(line_batches, "READ_BYTES", read_bytes)
    path = written(tmp_path, "größer\nlänger".encode("utf-16"))
    found = [line for batch in line_batches.batches(path) for line in batch.lines]
    assert found == ["größer", "länger"]


def test_a_long_line_is_cut_where_a_bar_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts have the number of the line."""
    monkeypatch.setattr(line_batches, "READ_BYTES", 50)
    monkeypatch.setattr(line_batches, "MAX_LINE_BYTES", 100)
    path = written(tmp_path, "begin\n" + "\r".join(f"{i:3d}/400" for i in range(400)) + "\nend\n")
    found = list(line_batches.batches(path, redrawn=True))
    states = "\r".join(line for batch in found for line in batch.lines if batch.first == 2)
    assert states.split("\r")[:400] == [f"{i:3d}/400" for i in range(400)]
    with pytest.raises(RecordError, match="line 2 is longer than 100 bytes"):
        list(line_batches.batches(path))


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


def test_the_lines_above_one_that_is_too_long_are_read_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may end in the bytes that are read at once."""
    monkeypatch.setattr(line_batches, "MAX_LINE_BYTES", 10)
    path = written(tmp_path, "a\nb\n" + "c" * 10 + "\nd\n")
    found = batches(path)
    assert next(found) == Batch(1, ["a", "b"])
    with pytest.raises(RecordError, match="line 3 is longer than 10 bytes"):
        next(found)
