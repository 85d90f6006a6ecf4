"""The pytest plugin: an experiment trains once per session, tests assert on its run, and the end of
the session draws a dashboard. Logs can be tests as well.

In a project that neither offers experiments nor asks for logs, the plugin does nothing. The hooks
here are short; what they do is in the modules of this folder.
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

from probes.plugin import experiments, log_items, options, terminal
from probes.plugin.controller import WORKER_LOGS, WORKER_SESSION, Controller
from probes.plugin.experiments import Experiment
from probes.plugin.log_items import RULES, LogItem
from probes.plugin.run_cache import Store, open_store
from probes.plugin.session import Progress, Run, Session
from probes.plugin.worker_reports import ReportSender, Usage
from probes.report.judged_run import JudgedRun

SESSION = pytest.StashKey[Session]()
SENDER = pytest.StashKey[ReportSender]()
USAGE = pytest.StashKey[Usage]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(experiments.Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    from_controller: Mapping[str, Any] = getattr(config, "workerinput", {})
    identifier = from_controller.get(WORKER_SESSION) or uuid4().hex
    session = Session(partial(_offered, config), partial(_open_store, config, identifier))
    config.stash[SESSION] = session
    config.stash[SENDER] = ReportSender(to_controller=_is_worker(config))
    with _as_usage_errors():
        rules = options.log_rules(config, from_controller.get(WORKER_LOGS))
        paths = options.output_paths(config)
    config.stash[RULES] = rules
    if rules.paths and config.args_source is not config.ArgsSource.ARGS:
        # The command names logs and no tests: do not collect the project's tests.
        config.args, config.args_source = [], config.ArgsSource.ARGS
    if _is_worker(config):
        # The controller clears the cache; a worker would remove what another has just trained.
        config.option.cacheclear = False
    else:
        train = partial(_train, config)
        controller = Controller(config, identifier, session, paths, train)
        config.pluginmanager.register(controller, "probes-controller")


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not _is_worker(config) and _offered(config):
        # Errors in what the project offers, and a warning if the cache cannot be written, come
        # before any test runs.
        _ = config.stash[SESSION].store


def pytest_report_header(config: pytest.Config) -> str | None:
    if not experiments.implementations(config):
        return None
    return terminal.header(_offered(config), config.stash[SESSION].store)


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
    """`run("healthy")` is the run of that experiment, which trains at most once per session."""
    return partial(_use, request.node)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`note("a sentence")` shows a sentence at the end of the session and on the dashboard."""
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
    if isinstance(item, LogItem) and item.judgement:
        usage.log = item.judgement.result
        if report.when == "call" and isinstance(item.judgement.run, JudgedRun):
            embedded.append(item.judgement.run)
    _embed(config, report, embedded)
    config.stash[SENDER].attach(report, usage)
    return report


def _usage(item: pytest.Item) -> Usage:
    """What the test has used so far."""
    return item.stash.setdefault(USAGE, Usage())


def _use(item: pytest.Item, name: str) -> Run:
    """The run of an experiment, noted as used by the test."""
    __tracebackhide__ = True
    usage = _usage(item)
    try:
        usage.runs[name] = _train(item.config, name)
    except BaseException:
        if failure := item.config.stash[SESSION].failures.get(name):
            usage.failures.append(failure)
        raise
    return usage.runs[name]


def _train(config: pytest.Config, name: str) -> Run:
    """The run of an experiment; a line on the terminal shows its progress while it trains."""
    __tracebackhide__ = True
    manager = config.pluginmanager
    reporter = None if _is_worker(config) else manager.getplugin("terminalreporter")
    progress: Progress = terminal.progress(name, reporter, manager.getplugin("capturemanager"))
    return config.stash[SESSION].run(name, progress)


def _embed(config: pytest.Config, report: Any, runs: Sequence[JudgedRun]) -> None:
    """Put the panels of runs into the report that pytest-html makes, if it makes one. What cannot
    be drawn becomes a sentence, so that it does not hide the result of the test."""
    html = config.pluginmanager.getplugin("html")
    if html is None or not config.getoption("htmlpath", None):
        return
    from probes.report import pytest_html

    pieces = []
    for run in runs:
        try:
            pieces.append(pytest_html.panels(run, f"{report.nodeid} {report.when}"))
        except Exception as error:
            pieces.append(escape(f"{run.name} cannot be drawn: {type(error).__name__}: {error}"))
    report.extras = [*getattr(report, "extras", []), *map(html.extras.html, pieces)]


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _offered(config: pytest.Config) -> dict[str, Experiment]:
    with _as_usage_errors():
        return experiments.offered(config)


def _open_store(config: pytest.Config, identifier: str) -> Store:
    """The store of the session; the controller warns once when pytest's cache cannot be written."""

    def warn(sentence: str) -> None:
        if not _is_worker(config):
            config.issue_config_time_warning(pytest.PytestCacheWarning(sentence), stacklevel=2)

    make_folder, cache_folder = None, Path()
    if cache := getattr(config, "cache", None):
        make_folder = cache.mkdir
        cache_folder = Path(config.rootpath, config.getini("cache_dir"), "d", "probes")
    return open_store(make_folder, cache_folder, identifier, config.getoption("retrain"), warn)


@contextmanager
def _as_usage_errors() -> Iterator[None]:
    """Turn errors in options, settings and offered experiments into pytest's usage errors."""
    try:
        yield
    except (options.SettingError, experiments.OfferError) as error:
        raise pytest.UsageError(str(error)) from error
