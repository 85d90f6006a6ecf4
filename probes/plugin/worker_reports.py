"""What a test used and left, carried by its reports to the process that reports the session.

That process, the controller, may run the tests itself or hand them to the workers of pytest-xdist.
A worker's report arrives only when all its attributes are builtin types; a report with a NumPy
scalar is lost. So one attribute holds everything, as a string of JSON. Unlike `user_properties`, it
is not printed into JUnit XML.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from probes.plugin.session import Failure, Run, Session
from probes.report.judged_run import (
    WORST_FIRST,
    AnyRun,
    JudgedRun,
    Outcome,
    from_json,
    to_json,
    worst,
)

ATTRIBUTE = "probes"
"""The attribute of a test report that holds the JSON."""


@dataclass(frozen=True)
class LogResult:
    """What the end of a session shows of a log: a row of the table, and the run for the outputs."""

    row: tuple[str, ...]
    run: AnyRun


@dataclass
class Usage:
    """What one test used and left: runs, trainings that failed for it, notes, the log it judged."""

    runs: dict[str, Run] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    log: LogResult | None = None


class ReportSender:
    """Attaches to each report what its test used.

    to_controller  whether the reports go to another process, which needs the diagnoses. Each is
                   sent once, with the first test that used the run.
    deselected     number of tests that were collected and left out
    """

    def __init__(self, to_controller: bool) -> None:
        self.to_controller, self.deselected = to_controller, 0
        self._sent: set[str] = set()

    def attach(self, report: Any, usage: Usage) -> None:
        """Set the attribute of a report whose test used or left anything."""
        if not (usage.runs or usage.failures or usage.notes or usage.log):
            return
        new = [run for name, run in usage.runs.items() if name not in self._sent]
        content: dict[str, Any] = {
            "deselected": self.deselected,
            "used": list(usage.runs),
            "runs": [_run_to_json(run) for run in new] if self.to_controller else [],
            "failures": [asdict(failure) for failure in usage.failures],
            "notes": usage.notes,
        }
        self._sent.update(usage.runs)
        if usage.log and report.when == "setup":  # the report that every log has
            content["log"] = {"row": usage.log.row, "run": to_json(usage.log.run)}
        setattr(report, ATTRIBUTE, json.dumps(content))


class TestReports:
    """What the reports of all tests have said so far, in the controller.

    runs        the runs that tests used; those of workers have records without rows
    logs        node id -> result of the log
    notes       the sentences that tests left, in order, each once; a dict used as an ordered set
    tests       name of a run -> node id of each test that used it -> outcome
    deselected  number of tests that were collected and left out
    """

    __test__ = False  # not a class of tests

    def __init__(self, session: Session) -> None:
        self._session = session  # of this process, whose runs need not be sent
        self.runs: dict[str, Run] = {}
        self.logs: dict[str, LogResult] = {}
        self.notes: dict[str, None] = {}
        self.tests: dict[str, dict[str, Outcome]] = {}
        self.deselected = 0

    def __bool__(self) -> bool:
        """Whether there is anything to report beside notes."""
        return bool(self.tests or self.failures or self.logs)

    @property
    def failures(self) -> dict[str, Failure]:
        """Trainings that failed or were interrupted, on workers or in this process. Of a test that
        was interrupted there is no report."""
        return self._session.failures

    def add(self, report: Any) -> None:
        """Read what is attached to a report."""
        if (message := getattr(report, ATTRIBUTE, None)) is None:
            return
        content = json.loads(message)
        self.deselected = max(self.deselected, content["deselected"])
        self.notes |= dict.fromkeys(content["notes"])
        if log := content.get("log"):
            self.logs[report.nodeid] = LogResult(tuple(log["row"]), from_json(log["run"]))
        for sent in content["runs"]:
            self.runs.setdefault(sent["name"], _run_from_json(sent))
        for failure in content["failures"]:
            self.failures.setdefault(failure["name"], Failure(**failure))
        for name in [*content["used"], *(failure["name"] for failure in content["failures"])]:
            if name in self._session.runs:
                self.runs.setdefault(name, self._session.runs[name])
            self._note_outcome(name, report)

    def _note_outcome(self, name: str, report: Any) -> None:
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        if outcome in WORST_FIRST:  # a plugin may add outcomes of its own, such as "rerun"
            tests = self.tests.setdefault(name, {})
            tests[report.nodeid] = worst([outcome, tests.get(report.nodeid, outcome)]) or outcome


def _run_to_json(run: Run) -> dict[str, Any]:
    facts = {"path": str(run.path), "seconds": run.seconds, "cached": run.cached}
    return {"name": run.name, "judged": to_json(run.judged), **facts}


def _run_from_json(content: dict[str, Any]) -> Run:
    judged = from_json(content["judged"])
    assert isinstance(judged, JudgedRun)
    path = Path(content["path"])
    return Run(content["name"], judged, path, content["seconds"], content["cached"])


class ExpectedTests:
    """The tests that workers have collected, and those of which a report has arrived.

    Under `--dist each` every kind of worker runs every test, and tests are counted for each kind;
    otherwise one worker runs each test, and all workers are one kind.
    """

    def __init__(self) -> None:
        self._expected: dict[Hashable, Counter[str]] = {}
        self._reported: dict[Hashable, Counter[str]] = {}

    def expect(self, kind: Hashable, nodeids: Iterable[str]) -> None:
        """Workers of one kind all collect the same tests."""
        self._expected[kind] = Counter(nodeids)

    def report(self, kind: Hashable, nodeid: str) -> None:
        """The last report of a test has arrived."""
        self._reported.setdefault(kind, Counter())[nodeid] += 1

    def missing(self) -> list[str]:
        """Node ids of the tests of which no report arrived, in the order of collection."""
        left = [
            expected - self._reported.get(kind, Counter())
            for kind, expected in self._expected.items()
        ]
        return [nodeid for counter in left for nodeid in counter.elements()]
