"""Which column of a log is read as which signal, and what counts its steps: decided once, after the
survey."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from probes.readers.column_names import EPOCH, NAMES, STEP, TOTAL, parts, plain, rank, role
from probes.readers.column_scan import Survey
from probes.record import RecordError
from probes.record.signals import known

POSITION = "position"


@dataclass(frozen=True)
class Plan:
    """How the columns of one log are read.

    axis       the column that counts steps; None: the row's position does
    axis_role  what is counted: step, epoch or position
    signals    column -> signal
    totals     columns that state how many steps were planned
    ignored    the other columns
    notes      what a reader has to know of these choices, in sentences
    sums       columns that are the sum of others, as a loss that is logged in parts -> those
    """

    axis: str | None
    axis_role: str
    signals: Mapping[str, str]
    totals: tuple[str, ...]
    ignored: tuple[str, ...]
    notes: tuple[str, ...] = ()
    sums: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def mapping_of(pairs: Iterable[str]) -> dict[str, str]:
    """Signal -> column, of pairs written SIGNAL=COLUMN.

    Raises RecordError for what is no such pair or comes twice, and for a signal that no column can
    be; UnknownSignalError, with the nearest names, for one that is not in the table."""
    mapping: dict[str, str] = {}
    for pair in pairs:
        signal, equals, column = pair.partition("=")
        if not (signal and equals and column):
            raise RecordError(f"{pair!r:.60} is no SIGNAL=COLUMN, as val_loss=my_metric")
        if signal in mapping:
            raise RecordError(
                f"{signal} is given two columns, {mapping[signal]!r:.60} and {column!r:.60}"
            )
        if _mappable(signal):
            mapping[signal] = column
    return mapping


def how_it_was_read(reader: object, columns: bool) -> list[str]:
    """What to tell of a log: what was done to its steps always, which column became which signal
    when asked for.

    `reader` is what stands in a record's provenance, which may be anything in a record that
    somebody else wrote."""
    if not isinstance(reader, Mapping):
        return []
    lines = []
    if columns:
        mapped, ignored = reader.get("mapped"), reader.get("ignored")
        lines = [f"format: {reader.get('format')}; steps: {reader.get('step')}"]
        lines += [
            f"{column} -> {signal}"
            for column, signal in (mapped if isinstance(mapped, Mapping) else {}).items()
        ]
        lines += [
            f"ignored: {', '.join(map(str, ignored)) if ignored and isinstance(ignored, list) else 'nothing'}"
        ]
    stitched = reader.get("stitched")
    return [
        *lines,
        *(f"note: {sentence}" for sentence in (stitched if isinstance(stitched, list) else [])),
    ]


def plan(survey: Survey, mapping: Mapping[str, str]) -> Plan:
    """Decide on every column, those of the caller's mapping (signal -> column) first.

    Raises UnknownSignalError for a signal that is not in the table, RecordError for one that has a
    value per layer or the like, and for a column that the log does not have."""
    taken = {
        _column(column, survey.filled): signal
        for signal, column in mapping.items()
        if _mappable(signal)
    }
    free = [column for column in survey.filled if column in survey.numeric and column not in taken]
    axis, counted = _axis(
        {signal: column for column, signal in taken.items()}.get(STEP), free, survey
    )
    signals = {column: signal for column, signal in taken.items() if signal != STEP}
    for signal, patterns in NAMES:
        if signal in (STEP, EPOCH, TOTAL) or signal in signals.values():
            continue
        ranked = [(fits, column) for column in free if (fits := rank(column, patterns)) is not None]
        left = [pair for pair in ranked if pair[1] not in signals]
        if left:
            signals[min(left, key=lambda pair: pair[0])[1]] = signal
    sums = {} if {"loss", "train_loss"} & set(signals.values()) else _sums(free)
    signals |= {
        column: signal for column, (signal, _) in sums.items() if signal not in signals.values()
    }
    summed = {column: of for column, (_, of) in sums.items() if column in signals}
    totals = tuple(column for column in free if role(column) == TOTAL) if counted == STEP else ()
    ignored = tuple(c for c in survey.filled if c not in signals and c != axis and c not in totals)
    ignored = tuple(column for column in ignored if not any(column in of for of in summed.values()))
    notes = (
        *_of_epochs(free, counted, survey),
        *_of_runs(signals, [c for c in ignored if c in free]),
    )
    notes += tuple(
        f"{signals[column]} is logged in parts, whose sum was read: {', '.join(of)}"
        for column, of in summed.items()
    )
    return Plan(axis, counted, signals, totals, ignored, notes, summed)


def _sums(free: Iterable[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Of a log whose loss comes in parts alone: what to call their sum -> the signal it is, and the
    parts."""
    found = {}
    for signal, split in (("loss", "train"), ("val_loss", "val")):
        if of := parts(free, split):
            found[" + ".join(of)] = (signal, tuple(of))
    return found if "loss" in {signal for signal, _ in found.values()} else {}


def _of_epochs(free: Iterable[str], counted: str, survey: Survey) -> Iterator[str]:
    why = dict.fromkeys(survey.in_fractions, "holds fractions")
    why |= dict.fromkeys(survey.within_epoch, "begins again in every epoch")
    why |= dict.fromkeys(survey.unchanging, "is the same in every row")
    found = [column for column in free if column in why]
    if found and counted == POSITION:
        yield f"{found[0]!r:.60} {why[found[0]]}, so it is the rows that are counted"


def _of_runs(signals: Mapping[str, str], ignored: Iterable[str]) -> Iterator[str]:
    """Of columns that are called as one that was taken, as in a table that holds a column for each
    of several runs."""
    named: dict[str, list[str]] = {}
    for column in ignored:
        named.setdefault(plain(column), []).append(column)
    for column, signal in signals.items():
        if left := named.get(plain(column)):
            yield (
                f"of {len(left) + 1} columns for {signal} only {column!r:.60} was read; another run's is read by "
                f"--map {signal}={shlex.quote(left[0])[:60]}"
            )


def _axis(given: str | None, free: list[str], survey: Survey) -> tuple[str | None, str]:
    """The column that counts steps: the fullest of that name, or epochs that can."""
    if given is not None:
        return given, STEP
    patterns = dict(NAMES)
    able = [
        column
        for column in free
        if column not in survey.within_epoch | survey.in_fractions | survey.unchanging
    ]
    counters = [
        (-survey.filled[c], fits, c) for c in able if (fits := rank(c, patterns[STEP])) is not None
    ]
    if counters:
        return min(counters)[2], STEP
    epochs = [column for column in free if role(column) == EPOCH]
    return (epochs[0], EPOCH) if epochs and survey.epoch_is_step else (None, POSITION)


def _mappable(signal: str) -> bool:
    if signal != STEP and known(signal).scope != "run":
        raise RecordError(
            f"signal {signal!r} has one value per {known(signal).scope}; a column can only be a signal of the whole run"
        )
    return True


def _column(column: str, columns: Iterable[str]) -> str:
    """The column of that name. Raises RecordError with the nearest ones when the log has none."""
    names = list(columns)
    if column in names:
        return column
    near = difflib.get_close_matches(column, names, n=2, cutoff=0.5) or names[:20]
    raise RecordError(
        f"the log has no column {column!r:.60}; it has {', '.join(near) or 'none at all'}: check --map"
    )
