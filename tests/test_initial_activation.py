"""A layer whose output starts at more than ten times unit scale is found."""

from math import inf

import pytest

from probes.diagnosis.detectors.initial_activation import DETECTOR
from tests.judging import found, symptoms, why_not
from tests.records import STEPS, thorough


@pytest.mark.parametrize("scale", [10.1, 13_000.0, inf])
def test_it_fires_above_ten_and_names_the_largest_layer(scale: float) -> None:
    """The finding is at step 0."""
    record = thorough(
        activation={
            "embed": [0.1] * STEPS,
            "blocks.0": [10.05] * STEPS,
            "blocks.1": [scale] * STEPS,
        }
    )
    assert symptoms(DETECTOR, record) == [("initial-activation-large", "blocks.1", 0)]


def test_it_stays_quiet_just_below_the_limit_and_at_later_steps() -> None:
    """Activations may grow during training."""
    assert found(DETECTOR, thorough(activation={"blocks.0": [9.9, *[500.0] * (STEPS - 1)]})) == []


def test_it_cannot_judge_what_was_not_recorded() -> None:
    """No activation was recorded, or none at step 0."""
    assert why_not(DETECTOR, thorough(activation=None)) == "activation was not recorded"
    late = {"blocks.0": [None, *[1.0] * (STEPS - 1)]}
    assert (
        why_not(DETECTOR, thorough(activation=late))
        == "activation was first measured at step 1, not at step 0"
    )
