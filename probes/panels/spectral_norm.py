"""Is any weight matrix blowing up?"""

from __future__ import annotations

from functools import partial

from probes.diagnosis.base import PanelKey, ViewKey
from probes.panels.describe import range_sentence
from probes.panels.lines import site_plot
from probes.panels.panel import Panel, View

PANEL = Panel(
    key=PanelKey.SPECTRAL_NORM,
    title="Spectral norm",
    question="Is any weight matrix blowing up?",
    healthy_look=(
        "all norms grow in the first third of the run and level off as the learning rate decays; "
        "all are between 1 and 10, and that of the embedding is the highest."
    ),
    views=(
        View(
            ViewKey.SPECTRAL_NORM,
            "Spectral norm",
            ("spectral_norm",),
            partial(site_plot, "spectral_norm", "largest singular value"),
        ),
    ),
    sentences=(partial(range_sentence, "spectral_norm", "largest singular value"),),
)
