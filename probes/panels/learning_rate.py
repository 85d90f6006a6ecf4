"""Did warmup and decay actually run?"""

from __future__ import annotations

from functools import partial

import numpy as np

from probes.charts.plot import Level
from probes.charts.scale import number
from probes.diagnosis.base import PanelKey, ViewKey
from probes.panels.describe import fact_text, highest, range_sentence, short
from probes.panels.lines import scalar_line, scalar_plot, site_lines, site_plot
from probes.panels.panel import Panel, View
from probes.record import Record

USUAL_RATIO = Level("usual 1e-3", 1e-3)
"""Updates are usually about a thousandth of the weights (Karpathy 2015, CS231n notes)."""


def _rate(run: Record) -> str:
    """The first, the highest and the last learning rate, and the declared schedule."""
    rate = scalar_line(run, "lr", "learning rate")
    top = highest([rate])
    if top is None:
        return ""
    finite = rate.values[np.isfinite(rate.values)]
    schedule = fact_text(run, "schedule")
    declared = f"; declared: {schedule}" if schedule else ""
    return (
        f"learning rate starts at {short(finite[0])}, peaks at {short(top[0])} "
        f"(step {number(top[1])}), ends at {short(finite[-1])}{declared}."
    )


def _updates(run: Record) -> str:
    """The largest first update, and the range of the update/weight ratio."""
    ratios = [line for line in site_lines(run, "update_weight_ratio") if len(line.steps)]
    start = highest([line.between(int(line.steps[0]), int(line.steps[0])) for line in ratios])
    if start is None:
        return ""
    return (
        f"The first update moves {start[2]} most, by {short(start[0])} of its norm. "
        + range_sentence("update_weight_ratio", "Update/weight ratio", run)
    )


PANEL = Panel(
    key=PanelKey.LEARNING_RATE,
    title="Learning rate",
    question="Did warmup and decay actually run?",
    healthy_look=(
        "the rate ramps up from near zero, then decays smoothly; the updates are a hundredth of "
        "the weights at first, a few hundredths at the end of warmup, and a few thousandths at the "
        "end of the run."
    ),
    views=(
        View(
            ViewKey.RATE,
            "Rate",
            ("lr",),
            partial(scalar_plot, "lr", "learning rate", include=(0.0,)),
        ),
        View(
            ViewKey.UPDATE_WEIGHT_RATIO,
            "Update / weight",
            ("update_weight_ratio",),
            partial(
                site_plot,
                "update_weight_ratio",
                "update norm / weight norm",
                levels=(USUAL_RATIO,),
            ),
        ),
    ),
    sentences=(_rate, _updates),
)
