"""What is logged is what is loaded, and a file that is not a whole record is refused or read as far
as it goes."""

import json
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.record import Record, RecordError, UnknownSiteError
from probes.record.builder import Builder
from probes.record.signals import UnknownSignalError
from probes.recording.recorder import Recorder, save
from tests.records import anything, changed, hand_made

HEADER = '{"probes_record": 1, "facts": {"vocab_size": 64}, "provenance": {"name": "by hand"}}\n'


def same(a: Record, b: Record) -> bool:
    """Equal in everything, NaN being equal to NaN."""
    np.testing.assert_equal(
        (a.facts, a.provenance, a.complete), (b.facts, b.provenance, b.complete)
    )
    np.testing.assert_array_equal(a.steps, b.steps)
    assert list(a.tables) == list(b.tables)
    for name, table in a.tables.items():
        assert table.sites == b.tables[name].sites
        np.testing.assert_array_equal(table.values, b.tables[name].values)
    return True


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "run.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@given(anything())
def test_any_record_survives_the_way_through_a_file(
    tmp_path_factory: pytest.TempPathFactory, record: Record
) -> None:
    """NaN, infinities, gaps and missing signals included."""
    path = tmp_path_factory.mktemp("any") / "run.jsonl"
    save(record, path)
    assert same(Record.load(path), record)


@given(st.floats(), st.floats())
def test_every_float_survives_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, run: float, site: float
) -> None:
    """Denormals, minus zero, huge ones: what is read is what was logged."""
    path = tmp_path_factory.mktemp("bits") / "run.jsonl"
    with Recorder(path) as recorder:
        recorder.log(0, loss=1.0, lr=run, activation={"embed": site, "block": 1.0})
    record = Record.load(path)
    read = [record.column("lr")[0], record.column("activation", "embed")[0]]
    assert np.array(read).tobytes() == np.array([run, site]).tobytes() or nan_both(
        read, [run, site]
    )


def nan_both(read: list[float], given_: list[float]) -> bool:
    """NaNs need not keep their payload."""
    return all(a == b or (a != a and b != b) for a, b in zip(read, given_, strict=True))


def test_facts_with_no_finite_value_survive(tmp_path: Path) -> None:
    """A floor of minus infinity is read as the number it was, not as a string."""
    with Recorder(
        tmp_path / "run.jsonl", ladder={"val": {"floor": -inf, "ngram": nan}}, rungs=[1.0, inf]
    ):
        pass
    np.testing.assert_equal(
        dict(Record.load(tmp_path / "run.jsonl").facts),
        {"ladder": {"val": {"floor": -inf, "ngram": nan}}, "rungs": [1.0, inf]},
    )


def test_a_run_value_that_is_not_finite_is_counted(tmp_path: Path) -> None:
    """NaN means not measured in a column, so that it was measured stands in nonfinite_count."""
    with Recorder(tmp_path / "run.jsonl") as recorder:
        recorder.log(0, loss=nan, lr=0.1)
    steps, counts = Record.load(tmp_path / "run.jsonl").series("nonfinite_count", "loss")
    assert (steps.tolist(), counts.tolist()) == ([0], [1.0])


def test_counted_sites_come_before_the_loss_they_spoil() -> None:
    """The order of the sites is that of the computation: the loss comes last."""
    record = hand_made({"loss": [nan], "nonfinite_count": {"embed": [3.0], "block": [9.0]}})
    assert record.sites("nonfinite_count") == ("embed", "block", "loss")


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
def test_what_is_not_a_record_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    """With the path, and with what a record begins with."""
    path = written(tmp_path, content)
    with pytest.raises(RecordError) as refused:
        Record.load(path)
    assert f'{path} is not a record: it must begin with {{"probes_record":' in str(refused.value)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A later format may mean something else by the same words."""
    with pytest.raises(RecordError, match=r"schema 2; this version reads up to 1: upgrade"):
        Record.load(written(tmp_path, HEADER.replace("1", "2", 1)))


@pytest.mark.parametrize("version", ["0", "-1", "true", "1.0", '"1"', "null"])
def test_a_schema_that_never_was_is_refused(tmp_path: Path, version: str) -> None:
    """Only whole numbers from 1 were ever written."""
    with pytest.raises(RecordError, match="must be a whole number from 1"):
        Record.load(written(tmp_path, HEADER.replace("1", version, 1)))


@pytest.mark.parametrize("part", ["facts", "provenance"])
def test_a_header_part_that_is_no_object_is_refused(tmp_path: Path, part: str) -> None:
    """By its name."""
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
    '{"loss": 4.1}': "holds neither step, sites nor end, but ['loss']",
    "[1, 2]": "it is [1, 2]; it must be an object",
    "7": "it is 7; it must be an object",
    "null": "it is None; it must be an object",
    "": "Expecting value",
    "\x00\x00": "Expecting value",
    "[" * 100_000: "recursion",
    '{"sites": {"activation": ["a", "a"]}}': "must be a list of different names",
    '{"sites": {"activation": "ab"}}': "must be a list of different names",
    '{"sites": {"activations": ["a"]}}': "did you mean 'activation'",
    '{"sites": {"activation": ["a", "b"]}}\n{"step": 1, "activation": [1]}': "1 values; its sites are 2",
    '{"end": {"complete": true}}\n{"step": 1, "loss": 4.1}': "there is a line after the end",
}


@pytest.mark.parametrize(("line", "why"), DAMAGED.items(), ids=[line[:50] for line in DAMAGED])
def test_a_damaged_line_is_refused_by_its_number(tmp_path: Path, line: str, why: str) -> None:
    """A cut loses the end of a file, never its middle: a bad line followed by another is damage."""
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


@pytest.mark.parametrize("step", [0, 1, -1])
def test_steps_must_increase(step: int) -> None:
    """A repeated or earlier step is refused and named with the last one."""
    builder = Builder({}, {})
    builder.append(1, {"loss": 4.0})
    with pytest.raises(RecordError, match=f"step {step} comes after step 1"):
        builder.append(step, {"loss": 4.0})


def test_steps_may_leave_gaps() -> None:
    """A log every fifty steps is a record too."""
    assert hand_made({"loss": [4.0, 3.0, 2.0]}, steps=[0, 50, 99]).steps.tolist() == [0, 50, 99]


def test_prefix_is_the_record_as_it_stood_after_a_step() -> None:
    """Rows up to and with the step; facts and provenance unchanged; marked incomplete."""
    record = hand_made({"loss": [4.0, 3.0, 2.0]}, steps=[0, 50, 99], vocab_size=64)
    assert same(
        record.prefix(60),
        hand_made({"loss": [4.0, 3.0]}, steps=[0, 50], complete=False, vocab_size=64),
    )


def test_prefix_forgets_signals_and_sites_that_were_not_measured_yet() -> None:
    """What a reader of the first steps could not know is not there."""
    record = hand_made(
        {
            "loss": [4.0, 3.0],
            "val_loss": [None, 3.5],
            "activation": {"a": [1.0, 1.0], "b": [None, 2.0]},
        }
    )
    assert (record.prefix(0).sites("val_loss"), record.prefix(0).sites("activation")) == (
        (),
        ("a",),
    )


def test_prefix_to_the_end_is_the_record_itself() -> None:
    """Nothing was left out, so nothing is marked incomplete."""
    record = changed()
    assert record.prefix(10**6) is record


def test_prefix_before_the_first_step_is_empty() -> None:
    """No rows and no signals, and still a record."""
    assert (len(changed().prefix(-1).steps), changed().prefix(-1).tables) == (0, {})


def test_a_series_is_only_what_was_measured() -> None:
    """Steps and values without the gaps; infinities are measurements."""
    steps, values = hand_made({"loss": [1.0] * 4, "val_loss": [None, 3.5, None, inf]}).series(
        "val_loss"
    )
    assert (steps.tolist(), values.tolist()) == ([1, 3], [3.5, inf])


@pytest.mark.parametrize("signal", ["val_loss", "loss"])
@pytest.mark.parametrize("step", [2, 10**6])
def test_columns_cannot_be_written(signal: str, step: int) -> None:
    """Not those of a prefix either, nor those of a signal that is not there."""
    column = (
        hand_made({"loss": [1.0] * 4, "activation": {"a": [None, None, None, 1.0]}})
        .prefix(step)
        .column(signal)
    )
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 0.0


def test_asking_for_a_signal_that_does_not_exist_is_an_error() -> None:
    """Not an empty series: the name is wrong."""
    with pytest.raises(UnknownSignalError, match="did you mean 'val_loss'"):
        changed().series("val_los")


def test_a_signal_measured_nowhere_is_not_in_the_record() -> None:
    """Nor is one with no sites."""
    record = hand_made({"loss": [4.0], "activation": {}, "batch_ids": {}})
    assert list(record.tables) == ["loss"]


def test_a_record_by_hand_may_hold_bare_json_numbers(tmp_path: Path) -> None:
    """A number, an object by site, a list along the sites line, a list by position."""
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


def test_value_that_is_not_finite_at_a_site_is_counted_there() -> None:
    """Under the signal's name and the site's, after what the writer counted itself."""
    builder = Builder({}, {})
    builder.append(0, {"activation": {"a": inf, "b": 1.0}, "nonfinite_count": {"inner": 3}})
    table = builder.record(complete=True).tables["nonfinite_count"]
    assert dict(zip(table.sites, table.values[0], strict=True)) == {"inner": 3, "activation.a": 1}


def test_site_that_was_not_measured_is_an_error_that_names_the_nearest() -> None:
    """A typing mistake is no empty series."""
    builder = Builder({}, {})
    builder.append(0, {"activation": {"blocks.0": 1.0, "embed": 1.0}})
    with pytest.raises(
        UnknownSiteError, match=r"activation was not measured at 'block\.0'; did you mean blocks\.0"
    ):
        builder.record(complete=True).series("activation", "block.0")
