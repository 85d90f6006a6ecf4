"""A loss that rests on a rung of the ladder shows what the model does not see."""

from math import log, nan
from typing import Any

import numpy as np
import pytest

from probes.diagnosis.detectors.stalled import DETECTOR
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.judging import found, symptoms, why_not
from tests.records import FACTS, LADDER, STEPS, hand_made, sound, thorough


def resting(level: float, fall_until: int = 12) -> list[float]:
    """A loss that falls to a level by some step and stays there, with a little noise."""
    noise = np.random.default_rng(0).normal(0, 0.01, STEPS)
    fall = np.maximum(0, (fall_until - np.arange(STEPS)) / fall_until) * (4.4 - level)
    return list(level * (1 + noise) + fall)


@pytest.mark.parametrize(
    ("level", "rung"),
    [(4.16, "uniform"), (5.2, "uniform"), (3.0, "unigram"), (3.12, "unigram"), (1.8, "bigram")],
)
def test_it_fires_on_a_loss_that_rests_on_a_rung_for_half_the_run(level: float, rung: str) -> None:
    """The loss is within 5 % of the rung. On the first rung it may also be as high as at a sound
    start."""
    assert [
        symptom for symptom, _, _ in symptoms(DETECTOR, thorough(train_loss=resting(level)))
    ] == [f"stalled-at-{rung}"]


@pytest.mark.parametrize("level", [6.0, 3.6, 2.4, 1.0, 0.2])
def test_it_stays_quiet_between_the_rungs_and_below_them(level: float) -> None:
    """A good model may come to rest at or below the level of the best n-gram."""
    assert found(DETECTOR, thorough(train_loss=resting(level))) == []


def test_it_stays_quiet_on_a_loss_that_passes_the_rungs() -> None:
    """The sound run crosses two of them."""
    assert found(DETECTOR, thorough()) == []


def test_it_stays_quiet_on_a_rest_shorter_than_half_the_run() -> None:
    """Many models rest on a rung for a while before they learn more."""
    assert (
        found(
            DETECTOR,
            thorough(train_loss=[*resting(3.0, 1)[:19], *[1.0 - i / 50 for i in range(21)]]),
        )
        == []
    )


def test_the_limit_is_the_next_rung() -> None:
    """The difference is what the limitation costs."""
    (finding,) = found(DETECTOR, thorough(train_loss=resting(3.0)))
    assert (finding.observed, finding.limit) == (
        pytest.approx(3.0, rel=0.01),
        LADDER["train"]["bigram"],
    )


@pytest.mark.parametrize(
    ("level", "cause"),
    [(4.16, "learns-nothing"), (3.0, "blind-to-input"), (1.8, "blind-to-context")],
)
def test_each_rung_has_its_cause(level: float, cause: str) -> None:
    """No other cause is named."""
    diagnosis = diagnose(thorough(train_loss=resting(level)))
    assert [suspect.name for suspect in diagnosis.causes] == [cause]


def test_a_vocabulary_alone_gives_the_first_rung() -> None:
    """ln V needs no ladder. The batch loss is used where the split was not evaluated."""
    facts = {**FACTS, "vocab_size": 10}
    assert symptoms(DETECTOR, hand_made({"loss": [log(10)] * STEPS}, **facts)) == [
        ("stalled-at-uniform", "loss", 20)
    ]
    assert found(DETECTOR, hand_made({"loss": [1.8] * STEPS}, **facts)) == []


def test_nonfinite_values_are_ignored() -> None:
    """Another detector reports them."""
    level = resting(3.0)
    level[5] = nan
    assert [s for s, _, _ in symptoms(DETECTOR, thorough(train_loss=level))] == [
        "stalled-at-unigram"
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (
            hand_made({"loss": sound()["loss"]}, total_steps=40),
            "the record does not state vocab_size",
        ),
        (
            hand_made({"loss": sound()["loss"]}, vocab_size=64),
            "the record does not state total_steps",
        ),
        (thorough(train_loss=None, loss=None), "loss was not recorded"),
        (
            hand_made({"loss": [4.2] * 9}, steps=range(0, 90, 10), vocab_size=64, total_steps=100),
            "9 points of loss over 80 steps; 10 within 50 steps, half of the run, are needed",
        ),
    ],
)
def test_it_says_why_it_cannot_judge(record: Record, reason: Any) -> None:
    """Without the length of the run, half of the run is not known."""
    assert why_not(DETECTOR, record) == reason
