"""The hooks of the controller: the process that reports the session. It runs the tests itself, or
the workers of pytest-xdist run them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from probes.plugin import experiments, terminal
from probes.plugin.log_items import RULES
from probes.plugin.options import OutputPaths
from probes.plugin.run_cache import temporary_folder
from probes.plugin.session import Failure, Run, Session
from probes.plugin.session_report import SessionReport
from probes.plugin.worker_reports import ExpectedTests, TestReports

WORKER_SESSION, WORKER_LOGS = "probes_session", "probes_logs"
"""Keys of xdist's `workerinput`: the identifier of the session, and the logs to collect. The
controller sends the list of logs, so that all workers collect the same ones even if a new log
appears while they start."""
ALL_TESTS_RAN = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
"""Exit codes of a session in which all tests ran."""


class Controller:
    """Collects the reports of all tests and ends the session.

    identifier  identifier of the session; the workers have the same one
    train       returns the run of an experiment, and trains it if the cache does not hold it
    """

    def __init__(
        self,
        config: pytest.Config,
        identifier: str,
        session: Session,
        paths: OutputPaths,
        train: Callable[[str], Run],
    ) -> None:
        self.config, self.identifier = config, identifier
        self.session, self.train = session, train
        self.reports, self.expected = TestReports(session), ExpectedTests()
        self.report = SessionReport(session, self.reports, paths, os.environ)
        self.crashed: list[str] = []
        self.missing: list[str] = []
        self.last_failures: frozenset[str] = frozenset()
        self.only_last_failures = False
        self.started = time.time()

    @pytest.hookimpl(tryfirst=True)  # before xdist starts the workers
    def pytest_sessionstart(self) -> None:
        if self.config.getoption("dist", "no") != "no":
            # xdist can only send arguments that are valid Unicode. Escaped paths do no harm,
            # because the workers get the logs by `WORKER_LOGS`.
            given = self.config.invocation_params
            arguments = [_valid_unicode(str(argument)) for argument in given.args]
            self.config.invocation_params = replace(given, args=tuple(arguments))
        if self.config.getoption("lf", False) and self.config.cache:
            self.last_failures = frozenset(self.config.cache.get("cache/lastfailed", {}))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected(item.nodeid for item in session.items)

    def _collected(self, nodeids: Iterable[str]) -> None:
        """Note whether `--lf` left tests out. pytest does this only if it collected a test that
        failed last time."""
        self.only_last_failures |= not self.last_failures.isdisjoint(nodeids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Count a test once, at the report of its last phase. That is the teardown, or the report
        # that xdist makes of a crash, which names no phase.
        if report.when not in ("setup", "call") and (node := getattr(report, "node", None)):
            self.expected.report(self._kind(node), report.nodeid)
        self.reports.add(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        config, status = self.config, session.exitstatus
        if not (self.reports or config.stash[RULES] or experiments.implementations(config)):
            self.crashed.clear()  # this session does not use the plugin
            return
        stopped = bool(session.shouldstop or session.shouldfail) or status not in ALL_TESTS_RAN
        self.missing = [] if stopped else self.expected.missing()
        if stopped or self.crashed:
            # A worker that could not finish a training sends no report of it.
            for name, experiment in self.session.experiments.items():
                if name in self.reports.runs or name in self.session.failures:
                    continue
                left = self.session.run_cache.left_by_worker(name, experiment, self.started)
                if left:
                    self.session.failures[name] = Failure(name, "interrupted", "", str(left))
        if self.reports:

            def train(name: str) -> Run | None:
                # After the session was stopped, nothing is trained.
                experiment = self.session.experiments[name]
                if stopped and not self.session.run_cache.has(name, experiment):
                    return None
                return self.train(name)

            reasons = {
                "only named tests ran": any("::" in arg for arg in config.args),
                "only the last failures ran": self.only_last_failures,
                "the session stopped early": stopped,
                "tests were lost": bool(self.missing),
            }
            self.report.write([reason for reason, holds in reasons.items() if holds], train)
        incomplete = self.report.errors or self.missing or self.crashed
        if incomplete and status == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if session.exitstatus == pytest.ExitCode.OK:
            shutil.rmtree(temporary_folder(self.identifier), ignore_errors=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = [
            *self.report.lines(),
            *terminal.crashes_and_missing_tests(self.missing, self.crashed),
        ]
        if lines:
            terminalreporter.section("probes")
        for line in lines:
            for text, markup in [*line, ("\n", {})]:
                terminalreporter.write(text, **markup)
        for annotation in self.report.github_annotations():
            terminalreporter.line(annotation)

    # Workers of pytest-xdist

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[WORKER_SESSION] = self.identifier
        # A text that is sent must be valid Unicode, but a path may hold any bytes.
        node.workerinput[WORKER_LOGS] = [*map(os.fsencode, self.config.stash[RULES].paths)]
        node.workerinput["mainargv"] = [*map(_valid_unicode, node.workerinput["mainargv"])]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        self.expected.expect(self._kind(node), ids)
        self._collected(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            self.crashed.append(f"{node.gateway.id} went down: {error}")

    def _kind(self, node: Any) -> object:
        """The kind of a worker (`ExpectedTests`). With `--dist each`, there is a kind for each
        `--tx` specification, and every kind runs all tests. Otherwise there is only one kind."""
        return id(node.gateway.spec) if self.config.getoption("dist") == "each" else None


def _valid_unicode(text: str) -> str:
    """The text with an escape for each byte of a path that is not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
