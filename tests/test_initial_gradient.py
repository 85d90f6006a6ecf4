"""The first gradient norm is compared with the band of a mean loss."""

from math import inf
from typing import Any

import pytest

from probes.diagnosis.detectors.initial_gradient import DETECTOR
from probes.record import Record
from tests.judging import found, symptoms, why_not
from tests.records import FACTS, changed, hand_made, sound


def first_grad_norm(value: float, facts: Any = FACTS) -> Record:
    """The sound run with another gradient norm at step 0."""
    rows = sound()
    return hand_made({**rows, "grad_norm": [value, *rows["grad_norm"][1:]]}, **facts)


@pytest.mark.parametrize(
    ("norm", "symptom"),
    [
        (10.1, "first-gradient-large"),
        (0.099, "first-gradient-small"),
        (0.0, "first-gradient-small"),
        (inf, "first-gradient-large"),
    ],
)
def test_it_fires_outside_its_band(norm: float, symptom: str) -> None:
    """The band is [0.1, 10]."""
    assert symptoms(DETECTOR, first_grad_norm(norm)) == [(symptom, "", 0)]


@pytest.mark.parametrize("norm", [9.9, 0.11, 3.0])
def test_it_stays_quiet_inside_its_band(norm: float) -> None:
    """Both edges of the band and a usual start are inside."""
    assert found(DETECTOR, first_grad_norm(norm)) == []


def test_it_does_not_look_at_later_steps() -> None:
    """A spike later in the run is not a wrong start."""
    assert found(DETECTOR, changed(grad_norm=[3.0, 500.0, *[1.0] * 38])) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (changed(grad_norm=None), "grad_norm was not recorded"),
        (
            changed(grad_norm=[None, *[1.0] * 39]),
            "grad_norm was first measured at step 1, not at step 0",
        ),
        (first_grad_norm(500.0, {}), "the record does not state vocab_size"),
    ],
)
def test_it_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """The norm at step 0 or the vocabulary is missing. Without a vocabulary the loss may be
    something else than a mean cross-entropy."""
    assert why_not(DETECTOR, record) == reason
