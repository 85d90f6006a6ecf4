"""The record of one run: facts, signals and provenance.

In memory, signals are columns of float64 with one row per step; NaN means "not measured". The file
format is described in docs/record.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from probes.common.text import did_you_mean
from probes.record.signals import signal_named

NONFINITE_STRINGS = frozenset({"NaN", "Infinity", "-Infinity"})
"""The strings that represent non-finite numbers in a file, since JSON has no such numbers."""

MAX_EXACT_INT = 2**53
"""float64 represents every whole number up to this one exactly."""

REINFORCEMENT = "reinforcement learning"
"""Value of the fact `objective` for a run whose loss is that of a policy. Such a loss is near 0,
has both signs and does not measure success."""

ADVERSARIAL = "adversarial training"
"""Value of the fact `objective` for a run whose loss is the sum of the losses of networks that
compete, as in a GAN. Such a sum has no minimum that the run approaches."""

NON_FINITE, CRASHED = "non-finite", "crashed"
"""Values of `reason` in the fact `ended`, which holds what a log says in words about its end:
`{"reason": NON_FINITE or CRASHED, "step": the step that the sentence names or None, "sentence": the
line of the log}`. NON_FINITE: a loss or gradient that was not finite, or a loss scale at its
minimum, ended the run. CRASHED: something else ended it, such as a lack of memory."""

Column = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]
Json = Any


MAX_EMPTY_CELLS = 2**25
"""A table has a cell for each row and site. A record may always have this many cells without a
value (256 MiB)."""
MAX_EMPTY_PER_VALUE = 8
"""A record may have more than MAX_EMPTY_CELLS cells without a value if there are at most this many
for each value. Without this limit, a small file would fill the memory: 16,000 rows, each with a
site of its own, are 0.6 MB on disk and 2 GB as a table."""


class UnknownSiteError(KeyError):
    """Raised when a signal was measured, but not at the given site. The message names the most
    similar sites."""

    def __str__(self) -> str:
        return str(self.args[0])


class RecordError(ValueError):
    """Raised for a file or a row that is not valid in a record. The message says what is wrong and
    where."""


@dataclass(frozen=True)
class Stop:
    """Why and when a run was ended early.

    step         the last step that was trained
    total_steps  the planned number of steps; None if unknown
    cause        name of the cause of which the diagnosis was certain
    """

    step: int
    total_steps: int | None
    cause: str

    def __str__(self) -> str:
        if self.total_steps is None or not 0 <= self.step < self.total_steps:
            return f"stopped after step {self.step}, certain of {self.cause}"
        saved = self.total_steps - self.step - 1
        return (
            f"stopped after step {self.step} of {self.total_steps}, certain of {self.cause}: "
            f"{saved} steps ({saved / self.total_steps:.0%}) saved"
        )


@dataclass(frozen=True, eq=False)
class Table:
    """The values of one signal: [rows, sites]. A signal of scope "run" has the single site ""."""

    sites: tuple[str, ...]
    values: Column

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Site -> the position of its column."""
        return {site: place for place, site in enumerate(self.sites)}


@dataclass(frozen=True, eq=False)
class Record:
    """The record of one run.

    facts       what detectors may use besides the signals: vocab_size, total_steps, ladder, the
                kind of each site, ... (docs/record.md)
    steps       [rows] int64, strictly increasing
    tables      signal name -> Table, for signals that were measured at least once
    provenance  name, seed, config, versions, hardware: for people; detectors do not use it
    complete    whether the run reached its end; False for a killed run or a file that was cut off
    stopped     set if the run was ended early because its diagnosis was certain, otherwise None
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
        """The sites at which a signal was measured, in the order of the record; () if it was not
        measured. Raises UnknownSignalError for a name that is not in the table of signals."""
        signal_named(signal)
        return self.tables[signal].sites if signal in self.tables else ()

    def column(self, signal: str, site: str = "") -> Column:
        """The values of a signal at a site, one for each of `steps`: [rows], read-only. NaN at
        steps where the signal was not measured."""
        signal_named(signal)
        table = self.tables.get(signal)
        if table is None or site not in table.places:
            return read_only(np.full(len(self.steps), np.nan))
        return table.values[:, table.places[site]]

    def series(self, signal: str, site: str = "") -> tuple[Steps, Column]:
        """The steps at which a signal was measured, and its values at these steps: ([n], [n]).

        Raises UnknownSiteError when the signal was measured only at other sites.
        """
        sites = self.sites(signal)
        if sites and site not in self.tables[signal].places:
            hint = did_you_mean(site, sites, f"it was measured at {', '.join(sites)}")
            raise UnknownSiteError(f"{signal} was not measured at {site!r}; {hint}")
        column = self.column(signal, site)
        measured = ~np.isnan(column)
        return self.steps[measured], column[measured]

    def anonymous(self) -> Record:
        """A copy without provenance and without an earlier verdict (`stopped`). It holds everything
        that a diagnosis may use."""
        return replace(self, provenance={}, stopped=None)

    def prefix(self, step: int) -> Record:
        """A record with the rows up to and including `step`. It is marked incomplete if rows are
        left out."""
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
    """Read a record from its file. `probes.record` assigns `probes.record.jsonl.load` to this
    name."""


def check_sizes(rows: int, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Raise RecordError if the tables of a record would be large and all but empty.

    sizes   signal -> number of its sites, and number of its values
    """
    empty = {name: rows * sites - values for name, (sites, values) in sizes.items()}
    allowed = max(MAX_EMPTY_CELLS, MAX_EMPTY_PER_VALUE * sum(count for _, count in sizes.values()))
    if sum(empty.values()) > allowed:
        worst = max(empty, key=lambda name: empty[name])
        sites, values = sizes[worst]
        raise RecordError(
            f"signal {worst!r} has {values:,} values in {rows:,} rows of {sites:,} sites; at most "
            f"{allowed:,} cells of a record may be empty: measure the same sites in every row, or "
            "write fewer rows"
        )


def measured_tables(tables: Mapping[str, Table]) -> dict[str, Table]:
    """A copy of the tables without signals and sites that were never measured."""
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
    """Make an array read-only and return it."""
    array.flags.writeable = False
    return array
