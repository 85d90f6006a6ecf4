"""The pytest plugin. It trains each experiment once per session, gives the run to the tests, and
draws a dashboard at the end of the session. It can also judge each log as a test.

In a project that neither offers experiments nor names logs, the plugin does nothing. The hooks in
this file are short and call the other modules of this folder.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from html import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from probes.common.text import printable, printable_lines
from probes.plugin import experiments, log_items, options, terminal
from probes.plugin.controller import WORKER_LOGS, WORKER_SESSION, Controller
from probes.plugin.experiments import Experiment
from probes.plugin.log_items import RULES, LogItem
from probes.plugin.run_cache import RunCache, open_run_cache
from probes.plugin.session import ProgressContext, Run, Session
from probes.plugin.worker_reports import ReportSender, Usage
from probes.report.judged_run import JudgedRun

SESSION = pytest.StashKey[Session]()
SENDER = pytest.StashKey[ReportSender]()
USAGE = pytest.StashKey[Usage]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(experiments.Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


# This hook runs first, because pytest's cache plugin reads `cacheclear` in the same hook.
@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    from_controller: Mapping[str, Any] = getattr(config, "workerinput", {})
    identifier = from_controller.get(WORKER_SESSION) or uuid4().hex
    config.stash[SENDER] = ReportSender(to_controller=_is_worker(config))
    with _as_usage_errors():
        session = Session(
            partial(_offered, config),
            partial(_open_run_cache, config, identifier),
            options.family_size(config),
        )
        config.stash[SESSION] = session
        rules = options.log_rules(config, from_controller.get(WORKER_LOGS))
        paths = options.output_paths(config)
    config.stash[RULES] = rules
    if rules.paths and config.args_source is not config.ArgsSource.ARGS:
        # The command names logs but no tests, so the project's tests are not collected.
        config.args, config.args_source = [], config.ArgsSource.ARGS
    if _is_worker(config):
        # Only the controller clears the cache. A worker would remove records that another worker
        # has just trained.
        config.option.cacheclear = False
    else:
        train = partial(_train, config)
        controller = Controller(config, identifier, session, paths, train)
        config.pluginmanager.register(controller, "probes-controller")


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not _is_worker(config) and _offered(config):
        # Open the cache before any test runs, so that errors in the offered experiments and the
        # warning about a cache that cannot be written appear first.
        _ = config.stash[SESSION].run_cache


def pytest_report_header(config: pytest.Config) -> str | None:
    if not experiments.implementations(config):
        return None
    return terminal.header(_offered(config), config.stash[SESSION].run_cache)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    if items:
        items[0].config.stash[SENDER].deselected += len(items)


# Logs


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if isinstance(collector, pytest.Session):
        paths = collector.config.stash[RULES].paths
        report.result = [*report.result, *(log_items.log_file(collector, path) for path in paths)]
    return report


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    matches = parent.config.stash[RULES].matches(file_path)
    return log_items.log_file(parent, file_path) if matches else None


# Experiments


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Callable[[str], Run]:
    """`run("healthy")` returns the run of the experiment `healthy`, and records that the test used
    it. An experiment trains at most once per session."""
    item = request.node

    def use(name: str) -> Run:
        __tracebackhide__ = True
        usage = _usage(item)
        try:
            usage.runs[name] = _train(item.config, name)
        except BaseException:
            if failure := item.config.stash[SESSION].failures.get(name):
                usage.failures.append(failure)
            raise
        return usage.runs[name]

    return use


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`note("a sentence")` adds a sentence to the summary on the terminal, to the dashboard and to
    the JSON document."""
    return _usage(request.node).notes.append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    config, usage = item.config, _usage(item)
    runs = list(usage.runs.values()) if report.failed else []
    embedded = [run.judged for run in runs]
    for run in runs:
        remedy = config.stash[SESSION].remedy(run)
        report.sections.append(terminal.failure_section(run, remedy))
    if usage.failures and (shown := printable_lines(report.longreprtext)) != report.longreprtext:
        # The message of the error that training raised may hold text from anywhere.
        report.longrepr = shown
    if isinstance(item, LogItem) and item.judgement:
        usage.log = item.judgement.result
        if report.when == "call" and isinstance(item.judgement.run, JudgedRun):
            embedded.append(item.judgement.run)
    _embed(config, report, embedded)
    config.stash[SENDER].attach(report, usage)
    return report


def _usage(item: pytest.Item) -> Usage:
    """The runs, notes and log that the test has used so far."""
    return item.stash.setdefault(USAGE, Usage())


def _train(config: pytest.Config, name: str) -> Run:
    """Return the run of an experiment. If it has to be trained, a line on the terminal shows the
    progress."""
    __tracebackhide__ = True
    manager = config.pluginmanager
    reporter = None if _is_worker(config) else manager.getplugin("terminalreporter")

    def progress(training: str) -> ProgressContext:
        return terminal.progress(training, reporter, manager.getplugin("capturemanager"))

    return config.stash[SESSION].run(name, progress)


def _embed(config: pytest.Config, report: Any, runs: Sequence[JudgedRun]) -> None:
    """Add the panels of runs to the report of pytest-html, if it writes one. If a run cannot be
    drawn, the report gets a sentence with the error, and the result of the test stays visible."""
    html = config.pluginmanager.getplugin("html")
    if html is None or not config.getoption("htmlpath", None):
        return
    from probes.report import pytest_html

    pieces = []
    for run in runs:
        try:
            pieces.append(pytest_html.panels(run, f"{report.nodeid} {report.when}"))
        except Exception as error:
            reason = f"{run.name} cannot be drawn: {type(error).__name__}: {error}"
            pieces.append(escape(printable(reason)))
    report.extras = [*getattr(report, "extras", []), *map(html.extras.html, pieces)]


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _offered(config: pytest.Config) -> dict[str, Experiment]:
    with _as_usage_errors():
        return experiments.offered(config)


def _open_run_cache(config: pytest.Config, identifier: str) -> RunCache:
    """Open the cache of the session. The controller warns if it is not writable."""

    def warn(sentence: str) -> None:
        if not _is_worker(config):
            config.issue_config_time_warning(pytest.PytestCacheWarning(sentence), stacklevel=2)

    # The config has no cache if pytest was started with -p no:cacheprovider.
    make_folder, cache_folder = None, Path()
    if cache := getattr(config, "cache", None):
        make_folder = cache.mkdir
        cache_folder = Path(config.rootpath, config.getini("cache_dir"), "d", "probes")
    return open_run_cache(make_folder, cache_folder, identifier, config.getoption("retrain"), warn)


@contextmanager
def _as_usage_errors() -> Iterator[None]:
    """Turn errors in options, settings and offered experiments into pytest's usage errors."""
    try:
        yield
    except (options.SettingError, experiments.OfferError) as error:
        raise pytest.UsageError(printable_lines(str(error))) from error
