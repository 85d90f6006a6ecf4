"""From a plot to an SVG string: the one place where pygal is used.

pygal draws axes and paths. Its style sheet, scripts, comments, tooltips and ids are taken out again, so that what
stays is small, the same on every day, coloured by the page's own CSS, and carries the values for the page's crosshair.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, tostring

import pygal
from pygal.style import Style
from pygal.util import get_texts_box

from probes.panels.finish import HEIGHT, WIDTH, finish
from probes.panels.labels import labels_of
from probes.panels.marks import GAP, marks_of
from probes.panels.plot import Plot
from probes.panels.scale import Scale, step_ticks

LEFT = 46
"""Where the plot begins: the same in every chart, so that the charts of a column share one time axis."""
RIGHT, TOP, BOTTOM = 14, 12, 8
FONT = 12
SPACING = 5

STYLE = Style(label_font_size=FONT, major_label_font_size=FONT, font_family="inherit", transition="none")


class _Chart(pygal.XY):
    """pygal looks at every single value before it draws, which takes longer than drawing; ours are fit already."""

    def prepare_values(self, raw: Any, offset: float = 0) -> Any:
        series = super().prepare_values([([], options) for _, options in raw], offset)
        for one, (values, _) in zip(series or (), raw, strict=True):
            one.values = values
        return series


def draw(plot: Plot, slug: str, title: str, description: str) -> str:
    """The chart as one `<svg>` element whose ids begin with `slug`. Raises ValueError for a plot without any point."""
    if plot.empty:
        raise ValueError(f"there is nothing to draw in {title!r}; ask plot.empty first")
    scale = plot.scale()
    marks, labels = marks_of(plot, scale), labels_of(plot, scale)
    chart = _blank(plot, scale, slug)
    # All lines go in as one series with gaps: pygal spends more on a series than on a hundred points.
    chart.add("", [point for mark in marks for point in (*mark.points, GAP)], show_dots=False, allow_interruptions=True)
    drawn: list[Element] = []

    def take(root: Any) -> Any:
        drawn.append(finish(root, marks, labels, slug, title, description))
        return root.makeelement("svg", {})

    chart.add_xml_filter(take)
    chart.render()
    return tostring(drawn[0], encoding="unicode")


def _blank(plot: Plot, scale: Scale, slug: str) -> _Chart:
    first, last = plot.span
    labels = [label for _, label in scale.ticks]
    chart = _Chart(
        width=WIDTH, height=HEIGHT, spacing=SPACING, style=STYLE, title=None,
        js=(), show_legend=False, explicit_size=False, disable_xml_declaration=True, no_prefix=True,
        margin_left=max(1, LEFT - SPACING - round(max(get_texts_box(labels, FONT)))),
        margin_right=RIGHT, margin_top=TOP, margin_bottom=BOTTOM,
        xrange=(first, max(last, first + 1)), range=(0, 1),
        x_labels=[{"value": place, "label": label} for place, label in step_ticks(first, last)],
        y_labels=[{"value": share, "label": label} for share, label in scale.marks()],
        show_x_guides=False, show_y_guides=True, truncate_label=-1, strict=True,
    )  # fmt: skip
    chart.uuid = slug
    return chart
