"""Runs, their diagnoses and a reference in; one HTML file out, the same bytes for the same
arguments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from probes.common.files import write_atomically
from probes.record import Record
from probes.report.document import SENTENCE, TITLE, document, text
from probes.report.judged_run import JudgedRun, judge
from probes.report.run_section import Sheet, section

Named = tuple[str, Record]
ORDER = ("unhealthy", "undetermined", "healthy")


def render(
    runs: Iterable[JudgedRun | Record | Named],
    path: str | Path,
    reference: JudgedRun | Record | Named | str | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Draw runs on one page, unhealthy ones first, and return its path.

    runs       judged runs are drawn with the diagnosis they have; a record, or (name, record), is
               diagnosed here
    reference  the run that is drawn faintly behind all others, or its name among `runs`
    notes      sentences shown at the top of the page

    The file is replaced in one step. Raises ValueError when there is no run, or when no run has the
    name that `reference` gives; OSError when the file cannot be written.
    """
    judged = list(map(_judged, runs))
    if not judged:
        raise ValueError("there is no run to draw; render() needs at least one")
    return write_atomically(Path(path), page(_sheets(judged), _reference(judged, reference), notes))


def _judged(run: JudgedRun | Record | Named) -> JudgedRun:
    if isinstance(run, JudgedRun):
        return run
    name, record = run if isinstance(run, tuple) else (run.name, run)
    return judge(record, name)


def page(sheets: Sequence[Sheet], reference: Named | None, notes: Sequence[str]) -> str:
    """The HTML of a page."""
    ordered = sorted(sheets, key=lambda sheet: ORDER.index(sheet.diagnosis.verdict))
    known = reference[1] if reference else None
    sections = [section(sheet, None if sheet.record is known else known) for sheet in ordered]
    return document("\n".join([_head(ordered, reference, notes), "<main>", *sections, "</main>"]))


def _sheets(runs: Sequence[JudgedRun]) -> list[Sheet]:
    """The runs, each with an HTML anchor that no other run has, even if names repeat."""
    taken: Counter[str] = Counter()
    sheets = []
    for run in runs:
        slug = "run-" + (re.sub(r"[^a-z0-9]+", "-", run.name.lower()).strip("-")[:40] or "x")
        taken[slug] += 1
        # No slug contains two hyphens, so the second run "a" never collides with a run "a-2".
        anchor = slug if taken[slug] == 1 else f"{slug}--{taken[slug]}"
        sheets.append(Sheet(run.name, anchor, run.record, run.diagnosis))
    return sheets


def _reference(
    runs: Sequence[JudgedRun], reference: JudgedRun | Record | Named | str | None
) -> Named | None:
    """The name and record of the reference. Raises ValueError for a name that no run has."""
    if isinstance(reference, str):
        for run in runs:
            if run.name == reference:
                return run.name, run.record
        known = ", ".join(repr(run.name) for run in runs)
        raise ValueError(f"the reference {reference!r} is not among the runs: {known}")
    if isinstance(reference, JudgedRun | Record):
        return reference.name, reference.record if isinstance(reference, JudgedRun) else reference
    return reference


def _head(sheets: Sequence[Sheet], reference: Named | None, notes: Sequence[str]) -> str:
    several = len(sheets) > 1
    counts: Counter[str] = Counter(sheet.diagnosis.verdict for sheet in sheets)
    tally = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict])
    compared = reference and any(sheet.record is not reference[1] for sheet in sheets)
    behind = (
        f" Faint behind the panels: the reference run, {text(reference[0])}."
        if reference and compared
        else ""
    )
    lede = f"{f'{len(sheets)} runs: {tally}.' if several else ''}{behind}"
    return "\n".join(
        [
            f'<a class="skip" href="#{sheets[0].anchor}">To the first run</a>',
            f"<header><h1>{TITLE}</h1>",
            *([f'<p class="lede">{lede}</p>'] if lede else []),
            *(f'<p class="note" role="note">{text(note, SENTENCE)}</p>' for note in notes),
            *([_table(sheets)] if several else []),
            "</header>",
        ]
    )


def _table(sheets: Sequence[Sheet]) -> str:
    rows = "\n".join(
        f'<tr><td><a href="#{sheet.anchor}">{text(sheet.name)}</a></td>'
        f'<td><span class="badge {sheet.diagnosis.verdict}">{sheet.diagnosis.verdict}</span></td>'
        f"<td>{text(sheet.diagnosis.title or '–')}</td><td>{text(_evidence(sheet), SENTENCE)}</td></tr>"
        for sheet in sheets
    )
    head = "".join(f"<th scope=col>{name}</th>" for name in ("Run", "Verdict", "Cause", "Evidence"))
    return f'<table class="runs"><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>'


def _evidence(sheet: Sheet) -> str:
    """The headline, without the cause that stands in the column beside it."""
    return sheet.diagnosis.gist
