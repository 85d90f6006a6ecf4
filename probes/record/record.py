"""The record of one run: facts, signals, provenance.

In memory it holds columns of float64, one row per step; NaN means "not measured". Its file is
described in docs/record.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from probes.common.text import did_you_mean
from probes.record.signals import known

NONFINITE_STRINGS = frozenset({"NaN", "Infinity", "-Infinity"})
"""The strings that stand in a file for the numbers that JSON lacks."""

MAX_EXACT_INT = 2**53
"""float64 holds every whole number up to this one."""

REINFORCEMENT = "reinforcement learning"
"""Value of the fact `objective` for a run whose loss is a policy's. Such a loss is near 0, takes
both signs and does not measure success."""

Column = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]
Json = Any


class UnknownSiteError(KeyError):
    """A signal was not measured at this site; the message names the nearest sites at which it
    was."""

    def __str__(self) -> str:
        return str(self.args[0])


class RecordError(ValueError):
    """A file or a row that is no valid part of a record; the message says what is wrong, and
    where."""


@dataclass(frozen=True)
class Stop:
    """Why and when a run was ended early: the last step that was trained, the number of steps that
    were planned (None when unknown), and the cause."""

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
    """The values of one signal, [rows, sites]. A signal of the run has one site, ""."""

    sites: tuple[str, ...]
    values: Column


@dataclass(frozen=True, eq=False)
class Record:
    """The record of one run.

    facts       what detectors may know besides the signals: vocab_size, total_steps, ladder, the
                kind of each site, ...
    steps       [rows] int64, strictly increasing
    tables      signal name -> Table, for signals that were measured at least once
    provenance  name, seed, config, versions, hardware: for people, never for detectors
    complete    whether the run reached its end; False for a killed run or a file that was cut off
    stopped     set when the run was ended early because its diagnosis was certain
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
        """The sites at which a signal was measured, in the order of the record; () for a signal
        that was not measured. Raises UnknownSignalError for a name that is not in the table of
        signals."""
        known(signal)
        return self.tables[signal].sites if signal in self.tables else ()

    def column(self, signal: str, site: str = "") -> Column:
        """The values of a signal at a site, one for each of `steps`, NaN where it was not
        measured: [rows]. Read-only."""
        sites = self.sites(signal)
        if site not in sites:
            return read_only(np.full(len(self.steps), np.nan))
        return self.tables[signal].values[:, sites.index(site)]

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured, and its values there: ([n], [n]).

        Raises UnknownSiteError when it was measured at other sites only.
        """
        sites = self.sites(signal)
        if sites and site not in sites:
            hint = did_you_mean(site, sites, f"it was measured at {', '.join(sites)}")
            raise UnknownSiteError(f"{signal} was not measured at {site!r}; {hint}")
        column = self.column(signal, site)
        measured = ~np.isnan(column)
        return self.steps[measured], column[measured]

    def anonymous(self) -> Record:
        """The record without its provenance and without an earlier verdict (`stopped`): all that a
        judge may see."""
        return replace(self, provenance={}, stopped=None)

    def prefix(self, step: int) -> Record:
        """The rows up to and including `step`. The record is marked incomplete when that leaves
        rows out."""
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
    """Read a record from its file; see `probes.record.jsonl.load`, which `probes.record` assigns to
    this name."""


def measured_tables(tables: Mapping[str, Table]) -> dict[str, Table]:
    """The tables without the signals and sites that were never measured."""
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
    """The same array, made read-only."""
    array.flags.writeable = False
    return array
