"""Panel 7: is the rule learned before the exceptions?

The tax is what the exceptions cost: the loss on irregular minus the loss on regular held-out forms.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from probes.charts.plot import Area, Level, Line, Plot
from probes.panels.describe import course, fact, short, unit_of_loss
from probes.panels.panel import Panel, View
from probes.panels.site_lines import COLOURS, choose, measured, per_site, span
from probes.record import Record

REGULAR, IRREGULAR = "regular", "irregular"
WHOLE, COMPOSITIONAL, TRAINING = (
    "val_loss_by_class",
    "val_loss_by_class_compositional",
    "train_loss_by_class",
)
COLOUR = {REGULAR: 0, IRREGULAR: 1}


def tax(run: Record, signal: str) -> Line:
    """Irregular minus regular, at the steps at which both were measured."""
    steps, regular = measured(run, signal, REGULAR)
    others, irregular = measured(run, signal, IRREGULAR)
    common, here, there = np.intersect1d(steps, others, assume_unique=True, return_indices=True)
    with np.errstate(invalid="ignore"):
        return Line("tax", common, irregular[there] - regular[here], 3)


def _classes(run: Record, signal: str, label: str = "{}") -> tuple[Line, ...]:
    """One line per class, regular and irregular in their own colours, other classes in the colours
    that are left."""
    return tuple(
        replace(
            line,
            label=label.format(line.label),
            colour=COLOUR.get(line.label, (line.colour + 4) % COLOURS),
        )
        for line in per_site(run, signal)
    )


def _plot(signal: str, run: Record, reference: Record | None, with_training: bool = False) -> Plot:
    difference = tax(run, signal)
    training = _classes(run, TRAINING, "{}, training rows") if with_training else ()
    faint = (replace(line, dash=2, role="thin") for line in training)
    lines, note = choose(
        (*_classes(run, signal), *((difference,) if len(difference.steps) else ()), *faint)
    )
    baseline = fact(run, "ladder", "val", "class_baseline")
    behind = (*_classes(reference, signal), tax(reference, signal)) if reference else ()
    inside = (line.between(*span(run)).thinned() for line in choose(behind)[0])
    return Plot(
        unit_of_loss(run),
        lines,
        reference=tuple(line for line in inside if len(line.steps)),
        gap=_gap(run, signal, difference),
        levels=(Level(f"n-gram baseline {short(baseline)}", baseline),)
        if baseline is not None
        else (),
        include=(0.0,),
        note=note,
    )


def _gap(run: Record, signal: str, difference: Line) -> Area | None:
    """The area between the two classes, which is the tax made visible."""
    steps, regular = measured(run, signal, REGULAR)
    at = np.isin(steps, difference.steps[np.isfinite(difference.values)])
    if not at.any():
        return None
    low = Line("", steps[at], regular[at]).thinned()
    kept = np.isin(difference.steps, low.steps)
    return Area("tax", low.steps, low.values, low.values + difference.values[kept], "tax")


def _describe(run: Record) -> str:
    parts = [f"{line.label} {course(line)}" for line in _classes(run, WHOLE)[:4]]
    for signal, where in (
        (WHOLE, ""),
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
    "classes",
    "Regular and irregular verbs",
    "Is the rule learned before the exceptions?",
    "regular forms reach the n-gram baseline first; held-out irregular ones fall little, and late if at all: went and "
    "written occur in no other cell, so a held-out one cannot be inferred and its loss stays high. Only the "
    "compositional tenses can be inferred for every verb.",
    (WHOLE, COMPOSITIONAL, TRAINING),
    (
        View("All tenses", partial(_plot, WHOLE, with_training=True)),
        View("Compositional tenses", partial(_plot, COMPOSITIONAL)),
    ),
    _describe,
    frozenset({"class", "tax", "regular", "irregular"}),
)
