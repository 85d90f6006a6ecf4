"""Finds a batch loss and a loss over the training split that are not the same function.

Both are losses of the same model: an evaluation after a step and the next step's batch use the same
weights. Batches are samples of the split, so the logarithm of the ratio of the two losses is near 0
on average. It is a little above 0, because the model has not trained on the rows of a batch earlier
in the epoch. Dropout also raises the loss of a batch, so a record is judged only if it states that
there is no dropout."""

from __future__ import annotations

from math import exp

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MIN_PAIRS = 8
"""Minimum number of evaluations that are followed by a batch."""
MAX_LOG_RATIO = 0.10
SOURCE = "same weights and same function; healthy runs have a mean of 0.01 to 0.06"
MISMATCH = Symptom(
    name="train-eval-mismatch",
    quantity="batch loss over training-split loss, as a factor above 1",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=exp(MAX_LOG_RATIO),
    criterion=(
        f"the mean, over at least {MIN_PAIRS} evaluations, of ln(loss of the next batch / loss of "
        f"the training split) is beyond {MAX_LOG_RATIO:g}, in a run without dropout"
    ),
    source=SOURCE,
    sentence={
        "en": (
            "The loss of a batch and the loss of the training split at the same weights differ by "
            "a factor of {observed} on average. Up to {limit} is usual."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    if evidence.number("dropout") != 0:
        raise CannotJudgeError("dropout raises the loss of a batch above that of an evaluation")
    mean = evidence.cached(mean_log_ratio)
    if abs(mean) <= MAX_LOG_RATIO:
        return []
    return [MISMATCH.found(evidence.last_step, exp(abs(mean)))]


def mean_log_ratio(evidence: Evidence) -> float:
    """Mean over evaluations of ln(loss of the next step / train_loss).

    Raises CannotJudgeError if fewer than MIN_PAIRS evaluations are followed by a step."""
    steps, losses = evidence.series("loss")
    evaluated, train = evidence.series("train_loss")
    _, next_step, at = np.intersect1d(steps, evaluated + 1, return_indices=True)
    batch, split = losses[next_step], train[at]
    is_positive = np.isfinite(batch) & np.isfinite(split) & (batch > 0) & (split > 0)
    if is_positive.sum() < MIN_PAIRS:
        raise CannotJudgeError(
            f"{is_positive.sum()} evaluations are followed by the loss of the next step; "
            f"{MIN_PAIRS} are needed"
        )
    return float(np.log(batch[is_positive] / split[is_positive]).mean())


DETECTOR = Detector("train-eval", judge, (MISMATCH,), at_end=True)
