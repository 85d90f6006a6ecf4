"""The card beside a run's panels: the diagnosis, its evidence and the origin of the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from probes.charts.scale import number
from probes.diagnosis.base import Finding
from probes.diagnosis.detectors import sentence_of
from probes.diagnosis.diagnose import Diagnosis
from probes.panels.describe import fact
from probes.panels.lines import measured
from probes.record import Record

MAX_SYMPTOMS = 12
"""Entries in the list of findings."""
MAX_FACTS = 120
"""Rows in the table of facts and provenance."""
RUNGS = {
    "uniform": "nothing",
    "unigram": "how often each symbol occurs",
    "bigram": "the symbol before",
    "ngram": "the symbols before (best n-gram)",
    "floor": "everything before (entropy floor)",
}
"""Rung of the ladder -> what a model knows that reaches the loss of this rung, least first."""
MISSING = "–"


@dataclass(frozen=True)
class SymptomSummary:
    """All findings of one symptom that broke the same limit.

    site        the first site, "" when the symptom has none
    more_sites  the number of further sites
    when        the first step, in words
    observed    the worst observation, in words
    sentence    the first step and the worst observation in a sentence; "" for an unknown symptom
    """

    symptom: str
    site: str
    more_sites: int
    when: str
    observed: str
    limit: str
    worse: str
    source: str
    sentence: str


@dataclass(frozen=True)
class Card:
    """The content of the card; everything is ready to be written.

    standing  strength and lead of the first cause; "" when no cause is named
    others    the other possible causes with their strengths
    symptoms  at most MAX_SYMPTOMS of them; `more_symptoms` is the number of the others
    ladder    a name, a training loss and a validation loss per row; empty without a ladder
    facts     names and values of the record's facts and provenance, at most MAX_FACTS;
              `more_facts` is the number of the others
    """

    diagnosis: Diagnosis
    standing: str
    others: Sequence[str]
    symptoms: Sequence[SymptomSummary]
    more_symptoms: int
    ladder: Sequence[tuple[str, str, str]]
    facts: Sequence[tuple[str, str]]
    more_facts: int


def diagnosis_card(record: Record, diagnosis: Diagnosis) -> Card:
    """The card of a run."""
    symptoms = _summaries(diagnosis.findings)
    facts = {name: value for name, value in record.facts.items() if name != "sites"}
    leaves = [*chain(_leaves(record.provenance), _leaves(facts))]
    return Card(
        diagnosis,
        standing=_standing(diagnosis),
        others=[f"{cause.name} ({cause.strength:.2f})" for cause in diagnosis.causes[1:]],
        symptoms=symptoms[:MAX_SYMPTOMS],
        more_symptoms=max(0, len(symptoms) - MAX_SYMPTOMS),
        ladder=_ladder(record),
        facts=leaves[:MAX_FACTS],
        more_facts=max(0, len(leaves) - MAX_FACTS),
    )


def _standing(diagnosis: Diagnosis) -> str:
    if not diagnosis.causes:
        return ""
    first = diagnosis.causes[0]
    margin = "the sole cause" if diagnosis.margin is None else f"margin {diagnosis.margin:.2f}"
    since = first.certain_since
    certain = "" if since is None else f", certain since step {number(since)}"
    return f"strength {first.strength:.2f}, {margin}{certain}"


def _summaries(findings: Sequence[Finding]) -> list[SymptomSummary]:
    """One entry for each symptom and limit, in the order of the first finding."""
    groups: dict[tuple[str, float, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.symptom, finding.limit, finding.source), []).append(finding)
    return list(map(_summary, groups.values()))


def _summary(group: Sequence[Finding]) -> SymptomSummary:
    first, worst = group[0], max(group, key=lambda finding: finding.strength)
    sites = list(dict.fromkeys(finding.site for finding in group if finding.site))
    step = number(first.step)
    when = f"step {step}" if len(group) == 1 else f"since step {step}"
    began = "" if first.onset is None else f" (began at {number(first.onset)})"
    reach = "" if len(group) == 1 else "up to " if worst.worse == "above" else "down to "
    return SymptomSummary(
        first.symptom,
        site=sites[0] if sites else "",
        more_sites=max(0, len(sites) - 1),
        when=when + began,
        observed=reach + number(worst.observed),
        limit=number(first.limit),
        worse=first.worse,
        source=first.source,
        sentence=sentence_of(replace(worst, step=first.step, onset=first.onset)),
    )


def _ladder(record: Record) -> list[tuple[str, str, str]]:
    """The losses of models that use perfectly what they know, and below them this run's last
    losses."""
    losses = {
        name: [fact(record, "ladder", split, rung) for split in ("train", "val")]
        for rung, name in RUNGS.items()
    }
    if all(loss is None for row in losses.values() for loss in row):
        return []
    measurements = (measured(record, signal)[1] for signal in ("train_loss", "val_loss"))
    losses["this run, at the end"] = [
        float(values[-1]) if len(values) else None for values in measurements
    ]
    return [(name, _loss(train), _loss(val)) for name, (train, val) in losses.items()]


def _loss(value: float | None) -> str:
    return MISSING if value is None else number(value, 3)


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The dotted name and the text of every value in nested mappings."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, number(value) if isinstance(value, float) else str(value)
