"""The summary of a test session in GitHub's Markdown: a row for each run, unhealthy ones first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

from probes.common.markdown import markdown_table
from probes.common.text import printable
from probes.report.judged_run import AnyRun, UnreadRun

MAX_TABLE_BYTES = 500_000
"""Largest size of the table. GitHub rejects a step summary of more than 1 MiB, and other programs
in the same step may write to the same file."""
MAX_CELL_CHARACTERS = 300
HEAD = ("run", "verdict", "cause", "first step", "evidence", "remedy", "record")
NOT_JUDGED = "not judged"
VERDICT_ORDER = ("unhealthy", NOT_JUDGED, "undetermined", "healthy")
PLAIN_ASCII = frozenset(" ,.;/=+%?'()-")
"""ASCII characters, besides letters and digits, with which no Markdown markup begins or ends."""
DOT_AFTER_WWW = re.compile(r"(?<=www)\.", re.IGNORECASE)
"""This dot is escaped, because GitHub converts text such as www.example.org to a link."""


def summary(
    runs: Iterable[AnyRun],
    partial: Sequence[str] = (),
    notes: Sequence[str] = (),
    page: str | None = None,
) -> str:
    """Write the summary: a heading, a table of the runs and the path of the dashboard.

    partial  reasons why some runs of the session may be missing
    notes    sentences that tests added to the report
    page     path of the dashboard; None if there is none
    """
    ordered = sorted(runs, key=lambda run: VERDICT_ORDER.index(_verdict(run)))
    table = markdown_table(HEAD, map(_cells, ordered))
    sizes = accumulate(len(line.encode()) + 1 for line in table)
    kept = [line for line, size in zip(table, sizes, strict=True) if size <= MAX_TABLE_BYTES]
    left_out = len(table) - len(kept)
    lines = [f"### Training diagnosis: {_counts(ordered)}", ""]
    lines += [f"Partial: {text('; '.join(partial))}.", ""] if partial else []
    lines += [line for note in notes for line in (f"Note: {text(note)}", "")]
    lines += [*kept, ""]
    lines += [f"and {left_out} more", ""] if left_out else []
    lines += [f"Dashboard: {text(page)}", ""] if page else []
    return "\n".join(lines) + "\n"


def text(value: object) -> str:
    """Convert any value to one line of Markdown in which all markup is escaped."""
    line = printable(" ".join(str(value).split()))
    if len(line) > MAX_CELL_CHARACTERS:
        line = line[: MAX_CELL_CHARACTERS - 1] + "…"
    return DOT_AFTER_WWW.sub("&#46;", "".join(map(_without_markup, line)))


def _without_markup(letter: str) -> str:
    """The letter, or its character reference if it could be part of markup."""
    if letter == "@":  # in its own element, because GitHub finds addresses after unescaping
        return "<span>&#64;</span>"
    if letter.isalnum() or letter in PLAIN_ASCII or ord(letter) > 127:
        return letter
    return f"&#{ord(letter)};"


def _verdict(run: AnyRun) -> str:
    return NOT_JUDGED if isinstance(run, UnreadRun) else run.diagnosis.verdict


def _counts(runs: Sequence[AnyRun]) -> str:
    verdicts = list(map(_verdict, runs))
    counts = {verdict: verdicts.count(verdict) for verdict in VERDICT_ORDER}
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)


def _cells(run: AnyRun) -> list[str]:
    if isinstance(run, UnreadRun):
        cells = [run.name, NOT_JUDGED, "", "", run.error, "", run.path]
    else:
        diagnosis = run.diagnosis
        verdict = diagnosis.verdict + (", allowed" if run.allowed else "")
        step = "" if run.first_step is None else str(run.first_step)
        evidence = _with_remarks(run.error or diagnosis.gist, diagnosis.remarks)
        cells = [run.name, verdict, diagnosis.title, step, evidence, diagnosis.remedy, run.path]
    return [text("" if cell is None else cell) for cell in cells]


def _with_remarks(evidence: str, remarks: Sequence[str]) -> str:
    """The evidence, followed by each remark that still fits into the cell."""
    for remark in remarks:
        longer = f"{evidence}; remark: {remark}"
        evidence = longer if len(longer) <= MAX_CELL_CHARACTERS else evidence
    return evidence
