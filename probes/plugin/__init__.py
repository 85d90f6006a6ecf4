"""The pytest plugin: an experiment trains once a session, tests assert on its run, a dashboard is
drawn at the end.

Logs that were asked for are judged as tests of their own. Idle unless a project offers experiments
by the hook below or asks for logs. The hooks only translate between pytest and `probes.plugin`,
which does not know it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from probes.plugin import experiments, log_items, options, output_paths, terminal
from probes.plugin.experiments import Experiment
from probes.plugin.session import Run, Session
from probes.plugin.session_report import Ending
from probes.plugin.worker_reports import LOG, NOTE, Hearing

WORKER_INPUT, LOGS_INPUT = "probes_session", "probes_logs"
"""What the controller tells its workers: their session, and the logs that all of them are to
collect."""
RAN_TO_ITS_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
WRONG_SETTINGS = (experiments.OfferError, log_items.LogsError, output_paths.PlaceError)

SESSION = pytest.StashKey[Session]()
USED = pytest.StashKey[dict[str, Run]]()
POLICY = pytest.StashKey[log_items.Policy]()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(experiments.Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_settings(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    told = options.told(config)
    identity = told.get(WORKER_INPUT) or uuid4().hex
    store = partial(options.open_store, config, identity, pytest.PytestCacheWarning)
    config.stash[SESSION] = Session(partial(_offered, config), store)
    with _usage():
        policy = log_items.policy(
            config.option, config.getini, config.invocation_params.dir, told.get(LOGS_INPUT)
        )
    config.stash[POLICY] = policy
    if policy.paths and config.args_source is not config.ArgsSource.ARGS:
        config.args, config.args_source = (
            [],
            config.ArgsSource.ARGS,
        )  # nothing beside the logs was asked for
    if options.is_worker(config):
        config.option.cacheclear = (
            False  # once a session is enough; a worker would clear what another has just trained
        )
    else:
        config.pluginmanager.register(Controller(config, identity), "probes-controller")


def pytest_unconfigure(config: pytest.Config) -> None:
    if session := config.stash.get(SESSION, None):
        session.close()


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not options.is_worker(config) and _offered(
        config
    ):  # an offer that cannot be used is an error before any test runs
        _ = config.stash[SESSION].store  # and a folder that cannot be written a warning


def pytest_report_header(config: pytest.Config) -> str | None:
    return (
        terminal.header(_offered(config), config.stash[SESSION].store)
        if options.implemented(config)
        else None
    )


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    if items:
        items[0].config.stash[SESSION].deselected += len(items)


# Logs


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if isinstance(collector, pytest.Session):
        report.result = [
            *report.result,
            *(_log_file(collector, path) for path in collector.config.stash[POLICY].paths),
        ]
    return report


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return (
        _log_file(parent, file_path) if parent.config.stash[POLICY].comes_upon(file_path) else None
    )


def _log_file(parent: pytest.Collector, path: Path) -> LogFile:
    """The log's node; its id is the path, from the root where it is below that."""
    name = output_paths.shown(path, parent.config.rootpath)
    return LogFile.from_parent(parent, path=path, name=name, nodeid=name)


class LogFile(pytest.File):
    """A log, with the one test there is to it."""

    def collect(self) -> Iterator[pytest.Item]:
        yield LogItem.from_parent(self, name="diagnosis")


class LogItem(pytest.Item):
    """Passes when the log is healthy or its cause allowed; an error when it cannot be read, skipped
    when not judged."""

    judgement: log_items.Judgement | None = None

    def setup(self) -> None:
        self.judgement = log_items.judge(
            self.path, self.nodeid.rpartition("::")[0], self.config.stash[POLICY]
        )
        self.user_properties += self.judgement.properties
        if self.judgement.outcome == "error":
            pytest.fail(self.judgement.text, pytrace=False)

    def runtest(self) -> None:
        assert self.judgement
        if self.judgement.outcome == "failed":
            pytest.fail(self.judgement.text, pytrace=False)
        if self.judgement.outcome == "skipped":
            pytest.skip(self.judgement.text)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.nodeid.rpartition("::")[0]


# Experiments


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Callable[[str], Run]:
    """`run("healthy")` is the run of the experiment of that name; it trains once a session, whoever
    asks."""
    return partial(_use, request.node)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`note("a sentence")` is said at the end of the session and stands at the top of the
    dashboard."""
    return lambda sentence: request.node.user_properties.append((NOTE, sentence))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    config, used = item.config, item.stash.get(USED, {}).values()
    if report.failed:
        report.sections += terminal.sections(used, config.stash[SESSION].remedy)
        options.embed(config, report, ((run.name, run.record, run.diagnosis) for run in used))
    if isinstance(item, LogItem) and item.judgement:
        setattr(report, LOG, item.judgement.announcement(config.stash[SESSION].deselected))
        options.embed(config, report, item.judgement.runs if report.when == "call" else ())
    return report


class Controller:
    """The process that hears of every test: alone, or handing tests to workers."""

    def __init__(self, config: pytest.Config, identity: str) -> None:
        self.config, self.identity = config, identity
        with _usage():
            where = output_paths.places(
                config.option, config.getini, config.rootpath, config.invocation_params.dir
            )
        self.ending = Ending(Hearing(config.stash[SESSION]), where, os.environ)

    def pytest_sessionstart(self) -> None:
        if self.config.getoption("lf", False) and self.config.cache:
            self.ending.on_file = self.config.cache.get("cache/lastfailed", {})

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.ending.collected(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[WORKER_INPUT] = self.identity
        node.workerinput[LOGS_INPUT] = list(map(str, self.config.stash[POLICY].paths))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        self.ending.rollcall.expect(self._place(node), ids)
        self.ending.collected(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            self.ending.rollcall.dead.append(f"{node.gateway.id} went down: {error}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # The phase of a test's last report; xdist's own, of a worker that crashed, has no name for
        # its phase.
        if report.when not in ("setup", "call") and (node := getattr(report, "node", None)):
            self.ending.rollcall.arrive(self._place(node), report.nodeid)
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        self.ending.hearing.hear(
            report.nodeid, outcome, report.user_properties, getattr(report, LOG, None)
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        config, status = self.config, session.exitstatus
        if not any((self.ending.hearing, options.implemented(config), config.stash[POLICY])):
            self.ending.rollcall.dead.clear()
            return
        stopped = bool(session.shouldstop or session.shouldfail) or status not in RAN_TO_ITS_END
        named = any("::" in arg for arg in config.args)
        if not self.ending.come(stopped, named, self._train) and status == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if session.exitstatus == pytest.ExitCode.OK:
            shutil.rmtree(output_paths.makeshift_folder(self.identity), ignore_errors=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if lines := list(self.ending.lines()):
            terminalreporter.section("probes")
        for line in lines:
            for text, markup in [*line, ("\n", {})]:
                terminalreporter.write(text, **markup)
        for command in self.ending.commands():
            terminalreporter.line(command)

    def _train(self, name: str) -> Run:
        return self.config.stash[SESSION].train(name, options.progress(self.config, name))

    def _place(self, node: Any) -> object:
        """Under --dist each every kind of worker runs every test; otherwise one worker runs it."""
        return id(node.gateway.spec) if self.config.getoption("dist") == "each" else None


def _use(item: pytest.Item, name: str) -> Run:
    """The run, noted on the test that uses it and in its report."""
    __tracebackhide__ = True
    used = item.stash.setdefault(USED, {})
    if name not in used:
        used[name] = item.config.stash[SESSION].use(
            name, options.progress(item.config, name), item.user_properties
        )
    return used[name]


def _offered(config: pytest.Config) -> dict[str, Experiment]:
    with _usage():
        return experiments.gather(options.answers(config))


@contextmanager
def _usage() -> Iterator[None]:
    """Options, settings and offers that cannot be used are the user's to put right."""
    try:
        yield
    except WRONG_SETTINGS as error:
        raise pytest.UsageError(str(error)) from error
