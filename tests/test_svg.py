"""One chart: the content of its SVG."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from probes.charts.plot import Event, Level, Line, Plot, Window
from probes.charts.svg import HEIGHT, WIDTH, draw

NS = "{http://www.w3.org/2000/svg}"
NOTHING = Line("nothing", np.empty(0, dtype=np.int64), np.empty(0))


def line(*values: float, label: str = "loss", **options: Any) -> Line:
    return Line(label, np.arange(len(values)), np.array(values), **options)


def drawn(*lines: Line, span: tuple[int, int] | None = None, **options: Any) -> ElementTree.Element:
    last = max(int(one.steps[-1]) for one in lines if len(one.steps))
    plot = Plot("nats", lines, span=span or (0, last), **options)
    return ElementTree.fromstring(draw(plot, "slug", "Title", "Description"))


def group(svg: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [one for one in svg.iter(f"{NS}g") if kind in str(one.get("class")).split()]


def texts(svg: ElementTree.Element) -> set[str]:
    return {str(text.text) for text in svg.iter(f"{NS}text")}


def corners(path: ElementTree.Element) -> list[tuple[float, float]]:
    pairs = re.findall(r"(-?[\d.]+) (-?[\d.]+)", str(path.get("d")))
    return [(float(x), float(y)) for x, y in pairs]


def test_a_line_rises_with_its_values() -> None:
    """The line is one path from left to right. The y axis of an SVG points down, so y falls."""
    (path,) = group(drawn(line(1.0, 2.0, 4.0)), "line")[0]
    (x0, y0), (x1, y1), (x2, y2) = corners(path)
    assert x0 < x1 < x2
    assert y0 > y1 > y2
    assert (y0 - y2) == pytest.approx(3 * (y0 - y1), abs=0.3)


@pytest.mark.parametrize("first", [2**53, 2**62, -(2**62)])
def test_steps_too_large_for_a_float_have_their_own_places(first: int) -> None:
    """Neighbouring steps above 2**53 are the same float."""
    steps = first + np.arange(3)
    plot = Plot("nats", (Line("loss", steps, np.ones(3)),), span=(first, first + 2))
    svg = ElementTree.fromstring(draw(plot, "slug", "Title", "Description"))
    (x0, _), (x1, _), (x2, _) = corners(group(svg, "line")[0][0])
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert x0 < x1


def test_on_a_log_axis_equal_factors_are_equal_distances() -> None:
    (path,) = group(drawn(line(1.0, 10.0, 100.0), log=True), "line")[0]
    (_, a), (_, b), (_, c) = corners(path)
    assert a - b == pytest.approx(b - c, abs=0.2)


def test_a_failure_in_the_middle_splits_the_line_and_is_marked() -> None:
    """The line becomes two paths, and a band covers the failed step between them."""
    svg = drawn(line(1.0, 2.0, np.inf, 3.0, 4.0))
    before, after = (corners(path) for path in group(svg, "line")[0])
    assert (len(before), len(after)) == (2, 2)
    band = corners(group(svg, "lost")[0][0])
    assert before[-1][0] < min(x for x, _ in band) < max(x for x, _ in band) <= after[0][0] + 0.1
    assert "not finite" in texts(svg)


def test_a_line_that_fails_for_good_is_marked_to_the_end() -> None:
    """Otherwise it would look like a run that ended early."""
    svg = drawn(line(1.0, 2.0, np.inf, np.nan, np.inf))
    frame_right = float(str(svg.get("data-x")).split()[1])
    assert max(x for x, _ in corners(group(svg, "lost")[0][0])) >= frame_right


def test_finite_values_have_no_failure_mark() -> None:
    """Steps between two evaluations are not failures."""
    svg = drawn(Line("val", np.array([0, 50, 100]), np.array([3.0, 2.0, 1.0])))
    assert group(svg, "lost") == []
    assert len(group(svg, "line")[0]) == 1


def test_a_point_between_two_gaps_is_drawn_as_a_dot() -> None:
    """A path with one point would be invisible."""
    (path,) = group(drawn(line(np.inf, 2.0, np.inf)), "line")[0]
    assert path.get("class") == "solo"


def test_the_crosshair_finds_steps_and_values_in_the_chart() -> None:
    """The differences between the steps, the values, and the places of the first and last step."""
    svg = drawn(Line("val", np.array([2, 5, 8]), np.array([3.21987, np.inf, 1e-9])), span=(0, 8))
    found = group(svg, "line")[0]
    assert (found.get("data-s"), found.get("data-v")) == ("2 3 3", "3.22 x 1e-09")
    assert svg.get("data-n") == "0 8"
    left, right, _ = map(float, str(svg.get("data-x")).split())
    assert 0 < left < right < WIDTH


def test_the_crosshair_knows_which_values_are_shares() -> None:
    """The crosshair shows shares in percent, as the legend does."""
    assert drawn(line(0.1, 0.2), percent=True).get("data-p") == ""
    assert drawn(line(0.1, 0.2)).get("data-p") is None


def test_the_data_area_does_not_move_with_the_width_of_the_ticks() -> None:
    """Charts in a column therefore share one horizontal axis of steps."""
    narrow, wide = drawn(line(0.0, 5.0)), drawn(line(0.0, 0.0123))
    assert [one.get("transform") for one in narrow if one.tag == f"{NS}g"] == [
        one.get("transform") for one in wide if one.tag == f"{NS}g"
    ]


def test_levels_windows_and_events_have_names() -> None:
    """A level is a horizontal line, an event a vertical one."""
    svg = drawn(
        line(1.0, 2.0, 3.0),
        levels=(Level("floor 1.5", 1.5),),
        events=(Event(1, "spike-found"),),
        window=Window(1, 2, "best: 1-2"),
    )
    (left, low), (right, high) = corners(group(svg, "level")[0][0])
    assert left < right
    assert low == high
    (x0, bottom), (x1, top) = corners(group(svg, "event")[0][0])
    assert x0 == x1
    assert bottom > top
    assert {"floor 1.5", "spike-found", "best: 1-2"} <= texts(svg)


def test_labels_do_not_overlap() -> None:
    """Two findings at nearly the same step have their names in different places."""
    events = (Event(1, "loss-above-its-floor"), Event(2, "loss-that-rises-again"))
    labels = group(drawn(line(*[4.0] * 100), events=events), "labels")[0]
    (a, b) = ((text.get("class"), float(str(text.get("y")))) for text in labels)
    assert a[0] != b[0] or abs(a[1] - b[1]) >= 12


def test_levels_that_are_too_close_share_a_label() -> None:
    levels = (Level("floor 0.19", 0.19), Level("baseline 1.24", 1.24), Level("floor 0.185", 0.185))
    labels = group(drawn(line(4.0, 1.0, 0.3), levels=levels, log=True), "labels")[0]
    assert [text.text for text in labels] == ["baseline 1.24", "floor 0.19 · floor 0.185"]


def test_a_chart_is_accessible() -> None:
    """The SVG has a role, a title and a description, and the keyboard can reach it."""
    svg = drawn(line(1.0, 2.0))
    assert (svg.get("role"), svg.get("tabindex")) == ("img", "0")
    names = {one.get("id"): one.text for one in svg if one.tag in (f"{NS}title", f"{NS}desc")}
    assert names == {
        svg.get("aria-labelledby"): "Title",
        svg.get("aria-describedby"): "Description",
    }


def test_only_shapes_and_axes_of_pygal_are_kept() -> None:
    """The SVG has no style sheet, script, comment, link, foreign id or date."""
    text = draw(Plot("nats", (line(1.0, 2.0),), span=(0, 1)), "slug", "Title", "Description")
    assert not re.search(r"<style|<script|<!--|xlink|pygal|activate|\b20\d\d-", text)
    assert set(re.findall(r'id="([^"]*)"', text)) == {"slug", "slug-t", "slug-d"}


def test_coordinates_are_rounded_to_a_tenth() -> None:
    """More digits would be invisible, and coordinates are most of the page."""
    plot = Plot("nats", (line(*np.sin(np.arange(50.0))),), span=(0, 49))
    text = draw(plot, "slug", "Title", "Description")
    assert not re.search(r"[ MLHVhv]-?\d+\.\d\d", re.sub(' data-v="[^"]*"', "", text))


def test_names_never_become_markup() -> None:
    """Markup and quotes in a name are shown as text, and control characters are escaped."""
    name = "<script>alert('\x00\x1b\ud800\u202e\")</script>"
    plot = Plot("nats", (line(1.0, 2.0),), levels=(Level(name, 1.5),), span=(0, 1))
    svg = ElementTree.fromstring(draw(plot, "slug", name, name))
    assert [one.tag for one in svg.iter() if "script" in str(one.tag)] == []
    assert "<script>alert('" r"\x00\x1b\ud800\u202e" '")</script>' in texts(svg)


HOSTILE = (
    (1e300, -1e300), (0.0, 0.0, 0.0), (np.inf, np.inf), (np.nan, np.nan), (5e-324, 1.0),
    (7.0,), (np.inf,),
    (1.7e308, -1.7e308, 1.0), (-1.0, -2.0), (0.0, np.inf, 1e-320),
)  # fmt: skip


@pytest.mark.parametrize("values", HOSTILE, ids=str)
@pytest.mark.parametrize("log", [True, False], ids=["log", "linear"])
def test_any_values_can_be_drawn(values: tuple[float, ...], log: bool) -> None:
    """The SVG is well-formed, all paths are inside the picture, and failures are marked."""
    svg = drawn(line(*values), log=log)
    for path in svg.iter(f"{NS}path"):
        assert all(-1 <= x <= WIDTH and -1 <= y <= HEIGHT for x, y in corners(path)), path.get("d")
    assert bool(group(svg, "lost")) == (not np.isfinite(values).all())


def test_a_plot_without_points_is_an_error() -> None:
    """`draw` raises ValueError, because a reader could take an empty chart for a result."""
    with pytest.raises(ValueError, match="nothing to draw in 'Title'"):
        draw(Plot("nats", (NOTHING,)), "slug", "Title", "Description")
