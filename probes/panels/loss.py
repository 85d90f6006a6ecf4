"""Is the model learning, and does it generalise?"""

from __future__ import annotations

from math import log

import numpy as np

from probes.charts.downsample import moving_average
from probes.charts.plot import MAX_SCALAR_POINTS, Level, Line, Plot, Window
from probes.charts.scale import number
from probes.diagnosis.base import PanelKey, ViewKey
from probes.diagnosis.curves import SMOOTHING_WINDOW
from probes.diagnosis.val_trend import stop_of
from probes.panels.describe import fact_number, first_to_last, lowest, short, unit_of_loss
from probes.panels.lines import measured, reference_lines, scalar_line
from probes.panels.panel import Panel, View
from probes.record import Record

AVERAGING_WINDOWS_PER_RUN = 50
MIN_AVERAGING_WINDOW = 10.0
"""The window of the moving average of the batch loss is a fiftieth of the measurements, but at
least ten of them."""


def _split_losses(run: Record) -> tuple[Line, ...]:
    """The losses on the whole training split and on the whole validation split.

    If the loss on the whole training split was not recorded, the moving average of the batch loss
    replaces it.
    """
    train = scalar_line(run, "train_loss", "train", 0)
    val = scalar_line(run, "val_loss", "validation", 1)
    if not len(train.steps):
        steps, values = measured(run, "loss")
        window = max(MIN_AVERAGING_WINDOW, len(values) / AVERAGING_WINDOWS_PER_RUN)
        averaged = moving_average(values, window)
        train = Line("batch, moving average", steps, averaged, 0, limit=MAX_SCALAR_POINTS)
    return tuple(line for line in (train, val) if len(line.steps))


def _plot(run: Record, reference: Record | None) -> Plot:
    batch = scalar_line(run, "loss", "batch", 7, role="raw")
    # Reference losses from the ladder in the facts
    rungs = (
        ("n-gram baseline, validation", "val", "ngram"),
        ("floor, train", "train", "floor"),
        ("floor, validation", "val", "floor"),
    )
    levels = (
        (label, fact_number(run, "ladder", split, rung) or 0.0) for label, split, rung in rungs
    )
    best = _best_steps(run)
    return Plot(
        unit_of_loss(run),
        (*((batch,) if len(batch.steps) else ()), *_split_losses(run)),
        log=True,
        reference=reference_lines(run, _split_losses(reference) if reference else ()),
        levels=tuple(
            Level(f"{label} {short(value)}", value) for label, value in levels if value > 0
        ),
        window=Window(*best, f"best: {_step_range_text(*best)}") if best else None,
    )


def _best_steps(run: Record) -> tuple[int, int] | None:
    """The first and the last step of the range in which it is best to stop training. In this range
    the smoothed validation loss is within 1 % of its lowest value. None if it is not known."""
    if not run.sites("val_loss"):
        return None
    steps, values = run.series("val_loss")
    steps, values = steps[np.isfinite(values)], values[np.isfinite(values)]
    if len(values) < SMOOTHING_WINDOW or values.min() <= 0:
        return None
    stop = stop_of(steps, values)
    return stop.first, stop.last


def _step_range_text(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _describe(run: Record) -> str:
    batch, train, val = (scalar_line(run, name, "") for name in ("loss", "train_loss", "val_loss"))
    parts = []
    if len(batch.steps) and batch.steps[0] == 0:  # the loss before the first update was logged
        vocabulary = fact_number(run, "vocab_size") or 0.0
        # A model that predicts all V symbols with equal probability has the loss ln V.
        log_v = f" (ln V = {short(log(vocabulary))})" if vocabulary >= 1 else ""
        parts.append(f"batch loss starts at {short(float(batch.values[0]))}{log_v}")
    shown, name = (train, "train") if len(train.steps) else (batch, "batch")
    if len(shown.steps):
        parts.append(f"{name} {first_to_last(shown)}")
    best = lowest([val])
    if best is not None:
        last = float(val.values[np.isfinite(val.values)][-1])
        unit = f" {unit_of_loss(run)}".removesuffix(" loss")
        parts.append(f"validation ends at {short(last)}{unit}{_distance_from_ladder(run, last)}")
        if best[0] < last:
            parts.append(f"its lowest was {short(best[0])} at step {number(best[1])}")
            if steps := _best_steps(run):
                parts.append(
                    "the smoothed loss is within 1 % of its lowest at step "
                    f"{_step_range_text(*steps)}"
                )
    return "; ".join(parts) + "." if parts else ""


def _distance_from_ladder(run: Record, val_loss: float) -> str:
    """The distance of a validation loss from the n-gram baseline; for a loss below the entropy
    floor, its distance from the floor."""
    baseline = fact_number(run, "ladder", "val", "ngram")
    floor = fact_number(run, "ladder", "val", "floor")
    if floor is not None and val_loss < floor:
        return f", {short(floor - val_loss)} below the floor {short(floor)}"
    if baseline is None:
        return ""
    side = "below" if val_loss < baseline else "above"
    return f", {short(abs(baseline - val_loss))} {side} the n-gram baseline {short(baseline)}"


PANEL = Panel(
    key=PanelKey.LOSS,
    title="Loss",
    question="Is the model learning, and does it generalise?",
    healthy_look=(
        "both curves start near ln V, fall together, cross the n-gram baseline and level off above "
        "their floors."
    ),
    views=(View(ViewKey.LOSS, "Loss", ("loss", "train_loss", "val_loss"), _plot),),
    sentences=(_describe,),
)
