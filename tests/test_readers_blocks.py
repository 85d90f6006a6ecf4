"""A log is read by column, many rows at once: with the outcome of row by row, in memory that does
not grow."""

import json
import tracemalloc
from array import array
from collections.abc import Iterator, Mapping
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes import read
from probes.readers import (
    base,
    build_record,
    discover,
    json_columns,
    json_scanner,
    line_batches,
    series,
)
from probes.readers.base import (
    Block,
    Row,
    blocks_of,
    gathered,
    last_number,
    measured,
    whole_numbers,
)
from probes.readers.build_record import record_of
from probes.readers.series import Stitcher
from probes.record import Column, Record, RecordError, Steps
from probes.record.builder import Builder
from testing.logs import (
    KERAS,
    KERAS_HISTORY,
    LIGHTNING,
    TRAINER_LOG,
    TRAINER_STATE,
    csv_of,
    curve,
    lines_of,
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
STEPS = st.lists(st.one_of(st.just(1), st.just(1), st.just(1), st.integers(-9, 4)), max_size=60)
Points = dict[int, float]


def told(record: Record) -> tuple[Any, ...]:
    """All of a record, as what can be compared."""
    tables = {
        name: (table.sites, repr(table.values.tolist())) for name, table in record.tables.items()
    }
    return record.steps.tolist(), tables, record.facts, record.provenance, record.complete


def outcome(path: Path) -> tuple[Any, ...] | str:
    """What reading a log comes to."""
    try:
        return told(read(path))
    except RecordError as error:
        return str(error)


@pytest.mark.parametrize("text", LOGS)
def test_a_log_is_read_the_same_in_pieces_of_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Cut within words, within lines and between them."""
    path = written(tmp_path, text)
    whole = outcome(path)
    for size in (1, 7, 100):
        for module, name in [
            (line_batches, "PIECE"),
            (json_scanner, "CHUNK"),
            (base, "ROWS"),
            (json_columns, "ROWS"),
        ]:
            monkeypatch.setattr(module, name, size)
        assert outcome(path) == whole


@pytest.mark.parametrize("form", ["JSON lines", "CSV", "trainer state"])
@settings(max_examples=40, deadline=None)
@given(jumps=STEPS, data=st.data())
def test_rows_at_once_come_to_the_same_as_rows_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, form: str, jumps: list[int], data: st.DataObject
) -> None:
    """Whatever stands in them: jumps, repeats, gaps, words, numbers that fit no column; thinned or
    not."""
    rows = [
        {"step": int(step), "loss": data.draw(CELLS), "val_loss": data.draw(CELLS), "max_steps": 60}
        for step in np.cumsum(jumps)
    ]
    names = ("step", "loss", "val_loss", "max_steps")
    text = {
        "JSON lines": lines_of(*rows),
        "CSV": csv_of(
            **{name: [row[name] if row[name] is not None else "" for row in rows] for name in names}
        ),
        "trainer state": json.dumps({"log_history": rows}, indent=1),
    }[form]
    path = written(tmp_path_factory.mktemp("log"), text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "CAP", data.draw(st.sampled_from([20, 10**6])))
        patch.setattr(series, "WAITING", 7)
        at_once = outcome(path)
        patch.setattr(build_record._Reading, "_take_at_once", lambda self, block: False)
        assert at_once == outcome(path)


def test_a_plain_log_is_never_taken_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps in order and numbers, be a signal sparse and the planned total on every line."""
    rows = [
        {"step": i, "loss": 1.0, "total_steps": 40, **({"val_loss": 2.0} if i % 3 else {})}
        for i in range(40)
    ]
    by_row = [{"loss": 1.0 + i} for i in range(40)]
    monkeypatch.setattr(
        build_record._Reading,
        "_take",
        lambda self, row: pytest.fail(f"row {row} was taken by itself"),
    )
    for text in (
        lines_of(*rows),
        csv_of(step=range(9), loss=[2.0] * 9, lr=["", *[1e-3] * 8]),
        lines_of(*by_row),
    ):
        assert len(read(written(tmp_path, text)).steps) >= 9


@pytest.mark.parametrize("text", [LIGHTNING, TRAINER_STATE, TRAINER_LOG, KERAS])
def test_a_log_that_is_read_twice_is_the_one_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """However much of it is kept from the first pass."""
    path = written(tmp_path, text)
    whole = outcome(path)
    for kept in (0, 20):
        monkeypatch.setattr(build_record, "KEPT", kept)
        assert outcome(path) == whole


@pytest.mark.parametrize(
    ("cells", "packs"),
    [
        ([1.5, nan, inf], True),
        ([3, -(2**63)], True),
        ([3, 2.5], False),
        ([2.5, None], False),
        ([True, False], False),
        ([2**63, 1], False),
        (["1.5"], False),
    ],
)
def test_what_is_kept_of_numbers_of_one_type_is_eight_bytes_each(
    cells: list[Any], packs: bool
) -> None:
    """With the type they had; anything else stays as it is."""
    kept = Block(range(len(cells)), {"loss": cells}).packed().columns["loss"]
    assert (isinstance(kept, array), [(type(cell), repr(cell)) for cell in kept]) == (
        packs,
        [(type(cell), repr(cell)) for cell in cells],
    )


def peak(path: Path) -> int:
    """Bytes held at most while a log is read."""
    tracemalloc.start()
    try:
        read(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_small_log_takes_no_more_memory_kept_than_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its peak: numbers are kept as eight bytes each, and not as an object and its place in a
    list."""
    rows = [
        {"step": step, "loss": loss, "lr": 1e-3 + step} for step, loss in enumerate(curve(20_000))
    ]
    path = written(tmp_path, lines_of(*rows))
    peaks = []
    for kept in (0, 0, 1_000_000):  # the first of them fills what is cached once and for all
        monkeypatch.setattr(build_record, "KEPT", kept)
        peaks.append(peak(path))
    assert peaks[2] <= 1.03 * peaks[1], peaks


@pytest.mark.parametrize("form", ["JSON lines", "CSV", "trainer state"])
def test_memory_does_not_grow_with_the_length_of_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Once it is longer than what is kept of it: half as much again at most, be it four times as
    long."""
    monkeypatch.setattr(series, "CAP", 600)
    monkeypatch.setattr(series, "WAITING", 64)
    monkeypatch.setattr(build_record, "KEPT", 1000)
    monkeypatch.setattr(discover, "HEAD", 4096)
    monkeypatch.setattr(line_batches, "PIECE", 4096)
    monkeypatch.setattr(json_scanner, "CHUNK", 4096)
    peaks = []
    for length in (1500, 1500, 6000):  # the first of them fills what is cached once and for all
        rows = [{"step": step, "loss": loss, "lr": 1e-3} for step, loss in enumerate(curve(length))]
        text = {
            "JSON lines": lines_of(*rows),
            "CSV": csv_of(step=range(length), loss=curve(length), lr=[1e-3] * length),
            "trainer state": json.dumps({"log_history": rows}),
        }[form]
        peaks.append(peak(written(tmp_path, text, str(length))))
    assert peaks[2] <= 1.5 * peaks[1], peaks


def test_of_a_log_whose_rows_share_no_column_blocks_stay_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most of their cells would be empty."""
    monkeypatch.setattr(base, "CELLS", 50)
    made = list(blocks_of(range(1, 101), [{f"x{i}": i} for i in range(100)]))
    assert max(len(block.numbers) * len(block.columns) for block in made) <= 50
    assert [
        row
        for block in made
        for row in block.rows()
        if row.cells[f"x{row.number - 1}"] != row.number - 1
    ] == []
    assert [number for block in made for number in block.numbers] == list(range(1, 101))


def test_rows_that_come_before_a_damaged_one_are_given_first() -> None:
    """Who looks at the beginning of a log alone has to see it."""

    def rows() -> Iterator[Row]:
        yield Row(1, {"loss": 4.0})
        yield Row(2, {"a": 1}, "summary")
        yield Row(3, {"loss": 3.0})
        raise RecordError("line 4")

    found = gathered(rows())
    assert [next(found) for _ in range(3)] == [
        Block([1], {"loss": [4.0]}),
        Row(2, {"a": 1}, "summary"),
        Block([3], {"loss": [3.0]}),
    ]
    with pytest.raises(RecordError, match="line 4"):
        next(found)


def test_a_piece_ends_where_its_last_row_stands() -> None:
    """A row by itself too."""
    assert (last_number(Block(range(3, 8), {})), last_number(Row(9, {}, "cut"))) == (7, 9)


@pytest.mark.parametrize(
    ("cells", "at", "values"),
    [
        ([1.5, 2, nan, -inf], [0, 1, 2, 3], [1.5, 2.0, nan, -inf]),
        ([None, 0.5, None, 3], [1, 3], [0.5, 3.0]),
        ([None, None], [], []),
        ([2**53 + 1], [0], [2.0**53]),
    ],
)
def test_numbers_of_a_column_are_taken_with_their_places(
    cells: list[Any], at: list[int], values: list[float]
) -> None:
    """None is a gap; NaN is a number here."""
    found = measured(cells)
    assert found is not None
    np.testing.assert_array_equal(found[0], at)
    np.testing.assert_array_equal(found[1], values)


@pytest.mark.parametrize("odd", [True, "nan", "", [1.0], 10**400])
def test_a_column_that_holds_anything_else_is_left_to_whoever_reads_cell_by_cell(odd: Any) -> None:
    """Who knows what a word means and what to say of it."""
    assert measured([1.0, odd]) is None


@pytest.mark.parametrize("cells", [[0, 5, 2**63 - 1], [0.0, 5.0, -(2.0**63)]])
def test_whole_numbers_are_taken_exactly(cells: list[Any]) -> None:
    """At 64 bits as well."""
    found = whole_numbers(cells)
    assert found is not None
    assert (found.tolist(), found.dtype) == (cells, np.int64)


@pytest.mark.parametrize(
    "cells", [[1, None], [1, 2.0], [True, 1], [0.5], [nan], [inf], [2.0**63], [2**63], ["1"], []]
)
def test_other_steps_are_left_to_whoever_reads_cell_by_cell(cells: list[Any]) -> None:
    """Missing, mixed, no whole numbers or too large."""
    assert whole_numbers(cells) is None


def arrays(points: Mapping[int, float]) -> tuple[Steps, Column]:
    return np.array(sorted(points), dtype=np.int64), np.array(
        [points[step] for step in sorted(points)], dtype=float
    )


@given(
    st.dictionaries(
        st.sampled_from(["loss", "val_loss", "lr", "grad_norm"]),
        st.dictionaries(
            st.integers(0, 12), st.sampled_from([0.5, -1.0, nan, inf, -inf]), max_size=8
        ),
    )
)
def test_a_record_of_series_is_the_one_that_is_built_row_by_row(series: dict[str, Points]) -> None:
    """What is not finite is counted, in the order in which it came."""
    builder = Builder({"total_steps": 3}, {"name": "x"})
    for step in sorted({step for points in series.values() for step in points}):
        builder.append(
            step, {name: points[step] for name, points in series.items() if step in points}
        )
    made = record_of(
        {name: arrays(points) for name, points in series.items()},
        {"total_steps": 3},
        {"name": "x"},
        complete=False,
    )
    assert told(made) == told(builder.record(complete=False))
    assert not any(
        array.flags.writeable
        for array in (made.steps, *(table.values for table in made.tables.values()))
    )


@given(st.lists(st.tuples(st.lists(st.integers(0, 9), max_size=12), st.booleans()), max_size=8))
def test_many_points_put_at_once_are_those_put_one_by_one(
    batches: list[tuple[list[int], bool]],
) -> None:
    """Or none of them is put, where one repeats a step or goes back."""
    together, alone = (Stitcher(["loss", "lr"], bucket=5) for _ in range(2))
    step = 0
    for jumps, back in batches:
        steps = step + np.cumsum(np.array(jumps, dtype=np.int64)) - 3 * back
        at = np.arange(len(steps))
        values = {
            "loss": (at, np.sqrt(steps + 9.0)),
            "lr": (at[::2], np.where(at[::2] % 3, 1.0, nan)),
        }
        done = together.extend(steps, values)
        assert done or back or 0 in jumps
        for place, own in enumerate(steps.tolist() if done else []):
            row = {
                name: float(found[there == place][0])
                for name, (there, found) in values.items()
                if place in there
            }
            alone.add(own, row, "")
        step = max(step, *steps.tolist(), 0)
    assert together.notes() == alone.notes()
    for own, other in zip(together.series().values(), alone.series().values(), strict=True):
        np.testing.assert_array_equal(own, other)


def test_a_line_without_end_is_refused_before_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as it is as long as no line is."""
    monkeypatch.setattr(line_batches, "PIECE", 100)
    monkeypatch.setattr(line_batches, "LONGEST_LINE", 1000)
    path = written(tmp_path, '{"loss": 4.0}\n' + "x" * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match="line 2 is longer than 1000 bytes"):
            list(line_batches.batches(path))
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_only_finite_values_are_lowest_and_highest() -> None:
    """Of failures alone the first is kept."""
    kept = series.worth_keeping(np.array([[inf, 2.0, -inf, 1.0], [nan, nan, inf, nan]]))
    assert kept.tolist() == [[True, True, False, True], [True, False, False, False]]
