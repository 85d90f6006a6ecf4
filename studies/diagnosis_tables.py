"""Write the tables of causes, symptoms and questions in docs/diagnosis.md from `probes.diagnosis`.

python -m studies.diagnosis_tables
"""

from __future__ import annotations

from pathlib import Path

from probes.common.markdown import markdown_table
from probes.diagnosis.base import Symptom
from probes.diagnosis.causes import CAUSES, Cause
from probes.diagnosis.detectors import DETECTORS, SYMPTOMS
from probes.diagnosis.notices import NOTICES, Notice
from probes.panels import PANELS
from testing.marker_blocks import write_block

PAGE = Path(__file__).resolve().parent.parent / "docs" / "diagnosis.md"


def causes_table() -> str:
    """One row per cause, as Markdown."""
    head = ("cause", "category", "meaning", "needs", "may also be", "remedy")
    return "\n".join(markdown_table(head, map(_cause_row, CAUSES)))


def symptoms_table() -> str:
    """One row per symptom, in the order of the detectors, as Markdown."""
    head = ("symptom", "detectors", "found when", "limit", "where the limit comes from", "panel")
    return "\n".join(markdown_table(head, map(_symptom_row, SYMPTOMS.values())))


def questions_table() -> str:
    """One row per question, in the order of the answers, as Markdown."""
    head = ("question", "name", "answered when", "beside a finding", "source")
    return "\n".join(markdown_table(head, map(_question_row, NOTICES)))


def _question_row(notice: Notice) -> tuple[str, ...]:
    beside = "no" if notice.reassures else "yes"
    return notice.question, f"`{notice.name}`", notice.arises, beside, notice.source


def _cause_row(cause: Cause) -> tuple[str, ...]:
    needs = [
        f"`{symptom.name}`" + (f" ({10**least:g})" if least else "")
        for symptom, least in cause.needs.items()
    ]
    needs[0] = " or ".join([needs[0], *(f"`{symptom.name}`" for symptom in cause.instead)])
    others = [f"`{name}`" for name in cause.may_also_be]
    remedy = cause.remedy.format(onset="N")
    return (
        f"`{cause.name}`",
        cause.category,
        cause.meaning,
        ", ".join(needs),
        ", ".join(others),
        remedy,
    )


def _symptom_row(symptom: Symptom) -> tuple[str, ...]:
    detectors = [f"`{d.name}`" for d in DETECTORS if symptom in d.symptoms]
    limit = "" if symptom.limit is None else f"{symptom.limit:.3g}"
    panels = {panel.key: panel.title for panel in PANELS}
    panel = panels[symptom.view.panel] if symptom.view else "the panel of its signal"
    return (
        f"`{symptom.name}`",
        ", ".join(detectors),
        symptom.criterion,
        limit,
        symptom.source,
        panel,
    )


TABLES = {"causes": causes_table, "symptoms": symptoms_table, "questions": questions_table}
"""Name of a block on the page -> its content."""

if __name__ == "__main__":
    for block, table in TABLES.items():
        write_block(PAGE, block, table())
