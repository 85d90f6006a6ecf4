"""A loss that is the same from first to last is found. A loss that is rounded is not."""

import pytest

from probes.diagnosis.detectors.frozen import DETECTOR
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.judging import found, why_not
from tests.records import hand_made

LEVEL = 10.397207708400


def test_a_loss_that_is_equal_at_ten_points_is_a_plateau() -> None:
    """The lowest digit may change, since a sum depends on the order of its terms."""
    losses = [LEVEL, LEVEL + 1e-12] * 5
    assert [f.site for f in found(DETECTOR, hand_made({"loss": losses}))] == ["loss"]
    assert diagnose(hand_made({"loss": losses, "lr": [0.1] * 10})).title == "plateau"


@pytest.mark.parametrize(
    "losses",
    [[LEVEL] * 9 + [LEVEL + 1e-6], [0.0] * 10, [2.303] * 19],
    ids=["one point differs", "zero", "few digits"],
)
def test_it_stays_quiet_where_equal_values_have_another_reason(losses: list[float]) -> None:
    """A loss of 0 is another fault, and a log of few digits rounds."""
    assert found(DETECTOR, hand_made({"loss": losses})) == []


def test_three_digits_are_enough_at_twenty_points() -> None:
    """Batches differ by more than one in a thousand."""
    assert found(DETECTOR, hand_made({"loss": [2.303] * 20})) != []
    assert found(DETECTOR, hand_made({"loss": [2.3] * 20})) == []


def test_five_equal_evaluations_beside_a_loss_that_changes_are_enough() -> None:
    """The model that is evaluated is not the one that is trained."""
    falling = [3.0, 2.5, 2.2, 2.0, 1.9]
    record = hand_made({"loss": falling, "val_loss": [LEVEL] * 5})
    assert [f.site for f in found(DETECTOR, record)] == ["val_loss"]
    record = hand_made({"loss": falling, "val_loss": [LEVEL] * 4 + [LEVEL - 0.001]})
    assert found(DETECTOR, record) == []


def test_it_cannot_judge_a_few_points() -> None:
    """The reason says how many are needed."""
    assert why_not(DETECTOR, hand_made({"loss": [LEVEL] * 9})) == (
        "9 points of loss and 0 evaluations; 10 points or 5 evaluations are needed"
    )


def with_accuracy(loss: list[float], accuracy: list[float], name: str = "accuracy") -> Record:
    """A log of a loss and an accuracy, on held-out rows if the name says so."""
    signal = "val_loss" if name.startswith("val") else "loss"
    return hand_made({signal: loss, "metric": {name: accuracy}})


@pytest.mark.parametrize("name", ["accuracy", "val_accuracy"])
def test_a_loss_and_an_accuracy_that_are_equal_after_the_first_point(name: str) -> None:
    """Eight digits together show that nothing moves. The first epoch still moved."""
    record = with_accuracy([1.9112] + [1.9105] * 5, [0.5325] + [0.5378] * 5, name)
    (finding,) = found(DETECTOR, record)
    assert (finding.site, finding.onset) == ("loss" if name == "accuracy" else "val_loss", 1)
    assert diagnose(record).cause == "plateau"


@pytest.mark.parametrize(
    ("loss", "accuracy"),
    [
        ([0.0012] * 6, [0.9987] * 6),
        ([0.1234] * 6, [1.0] * 6),
        ([1.9105] * 6, [0.5378] * 5 + [0.5379]),
        ([1.9105] * 5 + [1.9106], [0.5378] * 6),
        ([1.9105] * 5, [0.5378] * 5),
    ],
    ids=["few digits", "no errors", "accuracy moves", "loss moves", "few points"],
)
def test_it_stays_quiet_where_either_moves_or_was_rounded(
    loss: list[float], accuracy: list[float]
) -> None:
    """A converged model has a loss of few digits, or an accuracy of 1."""
    assert found(DETECTOR, with_accuracy(loss, accuracy, "val_accuracy")) == []
