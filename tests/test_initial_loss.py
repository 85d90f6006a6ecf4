"""The loss at step 0 is compared with that of a model that knows nothing."""

from math import inf, log
from typing import Any

import pytest

from probes.diagnosis.detectors.initial_loss import DETECTOR
from probes.record import Record
from tests.judging import found, symptoms, why_not
from tests.records import FACTS, changed, hand_made, sound

LN_V = log(64)


def first_loss(value: float, facts: Any = FACTS) -> Record:
    """The sound run with another loss at step 0."""
    rows = sound()
    return hand_made({**rows, "loss": [value, *rows["loss"][1:]]}, **facts)


@pytest.mark.parametrize(
    ("loss", "symptom"),
    [
        (LN_V + 1.21, "initial-loss-high"),
        (LN_V - 0.51, "initial-loss-low"),
        (221.0, "initial-loss-high"),
    ],
)
def test_it_fires_outside_its_band(loss: float, symptom: str) -> None:
    """The band is [ln V - 0.5, ln V + 1.2]."""
    assert symptoms(DETECTOR, first_loss(loss)) == [(symptom, "", 0)]


@pytest.mark.parametrize("loss", [LN_V + 1.19, LN_V - 0.49, 4.67])
def test_it_stays_quiet_inside_its_band(loss: float) -> None:
    """Both edges of the band and a usual start are inside."""
    assert found(DETECTOR, first_loss(loss)) == []


def test_the_finding_holds_the_loss_and_its_limit() -> None:
    """The limit depends on the vocabulary."""
    (finding,) = found(DETECTOR, first_loss(9.0))
    assert (finding.observed, finding.limit, finding.worse) == (
        9.0,
        pytest.approx(LN_V + 1.2),
        "above",
    )


def test_it_does_not_look_at_later_steps() -> None:
    """Other detectors find a loss that jumps later."""
    assert found(DETECTOR, changed(loss=[4.2, 90.0, *sound()["loss"][2:]])) == []


@pytest.mark.parametrize(
    "scale", [{"init_scale": 100.0}, {"model": {"init_scale": 100.0}}, {"initial_loss": 250.0}]
)
def test_no_stated_scale_widens_the_band(scale: dict[str, Any]) -> None:
    """A run that states a large initial scale starts just as badly."""
    assert symptoms(DETECTOR, first_loss(221.0, {**FACTS, **scale})) == [
        ("initial-loss-high", "", 0)
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (first_loss(4.2, {}), "the record does not state vocab_size"),
        (
            first_loss(4.2, {"vocab_size": "64"}),
            "states vocab_size as '64', which is not a finite number",
        ),
        (
            first_loss(4.2, {"vocab_size": inf}),
            "states vocab_size as inf, which is not a finite number",
        ),
        (first_loss(4.2, {"vocab_size": 10**400}), "which is not a finite number"),
        (
            first_loss(4.2, {"vocab_size": True}),
            "states vocab_size as True, which is not a finite number",
        ),
        (first_loss(4.2, {"vocab_size": 0}), "vocab_size is 0; there is nothing to predict"),
        (changed(loss=None), "loss was not recorded"),
        (
            changed(loss=[None, *sound()["loss"][1:]]),
            "loss was first measured at step 1, not at step 0",
        ),
        (
            hand_made({"loss": [4.2, 4.1]}, steps=[50, 51], **FACTS),
            "loss was first measured at step 50, not at step 0",
        ),
        (first_loss(inf), "loss at step 0 is infinite, which says nothing about its scale"),
    ],
)
def test_it_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """The vocabulary or the first loss is missing or unusable."""
    assert reason in why_not(DETECTOR, record)
