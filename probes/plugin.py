"""The pytest plugin: an experiment trains once a session, tests assert on its run, a dashboard is drawn at the end.

Logs that were asked for are judged as tests of their own. Idle unless a project offers experiments by the hook below or
asks for logs. The hooks only translate between pytest and `offers`, `session`, `store`, `closing`, `rollcall`, `logs`
and `terminal`, none of which knows pytest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from probes.experiment import Experiment
from probes.gate import logs, offers, terminal
from probes.gate.closing import Closing, close
from probes.gate.rollcall import RollCall
from probes.gate.session import Run, Session
from probes.gate.store import Store, TrainingError

if TYPE_CHECKING:
    from probes.gate.store import OnStep

DASHBOARD = "reports/dashboard.html"
ANNOUNCEMENT, FAILURE = "probes_run", "probes_failure"
"""The user properties of a test report that announce a run its test used, or a training that failed it."""
WORKER_INPUT = "probes_session"
"""What the controller tells its workers: the session they belong to."""
LOGS_INPUT = "probes_logs"
"""And the logs that were asked for, so that all of them collect the same."""
LOG_ROW = "probes_log"
"""The attribute of a test report that holds a judged log's line in the table at the end."""
RAN_TO_ITS_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)

SESSION = pytest.StashKey[Session]()
USED = pytest.StashKey[dict[str, Run]]()
POLICY = pytest.StashKey[logs.Policy]()


class Hooks:
    """What a project may implement in a conftest.py."""

    @staticmethod
    def pytest_probes_experiments(config: pytest.Config) -> dict[str, Experiment]:  # type: ignore[empty-body]
        """Return the experiments that tests may ask for, by name; those of several implementations are merged."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("probes", "training runs under test")
    group.addoption("--retrain", action="store_true", help="train every experiment afresh, once")
    where = "where to draw the runs that tests used; `off` draws nothing"
    group.addoption(
        "--dashboard", metavar="PATH", dest="probes_dashboard", help=where + " (default: from the ini file)"
    )
    parser.addini("probes_dashboard", where + ", relative to the root", type="string", default=DASHBOARD)
    group = parser.getgroup("diagnose", "logs of training runs under test (docs/logs.md)")
    for option, settings in logs.OPTIONS.items():
        group.addoption(option, **settings)
    for name, what in logs.INI.items():
        parser.addini(name, what, type="args", default=[])


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    identity = _worker_input(config).get(WORKER_INPUT) or uuid4().hex
    config.stash[SESSION] = Session(lambda: _offered(config), lambda: _open_store(config, identity))
    policy = config.stash[POLICY] = _policy(config)
    if policy.paths and config.args_source is not config.ArgsSource.ARGS:
        config.args, config.args_source = [], config.ArgsSource.ARGS  # nothing beside the logs was asked for
    if _is_worker(config):
        config.option.cacheclear = False  # once a session is enough; a worker would clear what another has just trained
    else:
        config.pluginmanager.register(Controller(config, identity, _page(config)), "probes-controller")


def pytest_unconfigure(config: pytest.Config) -> None:
    if session := config.stash.get(SESSION, None):
        session.close()


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not _is_worker(config) and _offered(config):  # an offer that cannot be used is an error before any test runs
        _ = config.stash[SESSION].store  # and a folder that cannot be written a warning


def pytest_report_header(config: pytest.Config) -> str | None:
    if not _implemented(config):
        return None
    return terminal.header(_offered(config), config.stash[SESSION].store)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    if items:
        items[0].config.stash[SESSION].deselected += len(items)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if isinstance(collector, pytest.Session):
        report.result = [*report.result, *(_log_file(collector, path) for path in collector.config.stash[POLICY].paths)]
    return report


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return _log_file(parent, file_path) if parent.config.stash[POLICY].comes_upon(file_path) else None


class LogFile(pytest.File):
    """A log, with the one test there is to it."""

    def collect(self) -> Iterator[pytest.Item]:
        yield LogItem.from_parent(self, name="diagnosis")


class LogItem(pytest.Item):
    """Passes when the log is healthy or its cause allowed; an error when it cannot be read, skipped when not judged."""

    judgement: logs.Judgement

    def setup(self) -> None:
        self.judgement = logs.judge(self.path, self.nodeid.rpartition("::")[0], self.config.stash[POLICY])
        self.user_properties += self.judgement.properties
        if self.judgement.outcome == "error":
            pytest.fail(self.judgement.text, pytrace=False)

    def runtest(self) -> None:
        if self.judgement.outcome == "failed":
            pytest.fail(self.judgement.text, pytrace=False)
        if self.judgement.outcome == "skipped":
            pytest.skip(self.judgement.text)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.nodeid.rpartition("::")[0]


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Callable[[str], Run]:
    """`run("healthy")` is the run of the experiment of that name; it trains once a session, whoever asks."""
    return partial(_use, request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        used = item.stash.get(USED, {})
        remedy = item.config.stash[SESSION].remedy
        report.sections += [(f"probes: {name}", terminal.section(run, remedy(run))) for name, run in used.items()]
    if isinstance(item, LogItem) and (judgement := getattr(item, "judgement", None)):
        setattr(report, LOG_ROW, list(judgement.row))
    return report


class Controller:
    """The process that hears of every test: alone, or handing tests to workers."""

    def __init__(self, config: pytest.Config, identity: str, page: Path | None) -> None:
        self.config, self.identity, self.page = config, identity, page
        self.rollcall, self.lost, self.closing = RollCall(), list[str](), Closing()
        self.on_file, self.only_failures = frozenset[str](), False
        self.log_rows: dict[str, list[str]] = {}

    def pytest_sessionstart(self) -> None:
        if self.config.getoption("lf", False) and self.config.cache:
            self.on_file = frozenset(self.config.cache.get("cache/lastfailed", {}))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[WORKER_INPUT] = self.identity
        node.workerinput[LOGS_INPUT] = list(map(str, self.config.stash[POLICY].paths))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        self.rollcall.expect(self._place(node), ids)
        self._collected(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            self.rollcall.dead.append(f"{node.gateway.id} went down: {error}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # The phase of a test's last report; xdist's own, of a worker that crashed, has no name for its phase.
        if report.when not in ("setup", "call") and (node := getattr(report, "node", None)):
            self.rollcall.arrive(self._place(node), report.nodeid)
        if row := getattr(report, LOG_ROW, None):
            self.log_rows[report.nodeid] = row
        mine = self.config.stash[SESSION]
        for name, value in report.user_properties:
            if name == ANNOUNCEMENT:
                mine.hear(str(value))
            elif name == FAILURE:
                mine.hear_failure(str(value))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        mine = self.config.stash[SESSION]
        used = mine.arrived or mine.failures
        if not used and not _implemented(self.config) and not self.config.stash[POLICY]:
            self.rollcall.dead.clear()
            return
        stopped = bool(session.shouldstop or session.shouldfail) or session.exitstatus not in RAN_TO_ITS_END
        self.lost = [] if stopped else self.rollcall.lost()
        if used:
            self.closing = close(mine, self.page, self._reasons(stopped), lambda name: self._fetch(name, stopped))
        wrong = self.closing.errors or self.lost or self.rollcall.dead
        if wrong and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if session.exitstatus == pytest.ExitCode.OK:
            shutil.rmtree(_makeshift_folder(self.identity), ignore_errors=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = [
            *logs.table(self.log_rows.values()),
            *terminal.ending(self.closing, self._shown),
            *terminal.losses(self.lost, self.rollcall.dead),
        ]
        if lines:
            terminalreporter.section("probes")
        for line in lines:
            for text, markup in line:
                terminalreporter.write(text, **markup)
            terminalreporter.line("")

    def _collected(self, ids: Sequence[str]) -> None:
        """`--lf` leaves tests out only when a failure on file is among those it can run."""
        self.only_failures |= not self.on_file.isdisjoint(ids)

    def _place(self, node: Any) -> object:
        """Under --dist each every kind of worker runs every test; otherwise one worker runs it."""
        return id(node.gateway.spec) if self.config.getoption("dist") == "each" else None

    def _reasons(self, stopped: bool) -> list[str]:
        """Why this session is not all of its tests, as far as only pytest can tell."""
        reasons = {
            "only named tests ran": any("::" in arg for arg in self.config.args),
            "only the last failures ran": self.only_failures,
            "the session stopped early": stopped,
            "tests were lost": bool(self.lost),
        }
        return [reason for reason, holds in reasons.items() if holds]

    def _fetch(self, name: str, stopped: bool) -> Run | None:
        """An experiment no test asked for; somebody who stops a session does not wait for it to train."""
        mine = self.config.stash[SESSION]
        if stopped and not mine.store.has(name, mine.experiments[name]):
            return None
        return _train(self.config, name)

    def _shown(self, path: Path) -> str:
        here = self.config.invocation_params.dir
        return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)


def _use(item: pytest.Item, name: str) -> Run:
    """The run, noted on the test that uses it and in its report."""
    __tracebackhide__ = True
    used = item.stash.setdefault(USED, {})
    if name not in used:
        try:
            used[name] = _train(item.config, name)
        except (offers.UnknownExperimentError, TrainingError) as error:
            if isinstance(error, TrainingError):
                item.user_properties.append((FAILURE, item.config.stash[SESSION].failed(name, error)))
            raise error.with_traceback(None) from error.__cause__
        item.user_properties.append((ANNOUNCEMENT, item.config.stash[SESSION].announce(used[name])))
    return used[name]


def _train(config: pytest.Config, name: str) -> Run:
    try:
        with _progress(config, name) as on_step:
            return config.stash[SESSION].run(name, on_step)
    except KeyboardInterrupt:
        config.stash[SESSION].interrupted(name)
        raise


@contextmanager
def _progress(config: pytest.Config, name: str) -> Iterator[OnStep | None]:
    """A line on the terminal that says how far a training is, gone again at its end; None without a terminal."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if _is_worker(config) or reporter is None or not reporter.isatty:
        yield None
        return
    line = terminal.StatusLine(reporter, config.pluginmanager.getplugin("capturemanager"))
    try:
        yield terminal.Progress(name, line.write)
    finally:
        line.clear()


def _offered(config: pytest.Config) -> dict[str, Experiment]:
    try:
        return offers.gather(_ask(config))
    except offers.OfferError as error:
        raise pytest.UsageError(str(error)) from error


def _ask(config: pytest.Config) -> Iterator[tuple[str, object]]:
    """Every implementation's answer beside its name; one at a time, since a hook call does not tell who answered."""
    implementations = _implemented(config)
    for one in implementations:
        others = [other.plugin for other in implementations if other is not one]
        caller = config.pluginmanager.subset_hook_caller(offers.HOOK, others)
        try:
            answers = caller(config=config)
        except Exception as error:
            raise offers.OfferError(offers.raised(one.plugin_name, error)) from error
        yield one.plugin_name, answers[0] if answers else None


def _implemented(config: pytest.Config) -> list[Any]:
    return list(config.hook.pytest_probes_experiments.get_hookimpls())


def _open_store(config: pytest.Config, identity: str) -> Store:
    """In pytest's cache where there is one; what cannot be written there is read from there all the same."""
    makeshift, retrain = _makeshift_folder(identity), config.getoption("retrain")
    cache = getattr(config, "cache", None)
    if cache is None:
        return Store(makeshift, identity, retrain)
    shelf = Path(config.rootpath, config.getini("cache_dir"), "d", "probes")
    try:
        folder = cache.mkdir("probes")
        with tempfile.TemporaryFile(dir=folder):
            return Store(folder, identity, retrain)
    except OSError as error:
        if not _is_worker(config):
            text = f"records cannot be kept in pytest's cache ({error}); those of this session go to {makeshift}"
            config.issue_config_time_warning(pytest.PytestCacheWarning(text), stacklevel=2)
        return Store(makeshift, identity, retrain, shelf)


def _makeshift_folder(identity: str) -> Path:
    """Where records are kept when pytest's cache is off or read-only: the same for all processes of a session."""
    return Path(tempfile.gettempdir(), f"probes-{identity}")


def _page(config: pytest.Config) -> Path | None:
    given = config.getoption("probes_dashboard")
    target = config.getini("probes_dashboard") if given is None else given
    if target.lower() == "off":
        return None
    wanted = "name a file, or say off"
    if not target.strip():
        raise pytest.UsageError(f"--dashboard or probes_dashboard is empty; {wanted}")
    page = Path(config.rootpath if given is None else config.invocation_params.dir, target)
    if page.is_dir():
        raise pytest.UsageError(f"--dashboard or probes_dashboard: {page} is a folder; {wanted}")
    return page


def _policy(config: pytest.Config) -> logs.Policy:
    found = _worker_input(config).get(LOGS_INPUT)
    try:
        return logs.policy(config.option, config.getini, config.invocation_params.dir, found)
    except logs.LogsError as error:
        raise pytest.UsageError(str(error)) from error


def _log_file(parent: pytest.Collector, path: Path) -> LogFile:
    """The log's node; its id is the path, from the root where it is below that."""
    below = path.is_relative_to(parent.config.rootpath)
    name = (path.relative_to(parent.config.rootpath) if below else path).as_posix()
    return LogFile.from_parent(parent, path=path, name=name, nodeid=name)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _worker_input(config: pytest.Config) -> dict[str, Any]:
    return getattr(config, "workerinput", {})
