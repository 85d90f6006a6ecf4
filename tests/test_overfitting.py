"""A validation loss that turns for good beside a training loss that goes on falling, and what only
looks like it."""

from typing import Any

import numpy as np
import pytest

from probes.diagnosis.detectors.overfitting import DETECTOR, OF_FEW
from probes.diagnosis.diagnose import diagnose
from probes.diagnosis.val_trend import stop_of
from probes.record import Record
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


def run(
    val: np.ndarray, train: np.ndarray | None = TRAIN, noise: float = 0.01, **facts: Any
) -> Record:
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
    assert (
        diagnosis.cause,
        f"stop at step {diagnosis.findings[0].onset}," in diagnosis.remedy,
    ) == ("overfit", True)


@pytest.mark.parametrize(("rise", "fires"), [(0.0, False), (0.025, False), (0.035, True)])
def test_it_takes_a_rise_of_three_percent(rise: float, fires: bool) -> None:
    """Flat after convergence, and a little above the minimum: neither is a fault, however sure it
    is."""
    assert bool(found(DETECTOR, run(curve(70, rise), noise=0.001))) is fires


def test_it_stays_quiet_on_a_loss_that_only_falls() -> None:
    """However wide the gap to train."""
    assert found(DETECTOR, run(2 + 3 / TIME)) == []


def test_it_stays_quiet_when_the_training_loss_rises_as_well() -> None:
    """That is a run that comes apart, not one that learns by heart."""
    assert found(DETECTOR, run(curve(70, 0.15), curve(70, 0.15))) == []


def test_it_is_rarely_misled_by_wandering_that_comes_back() -> None:
    """Level curves with noise as measured at peak learning rates, 4 % and neighbours correlated by
    0.6: at most two of a hundred, each asked over and over while it grew."""
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


FEW = [2.0, 1.4, 1.1, 1.0, 1.05, 1.15, 1.3, 1.5, 1.7, 1.9]


def few(val: list[float], train: Any = lambda step: 2 * 0.995**step) -> Record:
    """An evaluation every hundredth step, and a training loss at every step."""
    signals = {
        "loss": [train(step) for step in range(100 * len(val))],
        "val_loss": [None] * (100 * len(val)),
    }
    signals["val_loss"][99::100] = val
    return hand_made(signals)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_few_evaluations_will_do_where_the_rise_is_large(scale: float) -> None:
    """When the last quarter of them lies a fifth above the lowest, which is the one to have stopped
    at."""
    record = few([scale * loss for loss in FEW], lambda step: scale * 2 * 0.995**step)
    ((symptom, _, step),) = symptoms(OF_FEW, record)
    assert (symptom, step, found(OF_FEW, record)[0].onset) == ("val-loss-rising", 999, 399)


@pytest.mark.parametrize("later", [[0.9, 0.8, 0.7], [1.0] * 40], ids=["few", "a trend"])
def test_a_rise_that_few_evaluations_showed_and_more_took_back_is_none(later: list[float]) -> None:
    """A run whose learning rate was high for a while comes back to its lowest, and below."""
    assert diagnose(few(FEW)).cause == "overfit"
    record = few(FEW + later)
    assert found(OF_FEW, record) == found(DETECTOR, record) == []


def test_evaluations_that_waver_while_they_rise_will_do() -> None:
    """Of the last ones the lowest is within their noise, and not their median."""
    rising = [1.0, 0.8, 0.7, 0.5, 0.62, 0.7, 0.74, 0.82, 0.86, 0.88]
    (finding,) = found(OF_FEW, few([*rising, 0.7, 1.0, 0.95, 1.1]))
    assert (finding.onset, finding.observed) == (399, pytest.approx(0.7 / 0.5))


def test_forty_evaluations_are_not_few() -> None:
    """Their trend tells."""
    val = [2.0, 1.4, 1.1, *[1.0] * 26, *[1.5] * 10]
    assert found(OF_FEW, few(val)) != []
    assert found(OF_FEW, few([*val, 1.5])) == []


def test_a_run_that_goes_on_is_not_judged_by_few() -> None:
    """How it ends is not known yet."""
    assert diagnose(few(FEW), ended=False).findings == ()


@pytest.mark.parametrize("later", [1.6, 0.5])
def test_what_the_training_loss_was_at_the_lowest_is_not_its_steep_start(later: float) -> None:
    """A run whose rate was too high came apart after the second of eight evaluations: its training
    loss ends below where it began, and above what it was at the lowest. One that ends below that as
    well learned by heart."""
    val = [1.2, 1.0, 2.0, 2.6, 2.6, 2.6, 2.6, 2.6]

    def train(step: int) -> float:
        return 30.0 * 0.97**step + 1.0 if step < 230 else later

    assert bool(found(OF_FEW, few(val, train))) is (later < 1.0)


@pytest.mark.parametrize(
    "val",
    [
        [2.0, 1.4, 1.1, 1.0, 1.04, 1.08, 1.12, 1.15, 1.18, 1.19],
        [2.0, 1.4, 1.1, 1.0, 1.0, 1.0, 1.0, 1.9],
        [2.0, 1.4, 1.1, 1.0, 1.5, 1.0, 1.0, 0.95],
        [1.0, 1.3, 1.0, 1.3, 1.0, 1.3, 1.3],
        [2.0, 1.5, 1.2, 1.1, 1.05, 1.02, 1.0, 1.0],
        [loss - 1.0 for loss in FEW],
        [loss - 3.0 for loss in FEW],
    ],
    ids=[
        "19 %",
        "a jump at the last",
        "a bump",
        "waves as high",
        "falls",
        "lowest is 0",
        "below 0",
    ],
)
def test_of_few_evaluations_only_a_large_rise_that_lasts_counts(val: list[float]) -> None:
    """And only of a loss above 0, which alone has a relative rise."""
    assert found(OF_FEW, few(val)) == []


@pytest.mark.parametrize(
    "train",
    [lambda step: 2.0, lambda step: 2 * 0.9999**step, lambda step: 1 + step / 1000],
    ids=["level", "falls by less than a twentieth", "rises"],
)
def test_of_few_evaluations_the_training_loss_must_fall_clearly(train: Any) -> None:
    """A rise beside a training loss that rests is no learning by heart."""
    assert found(OF_FEW, few(FEW, train)) == []


def test_a_training_loss_that_falls_by_less_than_its_noise_has_not_fallen() -> None:
    """Though its mean is lower by more than a twentieth."""
    noise = np.random.default_rng(0).exponential(1, 1000).tolist()
    assert found(OF_FEW, few(FEW, lambda step: (2 - step / 2500) * noise[step])) == []
    assert found(OF_FEW, few(FEW, lambda step: (2 - step / 2500) * (1 + noise[step] / 20))) != []


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
    assert why_not(DETECTOR, record) == why_not(OF_FEW, record) == reason
