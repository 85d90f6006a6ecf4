"""The marks of a chart, from back to front. pygal draws each mark as the paths of one SVG group.

The CSS classes of a mark name its kind. If a legend entry can hide the mark, it also has a class
that consists of `s` and the key of that entry: the index of a line, `r` for the reference, or `k`
for spikes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from math import isfinite

import numpy as np

from probes.charts.plot import Line, Plot
from probes.charts.scale import Scale
from probes.record import Column

MIN_BAND_SHARE = 1 / 200
"""The smallest width of a vertical band, as a share of the chart's width."""

Point = tuple[float | None, float | None]
GAP: Point = (None, None)


@dataclass(frozen=True)
class Mark:
    """One mark of a chart.

    points   (step, share of the y axis) for each point, and GAP where the path is interrupted
    classes  CSS classes of its SVG group
    data     data attributes of its SVG group
    """

    points: list[Point]
    classes: str
    data: dict[str, str] = field(default_factory=dict)

    @property
    def pieces(self) -> int:
        """The number of paths, which is the number of sequences of points without a gap."""
        return sum(drawn for drawn, _ in groupby(point[1] is not None for point in self.points))


def marks_of(plot: Plot, scale: Scale) -> Iterator[Mark]:
    """All marks of a chart. The first is the frame, a diagonal of the data area. `svg.draw` reads
    the position of the data area from its two ends."""
    first, last = plot.extent
    data = {"data-n": f"{first} {last}", **({"data-p": ""} if plot.percent else {})}
    yield Mark([(first, 0), (last, 1)], "frame", data)
    if plot.window is not None:
        yield _vertical_band(plot, plot.window.first, plot.window.last, "window")
    for begin, end in plot.nonfinite_spans():
        yield _vertical_band(plot, begin, end, "lost")
    for area in (plot.band, plot.gap):
        if area is not None:
            # The legend entry of an area is that of the line with the same label; without such a
            # line, it is that of the reference.
            labels = [line.label for line in plot.lines]
            key = labels.index(area.label) if area.label in labels else "r"
            steps = area.steps.tolist()
            high, low = scale.share(area.high).tolist(), scale.share(area.low).tolist()
            outline: list[Point] = [
                *zip(steps, high, strict=True),
                *zip(steps[::-1], low[::-1], strict=True),
            ]
            yield Mark(outline, f"area {area.kind} s{key}")
    for line in plot.reference:
        classes = f"reference sr c{line.colour} d{line.dash}"
        yield Mark(_points(line, scale.share(line.values)), classes)
    for height in scale.share(np.array([level.value for level in plot.levels])).tolist():
        yield Mark([(first, height), (last, height)], "level")
    for event in plot.events:
        yield Mark([(event.step, 0), (event.step, 1)], "event")
    for key, line in enumerate(line.thinned() for line in plot.lines):
        values = (f"{value:.4g}" if isfinite(value) else "x" for value in line.values.tolist())
        # The page's crosshair reads the steps from `data-s`, as the first step and the differences
        # between successive steps, and the values from `data-v`.
        data = {
            "data-s": " ".join(map(str, np.diff(line.steps, prepend=0).tolist())),
            "data-v": " ".join(values),
        }
        classes = f"{line.role} s{key} c{line.colour} d{line.dash}"
        yield Mark(_points(line, scale.share(line.values)), classes, data)
    if plot.spikes is not None and len(plot.spikes.steps):
        shares = scale.share(plot.spikes.values).tolist()
        # Each spike is a path of its own: the same point twice, then a gap.
        dots = zip(plot.spikes.steps.tolist(), shares, strict=True)
        yield Mark([point for dot in dots for point in (dot, dot, GAP)], "spike sk")


def _vertical_band(plot: Plot, begin: float, end: float, classes: str) -> Mark:
    """A band over the whole height of a chart, from one step to another. Very short bands are
    widened so that they can be seen."""
    width = (plot.span[1] - plot.span[0]) * MIN_BAND_SHARE or MIN_BAND_SHARE
    end = max(end, begin + width)
    return Mark([(begin, 0), (begin, 1), (end, 1), (end, 0), (begin, 0)], classes)


def _points(line: Line, shares: Column) -> list[Point]:
    """The points of a line, with gaps. A point between two gaps is repeated, because a path needs
    two points."""
    missing = np.isnan(shares)
    alone = ~missing & np.append(True, missing[:-1]) & np.append(missing[1:], True)
    points: list[Point] = []
    for step, share, gap, single in zip(
        line.steps.tolist(), shares.tolist(), missing, alone, strict=True
    ):
        points += [GAP if gap else (step, share)] * (1 + bool(single))
    return points
