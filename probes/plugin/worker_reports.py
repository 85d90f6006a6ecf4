"""Sends the runs, failures, notes and logs of each test to the controller, with the test's report.

The controller is the process that reports the session. It runs the tests itself, or the workers of
pytest-xdist run them. A worker's report arrives only if all its attributes are builtin types; a
report that holds a NumPy scalar is lost. One attribute therefore holds everything as a JSON string.
Unlike `user_properties`, this attribute is not written into JUnit XML.
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
    OUTCOMES_WORST_FIRST,
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
    """The result of a log: its row for the table at the end of the session, and its run for the
    outputs."""

    row: tuple[str, ...]
    run: AnyRun


@dataclass
class Usage:
    """What one test used: its runs, the trainings that failed while it ran, its notes, and the log
    that it judged."""

    runs: dict[str, Run] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    log: LogResult | None = None


class ReportSender:
    """Attaches to each report what its test used.

    to_controller  whether the reports go to another process. If so, the diagnosis of each run is
                   sent with them, once, in the report of the first test that used the run.
    deselected     number of tests that were collected and then deselected
    """

    def __init__(self, to_controller: bool) -> None:
        self.to_controller, self.deselected = to_controller, 0
        self._sent: set[str] = set()

    def attach(self, report: Any, usage: Usage) -> None:
        """Set the attribute of a report. If the test used no run and no log and left no note, do
        nothing."""
        if not (usage.runs or usage.failures or usage.notes or usage.log):
            return
        new = [run for name, run in usage.runs.items() if name not in self._sent]
        content: dict[str, Any] = {
            "deselected": self.deselected,
            "used": list(usage.runs),
            "runs": [
                {**vars(run), "judged": to_json(run.judged), "path": str(run.path)}
                for run in (new if self.to_controller else [])
            ],
            "failures": [asdict(failure) for failure in usage.failures],
            "notes": usage.notes,
        }
        self._sent.update(usage.runs)
        # Every log has a setup report, also one that cannot be read.
        if usage.log and report.when == "setup":
            content["log"] = {"row": usage.log.row, "run": to_json(usage.log.run)}
        setattr(report, ATTRIBUTE, json.dumps(content))


class TestReports:
    """Collects in the controller what the reports of all tests have sent so far.

    runs        name -> run that tests used; the records of runs from workers have no rows
    logs        node id -> result of the log
    notes       the sentences that tests recorded, in order and without repetition; a dict used as
                an ordered set
    tests       name of a run -> node id of each test that used it -> outcome
    deselected  number of tests that were collected and then deselected
    """

    __test__ = False  # pytest must not collect this class

    def __init__(self, session: Session) -> None:
        self._session = session  # the session of this process, whose runs are not sent
        self.runs: dict[str, Run] = {}
        self.logs: dict[str, LogResult] = {}
        self.notes: dict[str, None] = {}
        self.tests: dict[str, dict[str, Outcome]] = {}
        self.deselected = 0

    def __bool__(self) -> bool:
        """Whether there is anything to report besides notes."""
        return bool(self.tests or self.failures or self.logs)

    @property
    def failures(self) -> dict[str, Failure]:
        """Name -> training that failed or was interrupted, on a worker or in this process.

        Failures on workers are added to the dict of this process's session. An interrupted test
        sends no report, so a training that was interrupted in this process is in that dict only."""
        return self._session.failures

    def add(self, report: Any) -> None:
        """Read what `ReportSender` attached to a report, if anything."""
        if (message := getattr(report, ATTRIBUTE, None)) is None:
            return
        content = json.loads(message)
        self.deselected = max(self.deselected, content["deselected"])
        self.notes |= dict.fromkeys(content["notes"])
        if log := content.get("log"):
            self.logs[report.nodeid] = LogResult(tuple(log["row"]), from_json(log["run"]))
        for sent in content["runs"]:
            judged = from_json(sent["judged"])
            assert isinstance(judged, JudgedRun)
            run = Run(**{**sent, "judged": judged, "path": Path(sent["path"])})
            self.runs.setdefault(run.name, run)
        for failure in content["failures"]:
            self.failures.setdefault(failure["name"], Failure(**failure))
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        for name in [*content["used"], *(failure["name"] for failure in content["failures"])]:
            if name in self._session.runs:
                self.runs.setdefault(name, self._session.runs[name])
            # Another plugin may add outcomes of its own, such as "rerun". They are not counted.
            if outcome in OUTCOMES_WORST_FIRST:
                tests = self.tests.setdefault(name, {})
                earlier = tests.get(report.nodeid, outcome)
                tests[report.nodeid] = worst([outcome, earlier]) or outcome


class ExpectedTests:
    """Counts the tests that workers have collected and the tests of which a report has arrived.

    With `--dist each` every kind of worker runs every test, so tests are counted separately for
    each kind. Otherwise each test runs on one worker, and all workers count as one kind.
    """

    def __init__(self) -> None:
        self._expected: dict[Hashable, Counter[str]] = {}
        self._reported: dict[Hashable, Counter[str]] = {}

    def expect(self, kind: Hashable, nodeids: Iterable[str]) -> None:
        """Set the tests that a kind of worker collected. All workers of a kind collect the same."""
        self._expected[kind] = Counter(nodeids)

    def report(self, kind: Hashable, nodeid: str) -> None:
        """Count a test as reported. Call this when the last report of the test arrives."""
        self._reported.setdefault(kind, Counter())[nodeid] += 1

    def missing(self) -> list[str]:
        """Node ids of the tests of which no report arrived, in the order of collection."""
        left = [
            expected - self._reported.get(kind, Counter())
            for kind, expected in self._expected.items()
        ]
        return [nodeid for counter in left for nodeid in counter.elements()]
