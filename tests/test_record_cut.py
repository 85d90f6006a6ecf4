"""A file cut off at any byte holds exactly the steps whose lines are whole."""

import json
from functools import cache
from math import inf, nan
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from probes.record import Record
from probes.record.jsonl import parse
from probes.recording.recorder import Recorder


@cache
def recorded(steps: int) -> tuple[bytes, Record]:
    """A run with everything that can stand in a file: several bytes to a letter, moving sites,
    non-finite values."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        with Recorder(path, provenance={"name": "él trabajó"}, vocab_size=64) as recorder:
            for step in range(0, 3 * steps, 3):
                sites = {"embed": 1.0 + step, "bloque.ñ": nan if step % 2 else 0.5}
                recorder.log(
                    step,
                    loss=4.2 - step / 7,
                    val_loss=inf if step == 6 else None,
                    activation=sites if step < 2 * steps else {**sites, "norm": -inf},
                    batch_ids=[step, step + 1],
                )
        return path.read_bytes(), recorder.record


def whole_lines(data: bytes) -> int:
    """The first bytes of a file end with this many whole lines, the last of which may lack its
    newline."""
    *lines, last = data.split(b"\n")
    try:
        json.loads(last)
    except ValueError:
        return len(lines)
    return len(lines) + 1


def expected(data: bytes, cut: int, record: Record) -> Record:
    lines = data.split(b"\n")[: whole_lines(data[:cut])]
    steps = [json.loads(line)["step"] for line in lines if b'"step":' in line]
    return record.prefix(steps[-1] if steps else -1)


def assert_holds_whole_lines(read: Record, data: bytes, cut: int, record: Record) -> None:
    wanted = expected(data, cut, record)
    assert read.steps.tolist() == wanted.steps.tolist(), f"cut at byte {cut}"
    assert read.tables.keys() == wanted.tables.keys(), f"cut at byte {cut}"
    for name, table in wanted.tables.items():
        assert read.tables[name].sites == table.sites, f"cut at byte {cut}"
        assert np.array_equal(read.tables[name].values, table.values, equal_nan=True), (
            f"cut at byte {cut}"
        )
    assert read.complete == (cut >= len(data) - 1), f"cut at byte {cut}"


def test_a_small_record_cut_at_every_byte_holds_its_whole_lines() -> None:
    """From nothing at all to the whole file, each step's values equal, and marked incomplete until
    the end is there."""
    data, record = recorded(steps=6)
    for cut in range(len(data) + 1):
        assert_holds_whole_lines(parse(data[:cut], "the cut file"), data, cut, record)


def test_a_larger_record_cut_at_200_random_bytes_holds_its_whole_lines(tmp_path: Path) -> None:
    """The same over four hundred steps."""
    data, record = recorded(steps=400)
    random, path = Random(0), tmp_path / "cut.jsonl"
    for cut in (random.randrange(len(data)) for _ in range(200)):
        path.write_bytes(data[:cut])
        assert_holds_whole_lines(Record.load(path), data, cut, record)


def test_what_is_left_of_a_cut_header_is_a_record_of_no_steps(tmp_path: Path) -> None:
    """A run that was killed at once is short, not damaged."""
    (tmp_path / "cut.jsonl").write_bytes(recorded(steps=6)[0][:40])
    record = Record.load(tmp_path / "cut.jsonl")
    assert (len(record.steps), record.complete) == (0, False)


def test_a_last_line_without_its_newline_is_whole(tmp_path: Path) -> None:
    """Its JSON is closed, so nothing of it can be missing."""
    data, record = recorded(steps=6)
    last_row = data.rindex(b'\n{"end"')
    (tmp_path / "cut.jsonl").write_bytes(data[:last_row])
    assert Record.load(tmp_path / "cut.jsonl").steps.tolist() == record.steps.tolist()


@pytest.mark.parametrize("tail", [b"\xc3", b'{"step":99,"loss":4.', b"\x00" * 512, b"[" * 100_000])
def test_a_tail_that_is_no_json_is_a_cut(tmp_path: Path, tail: bytes) -> None:
    """Half a letter, half a line, a block of zeros left by a power failure: the whole lines before
    it count."""
    data, record = recorded(steps=6)
    (tmp_path / "cut.jsonl").write_bytes(data[: data.rindex(b'{"end"')] + tail)
    read = Record.load(tmp_path / "cut.jsonl")
    assert (read.steps.tolist(), read.complete) == (record.steps.tolist(), False)
