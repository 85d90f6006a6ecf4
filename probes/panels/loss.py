"""Panel 1: is the model learning, and does it generalise?"""

from __future__ import annotations

from math import log

import numpy as np

from probes.charts.downsample import smooth
from probes.charts.plot import SCALAR_POINTS, Level, Line, Plot, Window
from probes.charts.scale import number
from probes.diagnosis.curves import WINDOW
from probes.diagnosis.val_trend import stop_of
from probes.panels.describe import course, fact, lowest, short, unit_of_loss
from probes.panels.panel import Panel, View
from probes.panels.site_lines import measured, scalar, span
from probes.record import Record

SMOOTHED_SHARE = 50
"""The moving average over the batch loss spans this fraction of a run (one part in 50), ten steps
at least."""


def _splits(run: Record) -> tuple[Line, ...]:
    """Train and validation over the full splits; without a full-split train loss the smoothed batch
    loss."""
    train, val = scalar(run, "train_loss", "train", 0), scalar(run, "val_loss", "validation", 1)
    if not len(train.steps):
        steps, values = measured(run, "loss")
        smoothed = smooth(values, max(10.0, len(values) / SMOOTHED_SHARE))
        train = Line("batch, moving average", steps, smoothed, 0, limit=SCALAR_POINTS)
    return tuple(line for line in (train, val) if len(line.steps))


def _levels(run: Record) -> tuple[Level, ...]:
    rungs = (
        ("n-gram baseline, validation", "val", "ngram"),
        ("floor, train", "train", "floor"),
        ("floor, validation", "val", "floor"),
    )
    known = ((label, fact(run, "ladder", split, rung)) for label, split, rung in rungs)
    return tuple(
        Level(f"{label} {short(value)}", value)
        for label, value in known
        if value is not None and value > 0
    )


def _plot(run: Record, reference: Record | None) -> Plot:
    batch = scalar(run, "loss", "batch", 7, role="raw")
    behind = (
        line.between(*span(run)).thinned() for line in (_splits(reference) if reference else ())
    )
    return Plot(
        unit_of_loss(run),
        (*((batch,) if len(batch.steps) else ()), *_splits(run)),
        log=True,
        reference=tuple(line for line in behind if len(line.steps)),
        levels=_levels(run),
        window=_window(run),
    )


def _window(run: Record) -> Window | None:
    """The evaluations at which a run might as well have ended: smoothed validation within 1 % of
    its lowest."""
    steps, values = (
        run.series("val_loss")
        if run.sites("val_loss")
        else (run.steps[:0], run.column("val_loss")[:0])
    )
    steps, values = steps[np.isfinite(values)], values[np.isfinite(values)]
    if len(values) < WINDOW or values.min() <= 0:
        return None
    stop = stop_of(steps, values)
    return Window(stop.first, stop.last, f"best: {_span(stop.first, stop.last)}")


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _describe(run: Record) -> str:
    batch, train, val = (scalar(run, name, "", 0) for name in ("loss", "train_loss", "val_loss"))
    parts = _start(run, batch)
    shown, name = (train, "train") if len(train.steps) else (batch, "batch")
    if len(shown.steps):
        parts.append(f"{name} {course(shown)}")
    best = lowest([val])
    if best is not None:
        window = _window(run)
        last = float(val.values[np.isfinite(val.values)][-1])
        unit = f" {unit_of_loss(run)}".removesuffix(" loss")
        parts.append(f"validation ends at {short(last)}{unit}{_against(last, run)}")
        if best[0] < last:
            parts.append(f"its lowest was {short(best[0])} at step {number(best[1])}")
            if window:
                parts.append(
                    f"smoothed, it is within 1 % of its lowest at step {_span(window.first, window.last)}"
                )
    return "; ".join(parts) + "." if parts else ""


def _start(run: Record, batch: Line) -> list[str]:
    """The loss before the first update, beside that of a model that knows nothing."""
    if not len(batch.steps) or batch.steps[0] != 0:
        return []
    vocabulary = fact(run, "vocab_size")
    know_nothing = (
        f" (ln V = {short(log(vocabulary))})" if vocabulary is not None and vocabulary >= 1 else ""
    )
    return [f"batch loss starts at {short(float(batch.values[0]))}{know_nothing}"]


def _against(last: float, run: Record) -> str:
    """Where a validation loss lies on the ladder: against the n-gram and the bound it cannot
    honestly cross."""
    baseline, floor = fact(run, "ladder", "val", "ngram"), fact(run, "ladder", "val", "floor")
    if floor is not None and last < floor:
        return f", {short(floor - last)} below the floor {short(floor)}"
    if baseline is None:
        return ""
    side = "below" if last < baseline else "above"
    return f", {short(abs(baseline - last))} {side} the n-gram baseline {short(baseline)}"


PANEL = Panel(
    "loss",
    "Loss",
    "Is the model learning, and does it generalise?",
    "both curves start near ln V, fall together, cross the n-gram baseline and level off above their floors.",
    ("loss", "train_loss", "val_loss"),
    (View("Loss", _plot),),
    _describe,
    frozenset({"loss", "floor", "stalled"}),
)
