"""The section of one run on the page: its name and verdict, the diagnosis card, and the panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from probes.charts.scale import number
from probes.diagnosis.diagnose import Diagnosis
from probes.panels import PANELS
from probes.panels.panel import Drawing, Panel
from probes.record import Record
from probes.report.diagnosis_card import Card, diagnosis_card
from probes.report.judged_run import JudgedRun

MAX_PLANNED_STEPS = 10**15
"""A planned number of steps of this size or larger is not shown, because no run is that long."""


@dataclass(frozen=True)
class PanelSection:
    """A panel with its charts, drawn for one run.

    slug      prefix of all ids in the section
    number    position of the panel on the page, from 1
    drawings  the views of the panel
    shows     what the run shows, in words; "" without a diagnosis
    """

    slug: str
    number: int
    panel: Panel
    drawings: Sequence[Drawing]
    shows: str

    @property
    def selected(self) -> int:
        """The index of the view that is open at first: the first view with the mark of a finding.
        If there is none, it is the first view with a chart."""
        views = range(len(self.drawings))
        marked = [index for index in views if self.drawings[index].plot.events]
        drawn = [index for index in views if self.drawings[index].svg]
        return (marked or drawn or [0])[0]


@dataclass(frozen=True)
class RunSection:
    """The section of one run.

    anchor     prefix of all ids in the section
    extent     the number of steps and the number of evaluations, in words
    seed       the seed of the run; "" if the record does not contain it
    cut_short  the reason why the record ends early; "" if the record is complete
    """

    anchor: str
    name: str
    diagnosis: Diagnosis
    extent: Sequence[str]
    seed: str
    cut_short: str
    card: Card
    panels: Sequence[PanelSection]


def run_section(run: JudgedRun, anchor: str, reference: Record | None) -> RunSection:
    """Make the section of a run. The reference, if there is one, is drawn behind its lines."""
    record, diagnosis = run.record, run.diagnosis
    rows = len(record.steps)
    planned = record.facts.get("total_steps")
    of_planned = ""
    if isinstance(planned, int) and 0 < planned < MAX_PLANNED_STEPS:
        of_planned = f" of {number(planned)}"
    if rows and int(record.steps[-1]) - int(record.steps[0]) >= rows:  # not every step was logged
        steps = f"{number(rows)} points up to step {number(int(record.steps[-1]))}{of_planned}"
    else:
        steps = f"{number(rows)}{of_planned} steps"
    evaluations = max(len(record.series(name)[0]) for name in ("train_loss", "val_loss"))
    seed = record.provenance.get("seed")
    stopped = str(record.stopped) if record.stopped else ""
    return RunSection(
        anchor,
        run.name,
        diagnosis,
        extent=[steps, f"{evaluations:,} evaluations"],
        seed="" if seed is None else str(seed),
        cut_short=stopped or ("" if record.complete else "the record is incomplete"),
        card=diagnosis_card(record, diagnosis),
        panels=panel_sections(record, diagnosis, anchor, reference),
    )


def panel_sections(
    record: Record, diagnosis: Diagnosis | None, anchor: str, reference: Record | None
) -> list[PanelSection]:
    """Draw all panels of a run. If `diagnosis` is None, they show only what was measured."""
    return [
        PanelSection(
            f"{anchor}-{panel.key}",
            place,
            panel,
            panel.draw(record, reference, diagnosis, anchor),
            panel.shows(record, diagnosis) if diagnosis else "",
        )
        for place, panel in enumerate(PANELS, start=1)
    ]
