"""One run on the page: what was diagnosed, and the seven panels."""

from __future__ import annotations

from dataclasses import dataclass

from probes.charts.scale import number
from probes.diagnosis.diagnose import Diagnosis
from probes.panels import PANELS
from probes.panels.legend import captioned, legend
from probes.panels.panel import Drawing, Panel
from probes.record import Record
from probes.report.diagnosis_card import card
from probes.report.document import SENTENCE, text


@dataclass(frozen=True)
class Sheet:
    """A run with its place on the page: `anchor` begins every id in its section."""

    name: str
    anchor: str
    record: Record
    diagnosis: Diagnosis


def section(sheet: Sheet, reference: Record | None) -> str:
    """The run's whole section; the reference is drawn behind its panels."""
    verdict = sheet.diagnosis.verdict
    panels = "\n".join(
        panel(each, sheet.record, reference, sheet.diagnosis, sheet.anchor) for each in PANELS
    )
    return (
        f'<section class="run" id="{sheet.anchor}" aria-labelledby="{sheet.anchor}-name">\n'
        f'<header><h2 id="{sheet.anchor}-name">{text(sheet.name)}</h2> <span class="badge {verdict}">{verdict}</span>'
        f'<p class="meta">{_extent(sheet.record)}</p></header>\n'
        f'<div class="grid">\n{card(sheet.record, sheet.diagnosis, sheet.anchor)}\n{panels}\n</div>\n'
        '<output class="live hidden" aria-live="polite"></output>\n</section>'
    )


def panel(
    one: Panel, record: Record, reference: Record | None, diagnosis: Diagnosis | None, anchor: str
) -> str:
    """One panel. Without a diagnosis it says nothing of the run but what its charts show; ids begin
    with `anchor`."""
    drawings = one.draw(record, reference, diagnosis, anchor)
    slug = f"{anchor}-{one.key}"
    shows = (
        f'<p class="shows">This run: {text(one.shows(record, diagnosis), SENTENCE)}</p>'
        if diagnosis
        else ""
    )
    return (
        f'<article class="panel" aria-labelledby="{slug}-h">\n'
        f'<div class="head"><h3 id="{slug}-h">{PANELS.index(one) + 1}. {text(one.title)}</h3>'
        f'{_switch(one, slug)}<p class="question">{text(one.question)}</p></div>\n'
        + "\n".join(map(_view, drawings))
        + f'\n<p class="healthy-is">Healthy looks like: {text(one.look_for, SENTENCE)}</p>\n{shows}\n</article>'
    )


def _switch(one: Panel, slug: str) -> str:
    """Radio buttons, where there is more than one view; the style sheet does the switching."""
    if len(one.views) < 2:
        return ""
    buttons = "".join(
        f'<label><input type="radio" name="{slug}"{" checked" * (index == 0)}>{text(view.name)}</label>'
        for index, view in enumerate(one.views)
    )
    return f'<div class="switch" role="group" aria-label="View">{buttons}</div>'


def _view(drawing: Drawing) -> str:
    if not drawing.svg:
        return f'<figure class="view"><p class="absent">{text(drawing.name)}: not recorded</p></figure>'
    return f'<figure class="view">\n{captioned(drawing)}\n{drawing.svg}\n{legend(drawing.plot)}</figure>'


def _extent(record: Record) -> str:
    """How long the run was and how often it was evaluated; whether its record is whole."""
    rows = len(record.steps)
    planned = record.facts.get("total_steps")
    of = f" of {number(planned)}" if isinstance(planned, int) and 0 < planned < 10**15 else ""
    extent = f"{number(rows)}{of} steps"
    if rows and record.steps[-1] - record.steps[0] >= rows:  # not every step was logged
        extent = f"{number(rows)} points up to step {number(int(record.steps[-1]))}{of}"
    evaluations = max(
        (len(record.series(name)[0]) for name in ("train_loss", "val_loss")), default=0
    )
    seed = record.provenance.get("seed")
    parts = [extent, f"{evaluations:,} evaluations"]
    parts += [f"seed {text(seed, 30)}"] if seed is not None else []
    if record.stopped:
        parts += [f"<b>{text(record.stopped)}</b>"]
    elif not record.complete:
        parts += ["<b>the record is incomplete</b>"]
    return " · ".join(parts)
