"""Panel 6: is capacity lying idle?"""

from __future__ import annotations

from functools import partial

from probes.charts.scale import percentage
from probes.panels.describe import ends, highest, lowest, short
from probes.panels.panel import Panel, View
from probes.panels.site_lines import per_site, site_plot
from probes.record import Record

LEAST_SHARE = 0.1
"""The axis of dead neurons reaches a tenth at least, so that a handful does not look like a
catastrophe."""


def _describe(run: Record) -> str:
    parts = []
    dead = per_site(run, "dead_fraction")
    last, top = ends(dead), highest(dead)
    if last and top:
        low, high = percentage(last[0][0]), percentage(last[1][0])
        parts.append(
            f"dead neurons end at {low if low == high else f'{low} to {high}'}; "
            f"highest {percentage(top[0])}{f' ({top[2]}, step {top[1]})' if top[0] > 0 else ''}."
        )
    heads = per_site(run, "attention_entropy")
    last, bottom = ends(heads), lowest(heads)
    if last and bottom:
        parts.append(
            f"Attention entropy of the {len(heads)} heads ends between {short(last[0][0])} ({last[0][1]}) and "
            f"{short(last[1][0])} ({last[1][1]}); lowest {short(bottom[0])} ({bottom[2]}, step {bottom[1]})."
        )
    return " ".join(parts)


PANEL = Panel(
    "dead",
    "Dead units",
    "Is capacity lying idle?",
    "hardly any neuron silent on every token; heads that sharpen from 0.8 to 0.1-0.3, none stuck on one key (near 0).",
    ("dead_fraction", "attention_entropy"),
    (
        View(
            "Dead neurons",
            partial(
                site_plot, "dead_fraction", "share of FFN neurons silent on every token",
                log=False, percent=True, include=(0.0, LEAST_SHARE),
            ),
        ),
        View(
            "Attention entropy",
            partial(
                site_plot, "attention_entropy", "entropy / ln(visible keys): 1 even, 0 stuck on one key",
                log=False, include=(0.0, 1.0),
            ),
        ),
    ),
    _describe,
    frozenset({"dead", "head", "heads", "attention", "stuck", "neuron", "neurons"}),
)  # fmt: skip
