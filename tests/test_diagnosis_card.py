"""The card of a run: diagnosis, evidence, and the origin of the record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from probes.diagnosis.base import Finding
from probes.diagnosis.diagnose import Diagnosis, diagnose
from probes.record import Record
from probes.report.diagnosis_card import MAX_FACTS, MAX_SYMPTOMS, Card, diagnosis_card
from probes.report.document import fill
from probes.report.judged_run import judge
from probes.report.run_section import run_section
from testing.long_runs import facts
from tests.records import changed, hand_made, sound


def unhealthy() -> Record:
    return changed(loss=[231.0, *sound()["loss"][1:]])


def card(record: Record, diagnosis: Diagnosis | None = None) -> Card:
    return diagnosis_card(record, diagnosis or diagnose(record))


def html(record: Record, diagnosis: Diagnosis | None = None) -> str:
    """The card alone as HTML on one line."""
    section = run_section(judge(record), "run", None)
    return " ".join(
        fill("card.html.j2", run=replace(section, card=card(record, diagnosis))).split()
    )


def with_findings(*findings: Finding) -> Diagnosis:
    return replace(diagnose(unhealthy()), findings=findings)


def test_a_finding_is_shown_with_all_its_evidence() -> None:
    """Symptom, step, observation, limit, the same in a sentence, the source of the limit, and the
    remedy of the cause."""
    shown = html(unhealthy())
    assert "<b>initial-loss-high</b>, step 0: observed 231, limit 5.359 (above is worse)" in shown
    assert "<small>The loss starts at 231. A model that knows nothing starts at 5.359" in shown
    assert "<small>limit from: a model that" in shown
    assert "<dt>Remedy</dt><dd>initialise weights at Xavier" in shown
    assert "certain since step 0</dd>" in shown


@pytest.mark.parametrize(
    ("worse", "observed", "shown"),
    [("above", (3.0, 9.0), "up to 9"), ("below", (0.5, 0.1), "down to 0.1")],
)  # fmt: skip
def test_findings_of_one_symptom_are_shown_together(
    worse: Any, observed: tuple[float, ...], shown: str
) -> None:
    """The card shows their first step, their first site and the worst observed value."""
    findings = [
        Finding("s", f"site {step}", step, value, 1.0, worse, "why", onset=step - 1)
        for step, value in enumerate(observed, start=1)
    ]
    (summary,) = card(unhealthy(), with_findings(*findings)).symptoms
    assert (summary.site, summary.more_sites) == ("site 1", 1)
    assert (summary.when, summary.observed) == ("since step 1 (began at 0)", shown)


def test_only_the_first_symptoms_are_listed() -> None:
    """The card states how many are left out."""
    finding = Finding("s", "", 0, 2.0, 1.0, "above", "why")
    findings = [replace(finding, symptom=f"s{i}") for i in range(MAX_SYMPTOMS + 3)]
    assert len(card(unhealthy(), with_findings(*findings)).symptoms) == MAX_SYMPTOMS
    assert "<li>and 3 more</li>" in html(unhealthy(), with_findings(*findings))


def test_a_cause_is_shown_with_the_causes_it_cannot_be_told_from() -> None:
    """Without further causes, the card has no such entry."""
    diagnosis = diagnose(unhealthy())
    cause = replace(diagnosis.causes[0], or_else=("lr-too-high", "overfit"))
    shown = html(unhealthy(), replace(diagnosis, causes=(cause,)))
    assert "<dt>May also be</dt><dd>lr-too-high or overfit</dd>" in shown
    assert "May also be" not in html(unhealthy(), diagnosis)


def test_other_possible_causes_are_named_with_their_strengths() -> None:
    diagnosis = diagnose(unhealthy())
    other = replace(diagnosis.causes[0], name="lr-too-high", strength=0.25)
    shown = html(unhealthy(), replace(diagnosis, causes=(*diagnosis.causes, other), margin=1.5))
    assert "<dt>Also possible</dt><dd>lr-too-high (0.25)</dd>" in shown
    assert "margin 1.50" in shown


def test_remarks_are_shown_one_by_one() -> None:
    """The card of a healthy run lists its remarks. Without remarks the list is left out."""
    items = html(changed()).partition('class="remarks">')[2].partition("</ul>")[0]
    assert items.startswith(
        "<li>lr starts at its peak: 0.02 at step 0; this is normal below a certain rate, "
        "because only larger rates need a warmup</li>"
        "<li>the loss is still falling at its end: by 1.5"
    )
    assert "Worth knowing" not in html(hand_made({"loss": [3.0, 2.0]}))


def test_detectors_that_could_not_judge_are_shown_with_the_reason() -> None:
    """Detectors with the same reason share an entry."""
    shown = html(hand_made({"loss": [3.0] * 30}))
    assert shown.count("the record does not state vocab_size") == 1
    assert "initial-loss, first-gradient, stalled" in shown


def test_facts_and_provenance_have_a_row_per_value() -> None:
    """Nested values have dotted names."""
    run = hand_made(
        {"loss": [3.0]},
        provenance={"config": {"optimizer": {"lr_max": 0.02}}, "corpus_sha256": "abc"},
        vocab_size=64,
        sites=["not shown"],
    )
    assert card(run).facts == [
        ("config.optimizer.lr_max", "0.02"), ("corpus_sha256", "abc"), ("vocab_size", "64"),
    ]  # fmt: skip
    assert "<details><summary>Facts and provenance</summary>" in html(run)


def test_only_the_first_facts_are_listed() -> None:
    """The card states how many are left out."""
    run = hand_made({"loss": [3.0]}, provenance={str(i): i for i in range(MAX_FACTS + 2)})
    assert len(card(run).facts) == MAX_FACTS
    assert "<td>and 2 more</td>" in html(run)


def test_the_ladder_compares_the_run_with_models_that_know_something() -> None:
    """Its first row is a model that knows nothing, its last row is this run."""
    ladder = card(hand_made({"val_loss": [3.0, 0.91]}, **facts(2))).ladder
    assert ladder[0] == ("nothing", "4.16", "4.16")
    assert ladder[-1] == ("this run, at the end", "–", "0.91")


def test_without_a_ladder_there_is_no_table() -> None:
    assert card(changed()).ladder == []
    assert '<table class="ladder">' not in html(changed())
