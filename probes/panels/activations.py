"""Panel 4: does the signal keep its scale through depth?"""

from __future__ import annotations

from functools import partial

from probes.panels.describe import spread
from probes.panels.panel import Panel, View
from probes.panels.site_lines import per_site, site_plot
from probes.record import Record


def _describe(run: Record) -> str:
    parts = (
        spread(per_site(run, "activation"), "mean |activation|"),
        spread(per_site(run, "grad_activation_ratio"), "Gradient/activation ratio"),
    )
    return " ".join(part for part in parts if part)


PANEL = Panel(
    "activations",
    "Activations",
    "Does the signal keep its scale through depth?",
    "every layer between about a tenth and ten, steady after the first third; none grows or vanishes without end.",
    ("activation", "grad_activation_ratio"),
    (
        View("Activation", partial(site_plot, "activation", "mean |activation|")),
        View(
            "Gradient / activation",
            partial(site_plot, "grad_activation_ratio", "RMS gradient / mean |activation|"),
        ),
    ),
    _describe,
    frozenset({"activation", "activations"}),
)
