"""Panel 5: is any weight matrix blowing up?"""

from __future__ import annotations

from functools import partial

from probes.panels.describe import spread
from probes.panels.panel import Panel, View
from probes.panels.site_lines import per_site, site_plot
from probes.record import Record


def _describe(run: Record) -> str:
    return spread(per_site(run, "spectral_norm"), "largest singular value")


PANEL = Panel(
    "spectral",
    "Spectral norm",
    "Is any weight matrix blowing up?",
    "growth in the first third that levels off as the rate decays; all between 1 and 10, the embedding highest.",
    ("spectral_norm",),
    (View("Spectral norm", partial(site_plot, "spectral_norm", "largest singular value")),),
    _describe,
    frozenset({"spectral", "weight", "weights"}),
)
