"""An accuracy at chance beside a loss at ln K or above is found. A hard task is not."""

from math import log
from typing import Any

import numpy as np
import pytest

from probes.diagnosis.detectors.at_chance import DETECTOR
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.judging import found, why_not
from tests.records import LADDER, hand_made

POINTS = 20


def logged(accuracy: Any, loss: Any, name: str = "accuracy", **signals: Any) -> Record:
    """A log of an accuracy and a training loss, each a number or a list, with a little noise."""
    noise = np.random.default_rng(0).normal(0, 0.005, (2, POINTS))
    return hand_made(
        {
            "metric": {name: (np.broadcast_to(accuracy, POINTS) + noise[0]).tolist()},
            "loss": (np.broadcast_to(loss, POINTS) + noise[1]).tolist(),
            **signals,
        }
    )


@pytest.mark.parametrize("k", [2, 5, 10, 20])
def test_an_accuracy_at_chance_beside_a_loss_at_ln_k_is_a_plateau(k: int) -> None:
    """The loss may lie a few percent above ln K."""
    record = logged(1 / k, 1.05 * log(k))
    (finding,) = found(DETECTOR, record)
    assert (finding.site, finding.observed) == ("accuracy", pytest.approx(1 / k, abs=0.005))
    assert diagnose(record).cause == "plateau"


@pytest.mark.parametrize(
    ("accuracy", "loss"),
    [
        (0.2, 0.9 * log(5)),
        (0.2, 2 * log(5)),
        (0.3, log(5)),
        (np.linspace(0.15, 0.25, POINTS), log(5)),
        (0.9, 0.3),
    ],
    ids=[
        "knows something",
        "more classes than five",
        "better than chance",
        "improves",
        "converged",
    ],
)
def test_a_model_that_knows_something_is_not_at_chance(accuracy: Any, loss: Any) -> None:
    """Each of these misses one condition."""
    assert found(DETECTOR, logged(accuracy, loss)) == []


def test_a_loss_that_training_has_raised_may_lie_further_above_ln_k() -> None:
    """Updates that are too large keep it there."""
    raised = np.r_[log(8), np.full(POINTS - 1, 1.4 * log(8))]
    assert found(DETECTOR, logged(1 / 8, raised)) != []
    assert found(DETECTOR, logged(1 / 8, 1.4 * log(8))) == []


def test_an_accuracy_that_improves_at_each_evaluation_is_not_at_chance() -> None:
    """However slowly."""
    steps = [0.12, 0.123, 0.126, 0.129, 0.132, 0.135]
    record = hand_made({"metric": {"accuracy": steps}, "loss": [log(8)] * 6})
    assert found(DETECTOR, record) == []


def test_accuracies_that_are_constant_at_chance_need_no_loss_at_rest() -> None:
    """The model gives the same answer to all rows, of training and held out. Validation rows alone
    may be few."""
    loss = [0.9, 1.4, 0.7, 1.1, 0.8, 1.3]
    both = {"accuracy": [0.5] * 6, "val_accuracy": [0.5] * 6}
    record = hand_made({"metric": both, "loss": loss})
    assert [f.site for f in found(DETECTOR, record)] == ["val_accuracy"]
    for metric in ({"val_accuracy": [0.5] * 6}, {**both, "accuracy": [0.9] * 6}):
        assert found(DETECTOR, hand_made({"metric": metric, "loss": loss})) == []


def test_percentages_count_as_shares() -> None:
    """50 is 50 %."""
    assert found(DETECTOR, logged(50.0, log(2))) != []


def test_an_accuracy_on_held_out_rows_is_compared_with_the_loss_on_them() -> None:
    """The training loss has left ln 2, but the validation loss has not."""
    val = {"val_loss": [log(2)] * POINTS}
    (finding,) = found(DETECTOR, logged(0.5, 0.1, "val_accuracy", **val))
    assert finding.site == "val_accuracy"
    assert found(DETECTOR, logged(0.5, 0.1, **val)) == []


def test_it_cannot_judge_without_an_accuracy() -> None:
    """F1 has no level of chance."""
    assert why_not(DETECTOR, logged(0.5, log(2), "f1")) == "no accuracy was recorded"


def test_a_record_with_a_ladder_needs_no_accuracy() -> None:
    """The ladder gives the losses of models that know little."""
    assert found(DETECTOR, hand_made({"loss": [3.0] * 30}, ladder=LADDER)) == []


@pytest.mark.parametrize(
    ("end_of_training", "symptom", "title"),
    [
        (0.3, "held-out-at-chance", "overfit or shuffled-labels"),
        (0.67, "accuracy-at-chance", "plateau or shuffled-labels"),
    ],
)
def test_held_out_rows_at_chance_beside_training_rows_that_were_learned(
    end_of_training: float, symptom: str, title: str
) -> None:
    """Rows that are learned by heart are no plateau. The validation loss came down to ln 2 and
    rose a little."""
    val = [1.5, 0.81, 0.71, 0.70, 0.75, 0.73, 0.74]
    record = hand_made(
        {
            "loss": np.geomspace(1.4, end_of_training, 7).tolist(),
            "val_loss": val,
            "metric": {"val_accuracy": [0.5, 0.5, 0.51, 0.52, 0.5, 0.48, 0.5]},
        }
    )
    (finding,) = found(DETECTOR, record)
    assert finding.symptom == symptom
    diagnosis = diagnose(record)
    assert diagnosis.title == title
    learned = symptom == "held-out-at-chance"
    assert (finding.onset == 3) == learned
    assert ("learned by heart" in diagnosis.causes[0].meaning) == learned
