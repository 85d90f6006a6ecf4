"""Panel 2: did warmup and decay actually run?"""

from __future__ import annotations

import numpy as np

from probes.charts.plot import Level, Plot
from probes.charts.scale import number
from probes.panels.describe import highest, short, spread, stated
from probes.panels.panel import Panel, View
from probes.panels.site_lines import per_site, scalar, site_plot, span
from probes.record import Record

USUAL_RATIO = 1e-3
"""Karpathy 2015, CS231n notes: updates of about a thousandth of the weights are usual."""


def _rate(run: Record, reference: Record | None) -> Plot:
    line = scalar(run, "lr", "learning rate", 0)
    behind = (
        [scalar(reference, "lr", "reference", 0).between(*span(run)).thinned()] if reference else []
    )
    return Plot(
        "learning rate",
        (line,) if len(line.steps) else (),
        reference=tuple(line for line in behind if len(line.steps)),
        include=(0.0,),
    )


def _ratio(run: Record, reference: Record | None) -> Plot:
    return site_plot(
        "update_weight_ratio",
        "update norm / weight norm",
        run,
        reference,
        levels=(Level("usual 1e-3", USUAL_RATIO),),
    )


def _describe(run: Record) -> str:
    rate = scalar(run, "lr", "learning rate", 0)
    finite = rate.values[np.isfinite(rate.values)]
    top = highest([rate])
    parts = []
    if top is not None:
        declared = stated(run, "schedule")
        parts.append(
            f"learning rate starts at {short(finite[0])}, peaks at {short(top[0])} (step {number(top[1])}), "
            f"ends at {short(finite[-1])}{f'; declared: {declared}' if declared else ''}."
        )
    ratios = [line for line in per_site(run, "update_weight_ratio") if len(line.steps)]
    start = highest([line.between(int(line.steps[0]), int(line.steps[0])) for line in ratios])
    if start is not None:
        parts.append(f"The first update moves {start[2]} most, by {short(start[0])} of its norm.")
        parts.append(spread(ratios, "Update/weight ratio"))
    return " ".join(parts)


PANEL = Panel(
    "lr",
    "Learning rate",
    "Did warmup and decay actually run?",
    "a ramp up from near zero, then a smooth decay; updates of a hundredth of the weights at first, a few hundredths "
    "at the end of warmup, a few thousandths at the end.",
    ("lr", "update_weight_ratio"),
    (View("Rate", _rate), View("Update / weight", _ratio)),
    _describe,
    frozenset({"lr", "warmup", "schedule", "update"}),
)
