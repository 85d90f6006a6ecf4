"""The options and ini settings of the plugin: their declaration, and the checks of their values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probes.common.text import did_you_mean

if TYPE_CHECKING:
    from probes.record.metrics import Direction

Config = Any
"""Stands for pytest.Config, so that this module need not import pytest."""

RUN_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--retrain": {
        "action": "store_true",
        "help": "train the experiments again instead of using their cached records",
    },
    "--family": {
        "metavar": "N",
        "dest": "probes_family",
        "type": int,
        "default": 0,
        "help": "train N healthy runs of an experiment's config with other seeds, keep their "
        "records, and compare the experiment with them (default: no comparison)",
    },
    "--dashboard": {
        "metavar": "PATH",
        "dest": "probes_dashboard",
        "help": "where to draw the runs that tests used; `off` draws nothing "
        "(default: from the ini file)",
    },
    "--diagnosis-json": {
        "metavar": "PATH",
        "dest": "probes_diagnosis_json",
        "help": "where to write all diagnoses as JSON; `off` writes nothing "
        "(default: from the ini file)",
    },
    "--diagnosis-sarif": {
        "metavar": "PATH",
        "dest": "probes_diagnosis_sarif",
        "help": "where to write the verdicts as SARIF 2.1.0; `off` writes nothing "
        "(default: from the ini file)",
    },
}
LOG_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--diagnose": {
        "nargs": "+",
        "action": "extend",
        "default": [],
        "metavar": "PATH",
        "help": "judge these logs, and the logs in these folders; to run tests as well, name "
        "them before this option",
    },
    "--diagnose-strict": {
        "action": "store_true",
        "help": "fail a log that cannot be judged, instead of skipping it",
    },
    "--diagnose-map": {
        "action": "append",
        "default": [],
        "metavar": "SIGNAL=COLUMN",
        "help": "read a column of a log as a signal",
    },
    "--diagnose-metric": {
        "action": "append",
        "default": [],
        "metavar": "NAME:up|down",
        "help": "read a column of a log as a metric; say whether higher or lower values are better",
    },
    "--allow": {
        "action": "append",
        "default": [],
        "metavar": "CAUSE",
        "help": "pass a log that has this cause",
    },
}
PATH_SETTINGS: Mapping[str, tuple[str, str]] = {
    "probes_dashboard": (
        "reports/dashboard.html",
        "where to draw the runs that tests used, relative to the root; `off` draws nothing",
    ),
    "probes_diagnosis_json": (
        "reports/diagnosis.json",
        "where to write all diagnoses as JSON, relative to the root; `off` writes nothing",
    ),
    "probes_diagnosis_sarif": (
        "off",
        "where to write the verdicts as SARIF 2.1.0, relative to the root; `off` writes nothing",
    ),
}
"""Ini setting -> its default and its help. The option whose `dest` is the name of the setting
overrides it."""
LIST_SETTINGS: Mapping[str, str] = {
    "diagnose_files": "patterns for the paths of logs; a collected file that matches is judged",
    "diagnose_allow": "causes for which a log does not fail",
}
"""Ini setting -> its help. The value of each of these settings is a list of words."""


class SettingError(ValueError):
    """An option or an ini setting has a wrong value.

    The message names the option or setting and says which values are right.
    """


def add_options(parser: Any) -> None:
    """Declare every option and setting in pytest's parser."""
    group = parser.getgroup("probes", "training runs under test")
    for option, how in RUN_OPTIONS.items():
        group.addoption(option, **how)
    group = parser.getgroup("diagnose", "logs under test (python -m probes explain logs)")
    for option, how in LOG_OPTIONS.items():
        group.addoption(option, **how)
    for name, (default, help_text) in PATH_SETTINGS.items():
        parser.addini(name, help_text, type="string", default=default)
    for name, help_text in LIST_SETTINGS.items():
        parser.addini(name, help_text, type="args", default=[])


def family_size(config: Config) -> int:
    """The number of healthy runs with which each experiment is compared; 0 for no comparison.

    Raises SettingError if the number is too small.
    """
    size: int = config.option.probes_family
    if size == 0:
        return 0
    from probes.diagnosis.family import MIN_MEMBERS

    if size < MIN_MEMBERS:
        raise SettingError(f"--family {size}: a family has at least {MIN_MEMBERS} runs, such as 12")
    return size


# Output files


@dataclass(frozen=True)
class OutputPaths:
    """Where the output files of a session go.

    page          the dashboard; None if it is off
    document      the JSON document; None if it is off
    sarif         the SARIF document; None if it is off
    root          pytest's root folder; paths in output files are relative to it
    start_folder  the folder in which pytest was started; paths on the terminal are relative to it
    """

    page: Path | None
    document: Path | None
    sarif: Path | None
    root: Path
    start_folder: Path

    def on_terminal(self, path: Path) -> str:
        """The path as the terminal shows it: relative if it is inside `start_folder`."""
        return (
            os.path.relpath(path, self.start_folder)
            if path.is_relative_to(self.start_folder)
            else str(path)
        )

    def in_document(self, path: Path) -> str:
        """The path as output files show it: relative if it is inside the root."""
        return path_from(self.root, path)


def output_paths(config: Config) -> OutputPaths:
    """The paths of the output files, from options or else from settings. A path in an option is
    relative to the current folder, a path in a setting to the root.

    Raises SettingError for an empty path or a folder.
    """
    root, start_folder = config.rootpath, config.invocation_params.dir

    def path_of(option: str, setting: str) -> Path | None:
        given: str | None = getattr(config.option, setting)
        target: str = config.getini(setting) if given is None else given
        if target.lower() == "off":
            return None
        if not target.strip():
            raise SettingError(f"{option} or {setting} is empty; give the path of a file, or off")
        path = Path(root if given is None else start_folder, target)
        if path.is_dir():
            raise SettingError(
                f"{option} or {setting}: {path} is a folder; give the path of a file, or off"
            )
        return path

    page = path_of("--dashboard", "probes_dashboard")
    document = path_of("--diagnosis-json", "probes_diagnosis_json")
    sarif = path_of("--diagnosis-sarif", "probes_diagnosis_sarif")
    return OutputPaths(page, document, sarif, root, start_folder)


def path_from(base: Path, path: Path) -> str:
    """The path with forward slashes. It is relative to `base` if it is inside that folder."""
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


# Logs under test


@dataclass(frozen=True)
class LogRules:
    """Which logs a session judges, and when a log passes.

    paths     the logs that --diagnose names, absolute and sorted
    patterns  patterns for the end of a path; a file that pytest collects is judged too if it
              matches one of them
    allowed   causes for which a log does not fail
    strict    whether a log that cannot be judged fails instead of being skipped
    mapping   signal -> the column that holds it
    metrics   column -> "up" or "down", for columns that are metrics
    """

    paths: tuple[Path, ...] = ()
    patterns: tuple[str, ...] = ()
    allowed: frozenset[str] = frozenset()
    strict: bool = False
    mapping: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, Direction] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether the session judges any logs."""
        return bool(self.paths or self.patterns)

    def matches(self, path: Path) -> bool:
        """Whether a pattern matches the path and --diagnose does not name the path already."""
        return any(map(path.match, self.patterns)) and path not in self.paths


def log_rules(config: Config, found: Sequence[bytes] | None = None) -> LogRules:
    """The rules that options and settings state.

    Raises SettingError for an empty pattern, for a path without logs, for a name that is not the
    name of a cause, and for a mapping that is not SIGNAL=COLUMN or names no signal.

    found  the paths of the logs if the controller has already searched for them, else None
    """
    option = config.option
    patterns = tuple(config.getini("diagnose_files"))
    if "" in patterns:
        raise SettingError(
            "diagnose_files: a pattern is empty; give a pattern such as trainer_state.json or "
            "runs/*.csv"
        )
    if found is None:
        start = config.invocation_params.dir
        paths = [log for given in option.diagnose for log in _logs_at(given, start)]
    else:
        paths = [Path(os.fsdecode(path)) for path in found]
    allowed = frozenset([*option.allow, *config.getini("diagnose_allow")])
    if allowed:
        from probes.diagnosis.causes import BY_NAME

        for name in sorted(allowed - BY_NAME.keys()):
            hint = did_you_mean(name, BY_NAME)
            raise SettingError(
                f"--allow or diagnose_allow: there is no cause {name!r}; "
                f"{hint}{' ' if hint else ''}the causes are {', '.join(BY_NAME)}"
            )
    mapping: Mapping[str, str] = {}
    if option.diagnose_map:
        from probes.readers.column_mapping import mapping_of
        from probes.record import RecordError
        from probes.record.signals import UnknownSignalError

        try:
            mapping = mapping_of(option.diagnose_map)
        except (RecordError, UnknownSignalError) as error:
            raise SettingError(f"--diagnose-map: {error}") from error
    metrics: Mapping[str, Direction] = {}
    if option.diagnose_metric:
        from probes.readers.metric_columns import directions_of
        from probes.record import RecordError

        try:
            metrics = directions_of(option.diagnose_metric)
        except RecordError as error:
            raise SettingError(f"--diagnose-metric: {error}") from error
    logs = tuple(sorted(set(paths)))
    return LogRules(logs, patterns, allowed, option.diagnose_strict, mapping, metrics)


def _logs_at(given: str, start: Path) -> list[Path]:
    """The file at a path. For a folder: all logs in it, and all files that look like logs.

    Raises SettingError if the path does not exist or the folder holds no such file."""
    path = Path(os.path.abspath(start / given))
    advice = "give logs or folders of logs; name the tests to run before --diagnose"
    if not given or not os.path.exists(path):
        raise SettingError(f"--diagnose: {given!r} does not exist; {advice}")
    if not path.is_dir():
        return [path]
    from probes.readers import find

    if found := find(path, unknown=True):
        return found
    raise SettingError(
        f"--diagnose: {given!r} holds no log of a known format (`python -m probes explain logs` "
        f"lists them); {advice}"
    )
