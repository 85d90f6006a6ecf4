"""Places for the names of levels, windows and events: near what they name, and clear of each other
and of the lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from probes.charts.plot import Plot
from probes.charts.scale import Scale

LETTER_WIDTH, LINE_HEIGHT = 0.0145, 0.068
"""Size of a letter, as shares of the data area."""
SAMPLES = 120
"""Evenly spaced places at which lines are compared with labels."""
MAX_LABELS = 8
ROWS = 3
"""Rows at the top and at the bottom of a chart that may hold the name of a vertical line."""
COLLISION_COST = 100
"""Cost of hiding another label or leaving the chart, where hiding one sample of a line costs 1."""


@dataclass(frozen=True)
class Label:
    """A name at (x, y), as shares of the data area from its lower left corner.

    kind       what it names: `level`, `event`, `window` or `lost`
    ends_at_x  the text ends at x instead of beginning there
    """

    text: str
    kind: str
    x: float
    y: float
    ends_at_x: bool

    @property
    def left(self) -> float:
        return self.x - self.width if self.ends_at_x else self.x

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def width(self) -> float:
        return LETTER_WIDTH * len(self.text)

    def overlaps(self, other: Label) -> bool:
        return (
            abs(self.y - other.y) < LINE_HEIGHT
            and self.left < other.right
            and other.left < self.right
        )


def place_labels(plot: Plot, scale: Scale) -> list[Label]:
    """At most MAX_LABELS labels, each at its possible place where it hides least."""
    curves = _curves(plot, scale)
    placed: list[Label] = []
    for candidates in _candidates(plot, scale):
        if len(placed) < MAX_LABELS:
            placed.append(min(candidates, key=lambda label: _cost(label, placed, curves)))
    return placed


def _candidates(plot: Plot, scale: Scale) -> Iterator[list[Label]]:
    """The possible places of each label, in order of preference."""
    for text, y in _named_levels(plot, scale):
        yield [
            Label(text, "level", float(at_end), y + shift, at_end)
            for shift in (0.02, 0.015 - LINE_HEIGHT)
            for at_end in (False, True)
        ]
    first, last = plot.span
    verticals = [("event", event.label, event.step) for event in plot.events]
    if plot.window is not None:
        verticals.append(("window", plot.window.label, plot.window.first))
    verticals += [("lost", "not finite", begin) for begin, _ in plot.nonfinite_spans()[:1]]
    for kind, text, step in verticals:
        yield list(_beside(kind, text, (step - first) / max(1, last - first)))


def _named_levels(plot: Plot, scale: Scale) -> list[tuple[str, float]]:
    """Names of levels and their heights, highest first.

    Levels that are too close for two names share one, which stands at the upper level.
    """
    heights = scale.share(np.array([level.value for level in plot.levels])).tolist()
    named: list[tuple[str, float]] = []
    previous = np.inf
    for height, level in sorted(zip(heights, plot.levels, strict=True), key=lambda pair: -pair[0]):
        if previous - height < LINE_HEIGHT:
            named[-1] = (f"{named[-1][0]} · {level.label}", named[-1][1])
        else:
            named.append((level.label, height))
        previous = height
    return named


def _beside(kind: str, text: str, x: float) -> Iterator[Label]:
    """Places on both sides of a vertical line, near the top and near the bottom of the chart."""
    for row in range(ROWS):
        for y in (1 - LINE_HEIGHT * (row + 0.8), LINE_HEIGHT * (row + 0.3)):
            for ends_at_x in (x > 0.5, x <= 0.5):
                yield Label(text, kind, x - 0.01 if ends_at_x else x + 0.01, y, ends_at_x)


def _curves(plot: Plot, scale: Scale) -> npt.NDArray[np.float64]:
    """Every line at SAMPLES places, as shares of the height: [lines, SAMPLES]. NaN outside a
    line."""
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
    """How much a label hides: 1 for each sample of a line, COLLISION_COST for each other label."""
    begin, end = round(label.left * SAMPLES), round(label.right * SAMPLES)
    under = curves[:, max(0, begin) : end]
    hidden = (under > label.y - 0.3 * LINE_HEIGHT) & (under < label.y + LINE_HEIGHT)
    outside = label.left < 0 or label.right > 1 or not -0.02 <= label.y <= 1
    collisions = sum(map(label.overlaps, placed)) + outside
    return int(hidden.sum()) + COLLISION_COST * collisions
