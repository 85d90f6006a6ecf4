"""Is the model learning, and does it generalise?"""

from __future__ import annotations

from math import log

import numpy as np

from probes.charts.downsample import moving_average
from probes.charts.plot import SCALAR_POINTS, Level, Line, Plot, Window
from probes.charts.scale import number
from probes.diagnosis.base import PanelKey, ViewKey
from probes.diagnosis.curves import SMOOTHING_WINDOW
from probes.diagnosis.val_trend import stop_of
from probes.panels.describe import fact, first_to_last, lowest, short, unit_of_loss
from probes.panels.lines import measured, reference_lines, scalar_line
from probes.panels.panel import Panel, View
from probes.record import Record

AVERAGES_PER_RUN = 50
MIN_AVERAGED = 10.0
"""The moving average of the batch loss spans a fiftieth of the run, and at least ten steps."""


def _splits(run: Record) -> tuple[Line, ...]:
    """The losses on the whole training and validation splits.

    Without a loss on the whole training split, the moving average of the batch loss replaces it.
    """
    train = scalar_line(run, "train_loss", "train", 0)
    val = scalar_line(run, "val_loss", "validation", 1)
    if not len(train.steps):
        steps, values = measured(run, "loss")
        averaged = moving_average(values, max(MIN_AVERAGED, len(values) / AVERAGES_PER_RUN))
        train = Line("batch, moving average", steps, averaged, 0, limit=SCALAR_POINTS)
    return tuple(line for line in (train, val) if len(line.steps))


def _plot(run: Record, reference: Record | None) -> Plot:
    batch = scalar_line(run, "loss", "batch", 7, role="raw")
    return Plot(
        unit_of_loss(run),
        (*((batch,) if len(batch.steps) else ()), *_splits(run)),
        log=True,
        reference=reference_lines(run, _splits(reference) if reference else ()),
        levels=_levels(run),
        window=_best_window(run),
    )


def _levels(run: Record) -> tuple[Level, ...]:
    """The rungs of the ladder that a loss is compared with."""
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


def _best_steps(run: Record) -> tuple[int, int] | None:
    """The first and the last step at which training could have stopped: the smoothed validation
    loss is within 1 % of its lowest."""
    if not run.sites("val_loss"):
        return None
    steps, values = run.series("val_loss")
    steps, values = steps[np.isfinite(values)], values[np.isfinite(values)]
    if len(values) < SMOOTHING_WINDOW or values.min() <= 0:
        return None
    stop = stop_of(steps, values)
    return stop.first, stop.last


def _best_window(run: Record) -> Window | None:
    best = _best_steps(run)
    return Window(*best, f"best: {_in_words(*best)}") if best else None


def _in_words(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _describe(run: Record) -> str:
    batch, train, val = (scalar_line(run, name, "") for name in ("loss", "train_loss", "val_loss"))
    parts = [*_start(run, batch)]
    shown, name = (train, "train") if len(train.steps) else (batch, "batch")
    if len(shown.steps):
        parts.append(f"{name} {first_to_last(shown)}")
    best = lowest([val])
    if best is not None:
        last = float(val.values[np.isfinite(val.values)][-1])
        unit = f" {unit_of_loss(run)}".removesuffix(" loss")
        parts.append(f"validation ends at {short(last)}{unit}{_on_ladder(run, last)}")
        if best[0] < last:
            parts.append(f"its lowest was {short(best[0])} at step {number(best[1])}")
            if steps := _best_steps(run):
                parts.append(
                    f"smoothed, it is within 1 % of its lowest at step {_in_words(*steps)}"
                )
    return "; ".join(parts) + "." if parts else ""


def _start(run: Record, batch: Line) -> list[str]:
    """The loss before the first update, compared with the loss of a model that knows nothing."""
    if not len(batch.steps) or batch.steps[0] != 0:
        return []
    vocabulary = fact(run, "vocab_size") or 0.0
    log_v = f" (ln V = {short(log(vocabulary))})" if vocabulary >= 1 else ""
    return [f"batch loss starts at {short(float(batch.values[0]))}{log_v}"]


def _on_ladder(run: Record, val_loss: float) -> str:
    """The distance of a validation loss from the n-gram baseline, or from the entropy floor when it
    is below it."""
    baseline, floor = fact(run, "ladder", "val", "ngram"), fact(run, "ladder", "val", "floor")
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
    describe=_describe,
)
