"""The content of a chart before it is drawn: lines, areas, levels, events, and the y axis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from probes.charts.downsample import merge_spans, nonfinite_spans, thin
from probes.charts.scale import Scale, linear_scale, log_scale
from probes.record import Column, Steps

MAX_SCALAR_POINTS = 500
"""Largest number of points drawn for a signal with one value per step."""
MAX_SITE_POINTS = 100
"""Largest number of points drawn for each line of a signal with several values per step: one value
per layer, matrix, head or class."""

Role = Literal["line", "raw", "thin"]
"""How a line is drawn: `raw` is faint, because another line shows its moving average or summary;
`thin` is a thinner line."""


@dataclass(frozen=True, eq=False)
class Line:
    """A series to draw. Where a value is not finite, the measurement failed: the line has a gap
    there, and the chart marks the steps.

    label   the name of the line
    colour  index of one of the page's colours
    dash    index of one of the page's dash patterns
    limit   the largest number of points to draw
    group   the heading under which the legend lists the line
    short   the name of the line below that heading
    """

    label: str
    steps: Steps
    values: Column
    colour: int = 0
    dash: int = 0
    role: Role = "line"
    limit: int = MAX_SITE_POINTS
    group: str = ""
    short: str = ""

    def between(self, first: int, last: int) -> Line:
        """The part of the line from step `first` to step `last`, both included."""
        inside = slice(*np.searchsorted(self.steps, [first, last + 1]))
        return replace(self, steps=self.steps[inside], values=self.values[inside])

    def thinned(self) -> Line:
        """The line with at most `limit` points."""
        steps, values = thin(self.steps, self.values, self.limit)
        return replace(self, steps=steps, values=values)

    @property
    def last(self) -> float:
        """The last value; NaN for a line without points."""
        return float(self.values[-1]) if len(self.values) else float("nan")


@dataclass(frozen=True, eq=False)
class Area:
    """A shaded area between the curves `low` and `high`, which have the same steps."""

    label: str
    steps: Steps
    low: Column
    high: Column
    kind: Literal["reference", "tax"]


@dataclass(frozen=True)
class Level:
    """A horizontal dashed line with a label."""

    label: str
    value: float


@dataclass(frozen=True)
class Event:
    """A vertical line with a label, at the step of a finding."""

    step: int
    label: str


@dataclass(frozen=True)
class Window:
    """A shaded span of steps with a label."""

    first: int
    last: int
    label: str


@dataclass(frozen=True)
class Plot:
    """The content of one chart.

    unit       the quantity or unit of the y axis
    log        True for a logarithmic y axis
    percent    True if the values are shares that are shown in percent
    reference  lines of the reference run, drawn behind the lines
    band       the range of the reference run's lines, if they are too many to draw one by one
    gap        the area between two lines
    spikes     points to mark
    include    values that the y axis must reach
    note       a sentence below the chart; "" for none
    span       the first and the last step of the x axis
    """

    unit: str
    lines: tuple[Line, ...]
    log: bool = False
    percent: bool = False
    reference: tuple[Line, ...] = ()
    band: Area | None = None
    gap: Area | None = None
    levels: tuple[Level, ...] = ()
    spikes: Line | None = None
    events: tuple[Event, ...] = ()
    window: Window | None = None
    include: tuple[float, ...] = ()
    note: str = ""
    span: tuple[int, int] = (0, 0)

    @property
    def empty(self) -> bool:
        """True if no line has a point."""
        return not any(len(line.steps) for line in self.lines)

    @property
    def extent(self) -> tuple[int, int]:
        """The first and the last step of the x axis, which is at least one step long."""
        first, last = self.span
        return first, max(last, first + 1)

    @property
    def axis(self) -> str:
        """The caption of the y axis."""
        return f"{self.unit}, log scale" if self.log else self.unit

    def scale(self) -> Scale:
        """A y axis long enough for everything that is drawn."""
        parts = [line.values for line in (*self.lines, *self.reference)]
        for area in (self.band, self.gap):
            parts += [area.low, area.high] if area is not None else []
        values = np.concatenate(parts) if parts else np.empty(0)
        include = (*self.include, *(level.value for level in self.levels))
        if self.log:
            return log_scale(values, include)
        return linear_scale(values, include, self.percent)

    def nonfinite_spans(self) -> list[tuple[int, int]]:
        """The spans (begin, end) of steps in which at least one of the lines is not finite."""
        first, last = self.span
        spans = [
            span
            for line in self.lines
            for span in nonfinite_spans(line.steps, line.values, first, last)
        ]
        return merge_spans(spans, first, last)
