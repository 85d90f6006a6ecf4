"""From the rows of a log to a Record, in two passes: what columns there are, then what they
hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from probes.readers.base import (
    Block,
    Cell,
    Format,
    Piece,
    Row,
    measured,
    number,
    summarises,
    whole,
    whole_numbers,
    with_sums,
)
from probes.readers.column_mapping import POSITION, Plan, plan
from probes.readers.column_names import STEP, TOTAL, objective, role
from probes.readers.column_scan import Survey
from probes.readers.series import MOST_NOTES, Stitcher, bucket_for
from probes.record import Column, Record, RecordError, Steps, Table
from probes.record.signals import BY_NAME

KEPT = 1_000_000
"""Cells of a log that are kept from the first pass for the second: a file that is larger is read
twice."""


def build(form: Format, path: Path, mapping: Mapping[str, str]) -> Record:
    """Read a log of a known format. Raises RecordError where it is damaged, or when the mapping
    does not fit it."""
    survey, kept, size = Survey(), list[Piece](), 0
    for piece in form.pieces(path):
        survey.see(piece)
        size += (
            len(piece.numbers) * len(piece.columns)
            if isinstance(piece, Block)
            else len(piece.cells)
        )
        if size <= KEPT:
            kept.append(piece.packed() if isinstance(piece, Block) else piece)
        else:
            kept.clear()
    made = _planned(path, survey, mapping)
    reading = _Reading(form, path, made, survey)
    for piece in kept if size <= KEPT else form.pieces(path):
        reading.take(with_sums(piece, made.sums))
    return reading.record()


def _planned(path: Path, survey: Survey, mapping: Mapping[str, str]) -> Plan:
    try:
        made = plan(survey, mapping)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error
    if survey.filled and not made.signals:
        columns = ", ".join(list(survey.filled)[:20])
        raise RecordError(
            f"{path} has no column that is known here, only {columns}; name one, as --map loss=COLUMN"
        )
    return made


@dataclass
class _Reading:
    """The second pass: every row by the plan, many at once where nothing is to be said of any of
    them."""

    form: Format
    path: Path
    plan: Plan
    survey: Survey
    cut: bool = False
    last: int | None = None
    position: int = 0
    without_step: int = 0
    totals: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        signals = list(self.plan.signals.values())
        self.stitcher = Stitcher(signals, bucket_for(self.survey.points, len(signals)))

    def take(self, piece: Piece) -> None:
        """Take in some rows."""
        if not isinstance(piece, Block):
            self._take(piece)
        elif not self._take_at_once(piece):
            for row in piece.rows():
                self._take(row)

    def _take_at_once(self, block: Block) -> bool:
        """Take in a block whose rows all have a step and only numbers, in order; whether it is
        one."""
        for column in self.plan.totals:
            for cell in block.columns.get(column, ()):
                self._note_total(cell)
        axis, count = self.plan.axis, len(block.numbers)
        if axis is None:
            steps = np.arange(self.position, self.position + count)
        elif (whole := whole_numbers(block.columns.get(axis, [None]))) is not None:
            steps = whole
        else:
            return False
        there = {
            signal: block.columns[name]
            for name, signal in self.plan.signals.items()
            if name in block.columns
        }
        values = {
            signal: found
            for signal, cells in there.items()
            if (found := measured(cells)) is not None
        }
        if len(values) < len(there) or not self.stitcher.extend(steps, values):
            return False
        if axis is None:
            self.position += count
        else:
            self.last = int(steps[-1])
        return True

    def _take(self, row: Row) -> None:
        where = f"{self.form.unit} {row.number}"
        if row.kind == "cut":
            self.cut = True
            self.notes.append(f"{where}: the log ends within it; it was left out")
            return
        self._state(row)
        if row.kind == "summary":
            if summarises(row.cells) and len(self.notes) < MOST_NOTES:
                self.notes.append(f"{where}: it sums up the run and was left out")
            return
        step = self._step(row, where)
        values = dict(self._values(row, where))
        if step is None:
            self.without_step += bool(values)
        else:
            self.stitcher.add(step, values, where)

    def record(self) -> Record:
        """What was read, with how it was read in its provenance."""
        total, series = self._total(), self.stitcher.series()
        if self.without_step:
            self.notes.append(
                f"{self.without_step} rows have values but no {self.plan.axis!r:.60}; they were left out"
            )
        reader = {
            "format": self.form.name,
            "step": self.plan.axis or POSITION,
            "mapped": dict(self.plan.signals),
            "ignored": list(self.plan.ignored),
            "stitched": [*self.plan.notes, *self.stitcher.notes(), *self.notes],
        }
        stated = {"total_steps": total, "objective": objective(self.survey.filled)}
        facts = {name: value for name, value in stated.items() if value is not None}
        # Steps may be counted from 0 or from 1.
        reached = total is None or self.last is None or self.last >= total - 1
        return record_of(series, facts, {"reader": reader}, complete=reached and not self.cut)

    def _step(self, row: Row, where: str) -> int | None:
        if self.plan.axis is None:
            self.position += 1
            return self.position - 1
        step: int | None = self._checked(whole, row, self.plan.axis, where)
        self.last = step if step is not None else self.last
        return step

    def _values(self, row: Row, where: str) -> Iterator[tuple[str, float]]:
        for column, signal in self.plan.signals.items():
            value = self._checked(number, row, column, where)
            if value is not None:
                yield signal, value

    def _checked(self, reads: Any, row: Row, column: str, where: str) -> Any:
        cell: Cell = row.cells.get(column)
        try:
            return reads(cell)
        except ValueError as error:
            raise RecordError(
                f"{self.path}, {where}: column {column!r:.60} holds {cell!r:.60}; {error}"
            ) from error

    def _state(self, row: Row) -> None:
        """Note the planned total that a row states, and the step that a summary was written at."""
        if self.plan.axis is None or self.plan.axis_role != STEP:
            return
        summary = row.kind == "summary"
        for column in row.cells if summary else self.plan.totals:
            if role(column) == TOTAL:
                self._note_total(row.cells.get(column))
        if summary:
            steps = [row.cells.get(name) for name in (self.plan.axis, "global_step")]
            self.last = next((step for step in steps if type(step) is int), self.last)

    def _note_total(self, cell: Cell) -> None:
        # Two that differ are as good as any number of them: neither is the plan.
        if isinstance(cell, int | float) and 0 < cell < 2**63 and len(self.totals) < 2:
            self.totals.add(int(cell))

    def _total(self) -> int | None:
        """The planned total, when the log states one and the same throughout and its steps do not
        pass it."""
        if len(self.totals) != 1:
            return None
        (total,) = self.totals
        return total if self.last is None or self.last <= total else None


COUNT = "nonfinite_count"


def record_of(
    series: Mapping[str, tuple[Steps, Column]],
    facts: Mapping[str, Any],
    provenance: Mapping[str, Any],
    complete: bool,
) -> Record:
    """A record of signals that are one number for the whole run: signal -> increasing steps,
    values, ([n], [n])."""
    steps = np.unique(
        np.concatenate([np.empty(0, dtype=np.int64), *(own for own, _ in series.values())])
    )
    tables = {name: _table(steps, *points) for name, points in series.items()}
    tables[COUNT] = _counts(steps, series)
    measured = {
        name: tables[name]
        for name in BY_NAME
        if name in tables and not np.isnan(tables[name].values).all()
    }
    return Record(dict(facts), _frozen(steps), measured, dict(provenance), complete)


def _table(steps: Steps, own: Steps, values: Column) -> Table:
    column = np.full((len(steps), 1), np.nan)
    column[np.searchsorted(steps, own), 0] = values
    return Table(("",), _frozen(column))


def _counts(steps: Steps, series: Mapping[str, tuple[Steps, Column]]) -> Table:
    """1 at every value that is not finite, since NaN in a column says not measured; the first to
    fail comes first."""
    lost = {name: own[~np.isfinite(values)] for name, (own, values) in series.items()}
    names = sorted((name for name in lost if len(lost[name])), key=lambda name: lost[name][0])
    counts = np.full((len(steps), len(names)), np.nan)
    for place, name in enumerate(names):
        counts[np.searchsorted(steps, lost[name]), place] = 1.0
    return Table(tuple(names), _frozen(counts))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
