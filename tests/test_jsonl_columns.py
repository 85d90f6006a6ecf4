"""Reading a record by column gives the same record as reading it row by row, and gives up on every
line that is not plain."""

import gc
import json

import numpy as np
import pytest

from probes import Record, Recorder
from probes.record import jsonl, jsonl_columns
from probes.record.jsonl_columns import read_by_column
from tests.records import assert_same

SITES = '{"sites":{"activation":["embed","norm"]}}'
ROWS = ['{"step":0,"loss":4.5,"activation":[1.5,2]}', '{"step":3,"loss":4}']
END = '{"end":{"complete":true}}'


def read(*lines):
    return read_by_column([line.encode() for line in lines], {}, {})


@pytest.fixture
def path(tmp_path):
    """Fifty steps with signals of the run and of sites, whole numbers, and signals of
    evaluations."""
    path, rng = tmp_path / "run.jsonl", np.random.default_rng(0)
    with Recorder(path, provenance={"name": "run"}, vocab_size=64) as recorder:
        for step in range(0, 100, 2):
            layers = dict(zip(("embed", "norm"), rng.random(2).tolist(), strict=True))
            evaluated = (
                {"val_loss": float(rng.random()), "dead_fraction": {"ffn": 0.5}}
                if step % 6 == 0
                else {}
            )
            counts = {"loss": 0, "norm": step}
            recorder.log(
                step,
                loss=float(rng.random()),
                activation=layers,
                nonfinite_count=counts,
                batch_ids=[3, 1],
                **evaluated,
            )
    return path


@pytest.fixture(params=[1, 7, jsonl_columns.BLOCK_ROWS], ids=lambda rows: f"blocks of {rows}")
def block_rows(request, monkeypatch):
    """The number of readings that are made into an array at a time."""
    monkeypatch.setattr(jsonl_columns, "BLOCK_ROWS", request.param)


@pytest.mark.usefixtures("block_rows")
def test_record_is_the_same_by_column_as_row_by_row(path, monkeypatch):
    """Facts, steps, signals, sites, values and gaps."""
    by_column = Record.load(path)
    monkeypatch.setattr(jsonl, "read_by_column", lambda *_: None)
    assert_same(by_column, Record.load(path))


def test_plain_record_is_not_read_row_by_row(path, monkeypatch):
    """The test disables the builder, without which nothing can be read row by row."""
    monkeypatch.delattr(jsonl, "Builder")
    assert len(Record.load(path).steps) == 50


def test_cut_record_is_read_by_column_too(path, monkeypatch):
    """Only its end is missing."""
    path.write_bytes(path.read_bytes()[:-40])
    monkeypatch.delattr(jsonl, "Builder")
    assert not Record.load(path).complete


def test_arrays_read_by_column_are_read_only(path):
    """The arrays of every other record are read-only too."""
    record = Record.load(path)
    assert not record.steps.flags.writeable
    assert not any(table.values.flags.writeable for table in record.tables.values())


def test_plain_lines_are_read():
    """The lines to which NOT_PLAIN adds others are plain themselves."""
    record = read(SITES, *ROWS, END)
    assert record.complete
    assert record.column("activation", "norm").tolist()[0] == 2
    assert record.column("loss").tolist() == [4.5, 4]


@pytest.mark.parametrize("line", [ROWS[0], '{"step":4,"loss":"NaN"}'])
@pytest.mark.parametrize("on", [True, False])
def test_garbage_collector_is_on_afterwards_if_it_was_on_before(line, on):
    """This holds for plain lines and for lines that are not plain."""
    was_on = gc.isenabled()
    try:
        gc.enable() if on else gc.disable()
        read(SITES, line)
        assert gc.isenabled() is on
    finally:
        gc.enable() if was_on else gc.disable()


NOT_PLAIN = {
    "a step that does not increase": [*ROWS, '{"step":3,"loss":1.0}'],
    "a step that is no whole number": [*ROWS, '{"step":4.0,"loss":1.0}'],
    "a step of more than 64 bits": [*ROWS, json.dumps({"step": 2**63, "loss": 1.0})],
    "a step that is a bool": ['{"step":true,"loss":1.0}'],
    "an unknown signal": [*ROWS, '{"step":4,"lost":1.0}'],
    "a value that is a string": [*ROWS, '{"step":4,"loss":"1.0"}'],
    "a value that is not finite": [*ROWS, '{"step":4,"loss":"NaN"}'],
    "a value that overflows": [*ROWS, '{"step":4,"loss":1e400}'],
    "a value that is a bool": [*ROWS, '{"step":4,"loss":true}'],
    "a value that is missing": [*ROWS, '{"step":4,"loss":null}'],
    "a whole number that float64 lacks": [*ROWS, json.dumps({"step": 4, "loss": 2**53 + 1})],
    "a list for the run": [*ROWS, '{"step":4,"loss":[1.0]}'],
    "a number for sites": [*ROWS, '{"step":4,"activation":1.0}'],
    "sites by name": [*ROWS, '{"step":4,"activation":{"embed":1.0,"norm":2.0}}'],
    "too few sites": [*ROWS, '{"step":4,"activation":[1.0]}'],
    "another number of sites than the sites line has": ['{"step":0,"activation":[1.0,2.0,3.0]}'],
    "other sites from here on": [*ROWS, '{"sites":{"activation":["norm","embed"]}}'],
    "sites of a signal that was read before": [
        '{"step":0,"dead_fraction":[0.5]}',
        '{"sites":{"dead_fraction":["ffn"]}}',
    ],
    "sites twice": ['{"sites":{"dead_fraction":["ffn","ffn"]}}'],
    "a site without a name": [
        '{"sites":{"dead_fraction":[""]}}',
        '{"step":0,"dead_fraction":[0.5]}',
    ],
    "a line that is no object": [*ROWS, '"step"'],
    "a line of an unknown kind": [*ROWS, '{"stop":1}'],
    "a line after the end": [*ROWS, END, '{"step":4,"loss":1.0}'],
    "a run that was stopped early": [
        *ROWS,
        '{"end":{"complete":false,"stopped":{"step":3,"total_steps":9,"cause":"overfit"}}}',
    ],
    "an end that is no object": [*ROWS, '{"end":null}'],
    "a damaged line": [*ROWS, '{"step":4,'],
}


@pytest.mark.usefixtures("block_rows")
@pytest.mark.parametrize("lines", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_lines_that_are_not_plain_are_not_read_by_column(lines):
    """Such lines are read row by row. They turn out to be damaged, or only rare."""
    assert read(SITES, *lines) is None
