"""The dashboard: runs, their diagnoses and a reference on one HTML page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from probes.common.files import write_atomically
from probes.record import Record
from probes.report.document import fill
from probes.report.judged_run import JudgedRun, judge
from probes.report.run_section import run_section

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

    The same arguments give the same bytes. The file is replaced in one step. Raises ValueError when
    there is no run, or when no run has the name that `reference` gives; OSError when the file
    cannot be written.
    """
    judged = list(map(_judged, runs))
    if not judged:
        raise ValueError("there is no run to draw; render() needs at least one")
    return write_atomically(Path(path), page(judged, _reference(judged, reference), notes))


def _judged(run: JudgedRun | Record | Named) -> JudgedRun:
    if isinstance(run, JudgedRun):
        return run
    name, record = run if isinstance(run, tuple) else (run.name, run)
    return judge(record, name)


def page(runs: Sequence[JudgedRun], reference: Named | None, notes: Sequence[str]) -> str:
    """The HTML of a page."""
    behind, record = reference or ("", None)
    ordered = sorted(
        zip(runs, _anchors(runs), strict=True),
        key=lambda entry: ORDER.index(entry[0].diagnosis.verdict),
    )
    counts = Counter[str](run.diagnosis.verdict for run in runs)
    return fill(
        "dashboard.html.j2",
        runs=[
            run_section(run, anchor, None if run.record is record else record)
            for run, anchor in ordered
        ],
        tally=", ".join(f"{counts[verdict]} {verdict}" for verdict in ORDER if counts[verdict]),
        reference=behind if any(run.record is not record for run in runs) else "",
        notes=notes,
    )


def _anchors(runs: Sequence[JudgedRun]) -> list[str]:
    """An HTML anchor for each run that no other run has, even if names repeat."""
    taken: Counter[str] = Counter()
    anchors = []
    for run in runs:
        slug = "run-" + (re.sub(r"[^a-z0-9]+", "-", run.name.lower()).strip("-")[:40] or "x")
        taken[slug] += 1
        # No slug contains two hyphens, so the second run "a" never collides with a run "a-2".
        anchors.append(slug if taken[slug] == 1 else f"{slug}--{taken[slug]}")
    return anchors


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
