"""Layers with more than half of their neurons silent are found."""

from probes.diagnosis.detectors.dead_neurons import DETECTOR
from tests.judging import found, symptoms, why_not
from tests.records import STEPS, hand_made, thorough


def from_step(begin: int, before: float, after: float) -> list[float]:
    """A series that jumps from one value to another at a step."""
    return [before] * begin + [after] * (STEPS - begin)


def test_it_fires_once_for_each_layer_with_more_than_half_silent() -> None:
    """Each finding is at the first evaluation that shows it."""
    fractions = {"a": from_step(7, 0.5, 0.51), "b": from_step(9, 0.0, 1.0), "c": [0.5] * STEPS}
    assert symptoms(DETECTOR, thorough(dead_fraction=fractions)) == [
        ("dead-neurons", "a", 7),
        ("dead-neurons", "b", 9),
    ]


def test_it_stays_quiet_at_half() -> None:
    """A share equal to the limit is allowed."""
    assert found(DETECTOR, thorough(dead_fraction={"a": [0.5] * STEPS})) == []


def test_it_cannot_judge_what_was_not_recorded() -> None:
    """There is no other sign of silent neurons."""
    assert why_not(DETECTOR, hand_made({})) == "dead_fraction was not recorded"
