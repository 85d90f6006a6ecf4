"""What a chart shows, before anybody draws it: lines, levels, marks, and the axis they stand on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from probes.charts.downsample import merge, stretches, thin
from probes.charts.scale import Scale, linear_scale, log_scale
from probes.record import Column, Steps

SCALAR_POINTS = 500
"""Points that are drawn of a series there is one of."""
SITE_POINTS = 100
"""Points that are drawn of a series there is one of per layer, matrix, head or class."""

Role = Literal["line", "raw", "thin"]


@dataclass(frozen=True, eq=False)
class Line:
    """A series to draw. A value that is not finite is a measurement that failed: a gap and a mark,
    never an end.

    label   its name
    group   what it belongs to with others; `short` is its name within that group
    colour  which of the page's colours;  dash: which of its dashes
    role    line: plain; raw: faint, because another line summarises it; thin: of less weight than
            its neighbours
    limit   points that are drawn at most
    """

    label: str
    steps: Steps
    values: Column
    colour: int = 0
    dash: int = 0
    role: Role = "line"
    limit: int = SITE_POINTS
    group: str = ""
    short: str = ""

    def between(self, first: int, last: int) -> Line:
        """The part of it that lies within steps [first, last]."""
        inside = slice(*np.searchsorted(self.steps, [first, last + 1]))
        return self._with(self.steps[inside], self.values[inside])

    def thinned(self) -> Line:
        return self._with(*thin(self.steps, self.values, self.limit))

    @property
    def last(self) -> float:
        """Its last value; NaN when it has none."""
        return float(self.values[-1]) if len(self.values) else float("nan")

    def _with(self, steps: Steps, values: Column) -> Line:
        return replace(self, steps=steps, values=values)


@dataclass(frozen=True, eq=False)
class Area:
    """A shaded area between two curves over the same steps."""

    label: str
    steps: Steps
    low: Column
    high: Column
    kind: Literal["reference", "tax"]


@dataclass(frozen=True)
class Level:
    """A horizontal dashed line with its name on it."""

    label: str
    value: float


@dataclass(frozen=True)
class Event:
    """A vertical line at the step of a finding."""

    step: int
    label: str


@dataclass(frozen=True)
class Window:
    """A stretch of steps with a name on it: where a run might as well have ended."""

    first: int
    last: int
    label: str


@dataclass(frozen=True)
class Plot:
    """One chart. `reference`, `band` and `gap` are drawn behind, `include` are values the y axis
    must reach.

    spikes   the points that carry a mark
    note     what else the reader must know about this chart
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
    span: tuple[int, int] = field(default=(0, 0))

    @property
    def empty(self) -> bool:
        return not any(len(line.steps) for line in self.lines)

    @property
    def axis(self) -> str:
        """The caption of the y axis."""
        return f"{self.unit}, log scale" if self.log else self.unit

    def scale(self) -> Scale:
        """The y axis: it reaches whatever is drawn."""
        parts = [line.values for line in (*self.lines, *self.reference)]
        parts += [
            edge
            for area in (self.band, self.gap)
            if area is not None
            for edge in (area.low, area.high)
        ]
        values = np.concatenate(parts) if parts else np.empty(0)
        include = (*self.include, *(level.value for level in self.levels))
        return (
            log_scale(values, include) if self.log else linear_scale(values, include, self.percent)
        )

    def lost(self) -> list[tuple[int, int]]:
        """The spans of steps over which any of the lines is not finite."""
        first, last = self.span
        spans = [
            span for line in self.lines for span in stretches(line.steps, line.values, first, last)
        ]
        return merge(spans, first, last)
