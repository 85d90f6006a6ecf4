"""Heads that look at a single key are found while little has been learned."""

from typing import Any

import pytest

from probes.diagnosis.detectors.stuck_heads import DETECTOR
from tests.judging import found, symptoms, why_not
from tests.records import STEPS, hand_made, thorough

HIGH = [4.0] * STEPS
"""A train loss at which nothing was learned yet."""


def from_step(begin: int, before: float, after: float) -> list[float]:
    """A series that jumps from one value to another at a step."""
    return [before] * begin + [after] * (STEPS - begin)


def test_it_fires_while_the_loss_is_no_better_than_the_bigrams() -> None:
    """The head looks at a single key although the model has not learned to do so."""
    heads = {"a": from_step(5, 0.5, 0.009), "b": [0.5] * STEPS}
    record = thorough(train_loss=HIGH, attention_entropy=heads)
    assert symptoms(DETECTOR, record) == [("head-stuck", "a", 5)]


@pytest.mark.parametrize(("entropy", "loss"), [(0.011, 4.0), (0.001, 1.7)])
def test_it_stays_quiet_above_the_limit_and_in_a_model_that_has_learned(
    entropy: float, loss: float
) -> None:
    """If the model predicts well, a head that looks at one key has learned to do so."""
    record = thorough(train_loss=[loss] * STEPS, attention_entropy={"a": [entropy] * STEPS})
    assert found(DETECTOR, record) == []


@pytest.mark.parametrize(
    ("signals", "facts", "reason"),
    [
        ({}, {}, "the record states no bigram rung for train"),
        ({}, {"ladder": {"train": {"bigram": 1.8}}}, "attention_entropy was not recorded"),
        (
            {"attention_entropy": {"a": [0.5]}},
            {"ladder": {"train": {"bigram": 1.8}}},
            "train_loss was not recorded",
        ),
    ],
)
def test_it_says_why_it_cannot_judge(signals: Any, facts: Any, reason: str) -> None:
    """The ladder, the heads or the train loss are missing."""
    assert why_not(DETECTOR, hand_made(signals, **facts)) == reason
