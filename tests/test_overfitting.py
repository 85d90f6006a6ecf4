"""A validation loss that turns up for good while the training loss goes on falling is found. A
validation loss that only seems to do so is not."""

from typing import Any

import numpy as np
import pytest

from probes.diagnosis.detectors.overfitting import DETECTOR, DETECTOR_OF_END
from probes.diagnosis.diagnose import diagnose
from probes.diagnosis.val_trend import stop_of
from probes.record import Record
from tests.judging import found, symptoms, why_not
from tests.records import LADDER, hand_made

POINTS = 200
TIME = np.arange(1, POINTS + 1)
TRAIN = 0.2 + 3.5 / TIME


def curve(turn: float, rise: float) -> np.ndarray:
    """A loss that falls, turns at a point, and ends a share above its minimum."""
    shape = np.log(turn / TIME) + TIME / turn
    shape -= shape.min()
    return 1 + rise * shape / shape[-1]


def run(
    val: np.ndarray, train: np.ndarray | None = TRAIN, noise: float = 0.01, **facts: Any
) -> Record:
    """A record of evaluations every third step, with noise on validation."""
    rng = np.random.default_rng(0)
    signals: dict[str, Any] = {"val_loss": (val * (1 + rng.normal(0, noise, len(val)))).tolist()}
    if train is not None:
        signals["train_loss"] = train[: len(val)].tolist()
    return hand_made(signals, steps=range(2, 3 * len(val), 3), **facts)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_it_fires_once_the_trend_has_risen(scale: float) -> None:
    """It fires in any unit, after the turn and before the end."""
    ((symptom, _, step),) = symptoms(DETECTOR, run(scale * curve(70, 0.15), scale * TRAIN))
    assert (symptom, 3 * 70 < step < 3 * POINTS) == ("val-loss-rising", True)


def test_it_names_the_step_to_have_stopped_at() -> None:
    """The step is judged from the evaluations up to the finding."""
    record = run(curve(70, 0.15))
    (finding,) = found(DETECTOR, record)
    steps, val = record.prefix(finding.step).series("val_loss")
    assert finding.onset == stop_of(steps, val).step
    assert finding.onset == pytest.approx(3 * 70, abs=60)


def test_the_remedy_names_the_step_to_have_stopped_at() -> None:
    """A reader can act on a remedy that names the step."""
    diagnosis = diagnose(run(curve(70, 0.15)))
    assert (
        diagnosis.cause,
        f"stop at step {diagnosis.findings[0].onset}," in diagnosis.remedy,
    ) == ("overfit", True)


@pytest.mark.parametrize(("rise", "fires"), [(0.0, False), (0.025, False), (0.035, True)])
def test_it_needs_a_rise_of_three_percent(rise: float, fires: bool) -> None:
    """A curve that is flat after convergence, or ends slightly above its minimum, is no fault,
    however certain the rise is."""
    assert bool(found(DETECTOR, run(curve(70, rise), noise=0.001))) is fires


def test_it_stays_quiet_on_a_loss_that_only_falls() -> None:
    """It stays quiet however wide the gap to the training loss is."""
    assert found(DETECTOR, run(2 + 3 / TIME)) == []


def test_it_stays_quiet_when_the_training_loss_rises_as_well() -> None:
    """Such a run diverges; it does not learn rows by heart."""
    assert found(DETECTOR, run(curve(70, 0.15), curve(70, 0.15))) == []


def test_it_rarely_fires_on_level_curves() -> None:
    """The noise is as measured at peak learning rates: 4 %, with a correlation of neighbours of
    0.6. At most one of fifty curves fires, although each is judged again and again as it
    grows."""
    rng, misled = np.random.default_rng(0), 0
    for _ in range(50):
        wander = np.zeros(POINTS)
        for i in range(1, POINTS):
            wander[i] = 0.62 * wander[i - 1] + rng.normal(0, 0.04 * np.sqrt(1 - 0.62**2))
        misled += len(found(DETECTOR, run(1 + 2 / TIME + wander, noise=0.0)))
    assert misled <= 1


def test_it_stays_quiet_below_the_floor() -> None:
    """A loss below its floor is the sign of a leak."""
    assert found(DETECTOR, run(0.1 * curve(70, 0.5), ladder=LADDER)) == []
    assert found(DETECTOR, run(0.1 * curve(70, 0.5))) != []


def test_it_uses_the_batch_loss_where_the_split_was_not_evaluated() -> None:
    """Most logs hold no training loss over the whole split."""
    val = curve(70, 0.15).tolist()
    record = hand_made({"val_loss": val, "loss": TRAIN.tolist()}, steps=range(2, 3 * POINTS, 3))
    assert [f.symptom for f in found(DETECTOR, record)] == ["val-loss-rising"]


FEW = [2.0, 1.4, 1.1, 1.0, 1.05, 1.15, 1.3, 1.5, 1.7, 1.9]


def few(val: list[float], train: Any = lambda step: 2 * 0.995**step) -> Record:
    """A record with an evaluation every hundredth step and a training loss at every step."""
    signals = {
        "loss": [train(step) for step in range(100 * len(val))],
        "val_loss": [None] * (100 * len(val)),
    }
    signals["val_loss"][99::100] = val
    return hand_made(signals)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_large_rise_shows_in_few_evaluations(scale: float) -> None:
    """It fires when the last quarter lies a fifth above the lowest evaluation. The onset is the
    step of that evaluation, at which the run should have stopped."""
    record = few([scale * loss for loss in FEW], lambda step: scale * 2 * 0.995**step)
    ((symptom, _, step),) = symptoms(DETECTOR_OF_END, record)
    assert (symptom, step, found(DETECTOR_OF_END, record)[0].onset) == (
        "val-loss-rising",
        999,
        399,
    )


@pytest.mark.parametrize("later", [[0.9, 0.8, 0.7], [1.0] * 40], ids=["few", "a trend"])
def test_it_stays_quiet_on_a_rise_that_more_evaluations_take_back(later: list[float]) -> None:
    """A run whose learning rate was high for a while returns to its lowest loss and falls below
    it."""
    assert diagnose(few(FEW)).cause == "overfit"
    record = few(FEW + later)
    assert found(DETECTOR_OF_END, record) == found(DETECTOR, record) == []


def test_few_evaluations_may_vary_while_they_rise() -> None:
    """The rise of the lowest of the last evaluations is within their noise, but the rise of their
    median is not."""
    rising = [1.0, 0.8, 0.7, 0.5, 0.62, 0.7, 0.74, 0.82, 0.86, 0.88]
    (finding,) = found(DETECTOR_OF_END, few([*rising, 0.7, 1.0, 0.95, 1.1]))
    assert (finding.onset, finding.observed) == (399, pytest.approx(0.7 / 0.5))


def test_the_end_is_not_reported_beside_a_trend() -> None:
    """One finding per fault: the trend already says that validation loss rose."""
    record = run(curve(70, 0.6))
    assert len(found(DETECTOR, record)) == 1
    assert found(DETECTOR_OF_END, record) == []


def test_a_step_up_that_no_trend_fits_is_found_at_the_end() -> None:
    """However many evaluations there are, and although the training loss rests."""
    val = [2.0, 1.4, 1.1, *[1.0] * 30, *[1.5] * 15]
    record = few(val, lambda step: 2.0)
    assert found(DETECTOR, record) == []
    assert [f.onset for f in found(DETECTOR_OF_END, record)] == [399]


def test_a_run_that_goes_on_is_not_judged_by_few_evaluations() -> None:
    """Its end is not known yet."""
    assert diagnose(few(FEW), ended=False).findings == ()


@pytest.mark.parametrize("later", [1.6, 0.5])
def test_the_training_loss_around_the_lowest_excludes_its_steep_start(later: float) -> None:
    """A run whose rate was too high diverged after the second of eight evaluations. Its training
    loss ends below its start but above its level at the lowest validation loss. A training loss
    that ends below that level too counts as overfitting."""
    val = [1.2, 1.0, 2.0, 2.6, 2.6, 2.6, 2.6, 2.6]

    def train(step: int) -> float:
        return 30.0 * 0.97**step + 1.0 if step < 230 else later

    assert bool(found(DETECTOR_OF_END, few(val, train))) is (later < 1.0)


@pytest.mark.parametrize(
    "val",
    [
        [2.0, 1.4, 1.1, 1.0, 1.08, 1.04, 1.12, 1.15, 1.18, 1.19],
        [2.0, 1.4, 1.1, 1.0, 1.01, 1.02, 1.05, 1.07, 1.08, 1.09],
        [2.0, 1.4, 1.1, 1.0, 1.0, 1.0, 1.0, 1.9],
        [2.0, 1.4, 1.1, 1.0, 1.5, 1.0, 1.0, 0.95],
        [1.0, 1.3, 1.0, 1.3, 1.0, 1.3, 1.3],
        [2.0, 1.5, 1.2, 1.1, 1.05, 1.02, 1.0, 1.0],
        [loss - 1.0 for loss in FEW],
        [loss - 3.0 for loss in FEW],
    ],
    ids=[
        "19 %",
        "9 % in six rises",
        "a jump at the last",
        "a bump",
        "waves as high",
        "falls",
        "lowest is 0",
        "below 0",
    ],
)
def test_few_evaluations_need_a_large_rise_that_lasts(val: list[float]) -> None:
    """The losses must also be above 0, since only such losses have a relative rise."""
    assert found(DETECTOR_OF_END, few(val)) == []


def test_six_rises_in_a_row_need_no_fifth() -> None:
    """The last of ten evaluations is 15 % above the lowest, and each since then is above the one
    before."""
    val = [2.0, 1.4, 1.1, 1.0, 1.02, 1.04, 1.06, 1.09, 1.12, 1.15]
    (finding,) = found(DETECTOR_OF_END, few(val))
    assert (finding.onset, finding.observed, finding.limit) == (399, pytest.approx(1.15), 1.1)


@pytest.mark.parametrize(
    ("val", "expected"),
    [([0.35, 0.30, 0.33, 0.41], [1.3]), ([0.35, 0.30, 0.33, 0.38], []), ([0.35, 0.30, 0.41], [])],
    ids=["37 %", "27 %", "one rise"],
)
def test_two_rises_need_a_third(val: list[float], expected: list[float]) -> None:
    """Fine-tuning of four epochs, of which the second is the best."""
    assert [f.limit for f in found(DETECTOR_OF_END, few(val))] == expected


@pytest.mark.parametrize(
    ("train", "cause"),
    [
        (lambda step: 2.0, "overfit"),
        (lambda step: 2 * 0.999**step, "overfit"),
        (lambda step: 1 + step / 1000, "diverged"),
    ],
    ids=["level", "falls", "rises"],
)
def test_the_training_loss_tells_overfitting_from_divergence(train: Any, cause: str) -> None:
    """Something is wrong in each case, because the validation loss ends far above its lowest."""
    assert diagnose(few(FEW, train)).cause == cause


def test_a_training_loss_that_rises_by_less_than_its_noise_has_not_risen() -> None:
    """The mean is higher by more than 5 % in both runs."""
    noise = np.random.default_rng(0).exponential(1, 1000).tolist()
    noisy = few(FEW, lambda step: (1 + step / 2500) * noise[step])
    calm = few(FEW, lambda step: (1 + step / 2500) * (1 + noise[step] / 20))
    assert found(DETECTOR_OF_END, noisy) != []
    assert found(DETECTOR_OF_END, calm) == []


def test_a_metric_that_is_best_later_changes_the_advice() -> None:
    """The loss is lowest at the fourth evaluation, the accuracy is best at the ninth. A second
    metric that is best early leaves the usual advice."""

    def judged(accuracy: list[float], **others: list[float]) -> Any:
        train = [3 * 0.8**i for i in range(10)]
        metrics = {"val_accuracy": accuracy, **others}
        signals = {"loss": train, "val_loss": FEW, "metric": metrics}
        return diagnose(hand_made(signals)).causes[0]

    improves = judged([0.3, 0.4, 0.5, 0.55, 0.6, 0.63, 0.66, 0.68, 0.7, 0.69])
    assert improves.name == "overfit"
    assert "val_accuracy is best later, at step 8" in improves.meaning
    assert "step 3 by loss, step 8 by val_accuracy" in improves.remedy
    falls = judged([0.3, 0.4, 0.5, 0.7, 0.69, 0.68, 0.66, 0.66, 0.65, 0.64])
    assert falls.remedy.startswith("stop at step 3,")
    rising = [0.3, 0.4, 0.5, 0.55, 0.6, 0.63, 0.66, 0.68, 0.7, 0.69]
    split = judged(rising, val_f1=[0.7, 0.69, 0.68, 0.66, 0.65, 0.64, 0.62, 0.6, 0.58, 0.56])
    assert split.remedy.startswith("stop at step 3,")


def test_a_log_of_validation_loss_alone_is_judged_by_it() -> None:
    """Without a training loss, the run may have diverged as well."""
    diagnosis = diagnose(hand_made({"val_loss": FEW}))
    assert diagnosis.title == "overfit or diverged"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (run(np.ones(2)), "2 evaluations of val_loss; 3 are needed"),
        (hand_made({"loss": [1.0] * 30}), "val_loss was not recorded"),
    ],
)
def test_it_says_why_it_cannot_judge(record: Record, reason: str) -> None:
    """There are too few evaluations, or none."""
    assert why_not(DETECTOR, record) == why_not(DETECTOR_OF_END, record) == reason


def test_a_trend_cannot_be_judged_without_a_training_loss() -> None:
    """The end of the validation loss can."""
    record = run(np.ones(50), None)
    assert why_not(DETECTOR, record) == "loss was not recorded"
    assert found(DETECTOR_OF_END, record) == []


def test_a_jump_of_validation_loss_is_not_its_own_noise() -> None:
    """The noise is the smaller of two estimates, since a jump raises that from second
    differences."""
    val = [5.99, 12.41, 11.67, 9.24, 8.94, 8.92, 8.83, 8.75, 11.79]
    (finding,) = found(DETECTOR_OF_END, hand_made({"val_loss": val}))
    assert (finding.onset, finding.observed) == (0, pytest.approx(8.75 / 5.99))


@pytest.mark.parametrize(
    ("train", "cause"),
    [([0.12, 1.07, 0.66, 0.002], "overfit"), ([0.12, 0.3, 0.66, 0.9], "diverged")],
    ids=["ends lowest", "rises"],
)
def test_few_points_of_training_have_risen_only_if_all_are_higher(
    train: list[float], cause: str
) -> None:
    """Their noise is not known, and single batches differ."""
    record = hand_made({"loss": train, "val_loss": [0.68, 0.69, 0.93, 1.02]})
    assert diagnose(record).cause == cause
