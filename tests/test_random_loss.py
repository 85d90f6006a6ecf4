"""A loss that differs between two passes of the same batch is found unless noise is declared."""

from typing import Any

import numpy as np
import pytest

from probes.diagnosis.detectors.random_loss import DETECTOR
from tests.judging import found, symptoms, why_not
from tests.records import STEPS, hand_made, thorough


def errors(training: float, evaluation: float) -> dict[str, list[float]]:
    """Measured at the first step and in the middle, where the errors are the given ones."""
    gap = [np.nan] * (STEPS // 2 - 1)
    rest = [np.nan] * (STEPS - STEPS // 2 - 1)
    return {
        "training": [0.0, *gap, training, *rest],
        "evaluation": [0.0, *gap, evaluation, *rest],
    }


@pytest.mark.parametrize(
    ("measured", "sites"),
    [((2e-5, 0.0), ["training"]), ((0.0, 2e-5), ["evaluation"]), ((9e-6, 9e-6), [])],
)
def test_it_fires_above_what_the_order_of_sums_explains(measured: Any, sites: list[str]) -> None:
    """Training and evaluation are judged apart."""
    record = thorough(loss_repeat_error=errors(*measured))
    assert symptoms(DETECTOR, record) == [
        ("loss-not-repeatable", site, STEPS // 2) for site in sites
    ]


@pytest.mark.parametrize(
    ("dropout", "sites"), [(0.1, ["evaluation"]), (0.0, ["training", "evaluation"])]
)
def test_declared_dropout_may_change_the_training_loss_only(
    dropout: float, sites: list[str]
) -> None:
    """An evaluation has no dropout."""
    record = hand_made({"loss_repeat_error": errors(0.1, 0.1)}, dropout=dropout)
    assert [finding.site for finding in found(DETECTOR, record)] == sites


def test_it_says_why_it_cannot_judge() -> None:
    """A log has no proofs."""
    assert why_not(DETECTOR, hand_made({"loss": [1.0]})) == "loss_repeat_error was not recorded"
