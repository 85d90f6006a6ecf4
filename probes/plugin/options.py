"""The session that hosts us, asked through its config: the one place in here that knows what
pytest's looks like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.plugin import experiments, log_items, output_paths, terminal
from probes.plugin.run_cache import Store
from probes.plugin.session import Progressing

if TYPE_CHECKING:
    from probes.diagnosis.diagnose import Diagnosis
    from probes.record import Record

Config = Any
"""pytest.Config, whose package only `probes.plugin` imports."""


def add_settings(parser: Any) -> None:
    """Every option and setting there is."""
    group = parser.getgroup("probes", "training runs under test")
    group.addoption("--retrain", action="store_true", help="train every experiment afresh, once")
    for option, how in output_paths.options().items():
        group.addoption(option, **how)
    for name, (default, what) in output_paths.settings().items():
        parser.addini(name, what, type="string", default=default)
    group = parser.getgroup("diagnose", "logs of training runs under test (docs/logs.md)")
    for option, how in log_items.OPTIONS.items():
        group.addoption(option, **how)
    for name, what in log_items.INI.items():
        parser.addini(name, what, type="args", default=[])


def is_worker(config: Config) -> bool:
    return hasattr(config, "workerinput")


def told(config: Config) -> Mapping[str, Any]:
    """What the controller tells its workers."""
    content: Mapping[str, Any] = getattr(config, "workerinput", {})
    return content


def implemented(config: Config) -> list[Any]:
    """The implementations of the hook by which a project offers experiments."""
    return list(config.hook.pytest_probes_experiments.get_hookimpls())


def answers(config: Config) -> Iterator[tuple[str, object]]:
    """What each of them offers, beside its name. Raises OfferError."""

    def call(others: list[object]) -> list[object]:
        return list(
            config.pluginmanager.subset_hook_caller(experiments.HOOK, others)(config=config)
        )

    return experiments.answers(implemented(config), call)


def open_store(config: Config, identity: str, warning: type[Warning]) -> Store:
    """The session's store; one warning, from the controller, where pytest's cache cannot be
    written."""

    def complain(sentence: str) -> None:
        if not is_worker(config):
            config.issue_config_time_warning(warning(sentence), stacklevel=2)

    make, shelf = None, Path()
    if cache := getattr(config, "cache", None):
        make, shelf = cache.mkdir, Path(config.rootpath, config.getini("cache_dir"), "d", "probes")
    return output_paths.open_store(make, shelf, identity, config.getoption("retrain"), complain)


def progress(config: Config, name: str) -> Progressing:
    """To be entered while the experiment trains."""
    reporter = None if is_worker(config) else config.pluginmanager.getplugin("terminalreporter")
    return terminal.progress(name, reporter, config.pluginmanager.getplugin("capturemanager"))


def embed(config: Config, report: Any, runs: Iterable[tuple[str, Record, Diagnosis]]) -> None:
    """Put the runs' panels into a test's part of pytest-html's report, where that is made."""
    html = config.pluginmanager.getplugin("html")
    if html is None or not config.getoption("htmlpath", None):
        return
    pieces = [_piece(f"{report.nodeid} {report.when}", *run) for run in runs]
    report.extras = [*getattr(report, "extras", []), *map(html.extras.html, pieces)]


def _piece(place: str, name: str, record: Record, diagnosis: Diagnosis) -> str:
    """A run's panels, or why there are none: no failure here may hide the test's own result."""
    from probes.report import pytest_html

    try:
        return pytest_html.panels(name, place, record, diagnosis)
    except Exception as error:
        return escape(f"{name} cannot be drawn: {type(error).__name__}: {error}")
