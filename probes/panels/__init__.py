"""The panels, in the order in which a page shows them. Each panel answers one question and has its
own file."""

from probes.panels import (
    activations,
    dead_units,
    gradient_norm,
    learning_rate,
    loss,
    regular_irregular,
    spectral_norm,
)
from probes.panels.panel import Panel

PANELS: tuple[Panel, ...] = (
    loss.PANEL,
    learning_rate.PANEL,
    gradient_norm.PANEL,
    activations.PANEL,
    spectral_norm.PANEL,
    dead_units.PANEL,
    regular_irregular.PANEL,
)
