"""Annotations as GitHub Actions takes them: lines on standard output that are workflow commands.

https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions; the characters
that are escaped, and in which part, are those of github.com/actions/toolkit,
packages/core/src/command.ts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from probes.report.json_report import Entry

IN_DATA = {"%": "%25", "\r": "%0D", "\n": "%0A"}
IN_PROPERTIES = {**IN_DATA, ":": "%3A", ",": "%2C"}
RED = ("failed", "error")


def commands(content: Mapping[str, Any], root: Path, workspace: str | None) -> Iterator[str]:
    """A command for each run that turned a test red and is not healthy, errors first, then for each
    not judged.

    root       where relative paths of the document start
    workspace  the folder that holds the repository; files are told from there
    """
    base = Path(workspace) if workspace else root
    for run in content["runs"]:
        if run["outcome"] in RED and run["verdict"] != "healthy":
            yield _command("error", run, root, base)
    for run in content["runs"]:
        if (
            run["outcome"] == "skipped"
            and run["verdict"] == "undetermined"
            and run["kind"] == "file"
        ):
            yield _command("warning", run, root, base)


def _command(kind: str, run: Entry, root: Path, base: Path) -> str:
    from probes.common.text import printable

    lines = [
        run["error"] or run["headline"],
        run["remedy"],
        f"record: {run['path']}" if run["path"] else "",
    ]
    message = "\n".join(printable(line) for line in lines if line)
    title = printable(f"{run['name']}: {run['cause'] or run['verdict'] or 'not judged'}")
    file = _escaped(printable(_file(run, root, base)), IN_PROPERTIES)
    return (
        f"::{kind} file={file},title={_escaped(title, IN_PROPERTIES)}::{_escaped(message, IN_DATA)}"
    )


def _file(run: Entry, root: Path, base: Path) -> str:
    """The log; of an experiment, whose record is in no repository, the file of the first test that
    it turned red."""
    red = [nodeid for nodeid, outcome in run["tests"].items() if outcome in RED]
    name = red[0].partition("::")[0] if run["kind"] == "experiment" and red else str(run["path"])
    path = Path(os.path.abspath(root / name))
    return path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(letter, letter) for letter in text)
