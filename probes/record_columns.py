"""Reads the lines of a record a column at a time, several times as fast as row by row, where nothing about them is odd.

Odd is whatever is not a step after the last one, with finite floats or exact whole numbers for signals of the table,
as many as the sites that stand before them, and the end as the last line. What is odd, and whether it is wrong or
only rare, is for the Builder to say: one place checks rows, this one knows what needs no check.
"""

from __future__ import annotations

import gc
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, pairwise
from math import inf
from typing import Any

import numpy as np

from probes.record import EXACT, RUN, Column, Record, RecordError, Steps, Table, positions
from probes.signals import BY_NAME, known

TOGETHER = 256
"""Rows that are made into arrays at a time."""
Json = Any


class OddError(ValueError):
    """A line that has to be looked at."""


class Columns:
    """What the lines so far hold: the steps, and of each signal in which rows it was read, and what.

    Rows that hold the same signals are gathered, and made into arrays before there are many: what is still in the
    processor's cache is not fetched again.
    """

    def __init__(self) -> None:
        self.steps: list[Json] = []
        self.layouts: dict[str, tuple[str, ...]] = {}
        self.end: Mapping[str, Json] | None = None
        self._waiting: dict[tuple[str, ...], tuple[list[int], list[tuple[Json, ...]]]] = {}
        self._blocks: dict[str, list[tuple[list[int], Column]]] = {}

    def take(self, line: dict[str, Json]) -> None:
        """Raises OddError for a line that is out of place, and what Python raises for one of another shape."""
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
        elif "sites" in line and not {*self.layouts, *chain.from_iterable(self._waiting)} & line["sites"].keys():
            self.layouts |= {name: tuple(layout(name, sites)) for name, sites in line["sites"].items()}
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


def by_column(lines: Iterable[bytes], facts: Mapping[str, Json], provenance: Mapping[str, Json]) -> Record | None:
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
    """No cycles are made meanwhile, and for every few hundred lists the collector would look through all others."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def layout(name: str, sites: Json) -> list[str]:
    """The sites of a signal as a record names them. Raises RecordError for anything but a list of different names."""
    known(name)
    if not isinstance(sites, list) or not all(isinstance(site, str) for site in sites) or len(set(sites)) < len(sites):
        raise RecordError(f"the sites of {name} are {sites!r:.200}; they must be a list of different names")
    return sites


def _steps(steps: list[Json]) -> Steps:
    if set(map(type, steps)) - {int} or any(not -(2**63) <= step < 2**63 for step in steps[:1] + steps[-1:]):
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
