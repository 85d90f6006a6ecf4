"""Finds a loss that rests at ln K for a small K. A model of K balanced classes scores ln K when it
knows nothing of its input.

Either the model does not learn, or there is nothing to learn. If a vocabulary is stated, K is its
size. Otherwise all K up to 10 and the sizes of well-known vocabularies are tried, and some losses
are close enough to one of these levels by chance: one or two of a hundred losses that are flat
throughout, and one of two hundred losses that fell and then levelled off."""

from __future__ import annotations

from collections.abc import Iterable
from math import log, sqrt

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import MIN_SEGMENT_POINTS, Curve, rounding_step
from probes.diagnosis.evidence import Evidence

CLASS_COUNTS = range(2, 11)
"""The values of K to try when no vocabulary is stated."""
MAX_MEAN_ABOVE, MAX_MEAN_BELOW = 0.015, 0.01
"""Largest distance of the mean loss above and below ln K, in units of 1 / K, which is about
ln(K + 1) - ln K. A mean above ln K is allowed because the noise of the updates keeps the model from
scoring exactly ln K. A mean below is allowed because classes are never exactly balanced. Of all
levels from 0.1 to 3, 1.7 % lie within these limits of some ln K."""
MAX_REST_ABOVE, MAX_REST_BELOW = 0.002, 0.005
"""Largest distance of the mean above and below ln K in the second half of a loss that came down to
ln K, in units of 1 / K. Of all levels from 0.1 to 3, 0.5 % lie within these limits of some ln K.
The loss of a model that knows something of its input is hardly ever so flat."""
MAX_TRAIN_DISTANCE = 0.05
"""Largest distance of the training loss from ln K when the validation loss is at ln K throughout,
in units of 1 / K. This limit is wider because the training loss is measured on fewer rows and under
dropout."""
MAX_SEGMENT_ERRORS = 4.0
"""A segment may deviate from ln K by the limit for the mean plus this many of its standard errors.
Of 16,000 segments, one exceeds that by chance, and a loss has 20 segments."""
MIN_BATCH_ROWS = 8
"""Smallest number of rows that a point of the loss is assumed to be a mean over. It limits the
noise of the loss of a model that knows nothing. If the logits of such a model have standard
deviation s, its mean loss is s^2 / 2 above ln K, and the loss of one row varies by about s.
MAX_MEAN_ABOVE limits the mean loss and thereby s, so the standard deviation of a point is at most
sqrt(2 * MAX_MEAN_ABOVE / (K * MIN_BATCH_ROWS)). The loss of a model that uses its input is much
noisier."""
MIN_FEW_POINTS = 5
"""Minimum number of points of a curve that is too short for segments, or that lies at ln V."""
MAX_FEW_DISTANCE = 0.003
"""Largest distance of each point from ln K, in units of 1 / K, in a curve that is too short for
segments. Of all levels from 0.1 to 3, 0.4 % lie so near to some ln K."""
VOCABULARIES = (
    28_996, 30_522, 32_000, 32_064, 32_100, 32_128, 32_768, 49_152, 50_257, 50_265, 50_304, 50_432,
    65_536, 100_277, 128_256, 151_936, 152_064, 256_000,
)  # fmt: skip
"""Sizes of well-known vocabularies, some of them padded: BERT, T5, Llama, Mistral, GPT-2, GPT-NeoX,
RWKV, Llama 3, Qwen, Gemma."""
MAX_VOCABULARY_DISTANCE = 0.0005
"""Largest distance of each point from ln V for a well-known vocabulary, in nats. Of all levels from
0.1 to 13, 0.1 % lie so near to one of them."""
SOURCE_OF_FEW = "a level is so near to some ln K by chance in one of 200 logs"
AT_LN_K = Symptom(
    name="loss-at-ln-k",
    quantity="loss at rest",
    unit="nats",
    view=ViewKey.LOSS,
    worse="above",
    criterion=(
        "loss at ln K, where K is the size of the stated vocabulary, or else from 2 to 10 or the "
        "size of a well-known vocabulary: the training loss from first to last; or its second "
        "half, after it came down to that level; or the validation loss from first to last, with "
        "the training loss near that level"
    ),
    source=(
        "at most 1.5 % of the gap between ln K and ln(K + 1) away from ln K; by chance, one flat "
        "loss in sixty lies so close"
    ),
    sentence={
        "en": "The loss rests at {observed}, the score of a model that knows nothing of its input."
    },
)
SOURCE_OF_SECOND_HALF = (
    "at most 0.2 % of the gap between ln K and ln(K + 1) above ln K; by chance, one loss in 200 "
    "comes to rest so close"
)
SOURCE_OF_VALIDATION = (
    "validation loss at most 1.5 % of the gap between ln K and ln(K + 1) away from ln K, and "
    "training loss at most 5 % of it"
)


def judge(evidence: Evidence) -> list[Finding]:
    if few := _few_points(evidence):
        return few
    loss, val = evidence.training_loss(), evidence.curve_or_empty("val_loss")
    signal, end, rounding = evidence.loss_signal, evidence.last_step, rounding_step(loss.values)
    late_level = loss.late_level
    for k in _class_counts(evidence):
        limit = log(k) - MAX_MEAN_BELOW / k
        if _is_throughout(loss, k, rounding):
            return [AT_LN_K.found(end, float(loss.values.mean()), site=signal, limit=limit)]
        # A training loss is at ln K by chance if the validation loss is at another level.
        val_agrees = not len(val) or abs(val.late_level - log(k)) <= MAX_MEAN_ABOVE / k
        if val_agrees and _came_down(loss, k, rounding):
            segments = loss.segments
            return [
                AT_LN_K.found(
                    end,
                    float(segments.level[-1]),
                    site=signal,
                    limit=log(k) - MAX_REST_BELOW / k,
                    source=SOURCE_OF_SECOND_HALF,
                    onset=int(segments.first_step[len(segments.level) // 2]),
                )
            ]
        near = abs(late_level - log(k)) <= MAX_TRAIN_DISTANCE / k
        if near and val.has_segments and _is_throughout(val, k, rounding_step(val.values)):
            mean = float(val.values.mean())
            return [
                AT_LN_K.found(end, mean, site="val_loss", limit=limit, source=SOURCE_OF_VALIDATION)
            ]
    return []


def _class_counts(evidence: Evidence) -> Iterable[int]:
    """The values of K to try: the size of the stated vocabulary, or else CLASS_COUNTS."""
    if evidence.facts.get("vocab_size") is None:
        return CLASS_COUNTS
    evidence.uniform_loss()  # raises when the vocabulary is unusable
    return (int(evidence.number("vocab_size")),)


def _few_points(evidence: Evidence) -> list[Finding]:
    """A finding when all points of a curve lie at one level: at ln K, if the curve is too short for
    segments, or at ln V of a well-known vocabulary, if no vocabulary is stated."""
    train = evidence.curve_or_empty(evidence.loss_signal)
    val = evidence.curve_or_empty("val_loss")
    stated = evidence.facts.get("vocab_size") is not None
    for curve, other, site in ((val, train, "val_loss"), (train, val, evidence.loss_signal)):
        if len(curve) < MIN_FEW_POINTS:
            continue
        few = () if curve.has_segments else _class_counts(evidence)
        large = () if stated else VOCABULARIES
        for k, distance in (
            *((k, MAX_FEW_DISTANCE / k) for k in few),
            *((k, MAX_VOCABULARY_DISTANCE) for k in large),
        ):
            at_level = float(np.abs(curve.values - log(k)).max()) <= distance
            agrees = not len(other) or abs(other.late_level - log(k)) <= max(
                MAX_TRAIN_DISTANCE / k, MAX_VOCABULARY_DISTANCE
            )
            if at_level and agrees:
                mean = float(curve.values.mean())
                return [
                    AT_LN_K.found(
                        evidence.last_step,
                        mean,
                        site=site,
                        limit=log(k) - distance,
                        source=SOURCE_OF_FEW,
                    )
                ]
    return []


def _is_throughout(curve: Curve, k: int, rounding: float) -> bool:
    """Whether a loss is at ln K from its first point to its last."""
    values, segments = curve.values, curve.segments
    above, below = MAX_MEAN_ABOVE / k, MAX_MEAN_BELOW / k
    if not -below <= float(values.mean()) - log(k) <= above:
        return False
    spread = float(values.std())
    mean_error = max(spread / sqrt(len(values)), rounding / 2)
    segment_error = np.maximum(segments.error, spread / sqrt(len(values) / len(segments.level)))
    return bool(
        mean_error <= below
        and median(segments.noise) <= sqrt(2 * above / MIN_BATCH_ROWS)
        and (np.abs(segments.level - log(k)) <= above + MAX_SEGMENT_ERRORS * segment_error).all()
        and not curve.fell
    )


def _came_down(loss: Curve, k: int, rounding: float) -> bool:
    """Whether a loss began above ln K and its second half rests there."""
    segments, rest = loss.segments, loss.values[len(loss) // 2 :]
    above, below = MAX_REST_ABOVE / k, MAX_REST_BELOW / k
    if not -below <= float(rest.mean()) - log(k) <= above:
        return False
    half = len(segments.level) // 2
    distance = segments.level[half:] - log(k)
    # The limits above and below ln K differ. Distances below ln K are multiplied by the ratio of
    # the two limits, so that all distances can be compared with the limit above ln K.
    weighted = np.maximum(distance, -distance * MAX_REST_ABOVE / MAX_REST_BELOW)
    mean_error = max(float(rest.std()) / sqrt(len(rest)), rounding / 2)
    return bool(
        mean_error <= above
        and (weighted <= above + MAX_SEGMENT_ERRORS * segments.error[half:]).all()
        and loss.values[:MIN_SEGMENT_POINTS].max() > log(k) + MAX_MEAN_ABOVE / k
    )


DETECTOR = Detector("at-ln-k", judge, (AT_LN_K,), at_end=True)
