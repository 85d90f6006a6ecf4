"""A loss over a whole split below the floor of that split is found."""

from typing import Any

import pytest

from probes.diagnosis.detectors.floor import DETECTOR
from tests.judging import found, symptoms, why_not
from tests.records import LADDER, STEPS, hand_made, thorough

TRAIN_FLOOR, VAL_FLOOR = LADDER["train"]["floor"], LADDER["val"]["floor"]


def ending_at(value: float) -> list[float]:
    """A loss that falls to 1.6 and has the given value at the last evaluation."""
    return [*[4.6 - 3.0 * i / STEPS for i in range(STEPS - 1)], value]


@pytest.mark.parametrize(("split", "floor"), [("train", TRAIN_FLOOR), ("val", VAL_FLOOR)])
def test_it_fires_on_either_split_below_its_own_floor(split: str, floor: float) -> None:
    """The bound is exact, so 2e-5 below it is enough."""
    record = thorough(**{f"{split}_loss": ending_at(floor - 2e-5)})
    assert symptoms(DETECTOR, record) == [("loss-below-floor", f"{split}_loss", STEPS - 1)]


@pytest.mark.parametrize(("split", "floor"), [("train", TRAIN_FLOOR), ("val", VAL_FLOOR)])
def test_it_stays_quiet_at_the_floor(split: str, floor: float) -> None:
    """The best possible model ends there, within the rounding of float32."""
    assert found(DETECTOR, thorough(**{f"{split}_loss": ending_at(floor - 0.5e-5)})) == []


def test_it_stays_quiet_on_a_batch_loss_below_every_floor() -> None:
    """A batch is only a sample, so its loss may be below the floor without any fault."""
    assert found(DETECTOR, thorough(loss=ending_at(0.001))) == []


def test_it_holds_each_split_to_its_own_floor() -> None:
    """A loss of 0.17 is impossible on train and possible on val."""
    record = thorough(train_loss=ending_at(0.17), val_loss=ending_at(0.17))
    assert [f.site for f in found(DETECTOR, record)] == ["train_loss"]


def test_it_reports_again_each_time_the_loss_is_half_a_decade_lower() -> None:
    """The strength of the symptom grows, and no finding is withdrawn."""
    falling = [*[1.0] * 30, 0.19, 0.18, 0.17, 0.06, 0.05, 0.01, *[0.009] * 4]
    assert [(f.step, f.observed) for f in found(DETECTOR, thorough(train_loss=falling))] == [
        (30, 0.19),
        (33, 0.06),
        (35, 0.01),
    ]


@pytest.mark.parametrize(
    "ladder",
    [
        None,
        {},
        3,
        {"train": {"floor": None}},
        {"train": {"floor": "0.2"}},
        {"train": {"floor": 0.0}},
    ],
)
def test_it_cannot_judge_without_a_floor(ladder: Any) -> None:
    """The floor is missing or is not a positive number."""
    record = hand_made({"train_loss": ending_at(0.0), "val_loss": ending_at(0.0)}, ladder=ladder)
    assert (
        why_not(DETECTOR, record) == "no floor is stated for a split whose full loss was recorded"
    )


def test_it_cannot_judge_a_run_of_batch_losses_alone() -> None:
    """The floors are for losses over a whole split."""
    assert "no floor is stated" in why_not(DETECTOR, thorough(train_loss=None, val_loss=None))
