"""A validation loss that turns for good beside a training loss that goes on falling, and what only looks like it."""

from typing import Any

import numpy as np
import pytest

from probes.detectors.overfitting import DETECTOR
from probes.diagnosis import diagnose
from probes.record import Record
from probes.turning import stop_of
from tests.judging import found, symptoms, why_not
from tests.records import LADDER, hand_made

POINTS = 200
TIME = np.arange(1, POINTS + 1)
TRAIN = 0.2 + 3.5 / TIME


def curve(turn: float, rise: float) -> np.ndarray:
    """Falls, turns at a point, and ends a share above its minimum."""
    shape = np.log(turn / TIME) + TIME / turn
    shape -= shape.min()
    return 1 + rise * shape / shape[-1]


def run(val: np.ndarray, train: np.ndarray | None = TRAIN, noise: float = 0.01, **facts: Any) -> Record:
    """A record of evaluations every third step, with noise on val."""
    rng = np.random.default_rng(0)
    signals: dict[str, Any] = {"val_loss": (val * (1 + rng.normal(0, noise, len(val)))).tolist()}
    if train is not None:
        signals["train_loss"] = train[: len(val)].tolist()
    return hand_made(signals, steps=range(2, 3 * len(val), 3), **facts)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_it_fires_once_the_trend_has_risen(scale: float) -> None:
    """After the turn and before the end, in any unit."""
    ((symptom, _, step),) = symptoms(DETECTOR, run(scale * curve(70, 0.15), scale * TRAIN))
    assert (symptom, 3 * 70 < step < 3 * POINTS) == ("val-loss-rising", True)


def test_it_names_the_step_to_have_stopped_at() -> None:
    """From what was seen until then."""
    record = run(curve(70, 0.15))
    (finding,) = found(DETECTOR, record)
    steps, val = record.prefix(finding.step).series("val_loss")
    assert finding.onset == stop_of(steps, val).step
    assert finding.onset == pytest.approx(3 * 70, abs=60)


def test_the_remedy_names_that_step() -> None:
    """In words that can be acted on."""
    diagnosis = diagnose(run(curve(70, 0.15)))
    assert (diagnosis.cause, f"stop at step {diagnosis.findings[0].onset}," in diagnosis.remedy) == ("overfit", True)


@pytest.mark.parametrize(("rise", "fires"), [(0.0, False), (0.025, False), (0.035, True)])
def test_it_takes_a_rise_of_three_percent(rise: float, fires: bool) -> None:
    """Flat after convergence, and a little above the minimum: neither is a fault, however sure it is."""
    assert bool(found(DETECTOR, run(curve(70, rise), noise=0.001))) is fires


def test_it_stays_quiet_on_a_loss_that_only_falls() -> None:
    """However wide the gap to train."""
    assert found(DETECTOR, run(2 + 3 / TIME)) == []


def test_it_stays_quiet_when_the_training_loss_rises_as_well() -> None:
    """That is a run that comes apart, not one that learns by heart."""
    assert found(DETECTOR, run(curve(70, 0.15), curve(70, 0.15))) == []


def test_it_is_rarely_misled_by_wandering_that_comes_back() -> None:
    """Level curves with noise as measured at peak learning rates, 4 % and neighbours correlated by 0.6: at most two of
    a hundred, each asked over and over while it grew."""
    rng, misled = np.random.default_rng(0), 0
    for _ in range(100):
        wander = np.zeros(POINTS)
        for i in range(1, POINTS):
            wander[i] = 0.62 * wander[i - 1] + rng.normal(0, 0.04 * np.sqrt(1 - 0.62**2))
        misled += len(found(DETECTOR, run(1 + 2 / TIME + wander, noise=0.0)))
    assert misled <= 2


def test_it_stays_quiet_below_the_floor() -> None:
    """What is lower than possible did not get there by learning."""
    assert found(DETECTOR, run(0.1 * curve(70, 0.5), ladder=LADDER)) == []
    assert found(DETECTOR, run(0.1 * curve(70, 0.5))) != []


def test_a_batch_loss_will_do_where_the_full_split_was_not_evaluated() -> None:
    """As in most logs."""
    val = curve(70, 0.15).tolist()
    record = hand_made({"val_loss": val, "loss": TRAIN.tolist()}, steps=range(2, 3 * POINTS, 3))
    assert [f.symptom for f in found(DETECTOR, record)] == ["val-loss-rising"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (run(np.ones(4)), "4 evaluations of val_loss; 5 are needed"),
        (run(np.ones(50), None), "loss was not recorded"),
        (hand_made({"loss": [1.0] * 30}), "val_loss was not recorded"),
    ],
)
def test_it_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """Too few evaluations, or only one of the two losses."""
    assert why_not(DETECTOR, record) == reason
