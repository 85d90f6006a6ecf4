"""The legend of a chart."""

from __future__ import annotations

import numpy as np

from probes.charts.plot import Area, Line, Plot
from probes.panels.legend import MANY_LINES, LegendEntry, legend_of

STEPS = np.array([0, 1])
VALUES = np.array([1.0, 0.25])


def line(label: str, group: str = "", short: str = "") -> Line:
    return Line(label, STEPS, VALUES, colour=2, dash=1, group=group, short=short)


def test_a_line_is_listed_with_its_style_and_its_last_value() -> None:
    (group,) = legend_of(Plot("nats", (line("train"),))).groups
    assert group.entries == (LegendEntry("0", "train", "line", "line c2 d1", "0.25"),)


def test_shares_are_listed_in_percent() -> None:
    (group,) = legend_of(Plot("share", (line("up"),), percent=True)).groups
    assert group.entries[0].value == "25 %"


def test_spikes_and_the_reference_come_last() -> None:
    """A reference that is drawn as a band has the name of the band."""
    behind = Plot("nats", (line("train"),), spikes=line("spike"), reference=(line("reference"),))
    assert [entry.label for entry in legend_of(behind).groups[-1].entries] == ["spike", "reference"]
    band = Area("reference, lowest to highest", STEPS, VALUES, VALUES, "reference")
    (entry,) = legend_of(Plot("nats", (line("train"),), band=band)).groups[-1].entries
    assert (entry.key, entry.label, entry.swatch) == ("r", "reference, lowest to highest", "band")


def test_only_a_long_legend_has_columns_and_headings() -> None:
    """In columns, a line has its short name below the heading of its group."""
    lines = tuple(line(f"blocks.0.{i}", "blocks.0", str(i)) for i in range(MANY_LINES + 1))
    short, long = legend_of(Plot("nats", lines[:-1])), legend_of(Plot("nats", lines))
    assert (short.in_columns, long.in_columns) == (False, True)
    assert (short.groups[0].heading, short.groups[0].entries[0].label) == ("", "blocks.0.0")
    assert (long.groups[0].heading, long.groups[0].entries[0].label) == ("blocks.0", "0")


def test_lines_without_a_group_come_before_all_headings() -> None:
    """Below the last heading, spikes and reference would look like members of its group."""
    lines = [line(f"blocks.0.{i}", "blocks.0", str(i)) for i in range(MANY_LINES)]
    legend = legend_of(Plot("nats", (*lines, line("norm"))))
    assert [group.heading for group in legend.groups] == ["", "blocks.0"]
    assert [(entry.key, entry.label) for entry in legend.groups[0].entries] == [("6", "norm")]
