"""Reduce long series for a chart: keep their extremes, find their non-finite spans, and average
them.

A series is an array of steps and an array of values, both of shape [measurements]. The value of a
failed measurement is NaN or infinite. Steps without a measurement are not in the series.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import numpy.typing as npt

from probes.record import Column, Steps

SPANS_PER_WIDTH = 150
"""Two non-finite spans are merged if the distance between them is at most the width of the chart
divided by this number, because a reader could not see that distance."""


def thin(steps: Steps, values: Column, limit: int) -> tuple[Steps, Column]:
    """Select at most `limit` points of a series: the first, the last, and the extremes of each bin.

    Bins are ranges of steps of equal width. The lowest and the highest point of each bin are kept,
    so no spike is lost. If there are non-finite values between two kept points, the first of these
    values is kept too, so that a line through the result has a gap there.
    """
    finite = np.isfinite(values)
    if finite.all():
        kept = _extremes(steps, values, limit)
    else:
        good = np.flatnonzero(finite)
        kept = good[_extremes(steps[good], values[good], limit // 2)]
        # Also keep the first non-finite value before the first kept point, between each two kept
        # points, and after the last one.
        bad = np.flatnonzero(~finite)
        following = np.searchsorted(bad, np.concatenate([[-1], kept]), side="right")
        kept = np.union1d(kept, bad[following[following < len(bad)]])
    return steps[kept], values[kept]


def _extremes(steps: Steps, values: Column, limit: int) -> Steps:
    """Ascending indices of the first point, the last point, and each bin's lowest and highest."""
    n = len(steps)
    if n <= limit:
        return np.arange(n)
    bins = (limit - 2) // 2
    width = (int(steps[-1]) - int(steps[0]) + 1) / bins
    bin_of = ((steps - steps[0]) / width).astype(np.int64)
    first = np.flatnonzero(np.diff(bin_of, prepend=-1))
    size = np.diff(first, append=n)
    lows = values == np.repeat(np.minimum.reduceat(values, first), size)
    highs = values == np.repeat(np.maximum.reduceat(values, first), size)
    ends = np.zeros(n, dtype=bool)
    ends[[0, -1]] = True
    return np.flatnonzero(ends | _first_per_bin(lows, bin_of) | _first_per_bin(highs, bin_of))


def _first_per_bin(hits: npt.NDArray[np.bool_], bin_of: Steps) -> npt.NDArray[np.bool_]:
    """Keep only the first True of each bin; `bin_of` holds the bin of each point."""
    at = np.flatnonzero(hits)
    only = np.zeros(len(hits), dtype=bool)
    only[at[np.diff(bin_of[at], prepend=-1) > 0]] = True
    return only


def nonfinite_spans(steps: Steps, values: Column, first: int, last: int) -> list[tuple[int, int]]:
    """The spans (begin, end) of steps in which a series is not finite.

    A span ends at the step of the next finite value, or at `last`. The chart shows the steps from
    `first` to `last`. Spans that are close to each other are merged, so their number is bounded.
    """
    bad = ~np.isfinite(values)
    begins = np.flatnonzero(bad & ~np.append(False, bad[:-1]))
    ends = np.flatnonzero(bad & ~np.append(bad[1:], False)) + 1
    until = np.append(steps, last)
    spans = [(int(steps[b]), int(until[e])) for b, e in zip(begins, ends, strict=True)]
    return merge_spans(spans, first, last)


def merge_spans(spans: list[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Sort spans, and merge those that overlap or are close to each other (SPANS_PER_WIDTH)."""
    near = (last - first) / SPANS_PER_WIDTH
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin - merged[-1][1] <= near:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def moving_average(values: Column, window: float) -> Column:
    """Exponential moving average over about `window` points, corrected for its bias towards zero.

    Non-finite values are returned unchanged, and the average restarts after each of them.
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
