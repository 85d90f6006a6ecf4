"""Is the rule learned before the exceptions?

The charts also show the "tax", the cost of the exceptions: the loss on held-out irregular forms
minus the loss on held-out regular forms.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from probes.charts.plot import Area, Level, Line, Plot
from probes.diagnosis.base import PanelKey, ViewKey
from probes.panels.describe import fact_number, first_to_last, short, unit_of_loss
from probes.panels.lines import measured, most_extreme, reference_lines, site_lines
from probes.panels.panel import Panel, View
from probes.panels.site_names import COLOURS
from probes.record import Record

REGULAR, IRREGULAR = "regular", "irregular"
ALL_TENSES = "val_loss_by_class"
COMPOSITIONAL = "val_loss_by_class_compositional"
TRAINING = "train_loss_by_class"
CLASS_COLOURS = {REGULAR: 0, IRREGULAR: 1}
TAX_COLOUR = 3
OTHER_COLOURS = 4
"""Index of the first colour for classes other than regular and irregular."""


def tax(run: Record, signal: str) -> Line:
    """The loss on irregular forms minus the loss on regular forms, at the steps at which both were
    measured."""
    steps, regular = measured(run, signal, REGULAR)
    others, irregular = measured(run, signal, IRREGULAR)
    common, at_regular, at_irregular = np.intersect1d(
        steps, others, assume_unique=True, return_indices=True
    )
    with np.errstate(invalid="ignore"):
        return Line("tax", common, irregular[at_irregular] - regular[at_regular], TAX_COLOUR)


def _classes(run: Record, signal: str) -> tuple[Line, ...]:
    """The loss of each class, as one line per class."""
    return tuple(
        replace(
            line,
            colour=CLASS_COLOURS.get(line.label, (line.colour + OTHER_COLOURS) % COLOURS),
        )
        for line in site_lines(run, signal)
    )


def _plot(signal: str, run: Record, reference: Record | None, with_training: bool = False) -> Plot:
    difference = tax(run, signal)
    own = [*_classes(run, signal), *([difference] if len(difference.steps) else [])]
    if with_training:
        own += [
            replace(line, label=f"{line.label}, training rows", dash=2, role="thin")
            for line in _classes(run, TRAINING)
        ]
    # The tax is drawn as the area between the lines of both classes.
    steps, regular = measured(run, signal, REGULAR)
    at = np.isin(steps, difference.steps[np.isfinite(difference.values)])
    gap = None
    if at.any():
        low = Line("", steps[at], regular[at]).thinned()
        kept = np.isin(difference.steps, low.steps)
        gap = Area("tax", low.steps, low.values, low.values + difference.values[kept], "tax")
    lines, note = most_extreme(tuple(own))
    behind = (*_classes(reference, signal), tax(reference, signal)) if reference else ()
    baseline = fact_number(run, "ladder", "val", "class_baseline")
    levels = [] if baseline is None else [Level(f"n-gram baseline {short(baseline)}", baseline)]
    return Plot(
        unit_of_loss(run),
        lines,
        reference=reference_lines(run, most_extreme(behind)[0]),
        gap=gap,
        levels=tuple(levels),
        include=(0.0,),
        note=note,
    )


def _describe(run: Record) -> str:
    parts = [f"{line.label} {first_to_last(line)}" for line in _classes(run, ALL_TENSES)[:4]]
    for signal, where in (
        (ALL_TENSES, ""),
        (COMPOSITIONAL, " on compositional tenses alone"),
        (TRAINING, " on training rows"),
    ):
        values = tax(run, signal).values
        values = values[np.isfinite(values)]
        if len(values):
            late = values[-max(1, len(values) // 4) :]
            parts.append(f"mean tax of the last quarter{where} {short(float(late.mean()))}")
    return "; ".join(parts) + "." if parts else ""


PANEL = Panel(
    key=PanelKey.VERB_CLASSES,
    title="Regular and irregular verbs",
    question="Is the rule learned before the exceptions?",
    healthy_look=(
        "the loss on regular forms reaches the n-gram baseline first. The loss on held-out "
        "irregular forms falls little, late or not at all: a form such as went or written occurs "
        "in only one tense of its verb, so it cannot be inferred when it is held out. Only the "
        "compositional tenses can be inferred for every verb."
    ),
    views=(
        View(
            ViewKey.ALL_TENSES,
            "All tenses",
            (ALL_TENSES, TRAINING),
            partial(_plot, ALL_TENSES, with_training=True),
        ),
        View(
            ViewKey.COMPOSITIONAL_TENSES,
            "Compositional tenses",
            (COMPOSITIONAL,),
            partial(_plot, COMPOSITIONAL),
        ),
    ),
    sentences=(_describe,),
)
