"""A loss that is the same from first to last is found. A loss that is rounded is not."""

import pytest

from probes.diagnosis.detectors.frozen import DETECTOR
from probes.diagnosis.diagnose import diagnose
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
