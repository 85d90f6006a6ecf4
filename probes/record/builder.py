"""Builds a record row by row, checks every row and counts its values that are not finite.

The same code is used when a run is recorded, a log is read, or a file is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isfinite
from operator import index
from typing import Any, NamedTuple

import numpy as np

from probes.record.record import (
    MAX_EXACT_INT,
    NONFINITE_STRINGS,
    Json,
    Record,
    RecordError,
    Stop,
    Table,
    check_sizes,
    measured_tables,
    read_only,
)
from probes.record.signals import BY_NAME, Reading, signal_named

RUN_SITES = ("",)
"""The sites of a signal of scope "run"."""


class Cells(NamedTuple):
    """The values of one signal in one row, one value for each site."""

    row: int
    sites: tuple[str, ...]
    values: tuple[float, ...]


class Builder:
    """A record that grows row by row."""

    def __init__(self, facts: Mapping[str, Json], provenance: Mapping[str, Json]) -> None:
        self.facts, self.provenance = dict(facts), dict(provenance)
        self._steps: list[int] = []
        self._cells: dict[str, list[Cells]] = {}

    def append(self, step: int, readings: Mapping[str, Reading]) -> Mapping[str, Cells]:
        """Add one row and return its cells by signal, with `nonfinite_count` filled in. If an error
        is raised, the row is not added.

        Raises RecordError when the step is not a whole number greater than the previous step, or
        when a reading does not consist of numbers. Raises UnknownSignalError for a name that is not
        in the table of signals."""
        try:
            whole = None if isinstance(step, bool) else index(step)
        except TypeError:
            whole = None
        if whole is None or not -(2**63) <= whole < 2**63:
            raise RecordError(f"step is {step!r:.60}; it must be a whole number of at most 64 bits")
        step = whole
        if self._steps and step <= self._steps[-1]:
            raise RecordError(
                f"step {step} comes after step {self._steps[-1]}; steps must increase"
            )
        row = {
            name: self._check(name, reading)
            for name, reading in readings.items()
            if reading is not None
        }
        broken = {  # "signal" or "signal.site" -> 1.0
            f"{name}.{site}" if site else name: 1.0
            for name, cells in row.items()
            if name != "nonfinite_count" and not all(map(isfinite, cells.values))
            for site, value in zip(cells.sites, cells.values, strict=True)
            if not isfinite(value)
        }
        if broken:
            # The counts that the caller measured come first. They are of sites inside the model,
            # and these are computed before the loss. Sites are listed in the order of computation.
            counts = row.get("nonfinite_count", Cells(0, (), ()))
            counted = dict(zip(counts.sites, counts.values, strict=True))
            row["nonfinite_count"] = self._check("nonfinite_count", {**counted, **broken})
        for name, cells in row.items():
            self._cells.setdefault(name, []).append(cells)
        self._steps.append(step)
        return row

    def record(self, complete: bool, stopped: Stop | None = None) -> Record:
        """The rows so far as a record. Its arrays are read-only.

        Raises RecordError if its tables would be large and all but empty (`check_sizes`)."""
        steps = np.array(self._steps, dtype=np.int64)
        tables: dict[str, Table] = {}
        sites_of: dict[str, tuple[str, ...]] = {}
        for name in filter(self._cells.__contains__, BY_NAME):  # in the order of the table
            layouts = dict.fromkeys(cell.sites for cell in self._cells[name])
            sites_of[name] = tuple(dict.fromkeys(site for layout in layouts for site in layout))
        check_sizes(
            len(steps),
            {
                name: (len(sites), sum(len(cell.sites) for cell in self._cells[name]))
                for name, sites in sites_of.items()
            },
        )
        for name, sites in sites_of.items():
            cells = self._cells[name]
            values = np.full((len(steps), len(sites)), np.nan)
            if all(cell.sites is sites or cell.sites == sites for cell in cells):
                values[[cell.row for cell in cells]] = [cell.values for cell in cells]
            else:
                place = {site: index for index, site in enumerate(sites)}
                for cell in cells:
                    values[cell.row, [place[site] for site in cell.sites]] = cell.values
            tables[name] = Table(sites, values)
        measured = measured_tables(tables)
        return Record(self.facts, read_only(steps), measured, self.provenance, complete, stopped)

    def _check(self, name: str, reading: Reading) -> Cells:
        scope = signal_named(name).scope
        if not isinstance(reading, float | dict) and hasattr(reading, "__array__"):
            reading = np.asarray(reading).tolist()
        if isinstance(reading, Mapping):
            sites, values = tuple(map(str, reading)), _numbers(list(reading.values()))
        elif isinstance(reading, Sequence) and not isinstance(reading, str):
            values = _numbers(reading)
            sites = positions(len(values))
        else:
            sites, values = RUN_SITES, (_number(reading),)
        fits = sites == RUN_SITES if scope == "run" else "" not in sites
        if not fits:
            wanted = "one number" if scope == "run" else f"a number for each {scope}, by name"
            raise RecordError(f"signal {name!r} is {reading!r:.200}; it must be {wanted}")
        previous = self._cells.get(name)
        if previous and previous[-1].sites == sites:
            sites = previous[-1].sites  # one tuple for all rows with the same sites
        elif len(set(sites)) < len(sites):
            raise RecordError(f"signal {name!r} names a site twice: {sites!r:.200}")
        return Cells(len(self._steps), sites, values)


@lru_cache(maxsize=16)  # at every step, lists of the same few lengths are recorded
def positions(count: int) -> tuple[str, ...]:
    """The sites of a reading that is a list without site names: "0", "1", ..."""
    return tuple(map(str, range(count)))


def site_names(signal: str, sites: Json) -> list[str]:
    """Check the list of sites that a file gives for a signal, and return it.

    Raises RecordError unless it is a list of different names. Raises UnknownSignalError if `signal`
    is not in the table of signals."""
    signal_named(signal)
    if (
        not isinstance(sites, list)
        or not all(isinstance(site, str) for site in sites)
        or len(set(sites)) < len(sites)
    ):
        raise RecordError(
            f"the sites of {signal} are {sites!r:.200}; they must be a list of different names"
        )
    return sites


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    """Convert all values with `_number`. Floats, and whole numbers that float64 represents exactly,
    need no conversion."""
    kinds = set(map(type, values))
    plain = kinds == {float} or (
        kinds == {int} and min(values) >= -MAX_EXACT_INT and max(values) <= MAX_EXACT_INT
    )
    return tuple(values) if plain else tuple(map(_number, values))


def _number(value: object) -> float:
    if isinstance(value, bool):
        raise RecordError(f"{value} is a truth value; it must be a number")
    if type(value) is int and abs(value) <= MAX_EXACT_INT:
        return value
    if isinstance(value, str) and value not in NONFINITE_STRINGS:
        raise RecordError(
            f"{value!r:.60} is not a number; the only strings that may stand for numbers are "
            f"{', '.join(sorted(NONFINITE_STRINGS))}"
        )
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"{value!r:.60} is not a number that fits 64 bits") from error
