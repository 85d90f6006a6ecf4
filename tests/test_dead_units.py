"""Neurons that are silent and heads that are stuck, where that is a fault and where it is not."""

import pytest

from probes.diagnosis.detectors import dead_neurons, stuck_heads
from tests.judging import found, symptoms, why_not
from tests.records import STEPS, hand_made, thorough

HIGH = [4.0] * STEPS
"""A train loss at which nothing was learned yet."""


def from_step(begin: int, before: float, after: float) -> list[float]:
    return [before] * begin + [after] * (STEPS - begin)


def test_dead_neurons_fire_once_a_layer_from_where_half_of_it_is_silent() -> None:
    """Every layer in its own right."""
    fractions = {"a": from_step(7, 0.5, 0.51), "b": from_step(9, 0.0, 1.0), "c": [0.5] * STEPS}
    assert symptoms(dead_neurons.DETECTOR, thorough(dead_fraction=fractions)) == [
        ("dead-neurons", "a", 7),
        ("dead-neurons", "b", 9),
    ]


def test_dead_neurons_stay_quiet_at_half() -> None:
    """The limit itself is no finding."""
    assert found(dead_neurons.DETECTOR, thorough(dead_fraction={"a": [0.5] * STEPS})) == []


def test_dead_neurons_cannot_be_judged_unseen() -> None:
    assert why_not(dead_neurons.DETECTOR, hand_made({})) == "dead_fraction was not recorded"


def test_stuck_heads_fire_while_the_loss_is_no_better_than_the_bigrams() -> None:
    """Sharp without having learned anything that needs it."""
    heads = {"a": from_step(5, 0.5, 0.009), "b": [0.5] * STEPS}
    record = thorough(train_loss=HIGH, attention_entropy=heads)
    assert symptoms(stuck_heads.DETECTOR, record) == [("head-stuck", "a", 5)]


@pytest.mark.parametrize(("entropy", "loss"), [(0.011, 4.0), (0.001, 1.7)])
def test_stuck_heads_stay_quiet_above_the_limit_and_on_what_was_learned(
    entropy: float, loss: float
) -> None:
    """A head that looks at one key in a model that predicts well has learned to."""
    record = thorough(train_loss=[loss] * STEPS, attention_entropy={"a": [entropy] * STEPS})
    assert found(stuck_heads.DETECTOR, record) == []


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
def test_stuck_heads_say_why_they_cannot_be_judged(signals, facts, reason) -> None:  # type: ignore[no-untyped-def]
    """No ladder, no head, or no loss beside it."""
    assert why_not(stuck_heads.DETECTOR, hand_made(signals, **facts)) == reason
