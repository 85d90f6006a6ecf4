"""Batch losses and training-split losses that are not the same function are found. A log that does
not exclude dropout is not judged."""

from __future__ import annotations

import numpy as np
import pytest

from probes.diagnosis.detectors.train_eval import DETECTOR
from probes.diagnosis.diagnose import diagnose
from probes.record import Record
from tests.judging import found, why_not
from tests.records import hand_made

ROWS = 60
SPLIT = np.geomspace(4, 1, ROWS)
NOISE = np.exp(0.05 * np.random.default_rng(0).standard_normal(ROWS))


def run(factor: float, every: int = 3, **facts: object) -> Record:
    """A run whose batch loss is `factor` times the loss of the split at the same weights."""
    batch = factor * np.r_[SPLIT[0], SPLIT[:-1]] * NOISE
    split = [float(SPLIT[i]) if (i + 1) % every == 0 else None for i in range(ROWS)]
    return hand_made({"loss": batch.tolist(), "train_loss": split}, **facts)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_it_fires_if_one_of_the_losses_is_higher_throughout(factor: float) -> None:
    record = run(factor, dropout=0.0)
    (finding,) = found(DETECTOR, record)
    assert finding.observed == pytest.approx(1.25, rel=0.03)
    assert diagnose(record).cause == "train-eval-mismatch"


@pytest.mark.parametrize("factor", [0.95, 1.0, 1.06])
def test_it_stays_quiet_on_the_bias_of_rows_not_seen_in_this_epoch(factor: float) -> None:
    """Healthy runs have a mean of up to 0.06."""
    assert found(DETECTOR, run(factor, dropout=0.0)) == []


def test_it_cannot_judge_a_log_that_does_not_exclude_dropout() -> None:
    """Dropout raises the loss of a batch in a sound run."""
    assert why_not(DETECTOR, run(1.25)) == "the record does not state dropout"
    assert "dropout raises" in why_not(DETECTOR, run(1.25, dropout=0.1))


def test_it_cannot_judge_few_evaluations() -> None:
    assert "8 are needed" in why_not(DETECTOR, run(1.25, every=10, dropout=0.0))
