"""Explains a cause in the lines of text that `python -m probes explain` prints."""

from __future__ import annotations

from probes.diagnosis.causes import Cause

UNKNOWN = {"site": "(site)", "step": "N", "onset": "N", "observed": "X", "limit": "Y"}
"""Placeholder of `Symptom.sentence` -> text to print instead of a number, since only the diagnosis
of a run gives the numbers."""


def explanation(cause: Cause) -> list[str]:
    """The cause in lines of text: its meaning, the symptoms it needs, its relation to other
    symptoms and causes, and its remedy."""
    lines = [f"{cause.name}: {cause.meaning}", f"category: {cause.category}"]
    needs = cause.needs | dict.fromkeys(cause.instead, 0.0)
    for symptom, least in needs.items():
        beyond = f", by a factor of {10**least:g} at least" if least else ""
        where = f"the panel {symptom.view.panel}" if symptom.view else "the panel of its signal"
        lines += [
            f"{'or instead' if symptom in cause.instead else 'needs'} {symptom.name}{beyond}",
            f"  says: {symptom.sentence['en'].format(**UNKNOWN)}",
            f"  limit: {symptom.criterion}",
            f"  source: {symptom.source}",
            f"  measured: {symptom.quantity}, unit: {symptom.unit}, shown in {where}",
        ]
    lines += [f"is not named if {symptom.name} is found" for symptom in cause.excluded]
    lines += [f"also explains {symptom.name}" for symptom in cause.explains]
    for other, clues in cause.may_also_be.items():
        unless = f", unless {' or '.join(clue.text for clue in clues)}" if clues else ""
        lines.append(f"may also be {other}{unless}")
    return [*lines, f"remedy: {cause.remedy.format(onset='N (the diagnosis gives the step)')}"]
