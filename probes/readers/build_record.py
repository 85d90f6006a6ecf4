"""Builds a Record from a log in two passes: the first finds the columns, the second reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from probes.common.arrays import distinct
from probes.readers.base import (
    Block,
    Ended,
    Format,
    Note,
    Piece,
    Resumed,
    Row,
    with_fewer_columns,
)
from probes.readers.cells import (
    Cell,
    number,
    number_or_gap,
    numbers_in,
    packed,
    sum_of,
    whole_number,
    whole_numbers_in,
)
from probes.readers.column_mapping import (
    COMPUTED_STEP,
    POSITION,
    BatchSteps,
    ColumnMapping,
    map_columns,
)
from probes.readers.column_names import BATCHES, STEP, TOTAL, normalized, objective, role
from probes.readers.column_scan import ColumnScan
from probes.readers.line_marks import LineMarks
from probes.readers.series import MAX_RESUMES, SeriesMerger, bucket_size, metric_bucket_size
from probes.readers.split_rows import with_splits_apart
from probes.record import CRASHED, Column, Record, RecordError, Steps, Table, read_only
from probes.record.metrics import Direction
from probes.record.record import measured_tables
from probes.record.signals import BY_NAME

Value = TypeVar("Value")
MAX_CELLS_KEPT = 2_500_000
"""If a log has at most this many cells, they are kept in memory between the two passes. The file of
a larger log is read twice."""
METRIC = "metric"
"""The signal whose sites are the metrics."""
METRIC_PREFIX = f"{METRIC}."
"""Stands before the site of a metric in the name of its series: `metric.accuracy`."""
MAX_DAMAGED_SHARE = 0.05
"""If at most this share of the rows is damaged, these rows are left out with a note. A larger share
is an error."""
MIN_LOST_LOSSES = 2
"""If at least this many rows at the end have a gradient norm of NaN and no loss, the program has
left out losses that were not finite."""
MEGATRON_COLUMN = "number_of_skipped_iterations"
"""The normalized name of a number that Megatron-LM prints in each row."""
MAX_SUMMARY_NOTES = 10
"""A summary row gets a note only while there are fewer notes than this."""


def build(
    form: Format,
    path: Path,
    mapping: Mapping[str, str],
    directions: Mapping[str, Direction] | None = None,
) -> Record:
    """Read a log of a known format.

    form        the format of the log
    mapping     signal -> column, as the user wants it; other columns are mapped by their names
    directions  column -> "up" or "down", for the columns that the user calls metrics

    Raises RecordError if the log is damaged or does not fit the mapping or the directions,
    UnknownSignalError if the mapping names a signal that does not exist.
    """
    scan, kept, cells = ColumnScan(), list[Piece](), 0
    for piece in _pieces(form, path):
        scan.add(piece)
        if isinstance(piece, Block):
            cells += len(piece.numbers) * len(piece.columns)
            columns_kept = {name: packed(values) for name, values in piece.columns.items()}
            piece = piece._replace(columns=columns_kept)
        elif isinstance(piece, Row):
            cells += len(piece.cells)
        kept.append(piece)
        if cells > MAX_CELLS_KEPT:
            kept.clear()
    try:
        columns = map_columns(scan, mapping, directions or {})
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error
    if scan.filled and not columns.signals:
        names = ", ".join(list(scan.filled)[:20])
        raise RecordError(
            f"{path} has no column with a known name, only {names}; "
            "map a column to a signal, for example with --map loss=COLUMN"
        )
    second_pass = _SecondPass(form, path, columns, scan)
    for piece in kept if cells <= MAX_CELLS_KEPT else _pieces(form, path):
        second_pass.add(_with_sums(piece, columns.sums))
    return second_pass.record()


def _pieces(form: Format, path: Path) -> Iterator[Piece]:
    """The pieces of a log, with the rows of training and validation in columns of their own."""
    for piece in with_fewer_columns(form.pieces(path)):
        yield with_splits_apart(piece) if isinstance(piece, Block) else piece


def _with_sums(piece: Piece, sums: Mapping[str, Sequence[str]]) -> Piece:
    """The piece with a column added for each sum whose parts are all present.

    sums  name of the column to add -> names of the columns whose sum it is
    """
    if not isinstance(piece, Block):
        return piece
    added = {}
    for name, parts in sums.items():
        if piece.columns.keys() >= set(parts):
            rows = zip(*(piece.columns[part] for part in parts), strict=True)
            added[name] = list(map(sum_of, rows))
    return piece._replace(columns={**piece.columns, **added}) if added else piece


class _SecondPass:
    """Reads the pieces of a log by its column mapping, as whole blocks where that is possible.

    form               the format of the log
    columns            which column is read as which signal
    scan               the result of the first pass
    cut                whether the log ends in the middle of a row
    last_step          the last value of the step column; None if there was none
    positions          number of points read so far, if the position of a row is its step
    rows_without_step  number of rows that have values but no step
    totals             the different planned numbers of steps that the log states, at most 2
    notes              what the user should know about single rows, one sentence each
    damaged            number of rows that cannot be read
    first_damage       why the first of them cannot be read
    ended              what the log says in words about its end
    is_resume          whether the log says that the run was resumed before the next row
    resumed_at         the steps of the rows after such places
    batches_in_epoch   the last number of batches in an epoch that the log states
    """

    def __init__(self, form: Format, path: Path, columns: ColumnMapping, scan: ColumnScan) -> None:
        self.form, self.path, self.columns, self.scan = form, path, columns, scan
        self.cut = False
        self.last_step: int | None = None
        self.positions = 0
        self.rows_without_step = 0
        self.totals: set[int] = set()
        self.notes: list[str] = []
        self.damaged = 0
        self.first_damage = ""
        self.ended: Ended | None = None
        self.is_resume = False
        self.resumed_at: set[int] = set()
        self.batches_in_epoch = 0.0
        signals = list(columns.signals.values())
        metrics = columns.metrics.sites
        self.lines = LineMarks()
        self.metrics = {column: f"{METRIC_PREFIX}{site}" for column, site in metrics.items()}
        metric_points = sum(scan.filled[column] for column in metrics)
        self.merger = SeriesMerger(
            signals,
            bucket_size(scan.points, len(signals)),
            list(self.metrics.values()),
            metric_bucket_size(metric_points),
        )

    def add(self, piece: Piece) -> None:
        if isinstance(piece, Note):
            self.notes.append(piece.text)
        elif isinstance(piece, Resumed):
            self.is_resume = self.last_step is not None or self.positions > 0
        elif isinstance(piece, Ended):
            if self.ended is None or (self.ended.reason, self.ended.step) == (CRASHED, None):
                self.ended = piece
        elif isinstance(piece, Row):
            self._add_row(piece)
        else:
            if self.columns.batches:
                piece = self._with_steps(piece, self.columns.batches)
            if self.ended:
                # A finite training loss behind the sentence shows that the run went on.
                losses = [
                    numbers_in(piece.columns.get(column, ()))
                    for column, signal in self.columns.signals.items()
                    if signal in ("loss", "train_loss")
                ]
                if any(found and np.isfinite(found[1]).any() for found in losses):
                    self.ended = None
            if not self._add_block(piece):
                for row in piece.rows():
                    self._add_row(row)

    def _with_steps(self, block: Block, batches: BatchSteps) -> Block:
        """The block with a column of steps that are computed from epochs and batches.

        A row without a batch, such as an evaluation, stands at the end of its epoch.
        """
        steps: list[float | None] = []
        for row in block.rows():
            epoch = number_or_gap(row.cells.get(batches.epoch))
            batch = number_or_gap(row.cells.get(batches.batch))
            count = number_or_gap(row.cells.get(BATCHES))
            self.batches_in_epoch = count or self.batches_in_epoch
            if epoch is None or not self.batches_in_epoch:
                steps.append(None)
            else:
                batch = self.batches_in_epoch if batch is None else batch
                steps.append((epoch - batches.first_epoch) * self.batches_in_epoch + batch)
        return block._replace(columns={**block.columns, COMPUTED_STEP: steps})

    def _add_block(self, block: Block) -> bool:
        """Add a block if all its rows have a step and its signals are numbers.

        Returns whether the block was added.
        """
        for column in self.columns.totals:
            for cell in block.columns.get(column, ()):
                self._note_total(cell)
        count = len(block.numbers)
        if self.columns.step_column is None:
            steps = np.arange(self.positions, self.positions + count)
        else:
            whole = whole_numbers_in(block.columns.get(self.columns.step_column, [None]))
            if whole is None:
                return False
            steps = whole
        values = {}
        for column, signal in self.columns.signals.items():
            if column in block.columns:
                found = numbers_in(block.columns[column])
                if found is None:
                    return False
                values[signal] = found
        for column, name in self.metrics.items():
            if column in block.columns:
                values[name] = _metric_values(block.columns[column])
        if self.merger.extend(steps, values):
            measured = np.zeros(count, dtype=bool)
            for rows, _ in values.values():
                measured[rows] = True
            self.lines.extend(steps[measured], np.asarray(block.numbers)[measured])
            if measured.any():
                self._note_resume(int(steps[measured][0]))
        else:
            self._add_numbers(block.numbers, steps, values)
        if self.columns.step_column is None:
            self.positions += count
        else:
            self.last_step = int(steps[-1])
        return True

    def _add_numbers(
        self, numbers: Sequence[int], steps: Steps, values: Mapping[str, tuple[Steps, Column]]
    ) -> None:
        """Add the rows of a block one by one, because their steps do not increase.

        numbers  the number of each row: [n]
        steps    the step of each row: [n]
        values   signal or metric -> the positions of the rows in which it was measured, and its
                 values in them: ([m], [m])
        """
        rows: list[dict[str, float]] = [{} for _ in numbers]
        for name, (places, own) in values.items():
            for place, value in zip(places.tolist(), own.tolist(), strict=True):
                rows[place][name] = value
        for line, step, row in zip(numbers, steps.tolist(), rows, strict=True):
            if row:
                self.merger.add(step, row, f"{self.form.unit} {line}")
                self.lines.add(step, line)
                self._note_resume(step)

    def _add_row(self, row: Row) -> None:
        where = f"{self.form.unit} {row.number}"
        if row.kind == "cut":
            self.cut = True
            self.notes.append(
                f"{where}: the log ends in the middle of it; values that may be cut were left out"
            )
            return
        if row.kind == "damaged":
            self._note_damage(row.error)
            return
        if row.kind != "point":
            if self.columns.counted == STEP:
                for column, cell in row.cells.items():
                    if role(column) == TOTAL:
                        self._note_total(cell)
                step_columns = (self.columns.step_column or STEP, "global_step")
                steps = map(row.cells.get, step_columns)
                self.last_step = next((step for step in steps if type(step) is int), self.last_step)
            if row.kind == "summary" and len(self.notes) < MAX_SUMMARY_NOTES:
                self.notes.append(f"{where}: it sums up the run and was left out")
            return
        for column in self.columns.totals:
            self._note_total(row.cells.get(column))
        if self.columns.step_column is None:
            step: int | None = self.positions
            self.positions += 1
        else:
            damaged = self.damaged
            step = self._checked(whole_number, row, self.columns.step_column, where)
            if self.damaged > damaged:
                return
            self.last_step = self.last_step if step is None else step
        values = {}
        for column, signal in self.columns.signals.items():
            value = self._checked(number, row, column, where)
            if value is not None:
                values[signal] = value
        for column, name in self.metrics.items():
            positions, metric_values = _metric_values([row.cells.get(column)])
            if len(positions):
                values[name] = float(metric_values[0])
        if step is None:
            self.rows_without_step += bool(values)
        elif values:
            self.merger.add(step, values, where)
            self.lines.add(step, row.number)
            self._note_resume(step)

    def _checked(
        self, read: Callable[[Cell], Value | None], row: Row, column: str, where: str
    ) -> Value | None:
        """What a cell holds. None if nothing was measured or the cell is damaged."""
        cell = row.cells.get(column)
        try:
            return read(cell)
        except ValueError as error:
            self._note_damage(
                f"{self.path}, {where}: column {column!r:.60} holds {cell!r:.60}; {error}"
            )
            return None

    def _note_damage(self, error: str) -> None:
        self.damaged += 1
        self.first_damage = self.first_damage or error

    def _note_resume(self, step: int) -> None:
        if self.is_resume and len(self.resumed_at) < MAX_RESUMES:
            self.resumed_at.add(step)
        self.is_resume = False

    def _note_total(self, cell: Cell) -> None:
        # If two totals differ, none of them is used, so a third one need not be kept.
        if isinstance(cell, int | float) and 0 < cell < 2**63 and len(self.totals) < 2:
            self.totals.add(int(cell))

    def record(self) -> Record:
        """The record, with a description of how the log was read in its provenance.

        Raises RecordError if more than MAX_DAMAGED_SHARE of the rows are damaged.
        """
        if self.damaged > MAX_DAMAGED_SHARE * self.scan.points:
            raise RecordError(self.first_damage)
        series = self.merger.series()
        self._drop_skipped_validations(series)
        self._add_lost_losses(series)
        if self.damaged:
            first = self.first_damage.removeprefix(f"{self.path}, ")
            self.notes.append(f"{self.damaged} damaged rows were left out; the first: {first}")
        if self.ended:
            self.notes.append(f"the log says that the run died: {self.ended.sentence}")
        if self.rows_without_step:
            self.notes.append(
                f"{self.rows_without_step} rows have values but no "
                f"{self.columns.step_column!r:.60}; they were left out"
            )
        reader = {
            "format": self.form.name,
            "step": self.columns.step_column or POSITION,
            "mapped": {**self.columns.signals, **dict.fromkeys(self.metrics, METRIC)},
            "ignored": list(self.columns.ignored),
            "stitched": [*self.columns.notes, *self.merger.notes(), *self.notes],
        }
        # The planned total is used only if the log states a single one and no step exceeds it.
        total = next(iter(self.totals)) if len(self.totals) == 1 else None
        if total is not None and self.last_step is not None and self.last_step > total:
            total = None
        facts = {
            "total_steps": total,
            "objective": objective(self.scan.filled),
            "metric_direction": dict(self.columns.metrics.directions) or None,
            "ended": self.ended._asdict() if self.ended else None,
            "resumed_at": sorted({*self.merger.resumed_at, *self.resumed_at})[:MAX_RESUMES] or None,
        }
        facts = {name: value for name, value in facts.items() if value is not None}
        # Steps may be counted from 0 or from 1, so the last step is total - 1 or total.
        ended = total is None or self.last_step is None or self.last_step >= total - 1
        complete = ended and not self.cut and not self.ended
        provenance: dict[str, Any] = {"reader": reader}
        if self.form.unit == "line" and self.lines.stretches and not self.merger.was_resumed:
            provenance["lines"] = {"stretches": self.lines.stretches}
        return record_of(series, facts, provenance, complete)

    def _drop_skipped_validations(self, series: dict[str, tuple[Steps, Column]]) -> None:
        """Drop the validation losses that are 0 because no validation was run.

        Programs such as Ultralytics write 0 until the first validation.
        """
        steps, values = series.get("val_loss", (np.empty(0, np.int64), np.empty(0)))
        losses = series.get("loss", (steps, np.zeros(1)))[1]
        measured = np.flatnonzero(values)
        is_sum = any(
            signal == "val_loss" and column in self.columns.sums
            for column, signal in self.columns.signals.items()
        )
        skipped = int(measured[0]) if len(measured) else len(values) * is_sum
        if skipped and (losses != 0).all():
            series["val_loss"] = steps[skipped:], values[skipped:]
            self.notes.append(
                f"the validation loss is exactly 0 in the first {skipped} rows, which means that "
                "no validation was run; they were left out"
            )

    def _add_lost_losses(self, series: dict[str, tuple[Steps, Column]]) -> None:
        """Read the training loss as NaN in rows that have no loss and a gradient norm of NaN.

        Megatron-LM does not print a loss that is not finite, but prints the rest of the row. An
        excerpt of its log may therefore have no loss at all.
        """
        none = np.empty(0, dtype=np.int64), np.empty(0)
        steps, losses = series.get("loss", none)
        norm_steps, norms = series.get("grad_norm", none)
        is_megatron = any(normalized(name) == MEGATRON_COLUMN for name in self.scan.filled)
        if not len(steps) and not is_megatron:
            return
        after = norm_steps > (steps[-1] if len(steps) else -1)
        if after.sum() >= MIN_LOST_LOSSES and np.isnan(norms[after]).all():
            lost = norm_steps[after]
            series["loss"] = (
                np.concatenate([steps, lost]),
                np.append(losses, np.full(len(lost), np.nan)),
            )
            self.notes.append(
                f"from step {lost[0]} on, the rows have no loss and their gradient norm is NaN; "
                "the loss was read as NaN, because some programs leave out a loss that is not "
                "finite"
            )


def _metric_values(cells: Sequence[Cell]) -> tuple[Steps, Column]:
    """The positions of the finite numbers in a column of a metric, and the numbers: ([n], [n]).

    All other cells mean "not measured". A metric that is not a number could not be computed (an AUC
    without an example of one class), which is no fault of the run.
    """
    found = numbers_in(cells) or numbers_in([number_or_gap(cell) for cell in cells])
    assert found
    positions, values = found
    finite = np.isfinite(values)
    return positions[finite], values[finite]


def record_of(
    series: Mapping[str, tuple[Steps, Column]],
    facts: Mapping[str, Any],
    provenance: Mapping[str, Any],
    complete: bool,
) -> Record:
    """A record of signals with one value per step.

    series      signal -> its increasing steps and its values: ([n], [n]); n may differ by signal.
                A metric is named `metric.` and its site.
    facts       the facts about the run, such as `total_steps`
    provenance  where the record comes from and how it was read
    complete    whether the run reached its planned end and the log is not cut

    A value that is not finite is also counted in `nonfinite_count`, because NaN in a table means
    "not measured".
    """
    all_steps = [np.empty(0, dtype=np.int64), *(own_steps for own_steps, _ in series.values())]
    steps = distinct(np.concatenate(all_steps))
    tables = {}
    metrics = [name for name in series if name.startswith(METRIC_PREFIX)]
    metric_values = np.full((len(steps), len(metrics)), np.nan)
    for name, (own_steps, values) in series.items():
        rows = np.searchsorted(steps, own_steps)
        if name in metrics:
            metric_values[rows, metrics.index(name)] = values
        else:
            column = np.full((len(steps), 1), np.nan)
            column[rows, 0] = values
            tables[name] = Table(("",), read_only(column))
    sites_of_metrics = tuple(name.removeprefix(METRIC_PREFIX) for name in metrics)
    tables[METRIC] = Table(sites_of_metrics, metric_values)
    lost = {name: own_steps[~np.isfinite(values)] for name, (own_steps, values) in series.items()}
    sites = sorted((name for name in lost if len(lost[name])), key=lambda name: lost[name][0])
    counts = np.full((len(steps), len(sites)), np.nan)
    for place, name in enumerate(sites):
        counts[np.searchsorted(steps, lost[name]), place] = 1.0
    tables["nonfinite_count"] = Table(tuple(sites), read_only(counts))
    measured = measured_tables({name: tables[name] for name in BY_NAME if name in tables})
    return Record(dict(facts), read_only(steps), measured, dict(provenance), complete)
