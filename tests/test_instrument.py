"""Values that cannot be show that the record is wrong. They lead to no cause of the model."""

from __future__ import annotations

from math import inf

import pytest

from probes.diagnosis.detectors.instrument import DETECTOR
from probes.diagnosis.diagnose import diagnose
from tests.judging import found
from tests.records import STEPS, hand_made, thorough


def late(value: float, before: float = 0.5) -> list[float]:
    return [before] * (STEPS - 1) + [value]


def test_a_sound_record_has_no_impossible_value() -> None:
    assert found(DETECTOR, thorough()) == []


@pytest.mark.parametrize(
    ("signal", "value"),
    [
        ("attention_entropy", 1.2),
        ("attention_entropy", -0.3),
        ("dead_fraction", 1.5),
        ("dead_fraction", -0.5),
        ("spectral_norm", -1.0),
    ],
)
def test_a_value_outside_its_range_is_a_fault_of_the_record(signal: str, value: float) -> None:
    record = thorough(**{signal: {"place": late(value)}})
    (finding,) = found(DETECTOR, record)
    assert (finding.site, finding.step) == (f"{signal}.place", STEPS - 1)
    diagnosis = diagnose(record)
    assert (diagnosis.verdict, diagnosis.cause) == ("undetermined", None)
    assert "the record is wrong" in diagnosis.reason


def test_no_detector_takes_an_impossible_value_for_a_property_of_the_model() -> None:
    """A share of 1.5 dead neurons would otherwise be above every limit."""
    record = thorough(dead_fraction={"ffn": [1.5] * STEPS})
    assert {finding.symptom for finding in diagnose(record).findings} == {"impossible-value"}


def test_an_entropy_may_miss_one_by_its_rounding() -> None:
    assert found(DETECTOR, thorough(attention_entropy={"head": late(1 + 1e-4)})) == []


@pytest.mark.parametrize("norm", [float("nan"), inf])
def test_a_spectral_norm_that_is_not_finite_beside_finite_losses(norm: float) -> None:
    """Both are computed from the same weights."""
    record = thorough(spectral_norm={"up": late(norm)})
    diagnosis = diagnose(record)
    assert (diagnosis.verdict, diagnosis.cause) == ("undetermined", None)
    assert {finding.symptom for finding in diagnosis.findings} == {"impossible-value"}


def test_weights_that_are_not_finite_are_a_fault_of_the_model() -> None:
    lost = late(float("nan"))
    record = thorough(spectral_norm={"up": lost}, train_loss=lost, val_loss=lost)
    assert diagnose(record).cause == "non-finite"


def test_a_spectral_norm_below_what_the_matrix_does_to_a_vector() -> None:
    signals = {"spectral_norm": {"up": [None, 1.5]}, "stretch": {"up": [1.0, 1.6]}}
    (finding,) = found(DETECTOR, hand_made(signals))
    assert (finding.site, finding.step) == ("spectral_norm.up", 1)
    signals["stretch"] = {"up": [1.0, 1.501]}
    assert found(DETECTOR, hand_made(signals)) == []
