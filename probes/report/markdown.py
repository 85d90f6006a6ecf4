"""The summary of a session in GitHub's Markdown: a row for each run, the sick ones first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from probes.report.json_report import Entry

MOST_BYTES = 500_000
"""Of the table: GitHub refuses a step's summary of more than 1 MiB, and others may write to it as
well."""
LONGEST = 300
"""Characters of a cell."""
HEAD = ("run", "verdict", "cause", "first step", "evidence", "remedy", "record")
ORDER = ("unhealthy", None, "undetermined", "healthy")
"""Verdicts in the order of the rows; None: there is none."""
HARMLESS = frozenset(" ,.;/=+%?'()-")
"""Of ASCII, beside letters and digits: what within a line neither begins nor ends any markup."""
ADDRESS = re.compile(r"(?<=www)\.", re.IGNORECASE)
"""The dot that makes a link of a bare address."""


def append(content: Mapping[str, Any], path: Path) -> None:
    """Add the summary to a file, which other steps may have begun."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(summary(content))


def summary(content: Mapping[str, Any]) -> str:
    """The document of `probes.report.json_report` as a heading, a table, and where to read on."""
    runs = sorted(content["runs"], key=lambda run: ORDER.index(run["verdict"]))
    head = [_row(HEAD), _row(["---"] * len(HEAD))]
    rows = _within([_row(_cells(run)) for run in runs], MOST_BYTES)
    more = [f"and {len(runs) - len(rows)} more", ""] if len(runs) > len(rows) else []
    partial = [f"Partial: {text('; '.join(content['partial']))}.", ""] if content["partial"] else []
    notes = [line for note in content["notes"] for line in (f"Note: {text(note)}", "")]
    page = [f"Dashboard: {text(content['page'])}", ""] if content["page"] else []
    title = f"### Training diagnosis: {_tally(runs)}"
    return "\n".join([title, "", *partial, *notes, *head, *rows, "", *more, *page]) + "\n"


def text(value: object) -> str:
    """A string from outside as Markdown that shows just that, in one line, whatever stands in
    it."""
    from probes.common.text import printable

    line = printable(" ".join(str(value).split()))
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return ADDRESS.sub("&#46;", "".join(map(_harmless, line)))


def _harmless(letter: str) -> str:
    """A letter, or its character reference; an @ in an element of its own, which no address reaches
    across."""
    if letter == "@":
        return "<span>&#64;</span>"
    return (
        letter
        if letter.isalnum() or letter in HARMLESS or ord(letter) > 127
        else f"&#{ord(letter)};"
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _within(lines: Sequence[str], most: int) -> list[str]:
    """The first lines, as many as together have no more than `most` bytes."""
    sizes = accumulate(len(line.encode()) + 1 for line in lines)
    return [line for line, size in zip(lines, sizes, strict=True) if size <= most]


def _tally(runs: Sequence[Entry]) -> str:
    counts = {
        verdict or "not judged": sum(run["verdict"] == verdict for run in runs) for verdict in ORDER
    }
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)


def _cells(run: Entry) -> list[str]:
    title = " or ".join(
        name for cause in run["causes"][:1] for name in (cause["name"], *cause["or_else"])
    )
    headline = run["error"] or run["headline"].removeprefix(f"{title}: ")
    verdict = (run["verdict"] or "not judged") + (", allowed" if run["allowed"] else "")
    step = "" if run["first_step"] is None else run["first_step"]
    evidence = _with_remarks(headline, run["remarks"])
    return [
        text(cell)
        for cell in (run["name"], verdict, title, step, evidence, run["remedy"], run["path"])
    ]


def _with_remarks(headline: str, remarks: Sequence[str]) -> str:
    """The evidence, and after it each remark for which the cell has room."""
    for remark in remarks:
        longer = f"{headline}; remark: {remark}"
        headline = longer if len(longer) <= LONGEST else headline
    return headline
