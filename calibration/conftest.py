"""Training as a pytest session: one item per run, spread by pytest-xdist; a line says how far it
is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest

from calibration.conditions import FOLDER, plan
from calibration.progress import MINUTE, Progress
from calibration.sampler import Phase
from probes.plugin.run_cache import Store
from probes.plugin.terminal import UPDATES_PER_SECOND, StatusLine

HERE = Path(__file__).parent.name
ONE_BY_ONE = 1
"""Items handed to a worker at a time, so that all workers stay in the order of the plan, the
longest first."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("calibration", "training many runs per condition")
    group.addoption(
        "--phase",
        choices=get_args(Phase),
        default="judging",
        help="train the runs that choose thresholds or those that judge them (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "maxschedchunk", ONE_BY_ONE) is None:
        config.option.maxschedchunk = ONE_BY_ONE
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(config), "calibration-reporter")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "planned" in metafunc.fixturenames:
        runs = plan(metafunc.config.option.phase)
        metafunc.parametrize("planned", runs, ids=[run.name for run in runs])


@pytest.fixture(scope="session")
def store() -> Store:
    return Store(FOLDER, session=uuid4().hex)


class Reporter:
    """The process that hears of every run; on a terminal one line is written over, elsewhere one a
    minute."""

    def __init__(self, config: pytest.Config) -> None:
        self._config, self._next = config, 0.0
        self._progress: Progress | None = None
        self._line: StatusLine | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._collected(ids)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No dot for a run that is there: the line counts it."""
        ours = report.nodeid.startswith(f"{HERE}/")
        return ("passed", "", "") if ours and report.passed and report.when == "call" else None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._progress and report.when == "call" and report.passed:
            self._progress.done(_name(report.nodeid))
            self._say(self._progress)

    def _collected(self, ids: Sequence[str]) -> None:
        """Every worker collects the same; where workers do, the controller has no items of its
        own."""
        if self._progress is None and (names := set(map(_name, ids))):
            runs = [run for run in plan(self._config.option.phase) if run.name in names]
            shelf = Store(FOLDER, session="")
            self._progress = Progress(
                runs, [run.name for run in runs if shelf.has(run.name, run.experiment())]
            )
            self._say(self._progress)

    def _say(self, progress: Progress) -> None:
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        due = time.monotonic() >= self._next or progress.finished
        if reporter is None or not due:
            return
        self._next = time.monotonic() + (1 / UPDATES_PER_SECOND if reporter.isatty else MINUTE)
        if reporter.isatty:
            capture = self._config.pluginmanager.getplugin("capturemanager")
            self._line = self._line or StatusLine(reporter, capture)
            self._line.write(str(progress))
        else:
            reporter.ensure_newline()
            reporter.write_line(str(progress), flush=True)


def _name(nodeid: str) -> str:
    """Of the planned run, which is the id of its item."""
    return nodeid.partition("[")[2].removesuffix("]")
