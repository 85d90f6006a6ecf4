"""Are parts of the model unused?"""

from __future__ import annotations

from functools import partial

from probes.charts.scale import percentage
from probes.diagnosis.base import PanelKey, ViewKey
from probes.panels.describe import highest, last_range, lowest, short
from probes.panels.lines import site_lines, site_plot
from probes.panels.panel import Panel, View
from probes.record import Record

MIN_AXIS_END = 0.1
"""The axis of the share of dead neurons ends at this value or above, so that a small share does not
look large."""


def _neurons(run: Record) -> str:
    """The share of dead neurons at the end of a run, and the highest share."""
    lines = site_lines(run, "dead_fraction")
    last, top = last_range(lines), highest(lines)
    if last is None or top is None:
        return ""
    low, high = percentage(last[0][0]), percentage(last[1][0])
    at_end = low if low == high else f"{low} to {high}"
    where = f" ({top[2]}, step {top[1]})" if top[0] > 0 else ""
    return f"dead neurons end at {at_end}; highest {percentage(top[0])}{where}."


def _heads(run: Record) -> str:
    """The range of the attention entropy at the end of a run, and the lowest value."""
    lines = site_lines(run, "attention_entropy")
    last, bottom = last_range(lines), lowest(lines)
    if last is None or bottom is None:
        return ""
    (low, low_name), (high, high_name) = last
    return (
        f"Attention entropy of the {len(lines)} heads ends between {short(low)} ({low_name}) and "
        f"{short(high)} ({high_name}); lowest {short(bottom[0])} ({bottom[2]}, step {bottom[1]})."
    )


PANEL = Panel(
    key=PanelKey.DEAD_UNITS,
    title="Dead units",
    question="Are parts of the model unused?",
    healthy_look=(
        "hardly any neuron is silent on every token; the entropy of the heads falls from 0.8 to "
        "0.1-0.3, and no head is stuck on one key (near 0)."
    ),
    views=(
        View(
            ViewKey.DEAD_NEURONS,
            "Dead neurons",
            ("dead_fraction",),
            partial(
                site_plot,
                "dead_fraction",
                "share of FFN neurons silent on every token",
                log=False,
                percent=True,
                include=(0.0, MIN_AXIS_END),
            ),
        ),
        View(
            ViewKey.ATTENTION_ENTROPY,
            "Attention entropy",
            ("attention_entropy",),
            partial(
                site_plot,
                "attention_entropy",
                "entropy / ln(visible keys): 1 even, 0 stuck on one key",
                log=False,
                include=(0.0, 1.0),
            ),
        ),
    ),
    sentences=(_neurons, _heads),
)
