"""Does the signal keep its scale through depth?"""

from __future__ import annotations

from functools import partial

from probes.diagnosis.base import PanelKey, ViewKey
from probes.panels.describe import range_sentence
from probes.panels.lines import site_plot
from probes.panels.panel import Panel, View

PANEL = Panel(
    key=PanelKey.ACTIVATIONS,
    title="Activations",
    question="Does the signal keep its scale through depth?",
    healthy_look=(
        "the values of every layer are between about 0.1 and 10 and steady after the first third "
        "of the run; no layer keeps growing or shrinking."
    ),
    views=(
        View(
            ViewKey.ACTIVATION,
            "Activation",
            ("activation",),
            partial(site_plot, "activation", "mean |activation|"),
        ),
        View(
            ViewKey.GRAD_ACTIVATION_RATIO,
            "Gradient / activation",
            ("grad_activation_ratio",),
            partial(site_plot, "grad_activation_ratio", "RMS gradient / mean |activation|"),
        ),
    ),
    sentences=(
        partial(range_sentence, "activation", "mean |activation|"),
        partial(range_sentence, "grad_activation_ratio", "Gradient/activation ratio"),
    ),
)
