"""Finds a loss that does not move at all: all its points are equal.

Batches differ, so the loss of a model that is trained on batches varies from point to point even
after it has converged. A loss that is equal from first to last shows that the weights do not
change, or that the loss does not depend on them. The same holds for a validation loss that stays
equal while the training loss changes: the model that is evaluated is not the one that is trained.

A log that rounds its losses can show equal values for a converged model. So a loss counts only if
its values have at least MIN_DIGITS digits, or MIN_DIGITS_OF_BOTH digits together with an accuracy
that is equal as well. A loss that is exactly 0 is left to the detector `loss_zero`."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import Curve
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record.metrics import is_accuracy, is_held_out

MAX_RELATIVE_VARIATION = 1e-9
"""Points count as equal if they vary by at most this share of their size. Neighbouring
single-precision numbers differ by 6e-8 or more of their size, so a smaller difference can only come
from converting numbers to text and back."""
MIN_POINTS = 10
"""Smallest number of equal points of a training loss."""
MIN_EVALUATIONS = 5
"""Smallest number of equal evaluations while the training loss changes."""
MIN_DIGITS = 6
"""Smallest number of significant digits of the first value. Equal values with fewer digits may be
the rounded loss of a converged model."""
MIN_DIGITS_OF_BOTH = 8
"""Smallest number of digits of a loss and of an accuracy on the same rows together, if both are
equal at all points after the first, MIN_EVALUATIONS or more. The first point of such a log is the
mean over an epoch in which the model was still moving."""
MIN_DIGITS_OF_MANY, MANY_POINTS = 3, 20
"""A curve with at least MANY_POINTS points needs only MIN_DIGITS_OF_MANY digits: over so many
batches, even a loss that is rounded to three digits varies."""
FROZEN = Symptom(
    name="loss-frozen",
    quantity="variation of the loss from first to last, relative to its size",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="below",
    limit=MAX_RELATIVE_VARIATION,
    criterion=(
        f"training loss equal within 1e-9 at all of {MIN_POINTS} points or more; or validation "
        f"loss equal at all of {MIN_EVALUATIONS} evaluations or more while the training loss "
        f"changes; or a loss and an accuracy, with {MIN_DIGITS_OF_BOTH} digits or more together, "
        f"equal at all of {MIN_EVALUATIONS} points or more after the first"
    ),
    source="batches differ, so the loss of a model that is trained varies even after it converged",
    sentence={"en": "{site} is the same from step {onset} to the last: no update changes it."},
)


def judge(evidence: Evidence) -> list[Finding]:
    train = evidence.curve_or_empty(evidence.loss_signal)
    val = evidence.curve_or_empty("val_loss")
    for signal, loss in ((evidence.loss_signal, train), ("val_loss", val)):
        rest = Curve(loss.steps[1:], loss.values[1:])
        if len(rest) >= MIN_EVALUATIONS and _is_frozen_with_accuracy(evidence, signal, rest):
            return [_found(evidence, rest, signal)]
    if len(train) < MIN_POINTS and len(val) < MIN_EVALUATIONS:
        raise CannotJudgeError(
            f"{len(train)} points of loss and {len(val)} evaluations; {MIN_POINTS} points or "
            f"{MIN_EVALUATIONS} evaluations are needed"
        )
    if len(train) >= MIN_POINTS and is_frozen(train):
        return [_found(evidence, train, evidence.loss_signal)]
    moves = len(train) >= MIN_EVALUATIONS and not is_frozen(train)
    if len(val) >= (MIN_EVALUATIONS if moves else MIN_POINTS) and is_frozen(val):
        return [_found(evidence, val, "val_loss")]
    return []


def _found(evidence: Evidence, loss: Curve, site: str) -> Finding:
    return FROZEN.found(evidence.last_step, variation_of(loss), site=site, onset=int(loss.steps[0]))


def _is_frozen_with_accuracy(evidence: Evidence, signal: str, loss: Curve) -> bool:
    """Whether all points of a loss are equal, and so are those of an accuracy on the same rows.

    A model without an error has an accuracy of 1, so an accuracy of 1 does not count, nor does one
    of 0."""
    if variation_of(loss) > MAX_RELATIVE_VARIATION or not loss.values.all():
        return False
    for name in evidence.sites("metric"):
        accuracy = Curve(*evidence.series("metric", name))
        shares = accuracy.values[accuracy.steps >= loss.steps[0]]
        if (
            is_accuracy(name)
            and is_held_out(name) == (signal == "val_loss")
            and len(shares) >= MIN_EVALUATIONS
            and not np.ptp(shares)
            and shares[0] not in (0, 1, 100)
            and _digits(loss.values[0]) + _digits(shares[0]) >= MIN_DIGITS_OF_BOTH
        ):
            return True
    return False


def _digits(value: float) -> int:
    """The number of significant digits."""
    return len(f"{abs(value):.15g}".replace(".", "").strip("0").partition("e")[0])


def is_frozen(curve: Curve) -> bool:
    """Whether all points are equal, not 0, and have enough digits to tell."""
    first = float(curve.values[0])
    enough = MIN_DIGITS_OF_MANY if len(curve) >= MANY_POINTS else MIN_DIGITS
    return first != 0 and _digits(first) >= enough and variation_of(curve) <= MAX_RELATIVE_VARIATION


def variation_of(curve: Curve) -> float:
    """The range of the values, relative to the largest of them. 0 for a curve of zeros."""
    largest = float(np.abs(curve.values).max())
    return float(np.ptp(curve.values)) / largest if largest else 0.0


DETECTOR = Detector("frozen", judge, (FROZEN,), at_end=True)
