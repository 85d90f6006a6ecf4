"""The legend of a chart: one entry for each mark that a reader can hide, with name, swatch (a
sample of the line or area) and last value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probes.charts.plot import Plot
from probes.charts.scale import number, percentage

MANY_LINES = 6
"""If a chart has more lines than this, its legend is in columns, with a heading for each group of
lines."""


@dataclass(frozen=True)
class LegendEntry:
    """One entry. Its checkbox hides the marks with the CSS class `s` + `key`.

    swatch  shape of the swatch
    style   CSS classes of the swatch
    value   the last value of a line; "" for other marks
    """

    key: str
    label: str
    swatch: Literal["line", "dot", "band"]
    style: str
    value: str = ""


@dataclass(frozen=True)
class LegendGroup:
    """Entries below a common heading, which is "" if there is none."""

    heading: str
    entries: tuple[LegendEntry, ...]


@dataclass(frozen=True)
class Legend:
    """The legend of a chart; `in_columns` is True if the chart has many lines."""

    groups: tuple[LegendGroup, ...]
    in_columns: bool


def legend_of(plot: Plot) -> Legend:
    """The legend of a plot: first the lines without a group, then the groups, then the spikes and
    the reference."""
    many = len(plot.lines) > MANY_LINES
    entries: dict[str, list[LegendEntry]] = {"": []}
    for key, line in enumerate(plot.lines):
        heading = line.group if many else ""
        name = line.short if heading else line.label
        value = percentage(line.last) if plot.percent else number(line.last)
        style = f"{line.role} c{line.colour} d{line.dash}"
        entry = LegendEntry(str(key), name, "line", style, value)
        entries.setdefault(heading, []).append(entry)
    others = []
    if plot.spikes is not None and len(plot.spikes.steps):
        others.append(LegendEntry("k", "spike", "dot", "spike"))
    if plot.band is not None:
        others.append(LegendEntry("r", plot.band.label, "band", ""))
    elif plot.reference:
        others.append(LegendEntry("r", "reference", "line", "reference c7"))
    entries_by_group = [*entries.items(), ("", others)]
    groups = (LegendGroup(heading, tuple(group)) for heading, group in entries_by_group)
    return Legend(tuple(group for group in groups if group.entries), many)
