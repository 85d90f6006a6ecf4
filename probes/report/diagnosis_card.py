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
from probes.panels.describe import fact_number
from probes.panels.lines import measured
from probes.record import Record

MAX_SYMPTOMS = 12
"""Largest number of entries in the list of symptoms."""
MAX_FACTS = 120
"""Largest number of rows in the table of facts and provenance."""
RUNGS = {
    "uniform": "nothing",
    "unigram": "how often each symbol occurs",
    "bigram": "the symbol before",
    "ngram": "the symbols before (best n-gram)",
    "floor": "everything before (entropy floor)",
}
"""The ladder of reference losses, highest loss first: key of the loss in the facts -> the knowledge
that a model needs to reach this loss."""
MISSING = "–"
"""Stands in the table for a loss that is not known."""


@dataclass(frozen=True)
class SymptomSummary:
    """A summary of all findings with the same symptom and the same limit.

    site        the first site; "" if the findings have no site
    more_sites  number of further sites
    when        the first step, in words
    observed    the worst observed value, in words
    worse       the direction in which values are worse: "above" or "below" the limit
    source      the source of the limit
    sentence    a sentence with the first step and the worst observed value; "" if the symptom
                is unknown
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
    """The content of the card, as texts that the template only has to insert.

    standing       strength of the evidence for the first cause and its margin over the second; ""
                   without a cause
    others         the other possible causes with their strengths
    symptoms       at most MAX_SYMPTOMS symptoms
    more_symptoms  number of symptoms that are left out
    ladder         rows of name, training loss and validation loss; empty without a ladder
    facts          at most MAX_FACTS names and values of the record's facts and provenance
    more_facts     number of facts that are left out
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
    """Make the card of a run."""
    standing = ""
    if diagnosis.causes:
        first, margin = diagnosis.causes[0], diagnosis.margin
        lead = "the sole cause" if margin is None else f"margin {margin:.2f}"
        standing = f"strength {first.strength:.2f}, {lead}"
        if first.certain_since is not None:
            standing += f", certain since step {number(first.certain_since)}"
    groups: dict[tuple[str, float, str], list[Finding]] = {}
    for finding in diagnosis.findings:
        groups.setdefault((finding.symptom, finding.limit, finding.source), []).append(finding)
    symptoms = list(map(_summary, groups.values()))
    facts = {name: value for name, value in record.facts.items() if name != "sites"}
    leaves = [*chain(_leaves(record.provenance), _leaves(facts))]
    return Card(
        diagnosis,
        standing=standing,
        others=[f"{cause.name} ({cause.strength:.2f})" for cause in diagnosis.causes[1:]],
        symptoms=symptoms[:MAX_SYMPTOMS],
        more_symptoms=max(0, len(symptoms) - MAX_SYMPTOMS),
        ladder=_ladder(record),
        facts=leaves[:MAX_FACTS],
        more_facts=max(0, len(leaves) - MAX_FACTS),
    )


def _summary(group: Sequence[Finding]) -> SymptomSummary:
    """Summarise the findings of one symptom with one limit, in the order of their steps."""
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
    """Rows of name, training loss and validation loss: the reference losses, then the last losses
    of this run. Empty if the facts contain no reference loss."""
    losses = {
        name: [fact_number(record, "ladder", split, rung) for split in ("train", "val")]
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
    """Yield the dotted name and the text of each value in nested mappings."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, number(value) if isinstance(value, float) else str(value)
