"""Gives a log to the command line in this process, and checks what comes back."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from probes.cli import main
from probes.diagnosis.notices import FAILED
from probes.report.judged_run import FAULT

CODES = {"healthy": 0, "unhealthy": 1, None: 2, "undetermined": 3}
"""Verdict in the JSON document -> the exit code of a log with this verdict."""


def run(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process: its exit code, and what it printed on stdout and stderr."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def check(path: Path, render: bool = True, plain: bool = True) -> str:
    """Diagnose and draw a log, and raise AssertionError unless each command ends as it should.

    A log must end in a verdict, or in an error that is no fault of this package, with the exit code
    that belongs to it. Returns the verdicts, joined by commas; "unreadable" for an error.

    render   whether to draw the log as well
    plain    whether to diagnose it without `--json` as well
    """
    code, out, err = run("diagnose", "--json", str(path))
    assert FAULT not in out + err, (out + err)[-2000:]
    runs = json.loads(out)["runs"]
    verdicts = [each["verdict"] for each in runs]
    for each in runs:
        assert each["errors"] == {}, each["errors"]
        assert not any(FAILED in remark for remark in each["remarks"]), each["remarks"]
        assert (each["verdict"] is None) == bool(each["error"])
    expected = [CODES[verdict] for verdict in verdicts]
    assert code == next(found for found in (2, 1, 3, 0) if found in expected)
    assert (code == 2) == err.startswith("probes: ")
    if plain:
        again, lines, errors = run("diagnose", "--columns", str(path))
        assert (again, errors) == (code, err)
        assert lines.count("\n") >= sum(verdict is not None for verdict in verdicts)
    if render:
        page = path.with_name("page.html")
        page.unlink(missing_ok=True)
        drawn, _, errors = run("render", str(path), "-o", str(page))
        assert FAULT not in errors, errors[-2000:]
        assert drawn == (2 if code == 2 else 0)
        assert page.exists() == any(verdict is not None for verdict in verdicts)
    return ",".join(verdict or "unreadable" for verdict in verdicts)
