"""The forensic record of one run: facts, signals, provenance.

In memory it is columns of float64, one row per step; NaN means not measured. On disk it is JSON lines that are only
ever appended (`probes.recorder` writes them, `docs/record.md` specifies them), so a killed run leaves a readable file.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from operator import index
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from probes.signals import BY_NAME, Reading, known

NONFINITE = frozenset({"NaN", "Infinity", "-Infinity"})
"""JSON has no such numbers; a record writes them as these strings."""

EXACT = 2**53
"""Whole numbers up to here are the same in float64."""

Column = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]
Json = Any


class UnknownSiteError(KeyError):
    """A site at which a signal was not measured; the message gives the nearest one at which it was."""

    def __str__(self) -> str:
        return str(self.args[0])


class RecordError(ValueError):
    """A file or a row that is not a record, not whole, or newer than this code; the message says what and where."""


@dataclass(frozen=True)
class Stop:
    """Why and when a run was ended before its time: the last step that was trained, of how many, for which cause."""

    step: int
    total_steps: int | None
    cause: str

    def __str__(self) -> str:
        if self.total_steps is None:
            return f"stopped after step {self.step}, certain of {self.cause}"
        saved = self.total_steps - self.step - 1
        return (
            f"stopped after step {self.step} of {self.total_steps}, certain of {self.cause}: "
            f"{saved} steps ({saved / self.total_steps:.0%}) saved"
        )


@dataclass(frozen=True, eq=False)
class Table:
    """One signal's columns: `values` is [rows, sites]; a run-scope signal has the one site ""."""

    sites: tuple[str, ...]
    values: Column


@dataclass(frozen=True, eq=False)
class Record:
    """What is known of one run.

    facts       what detectors may know besides the signals: vocab_size, total_steps, ladder, kind of each site, ...
    steps       [rows] int64, strictly increasing
    tables      signal name -> Table, only for signals that were measured at least once
    provenance  name, seed, config, versions, hardware: for people, never for detectors
    complete    whether the run reached its own end; False for a killed run or a cut file
    stopped     set when the run was ended because its diagnosis was certain
    """

    facts: Mapping[str, Json]
    steps: Steps
    tables: Mapping[str, Table]
    provenance: Mapping[str, Json] = field(default_factory=dict)
    complete: bool = True
    stopped: Stop | None = None

    @property
    def name(self) -> str:
        return str(self.provenance.get("name", "run"))

    def sites(self, signal: str) -> tuple[str, ...]:
        """The sites at which a signal was measured, in the order of the record; () when it never was."""
        known(signal)
        return self.tables[signal].sites if signal in self.tables else ()

    def column(self, signal: str, site: str = "") -> Column:
        """One value per row of `steps`, NaN where not measured: [rows]. Read-only."""
        sites = self.sites(signal)
        if site not in sites:
            return _frozen(np.full(len(self.steps), np.nan))
        return self.tables[signal].values[:, sites.index(site)]

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured, and its values there: ([n], [n]).

        Raises UnknownSiteError for a site where it never was although it was at others.
        """
        sites = self.sites(signal)
        if sites and site not in sites:
            near = difflib.get_close_matches(site, sites, n=2) or sites
            raise UnknownSiteError(f"{signal} was not measured at {site!r}; did you mean {' or '.join(near)}?")
        column = self.column(signal, site)
        measured = ~np.isnan(column)
        return self.steps[measured], column[measured]

    def anonymous(self) -> Record:
        """The record without its provenance and without what was made of it before: all that a judge may see."""
        return replace(self, provenance={}, stopped=None)

    def prefix(self, step: int) -> Record:
        """The record as it stood right after `step`, marked incomplete when rows were left out."""
        rows = int(np.searchsorted(self.steps, step, side="right"))
        if rows == len(self.steps):
            return self
        tables = {name: Table(table.sites, table.values[:rows]) for name, table in self.tables.items()}
        return replace(self, steps=self.steps[:rows], tables=_measured(tables), complete=False, stopped=None)

    @staticmethod
    def load(path: str | Path) -> Record:
        """Read a record; of a file cut off anywhere, the steps whose lines are whole, marked incomplete.

        Raises RecordError when the file is not a record, is of a newer schema, or holds a line that is damaged
        rather than cut off; OSError when it cannot be opened.
        """
        from probes.record_file import parse

        with open(path, "rb") as file:
            return parse(file.read(), str(path))


class Builder:
    """Grows a Record row by row; the one place where a row is checked and where non-finite values are counted."""

    def __init__(self, facts: Mapping[str, Json], provenance: Mapping[str, Json]) -> None:
        self.facts, self.provenance = dict(facts), dict(provenance)
        self._steps: list[int] = []
        self._cells: dict[str, list[Cells]] = {}

    def append(self, step: int, readings: Mapping[str, Reading]) -> Mapping[str, Cells]:
        """Add one row and return it as it was understood, or add nothing at all when something about it is wrong.

        Raises RecordError when the step is no whole number that comes after the last one or a reading is not made of
        numbers, UnknownSignalError for a name that is not in the table of signals.
        """
        step = _step(step)
        if self._steps and step <= self._steps[-1]:
            raise RecordError(f"step {step} comes after step {self._steps[-1]}; steps must increase")
        row = {name: self._check(name, reading) for name, reading in readings.items() if reading is not None}
        broken = {place: 1.0 for name, cells in row.items() for place in _broken(name, cells)}
        if broken:
            # What was counted comes first: a site inside the model comes before the loss that it spoils.
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
        tables = _measured({name: self._table(name) for name in BY_NAME if name in self._cells})
        return Record(self.facts, _frozen(steps), tables, self.provenance, complete, stopped)

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


def _measured(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The tables without the sites, and the signals, that hold nothing but "not measured"."""
    kept = {}
    for name, table in tables.items():
        has = ~np.isnan(table.values).all(axis=0)
        if has.any():
            values = table.values if has.all() else table.values[:, has]
            kept[name] = Table(tuple(table.sites[i] for i in np.flatnonzero(has)), _frozen(values))
    return kept


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, which can no longer be written."""
    array.flags.writeable = False
    return array


def _broken(name: str, cells: Cells) -> list[str]:
    """The places of a row's values that are not finite: the signal's name, or signal.site."""
    if name == "nonfinite_count" or all(map(isfinite, cells.values)):
        return []
    places = zip(cells.sites, cells.values, strict=True)
    return [f"{name}.{site}" if site else name for site, value in places if not isfinite(value)]


RUN = ("",)


class Cells(NamedTuple):
    """One signal's part of a row."""

    row: int
    sites: tuple[str, ...]
    values: tuple[float, ...]


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
    """Each as `_number` takes it; all at once where they are floats, or whole numbers that float64 holds."""
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
