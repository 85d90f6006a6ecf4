"""The summary of a test session in GitHub's Markdown: a row for each run, unhealthy ones first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

from probes.common.markdown import markdown_table
from probes.common.text import one_line
from probes.report.judged_run import AnyRun, UnreadRun

MAX_TABLE_BYTES = 500_000
"""Largest size of the table. GitHub rejects a step summary of more than 1 MiB, and other programs
in the same step may write to the same file."""
MAX_CELL_CHARACTERS = 300
HEAD = ("run", "verdict", "cause", "first step", "evidence", "remedy", "record")
NOT_JUDGED = "not judged"
VERDICT_ORDER = ("unhealthy", NOT_JUDGED, "undetermined", "healthy")
MARKUP = re.compile(r"[^a-zA-Z0-9 ,.;/=+%?'()\-\x80-\U0010ffff]")
"""An ASCII character with which Markdown markup can begin or end."""
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
    verdicts = list(map(_verdict, ordered))
    counts = ", ".join(
        f"{verdicts.count(verdict)} {verdict}" for verdict in VERDICT_ORDER if verdict in verdicts
    )
    lines = [f"### Training diagnosis: {counts}", ""]
    lines += [f"Partial: {text('; '.join(partial))}.", ""] if partial else []
    lines += [line for note in notes for line in (f"Note: {text(note)}", "")]
    lines += [*kept, ""]
    lines += [f"and {left_out} more", ""] if left_out else []
    lines += [f"Dashboard: {text(page)}", ""] if page else []
    return "\n".join(lines) + "\n"


def text(value: object) -> str:
    """Convert any value to one line of Markdown in which all markup is escaped."""
    line = one_line(value, MAX_CELL_CHARACTERS)
    escaped = MARKUP.sub(lambda found: f"&#{ord(found[0])};", line)
    # GitHub decodes the character references first and then looks for e-mail addresses. With an
    # element around each "@", it finds none.
    escaped = escaped.replace("&#64;", "<span>&#64;</span>")
    return DOT_AFTER_WWW.sub("&#46;", escaped)


def _verdict(run: AnyRun) -> str:
    return NOT_JUDGED if isinstance(run, UnreadRun) else run.diagnosis.verdict


def _cells(run: AnyRun) -> list[str]:
    if isinstance(run, UnreadRun):
        cells = [run.name, NOT_JUDGED, "", "", run.error, "", run.path]
    else:
        diagnosis = run.diagnosis
        verdict = diagnosis.verdict + (", allowed" if run.allowed else "")
        step = "" if run.first_step is None else str(run.first_step)
        evidence = run.error or diagnosis.gist
        for remark in diagnosis.remarks:  # as many as fit into the cell
            longer = f"{evidence}; remark: {remark}"
            evidence = longer if len(longer) <= MAX_CELL_CHARACTERS else evidence
        cells = [run.name, verdict, diagnosis.title, step, evidence, diagnosis.remedy, run.path]
    return [text("" if cell is None else cell) for cell in cells]
