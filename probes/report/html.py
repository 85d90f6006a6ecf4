"""The dashboard: one HTML page with all runs, their diagnoses, and a reference run behind them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from probes.common.files import write_output
from probes.record import Record
from probes.report.document import fill
from probes.report.judged_run import JudgedRun, UnreadRun, judge
from probes.report.run_section import RunSection, run_section

NamedRecord = tuple[str, Record]
VERDICT_ORDER = ("unhealthy", "undetermined", "healthy")
MAX_UNGROUPED_RUNS = 12
"""A page with more runs lists them by group, so that no group is lost among the others."""


def render(
    runs: Iterable[JudgedRun | Record | NamedRecord],
    path: str | Path,
    reference: JudgedRun | Record | NamedRecord | str | None = None,
    notes: Sequence[str] = (),
    not_drawn: Callable[[UnreadRun], None] | None = None,
) -> Path:
    """Draw runs on one page, unhealthy ones first, and return its path. A page with more than
    MAX_UNGROUPED_RUNS runs is ordered by group first.

    runs       judged runs, records, or (name, record) pairs; this function diagnoses the records
    reference  the run that is drawn faintly behind all others, or the name of one of `runs`
    notes      sentences for the top of the page
    not_drawn  called for each run whose drawing raised an exception. The page then says so and
               shows the other runs. Without this function, the exception ends the drawing.

    The same arguments give the same bytes. A regular file is replaced in one step. Raises
    ValueError when `runs` is empty, when no run can be drawn, or when `reference` is a name that no
    run has; OSError when the file cannot be written.
    """
    judged: list[JudgedRun] = []
    for run in runs:
        if isinstance(run, JudgedRun):
            judged.append(run)
        else:
            name, record = run if isinstance(run, tuple) else (run.name, run)
            judged.append(judge(record, name))
    if not judged:
        raise ValueError("there is no run to draw; render() needs at least one")
    text = page(judged, _reference(judged, reference), notes, not_drawn)
    return write_output(path, text)


def page(
    runs: Sequence[JudgedRun],
    reference: NamedRecord | None,
    notes: Sequence[str],
    not_drawn: Callable[[UnreadRun], None] | None = None,
) -> str:
    """The HTML of a page with these runs. The arguments are those of `render`."""
    reference_name, reference_record = reference or ("", None)
    taken: Counter[str] = Counter()
    anchors = []
    for run in runs:
        slug = "run-" + (re.sub(r"[^a-z0-9]+", "-", run.name.lower()).strip("-")[:40] or "x")
        taken[slug] += 1
        # A slug contains no double hyphen. The anchor of a second run "a" is `run-a--2`, so it
        # differs from the anchor of a run "a-2", which is `run-a-2`.
        anchors.append(slug if taken[slug] == 1 else f"{slug}--{taken[slug]}")
    ordered = sorted(
        zip(runs, anchors, strict=True),
        key=lambda entry: VERDICT_ORDER.index(entry[0].diagnosis.verdict),
    )
    groups = list(dict.fromkeys(run.group for run in runs))
    grouped = len(runs) > MAX_UNGROUPED_RUNS and len(groups) > 1
    if grouped:
        ordered.sort(key=lambda entry: groups.index(entry[0].group))
    sections, left_out = list[RunSection](), list[UnreadRun]()
    for run, anchor in ordered:
        behind = None if run.record is reference_record else reference_record
        try:
            sections.append(run_section(run, anchor, behind))
        except Exception as error:
            if not_drawn is None:
                raise
            left_out.append(run.not_shown("drawn", error))
            not_drawn(left_out[-1])
    if not sections:
        raise ValueError("no run could be drawn")
    headings: dict[str, str] = {}
    if grouped:
        group_of = {anchor: run.group for run, anchor in ordered}
        first = {group_of[section.anchor]: section.anchor for section in reversed(sections)}
        headings = {anchor: group for group, anchor in first.items()}
    counts = Counter[str](section.diagnosis.verdict for section in sections)
    return fill(
        "dashboard.html.j2",
        runs=sections,
        headings=headings,
        tally=", ".join(
            f"{counts[verdict]} {verdict}" for verdict in VERDICT_ORDER if counts[verdict]
        ),
        reference=reference_name if any(run.record is not reference_record for run in runs) else "",
        notes=[*(run.error for run in left_out), *notes],
    )


def _reference(
    runs: Sequence[JudgedRun], reference: JudgedRun | Record | NamedRecord | str | None
) -> NamedRecord | None:
    """The name and the record of the reference. Raises ValueError if no run has the given name."""
    if isinstance(reference, str):
        for run in runs:
            if run.name == reference:
                return run.name, run.record
        known = ", ".join(repr(run.name) for run in runs)
        raise ValueError(f"the reference {reference!r} is not among the runs: {known}")
    if isinstance(reference, JudgedRun | Record):
        return reference.name, reference.record if isinstance(reference, JudgedRun) else reference
    return reference
