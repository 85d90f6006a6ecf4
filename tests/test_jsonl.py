"""The file of a record: what is logged is what is loaded; a file that was cut off is read as far as
it goes, and a damaged one is refused."""

from __future__ import annotations

import json
from functools import cache
from math import inf, nan
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.record import Record, RecordError
from probes.record.jsonl import encode, parse
from probes.recording.recorder import Recorder, save
from tests.records import anything, assert_same

HEADER = '{"probes_record": 1, "facts": {"vocab_size": 64}, "provenance": {"name": "by hand"}}\n'


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "run.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(anything())
def test_record_is_the_same_after_it_was_written_and_read(
    tmp_path_factory: pytest.TempPathFactory, record: Record
) -> None:
    """The record has NaN, infinities, gaps and missing signals."""
    path = tmp_path_factory.mktemp("any") / "run.jsonl"
    save(record, path)
    assert_same(Record.load(path), record)


@given(st.floats(), st.floats())
def test_float_is_read_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, run: float, site: float
) -> None:
    """The values include denormal numbers, minus zero and huge numbers."""
    path = tmp_path_factory.mktemp("bits") / "run.jsonl"
    with Recorder(path) as recorder:
        recorder.log(0, loss=1.0, lr=run, activation={"embed": site, "block": 1.0})
    record = Record.load(path)
    read = [record.column("lr")[0], record.column("activation", "embed")[0]]
    for value, logged in zip(read, (run, site), strict=True):
        both_nan = value != value and logged != logged  # the bits of a NaN may differ
        assert both_nan or np.array(value).tobytes() == np.array(logged).tobytes()


def test_facts_that_are_not_finite_are_read_as_numbers(tmp_path: Path) -> None:
    """The file holds strings for them."""
    with Recorder(
        tmp_path / "run.jsonl", ladder={"val": {"floor": -inf, "ngram": nan}}, rungs=[1.0, inf]
    ):
        pass
    np.testing.assert_equal(
        dict(Record.load(tmp_path / "run.jsonl").facts),
        {"ladder": {"val": {"floor": -inf, "ngram": nan}}, "rungs": [1.0, inf]},
    )


def test_letters_are_written_as_they_are() -> None:
    """Spanish is readable in the file."""
    assert encode({"name": "él trabajó"}) == '{"name":"él trabajó"}'


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b"{}\n",
        b"[]",
        b"[1, 2]\n",
        b"12",
        b"null\n",
        b"step,loss\n0,4.1\n1,4.0\n",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"\x00" * 4096,
        b"\xff\xfe{\x00}\x00",
        b'{"loss": 4.1}\n{"loss": 4.0}\n',
        b"[" * 100_000,
        b"\n" + HEADER.encode(),
    ],
)
def test_other_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    """The message gives the path, and says how a record begins."""
    path = written(tmp_path, content)
    with pytest.raises(RecordError) as refused:
        Record.load(path)
    assert f'{path} is not a record: it must begin with {{"probes_record":' in str(refused.value)


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    """The same keys may have another meaning there."""
    with pytest.raises(RecordError, match=r"schema 2; .* reads schemas up to 1: upgrade"):
        Record.load(written(tmp_path, HEADER.replace("1", "2", 1)))


@pytest.mark.parametrize("version", ["0", "-1", "true", "1.0", '"1"', "null"])
def test_impossible_schema_is_refused(tmp_path: Path, version: str) -> None:
    """Schemas are whole numbers from 1."""
    with pytest.raises(RecordError, match="must be a whole number from 1"):
        Record.load(written(tmp_path, HEADER.replace("1", version, 1)))


@pytest.mark.parametrize("part", ["facts", "provenance"])
def test_header_part_that_is_not_an_object_is_refused(tmp_path: Path, part: str) -> None:
    """The message names the part."""
    with pytest.raises(RecordError, match=f"line 1: {part} is \\[1\\]; it must be an object"):
        Record.load(written(tmp_path, f'{{"probes_record": 1, "{part}": [1]}}\n'))


DAMAGED = {
    '{"step": 1, "loss": 4.': "Expecting",
    '{"step": 1, "loss": "high"}': "'high' is not a number",
    '{"step": 1, "loss": {"a": 1}}': "it must be one number",
    '{"step": 1, "activation": 3}': "a number for each layer, by name",
    '{"step": 1, "activation": {"": 3}}': "a number for each layer, by name",
    '{"step": 1, "los": 4.1}': "did you mean 'loss'",
    '{"step": 1, "loss": 1' + "0" * 400 + "}": "is not a number that fits 64 bits",
    '{"step": 0, "loss": 4.1}': "step 0 comes after step 0; steps must increase",
    '{"step": "1", "loss": 4.1}': "step is '1'; it must be a whole number",
    '{"step": true, "loss": 4.1}': "step is True; it must be a whole number",
    '{"step": 1.5, "loss": 4.1}': "step is 1.5; it must be a whole number",
    '{"step": 1' + "0" * 30 + "}": "it must be a whole number of at most 64 bits",
    '{"loss": 4.1}': "the keys are ['loss']; one must be step, sites or end",
    "[1, 2]": "the line is [1, 2]; it must be an object",
    "7": "the line is 7; it must be an object",
    "null": "the line is None; it must be an object",
    "": "Expecting value",
    "\x00\x00": "Expecting value",
    "[" * 100_000: "recursion",
    '{"sites": {"activation": ["a", "a"]}}': "must be a list of different names",
    '{"sites": {"activation": "ab"}}': "must be a list of different names",
    '{"sites": {"activations": ["a"]}}': "did you mean 'activation'",
    '{"sites": {"activation": ["a", "b"]}}\n{"step": 1, "activation": [1]}': "1 values but 2 sites",
    '{"end": {"complete": true}}\n{"step": 1, "loss": 4.1}': "there is a line after the end",
}


@pytest.mark.parametrize(("line", "why"), DAMAGED.items(), ids=[line[:50] for line in DAMAGED])
def test_damaged_line_is_refused_by_its_number(tmp_path: Path, line: str, why: str) -> None:
    """A file that was cut off has no lines after the cut, so a bad line before others is damage."""
    path = written(
        tmp_path, HEADER + '{"step": 0, "loss": 4.2}\n' + line + '\n{"step": 9, "loss": 4.0}\n'
    )
    number = 3 + line.count("\n")
    with pytest.raises(RecordError) as refused:
        Record.load(path)
    assert (
        f"{path}, line {number} is damaged: " in str(refused.value),
        why in str(refused.value),
    ) == (True, True)


def test_values_may_be_numbers_objects_or_lists(tmp_path: Path) -> None:
    """A value is a number, an object by site, a list in the order of the sites line, or a list by
    position."""
    lines: list[Any] = [
        {"sites": {"activation": ["embed", "block"]}},
        {
            "step": 0,
            "loss": 4,
            "activation": [1, 2],
            "grad_norm_by_layer": {"block": 3},
            "batch_ids": [7, 8],
        },
        {"end": {"complete": True}},
    ]
    record = Record.load(
        written(tmp_path, HEADER + "".join(json.dumps(line) + "\n" for line in lines))
    )
    read = {
        name: dict(zip(table.sites, table.values[0].tolist(), strict=True))
        for name, table in record.tables.items()
    }
    assert read == {
        "loss": {"": 4.0},
        "grad_norm_by_layer": {"block": 3.0},
        "activation": {"embed": 1.0, "block": 2.0},
        "batch_ids": {"0": 7.0, "1": 8.0},
    }


@cache
def recorded(steps: int) -> tuple[bytes, Record]:
    """The file and the record of a run with letters of several bytes, sites that change, and values
    that are not finite."""
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
    """The number of whole lines; the last one may lack its newline."""
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


def test_record_cut_at_any_byte_holds_its_whole_lines() -> None:
    """A small file is cut at every byte. Its record is incomplete until the end line is there."""
    data, record = recorded(steps=6)
    for cut in range(len(data) + 1):
        assert_holds_whole_lines(parse(data[:cut], "the cut file"), data, cut, record)


def test_long_record_cut_at_random_bytes_holds_its_whole_lines(tmp_path: Path) -> None:
    """Fifty cuts of a record of four hundred steps are read."""
    data, record = recorded(steps=400)
    random, path = Random(0), tmp_path / "cut.jsonl"
    for cut in (random.randrange(len(data)) for _ in range(50)):
        path.write_bytes(data[:cut])
        assert_holds_whole_lines(Record.load(path), data, cut, record)


def test_cut_header_is_a_record_without_steps(tmp_path: Path) -> None:
    """A run that was killed at once has left no damage."""
    (tmp_path / "cut.jsonl").write_bytes(recorded(steps=6)[0][:40])
    record = Record.load(tmp_path / "cut.jsonl")
    assert (len(record.steps), record.complete) == (0, False)


def test_last_line_without_its_newline_is_whole(tmp_path: Path) -> None:
    """Its JSON is complete, so nothing of it is missing."""
    data, record = recorded(steps=6)
    last_row = data.rindex(b'\n{"end"')
    (tmp_path / "cut.jsonl").write_bytes(data[:last_row])
    assert Record.load(tmp_path / "cut.jsonl").steps.tolist() == record.steps.tolist()


@pytest.mark.parametrize("tail", [b"\xc3", b'{"step":99,"loss":4.', b"\x00" * 512, b"[" * 100_000])
def test_tail_that_is_not_json_is_a_cut(tmp_path: Path, tail: bytes) -> None:
    """The lines before half a letter, half a line, or a block of zeros after a power failure are
    read."""
    data, record = recorded(steps=6)
    (tmp_path / "cut.jsonl").write_bytes(data[: data.rindex(b'{"end"')] + tail)
    read = Record.load(tmp_path / "cut.jsonl")
    assert (read.steps.tolist(), read.complete) == (record.steps.tolist(), False)
