"""A chart's legend: the name, the swatch and the last value of everything that can be hidden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from probes.charts.plot import Line, Plot
from probes.charts.scale import number, percentage

MANY_LINES = 6
"""A legend of more lines than this has columns, and a heading for each group of lines."""


@dataclass(frozen=True)
class LegendEntry:
    """One entry. Its checkbox hides the marks with the class `s` + `key`.

    swatch  the shape of the swatch, which has the CSS classes `style`
    value   the last value; "" for what has none
    """

    key: str
    label: str
    swatch: Literal["line", "dot", "band"]
    style: str
    value: str = ""


@dataclass(frozen=True)
class LegendGroup:
    """Entries under a heading; "" for no heading."""

    heading: str
    entries: tuple[LegendEntry, ...]


@dataclass(frozen=True)
class Legend:
    """A chart's legend; `in_columns` when it has many entries."""

    groups: tuple[LegendGroup, ...]
    in_columns: bool


def legend_of(plot: Plot) -> Legend:
    """The legend of a plot: lines without a group, the groups, then the spikes and the
    reference."""
    many = len(plot.lines) > MANY_LINES
    entries: dict[str, list[LegendEntry]] = {"": []}
    for key, line in enumerate(plot.lines):
        heading = line.group if many else ""
        name = line.short if heading else line.label
        entries.setdefault(heading, []).append(_line_entry(key, line, name, plot.percent))
    entries_by_group = [*entries.items(), ("", _other_entries(plot))]
    groups = (LegendGroup(heading, tuple(group)) for heading, group in entries_by_group)
    return Legend(tuple(group for group in groups if group.entries), many)


def _line_entry(key: int, line: Line, name: str, percent: bool) -> LegendEntry:
    value = percentage(line.last) if percent else number(line.last)
    style = f"{line.role} c{line.colour} d{line.dash}"
    return LegendEntry(str(key), name, "line", style, value)


def _other_entries(plot: Plot) -> Iterator[LegendEntry]:
    if plot.spikes is not None and len(plot.spikes.steps):
        yield LegendEntry("k", "spike", "dot", "spike")
    if plot.band is not None:
        yield LegendEntry("r", plot.band.label, "band", "")
    elif plot.reference:
        yield LegendEntry("r", "reference", "line", "reference c7")
