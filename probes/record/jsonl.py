"""Reads a record back from the bytes of its file, which may end anywhere (`docs/record.md`
specifies the lines)."""

from __future__ import annotations

import gc
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from probes.record.builder import RUN, Builder, positions
from probes.record.record import EXACT, NONFINITE, Column, Record, RecordError, Steps, Stop, Table
from probes.record.signals import BY_NAME, known

SCHEMA = 1
MAGIC = b'{"probes_record":'
"""How every record begins, so that a file cut within its first line is still recognised."""

Json = Any


def numbers_for_strings(value: Json) -> Json:
    """JSON's stand-ins for the values it lacks, as those values: the inverse of what
    `probes.recording.recorder.encode` does."""
    if isinstance(value, dict):
        return {key: numbers_for_strings(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [numbers_for_strings(inner) for inner in value]
    return float(value) if isinstance(value, str) and value in NONFINITE else value


def load(path: str | Path) -> Record:
    """Read a record; of a file cut off anywhere, the steps whose lines are whole, marked
    incomplete.

    Raises RecordError when the file is not a record, is of a newer schema, or holds a line that is
    damaged rather than cut off; OSError when it cannot be opened."""
    with open(path, "rb") as file:
        return parse(file.read(), str(path))


def parse(data: bytes, where: str) -> Record:
    """The lines of a record, the last of which may be cut."""
    lines = data.split(b"\n")
    if not _is_json(lines[-1]):
        tail = lines.pop()
        if not lines:
            if tail.startswith(MAGIC) or MAGIC.startswith(tail):
                return Builder({}, {}).record(complete=False)
            raise _not_a_record(where)
    header = _header(lines[0], where)
    if (plain := by_column(lines[1:], header["facts"], header["provenance"])) is not None:
        return plain
    builder = Builder(header["facts"], header["provenance"])
    layouts: dict[str, list[str]] = {}
    end = None
    for number, line in enumerate(lines[1:], start=2):
        try:
            if end is not None:
                raise RecordError("there is a line after the end")
            end = _read_line(json.loads(line), builder, layouts)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RecordError(f"{where}, line {number} is damaged: {error}") from error
    end = end or {}
    return builder.record(bool(end.get("complete")), _stop(end.get("stopped"), where))


def _header(line: bytes, where: str) -> dict[str, Json]:
    try:
        header = json.loads(line)
        version = header["probes_record"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_a_record(where) from error
    if type(version) is not int or version < 1:
        raise RecordError(
            f"{where}, line 1: schema {version!r:.60}; it must be a whole number from 1 to {SCHEMA}"
        )
    if version > SCHEMA:
        raise RecordError(
            f"{where} is of record schema {version}; this version reads up to {SCHEMA}: upgrade probes"
        )
    for part in ("facts", "provenance"):
        if not isinstance(header.setdefault(part, {}), dict):
            raise RecordError(
                f"{where}, line 1: {part} is {header[part]!r:.60}; it must be an object"
            )
    return {**header, "facts": numbers_for_strings(header["facts"])}


def _not_a_record(where: str) -> RecordError:
    return RecordError(
        f"{where} is not a record: it must begin with {MAGIC.decode()} and a schema version"
    )


def _read_line(
    line: Json, builder: Builder, layouts: dict[str, list[str]]
) -> dict[str, Json] | None:
    """Take in one line: a row, the sites that lists of values follow from here on, or the end
    (returned)."""
    if not isinstance(line, dict):
        raise RecordError(f"it is {line!r:.60}; it must be an object")
    if "step" in line:
        step = line.pop("step")
        builder.append(
            step, {name: _by_site(name, reading, layouts) for name, reading in line.items()}
        )
        return None
    if "sites" in line:
        layouts.update({name: layout(name, sites) for name, sites in dict(line["sites"]).items()})
        return None
    if "end" in line:
        return dict(line["end"])
    raise RecordError(f"it holds neither step, sites nor end, but {sorted(line)!r:.200}")


def _by_site(name: str, reading: Json, layouts: Mapping[str, list[str]]) -> Json:
    if not isinstance(reading, list) or name not in layouts:
        return reading
    if len(reading) != len(layouts[name]):
        raise RecordError(f"{name} has {len(reading)} values; its sites are {len(layouts[name])}")
    return dict(zip(layouts[name], reading, strict=True))


def _stop(entry: Json, where: str) -> Stop | None:
    """Why the run was ended early, as its last line says it; None when it says nothing of the
    kind."""
    if entry is None:
        return None
    if isinstance(entry, dict):
        step, total, cause = (entry.get(key) for key in ("step", "total_steps", "cause"))
        if (
            type(step) is int
            and (total is None or (type(total) is int and total > 0))
            and isinstance(cause, str)
        ):
            return Stop(step, total, cause)
    raise RecordError(
        f"{where}: its end says stopped {entry!r:.100}; it must be an object of step, total_steps, cause"
    )


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


TOGETHER = 256
"""Rows that are made into arrays at a time."""


class OddError(ValueError):
    """A line that has to be looked at."""


class Columns:
    """What the lines so far hold: the steps, and of each signal in which rows it was read, and
    what.

    Rows that hold the same signals are gathered, and made into arrays before there are many: what
    is still in the processor's cache is not fetched again."""

    def __init__(self) -> None:
        self.steps: list[Json] = []
        self.layouts: dict[str, tuple[str, ...]] = {}
        self.end: Mapping[str, Json] | None = None
        self._waiting: dict[tuple[str, ...], tuple[list[int], list[tuple[Json, ...]]]] = {}
        self._blocks: dict[str, list[tuple[list[int], Column]]] = {}

    def take(self, line: dict[str, Json]) -> None:
        """Raises OddError for a line that is out of place, and what Python raises for one of
        another shape."""
        if self.end is not None:
            raise OddError("there is a line after the end")
        if "step" in line:
            step = line.pop("step")
            rows, readings = self._waiting.setdefault(tuple(line), ([], []))
            rows.append(len(self.steps))
            readings.append(tuple(line.values()))
            self.steps.append(step)
            if len(self.steps) % TOGETHER == 0:
                self._gather()
        elif (
            "sites" in line
            and not {*self.layouts, *chain.from_iterable(self._waiting)} & line["sites"].keys()
        ):
            self.layouts |= {
                name: tuple(layout(name, sites)) for name, sites in line["sites"].items()
            }
        elif "end" in line:
            self.end = line["end"]
        else:
            raise OddError("it is no row, or it names the sites of what was read before")

    def record(self, facts: Mapping[str, Json], provenance: Mapping[str, Json]) -> Record:
        """Raises OddError for what no column can be made of."""
        self._gather()
        end = self.end or {}
        if end.get("stopped") is not None:
            raise OddError("it was stopped")
        steps = _steps(self.steps)
        tables = {name: self._table(name) for name in BY_NAME if name in self._blocks}
        return Record(facts, steps, tables, provenance, bool(end.get("complete")))

    def _gather(self) -> None:
        for names, (rows, readings) in self._waiting.items():
            for name, cells in zip(names, zip(*readings, strict=True), strict=True):
                self._blocks.setdefault(name, []).append((rows, self._block(name, cells)))
        self._waiting = {}

    def _block(self, name: str, cells: Sequence[Json]) -> Column:
        """What a signal read in some rows: [rows, sites]."""
        if BY_NAME[name].scope == "run":
            return _finite(cells).reshape(-1, 1)
        widths = set(map(len, cells))
        if set(map(type, cells)) != {list} or len(widths) != 1:
            raise OddError(f"{name} is not a list of one length throughout")
        sites = self.layouts.setdefault(name, positions(*widths))
        if not sites or "" in sites or widths != {len(sites)}:
            raise OddError(f"{name} does not have a number for each of its sites")
        return _finite(list(chain.from_iterable(cells))).reshape(-1, len(sites))

    def _table(self, name: str) -> Table:
        sites = RUN if BY_NAME[name].scope == "run" else self.layouts[name]
        values = np.full((len(self.steps), len(sites)), np.nan)
        for rows, block in self._blocks[name]:
            values[rows] = block
        values.flags.writeable = False
        return Table(sites, values)


def by_column(
    lines: Iterable[bytes], facts: Mapping[str, Json], provenance: Mapping[str, Json]
) -> Record | None:
    """The record of the lines after the header; None when something about them is odd."""
    columns = Columns()
    with _no_collector():
        try:
            for line in lines:
                columns.take(json.loads(line))
            return columns.record(facts, provenance)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return None


@contextmanager
def _no_collector() -> Iterator[None]:
    """No cycles are made meanwhile, and for every few hundred lists the collector would look
    through all others."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def layout(name: str, sites: Json) -> list[str]:
    """The sites of a signal as a record names them. Raises RecordError for anything but a list of
    different names."""
    known(name)
    if (
        not isinstance(sites, list)
        or not all(isinstance(site, str) for site in sites)
        or len(set(sites)) < len(sites)
    ):
        raise RecordError(
            f"the sites of {name} are {sites!r:.200}; they must be a list of different names"
        )
    return sites


def _steps(steps: list[Json]) -> Steps:
    if set(map(type, steps)) - {int} or any(
        not -(2**63) <= step < 2**63 for step in steps[:1] + steps[-1:]
    ):
        raise OddError("a step is no whole number of 64 bits")
    if any(after <= before for before, after in pairwise(steps)):
        raise OddError("steps do not increase")
    found = np.array(steps, dtype=np.int64)
    found.flags.writeable = False
    return found


def _finite(cells: Sequence[Json]) -> Column:
    kinds = set(map(type, cells))
    if kinds - {float, int}:
        raise OddError("a value is no number")
    values = np.frombuffer(array("d", cells))
    largest = max(values.max(initial=0.0), -values.min(initial=0.0))
    if not largest < inf or (int in kinds and largest >= EXACT):
        raise OddError("a value is not finite, or a whole number that float64 may not hold")
    return values
