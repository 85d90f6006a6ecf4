"""What a chart is made of, from back to front: each mark is one series for pygal and one group in
the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby

import numpy as np

from probes.charts.plot import Area, Line, Plot
from probes.charts.scale import Scale
from probes.record import Column, Steps

LEAST_BAND = 200
"""A non-finite stretch is marked at least one part in this many of the chart's width wide."""

Point = tuple[float | None, float | None]
GAP: Point = (None, None)


@dataclass(frozen=True)
class Mark:
    """Points (step, share of the y axis), None where a line has a gap, and the classes and data
    that its group gets."""

    points: list[Point]
    classes: str
    data: dict[str, str] = field(default_factory=dict)

    @property
    def pieces(self) -> int:
        """How many paths its points make: one between any two gaps."""
        return sum(kind for kind, _ in groupby(point[1] is not None for point in self.points))


def marks_of(plot: Plot, scale: Scale) -> list[Mark]:
    """Every mark of a chart. The first is the frame: the diagonal of the data area, by which the
    crosshair measures."""
    first, last = plot.span[0], max(plot.span[1], plot.span[0] + 1)
    frame = Mark([(first, 0), (last, 1)], "frame", data={"data-n": f"{first} {last}"})
    lost = _lost(plot)
    areas = (_area(area, scale, plot) for area in (plot.band, plot.gap) if area is not None)
    behind = (
        Mark(_points(line, scale.share(line.values)), f"reference sr c{line.colour} d{line.dash}")
        for line in plot.reference
    )
    heights = scale.share(np.array([level.value for level in plot.levels])).tolist()
    levels = (Mark([(first, height), (last, height)], "level") for height in heights)
    events = (Mark([(event.step, 0), (event.step, 1)], "event") for event in plot.events)
    windows = (
        _band(plot, one.first, one.last, "window") for one in (plot.window,) if one is not None
    )
    return [
        frame,
        *chain(
            windows, lost, areas, behind, levels, events, _lines(plot, scale), _spikes(plot, scale)
        ),
    ]


def _lost(plot: Plot) -> Iterator[Mark]:
    """Bands where a line is not finite."""
    return (_band(plot, begin, until, "lost") for begin, until in plot.lost())


def _band(plot: Plot, begin: float, until: float, classes: str) -> Mark:
    """The whole height of a chart between two steps, wide enough to be seen."""
    end = max(until, begin + ((plot.span[1] - plot.span[0]) / LEAST_BAND or 1 / LEAST_BAND))
    corners: list[Point] = [(begin, 0), (begin, 1), (end, 1), (end, 0), (begin, 0)]
    return Mark(corners, classes)


def _area(area: Area, scale: Scale, plot: Plot) -> Mark:
    """A shaded area; it goes by the legend entry of the line of its name, else by the
    reference's."""
    key = next(
        (str(index) for index, line in enumerate(plot.lines) if line.label == area.label), "r"
    )
    steps = area.steps.tolist()
    above, below = scale.share(area.high).tolist(), scale.share(area.low).tolist()
    outline: list[Point] = [
        *zip(steps, above, strict=True),
        *zip(steps[::-1], below[::-1], strict=True),
    ]
    return Mark(outline, f"area {area.kind} s{key}")


def _lines(plot: Plot, scale: Scale) -> Iterator[Mark]:
    for key, line in enumerate(line.thinned() for line in plot.lines):
        classes = f"{line.role} s{key} c{line.colour} d{line.dash}"
        yield Mark(_points(line, scale.share(line.values)), classes, data=_data(line))


def _spikes(plot: Plot, scale: Scale) -> Iterator[Mark]:
    if plot.spikes is not None and len(plot.spikes.steps):
        dots = zip(
            plot.spikes.steps.tolist(), scale.share(plot.spikes.values).tolist(), strict=True
        )
        yield Mark([corner for dot in dots for corner in (dot, dot, GAP)], "spike sk")


def _points(line: Line, shares: Column) -> list[Point]:
    """Points for pygal, None where the line has a gap; a point between two gaps is doubled, so that
    it shows."""
    missing = np.isnan(shares)
    alone = ~missing & np.append(True, missing[:-1]) & np.append(missing[1:], True)
    points: list[Point] = []
    for step, share, gap, single in zip(
        line.steps.tolist(), shares.tolist(), missing, alone, strict=True
    ):
        points += [GAP if gap else (step, share)] * (1 + bool(single))
    return points


def _data(line: Line) -> dict[str, str]:
    """What the crosshair reads: distances between the steps, and the values, x for one that is not
    finite."""
    steps: Steps = np.diff(line.steps, prepend=0)
    return {
        "data-s": " ".join(map(str, steps.tolist())),
        "data-v": " ".join(
            "x" if value - value else f"{value:.4g}" for value in line.values.tolist()
        ),
    }
