"""A first update that changes a layer's output by more than twice itself is found."""

from typing import Any

import pytest

from probes.diagnosis.detectors.first_update import DETECTOR
from tests.judging import found, symptoms, why_not
from tests.records import STEPS, hand_made, sound, thorough

FALLING = sound()["lr"]
RISING = [0.001 * (i + 1) for i in range(STEPS)]


def first_ratio(up: float, down: float = 0.01) -> dict[str, list[float]]:
    """Update/weight ratios of `up` (fan-in 64) and `down` (fan-in 256) with the given first
    values."""
    return {"up": [up, *[0.5] * (STEPS - 1)], "down": [down, *[0.5] * (STEPS - 1)]}


@pytest.mark.parametrize(
    ("ratios", "site"),
    [(first_ratio(up=2.01 / 8), "up"), (first_ratio(up=0.1, down=2.01 / 16), "down")],
)
def test_it_fires_where_the_first_update_changes_an_output_by_more_than_twice_itself(
    ratios: Any, site: str
) -> None:
    """The change is the ratio times the root of the fan-in. The matrix with the largest change is
    named."""
    record = thorough(update_weight_ratio=ratios, lr=RISING)
    assert symptoms(DETECTOR, record) == [("first-update-large", site, 0)]


def test_it_stays_quiet_just_below_the_limit_and_at_later_updates() -> None:
    """Only the first update can overwrite the initialisation."""
    assert (
        found(DETECTOR, thorough(update_weight_ratio=first_ratio(up=1.99 / 8, down=1.99 / 16)))
        == []
    )


def test_a_rate_that_starts_at_its_peak_is_reported_beside_a_large_update() -> None:
    """The finding is at the second step, at which a warmup would have raised the rate."""
    record = thorough(update_weight_ratio=first_ratio(up=0.4), lr=FALLING)
    assert symptoms(DETECTOR, record) == [
        ("first-update-large", "up", 0),
        ("lr-starts-at-peak", "", 1),
    ]


def test_a_rate_that_starts_at_its_peak_alone_is_not_reported() -> None:
    """A run without warmup at a modest rate is legitimate."""
    assert found(DETECTOR, thorough(update_weight_ratio=first_ratio(up=0.2), lr=FALLING)) == []


@pytest.mark.parametrize("lr", [RISING, None, [0.01, None, *[0.02] * 38], [0.0] * STEPS])
def test_a_rate_that_rises_or_is_not_known_is_not_reported(lr: Any) -> None:
    """The rate was not recorded, is 0, or is higher at the next point."""
    record = thorough(update_weight_ratio=first_ratio(up=0.4), lr=lr)
    assert [symptom for symptom, _, _ in symptoms(DETECTOR, record)] == ["first-update-large"]


def test_a_fan_in_too_large_for_a_float_does_not_count() -> None:
    """A record may state any integer."""
    ratios = first_ratio(up=0.4, down=2.01 / 16)
    record = hand_made({"update_weight_ratio": ratios}, fan_in={"up": 10**400, "down": 256})
    assert symptoms(DETECTOR, record) == [("first-update-large", "down", 0)]


@pytest.mark.parametrize(
    ("fan_in", "reason"),
    [
        (None, "the record does not state fan_in"),
        (64, "the record states fan_in as 64, which is not an object"),
        (
            {"other": 64},
            "update_weight_ratio was not recorded for any matrix whose fan_in is stated",
        ),
        (
            {"up": 0, "down": "256"},
            "update_weight_ratio was not recorded for any matrix whose fan_in is stated",
        ),
    ],
)
def test_it_cannot_judge_without_the_fan_in_of_some_matrix(fan_in: Any, reason: str) -> None:
    """The fan-in is missing, unusable, or stated for other matrices."""
    assert (
        why_not(DETECTOR, hand_made({"update_weight_ratio": first_ratio(up=0.4)}, fan_in=fan_in))
        == reason
    )


def test_it_cannot_judge_a_run_whose_first_update_was_not_seen() -> None:
    """The first row of a resumed run is not its first step."""
    ratios = {"up": [0.4, 0.4]}
    record = hand_made({"update_weight_ratio": ratios}, steps=[50, 51], fan_in={"up": 64})
    assert (
        why_not(DETECTOR, record)
        == "update_weight_ratio was first measured at step 50, not at step 0"
    )
