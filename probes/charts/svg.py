"""Draw a plot as one SVG element. This is the only module that uses pygal.

pygal computes the axes and paths. Its style sheet, scripts, comments, tooltips and ids are left
out, so that the SVG is small and does not depend on the date. The CSS of the page sets the colours.
Data attributes hold the values that the page's crosshair shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import pygal
from pygal.style import Style
from pygal.util import get_texts_box

from probes.charts.label_layout import place_labels
from probes.charts.marks import GAP, Mark, marks_of
from probes.charts.plot import Plot
from probes.charts.scale import Scale, step_ticks
from probes.common.text import one_line

WIDTH, HEIGHT = 480, 256
"""Size of a chart in SVG units. All lengths below have the same unit."""
MARGIN_LEFT = 46
"""Distance from the left edge to the data area. It is the same in all charts, so that the same step
has the same horizontal position in all charts of a column."""
MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 14, 12, 8
SPACING = 5
"""Distance between the data area and the labels of an axis."""
FONT_SIZE = 12
STYLE = Style(
    label_font_size=FONT_SIZE,
    major_label_font_size=FONT_SIZE,
    font_family="inherit",
    transition="none",
)
MAX_DESCRIPTION = 500
"""Largest number of characters in the description of a chart."""
DECIMAL = re.compile(r"-?\d+\.\d+")


class _Chart(pygal.XY):
    """A pygal chart that does not check every value. pygal's check takes longer than the drawing,
    and it is not needed, because `marks_of` returns only finite numbers and gaps."""

    def prepare_values(self, raw: Any, offset: float = 0) -> Any:
        series = super().prepare_values([([], options) for _, options in raw], offset)
        for one, (values, _) in zip(series or (), raw, strict=True):
            one.values = values
        return series


def draw(plot: Plot, slug: str, title: str, description: str) -> str:
    """Draw a plot as one `<svg>` element.

    slug         prefix of all ids
    title        name of the chart for assistive technology
    description  description of the chart for assistive technology

    Raises ValueError for a plot without points.
    """
    if plot.empty:
        raise ValueError(f"there is nothing to draw in {title!r}; check plot.empty before drawing")
    scale = plot.scale()
    marks = list(marks_of(plot, scale))
    transform, axes, paths = _pygal_paths(plot, scale, marks)
    # The first path is the frame: a diagonal from the lower left to the upper right corner of the
    # data area. The y axis of an SVG points down.
    left, bottom, right, top = map(float, DECIMAL.findall(str(next(paths).get("d"))))
    # From these numbers (left, right, horizontal shift) the script of the page computes the step
    # at the position of the pointer.
    shift = transform.removeprefix("translate(").partition(",")[0]
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {WIDTH} {HEIGHT}",
        "class": "chart",
        "id": slug,
        "role": "img",
        "tabindex": "0",
        "aria-labelledby": f"{slug}-t",
        "aria-describedby": f"{slug}-d",
        "data-x": f"{left:.1f} {right:.1f} {shift}",
    }
    svg = Element("svg", attributes | marks[0].data)
    SubElement(svg, "title", {"id": f"{slug}-t"}).text = one_line(title)
    SubElement(svg, "desc", {"id": f"{slug}-d"}).text = one_line(description, MAX_DESCRIPTION)
    inner = SubElement(svg, "g", {"transform": transform})
    inner.extend(map(_axis, axes))
    for mark in marks[1:]:
        group = SubElement(inner, "g", {"class": mark.classes, **mark.data})
        for shape in islice(paths, mark.pieces):
            path = _rounded(shape.get("d")).replace(" L", "L")
            start, _, rest = path[1:].partition("L")
            # A path that ends where it begins is a single point. The style sheet draws it as a dot.
            solo = {"class": "solo"} if start == rest else {}
            SubElement(group, "path", {"d": path, **solo})
    group = SubElement(inner, "g", {"class": "labels"})
    for label in place_labels(plot, scale):
        x, y = left + label.x * (right - left), bottom - label.y * (bottom - top)
        classes = f"{label.kind} end" if label.ends_at_x else label.kind
        place = {"class": classes, "x": f"{x:.1f}", "y": f"{y:.1f}"}
        SubElement(group, "text", place).text = one_line(label.text)
    SubElement(inner, "path", {"class": "cross", "d": f"M0 {top:.1f}V{bottom:.1f}"})
    return tostring(svg, encoding="unicode")


def _pygal_paths(
    plot: Plot, scale: Scale, marks: Sequence[Mark]
) -> tuple[str, list[Element], Iterator[Element]]:
    """Let pygal draw axes and marks. Returns three parts of its drawing:

    - the transform of the group that holds the other two parts
    - the groups of both axes
    - one path for each piece of each mark, in the order of the marks
    """
    # pygal gets all steps relative to the first. It computes with floats, which cannot tell
    # neighbouring steps above 2**53 apart.
    first, last = plot.span
    labels = [label for _, label in scale.ticks]
    chart = _Chart(
        width=WIDTH,
        height=HEIGHT,
        spacing=SPACING,
        style=STYLE,
        title=None,
        js=(),
        show_legend=False,
        no_prefix=True,
        strict=True,
        margin_left=max(1, MARGIN_LEFT - SPACING - round(max(get_texts_box(labels, FONT_SIZE)))),
        margin_right=MARGIN_RIGHT,
        margin_top=MARGIN_TOP,
        margin_bottom=MARGIN_BOTTOM,
        xrange=(0, plot.extent[1] - first),
        range=(0, 1),
        x_labels=[
            {"value": place - first, "label": label} for place, label in step_ticks(first, last)
        ],
        y_labels=[{"value": share, "label": label} for share, label in scale.tick_shares()],
        show_x_guides=False,
        show_y_guides=True,
        truncate_label=-1,
    )
    # All marks are one pygal series with gaps, because pygal needs more time for one more series
    # than for a hundred points.
    points = [
        (None if step is None else step - first, share)
        for mark in marks
        for step, share in (*mark.points, GAP)
    ]
    chart.add("", points, show_dots=False, allow_interruptions=True)
    drawn: Any = chart.render_tree()
    graph = next(child for child in drawn if str(child.get("class")).startswith("graph"))
    area = next(child for child in graph if child.get("class") == "plot")
    axes = [group for group in area if str(group.get("class")).startswith("axis")]
    series = [group for group in area if str(group.get("class")).startswith("series")]
    return str(area.get("transform")), axes, iter([path for group in series for path in group])


def _axis(group: Element) -> Element:
    """Copy the grid lines and labels of an axis, without pygal's titles and values."""
    axis = Element("g", {"class": str(group.get("class")).replace(" always_show", "")})
    for guide in group.findall("g"):
        for shape in guide:
            if shape.tag == "path":
                SubElement(axis, "path", {"d": _rounded(shape.get("d"))})
            elif shape.tag == "text":
                place = {"x": _rounded(shape.get("x")), "y": _rounded(shape.get("y"))}
                SubElement(axis, "text", place).text = shape.text
    return axis


def _rounded(numbers: str | None) -> str:
    """Round the coordinates of a path to a tenth of a unit, which is about a tenth of a pixel."""
    return DECIMAL.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), str(numbers))
