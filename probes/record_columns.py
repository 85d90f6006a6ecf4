"""Reads the lines of a record a column at a time, several times as fast as row by row, where nothing about them is odd.

Odd is whatever is not a step after the last one, with finite floats or exact whole numbers for signals of the table,
as many as the sites that stand before them, and the end as the last line. What is odd, and whether it is wrong or
only rare, is for the Builder to say: one place checks rows, this one knows what needs no check.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import Any

import numpy as np

from probes.record import EXACT, RUN, Record, RecordError, Steps, Table, positions
from probes.signals import BY_NAME, known

Json = Any


class OddError(ValueError):
    """A line that has to be looked at."""


class Columns:
    """What the lines so far hold: the steps, and of each signal its sites and in which rows it reads what."""

    def __init__(self) -> None:
        self.steps: list[Json] = []
        self.readings: dict[str, tuple[list[int], list[Json]]] = {}
        self.layouts: dict[str, tuple[str, ...]] = {}
        self.end: Mapping[str, Json] | None = None

    def take(self, line: Mapping[str, Json]) -> None:
        """Raises OddError for a line that is out of place, and what Python raises for one of another shape."""
        if self.end is not None:
            raise OddError("there is a line after the end")
        if "step" in line:
            for name, reading in line.items():
                if name != "step":
                    rows, readings = self.readings.setdefault(name, ([], []))
                    rows.append(len(self.steps))
                    readings.append(reading)
            self.steps.append(line["step"])
        elif "sites" in line and not (self.layouts.keys() | self.readings.keys()) & line["sites"].keys():
            self.layouts |= {name: tuple(layout(name, sites)) for name, sites in line["sites"].items()}
        elif "end" in line:
            self.end = line["end"]
        else:
            raise OddError("it is no row, or it names the sites of what was read before")

    def record(self, facts: Mapping[str, Json], provenance: Mapping[str, Json]) -> Record:
        """Raises OddError for what no column can be made of."""
        end = self.end or {}
        if end.get("stopped") is not None or self.readings.keys() - BY_NAME:
            raise OddError("it was stopped, or has a signal that is in no table")
        steps = _steps(self.steps)
        tables = {name: self._table(name) for name in BY_NAME if name in self.readings}
        return Record(facts, steps, tables, provenance, bool(end.get("complete")))

    def _table(self, name: str) -> Table:
        rows, readings = self.readings[name]
        sites: tuple[str, ...] = RUN
        flat = readings
        if BY_NAME[name].scope != "run":
            widths = set(map(len, readings))
            if set(map(type, readings)) != {list} or len(widths) != 1:
                raise OddError(f"{name} is not a list of one length throughout")
            sites, flat = self.layouts.get(name) or positions(*widths), list(chain.from_iterable(readings))
            if not sites or "" in sites or widths != {len(sites)}:
                raise OddError(f"{name} does not have a number for each of its sites")
        values = np.full((len(self.steps), len(sites)), np.nan)
        values[rows] = _finite(flat).reshape(-1, len(sites))
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
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
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


def _finite(flat: list[Json]) -> np.ndarray[Any, np.dtype[np.float64]]:
    kinds = set(map(type, flat))
    if kinds - {float, int} or (int in kinds and max(map(abs, flat)) > EXACT):
        raise OddError("a value is no number that float64 holds")
    values = np.array(flat, dtype=np.float64)
    if not np.isfinite(values).all():
        raise OddError("a value is not finite")
    return values
