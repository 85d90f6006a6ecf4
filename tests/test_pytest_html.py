"""The panels in pytest-html's report: those of each log, and of the runs that a failed test
used."""

from __future__ import annotations

import json
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.conftest import OFFER, Project
from tests.test_plugin import BOTH
from tests.test_plugin_outputs import RED, logs

__all__ = ["logs"]


class Blob(HTMLParser):
    """Reads the data that pytest-html's page is made from."""

    data: dict[str, Any]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "data-jsonblob":
                self.data = json.loads(value or "")


def embedded(project: Project, *args: str) -> dict[str, list[str]]:
    """Node id -> the pieces in its part of the report that do not come from pytest-html."""
    project.run("-p", "metadata", "-p", "html", "--html=report.html", *args)
    blob = Blob()
    blob.feed((project.pytester.path / "report.html").read_text(encoding="utf-8"))
    tests = blob.data["tests"].items()
    return {
        nodeid: [extra["content"] for one in tries for extra in one["extras"]]
        for nodeid, tries in tests
    }


@pytest.mark.parametrize("args", [(), ("--self-contained-html",), ("-p", "xdist", "-n1")])
def test_the_report_has_the_panels_of_each_log(logs: Project, args: tuple[str, ...]) -> None:
    """The panels are part of the page, not links. A log that cannot be read has no panels."""
    found = embedded(logs, "--diagnose", "out", *args)
    assert {nodeid: len(pieces) for nodeid, pieces in found.items()} == {
        "out/healthy.jsonl::diagnosis": 1,
        "out/short.jsonl::diagnosis": 1,
        "out/sick.jsonl::diagnosis": 1,
        "out/torn.json::diagnosis": 0,
    }
    (piece,) = found["out/sick.jsonl::diagnosis"]
    assert piece.count('<svg xmlns="http://www.w3.org/2000/svg"') == 3
    assert "bad-init: initial-loss-high, step 0: 200" in unescape(piece)


def test_the_report_has_the_panels_of_the_runs_that_a_failed_test_used(project: Project) -> None:
    """The runs of tests that passed have no panels."""
    project.tests(BOTH + "\n" + RED)
    found = embedded(project)
    assert {nodeid: len(pieces) for nodeid, pieces in found.items()} == {
        "test_it.py::test_healthy": 0,
        "test_it.py::test_stuck": 0,
        "test_it.py::test_red": 1,
    }
    assert ">stuck</h2>" in found["test_it.py::test_red"][0]


def test_panels_of_several_tests_share_no_id_and_style_nothing_else(project: Project) -> None:
    """The same run may be drawn twice on one page. All rules of the style are inside of the rule
    for its own element."""
    project.tests(RED + RED.replace("test_red", "test_too"))
    one, two = (piece for (piece,) in embedded(project).values())
    ids = [{word.partition('"')[0] for word in piece.split(' id="')[1:]} for piece in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    style = one.partition("<style>")[2].partition("</style>")[0]
    depth, outside = 0, ""
    for letter in style:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        outside += letter if depth == 0 else ""
    assert (outside.strip(" }"), depth) == (".probes", 0)
    assert ":root" not in style


def test_a_report_keeps_what_other_plugins_put_into_it(project: Project) -> None:
    project.conftest(
        OFFER.format(offers='offer("stuck", lr=0.0)')
        + """
import pytest

@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        extra = dict.fromkeys(["mime_type", "extension"])
        report.extras = [{"name": "", "format_type": "html", "content": "mine", **extra}]
    return report
"""
    )
    project.tests(RED)
    (pieces,) = embedded(project).values()
    assert "mine" in pieces
    assert any(">stuck</h2>" in piece for piece in pieces)


def test_an_error_in_drawing_is_in_the_report_and_hides_no_result(
    logs: Project, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no <ink>")

    monkeypatch.setattr("probes.report.pytest_html.panels", fail)
    result = logs.run(
        "-p", "metadata", "-p", "html", "--html=report.html", "--diagnose", "out/sick.jsonl"
    )
    result.assert_outcomes(failed=1)
    blob = Blob()
    blob.feed((logs.pytester.path / "report.html").read_text(encoding="utf-8"))
    ((one,),) = blob.data["tests"].values()
    wanted = "out/sick.jsonl cannot be drawn: ZeroDivisionError: no &lt;ink&gt;"
    assert [extra["content"] for extra in one["extras"]] == [wanted]


def test_without_a_report_nothing_is_drawn(logs: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """This also holds if pytest-html is active."""
    drawn: list[object] = []
    monkeypatch.setattr("probes.report.pytest_html.panels", lambda *run: drawn.append(run))
    logs.run("-p", "metadata", "-p", "html", "--diagnose", "out/sick.jsonl").assert_outcomes(
        failed=1
    )
    assert drawn == []
