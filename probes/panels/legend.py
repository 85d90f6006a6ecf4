"""A chart's legend in HTML: a table of values that is also the switchboard of its lines."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby

from probes.charts.plot import Line, Plot
from probes.charts.scale import number, percentage
from probes.charts.text import clean
from probes.panels.panel import Drawing

MANY = 6
"""More lines than this are set in columns, by group."""
BOX = 'viewBox="0 0 26 10" aria-hidden="true"'


def captioned(drawing: Drawing) -> str:
    """The line above a chart: what its y axis measures, and which step the values in the legend are
    of."""
    return (
        f'<figcaption class="caption"><span><span class="view-name">{escape(clean(drawing.name))}: </span>'
        f'{escape(clean(drawing.plot.axis))}</span><span class="at">at the end</span></figcaption>'
    )


def legend(plot: Plot) -> str:
    """One entry per line, with its value at the end; then the spikes and the reference."""
    many = " many" * (len(plot.lines) > MANY)
    note = f'<p class="meta">{escape(clean(plot.note))}</p>' if plot.note else ""
    return f'<ul class="legend{many}">{"".join(_entries(plot))}</ul>{note}'


def _entries(plot: Plot) -> Iterator[str]:
    for group, lines in groupby(
        enumerate(plot.lines), lambda entry: entry[1].group if len(plot.lines) > MANY else ""
    ):
        if group:
            yield f'<li class="group">{escape(clean(group))}</li>'
        for key, line in lines:
            value = percentage(line.last) if plot.percent else number(line.last)
            yield _entry(
                str(key), line.short if group else line.label, _stroke(line), f"<b>{value}</b>"
            )
    if plot.spikes is not None and len(plot.spikes.steps):
        yield _entry(
            "k",
            "spike",
            f'<svg class="swatch spike" {BOX}><path class="solo" d="M13 5L13 5"/></svg>',
        )
    if plot.band is not None:
        yield _entry(
            "r",
            plot.band.label,
            f'<svg class="swatch" {BOX}><rect y="1" width="26" height="8"/></svg>',
        )
    elif plot.reference:
        yield _entry(
            "r", "reference", f'<svg class="swatch reference c7" {BOX}><path d="M0 5H26"/></svg>'
        )


def _stroke(line: Line) -> str:
    return f'<svg class="swatch {line.role} c{line.colour} d{line.dash}" {BOX}><path d="M0 5H26"/></svg>'


def _entry(key: str, label: str, swatch: str, value: str = "") -> str:
    name = f"<span>{escape(clean(label))}</span>"
    return f'<li class="k{key}"><label><input type="checkbox" checked>{swatch}{name}{value}</label></li>'
