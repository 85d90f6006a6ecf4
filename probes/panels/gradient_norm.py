"""Is the optimisation stable?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.charts.plot import Level, Line, Plot
from probes.charts.scale import number
from probes.diagnosis.base import PanelKey, ViewKey
from probes.panels.describe import fact_number, highest, short
from probes.panels.lines import scalar_line, scalar_plot
from probes.panels.panel import Panel, View
from probes.record import Column, Record, Steps

SPIKE_WINDOW = 100
"""The gradient norm of a step is compared with at most this number of finite measurements before
it."""
MIN_SPIKE_WINDOW = 20
"""With fewer earlier measurements, no step is compared, because their standard deviation is too
uncertain: with 20 its standard error is 16 %."""
SPIKE_SIGMAS = 3.0
"""A measurement is a spike if it is more than this number of standard deviations above the mean of
the measurements in its window. The chart marks spikes, but a spike is not a finding."""
MAX_SPIKES = 100
"""Largest number of spikes that the chart marks; these are the highest."""
WINDOWS_PER_CHUNK = 4096
"""Number of windows whose mean and standard deviation are computed at once, to limit memory."""


def spikes(steps: Steps, values: Column) -> tuple[Steps, Column]:
    """Return the steps and values of all spikes.

    A spike is a finite measurement that is more than three standard deviations above the mean of
    the 100 finite measurements before it. With 20 to 99 earlier measurements, all of them are used;
    with fewer than 20, a measurement is not compared.
    """
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(values) <= MIN_SPIKE_WINDOW:
        return steps[:0], values[:0]
    scaled = values / max(float(np.abs(values).max()), np.finfo(float).tiny)
    limits = np.full(len(scaled), np.inf)
    for begin in range(MIN_SPIKE_WINDOW, min(SPIKE_WINDOW, len(scaled))):
        before = scaled[:begin]
        limits[begin] = before.mean() + SPIKE_SIGMAS * before.std()
    padded = np.concatenate([np.full(SPIKE_WINDOW, np.nan), scaled[:-1]])
    windows = sliding_window_view(padded, SPIKE_WINDOW)
    for begin in range(SPIKE_WINDOW, len(scaled), WINDOWS_PER_CHUNK):
        end = begin + WINDOWS_PER_CHUNK
        part = windows[begin:end]
        limits[begin:end] = part.mean(axis=1) + SPIKE_SIGMAS * part.std(axis=1)
    above = scaled > limits
    return steps[above], values[above]


def _plot(run: Record, reference: Record | None) -> Plot:
    plot = scalar_plot("grad_norm", "gradient norm", run, reference, log=True)
    line = scalar_line(run, "grad_norm", "gradient norm")
    clip = fact_number(run, "clip_norm") or 0.0
    spike_steps, spike_values = spikes(line.steps, line.values)
    highest_spikes = np.sort(np.argsort(-spike_values, kind="stable")[:MAX_SPIKES])
    return replace(
        plot,
        unit="L2 norm before clipping",
        levels=(Level(f"clip threshold {short(clip)}", clip),) if clip > 0 else (),
        spikes=Line("spike", spike_steps[highest_spikes], spike_values[highest_spikes]),
    )


def _describe(run: Record) -> str:
    line = scalar_line(run, "grad_norm", "gradient norm")
    top = highest([line])
    if top is None:
        return ""
    finite = line.values[np.isfinite(line.values)]
    clip = fact_number(run, "clip_norm")
    clipped = (
        "clip threshold not recorded"
        if clip is None
        else f"clipped at {int((finite > clip).sum())} of {len(finite)} steps"
    )
    at = spikes(line.steps, line.values)[0]
    listed = ", ".join(map(str, at[:4])) + (", …" if len(at) > 4 else "")
    if not len(at):
        spiked = "no spikes"
    else:
        spiked = (
            f"1 spike (step {listed})" if len(at) == 1 else f"{len(at)} spikes (steps {listed})"
        )
    return (
        f"median {short(float(np.median(finite)))}, highest {short(top[0])} at step "
        f"{number(top[1])}; {clipped}; {spiked}."
    )


PANEL = Panel(
    key=PanelKey.GRADIENT_NORM,
    title="Gradient norm",
    question="Is the optimisation stable?",
    healthy_look=(
        "the norm is between 0.1 and 10 from the first step and falls as the loss falls; a few "
        "isolated spikes are normal."
    ),
    views=(View(ViewKey.GRADIENT_NORM, "Gradient norm", ("grad_norm",), _plot),),
    sentences=(_describe,),
)
