"""Reading a record by column: the same record as row by row, and nothing that has to be looked at
goes unseen."""

import gc
import json

import numpy as np
import pytest

from probes import Record, Recorder
from probes.record import jsonl
from probes.record.jsonl import by_column

SITES = '{"sites":{"activation":["embed","norm"]}}'
ROWS = ['{"step":0,"loss":4.5,"activation":[1.5,2]}', '{"step":3,"loss":4}']
END = '{"end":{"complete":true}}'


def read(*lines):
    return by_column([line.encode() for line in lines], {}, {})


@pytest.fixture
def path(tmp_path):
    """Fifty steps with numbers for the run and by site, whole ones too, some only now and then."""
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


def same(record, other):
    assert (record.facts, record.provenance, record.complete) == (
        other.facts,
        other.provenance,
        other.complete,
    )
    np.testing.assert_array_equal(record.steps, other.steps)
    assert list(record.tables) == list(other.tables)
    for name, table in record.tables.items():
        assert table.sites == other.tables[name].sites
        np.testing.assert_array_equal(table.values, other.tables[name].values)


@pytest.fixture(params=[1, 7, jsonl.TOGETHER], ids=lambda rows: f"{rows} rows together")
def together(request, monkeypatch):
    """However many rows are made into arrays at a time."""
    monkeypatch.setattr(jsonl, "TOGETHER", request.param)


def test_a_record_is_the_same_by_column_as_row_by_row(path, together, monkeypatch):
    """Facts, steps, signals, sites, values, gaps."""
    by_columns = Record.load(path)
    monkeypatch.setattr(jsonl, "by_column", lambda *_: None)
    same(by_columns, Record.load(path))


def test_a_record_without_oddities_needs_no_check_of_its_rows(path, monkeypatch):
    """The fast way is the one that is taken."""
    monkeypatch.delattr(jsonl, "Builder")
    assert len(Record.load(path).steps) == 50


def test_a_cut_record_is_read_by_column_too(path, monkeypatch):
    """Its end is missing, and that is all."""
    path.write_bytes(path.read_bytes()[:-40])
    monkeypatch.delattr(jsonl, "Builder")
    assert not Record.load(path).complete


def test_what_is_read_by_column_cannot_be_written(path):
    """As any other record."""
    record = Record.load(path)
    assert not record.steps.flags.writeable
    assert not any(table.values.flags.writeable for table in record.tables.values())


def test_plain_lines_are_read():
    """The lines that each oddity below is added to are not odd themselves."""
    record = read(SITES, *ROWS, END)
    assert record.complete
    assert record.column("activation", "norm").tolist()[0] == 2
    assert record.column("loss").tolist() == [4.5, 4]


@pytest.mark.parametrize("line", [ROWS[0], '{"step":4,"loss":"NaN"}'])
@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_on_afterwards_if_it_was_before(line, on):
    """Whether the lines could be read or not."""
    was_on = gc.isenabled()
    try:
        gc.enable() if on else gc.disable()
        read(SITES, line)
        assert gc.isenabled() is on
    finally:
        gc.enable() if was_on else gc.disable()


ODD = {
    "a step that does not increase": [*ROWS, '{"step":3,"loss":1.0}'],
    "a step that is no whole number": [*ROWS, '{"step":4.0,"loss":1.0}'],
    "a step of more than 64 bits": [*ROWS, json.dumps({"step": 2**63, "loss": 1.0})],
    "a step that is a truth": ['{"step":true,"loss":1.0}'],
    "a signal of no table": [*ROWS, '{"step":4,"lost":1.0}'],
    "a value that is a string": [*ROWS, '{"step":4,"loss":"1.0"}'],
    "a value that is not finite": [*ROWS, '{"step":4,"loss":"NaN"}'],
    "a value that overflows": [*ROWS, '{"step":4,"loss":1e400}'],
    "a value that is a truth": [*ROWS, '{"step":4,"loss":true}'],
    "a value that is missing": [*ROWS, '{"step":4,"loss":null}'],
    "a whole number that float64 lacks": [*ROWS, json.dumps({"step": 4, "loss": 2**53 + 1})],
    "a list for the run": [*ROWS, '{"step":4,"loss":[1.0]}'],
    "a number for sites": [*ROWS, '{"step":4,"activation":1.0}'],
    "sites by name": [*ROWS, '{"step":4,"activation":{"embed":1.0,"norm":2.0}}'],
    "too few sites": [*ROWS, '{"step":4,"activation":[1.0]}'],
    "another number of sites throughout": ['{"step":0,"activation":[1.0,2.0,3.0]}'],
    "other sites from here on": [*ROWS, '{"sites":{"activation":["norm","embed"]}}'],
    "sites for what was read before": [
        '{"step":0,"dead_fraction":[0.5]}',
        '{"sites":{"dead_fraction":["ffn"]}}',
    ],
    "sites twice": ['{"sites":{"dead_fraction":["ffn","ffn"]}}'],
    "a site without a name": [
        '{"sites":{"dead_fraction":[""]}}',
        '{"step":0,"dead_fraction":[0.5]}',
    ],
    "a line that is no object": [*ROWS, '"step"'],
    "a line of nothing known": [*ROWS, '{"stop":1}'],
    "a line after the end": [*ROWS, END, '{"step":4,"loss":1.0}'],
    "a stop before time": [
        *ROWS,
        '{"end":{"complete":false,"stopped":{"step":3,"total_steps":9,"cause":"overfit"}}}',
    ],
    "a damaged line": [*ROWS, '{"step":4,'],
}


@pytest.mark.parametrize("lines", ODD.values(), ids=ODD)
def test_what_is_odd_is_left_to_the_builder(lines, together):
    """It decides whether it is wrong or only rare."""
    assert read(SITES, *lines) is None
