"""Convert the signals of a record to the lines of a chart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from probes.charts.plot import MAX_SCALAR_POINTS, MAX_SITE_POINTS, Area, Level, Line, Plot, Role
from probes.panels.site_names import legend_groups, line_styles, short_labels
from probes.record import Column, Record, Steps

MAX_LINES = 24
"""Largest number of lines in one chart with a line for each site."""
MAX_REFERENCE_LINES = 4
"""Up to this number, reference lines are drawn one by one; more are drawn as one band."""


def step_range(record: Record) -> tuple[int, int]:
    """The first and the last step of a record; (0, 0) for a record without steps."""
    return (int(record.steps[0]), int(record.steps[-1])) if len(record.steps) else (0, 0)


def measured(record: Record, signal: str, site: str = "") -> tuple[Steps, Column]:
    """Steps and values of the measurements of a signal, both of shape [measurements].

    The value of a failed measurement is NaN or infinite. In a record, NaN usually means that
    nothing was measured at a step. It means a failed measurement if the record counts non-finite
    values for this signal or site at the same step.
    """
    steps, values = record.steps, record.column(signal, site)
    taken = ~np.isnan(values)
    for place in (site, f"{signal}.{site}") if site else (signal,):
        taken = taken | (record.column("nonfinite_count", place) > 0)
    return steps[taken], values[taken]


def scalar_line(
    record: Record, signal: str, label: str, colour: int = 0, role: Role = "line"
) -> Line:
    """The line of a signal with one value per step. It has no points if the signal was not
    recorded."""
    steps, values = measured(record, signal)
    return Line(label, steps, values, colour, role=role, limit=MAX_SCALAR_POINTS)


def site_lines(record: Record, signal: str) -> tuple[Line, ...]:
    """One line for each site of a signal, in the order of the record."""
    sites = record.sites(signal)
    labels = short_labels(sites)
    return tuple(
        Line(label, *measured(record, signal, site), colour, dash, group=group, short=short)
        for site, label, (colour, dash), (group, short) in zip(
            sites, labels, line_styles(labels), legend_groups(labels), strict=True
        )
    )


def most_extreme(lines: tuple[Line, ...]) -> tuple[tuple[Line, ...], str]:
    """Select at most MAX_LINES lines. Return them, and a note that some are left out, or "".

    One half of the selection has failed measurements or the highest values. The other half has the
    lowest values.
    """
    if len(lines) <= MAX_LINES:
        return lines, ""
    finite = [line.values[np.isfinite(line.values)] for line in lines]
    failed = [len(values) < len(line.values) for values, line in zip(finite, lines, strict=True)]
    highest = [max(values, default=-np.inf) for values in finite]
    lowest = [min(values, default=np.inf) for values in finite]
    everything = range(len(lines))
    up = sorted(everything, key=lambda i: (not failed[i], -highest[i], i))[: MAX_LINES // 2]
    rest = [i for i in everything if i not in up]
    down = sorted(rest, key=lambda i: (lowest[i], i))[: MAX_LINES - len(up)]
    kept = tuple(lines[i] for i in sorted((*up, *down)))
    return kept, f"{len(kept)} of {len(lines)} lines are drawn: the highest and the lowest."


def reference_lines(run: Record, lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines of a reference run, cut to the steps of `run`. Lines without points in this range
    are left out."""
    return tuple(line.thinned() for line in _cut_to_steps_of(run, lines))


def _cut_to_steps_of(run: Record, lines: Sequence[Line]) -> tuple[Line, ...]:
    inside = (line.between(*step_range(run)) for line in lines)
    return tuple(line for line in inside if len(line.steps))


def scalar_plot(
    signal: str,
    label: str,
    run: Record,
    reference: Record | None,
    *,
    log: bool = False,
    include: tuple[float, ...] = (),
) -> Plot:
    """The plot of a signal with one value per step. The label is also the unit. `Plot` explains the
    options."""
    line = scalar_line(run, signal, label)
    behind = [scalar_line(reference, signal, "reference")] if reference else []
    return Plot(
        label,
        (line,) if len(line.steps) else (),
        log=log,
        reference=reference_lines(run, behind),
        include=include,
    )


def _band(lines: Sequence[Line]) -> Area | None:
    """The range from the lowest to the highest line of a reference run; None without finite
    values."""
    steps = lines[0].steps
    if not all(np.array_equal(line.steps, steps) for line in lines):
        steps = np.unique(np.concatenate([line.steps for line in lines]))
    low, high = np.full(len(steps), np.inf), np.full(len(steps), -np.inf)
    for line in lines:
        at = np.searchsorted(steps, line.steps)
        values = np.where(np.isfinite(line.values), line.values, np.nan)
        low[at] = np.fmin(low[at], values)
        high[at] = np.fmax(high[at], values)
    known = np.isfinite(low) & np.isfinite(high)
    steps, low, high = steps[known], low[known], high[known]
    if not len(steps):
        return None
    if len(steps) > MAX_SITE_POINTS:
        # Each point of the shorter band covers the range of a group of points.
        starts = np.linspace(0, len(steps), MAX_SITE_POINTS, endpoint=False).astype(int)
        steps = steps[starts]
        low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    return Area("reference, lowest to highest", steps, low, high, "reference")


def site_plot(
    signal: str,
    unit: str,
    run: Record,
    reference: Record | None,
    *,
    log: bool = True,
    percent: bool = False,
    levels: tuple[Level, ...] = (),
    include: tuple[float, ...] = (),
) -> Plot:
    """The plot of a signal with one value per site. `Plot` explains the options."""
    lines, note = most_extreme(site_lines(run, signal))
    behind = _cut_to_steps_of(run, site_lines(reference, signal)) if reference else ()
    in_band = len(behind) > MAX_REFERENCE_LINES
    return Plot(
        unit,
        lines,
        log=log,
        percent=percent,
        reference=() if in_band else tuple(line.thinned() for line in behind),
        band=_band(behind) if in_band else None,
        levels=levels,
        include=include,
        note=note,
    )
