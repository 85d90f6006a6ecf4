"""One record of several series, as `probes.record.Builder` makes of the same values row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from probes.record import Column, Record, Steps, Table
from probes.signals import BY_NAME

COUNT = "nonfinite_count"


def record_of(
    series: Mapping[str, tuple[Steps, Column]],
    facts: Mapping[str, Any],
    provenance: Mapping[str, Any],
    complete: bool,
) -> Record:
    """A record of signals that are one number for the whole run: signal -> increasing steps, values, ([n], [n])."""
    steps = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(own for own, _ in series.values())]))
    tables = {name: _table(steps, *points) for name, points in series.items()}
    tables[COUNT] = _counts(steps, series)
    measured = {name: tables[name] for name in BY_NAME if name in tables and not np.isnan(tables[name].values).all()}
    return Record(dict(facts), _frozen(steps), measured, dict(provenance), complete)


def _table(steps: Steps, own: Steps, values: Column) -> Table:
    column = np.full((len(steps), 1), np.nan)
    column[np.searchsorted(steps, own), 0] = values
    return Table(("",), _frozen(column))


def _counts(steps: Steps, series: Mapping[str, tuple[Steps, Column]]) -> Table:
    """1 at every value that is not finite, since NaN in a column says not measured; the first to fail comes first."""
    lost = {name: own[~np.isfinite(values)] for name, (own, values) in series.items()}
    names = sorted((name for name in lost if len(lost[name])), key=lambda name: lost[name][0])
    counts = np.full((len(steps), len(names)), np.nan)
    for place, name in enumerate(names):
        counts[np.searchsorted(steps, lost[name]), place] = 1.0
    return Table(tuple(names), _frozen(counts))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array
