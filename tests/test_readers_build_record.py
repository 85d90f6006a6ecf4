"""A log is read in blocks with the result of reading it row by row, in bounded memory."""

import json
import tracemalloc
from collections.abc import Mapping
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes import read
from probes.readers import base, build_record, discover, json_columns, line_batches, series
from probes.readers.build_record import record_of
from probes.record import ADVERSARIAL, Builder, Column, Record, RecordError, Steps
from testing.logs import (
    KERAS,
    KERAS_HISTORY,
    LIGHTNING,
    TRAINER_LOG,
    TRAINER_STATE,
    csv_of,
    curve,
    lines_of,
    points,
    reader_of,
    written,
)

LOGS = (
    KERAS,
    KERAS_HISTORY,
    LIGHTNING,
    TRAINER_LOG,
    TRAINER_STATE,
    csv_of(step=range(300), loss=curve(300)),
)
CELLS = st.one_of(
    st.floats(0, 4),
    st.floats(),
    st.integers(0, 3),
    st.sampled_from([None, "nan", "inf", "-", 10**30]),
)
JUMPS = st.lists(st.one_of(st.just(1), st.just(1), st.just(1), st.integers(-9, 4)), max_size=60)


def content(record: Record) -> tuple[Any, ...]:
    """Everything in a record, as values that can be compared."""
    tables = {
        name: (table.sites, repr(table.values.tolist())) for name, table in record.tables.items()
    }
    return record.steps.tolist(), tables, record.facts, record.provenance, record.complete


def outcome(path: Path) -> tuple[Any, ...] | str:
    """The content of the record that is read from a log, or the error message."""
    try:
        return content(read(path))
    except RecordError as error:
        return str(error)


@pytest.mark.parametrize("text", LOGS)
def test_the_size_of_pieces_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A file may be split within words, within lines and between them."""
    path = written(tmp_path, text)
    expected = outcome(path)
    for size in (1, 7, 100):
        monkeypatch.setattr(line_batches, "READ_BYTES", size)
        monkeypatch.setattr(base, "ROWS_PER_BLOCK", size)
        monkeypatch.setattr(json_columns, "ROWS_PER_BLOCK", size)
        assert outcome(path) == expected


@pytest.mark.parametrize("form", ["JSON lines", "CSV", "trainer state"])
@settings(max_examples=40, deadline=None)
@given(jumps=JUMPS, data=st.data())
def test_blocks_give_the_same_record_as_single_rows(
    tmp_path_factory: pytest.TempPathFactory, form: str, jumps: list[int], data: st.DataObject
) -> None:
    """The rows have jumps, repeats, gaps, words and numbers that do not fit; they are thinned or
    not."""
    rows = [
        {"step": int(step), "loss": data.draw(CELLS), "val_loss": data.draw(CELLS), "max_steps": 60}
        for step in np.cumsum(jumps)
    ]
    names = ("step", "loss", "val_loss", "max_steps")
    columns = {name: ["" if row[name] is None else row[name] for row in rows] for name in names}
    text = {
        "JSON lines": lines_of(*rows),
        "CSV": csv_of(**columns),
        "trainer state": json.dumps({"log_history": rows}, indent=1),
    }[form]
    path = written(tmp_path_factory.mktemp("log"), text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "MAX_POINTS", data.draw(st.sampled_from([20, 10**6])))
        patch.setattr(series, "MIN_THINNED", 7)
        in_blocks = outcome(path)
        patch.setattr(build_record._SecondPass, "_add_block", lambda self, block: False)
        assert in_blocks == outcome(path)


@pytest.mark.parametrize(
    "text",
    [
        lines_of(
            *(
                {"step": i, "loss": 1.0, "total_steps": 40, **({"val_loss": 2.0} if i % 3 else {})}
                for i in range(40)
            )
        ),
        csv_of(step=range(9), loss=[2.0] * 9, lr=["", *[1e-3] * 8]),
        lines_of(*({"loss": 1.0 + i} for i in range(40))),
    ],
    ids=["sparse signal and planned total", "a gap", "no steps"],
)
def test_a_plain_log_is_read_in_blocks_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Row by row takes several times as long."""
    monkeypatch.setattr(
        build_record._SecondPass,
        "_add_row",
        lambda self, row: pytest.fail(f"row {row} was read by itself"),
    )
    assert len(read(written(tmp_path, text)).steps) >= 9


@pytest.mark.parametrize("text", [LIGHTNING, TRAINER_STATE, TRAINER_LOG, KERAS])
def test_a_log_that_is_read_twice_gives_the_same_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """A small log is kept in memory between the passes, a large one is not."""
    path = written(tmp_path, text)
    expected = outcome(path)
    for cells in (0, 20):
        monkeypatch.setattr(build_record, "MAX_CELLS_KEPT", cells)
        assert outcome(path) == expected


def peak_memory(path: Path) -> int:
    """Bytes that Python holds at most while a log is read."""
    tracemalloc.start()
    try:
        read(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_small_log_is_kept_between_the_passes_at_8_bytes_per_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the numbers were objects in a list, they would take four times as much memory."""
    losses = curve(6_000)
    rows = [{"step": step, "loss": loss, "lr": 1e-3 + step} for step, loss in enumerate(losses)]
    path = written(tmp_path, lines_of(*rows))
    monkeypatch.setattr(line_batches, "READ_BYTES", 16_384)
    peaks = []
    for cells in (0, 0, 1_000_000):  # the first reading fills caches that stay
        monkeypatch.setattr(build_record, "MAX_CELLS_KEPT", cells)
        peaks.append(peak_memory(path))
    assert peaks[2] - peaks[1] <= 10 * 3 * len(rows), peaks


@pytest.mark.parametrize("form", ["JSON lines", "CSV"])
def test_memory_does_not_grow_with_the_length_of_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Beyond what is kept of a log, four times the length takes at most half as much again. A log
    that is one JSON document is loaded as a whole: test_readers_json_document.py."""
    monkeypatch.setattr(series, "MAX_POINTS", 600)
    monkeypatch.setattr(series, "MIN_THINNED", 64)
    monkeypatch.setattr(build_record, "MAX_CELLS_KEPT", 1000)
    monkeypatch.setattr(discover, "HEAD_BYTES", 4096)
    monkeypatch.setattr(line_batches, "READ_BYTES", 4096)
    peaks = []
    for length in (1500, 1500, 6000):  # the first reading fills caches that stay
        columns = {"step": range(length), "loss": curve(length), "lr": [1e-3] * length}
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        text = lines_of(*rows) if form == "JSON lines" else csv_of(**columns)
        peaks.append(peak_memory(written(tmp_path, text, str(length))))
    assert peaks[2] <= 1.5 * peaks[1], peaks


@pytest.mark.parametrize(("last", "complete"), [(37, False), (38, False), (39, True), (40, True)])
def test_a_run_that_reached_its_planned_total_is_complete(
    tmp_path: Path, last: int, complete: bool
) -> None:
    """The last of forty steps is 39 when steps count from 0, and 40 when they count from 1."""
    rows = [{"step": step, "loss": 4.0, "total_steps": 40} for step in (0, last)]
    assert read(written(tmp_path, lines_of(*rows))).complete is complete


@pytest.mark.parametrize("totals", [(40, 80), (10, 10), (0, 0), (None, None)])
def test_a_total_that_cannot_be_the_plan_is_no_fact(
    tmp_path: Path, totals: tuple[int | None, ...]
) -> None:
    """The total changes, is smaller than a step, is 0, or is not given."""
    rows = [
        {"step": 10 * i, "loss": 3.0, "total_steps": total}
        for i, total in enumerate(totals, start=1)
    ]
    assert read(written(tmp_path, lines_of(*rows))).facts == {}


def arrays(points: Mapping[int, float]) -> tuple[Steps, Column]:
    """Steps in increasing order, and their values: ([n], [n])."""
    steps = sorted(points)
    return np.array(steps, dtype=np.int64), np.array([points[step] for step in steps], dtype=float)


@given(
    st.dictionaries(
        st.sampled_from(["loss", "val_loss", "lr", "grad_norm"]),
        st.dictionaries(
            st.integers(0, 12), st.sampled_from([0.5, -1.0, nan, inf, -inf]), max_size=8
        ),
    )
)
def test_a_record_of_series_equals_one_that_is_built_row_by_row(
    series: dict[str, dict[int, float]],
) -> None:
    """Values that are not finite are counted, and the signal that failed first comes first."""
    builder = Builder({"total_steps": 3}, {"name": "x"})
    for step in sorted({step for own in series.values() for step in own}):
        values = {name: own[step] for name, own in series.items() if step in own}
        builder.append(step, values)
    record = record_of(
        {name: arrays(points) for name, points in series.items()},
        {"total_steps": 3},
        {"name": "x"},
        complete=False,
    )
    assert content(record) == content(builder.record(complete=False))
    tables = [table.values for table in record.tables.values()]
    assert not any(array.flags.writeable for array in (record.steps, *tables))


def test_steps_at_both_ends_of_64_bits_are_kept() -> None:
    """The difference between them does not fit 64 bits."""
    steps = np.array([-(2**63), 0, 2**63 - 1])
    record = record_of({"loss": (steps, np.array([1.0, 2.0, 3.0]))}, {}, {}, complete=True)
    assert record.steps.tolist() == steps.tolist()


# Values that were not measured, and damaged rows


def test_a_validation_that_was_not_run_has_no_loss_of_0(tmp_path: Path) -> None:
    """Ultralytics writes 0 in all columns of the validation until it is run."""
    parts = {f"train/{part}_loss": [2.0 - i / 20 for i in range(20)] for part in ("box", "cls")}
    vals = {f"val/{part}_loss": [0] * 18 + [1.5, 1.25] for part in ("box", "cls")}
    record = read(written(tmp_path, csv_of(epoch=range(20), **parts, **vals)))
    assert points(record, "val_loss") == {18: 3.0, 19: 2.5}
    assert (
        "the validation loss is exactly 0 in the first 18 rows, which means that no validation was "
        "run; they were left out"
    ) in reader_of(record)["stitched"]
    vals = {name: [0] * 20 for name in vals}
    record = read(written(tmp_path, csv_of(epoch=range(20), **parts, **vals)))
    assert record.sites("val_loss") == ()


def test_a_validation_loss_that_falls_to_0_is_kept(tmp_path: Path) -> None:
    """So is one of 0 beside a training loss of 0."""
    text = csv_of(step=range(4), loss=[2.0, 1.0, 0.5, 0.25], val_loss=[2.0, 1.0, 0.0, 0.0])
    assert list(points(read(written(tmp_path, text)), "val_loss").values()) == [2.0, 1.0, 0.0, 0.0]
    text = csv_of(step=range(3), loss=[0.0, 0.0, 0.0], val_loss=[0.0, 0.0, 1.0])
    assert list(points(read(written(tmp_path, text)), "val_loss").values()) == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("odd", ["WARNING: slow disk", '["a", 1]', '{"step": "?", "loss": 1.0}'])
def test_one_damaged_line_among_many_is_left_out(tmp_path: Path, odd: str) -> None:
    """A note gives its line. Several such lines are an error that gives the first."""
    rows = [f'{{"step": {i}, "loss": {4.0 - i / 10}}}\n' for i in range(30)]
    record = read(written(tmp_path, "".join([*rows[:9], odd + "\n", *rows[9:]])))
    assert list(points(record, "loss")) == list(range(30))
    assert "1 damaged rows were left out; the first: line 10" in reader_of(record)["stitched"][0]
    with pytest.raises(RecordError, match="log, line 10"):
        read(written(tmp_path, "".join([*rows[:9], *[odd + "\n"] * 3, *rows[9:]])))


def test_names_of_chainer_are_read(tmp_path: Path) -> None:
    """Its log is a list of objects with the losses of the main model."""
    rows = [
        {"main/loss": 4.0 - i, "validation/main/loss": 4.5 - i, "iteration": 900 * i, "epoch": i}
        for i in (1, 2, 3)
    ]
    record = read(written(tmp_path, json.dumps(rows, indent=4)))
    assert points(record, "loss") == {900: 3.0, 1800: 2.0, 2700: 1.0}
    assert points(record, "val_loss") == {900: 3.5, 1800: 2.5, 2700: 1.5}


def test_losses_of_a_gan_may_be_named_by_their_networks(tmp_path: Path) -> None:
    """As pix2pix prints them."""
    text = "".join(
        f"(epoch: 1, iters: {i * 100}) G_GAN: 1.5 G_L1: {20 - i} D_real: 0.5 D_fake: 0.5\n"
        for i in range(5)
    )
    record = read(written(tmp_path, text))
    assert points(record, "loss") == {100 * i: 22.5 - i for i in range(5)}
    assert record.facts["objective"] == ADVERSARIAL


def test_rows_whose_steps_go_back_are_added_without_reading_their_cells_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of a million rows that goes back every few rows is read in seconds."""
    steps = [place - 9 * (place // 10) for place in range(60)]
    values = [float(place) for place in range(60)]
    path = written(tmp_path, csv_of(step=steps, loss=values, val_loss=["", 1.0] * 30))
    expected = outcome(path)
    assert len(points(read(path), "loss")) == 15
    monkeypatch.setattr(build_record._SecondPass, "_add_row", None)
    assert outcome(path) == expected
