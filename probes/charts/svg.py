"""From a plot to an SVG string: the one place where pygal is used.

pygal draws axes and paths. Its style sheet, scripts, comments, tooltips and ids are taken out
again, so that what stays is small, the same on every day, coloured by the page's own CSS, and
carries the values for the page's crosshair."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import pygal
from pygal.style import Style
from pygal.util import get_texts_box

from probes.charts.label_layout import Label, labels_of
from probes.charts.marks import GAP, Mark, marks_of
from probes.charts.plot import Plot
from probes.charts.scale import Scale, step_ticks
from probes.common.text import one_line

LEFT = 46
"""Where the plot begins: the same in every chart, so that the charts of a column share one time
axis."""
RIGHT, TOP, BOTTOM = 14, 12, 8
FONT = 12
SPACING = 5

STYLE = Style(
    label_font_size=FONT, major_label_font_size=FONT, font_family="inherit", transition="none"
)


class _Chart(pygal.XY):
    """pygal looks at every single value before it draws, which takes longer than drawing; ours are
    fit already."""

    def prepare_values(self, raw: Any, offset: float = 0) -> Any:
        series = super().prepare_values([([], options) for _, options in raw], offset)
        for one, (values, _) in zip(series or (), raw, strict=True):
            one.values = values
        return series


def draw(plot: Plot, slug: str, title: str, description: str) -> str:
    """The chart as one `<svg>` element whose ids begin with `slug`. Raises ValueError for a plot
    without any point."""
    if plot.empty:
        raise ValueError(f"there is nothing to draw in {title!r}; ask plot.empty first")
    scale = plot.scale()
    marks, labels = marks_of(plot, scale), labels_of(plot, scale)
    chart = _blank(plot, scale, slug)
    # All lines go in as one series with gaps: pygal spends more on a series than on a hundred
    # points.
    chart.add(
        "",
        [point for mark in marks for point in (*mark.points, GAP)],
        show_dots=False,
        allow_interruptions=True,
    )
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


WIDTH, HEIGHT = 480, 256

DECIMAL = re.compile(r"-?\d+\.\d+")


def finish(
    root: Any,
    marks: Sequence[Mark],
    labels: Sequence[Label],
    slug: str,
    title: str,
    description: str,
) -> Any:
    """pygal's tree -> ours. `marks` come in the order in which pygal drew them, the frame first."""
    graph = next(child for child in root if str(child.get("class")).startswith("graph"))
    plot = next(child for child in graph if child.get("class") == "plot")
    paths = iter(
        [path for group in plot if str(group.get("class")).startswith("series") for path in group]
    )
    transform = str(plot.get("transform"))
    svg = _svg(slug, title, description)
    frame = _frame(svg, next(paths), transform)
    svg.attrib.update(marks[0].data)
    inner = SubElement(svg, "g", {"transform": transform})
    inner.extend(_axis(group) for group in plot if str(group.get("class")).startswith("axis"))
    for mark in marks[1:]:
        inner.append(_series(mark, islice(paths, mark.pieces)))
    _write(SubElement(inner, "g", {"class": "labels"}), labels, frame)
    SubElement(inner, "path", {"class": "cross", "d": f"M0 {frame.top:.1f}V{frame.bottom:.1f}"})
    return svg


@dataclass(frozen=True)
class _Frame:
    """Where the plot's data area lies, in units of the drawing."""

    left: float
    right: float
    top: float
    bottom: float


def _svg(slug: str, title: str, description: str) -> Element:
    named = {"aria-labelledby": f"{slug}-t", "aria-describedby": f"{slug}-d"}
    size = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {HEIGHT}"}
    svg = Element(
        "svg", {**size, "class": "chart", "id": slug, "role": "img", "tabindex": "0", **named}
    )
    SubElement(svg, "title", {"id": f"{slug}-t"}).text = one_line(title)
    SubElement(svg, "desc", {"id": f"{slug}-d"}).text = one_line(description, 500)
    return svg


def _axis(group: Element) -> Element:
    """An axis with its guides and labels, and nothing that pygal says about them."""
    axis = Element("g", {"class": str(group.get("class")).replace(" always_show", "")})
    for guide in group.findall("g"):
        for shape in guide:
            if shape.tag == "path":
                SubElement(axis, "path", {"d": _rounded(shape.get("d"))})
            elif shape.tag == "text":
                place = {"x": _rounded(shape.get("x")), "y": _rounded(shape.get("y"))}
                SubElement(axis, "text", place).text = shape.text
    return axis


def _series(mark: Mark, shapes: Iterable[Element]) -> Element:
    """A mark's group; a path that goes nowhere is a single point, and drawn as a dot."""
    group = Element("g", {"class": mark.classes, **mark.data})
    for shape in shapes:
        path = _rounded(shape.get("d")).replace(" L", "L")
        start, _, rest = path[1:].partition("L")
        SubElement(group, "path", {"d": path, **({"class": "solo"} if start == rest else {})})
    return group


def _frame(svg: Element, shape: Element, transform: str) -> _Frame:
    """Read the data area off the frame's diagonal, and tell the crosshair where it lies: left,
    right, shift."""
    left, bottom, right, top = map(float, DECIMAL.findall(str(shape.get("d"))))
    shift = transform.removeprefix("translate(").partition(",")[0]
    svg.set("data-x", f"{left:.1f} {right:.1f} {shift}")
    return _Frame(left, right, top, bottom)


def _write(group: Element, labels: Sequence[Label], frame: _Frame) -> None:
    for label in labels:
        x = frame.left + label.x * (frame.right - frame.left)
        y = frame.bottom - label.y * (frame.bottom - frame.top)
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}"}
        text = SubElement(group, "text", {"class": label.kind + " end" * label.end, **place})
        text.text = one_line(label.text)


def _rounded(numbers: str | None) -> str:
    """Coordinates to a tenth of a unit, a tenth of a pixel or so."""
    return DECIMAL.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), str(numbers))
