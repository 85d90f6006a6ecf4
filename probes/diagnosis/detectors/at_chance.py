"""Finds an accuracy that stays at chance while the loss is no better than that of a model that
knows nothing.

A model that knows nothing of its input is right in 1 of K cases, if K classes are balanced, and its
loss is at least ln K. Each of the two alone proves little: a hard task may have an accuracy of 0.2,
and a regression may have a loss of 1.6. Together they show that the model knows nothing of its
input. A model that has learned a hard task in part may also be right in 1 of K cases. Its task has
more than K classes then, so its loss is far above ln K, and there is no finding.

If this holds on held-out rows although the training loss ends far below ln K, the model has learned
its training rows by heart and nothing that holds for other rows."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import Curve
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.diagnosis.levels import chance_of_fall
from probes.record import Column
from probes.record.metrics import is_accuracy, is_held_out

MIN_POINTS = 5
"""Minimum number of points of the accuracy and of the loss."""
CLASS_COUNTS = range(2, 21)
"""The values of K to try when no vocabulary is stated."""
MAX_RELATIVE_DISTANCE, MAX_DISTANCE_ERRORS = 0.04, 2.0
"""Largest distance of the mean accuracy from 1 / K: this share of 1 / K, because classes are never
exactly balanced, plus this many standard errors of the mean."""
MAX_RANGE_OF_CONSTANT = 1e-3
"""An accuracy is constant, and at 1 / K, if all its values lie within this distance."""
MAX_CHANCE_OF_RISE = 0.05
"""Largest probability at which an accuracy counts as improving, however slowly: the probability
that values in random order rise as clearly."""
MAX_GAIN, MAX_GAIN_ERRORS = 0.02, 6.0
"""Largest rise of the mean accuracy, as a share of right answers, from the first half of the log to
the second: MAX_GAIN plus MAX_GAIN_ERRORS standard errors of the mean. A model that learns slowly
gains more."""
MAX_SHARE_BELOW_LN_K = 0.02
"""The loss may be below ln K by at most this share of ln K, because classes are never exactly
balanced. A lower loss shows that the model knows something of its input."""
MAX_LOSS_OVER_LN_K = 1.15
"""The loss may be at most this many times ln K. A higher loss belongs to a task with more than K
classes, unless the loss has risen during training."""
MAX_RAISED_LOSS_OVER_LN_K, MIN_RAISE = 1.6, 1.1
"""If the second half of the loss lies above MIN_RAISE times the first value, it may be at most
MAX_RAISED_LOSS_OVER_LN_K times ln K. Updates that are too large raise a loss above ln K and keep it
there."""
MAX_LEARNED_LOSS_OVER_LN_K = 0.9
"""The training rows were learned if the training loss ends below this many times ln K."""
AT_CHANCE = Symptom(
    name="accuracy-at-chance",
    quantity="accuracy in the second half of the log",
    unit="share of right answers",
    view=ViewKey.LOSS,
    worse="below",
    criterion=(
        "accuracy at 1 / K, where K is the size of the stated vocabulary, or else from 2 to 20, "
        "without any gain from the first half of the log to the second, and a loss that rests at "
        "ln K or above it"
    ),
    source=(
        "1 / K and the distance that chance and unbalanced classes explain; a model that knows "
        "something of its input has a loss below ln K"
    ),
    sentence={
        "en": (
            "The accuracy {site} stays at {observed}, which is chance, and the loss is no better "
            "than that of a model that knows nothing of its input."
        )
    },
)
HELD_OUT_AT_CHANCE = Symptom(
    name="held-out-at-chance",
    quantity="accuracy on held-out rows in the second half of the log",
    unit="share of right answers",
    view=ViewKey.LOSS,
    worse="below",
    criterion=(
        f"as {AT_CHANCE.name}, on held-out rows, while the training loss ends below "
        f"{MAX_LEARNED_LOSS_OVER_LN_K:g} ln K"
    ),
    source=AT_CHANCE.source,
    sentence={
        "en": (
            "The accuracy {site} stays at {observed}, which is chance, although the training rows "
            "were learned."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    names = [name for name in evidence.sites("metric") if is_accuracy(name)]
    if not names and evidence.rung("train", "unigram") is not None:
        return []  # the ladder says more than an accuracy would: see `stalled`
    if not names:
        raise CannotJudgeError("no accuracy was recorded")
    if evidence.no_loss_rules:
        raise CannotJudgeError(evidence.no_loss_rules)
    if finding := _constant_at_chance(evidence, names):
        return [finding]
    for name in sorted(names, key=lambda name: not is_held_out(name)):
        accuracy = Curve(*evidence.series("metric", name))
        signal = "val_loss" if is_held_out(name) else evidence.loss_signal
        loss = evidence.curve_or_empty(signal)
        enough = min(len(accuracy), len(loss)) >= MIN_POINTS
        if enough and (finding := _at_chance(evidence, name, accuracy, loss)):
            return [finding]
    return []


def _at_chance(evidence: Evidence, name: str, accuracy: Curve, loss: Curve) -> Finding | None:
    """The finding for one accuracy and the loss that was measured on the same rows."""
    values = _shares(accuracy)
    if chance_of_fall(-values) <= MAX_CHANCE_OF_RISE:
        return None  # it improves, however slowly
    half = len(values) // 2
    early, late = values[:half], values[half:]
    error = float(values.std()) / len(values) ** 0.5
    if late.mean() - early.mean() > MAX_GAIN + MAX_GAIN_ERRORS * error:
        return None
    level = loss.late_level
    raised = MIN_RAISE * loss.values[0] < level
    for k in _class_counts(evidence):
        distance = MAX_RELATIVE_DISTANCE / k + MAX_DISTANCE_ERRORS * error
        highest = MAX_RAISED_LOSS_OVER_LN_K if raised else MAX_LOSS_OVER_LN_K
        if (
            abs(float(late.mean()) - 1 / k) <= distance
            and 1 - MAX_SHARE_BELOW_LN_K <= level / log(k) <= highest
        ):
            learned = is_held_out(name) and _learned_training_rows(evidence, log(k))
            return (HELD_OUT_AT_CHANCE if learned else AT_CHANCE).found(
                evidence.last_step,
                float(late.mean()),
                site=name,
                limit=1 / k + distance,
                onset=int(loss.steps[loss.values.argmin()]) if learned else None,
            )
    return None


def _learned_training_rows(evidence: Evidence, ln_k: float) -> bool:
    """Whether the last quarter of the training loss lies well below ln K."""
    train = evidence.curve_or_empty(evidence.loss_signal)
    end = train.values[-max(2, len(train) // 4) :]
    return bool(len(end)) and float(median(end)) < MAX_LEARNED_LOSS_OVER_LN_K * ln_k


def learned_by_heart(evidence: Evidence) -> tuple[str, str] | None:
    """Meaning and remedy for a run with the symptom HELD_OUT_AT_CHANCE; None for other runs."""
    try:
        findings = judge(evidence)
    except CannotJudgeError:
        return None
    if not any(finding.symptom == HELD_OUT_AT_CHANCE.name for finding in findings):
        return None
    return (
        "the training rows are learned by heart: the accuracy on held-out rows stays at chance",
        "check that labels fit their inputs, and that training and held-out rows are prepared in "
        "the same way; then regularise, or train on more data",
    )


def _constant_at_chance(evidence: Evidence, names: Sequence[str]) -> Finding | None:
    """The finding when the accuracies on training rows and on held-out rows are both 1 / K at all
    points. The model then gives the same answer to all rows, whatever its loss is."""
    constant = {}
    for name in names:
        values = _shares(Curve(*evidence.series("metric", name)))
        if len(values) >= MIN_POINTS and np.ptp(values) <= MAX_RANGE_OF_CONSTANT:
            constant[name] = float(values.mean())
    held_out = [name for name in constant if is_held_out(name)]
    if not held_out or len(held_out) == len(constant):
        return None
    for k in _class_counts(evidence):
        if all(abs(value - 1 / k) <= MAX_RANGE_OF_CONSTANT for value in constant.values()):
            return AT_CHANCE.found(
                evidence.last_step,
                constant[held_out[0]],
                site=held_out[0],
                limit=1 / k + 2 * MAX_RANGE_OF_CONSTANT,
            )
    return None


def _shares(accuracy: Curve) -> Column:
    """The values of an accuracy as shares. Values above 1 show that it is a percentage."""
    largest = float(accuracy.values.max()) if len(accuracy) else 0.0
    return accuracy.values / (100 if largest > 1 else 1)


def _class_counts(evidence: Evidence) -> range:
    """The values of K to try: the size of the stated vocabulary, or else CLASS_COUNTS."""
    if evidence.facts.get("vocab_size") is None:
        return CLASS_COUNTS
    k = int(evidence.number("vocab_size"))
    return range(max(2, k), max(2, k) + 1)


DETECTOR = Detector("at-chance", judge, (AT_CHANCE, HELD_OUT_AT_CHANCE), at_end=True)
