"""Annotations for GitHub Actions: workflow commands, printed as lines on standard output.

Reference: https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
Source of the escapes: github.com/actions/toolkit, packages/core/src/command.ts
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from probes.common.text import printable
from probes.report.judged_run import AnyRun, JudgedRun

MESSAGE_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
PROPERTY_ESCAPES = {**MESSAGE_ESCAPES, ":": "%3A", ",": "%2C"}
FAILED_OUTCOMES = ("failed", "error")


def workflow_commands(runs: Iterable[AnyRun], root: Path, workspace: str | None) -> Iterator[str]:
    """Yield an error for each run that made a test fail and is not healthy, then a warning for each
    log that was skipped because it has too little data for a verdict.

    root       the folder to which paths of runs are relative
    workspace  the folder of the repository, to which paths in annotations are relative; None for
               `root`
    """
    runs, base = list(runs), Path(workspace) if workspace else root
    for run in runs:
        if run.outcome in FAILED_OUTCOMES and _verdict(run) != "healthy":
            yield _command("error", run, root, base)
    for run in runs:
        if (run.outcome, _verdict(run), run.kind) == ("skipped", "undetermined", "file"):
            yield _command("warning", run, root, base)


def _verdict(run: AnyRun) -> str | None:
    return run.diagnosis.verdict if isinstance(run, JudgedRun) else None


def _command(level: str, run: AnyRun, root: Path, base: Path) -> str:
    lines = [run.error or ""]
    title = _verdict(run) or "not judged"
    if isinstance(run, JudgedRun):
        lines = [run.error or run.diagnosis.headline, run.diagnosis.remedy]
        title = run.diagnosis.cause or title
    lines += [f"record: {run.path}"] if run.path else []
    message = "\n".join(printable(line) for line in lines if line)
    # The annotation of a log is attached to the log. The record of an experiment is not in the
    # repository, so its annotation is attached to the file of its first failed test.
    failed = [nodeid for nodeid, outcome in run.tests.items() if outcome in FAILED_OUTCOMES]
    name = failed[0].partition("::")[0] if run.kind == "experiment" and failed else str(run.path)
    path = Path(os.path.abspath(root / name))
    path = path.relative_to(base) if path.is_relative_to(base) else path
    properties = {"file": path.as_posix(), "title": f"{run.name}: {title}"}
    written = ",".join(
        f"{key}={_escape(printable(value), PROPERTY_ESCAPES)}" for key, value in properties.items()
    )
    return f"::{level} {written}::{_escape(message, MESSAGE_ESCAPES)}"


def _escape(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(letter, letter) for letter in text)
