"""Choose positions for the labels of levels, windows and events. A label stands near the thing that
it names, and hides as little as possible of the lines and of other labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from probes.charts.plot import Plot
from probes.charts.scale import Scale

LETTER_WIDTH, LINE_HEIGHT = 0.0145, 0.068
"""Average width of a letter, as a share of the width of the data area, and height of a line of
text, as a share of its height."""
SAMPLES = 120
"""Number of evenly spaced steps at which the lines are compared with the labels."""
MAX_LABELS = 8
"""Largest number of labels in one chart."""
LABEL_ROWS = 3
"""The label of a vertical line may stand in this many rows at the top of a chart, and in as many at
its bottom."""
COLLISION_COST = 100
"""Cost of a label that hides another label or does not fit into the chart. Hiding one sample of a
line costs 1."""


@dataclass(frozen=True)
class Label:
    """The text of a label, and its position.

    kind       what the label names: `level`, `event`, `window`, or `lost` for a non-finite span
    x, y       position as shares of the data area; (0, 0) is the lower left corner
    ends_at_x  True if the text ends at x, False if it begins there
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
    """Place at most MAX_LABELS labels, one after the other, each where it hides least."""
    curves = _curves(plot, scale)
    placed: list[Label] = []
    for candidates in _candidates(plot, scale):
        if len(placed) < MAX_LABELS:
            placed.append(min(candidates, key=lambda label: _cost(label, placed, curves)))
    return placed


def _candidates(plot: Plot, scale: Scale) -> Iterator[list[Label]]:
    """For each label, its possible positions in order of preference."""
    heights = scale.share(np.array([level.value for level in plot.levels])).tolist()
    named: list[tuple[str, float]] = []
    previous = np.inf
    for height, level in sorted(zip(heights, plot.levels, strict=True), key=lambda pair: -pair[0]):
        if previous - height < LINE_HEIGHT:
            # Too close for separate labels: one common label, at the highest of these levels
            named[-1] = (f"{named[-1][0]} · {level.label}", named[-1][1])
        else:
            named.append((level.label, height))
        previous = height
    for text, y in named:
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
        x = (step - first) / max(1, last - first)
        # On both sides of the vertical line, near the top and near the bottom
        yield [
            Label(text, kind, x - 0.01 if ends_at_x else x + 0.01, y, ends_at_x)
            for row in range(LABEL_ROWS)
            for y in (1 - LINE_HEIGHT * (row + 0.8), LINE_HEIGHT * (row + 0.3))
            for ends_at_x in (x > 0.5, x <= 0.5)
        ]


def _curves(plot: Plot, scale: Scale) -> npt.NDArray[np.float64]:
    """The heights of all lines at SAMPLES steps, as shares of the data area: [lines, SAMPLES].

    Steps before the beginning and after the end of a line are NaN.
    """
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
    """The cost of a label: 1 for each sample of a line that it hides, and COLLISION_COST for each
    label that it overlaps and for leaving the chart."""
    begin, end = round(label.left * SAMPLES), round(label.right * SAMPLES)
    under = curves[:, max(0, begin) : end]
    hidden = (under > label.y - 0.3 * LINE_HEIGHT) & (under < label.y + LINE_HEIGHT)
    outside = label.left < 0 or label.right > 1 or not -0.02 <= label.y <= 1
    collisions = sum(map(label.overlaps, placed)) + outside
    return int(hidden.sum()) + COLLISION_COST * collisions
