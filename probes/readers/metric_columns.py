"""Decides which columns of a log are read as metrics, such as accuracy, and whether higher or lower
values of each are better.

A column is a metric if the words of its name say which values are better (`probes.record.metrics`),
or if the user says so. Each metric is one site of the signal `metric`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from probes.common.text import did_you_mean, printable
from probes.readers.column_scan import ColumnScan
from probes.record import RecordError
from probes.record.metrics import Direction, direction_of

MAX_METRICS = 50
"""Maximum number of metrics that are read, so that memory stays bounded. Further ones are ignored,
and a note says so."""
EXTREMES = ("__MIN", "__MAX")
"""Ends of the names of columns in which Weights & Biases exports the lowest and the highest value
of each group of points. They are no curves."""


class MetricColumns(NamedTuple):
    """The metrics of one log.

    sites       column -> the site of the signal `metric` at which it is read
    directions  site -> "up" or "down", for the metrics whose direction the user stated
    note        which metrics were ignored, because there are too many; "" if there are none
    """

    sites: Mapping[str, str]
    directions: Mapping[str, Direction]
    note: str


def directions_of(pairs: Iterable[str]) -> dict[str, Direction]:
    """The mapping column -> "up" or "down" that is given by texts of the form NAME:up or NAME:down.

    Raises RecordError for a text of another form, and for a name that is given twice.
    """
    directions: dict[str, Direction] = {}
    for pair in pairs:
        name, colon, direction = pair.rpartition(":")
        if not (name and colon):
            raise RecordError(
                f"{pair!r:.60} is not of the form NAME:up or NAME:down, such as my_score:up"
            )
        if direction not in ("up", "down"):
            hint = did_you_mean(direction, ["up", "down"])
            raise RecordError(
                f"{direction!r:.60} is not a direction of {name!r:.60}; "
                f"{hint or 'it must be up or down'}"
            )
        if name in directions:
            raise RecordError(f"{name!r:.60} is given two directions")
        directions[name] = "up" if direction == "up" else "down"
    return directions


def metric_columns(
    scan: ColumnScan, used: Mapping[str, str], stated: Mapping[str, Direction]
) -> MetricColumns:
    """The metrics among the columns that are read as nothing else.

    scan    the result of the first pass
    used    column -> what else it is read as
    stated  column -> "up" or "down", for the columns that the user calls metrics

    Raises RecordError if a column in `stated` is not in the log, is read as something else, or does
    not hold numbers.
    """
    for column in stated:
        if column not in scan.filled:
            names = [name for name in scan.filled if name not in used]
            has = f"it has {', '.join(names[:20]) or 'no other columns'}"
            hint = did_you_mean(column, names, otherwise=has)
            raise RecordError(
                f"the log has no column {column!r:.60}, which is to be a metric ({hint})"
            )
        if column in used:
            raise RecordError(
                f"column {column!r:.60} is read as {used[column]}, so it cannot be a metric"
            )
        if column not in scan.numeric:
            raise RecordError(
                f"column {column!r:.60} cannot be a metric: its first entry is not a number"
            )
    named = [
        column
        for column in scan.filled
        if column in scan.numeric
        and column not in used
        and column not in stated
        and not column.endswith(EXTREMES)
        and direction_of(column)
    ]
    sites: dict[str, str] = {}
    for column in [*stated, *named]:
        if len(sites) < MAX_METRICS and printable(column) not in sites.values():
            sites[column] = printable(column)
    left_out = [column for column in named if column not in sites]
    note = (
        f"{len(left_out)} of {len(named) + len(stated)} metrics were ignored, because at most "
        f"{MAX_METRICS} are read: {', '.join(left_out[:5])}{', ...' if len(left_out) > 5 else ''}"
        if left_out
        else ""
    )
    directions = {sites[column]: way for column, way in stated.items() if column in sites}
    return MetricColumns(sites, directions, note)
