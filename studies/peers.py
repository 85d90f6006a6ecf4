"""Other tools that diagnose training logs, each behind a function that judges one file.

A tool is used only if it is installed in the environment that the study runs in. None of them is a
dependency of this project: install those to compare with into an environment of their own, beside
this project's dependencies.

A finding that the tool itself rates as a warning or worse counts as "unhealthy". A tool that
rejects a file, by an error or by saying that it found no loss to read, calls it "unreadable". The
tools read files as they are; the `map` of a label is for this project's reader only.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Opinion:
    """What a tool says of one run.

    verdict   "unhealthy", "healthy", "undetermined" or "unreadable"
    cause     the tool's name for what is wrong; "" if it names nothing
    headline  the tool's reason in one sentence
    step      the step of the decisive finding; None if the tool states none
    run       name of the run in a log with several runs; "" if the opinion is of the whole log
    """

    verdict: str
    cause: str = ""
    headline: str = ""
    step: int | None = None
    run: str = ""


Judge = Callable[[Path], Opinion]


def runmedic(path: Path) -> Opinion:
    """`runmedic diagnose`, with severities critical, warning and info. It says itself when it found
    no training loss to judge."""
    runs = import_module("runmedic.loaders").load(str(path))
    if not runs:
        return Opinion("unreadable", headline="no training metrics found")
    findings, without_loss = [], False
    for run in runs:
        roles = import_module("runmedic.roles").detect(run)
        without_loss = without_loss or "train_loss" not in roles
        findings += import_module("runmedic.checks").run_checks(run, roles)
    for finding in findings:
        if finding.severity in ("critical", "warning"):
            return Opinion("unhealthy", finding.check, finding.title, _step(finding.step))
    if without_loss:
        return Opinion("undetermined", headline="no training loss series found")
    return Opinion("healthy", headline="no problems found")


def trainproof(path: Path) -> Opinion:
    """`trainproof epoch`, with levels FAIL, WARN and PASS. A log without readable records or
    without a loss gets FAIL as well, which is no verdict on the training."""
    report = import_module("trainproof.epoch").check_epoch(path)
    findings = {finding["id"]: finding for finding in report["findings"]}
    for unread in ("TP-NO-RECORDS", "TP-NO-LOSS"):
        if unread in findings:
            return Opinion("unreadable", headline=findings[unread]["message"])
    for level in ("FAIL", "WARN"):
        for name, finding in findings.items():
            if finding["level"] == level:
                return Opinion("unhealthy", name, finding["message"])
    verdict = "undetermined" if report["verdict"] == "NOT-CHECKED" else "healthy"
    return Opinion(verdict, headline=" ".join(each["message"] for each in findings.values()))


def gradsnitch(path: Path) -> Opinion:
    """The rules of `gradsnitch.lint`. The tool reads only CSV, and takes an empty cell, such as the
    training loss beside an evaluation, for a loss of NaN. So the rows of every log pass through the
    function with which its own callbacks receive the rows of a training."""
    tool = import_module("gradsnitch")
    monitor, pending = tool.watch(), [None]
    for place, row in enumerate(_rows(path)):
        step = tool.normalize(row).get("step", place)
        import_module("gradsnitch.integrations")._feed(monitor, step, row, pending)
    if not monitor.rows:
        return Opinion("unreadable", headline="no row with a training loss")
    findings = tool.lint(monitor.df())
    if findings:  # every finding of this tool is a warning or an error
        worst = min(findings, key=lambda finding: finding.severity != "error")
        return Opinion("unhealthy", worst.code, f"{worst.name}: {worst.evidence}")
    return Opinion("healthy", headline="no finding")


def trainspotter(path: Path) -> Opinion:
    """`trainspotter analyze`, with severities error, warning and info."""
    tool = import_module("trainspotter")
    run = tool.load_run(path)
    if not run.metric_names():
        return Opinion("unreadable", headline="no numeric metrics found")
    for finding in tool.run_all(run):
        if finding.severity in ("error", "warning"):
            return Opinion(
                "unhealthy", finding.detector, finding.message, _step(finding.step_start)
            )
    return Opinion("healthy", headline="no pathologies detected")


def losslint(path: Path) -> Opinion:
    """`losslint check`, with severities error, warning and info."""
    run = import_module("losslint.parsing").load_run(path)
    findings = import_module("losslint.checks").run_all_checks(run)
    for severity in ("error", "warning"):
        for finding in findings:
            if finding.severity == severity:
                return Opinion("unhealthy", finding.check, finding.message)
    return Opinion("healthy", headline="no finding")


PEERS: dict[str, Judge] = {
    judge.__name__: judge for judge in (runmedic, trainproof, gradsnitch, trainspotter, losslint)
}
"""Name of a tool, which is also the name of its module and its package -> its function."""


def installed() -> list[str]:
    """The tools that can be imported here."""
    return [name for name in PEERS if find_spec(name) is not None]


def version(name: str) -> str:
    """The version of an installed tool; "" if its package states none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def judge_by(name: str, path: Path) -> Opinion:
    """What a tool says of a log. An error of the tool is an opinion too: "unreadable". What the
    tool prints and warns is dropped."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return PEERS[name](path)
        except (Exception, SystemExit) as error:
            return Opinion("unreadable", headline=f"{type(error).__name__}: {error}")


def _step(step: float | None) -> int | None:
    return None if step is None else int(step)


def _rows(path: Path) -> Iterator[dict[str, float]]:
    """The numbers in each row of a CSV or JSON log: the lines of the file, the `log_history` of a
    Hugging Face trainer state, the entries of a list, or those of an object of lists."""
    text = path.read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()) if path.suffix == ".csv" else _entries(text):
        numbers = {}
        for name, value in row.items():
            with suppress(TypeError, ValueError):
                numbers[name] = float(value)
        yield numbers


def _entries(text: str) -> Iterable[Mapping[str, Any]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(content, dict) and "log_history" not in content:
        lists = {name: values for name, values in content.items() if isinstance(values, list)}
        return [dict(zip(lists, values, strict=False)) for values in zip_longest(*lists.values())]
    rows = content["log_history"] if isinstance(content, dict) else content
    return [row for row in rows if isinstance(row, dict)]
