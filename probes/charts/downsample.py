"""Fewer points for the same picture: extremes of long series, non-finite spans, moving averages.

A series is an array of steps and an array of values, one value per measurement. A measurement that
failed has a value that is not finite; steps without a measurement are not in the series.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import numpy.typing as npt

from probes.record import Column, Steps

SPAN_COLUMNS = 150
"""Non-finite spans that are closer than a chart's width divided by this number are drawn as one:
a reader cannot tell them apart."""


def thin(steps: Steps, values: Column, limit: int) -> tuple[Steps, Column]:
    """At most `limit` of the points: both ends, and the extremes of columns of equal width.

    No spike is lost: the lowest and the highest point of each column are kept. Where values between
    two kept points are not finite, one of them is kept as well, so that a line through the result
    has a gap there.
    """
    finite = np.isfinite(values)
    if finite.all():
        kept = _extremes(steps, values, limit)
    else:
        good = np.flatnonzero(finite)
        kept = good[_extremes(steps[good], values[good], limit // 2)]
        kept = np.union1d(kept, _gaps(kept, np.flatnonzero(~finite)))
    return steps[kept], values[kept]


def _extremes(steps: Steps, values: Column, limit: int) -> Steps:
    """Ascending indices of both ends and of each column's lowest and highest value."""
    n = len(steps)
    if n <= limit:
        return np.arange(n)
    columns = (limit - 2) // 2
    width = (int(steps[-1]) - int(steps[0]) + 1) / columns
    column = ((steps - steps[0]) / width).astype(np.int64)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    size = np.diff(first, append=n)
    lows = values == np.repeat(np.minimum.reduceat(values, first), size)
    highs = values == np.repeat(np.maximum.reduceat(values, first), size)
    ends = np.zeros(n, dtype=bool)
    ends[[0, -1]] = True
    return np.flatnonzero(ends | _first_per_column(lows, column) | _first_per_column(highs, column))


def _first_per_column(hits: npt.NDArray[np.bool_], column: Steps) -> npt.NDArray[np.bool_]:
    """Only the first hit in each column."""
    at = np.flatnonzero(hits)
    only = np.zeros(len(hits), dtype=bool)
    only[at[np.diff(column[at], prepend=-1) > 0]] = True
    return only


def _gaps(kept: Steps, bad: Steps) -> Steps:
    """The first non-finite index before, between and after the kept indices, where there is one."""
    following = np.searchsorted(bad, np.concatenate([[-1], kept]), side="right")
    return np.unique(bad[following[following < len(bad)]])


def nonfinite_spans(steps: Steps, values: Column, first: int, last: int) -> list[tuple[int, int]]:
    """The spans of steps in which a series is not finite, for a chart of steps [first, last].

    A span ends at the next finite value, or at `last`. Spans that are close to each other become
    one, so their number is bounded.
    """
    bad = ~np.isfinite(values)
    begins = np.flatnonzero(bad & ~np.append(False, bad[:-1]))
    ends = np.flatnonzero(bad & ~np.append(bad[1:], False)) + 1
    until = np.append(steps, last)
    spans = [(int(steps[b]), int(until[e])) for b, e in zip(begins, ends, strict=True)]
    return merge_spans(spans, first, last)


def merge_spans(spans: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Spans in order; those that overlap or are close to each other become one."""
    near = (last - first) / SPAN_COLUMNS
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin - merged[-1][1] <= near:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def moving_average(values: Column, window: float) -> Column:
    """Exponential moving average over about `window` points, corrected for its bias towards zero.

    It restarts after a value that is not finite, and leaves that value in its place.
    """
    keep = 1 - 1 / max(window, 1)
    out = values.astype(float)
    edges = np.flatnonzero(np.diff(np.isfinite(values).astype(int), prepend=0, append=0))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        run = values[begin:end].tolist()
        sums = np.fromiter(
            accumulate(run, lambda total, value: keep * total + value, initial=0.0), float
        )[1:]
        out[begin:end] = sums / np.cumsum(keep ** np.arange(len(run)))
    return out
