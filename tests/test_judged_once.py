"""How often a run is diagnosed and its file is parsed: at most once in each process."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import probes.diagnosis.diagnose as diagnose_module
from probes import Record
from probes.cli import main
from probes.plugin.session import Run
from probes.plugin.worker_reports import ATTRIBUTE, ReportSender, Usage
from probes.recording.recorder import save
from probes.report.judged_run import judge
from tests.conftest import OFFER, Project
from tests.outputs import HEALTHY, SICK
from tests.test_log_items import kept

COUNTING = """
import os
import probes.diagnosis.diagnose
from probes import Record

def counted(what, function):
    def call(*args, **options):
        with open(os.environ["CALLS"], "a") as file:
            file.write(f"{what} {os.environ.get('PYTEST_XDIST_WORKER', 'controller')}\\n")
        return function(*args, **options)
    return call

if "PYTEST_XDIST_WORKER" in os.environ:
    probes.diagnosis.diagnose.diagnose = counted("diagnose", probes.diagnosis.diagnose.diagnose)
    Record.load = staticmethod(counted("parse", Record.load))
"""
"""Part of a conftest.py: on workers, each call writes a line with its process."""
TESTS = """
    import pytest

    @pytest.mark.parametrize("name", ["healthy", "stuck"] * 3)
    def test_it(run, name):
        assert run(name).diagnosis.verdict == "healthy"
"""
OFFERS = '{**offer("healthy", "reference"), **offer("stuck", lr=0.0)}'


@pytest.fixture
def counting(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with two experiments, each used by three tests; those of one fail. Calls in this
    process are written down as well."""
    monkeypatch.setenv("CALLS", str(project.pytester.path / "calls"))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # set when this test is on a worker
    functions: dict[str, Any] = {}
    exec(COUNTING, functions)
    counted = functions["counted"]
    diagnose = counted("diagnose", diagnose_module.diagnose)
    monkeypatch.setattr(diagnose_module, "diagnose", diagnose)
    monkeypatch.setattr(Record, "load", staticmethod(counted("parse", Record.load)))
    project.conftest(COUNTING + OFFER.format(offers=OFFERS))
    project.tests(TESTS)
    return project


def calls(project: Project, *args: str) -> Counter[tuple[str, str]]:
    """Run the project's tests and count: (call, process) -> number of calls."""
    file = project.pytester.path / "calls"
    file.write_text("", encoding="utf-8")
    project.run(*args)
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    return Counter((what, process) for what, process in lines)


def test_a_run_is_diagnosed_once_and_parsed_only_if_it_was_cached(counting: Project) -> None:
    """Failed tests, the dashboard and the JSON document all show the same diagnosis."""
    assert calls(counting) == {("diagnose", "controller"): 2}
    assert counting.page.exists()
    assert counting.document.exists()
    assert calls(counting) == {("diagnose", "controller"): 2, ("parse", "controller"): 2}


def test_the_controller_of_workers_diagnoses_nothing(counting: Project) -> None:
    """The controller parses a record only to draw it. A worker diagnoses each run once, and parses
    it only if another worker has trained it."""
    found = calls(counting, "-p", "xdist", "-n2")
    assert (found["diagnose", "controller"], found["parse", "controller"]) == (0, 2)
    workers = {process for _, process in found} - {"controller"}
    assert all(found["diagnose", worker] <= 2 for worker in workers)
    diagnosed = sum(found["diagnose", worker] for worker in workers)
    assert sum(found["parse", worker] for worker in workers) == diagnosed - 2  # two were trained
    verdicts = [run["verdict"] for run in json.loads(counting.document.read_bytes())["runs"]]
    assert verdicts == ["healthy", "unhealthy"]
    found = calls(counting, "-p", "xdist", "-n1", "--dashboard", "off")
    assert found == {("diagnose", "gw0"): 2, ("parse", "gw0"): 2}


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")])
def test_a_log_is_parsed_and_diagnosed_once(counting: Project, workers: tuple[str, ...]) -> None:
    """Its test, the table, the JSON document and the report of pytest-html share one diagnosis."""
    kept(counting, SICK, "sick")
    kept(counting, HEALTHY, "healthy")
    html = ("-p", "metadata", "-p", "html", "--html=report.html")
    process = "gw0" if workers else "controller"
    found = calls(counting, "--diagnose", "out", *html, *workers)
    assert found == {("parse", process): 2, ("diagnose", process): 2}


@pytest.mark.parametrize("command", [["diagnose"], ["diagnose", "--json"], ["render", "-o", "p"]])
def test_the_command_line_parses_and_diagnoses_each_log_once(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(SICK, "sick.jsonl")
    made: list[object] = []
    monkeypatch.setattr("probes.readers.read", lambda *_: made.append("parse") or SICK)
    diagnosis = judge(SICK).diagnosis
    monkeypatch.setattr(
        "probes.diagnosis.diagnose.diagnose",
        lambda *_, **__: made.append("diagnose") or diagnosis,
    )
    main([*command, "sick.jsonl"])
    assert made == ["parse", "diagnose"]


def attached(sender: ReportSender, usage: Usage) -> dict[str, Any]:
    """The content that is attached to the report of a test."""
    report = SimpleNamespace(when="call")
    sender.attach(report, usage)
    content: dict[str, Any] = json.loads(getattr(report, ATTRIBUTE))
    return content


def test_a_worker_sends_a_diagnosis_with_the_first_test_that_used_the_run() -> None:
    """Later reports only name the run."""
    usage = Usage({"sick": Run("sick", judge(SICK), Path("sick.jsonl"), 1.0, cached=False)})
    sender = ReportSender(to_controller=True)
    first, second = (attached(sender, usage) for _ in range(2))
    assert ([run["name"] for run in first["runs"]], first["used"]) == (["sick"], ["sick"])
    assert (second["runs"], second["used"]) == ([], ["sick"])


def test_a_diagnosis_is_not_printed_into_junit_xml(project: Project) -> None:
    project.tests(TESTS)
    project.run("--junitxml=junit.xml")
    assert "<propert" not in (project.pytester.path / "junit.xml").read_text(encoding="utf-8")
