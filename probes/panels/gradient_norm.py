"""Panel 3: is the optimisation stable?"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.charts.plot import Level, Line, Plot
from probes.charts.scale import number
from probes.panels.describe import fact, highest, short
from probes.panels.panel import Panel, View
from probes.panels.site_lines import scalar, span
from probes.record import Column, Record, Steps

WINDOW = 100
"""Steps before a step that it is compared with."""
LEAST_WINDOW = 20
"""Fewer steps than this say nothing of a spread: the standard error of a sigma from 20 is 16 %."""
SIGMAS = 3.0
"""A spike stands more than this many standard deviations above the mean of its window. A mark, not
a finding."""
MOST_MARKS = 100
CHUNK = 4096


def spikes(steps: Steps, values: Column) -> tuple[Steps, Column]:
    """The measurements that stand more than three sigma above the mean of the up to 100 finite ones
    before them."""
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(values) <= LEAST_WINDOW:
        return steps[:0], values[:0]
    scaled = values / max(float(np.abs(values).max()), np.finfo(float).tiny)
    padded = np.concatenate([np.full(WINDOW, np.nan), scaled[:-1]])
    windows = sliding_window_view(padded, WINDOW)
    limits = np.full(len(scaled), np.inf)
    for begin in range(LEAST_WINDOW, WINDOW):
        if begin < len(scaled):
            before = scaled[:begin]
            limits[begin] = before.mean() + SIGMAS * before.std()
    for begin in range(WINDOW, len(scaled), CHUNK):
        part = windows[begin : begin + CHUNK]
        limits[begin : begin + CHUNK] = part.mean(axis=1) + SIGMAS * part.std(axis=1)
    above = scaled > limits
    return steps[above], values[above]


def _strongest(steps: Steps, values: Column) -> tuple[Steps, Column]:
    """As many of the spikes as can be told apart: the highest ones."""
    kept = np.sort(np.argsort(-values, kind="stable")[:MOST_MARKS])
    return steps[kept], values[kept]


def _plot(run: Record, reference: Record | None) -> Plot:
    line = scalar(run, "grad_norm", "gradient norm", 0)
    behind = (
        [scalar(reference, "grad_norm", "reference", 0).between(*span(run)).thinned()]
        if reference
        else []
    )
    clip = fact(run, "clip_norm")
    return Plot(
        "L2 norm before clipping",
        (line,) if len(line.steps) else (),
        log=True,
        reference=tuple(line for line in behind if len(line.steps)),
        levels=(Level(f"clip threshold {short(clip)}", clip),)
        if clip is not None and clip > 0
        else (),
        spikes=Line("spike", *_strongest(*spikes(line.steps, line.values))),
    )


def _describe(run: Record) -> str:
    line = scalar(run, "grad_norm", "gradient norm", 0)
    top = highest([line])
    if top is None:
        return ""
    finite = line.values[np.isfinite(line.values)]
    parts = [
        f"median {short(float(np.median(finite)))}, highest {short(top[0])} at step {number(top[1])}"
    ]
    clip = fact(run, "clip_norm")
    if clip is None:
        parts.append("clip threshold not recorded")
    else:
        parts.append(f"clipped at {int((finite > clip).sum())} of {len(finite)} steps")
    marked = spikes(line.steps, line.values)[0]
    where = f" ({'steps' if len(marked) > 1 else 'step'} {', '.join(map(str, marked[:4]))}{', …' * (len(marked) > 4)})"
    parts.append(
        f"{len(marked) or 'no'} {'spike' if len(marked) == 1 else 'spikes'}{where if len(marked) else ''}"
    )
    return "; ".join(parts) + "."


PANEL = Panel(
    "gradient",
    "Gradient norm",
    "Is the optimisation stable?",
    "between 0.1 and 10 from the first step, falling as the loss falls; a few isolated spikes are normal.",
    ("grad_norm",),
    (View("Gradient norm", _plot),),
    _describe,
    frozenset({"gradient"}),
)
