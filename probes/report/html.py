"""Runs, their diagnoses and a reference in; one HTML file out, the same bytes for the same
arguments."""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from probes.report.document import SENTENCE, TITLE, document, text
from probes.report.run_section import Sheet, section

Named = tuple[str, Record]
ORDER = ("unhealthy", "undetermined", "healthy")


def render(
    runs: Iterable[Record | Named],
    path: str | Path,
    reference: Record | Named | str | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Draw runs on one page, the sick ones first, and return its path.

    reference  a run that is drawn faintly behind every other one: a record, (name, record), or the
               name of a run
    notes      sentences that stand at the top of the page

    Raises ValueError when there is no run, or none of the name that `reference` gives. The file is
    replaced in one go: whoever opens it sees the old page or the new one."""
    named = [run if isinstance(run, tuple) else (run.name, run) for run in runs]
    if not named:
        raise ValueError("there is no run to draw; render() needs one at least")
    return _write(Path(path), page(_sheets(named), _reference(named, reference), notes))


def page(sheets: Sequence[Sheet], reference: Named | None, notes: Sequence[str]) -> str:
    """The HTML of a page."""
    ordered = sorted(sheets, key=lambda sheet: ORDER.index(sheet.diagnosis.verdict))
    known = reference[1] if reference else None
    sections = [section(sheet, None if sheet.record is known else known) for sheet in ordered]
    return document("\n".join([_head(ordered, reference, notes), "<main>", *sections, "</main>"]))


def _sheets(named: Sequence[Named]) -> list[Sheet]:
    """Every run diagnosed, under an anchor of its own, whatever its name and however often that
    occurs."""
    taken: Counter[str] = Counter()
    sheets = []
    for name, record in named:
        slug = "run-" + (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "x")
        taken[slug] += 1
        # Two hyphens, which no slug holds, keep the second "a" apart from a run that is called
        # "a-2".
        anchor = slug if taken[slug] == 1 else f"{slug}--{taken[slug]}"
        sheets.append(Sheet(name, anchor, record, diagnose(record)))
    return sheets


def _reference(named: Sequence[Named], reference: Record | Named | str | None) -> Named | None:
    if isinstance(reference, str):
        for run in named:
            if run[0] == reference:
                return run
        known = ", ".join(repr(name) for name, _ in named)
        raise ValueError(f"the reference {reference!r} is none of the runs: {known}")
    return (reference.name, reference) if isinstance(reference, Record) else reference


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


def _write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(content.encode())
        os.chmod(draft, 0o666 & ~_umask())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return path


def _umask() -> int:
    """The process's mask for new files, which mkstemp does not follow; there is no way to read it
    but to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
