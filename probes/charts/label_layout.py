"""Where the names of levels and events stand: beside what they name, clear of each other, out of
the lines' way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from probes.charts.plot import Plot
from probes.charts.scale import Scale

LETTER, LINE = 0.0145, 0.068
"""Width of a letter and height of a line, as shares of the data area."""
SAMPLES = 120
MOST_LABELS = 8
EVENT_ROWS = 3


@dataclass(frozen=True)
class Label:
    """A name at (x, y), shares of the data area from its lower left corner; it ends there when
    `end`, else begins."""

    text: str
    kind: str
    x: float
    y: float
    end: bool

    @property
    def left(self) -> float:
        return self.x - LETTER * len(self.text) * self.end

    def overlaps(self, other: Label) -> bool:
        apart = abs(self.y - other.y) >= LINE or self.left >= other.left + LETTER * len(other.text)
        return not (apart or other.left >= self.left + LETTER * len(self.text))


def labels_of(plot: Plot, scale: Scale) -> list[Label]:
    """The labels of a chart, each at the one of its possible places where it hides least."""
    curves = _curves(plot, scale)
    placed: list[Label] = []
    for candidates in _wanted(plot, scale):
        if len(placed) < MOST_LABELS:
            placed.append(min(candidates, key=lambda label: _cost(label, placed, curves)))
    return placed


def _wanted(plot: Plot, scale: Scale) -> Iterator[list[Label]]:
    """For each label its possible places, the preferred one first."""
    for text, y in _named_levels(plot, scale):
        yield [
            Label(text, "level", float(end), y + shift, bool(end))
            for shift in (0.02, 0.015 - LINE)
            for end in (0, 1)
        ]
    first, last = plot.span
    for event in plot.events:
        yield list(_beside("event", event.label, (event.step - first) / max(1, last - first)))
    if plot.window is not None:
        yield list(
            _beside("window", plot.window.label, (plot.window.first - first) / max(1, last - first))
        )
    for begin, _ in plot.lost()[:1]:
        yield list(_beside("lost", "not finite", (begin - first) / max(1, last - first)))


def _named_levels(plot: Plot, scale: Scale) -> list[tuple[str, float]]:
    """Names of levels and their heights, from the top; levels too close for two names share one,
    over the upper."""
    heights = scale.share(np.array([level.value for level in plot.levels])).tolist()
    named: list[tuple[str, float]] = []
    bottom = np.inf
    for height, level in sorted(zip(heights, plot.levels, strict=True), key=lambda pair: -pair[0]):
        if bottom - height < LINE:
            named[-1] = (f"{named[-1][0]} · {level.label}", named[-1][1])
        else:
            named.append((level.label, height))
        bottom = height
    return named


def _beside(kind: str, text: str, x: float) -> Iterator[Label]:
    """Places on either side of a vertical line, at the top and, for want of room, at the bottom."""
    for row in range(EVENT_ROWS):
        for y in (1 - LINE * (row + 0.8), LINE * (row + 0.3)):
            for end in (x > 0.5, x <= 0.5):
                yield Label(text, kind, x - 0.01 if end else x + 0.01, y, end)


def _curves(plot: Plot, scale: Scale) -> npt.NDArray[np.float64]:
    """Every line sampled at even distances, as shares of the height: [lines, SAMPLES]."""
    if not plot.levels and not plot.events:
        return np.empty((0, SAMPLES))
    steps = np.linspace(*plot.span, SAMPLES)
    lines = [line for line in (*plot.lines, *plot.reference) if np.isfinite(line.values).any()]
    rows = []
    for line in lines:
        shares, finite = scale.share(line.values), np.isfinite(line.values)
        rows.append(np.interp(steps, line.steps[finite], shares[finite], left=np.nan, right=np.nan))
    return np.array(rows).reshape(-1, SAMPLES)


def _cost(label: Label, placed: list[Label], curves: npt.NDArray[np.float64]) -> float:
    """How much a label hides: samples of lines under it; a hundred for another label, or for
    leaving the chart."""
    begin, end = (
        round(share * SAMPLES) for share in (label.left, label.left + LETTER * len(label.text))
    )
    under = curves[:, max(0, begin) : end]
    hidden = int(((under > label.y - 0.3 * LINE) & (under < label.y + LINE)).sum())
    outside = (
        label.left < 0 or label.left + LETTER * len(label.text) > 1 or not -0.02 <= label.y <= 1
    )
    return hidden + 100 * (sum(map(label.overlaps, placed)) + outside)
