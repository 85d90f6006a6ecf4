"""What holds for every detector and every symptom, and the registry that holds them."""

from math import inf, log, nan
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from probes.diagnosis import detectors
from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.detectors import DETECTORS, SYMPTOMS, floor, symptoms_by_name
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Record
from tests.judging import found
from tests.records import FACTS, anything, hand_made, sound, thorough
from tests.test_base import symptom


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_a_detector_finds_nothing_in_the_sound_run(detector: Detector) -> None:
    """The records of all other tests are made from this one."""
    assert found(detector, thorough()) == []


def found_or_none(detector: Detector, record: Record) -> list[Finding]:
    """The findings of a detector; empty if the detector cannot judge the record."""
    try:
        return list(detector.judge(Evidence(record)))
    except CannotJudgeError:
        return []


@settings(max_examples=50)
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
def test_findings_are_listed_symptoms_and_are_never_withdrawn(record: Record) -> None:
    """The findings on a prefix are those of the whole record up to there. Detectors that judge how
    a run ended report at its last step.

    The explicit examples hold something for every detector that runs before the end."""
    prefixes = {step: record.prefix(step) for step in record.steps.tolist()}
    for detector in DETECTORS:
        whole = found_or_none(detector, record)
        assert {f.symptom for f in whole} <= {one.name for one in detector.symptoms}
        if detector.at_end:
            assert {f.step for f in whole} <= set(record.steps[-1:].tolist())
            continue
        for step, prefix in prefixes.items():
            so_far = [f for f in whole if f.step <= step]
            assert found_or_none(detector, prefix) == so_far, f"{detector.name} after step {step}"


# Symptoms


@pytest.mark.parametrize("name", SYMPTOMS)
def test_the_sentence_of_a_symptom_can_be_filled_in(name: str) -> None:
    """Every placeholder of the sentence can be filled from a finding."""
    finding = SYMPTOMS[name].found(7, 0.25, site="blocks.0", limit=0.5, onset=3)
    sentence = SYMPTOMS[name].sentence_for(finding)
    assert sentence.endswith(".")
    assert "{" not in sentence


@pytest.mark.parametrize("name", SYMPTOMS)
def test_a_symptom_says_what_it_measures_when_it_is_found_and_why(name: str) -> None:
    """`explain` and the reference page print these texts."""
    one = SYMPTOMS[name]
    assert all((one.quantity, one.unit, one.criterion, one.source))


# The registry


def test_every_file_of_detectors_is_listed() -> None:
    """A detector that is missing in MODULES would never run."""
    folder = Path(detectors.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert sorted(detectors.MODULES) == sorted(files)


def test_two_symptoms_of_one_name_are_an_error() -> None:
    """The registry is built when the package is imported, so this is an error at import."""
    twins = (
        Detector("a", lambda evidence: [], (symptom(),)),
        Detector("b", lambda evidence: [], (symptom(),)),
    )
    with pytest.raises(ValueError, match="two symptoms are called head-stuck"):
        symptoms_by_name(twins)


def test_two_detectors_of_one_name_are_an_error() -> None:
    """A reader could not tell them apart."""
    with pytest.raises(ValueError, match="two detectors are called floor"):
        symptoms_by_name((floor.DETECTOR, floor.DETECTOR._replace(at_end=True)))


def test_two_detectors_may_share_a_symptom() -> None:
    """The two detectors that judge validation loss share theirs."""
    both = [d for d in DETECTORS if d.name.startswith("overfitting")]
    assert list(symptoms_by_name(both)) == ["val-loss-rising"]
