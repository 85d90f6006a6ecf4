"""The options and ini settings of the plugin: they are declared here, and their values are checked
and read here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from probes.common.text import did_you_mean

Config = Any
"""pytest.Config."""

RUN_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--retrain": {"action": "store_true", "help": "train every experiment afresh, once"},
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
}
LOG_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--diagnose": {
        "nargs": "+",
        "action": "extend",
        "default": [],
        "metavar": "PATH",
        "help": "judge logs, or the logs in folders; tests run as well only if they are named "
        "before this option",
    },
    "--diagnose-strict": {"action": "store_true", "help": "a log that cannot be judged fails"},
    "--diagnose-map": {
        "action": "append",
        "default": [],
        "metavar": "SIGNAL=COLUMN",
        "help": "read a column of a log as a signal",
    },
    "--allow": {
        "action": "append",
        "default": [],
        "metavar": "CAUSE",
        "help": "a log may have this cause",
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
}
"""Ini setting -> its default and its help. The option with the same destination overrides it."""
LIST_SETTINGS: Mapping[str, str] = {
    "diagnose_files": "patterns of the logs to judge wherever pytest collects",
    "diagnose_allow": "causes that a log may have",
}
"""Ini setting whose value is a list of words -> its help."""


class SettingError(ValueError):
    """An option or an ini setting has a wrong value; the message names it and the right ones."""


def add_options(parser: Any) -> None:
    """Declare every option and setting. `parser` is pytest's."""
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


# Output files


@dataclass(frozen=True)
class OutputPaths:
    """Where the output files of a session go.

    page      the dashboard; None when it is off
    document  the JSON document; None when it is off
    root      pytest's root folder; paths inside of output files start here
    here      the folder in which pytest was started; paths on the terminal start here
    """

    page: Path | None
    document: Path | None
    root: Path
    here: Path

    def on_terminal(self, path: Path) -> str:
        """The path as the terminal shows it: relative when it lies below `here`."""
        return os.path.relpath(path, self.here) if path.is_relative_to(self.here) else str(path)

    def in_document(self, path: Path) -> str:
        """The path as output files show it: relative when it lies below the root."""
        return path_from(self.root, path)


def output_paths(config: Config) -> OutputPaths:
    """The paths of the output files: from options, which start in the current folder, or from
    settings, which start in the root. Raises SettingError."""
    root, here = config.rootpath, config.invocation_params.dir

    def path_of(option: str, setting: str) -> Path | None:
        given: str | None = getattr(config.option, setting)
        target: str = config.getini(setting) if given is None else given
        if target.lower() == "off":
            return None
        if not target.strip():
            raise SettingError(f"{option} or {setting} is empty; name a file, or say off")
        path = Path(root if given is None else here, target)
        if path.is_dir():
            raise SettingError(
                f"{option} or {setting}: {path} is a folder; name a file, or say off"
            )
        return path

    page = path_of("--dashboard", "probes_dashboard")
    document = path_of("--diagnosis-json", "probes_diagnosis_json")
    return OutputPaths(page, document, root, here)


def path_from(base: Path, path: Path) -> str:
    """The path relative to a base when it lies below it, else whole; with forward slashes."""
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


# Logs under test


@dataclass(frozen=True)
class LogRules:
    """Which logs a session judges, and when a log passes.

    paths     the logs that --diagnose names, absolute and sorted
    patterns  pytest also judges a file it finds when the end of its path matches one of these
    allowed   causes for which no log fails
    strict    whether a log that cannot be judged fails instead of being skipped
    mapping   signal -> column to read it from
    """

    paths: tuple[Path, ...] = ()
    patterns: tuple[str, ...] = ()
    allowed: frozenset[str] = frozenset()
    strict: bool = False
    mapping: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether the session judges any logs."""
        return bool(self.paths or self.patterns)

    def matches(self, path: Path) -> bool:
        """Whether a pattern matches a path that --diagnose does not name already."""
        return any(map(path.match, self.patterns)) and path not in self.paths


def log_rules(config: Config, found: Sequence[str] | None = None) -> LogRules:
    """The rules that options and settings state. Raises SettingError.

    found  the logs, when the controlling process has searched for them already
    """
    option = config.option
    patterns = tuple(config.getini("diagnose_files"))
    if "" in patterns:
        raise SettingError(
            "diagnose_files: a pattern is empty; write one as trainer_state.json or runs/*.csv"
        )
    if found is None:
        start = config.invocation_params.dir
        found = [str(log) for path in option.diagnose for log in _logs_at(path, start)]
    return LogRules(
        tuple(sorted(set(map(Path, found)))),
        patterns,
        _allowed([*option.allow, *config.getini("diagnose_allow")]),
        option.diagnose_strict,
        _mapping(option.diagnose_map),
    )


def _logs_at(given: str, start: Path) -> list[Path]:
    """The file at a path, or the logs in the folder there. Raises SettingError for none."""
    path = Path(os.path.abspath(start / given))
    advice = "give logs or folders of them; what else is to run stands before --diagnose"
    if not given or not os.path.exists(path):
        raise SettingError(f"--diagnose: {given!r} does not exist; {advice}")
    if not path.is_dir():
        return [path]
    from probes.readers import find

    if found := find(path):
        return found
    raise SettingError(
        f"--diagnose: {given!r} holds no log of a known format (`python -m probes explain logs` "
        f"lists them); {advice}"
    )


def _allowed(names: Iterable[str]) -> frozenset[str]:
    """The names as a set. Raises SettingError for one that is no cause."""
    wanted = frozenset(names)
    if not wanted:
        return wanted
    from probes.diagnosis.causes import BY_NAME

    for name in sorted(wanted - BY_NAME.keys()):
        hint = did_you_mean(name, BY_NAME)
        raise SettingError(
            f"--allow or diagnose_allow: there is no cause {name!r}; {hint}{' ' if hint else ''}"
            f"the causes are {', '.join(BY_NAME)}"
        )
    return wanted


def _mapping(pairs: Sequence[str]) -> Mapping[str, str]:
    """Signal -> column. Raises SettingError for a pair that is not SIGNAL=COLUMN."""
    if not pairs:
        return {}
    from probes.readers.column_mapping import mapping_of
    from probes.record import RecordError
    from probes.record.signals import UnknownSignalError

    try:
        return mapping_of(pairs)
    except (RecordError, UnknownSignalError) as error:
        raise SettingError(f"--diagnose-map: {error}") from error
