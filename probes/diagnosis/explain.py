"""What a cause means, needs and calls for, in the lines that `python -m probes explain` prints."""

from __future__ import annotations

from probes.diagnosis.base import Symptom
from probes.diagnosis.causes import Cause

PLACEHOLDER_STEP = "N (which the diagnosis names)"


def explanation(cause: Cause) -> list[str]:
    """The cause in lines of text: meaning, needed symptoms, relation to other symptoms and causes,
    remedy."""
    lines = [f"{cause.name}: {cause.meaning}"]
    for symptom, least in cause.needs.items():
        beyond = f", by a factor of {10**least:g} at least" if least else ""
        lines += [f"needs {symptom.name}{beyond}", *_of_symptom(symptom)]
    lines += [f"is not named beside {symptom.name}" for symptom in cause.excluded]
    lines += [f"also accounts for {symptom.name}" for symptom in cause.explains]
    for other, clues in cause.alike.items():
        unless = f", unless {' or '.join(clue.text for clue in clues)} tells" if clues else ""
        lines.append(f"may be {other} as well{unless}")
    return [*lines, f"remedy: {cause.remedy.format(onset=PLACEHOLDER_STEP)}"]


def _of_symptom(symptom: Symptom) -> list[str]:
    where = f"panel {symptom.view.panel.value}" if symptom.view else "the panel of its signal"
    return [
        f"  limit: {symptom.criterion}",
        f"  source: {symptom.source}",
        f"  measured: {symptom.quantity} ({symptom.unit}), shown in {where}",
    ]
