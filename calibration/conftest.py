"""Training as a pytest session: one item per run, distributed by pytest-xdist, with a line that
reports the progress."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest

from calibration.conditions import plan
from calibration.progress import MINUTE, Progress
from calibration.sampler import Phase
from probes.plugin.run_cache import RunCache
from probes.plugin.terminal import UPDATES_PER_SECOND, StatusLine
from testing.trained_runs import FOLDER

HERE = Path(__file__).parent.name
ITEMS_PER_CHUNK = 1
"""A worker gets one item at a time, so that all workers follow the order of the plan."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("calibration", "training many runs per condition")
    group.addoption(
        "--phase",
        choices=get_args(Phase),
        default="judging",
        help="train the runs that choose thresholds, or those that judge (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "maxschedchunk", ITEMS_PER_CHUNK) is None:
        config.option.maxschedchunk = ITEMS_PER_CHUNK
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(ProgressReporter(config), "calibration-progress")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "planned" in metafunc.fixturenames:
        runs = plan(metafunc.config.option.phase)
        metafunc.parametrize("planned", runs, ids=[run.name for run in runs])


@pytest.fixture(scope="session")
def run_cache() -> RunCache:
    return RunCache(FOLDER, session=uuid4().hex)


class ProgressReporter:
    """Counts the trained runs in the process that reports. On a terminal it rewrites one line;
    elsewhere it prints one line per minute."""

    def __init__(self, config: pytest.Config) -> None:
        self._config, self._next_write = config, 0.0
        self._progress: Progress | None = None
        self._line: StatusLine | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._start([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        self._start(ids)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Print no dot for a trained run, since the progress line counts it."""
        ours = report.nodeid.startswith(f"{HERE}/")
        return ("passed", "", "") if ours and report.passed and report.when == "call" else None

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if self._progress and report.when == "call" and report.passed:
            self._progress.done(_run_name(report.nodeid))
            self._write(self._progress)

    def _start(self, ids: Sequence[str]) -> None:
        """Start to count. Every worker reports the same ids; only the first report is used."""
        if self._progress is None and (names := set(map(_run_name, ids))):
            runs = [run for run in plan(self._config.option.phase) if run.name in names]
            run_cache = RunCache(FOLDER, session="")
            trained = [run.name for run in runs if run_cache.has(run.name, run.experiment())]
            self._progress = Progress(runs, trained)
            self._write(self._progress)

    def _write(self, progress: Progress) -> None:
        terminal: Any = self._config.pluginmanager.getplugin("terminalreporter")
        due = time.monotonic() >= self._next_write or progress.finished
        if terminal is None or not due:
            return
        self._next_write = time.monotonic() + (
            1 / UPDATES_PER_SECOND if terminal.isatty else MINUTE
        )
        if terminal.isatty:
            capture = self._config.pluginmanager.getplugin("capturemanager")
            self._line = self._line or StatusLine(terminal, capture)
            self._line.write(str(progress))
        else:
            terminal.ensure_newline()
            terminal.write_line(str(progress), flush=True)


def _run_name(nodeid: str) -> str:
    """The name of the planned run, which is the id of its item."""
    return nodeid.partition("[")[2].removesuffix("]")
