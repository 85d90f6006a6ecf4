"""The forensic record of one run: facts, signals, provenance.

In memory it is columns of float64, one row per step; NaN means not measured. On disk it is JSON
lines that are only ever appended (`probes.recording.recorder` writes them, `docs/record.md`
specifies them), so a killed run leaves a readable file."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from probes.record.signals import known

NONFINITE = frozenset({"NaN", "Infinity", "-Infinity"})
"""JSON has no such numbers; a record writes them as these strings."""

EXACT = 2**53
"""Whole numbers up to here are the same in float64."""

REINFORCEMENT = "reinforcement learning"
"""The fact `objective` of a run whose loss is a policy's: near 0, of both signs, and no measure of
how well it does."""

Column = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]
Json = Any


class UnknownSiteError(KeyError):
    """A site at which a signal was not measured; the message gives the nearest one at which it
    was."""

    def __str__(self) -> str:
        return str(self.args[0])


class RecordError(ValueError):
    """A file or a row that is not a record, not whole, or newer than this code; the message says
    what and where."""


@dataclass(frozen=True)
class Stop:
    """Why and when a run was ended before its time: the last step that was trained, of how many,
    for which cause."""

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

    facts       what detectors may know besides the signals: vocab_size, total_steps, ladder, kind
                of each site, ...
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
        """The sites at which a signal was measured, in the order of the record; () when it never
        was."""
        known(signal)
        return self.tables[signal].sites if signal in self.tables else ()

    def column(self, signal: str, site: str = "") -> Column:
        """One value per row of `steps`, NaN where not measured: [rows]. Read-only."""
        sites = self.sites(signal)
        if site not in sites:
            return read_only(np.full(len(self.steps), np.nan))
        return self.tables[signal].values[:, sites.index(site)]

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured, and its values there: ([n], [n]).

        Raises UnknownSiteError for a site where it never was although it was at others.
        """
        sites = self.sites(signal)
        if sites and site not in sites:
            near = difflib.get_close_matches(site, sites, n=2) or sites
            raise UnknownSiteError(
                f"{signal} was not measured at {site!r}; did you mean {' or '.join(near)}?"
            )
        column = self.column(signal, site)
        measured = ~np.isnan(column)
        return self.steps[measured], column[measured]

    def anonymous(self) -> Record:
        """The record without its provenance and without what was made of it before: all that a
        judge may see."""
        return replace(self, provenance={}, stopped=None)

    def prefix(self, step: int) -> Record:
        """The record as it stood right after `step`, marked incomplete when rows were left out."""
        rows = int(np.searchsorted(self.steps, step, side="right"))
        if rows == len(self.steps):
            return self
        tables = {
            name: Table(table.sites, table.values[:rows]) for name, table in self.tables.items()
        }
        return replace(
            self,
            steps=self.steps[:rows],
            tables=measured_tables(tables),
            complete=False,
            stopped=None,
        )

    load: ClassVar[Callable[[str | Path], Record]]
    """Read a record from its file: `probes.record.jsonl.load`, which the package ties to this
    name."""


def measured_tables(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The tables without the sites, and the signals, that hold nothing but "not measured"."""
    kept = {}
    for name, table in tables.items():
        has = ~np.isnan(table.values).all(axis=0)
        if has.any():
            values = table.values if has.all() else table.values[:, has]
            kept[name] = Table(
                tuple(table.sites[i] for i in np.flatnonzero(has)), read_only(values)
            )
    return kept


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, which can no longer be written."""
    array.flags.writeable = False
    return array
