"""The last touch on pygal's tree: only axes and series stay, with the page's classes, values and labels.

Out go style sheet, scripts, comments (one carries the date), tooltips, ids and the digits nobody sees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from probes.panels.labels import Label
from probes.panels.marks import Mark
from probes.panels.text import clean

WIDTH, HEIGHT = 480, 256

DECIMAL = re.compile(r"-?\d+\.\d+")


def finish(root: Any, marks: Sequence[Mark], labels: Sequence[Label], slug: str, title: str, description: str) -> Any:
    """pygal's tree -> ours. `marks` come in the order in which pygal drew them, the frame first."""
    graph = next(child for child in root if str(child.get("class")).startswith("graph"))
    plot = next(child for child in graph if child.get("class") == "plot")
    paths = iter([path for group in plot if str(group.get("class")).startswith("series") for path in group])
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
    svg = Element("svg", {**size, "class": "chart", "id": slug, "role": "img", "tabindex": "0", **named})
    SubElement(svg, "title", {"id": f"{slug}-t"}).text = clean(title)
    SubElement(svg, "desc", {"id": f"{slug}-d"}).text = clean(description, 500)
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
    """Read the data area off the frame's diagonal, and tell the crosshair where it lies: left, right, shift."""
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
        text.text = clean(label.text)


def _rounded(numbers: str | None) -> str:
    """Coordinates to a tenth of a unit, a tenth of a pixel or so."""
    return DECIMAL.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), str(numbers))
