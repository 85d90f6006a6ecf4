"""Logs under test: which ones, what becomes of each of them, and the words for it."""

from __future__ import annotations

import difflib
import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from probes.diagnosis.causes import BY_NAME
from probes.plugin.terminal import COLOUR, Part
from probes.report.json_report import Entry, entry, first_step, plain, unjudged

if TYPE_CHECKING:
    from probes.diagnosis.base import Finding
    from probes.diagnosis.diagnose import Diagnosis
    from probes.record import Record

Outcome = Literal["passed", "failed", "skipped", "error"]
ALLOWED = "allowed: "
"""What the words for a log that passes, though something is wrong with it, begin with."""
UNREADABLE = "unreadable"
"""What stands where a verdict would, of a log that could not be read."""

_SEVERAL: Mapping[str, Any] = {"action": "append", "default": []}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--diagnose": {
        "nargs": "+",
        "action": "extend",
        "default": [],
        "metavar": "PATH",
        "help": "judge logs, or the logs in folders; nothing else runs unless it is named, before this option",
    },
    "--diagnose-strict": {"action": "store_true", "help": "a log that cannot be judged fails"},
    "--diagnose-map": {
        "metavar": "SIGNAL=COLUMN",
        "help": "read a column of a log as a signal",
        **_SEVERAL,
    },
    "--allow": {"metavar": "CAUSE", "help": "a log may have this cause", **_SEVERAL},
}
INI: Mapping[str, str] = {
    "diagnose_files": "patterns of the logs to judge wherever pytest comes upon them",
    "diagnose_allow": "causes that a log may have",
}
"""Settings, each a list of words."""


class LogsError(ValueError):
    """Something about the options; the message says what was wrong, and what would be right."""


@dataclass(frozen=True)
class Policy:
    """What a session judges, and by which rules.

    paths     logs that were asked for, absolute and sorted
    patterns  a log that pytest comes upon is judged when the end of its path fits one of them
    allowed   causes that fail no log
    strict    whether a log that cannot be judged fails instead of being skipped
    mapping   signal -> column
    """

    paths: tuple[Path, ...] = ()
    patterns: tuple[str, ...] = ()
    allowed: frozenset[str] = frozenset()
    strict: bool = False
    mapping: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything to judge."""
        return bool(self.paths or self.patterns)

    def comes_upon(self, path: Path) -> bool:
        """Whether a file that pytest comes upon is to be judged, and was not asked for anyway."""
        return any(map(path.match, self.patterns)) and path not in self.paths


@dataclass(frozen=True)
class Judgement:
    """What became of one log.

    row         name, verdict, cause and headline, as they stand in the table at the end
    entry       the same and all the rest, as data
    runs        name, record and diagnosis; nothing of a log that could not be read
    properties  verdict, cause, first_step and evidence, those that there are, in builtins
    text        what is said of a log that is red or skipped; the first line is the reason
    """

    outcome: Outcome
    row: Sequence[str]
    entry: Entry
    runs: Sequence[tuple[str, Record, Diagnosis]]
    properties: Sequence[tuple[str, object]]
    text: str

    def announcement(self, deselected: int) -> str:
        """What other processes need to know of a log, and of the tests that were left out: one line
        of JSON."""
        return json.dumps(plain({"row": self.row, "entry": self.entry, "deselected": deselected}))


# Which logs, by which rules


def policy(
    option: Any, setting: Callable[[str], Any], here: Path, found: Sequence[str] | None = None
) -> Policy:
    """The policy that options and settings ask for.

    here   where paths on the command line start
    found  the logs, where another process has looked for them already
    Raises LogsError.
    """
    patterns = tuple(setting("diagnose_files"))
    if "" in patterns:
        raise LogsError(
            "diagnose_files: a pattern is empty; write one as trainer_state.json or runs/*.csv"
        )
    return Policy(
        _expanded(option.diagnose, here) if found is None else tuple(map(Path, found)),
        patterns,
        _allowed([*option.allow, *setting("diagnose_allow")]),
        option.diagnose_strict,
        _mapping(option.diagnose_map),
    )


def _expanded(paths: Iterable[str], here: Path) -> tuple[Path, ...]:
    """The files that were asked for, with the logs in a folder for the folder.

    Raises LogsError for a path that does not exist, and for a folder without a log.
    """
    return tuple(sorted({log for path in paths for log in _logs(path, here)}))


def _logs(given: str, here: Path) -> list[Path]:
    path = Path(os.path.abspath(here / given))
    advice = "give logs or folders of them; what else is to run stands before --diagnose"
    if not given or not os.path.exists(path):
        raise LogsError(f"--diagnose: {given!r} does not exist; {advice}")
    if not path.is_dir():
        return [path]
    from probes.readers import find

    if found := find(path):
        return found
    raise LogsError(
        f"--diagnose: {given!r} holds no log of a format that is known (docs/logs.md); {advice}"
    )


def _allowed(causes: Iterable[str]) -> frozenset[str]:
    """The causes. Raises LogsError for one that is not in the table, with the nearest ones."""
    wanted = frozenset(causes)
    for cause in sorted(wanted - BY_NAME.keys()):
        near = difflib.get_close_matches(cause, BY_NAME, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
        raise LogsError(
            f"--allow or diagnose_allow: there is no cause {cause!r}; {hint}the causes are {', '.join(BY_NAME)}"
        )
    return wanted


def _mapping(pairs: Sequence[str]) -> Mapping[str, str]:
    """Signal -> column, of pairs written SIGNAL=COLUMN. Raises LogsError for what is none."""
    if not pairs:
        return {}
    from probes.readers.column_mapping import mapping_of
    from probes.record import RecordError
    from probes.record.signals import UnknownSignalError

    try:
        return mapping_of(pairs)
    except (RecordError, UnknownSignalError) as error:
        raise LogsError(f"--diagnose-map: {error}") from error


# What becomes of each


def judge(path: Path, name: str, policy: Policy) -> Judgement:
    """Read a log and judge it; one that cannot be read is an outcome as well."""
    from probes.diagnosis.diagnose import diagnose
    from probes.readers import read

    try:
        record = read(path, policy.mapping)
    except OSError as error:
        return _unreadable(name, f"{path} cannot be opened ({error.strerror or error})")
    except ValueError as error:
        return _unreadable(name, f"{error}; docs/logs.md says what can be read")
    diagnosis = diagnose(record)
    outcome, why = decide(diagnosis, policy)
    cause = diagnosis.title or "-"
    first_line = f"{diagnosis.verdict}: " + (
        f"{diagnosis.title}: {why}" if diagnosis.cause else why
    )
    details = () if outcome == "skipped" else _details(path, record, diagnosis, policy.mapping)
    return Judgement(
        outcome,
        _printable(name, diagnosis.verdict, cause, why),
        {
            **entry(name, name, record, diagnosis),
            "outcome": outcome,
            "allowed": why.startswith(ALLOWED),
        },
        [(name, record, diagnosis)],
        tuple(_properties(diagnosis)),
        "\n".join(
            _printable(f"{name}: {first_line}" if outcome == "skipped" else first_line, *details)
        ),
    )


def decide(diagnosis: Diagnosis, policy: Policy) -> tuple[Outcome, str]:
    """What becomes of a log that is diagnosed so, and why, beside its verdict and first cause."""
    headline = diagnosis.gist
    if diagnosis.verdict == "healthy":
        return "passed", headline
    if diagnosis.verdict == "undetermined":
        if diagnosis.alarm:
            return "failed", headline
        return (
            ("failed", f"{headline} (--diagnose-strict)")
            if policy.strict
            else ("skipped", headline)
        )
    if diagnosis.cause not in policy.allowed:
        return "failed", headline
    if further := _not_allowed(diagnosis, policy.allowed):
        return "failed", f"allowed, but {further}"
    return "passed", f"{ALLOWED}{headline}"


def _not_allowed(diagnosis: Diagnosis, allowed: frozenset[str]) -> str:
    """What is wrong beyond a first cause that is allowed: another cause that does not follow, or a
    loose finding."""
    granted = [BY_NAME[cause.name] for cause in diagnosis.causes if cause.name in allowed]
    for cause in diagnosis.causes:
        follows = any(BY_NAME[cause.name].needs.keys() <= set(other.explains) for other in granted)
        if cause.name not in allowed and not follows:
            return f"not {cause.title}: {cause.gist}"
    named = [BY_NAME[cause.name] for cause in diagnosis.causes]
    for finding in diagnosis.findings:
        if not any(cause.accounts_for(finding.symptom) for cause in named):
            return f"no cause explains {finding}"
    return ""


def _properties(diagnosis: Diagnosis) -> Iterator[tuple[str, object]]:
    """Of a finding that was repeated because it got worse, the first is evidence enough."""
    yield "verdict", diagnosis.verdict
    if diagnosis.cause:
        yield "cause", diagnosis.cause
    evidence: dict[str, Finding] = {}
    for finding in diagnosis.causes[0].evidence if diagnosis.causes else diagnosis.findings:
        evidence.setdefault(finding.place, finding)
    if evidence:
        yield "first_step", first_step(diagnosis)
        yield "evidence", "; ".join(map(str, evidence.values()))
    elif diagnosis.reason:
        yield "evidence", diagnosis.reason


def _unreadable(name: str, reason: str) -> Judgement:
    (reason,) = _printable(reason)
    return Judgement(
        "error",
        (*_printable(name), UNREADABLE, "-", reason),
        {**unjudged(name, name, reason), "outcome": "error", "allowed": False},
        (),
        (("verdict", UNREADABLE), ("evidence", reason)),
        f"{UNREADABLE}: {reason}",
    )


def _details(
    path: Path, record: Record, diagnosis: Diagnosis, mapping: Mapping[str, str]
) -> Iterator[str]:
    from probes.readers.column_mapping import how_it_was_read

    yield from how_it_was_read(record.provenance.get("reader"), columns=False)
    if record.stopped:
        yield str(record.stopped)
    yield from str(diagnosis).split("\n")
    yield f"record: {path}"
    mapped = [part for pair in mapping.items() for part in ("--map", "=".join(pair))]
    yield f"draw it: {shlex.join(['python', '-m', 'probes', 'render', str(path), *mapped, '-o', 'page.html'])}"


def _printable(*texts: str) -> tuple[str, ...]:
    """Without what could steer a terminal or forge a line: names from somebody's log are in
    them."""
    from probes.common.text import printable

    return tuple(map(printable, texts))


# What is said at the end


def table(rows: Iterable[Sequence[str]]) -> Iterator[list[Part]]:
    """One line a log, in aligned columns, sorted: name, verdict, cause, headline."""
    ordered = sorted(map(tuple, rows))
    widths = [max(map(len, column)) for column in zip(*ordered, strict=True)]
    for name, verdict, cause, headline in ordered:
        yield [
            (f"{name.ljust(widths[0])}  ", {}),
            (verdict.ljust(widths[1]), {COLOUR.get(verdict, "red"): True}),
            (f"  {cause.ljust(widths[2])}  {headline}", {}),
        ]
