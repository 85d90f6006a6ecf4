"""Fewer points, the same picture: what a long series keeps when it is drawn, and where it was not
finite.

A series comes in as steps and values, one value per measurement; a value that is not finite is a
measurement that failed. Not measured at all is not in the series."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import numpy.typing as npt

from probes.record import Column, Steps

STRETCHES = 150
"""Columns of a chart that are told apart when non-finite stretches are marked: finer than a reader
can see."""


def thin(steps: Steps, values: Column, limit: int) -> tuple[Steps, Column]:
    """At most `limit` of the points: both ends, and the lowest and the highest of every column of
    equal width.

    No spike is lost: whatever a column's points reached upwards or downwards, a point that is kept
    reaches too. Between two finite points that are kept, one non-finite value is kept where there
    was any, so that a line through the result has its gaps where the series has them."""
    finite = np.isfinite(values)
    if finite.all():
        kept = _extremes(steps, values, limit)
    else:
        good = np.flatnonzero(finite)
        kept = good[_extremes(steps[good], values[good], limit // 2)]
        kept = np.union1d(kept, _gaps(kept, np.flatnonzero(~finite)))
    return steps[kept], values[kept]


def _extremes(steps: Steps, values: Column, limit: int) -> Steps:
    """Indices of both ends and of each column's lowest and highest value, ascending."""
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
    return np.flatnonzero(ends | _firsts(lows, column) | _firsts(highs, column))


def _firsts(hits: npt.NDArray[np.bool_], column: Steps) -> npt.NDArray[np.bool_]:
    """Of the hits in each column the first."""
    at = np.flatnonzero(hits)
    only = np.zeros(len(hits), dtype=bool)
    only[at[np.diff(column[at], prepend=-1) > 0]] = True
    return only


def _gaps(kept: Steps, bad: Steps) -> Steps:
    """The first of the non-finite indices before, between and after the kept ones, wherever there
    is one."""
    following = np.searchsorted(bad, np.concatenate([[-1], kept]), side="right")
    candidates = bad[following[following < len(bad)]]
    return np.unique(candidates)


def stretches(steps: Steps, values: Column, first: int, last: int) -> list[tuple[int, int]]:
    """Where a series was not finite: from the first such step to the next finite one, or to `last`
    (steps, merged).

    Stretches closer than one of `STRETCHES` columns of [first, last] become one, so that their
    number is bounded."""
    bad = ~np.isfinite(values)
    begins = np.flatnonzero(bad & ~np.append(False, bad[:-1]))
    ends = np.flatnonzero(bad & ~np.append(bad[1:], False)) + 1
    until = np.append(steps, last)
    return merge(
        [(int(steps[b]), int(until[e])) for b, e in zip(begins, ends, strict=True)], first, last
    )


def merge(spans: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Spans sorted, joined where they touch or nearly do."""
    near = (last - first) / STRETCHES
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin - merged[-1][1] <= near:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def smooth(values: Column, window: float) -> Column:
    """Exponential moving average over about `window` points, without bias towards zero; begins anew
    after a gap."""
    keep = 1 - 1 / max(window, 1)
    out = np.full(len(values), np.nan)
    edges = np.flatnonzero(np.diff(np.isfinite(values).astype(int), prepend=0, append=0))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        run = values[begin:end].tolist()
        sums = np.fromiter(
            accumulate(run, lambda total, value: keep * total + value, initial=0.0), float
        )[1:]
        weights = np.cumsum(keep ** np.arange(len(run)))
        out[begin:end] = sums / weights
    out[~np.isfinite(values)] = values[~np.isfinite(values)]
    return out
