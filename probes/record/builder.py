"""Grows a Record row by row; the one place where a row is checked and where non-finite values are
counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from operator import index
from typing import Any, NamedTuple

import numpy as np

from probes.record.record import (
    EXACT,
    NONFINITE,
    Json,
    Record,
    RecordError,
    Stop,
    Table,
    measured_tables,
    read_only,
)
from probes.record.signals import BY_NAME, Reading, known

RUN = ("",)


class Cells(NamedTuple):
    """One signal's part of a row."""

    row: int
    sites: tuple[str, ...]
    values: tuple[float, ...]


class Builder:
    """Grows a Record row by row; the one place where a row is checked and where non-finite values
    are counted."""

    def __init__(self, facts: Mapping[str, Json], provenance: Mapping[str, Json]) -> None:
        self.facts, self.provenance = dict(facts), dict(provenance)
        self._steps: list[int] = []
        self._cells: dict[str, list[Cells]] = {}

    def append(self, step: int, readings: Mapping[str, Reading]) -> Mapping[str, Cells]:
        """Add one row and return it as it was understood, or add nothing at all when something
        about it is wrong.

        Raises RecordError when the step is no whole number that comes after the last one or a
        reading is not made of numbers, UnknownSignalError for a name that is not in the table of
        signals."""
        step = _step(step)
        if self._steps and step <= self._steps[-1]:
            raise RecordError(
                f"step {step} comes after step {self._steps[-1]}; steps must increase"
            )
        row = {
            name: self._check(name, reading)
            for name, reading in readings.items()
            if reading is not None
        }
        broken = {place: 1.0 for name, cells in row.items() for place in _broken(name, cells)}
        if broken:
            # What was counted comes first: a site inside the model comes before the loss that it
            # spoils.
            counts = row.get("nonfinite_count", Cells(0, (), ()))
            counted = dict(zip(counts.sites, counts.values, strict=True))
            row["nonfinite_count"] = self._check("nonfinite_count", {**counted, **broken})
        for name, cells in row.items():
            self._cells.setdefault(name, []).append(cells)
        self._steps.append(step)
        return row

    def record(self, complete: bool, stopped: Stop | None = None) -> Record:
        """What was appended so far, as arrays that cannot be written."""
        steps = np.array(self._steps, dtype=np.int64)
        tables = measured_tables(
            {name: self._table(name) for name in BY_NAME if name in self._cells}
        )
        return Record(self.facts, read_only(steps), tables, self.provenance, complete, stopped)

    def _check(self, name: str, reading: Reading) -> Cells:
        scope = known(name).scope
        if not isinstance(reading, float | dict) and hasattr(reading, "__array__"):
            reading = np.asarray(reading).tolist()
        if isinstance(reading, Mapping):
            sites, values = tuple(map(str, reading)), _numbers(list(reading.values()))
        elif isinstance(reading, Sequence) and not isinstance(reading, str):
            values = _numbers(reading)
            sites = positions(len(values))
        else:
            sites, values = RUN, (_number(reading),)
        if sites != RUN if scope == "run" else "" in sites:
            wanted = "one number" if scope == "run" else f"a number for each {scope}, by name"
            raise RecordError(f"signal {name!r} is {reading!r:.200}; it must be {wanted}")
        previous = self._cells.get(name)
        if previous and previous[-1].sites == sites:
            sites = previous[-1].sites
        elif len(set(sites)) < len(sites):
            raise RecordError(f"signal {name!r} names a site twice: {sites!r:.200}")
        return Cells(len(self._steps), sites, values)

    def _table(self, name: str) -> Table:
        cells = self._cells[name]
        layouts = dict.fromkeys(cell.sites for cell in cells)
        sites = tuple(dict.fromkeys(site for layout in layouts for site in layout))
        values = np.full((len(self._steps), len(sites)), np.nan)
        if len(layouts) == 1:
            values[[cell.row for cell in cells]] = [cell.values for cell in cells]
        else:
            place = {site: index for index, site in enumerate(sites)}
            for cell in cells:
                values[cell.row, [place[site] for site in cell.sites]] = cell.values
        return Table(sites, values)


def _broken(name: str, cells: Cells) -> list[str]:
    """The places of a row's values that are not finite: the signal's name, or signal.site."""
    if name == "nonfinite_count" or all(map(isfinite, cells.values)):
        return []
    places = zip(cells.sites, cells.values, strict=True)
    return [f"{name}.{site}" if site else name for site, value in places if not isfinite(value)]


def positions(count: int) -> tuple[str, ...]:
    """The sites of a reading that is a bare list: "0", "1", ..."""
    return tuple(map(str, range(count)))


def _step(value: object) -> int:
    try:
        step = index(value)  # type: ignore[arg-type]
    except TypeError:
        step = None
    if step is None or isinstance(value, bool) or not -(2**63) <= step < 2**63:
        raise RecordError(f"step is {value!r:.60}; it must be a whole number of at most 64 bits")
    return step


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    """Each as `_number` takes it; all at once where they are floats, or whole numbers that float64
    holds."""
    kinds = set(map(type, values))
    plain = kinds == {float} or (kinds == {int} and min(values) >= -EXACT and max(values) <= EXACT)
    return tuple(values) if plain else tuple(map(_number, values))


def _number(value: object) -> float:
    if type(value) is int and abs(value) <= EXACT:
        return value
    if isinstance(value, str) and value not in NONFINITE:
        raise RecordError(
            f"{value!r:.60} is not a number; the only strings that may stand for one are {sorted(NONFINITE)}"
        )
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"{value!r:.60} is not a number that fits 64 bits") from error
