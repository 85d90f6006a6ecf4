"""What a cause means, needs and calls for: the lines that `python -m probes explain` prints."""

from __future__ import annotations

from probes.diagnosis.base import Symptom
from probes.diagnosis.causes import Cause

UNKNOWN = {"site": "(site)", "step": "N", "onset": "N", "observed": "X", "limit": "Y"}
"""What stands for the numbers of a run, which only its diagnosis can give."""


def explanation(cause: Cause) -> list[str]:
    """The cause in lines of text: its meaning, the symptoms it needs, its relation to other
    symptoms and causes, and its remedy."""
    lines = [f"{cause.name}: {cause.meaning}"]
    for symptom, least in cause.needs.items():
        beyond = f", by a factor of {10**least:g} at least" if least else ""
        lines += [f"needs {symptom.name}{beyond}", *_on_symptom(symptom)]
    lines += [f"is not named beside {symptom.name}" for symptom in cause.excluded]
    lines += [f"also accounts for {symptom.name}" for symptom in cause.explains]
    for other, clues in cause.alike.items():
        unless = f", unless {' or '.join(clue.text for clue in clues)} tells" if clues else ""
        lines.append(f"may be {other} as well{unless}")
    return [*lines, f"remedy: {cause.remedy.format(onset='N (which the diagnosis names)')}"]


def _on_symptom(symptom: Symptom) -> list[str]:
    where = f"the panel {symptom.view.panel}" if symptom.view else "the panel of its signal"
    return [
        f"  says: {symptom.sentence['en'].format(**UNKNOWN)}",
        f"  limit: {symptom.criterion}",
        f"  source: {symptom.source}",
        f"  measured: {symptom.quantity}, unit: {symptom.unit}, shown in {where}",
    ]
