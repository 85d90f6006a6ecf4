"""Logs as tests: each log is a file node with one test, which passes when the log is healthy."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from probes.common.text import node_id_part, one_line, printable
from probes.plugin.options import LogRules, path_from
from probes.plugin.worker_reports import LogResult
from probes.report.judged_run import AnyRun, JudgedRun, Outcome, UnreadRun, judge_file

if TYPE_CHECKING:
    from probes.diagnosis.base import Finding
    from probes.diagnosis.diagnose import Diagnosis
    from probes.record import Record

RULES = pytest.StashKey[LogRules]()
"""The rules of the session, in the stash of its config."""
ALLOWED_PREFIX = "allowed: "
"""If a log passes because its cause is allowed, its reason begins with this prefix."""
UNREADABLE_VERDICT = "unreadable"
"""Shown instead of a verdict for a log that cannot be read."""
MAX_CELL_LENGTH = 1000
"""Longest cell of the table at the end of the session. A name from a log may have any length."""


def log_file(parent: pytest.Collector, path: Path) -> LogFile:
    """The node of a log. Its node id is the path of the log, which is relative to pytest's root
    folder if the log is inside that folder. Characters that a node id cannot hold are escaped."""
    shown_path = path_from(parent.config.rootpath, path)
    name = node_id_part(shown_path)
    return LogFile.from_parent(parent, path=path, name=name, nodeid=name, shown_path=shown_path)


class LogFile(pytest.File):
    """A log. Its test is `diagnosis`; in a file with several runs, each run has a test of its own,
    such as `diagnosis[clear-sun-3]`.

    shown_path  what outputs call the log
    """

    def __init__(self, *, shown_path: str, **options: Any) -> None:
        super().__init__(**options)
        self.shown_path = shown_path
        self._loaders: dict[str, Callable[[], Record]] | None = None

    def collect(self) -> Iterator[pytest.Item]:
        from probes.readers import runs_in

        names = runs_in(self.path)
        for run in names:
            yield LogItem.from_parent(self, name=f"diagnosis[{node_id_part(run)}]", run_name=run)
        if not names:
            yield LogItem.from_parent(self, name="diagnosis")

    def loader(self, run: str) -> Callable[[], Record] | None:
        """The function that reads a run of a file with several. The file is parsed once for all of
        them, when the first is judged.

        None if the function was already given, or if the runs cannot be told apart. Reading the run
        from the file then gives the record, or the error that says why."""
        if self._loaders is None:
            from probes.readers import runs_to_read

            rules = self.config.stash[RULES]
            self._loaders = {}
            with suppress(Exception):
                self._loaders = dict(runs_to_read(self.path, rules.mapping, rules.metrics))
        return self._loaders.pop(run, None)


class LogItem(pytest.Item):
    """The test of a log. It passes if the log is healthy or its causes are allowed, and is skipped
    if the log cannot be judged, unless the rules are strict. It fails for any other log. It is an
    error if the log cannot be read."""

    judgement: Judgement | None = None

    def __init__(self, *, run_name: str | None = None, **options: Any) -> None:
        """Make the test of one log, or of the run called `run_name` in a log with several runs."""
        super().__init__(**options)
        self.run_name = run_name

    def setup(self) -> None:
        rules = self.config.stash[RULES]
        name = self._file.shown_path
        load = None if self.run_name is None else self._file.loader(self.run_name)
        self.judgement = judge_log(self.path, name, self.nodeid, rules, self.run_name, load)
        self.user_properties += self.judgement.properties()
        if self.judgement.outcome == "error":
            pytest.fail(self.judgement.message, pytrace=False)

    def runtest(self) -> None:
        assert self.judgement
        if self.judgement.outcome == "failed":
            pytest.fail(self.judgement.message, pytrace=False)
        if self.judgement.outcome == "skipped":
            pytest.skip(self.judgement.message)

    def reportinfo(self) -> tuple[Path, None, str]:
        # Reports show this path, so it has the escapes of the node id.
        name = self._file.name
        return self.config.rootpath / name, None, name

    @property
    def _file(self) -> LogFile:
        assert isinstance(self.parent, LogFile)
        return self.parent


@dataclass(frozen=True)
class Judgement:
    """The outcome of a log's test.

    run      the log with its diagnosis, or the reason why it cannot be read
    reason   why the test has this outcome, in one line; it does not repeat verdict and cause
    message  text that the test prints if it fails, is skipped or is an error; its first line is a
             summary
    """

    outcome: Outcome
    run: AnyRun
    reason: str
    message: str

    @property
    def result(self) -> LogResult:
        """The row for the table at the end of the session (name, verdict, cause, reason), and the
        run."""
        verdict, cause = UNREADABLE_VERDICT, ""
        if isinstance(self.run, JudgedRun):
            verdict, cause = self.run.diagnosis.verdict, self.run.diagnosis.title
        row = (self.run.name, verdict, cause or "-", self.reason)
        return LogResult(tuple(one_line(cell, MAX_CELL_LENGTH) for cell in row), self.run)

    def properties(self) -> Iterator[tuple[str, object]]:
        """Verdict, cause, first_step and evidence for JUnit XML, as numbers and printable texts.

        If a detector reported the same place again because the value became worse, only the first
        report is listed."""
        if isinstance(self.run, UnreadRun):
            yield "verdict", UNREADABLE_VERDICT
            yield "evidence", printable(self.reason)
            return
        diagnosis = self.run.diagnosis
        yield "verdict", diagnosis.verdict
        if diagnosis.cause:
            yield "cause", diagnosis.cause
        evidence: dict[str, Finding] = {}
        for finding in diagnosis.causes[0].evidence if diagnosis.causes else diagnosis.findings:
            evidence.setdefault(finding.place, finding)
        if evidence:
            yield "first_step", self.run.first_step
            yield "evidence", printable("; ".join(map(str, evidence.values())))
        elif diagnosis.reason:
            yield "evidence", printable(diagnosis.reason)


def judge_log(
    path: Path,
    name: str,
    nodeid: str,
    rules: LogRules,
    run_name: str | None = None,
    load: Callable[[], Record] | None = None,
) -> Judgement:
    """Read a log, diagnose it, and decide the outcome of its test.

    name      what outputs call the log
    run_name  the name of the run in a file with several runs
    load      if given, the function that reads the run
    """
    run = judge_file(path, name, rules.mapping, rules.metrics, run_name, load)
    if isinstance(run, JudgedRun):
        try:
            outcome, reason = decide(run.diagnosis, rules)
            allowed = reason.startswith(ALLOWED_PREFIX)
            judged = replace(run, allowed=allowed, tests={nodeid: outcome})
            record = str(path) if run_name is None else f"{path}[{run_name}]"
            message = _message(judged, record, outcome, reason, rules)
            return Judgement(outcome, judged, reason, message)
        except Exception as error:
            run = run.not_shown("reported", error)
    reason = printable(run.error)
    run = replace(run, allowed=False, tests={nodeid: "error"})
    return Judgement("error", run, reason, f"{UNREADABLE_VERDICT}: {reason}")


def decide(diagnosis: Diagnosis, rules: LogRules) -> tuple[Outcome, str]:
    """The outcome of a log's test and the reason, which does not repeat verdict and first cause.

    If a part of the diagnosis failed, the outcome is "error", whatever the verdict."""
    gist = diagnosis.gist
    if diagnosis.errors:
        return "error", diagnosis.failure
    if diagnosis.verdict == "healthy":
        return "passed", gist
    if diagnosis.verdict == "undetermined":
        if diagnosis.alarm:
            return "failed", gist
        return ("failed", f"{gist} (--diagnose-strict)") if rules.strict else ("skipped", gist)
    if diagnosis.cause not in rules.allowed:
        return "failed", gist
    if further := _not_allowed(diagnosis, rules.allowed):
        return "failed", f"allowed, but {further}"
    return "passed", f"{ALLOWED_PREFIX}{gist}"


def _not_allowed(diagnosis: Diagnosis, allowed: frozenset[str]) -> str:
    """Why a log whose first cause is allowed must fail all the same; "" if it need not fail.

    The log fails for a further cause that is neither allowed nor a consequence of an allowed cause,
    and for a finding that none of the named causes explains.
    """
    from probes.diagnosis.causes import BY_NAME

    named = [BY_NAME[cause.name] for cause in diagnosis.causes]
    for suspect, cause in zip(diagnosis.causes, named, strict=True):
        follows = any(other.name in allowed and cause.follows_from(other) for other in named)
        if cause.name not in allowed and not follows:
            return f"{suspect.title} is not allowed: {suspect.gist}"
    for finding in diagnosis.findings:
        if not any(cause.accounts_for(finding.symptom) for cause in named):
            return f"no cause explains {finding}"
    return ""


def _message(run: JudgedRun, path: str, outcome: Outcome, reason: str, rules: LogRules) -> str:
    """The summary, the diagnosis, the path of the log, and the command that draws the log.

    A skipped test prints only the summary, preceded by the name of the log, because pytest's list
    of skipped tests does not show that name.
    """
    diagnosis = run.diagnosis
    cause = f"{diagnosis.title}: " if diagnosis.cause else ""
    summary = f"{diagnosis.verdict}: {cause}{reason}"
    if outcome == "skipped":
        return printable(f"{run.name}: {summary}")
    from probes.readers.column_mapping import how_it_was_read

    options = [part for pair in rules.mapping.items() for part in ("--map", "=".join(pair))]
    options += [part for pair in rules.metrics.items() for part in ("--metric", ":".join(pair))]
    command = ["python", "-m", "probes", "render", path, *options, "-o", "page.html"]
    lines = [summary, *how_it_was_read(run.reader, columns=False)]
    lines += [str(run.record.stopped)] if run.record.stopped else []
    lines += [f"at {run.where}"] if run.where else []
    lines += [f"to log more often: {run.advice}"] if run.advice else []
    lines += str(diagnosis).split("\n")
    lines += [f"record: {path}", f"draw it: {shlex.join(command)}"]
    return "\n".join(map(printable, lines))
