"""Decides which column of a log is read as which signal, and what counts the steps.

The decision is made once for each log, after the first pass over its columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import NamedTuple

from probes.common.text import did_you_mean
from probes.readers.column_names import (
    BATCH,
    BATCHES,
    EPOCH,
    NAMES,
    STEP,
    TOTAL,
    loss_parts,
    normalized,
    rank,
    role,
)
from probes.readers.column_scan import ColumnScan
from probes.readers.metric_columns import MetricColumns, metric_columns
from probes.record import RecordError
from probes.record.metrics import Direction
from probes.record.signals import signal_named

POSITION = "position"
COMPUTED_STEP = "epoch and batch"
"""The name of the column of steps that are computed from epochs and batches."""


class BatchSteps(NamedTuple):
    """The columns from which the steps are computed if each epoch counts its batches anew.

    The step of batch i of n in an epoch is (epoch - first_epoch) * n + i.

    epoch        the column of the epoch
    batch        the column of i
    first_epoch  the number of the first epoch of a run: 0 or 1
    """

    epoch: str
    batch: str
    first_epoch: int


class ColumnMapping(NamedTuple):
    """How the columns of one log are read.

    step_column  the column that counts the steps; None if the position of a row is its step
    counted      what is counted: "step", "epoch" or "position"
    signals      column -> signal
    metrics      the columns that are read as metrics
    totals       the columns that state how many steps are planned
    ignored      the other columns
    sums         name of a column to add -> the columns whose sum it is, for a loss logged in parts
    batches      how the steps are computed if each epoch counts its batches anew, else None
    notes        what the user should know about these choices, one sentence each
    """

    step_column: str | None
    counted: str
    signals: Mapping[str, str]
    metrics: MetricColumns
    totals: tuple[str, ...]
    ignored: tuple[str, ...]
    sums: Mapping[str, tuple[str, ...]]
    batches: BatchSteps | None
    notes: tuple[str, ...]


def mapping_of(pairs: Iterable[str]) -> dict[str, str]:
    """The mapping signal -> column that is given by texts of the form SIGNAL=COLUMN.

    Raises RecordError for a text of another form, for a signal that is given twice and for a signal
    with several values per step; UnknownSignalError, which suggests similar names, for a signal
    that does not exist.
    """
    mapping: dict[str, str] = {}
    for pair in pairs:
        signal, equals, column = pair.partition("=")
        if not (signal and equals and column):
            raise RecordError(
                f"{pair!r:.60} is not of the form SIGNAL=COLUMN, such as val_loss=my_metric"
            )
        if signal in mapping:
            raise RecordError(
                f"{signal} is given two columns, {mapping[signal]!r:.60} and {column!r:.60}"
            )
        _check_signal(signal)
        mapping[signal] = column
    return mapping


def how_it_was_read(reader: object, columns: bool) -> list[str]:
    """Lines that tell the user how a log was read.

    reader   the entry "reader" of a record's provenance. A record may come from anywhere, so this
             may be of any type; parts of an unexpected type are left out.
    columns  whether to list the format and the columns, mapped and ignored, before the notes
    """
    if not isinstance(reader, Mapping):
        return []
    lines = []
    if columns:
        mapped, ignored = reader.get("mapped"), reader.get("ignored")
        pairs = mapped.items() if isinstance(mapped, Mapping) else ()
        others = ", ".join(map(str, ignored)) if isinstance(ignored, list) else ""
        lines = [
            f"format: {reader.get('format')}; steps: {reader.get('step')}",
            *(f"{column} -> {signal}" for column, signal in pairs),
            f"ignored: {others or 'nothing'}",
        ]
    notes = reader.get("stitched")
    return lines + [f"note: {note}" for note in (notes if isinstance(notes, list) else [])]


def map_columns(
    scan: ColumnScan, mapping: Mapping[str, str], directions: Mapping[str, Direction]
) -> ColumnMapping:
    """Decide how every column is read.

    scan        the result of the first pass
    mapping     signal -> column, from the user; it takes precedence over the table of names
    directions  column -> "up" or "down", for the columns that the user calls metrics

    Raises UnknownSignalError for a signal that does not exist, RecordError for a signal with
    several values per step, for a column that the log does not have and for a column that cannot be
    a metric.
    """
    given: dict[str, str] = {}
    for signal, column in mapping.items():
        _check_signal(signal)
        if column not in scan.filled:
            names = list(scan.filled)
            has = f"it has {', '.join(names[:20]) or 'no columns'}"
            hint = did_you_mean(column, names, otherwise=has)
            raise RecordError(
                f"the log has no column {column!r:.60}, which the mapping names ({hint})"
            )
        given[column] = signal
    free = [column for column in scan.filled if column in scan.numeric and column not in given]
    given_step = next((column for column, signal in given.items() if signal == STEP), None)
    step_column, counted = _step_column(free, scan)
    if given_step is not None:
        step_column, counted = given_step, STEP
    batches = _batch_steps(free, scan) if step_column is None else None
    if batches:
        step_column, counted = COMPUTED_STEP, STEP
    signals = {column: signal for column, signal in given.items() if signal != STEP}
    signals |= _signals_by_name(free, signals)
    sums = {}
    if not {"loss", "train_loss"} & set(signals.values()) and loss_parts(free, "train"):
        for signal, split in (("loss", "train"), ("val_loss", "val")):
            parts = tuple(loss_parts(free, split))
            if parts and signal not in signals.values():
                sum_column = " + ".join(parts)
                signals[sum_column] = signal
                if len(parts) > 1:
                    sums[sum_column] = parts
    totals = tuple(column for column in free if role(column) == TOTAL) if counted == STEP else ()
    used = dict(signals) | dict.fromkeys(totals, TOTAL)
    used |= {part: f"a part of {signals[name]}" for name, parts in sums.items() for part in parts}
    used |= {} if step_column is None else {step_column: STEP}
    used |= {batches.epoch: EPOCH, batches.batch: STEP} if batches else {}
    metrics = metric_columns(scan, used, directions)
    ignored = tuple(
        column
        for column in scan.filled
        if column not in used and column not in metrics.sites and column not in (BATCH, BATCHES)
    )
    counted_things = {STEP: "steps", EPOCH: "epochs", POSITION: "rows"}[counted]
    why_rows_are_counted = [
        f"{column!r:.60} {reason}, so {counted_things} are counted instead"
        for column in free
        if counted != STEP and role(column) == STEP and (reason := scan.why_not_steps(column))
    ]
    notes = (
        *why_rows_are_counted[:1],
        *_notes_on_runs(signals, [column for column in ignored if column in scan.numeric]),
        *(
            f"{signals[column]} is logged in parts; their sum was read: {', '.join(parts)}"
            for column, parts in sums.items()
        ),
        *([metrics.note] if metrics.note else []),
    )
    return ColumnMapping(
        step_column, counted, signals, metrics, totals, ignored, sums, batches, notes
    )


def _step_column(free: list[str], scan: ColumnScan) -> tuple[str | None, str]:
    """The column that counts the steps, and what it counts.

    The first of these that the log has counts the steps:
    - a column that is named like a step. Of several, those that change in most rows are preferred,
      and of these the one with the most values
    - a column of epochs, if they can count the steps
    - the batch of a progress bar, if it rises through the whole run
    - the positions of the rows
    """
    candidates = [column for column in free if scan.why_not_steps(column) is None]
    ranked = [
        (scan.repeats_often(column), -scan.filled[column], place, column)
        for column in candidates
        if (place := rank(column, STEP)) is not None
    ]
    if ranked:
        return min(ranked)[3], STEP
    epochs = [column for column in free if role(column) == EPOCH]
    if epochs and scan.epochs_can_count:
        return epochs[0], EPOCH
    batch = scan.step_columns.get(BATCH)
    if batch and batch.rows == scan.loss_rows and batch.counts_the_run:
        return BATCH, STEP
    return None, POSITION


def _batch_steps(free: Iterable[str], scan: ColumnScan) -> BatchSteps | None:
    """How to compute steps from epochs and the batches in them; None if the log lacks either."""
    epochs = [column for column in free if role(column) == EPOCH]
    for column, found in scan.step_columns.items():
        is_complete = found.rows == scan.loss_rows and BATCHES in scan.filled
        restarts = found.is_bar_of_epoch if column == BATCH else found.restarts_each_epoch
        if epochs and is_complete and restarts and scan.first_epoch < inf:
            return BatchSteps(epochs[0], column, 0 if scan.first_epoch <= 0 else 1)
    return None


def _signals_by_name(free: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    """Column -> signal by the table of names, for the signals that the user did not map."""
    found: dict[str, str] = {}
    for signal in NAMES:
        if signal in (STEP, EPOCH, TOTAL) or signal in given.values():
            continue
        ranked = [
            (place, column)
            for column in free
            if column not in found and (place := rank(column, signal)) is not None
        ]
        if ranked:
            found[min(ranked, key=lambda pair: pair[0])[1]] = signal
    return found


def _notes_on_runs(signals: Mapping[str, str], ignored: Iterable[str]) -> Iterator[str]:
    """Notes on tables with one column per run: which run was read, and how to read another.

    The names of such columns differ only in their prefix, the name of the run.
    """
    same_name: dict[str, list[str]] = {}
    for column in ignored:
        same_name.setdefault(normalized(column), []).append(column)
    for column, signal in signals.items():
        if others := same_name.get(normalized(column)):
            from shlex import quote  # rarely needed and slow to import

            yield (
                f"of {len(others) + 1} columns for {signal}, only {column!r:.60} was read; "
                f"read another with --map {signal}={quote(others[0])[:60]}"
            )


def _check_signal(signal: str) -> None:
    if signal != STEP and signal_named(signal).scope != "run":
        raise RecordError(
            f"signal {signal!r} has one value per {signal_named(signal).scope}; "
            "a column can only be mapped to a signal with one value per step"
        )
