"""What holds for every detector, and how far a finding is from its limit."""

from math import inf, log, nan
from typing import Any

import pytest
from hypothesis import example, given, settings

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.causes import CAUSES
from probes.diagnosis.detectors import DETECTORS
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Record
from tests.records import FACTS, anything, hand_made, sound, thorough


def found(detector: Detector, record: Record) -> list[Finding]:
    return list(detector.judge(Evidence(record)))


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_a_detector_finds_nothing_in_the_sound_run(detector: Detector) -> None:
    """The record from which all the others here are made."""
    assert found(detector, thorough()) == []


def judged(detector: Detector, record: Record) -> list[Finding]:
    """What it finds, nothing where it cannot judge."""
    try:
        return found(detector, record)
    except CannotJudgeError:
        return []


@settings(max_examples=100)
@given(record=anything())
@example(
    record=hand_made({"lr": [0.0] * 30, "loss": [90.0] * 30, "grad_norm": [inf] * 30}, **FACTS)
)
@example(record=thorough(loss=[*sound()["loss"][:30], 9.0, 1.6, 40.0, *[1.5] * 7]))
@example(
    record=thorough(
        train_loss=[3.0] * 40, attention_entropy={"attn.0": [*[0.5] * 9, *[0.001] * 31]}
    )
)
@example(
    record=thorough(
        train_loss=[4.0 - i / 10.3 for i in range(40)], activation={"embed": [11.0] * 40}
    )
)
@example(
    record=thorough(train_loss=[0.1] * 40, lr=[0.01] * 40, update_weight_ratio={"up": [0.5] * 40})
)
@example(record=thorough(dead_fraction={"ffn": [*[0.1] * 9, *[1.0] * 31]}))
@example(record=hand_made({"loss": [log(4)] * 30}))
@example(record=thorough(lr=[*[0.01 / (i + 3) for i in range(20)], *[0.0] * 20]))
@example(
    record=hand_made(
        {"loss": [*sound()["loss"][:20], *[0.0] * 20], "grad_norm": [*[1.0] * 25, *[nan] * 15]}
    )
)
@example(record=hand_made({"loss": [2.0] * 60, "grad_norm": [*[1.0] * 10, *[inf] * 50]}))
@example(record=thorough(60, val_loss=[1.0 + abs(i - 20) / 100 for i in range(60)]))
def test_what_is_found_is_never_withdrawn_and_has_its_limit_in_words(record: Record) -> None:
    """What a prefix shows is what the whole shows up to there: online and offline agree, and
    `explain` has a source.

    What only an end tells is found at it. The examples that are written out have something in them
    for every detector that is asked along the way."""
    prefixes = {step: record.prefix(step) for step in record.steps.tolist()}
    for detector in DETECTORS:
        whole = judged(detector, record)
        assert {f.symptom for f in whole} <= set(detector.limits)
        if detector.at_end:
            assert {f.step for f in whole} <= set(record.steps[-1:].tolist())
            continue
        for step, prefix in prefixes.items():
            so_far = [f for f in whole if f.step <= step]
            assert judged(detector, prefix) == so_far, f"{detector.name} after step {step}"


def test_every_symptom_a_cause_speaks_of_is_some_detectors() -> None:
    """A misspelt symptom in the table of causes would never be met."""
    spoken = {name for cause in CAUSES for name in (*cause.needs, *cause.excluded, *cause.explains)}
    assert spoken <= {name for detector in DETECTORS for name in detector.limits}


@pytest.mark.parametrize(
    ("observed", "limit", "worse", "strength"),
    [
        (100.0, 10.0, "above", 1.0),
        (0.001, 0.1, "below", 2.0),
        (5.0, 10.0, "above", pytest.approx(-0.30103)),
        (inf, 10.0, "above", 10.0),
        (nan, 10.0, "above", 10.0),
        (nan, 10.0, "below", 10.0),
        (0.0, 0.1, "below", 10.0),
        (-1.0, 0.1, "below", 10.0),
        (1e300, 1e-300, "above", 10.0),
        (1e-300, 1e300, "above", -10.0),
        (0.0, 1.0, "above", -10.0),
    ],
)
def test_strength_is_the_distance_from_the_limit_in_decades(
    observed: float, limit: float, worse: Any, strength: float
) -> None:
    """Positive is worse on either side, and it is always a finite number."""
    assert Finding("symptom", "", 0, observed, limit, worse, "source").strength == strength
