"""What a run must show to be called healthy: its loss fell by about 5 % or more (MIN_FALL), it
ended near its best, and nothing that was logged contradicts it.

Each private function here yields a `Doubt`: a reason why a run does not show one of these things. A
doubt is not a finding. It says that the run may be healthy or not, and why that is not known."""

from __future__ import annotations

from collections.abc import Iterator
from math import erfc, exp, inf, isnan, log, sqrt
from typing import NamedTuple

import numpy as np

from probes.common.arrays import median
from probes.common.text import printable
from probes.diagnosis.curves import MAD_TO_SIGMA, MIN_POINTS, Curve, noise_at_lag
from probes.diagnosis.detectors.zero_updates import gradient_left, unmoved_since
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.diagnosis.levels import MIN_RISE_OVER_NOISE, chance_of_fall, levels_of, ratio
from probes.record.metrics import direction_of, is_accuracy, is_held_out

MAX_CHANCE_OF_FALL = 0.01
"""Largest probability at which a curve counts as fallen. It is the probability that a curve without
a trend falls as clearly (`chance_of_fall`). Five points are enough if each is lower than the one
before. For a curve with MIN_POINTS points or more, a low probability is enough only if the start is
also at least 10 % above the end (MIN_CLEAR_FALL). Such a curve also counts as fallen if
`Curve.fell` says so."""
MAX_CHANCE_OF_CLEAR_FALL, MIN_CLEAR_FALL = 0.05, log(1.1)
"""A larger value of `chance_of_fall`, MAX_CHANCE_OF_CLEAR_FALL, is allowed if the start is at least
10 % above the end (MIN_CLEAR_FALL, a logarithm). Four points are then enough if each is lower than
the one before."""
MAX_CHANCE_OF_HALVING, MIN_HALVING = 0.17, log(2)
"""A still larger value, MAX_CHANCE_OF_HALVING, is allowed if the curve ends at half its start
or lower, because noise does not halve a loss. Three points are then enough if each is lower than
the one before."""
MAX_CHANCE_OF_BOTH = 0.03
"""Training and validation loss fell together if the product of `chance_of_fall` of both losses is
at most this. Three points of each are enough if each is lower than the one before."""
MIN_DROP_SIGMAS, MIN_POINTS_OF_DROP = 6.0, 6
"""A curve with at least MIN_POINTS_OF_DROP points also fell if its first value lies more than
MIN_DROP_SIGMAS standard deviations above the median of the others. A model may learn all it can
before the second point."""
MIN_FALL = log(1.05)
"""The smallest fall that shows learning, as a logarithm: the start is 5 % above the end."""
FALL_START_SIGMAS = 3.0
"""A fall is measured from the first level, or from the first point minus this many standard
deviations of a point if that is higher. The first level misses the fall of a model that learns all
it can before the second point. The deviations are subtracted because the first point may be high
only by its noise."""
MAX_END_ABOVE_LOWEST = log(1.25)
"""The training loss ends near its best if its end is at most 25 % above its lowest level. The limit
is a logarithm.

No publication gives such a limit for the training loss. It comes from the seeds used to choose
rules (`studies.innocent_runs`). Of 1,500 healthy trainings, 159 are undetermined with a limit of
10 %, 157 with 15 %, 152 with 25 %, 151 with 50 % and 150 without a limit. Of 400 sick trainings, 20
are called healthy with any of these limits, and 21 without one. No alarm depends on the limit."""
MAX_END_OF_VALIDATION = log(1.1)
"""The validation loss ends near its best if its end is at most 10 % above its lowest level. The
limit is a logarithm. It is smaller than that of the training loss, because every evaluation uses
the same rows.

Prechelt 1998 ("Early stopping - but when?") calls this rise the generalization loss and stops
training when it exceeds a limit from 1 % to 5 %. His limits cost healthy runs: of the 1,500 healthy
trainings, 166 are undetermined with a limit of 3 %, 161 with 5 %, 152 with 10 %, 151 with 15 %, 150
with 20 % and 148 without a limit. Of the 400 sick ones, 19 are called healthy with 3 %, and 20 with
any other of these limits."""
MAX_EXCUSED_BY_NOISE = log(2)
"""Noise explains a rise of validation loss by at most this much. However noisy it is, a validation
loss that ends at twice its best does not show that the run ended near its best. Neither does a last
evaluation at more than twice the best one that gives back MIN_SHARE_GIVEN_BACK of what was learned:
the last evaluation measures the model at the end."""
MIN_CLIMB_RISES, MIN_CLIMB = 4, 1.05
"""Nor does a validation loss end near its best if it rises at each of four or more evaluations
after the lowest one and ends more than 5 % above it."""
MAX_DISTANCE_FROM_LN_K = 0.05
"""A loss that begins and ends within this share of ln K has learned hardly anything about K
classes."""
CLASS_COUNTS = range(2, 11)
"""The values of K to try."""
MIN_STILL_POINTS, MAX_STILL_RANGE = 5, 1e-3
"""Nothing moved if each loss has at least MIN_STILL_POINTS points, and if all of them lie within a
range of MAX_STILL_RANGE, relative to the largest."""
MIN_FEW_EVALUATIONS = 3
"""Minimum number of evaluations for saying that validation loss has not fallen."""
MIN_EVALUATIONS_AT_REST = 5
"""A validation loss that never fell counts as at rest from this many evaluations on."""
MAX_TRAIN_LEFT, MIN_VAL_LEFT, MAX_TRAIN_OVER_VAL = 0.5, 0.99, 0.1
"""Validation loss has not fallen if it stays above MIN_VAL_LEFT times its first value. Rows may
then have been learned by heart in two cases: the training loss has fallen below MAX_TRAIN_LEFT
times its level at the first evaluation, or it ends below MAX_TRAIN_OVER_VAL times the validation
loss, which means that the training loss fell before the first evaluation."""
MIN_TIMES_BELOW_ZERO = 100
"""A loss has no lower bound if it ends below minus this many times the size of its first level. The
negative log-likelihood of a continuous density may also be below 0, but keeps its order of
magnitude."""
MIN_SHARE_GIVEN_BACK, MIN_RISE_ERRORS = 0.25, 6.0
"""A loss with values below 0 has no ratio scale. It ends above its lowest level if its rise from
there exceeds MIN_SHARE_GIVEN_BACK of what was learned and also MIN_RISE_ERRORS standard errors. The
share also holds for a last evaluation that is far above the lowest one."""
MIN_RISE_FROM_FIRST, MIN_RISE_FROM_FIRST_Z = 1.03, 3.0
"""Validation loss has risen from its first evaluation on if its last level is above
MIN_RISE_FROM_FIRST times its first value, and the rise along the whole curve is more than
MIN_RISE_FROM_FIRST_Z standard errors (`fall_z`). As for overfitting, a loss within 3 % of its
minimum counts as equal to it."""
LAST_EVALUATIONS = 3
"""The end of validation loss, beside the n-gram's, is the median of this many evaluations."""
TOO_FEW_POINTS = "too few points of"
"""`Doubt.kind` begins with this text if the log is too short."""


class Doubt(NamedTuple):
    """A reason why a run cannot be called healthy.

    kind      the reason without numbers, so that it is the same on every machine
    sentence  the reason with its numbers
    """

    kind: str
    sentence: str


def doubts_on(evidence: Evidence) -> Iterator[Doubt]:
    """The reasons why a run without findings cannot be called healthy, the weightiest first."""
    if evidence.no_loss_rules:
        yield Doubt(evidence.no_loss_rules, evidence.no_loss_rules)
        return
    curves = {
        name: evidence.curve(name)
        for name in ("loss", "train_loss", "val_loss")
        if evidence.sites(name)
    }
    if not curves:
        yield Doubt("no loss was recorded", "no loss was recorded")
        return
    yield from _nothing_moved(curves)
    yield from _no_update(evidence)
    no_fall = list(_no_fall(curves))
    if no_fall:
        yield from _no_gradient(evidence)
    yield from no_fall
    yield from _not_carried_over(curves)
    if evidence.cached(val_loss_never_fell):
        val = curves["val_loss"]
        yield Doubt(
            "val_loss rose from its first evaluation on",
            f"val_loss rose from its first evaluation on: from {val.values[0]:.4g} at step "
            f"{val.steps[0]} to {val.values[-1]:.4g}; either the labels are unrelated to the "
            "inputs, or val_loss was lowest before its first evaluation",
        )
    yield from _metric_at_zero(evidence)
    yield from _near_ln_k(curves)
    for name, curve in curves.items():
        yield from _high_end(name, curve)
    yield from _above_n_gram(evidence)


def val_loss_never_fell(evidence: Evidence) -> bool:
    """Whether validation loss rose and was never below its first evaluation, although the training
    loss fell."""
    if evidence.no_loss_rules:
        return False
    val = evidence.curve_or_empty("val_loss")
    if not val.has_segments or not evidence.curve_or_empty(evidence.loss_signal).fell:
        return False
    rose = (
        val.segments.level[-1] > MIN_RISE_FROM_FIRST * val.values[0]
        and -val.fall_z > MIN_RISE_FROM_FIRST_Z
    )
    return bool(rose and 0 < val.values[0] <= val.values.min())


def has_judged_loss(evidence: Evidence) -> bool:
    """Whether a training loss has enough points for rules that need segments."""
    return not evidence.no_loss_rules and any(
        len(evidence.curve(name)) >= MIN_POINTS
        for name in ("loss", "train_loss")
        if evidence.sites(name)
    )


def fell(curve: Curve) -> bool:
    """Whether a curve fell by more than its noise, however short it is."""
    if curve.has_segments:
        return curve.fell or (
            _chance(curve) <= MAX_CHANCE_OF_FALL and _fall_of(curve) >= MIN_CLEAR_FALL
        )
    if len(curve) < 2:
        return False
    chance, rest = chance_of_fall(curve.values), curve.values[1:]
    spread = MAD_TO_SIGMA * float(median(np.abs(rest - median(rest))))
    return bool(
        chance <= MAX_CHANCE_OF_FALL
        or (chance <= MAX_CHANCE_OF_CLEAR_FALL and _fall_of(curve) >= MIN_CLEAR_FALL)
        or (chance <= MAX_CHANCE_OF_HALVING and _fall_of(curve) >= MIN_HALVING)
        or (
            len(curve) >= MIN_POINTS_OF_DROP
            and curve.values[0] - median(rest) > MIN_DROP_SIGMAS * spread
        )
    )


def _chance(curve: Curve) -> float:
    """The probability that a curve without a trend falls as much as this one. For a curve with
    segments, it is the upper tail of a normal distribution at `fall_z`."""
    if not curve.has_segments:
        return chance_of_fall(curve.values)
    return erfc(curve.fall_z / sqrt(2 * curve.correlation_length)) / 2


def _no_fall(curves: dict[str, Curve]) -> Iterator[Doubt]:
    """The reason why no loss fell by about 5 % or more (MIN_FALL)."""
    falls = {name: _fall_of(curve) for name, curve in curves.items() if fell(curve)}
    if any(fall >= MIN_FALL for fall in falls.values()):
        return
    # Neither training nor validation loss may prove a fall alone, and both together may prove it.
    train, val = curves.get("loss") or curves.get("train_loss"), curves.get("val_loss")
    if (
        train
        and val
        and _chance(train) * _chance(val) <= MAX_CHANCE_OF_BOTH
        and min(_fall_of(train), _fall_of(val)) >= MIN_FALL
    ):
        return
    if falls:
        name, fall = max(falls.items(), key=lambda item: item[1])
        yield Doubt(
            f"{name} hardly fell",
            f"{name} fell by only {100 * (1 - exp(-fall)):.2g} %: either the model had learned "
            "before this log began, or it learns hardly anything",
        )
        return
    name, curve = max(curves.items(), key=lambda item: min(MIN_POINTS, len(item[1])))
    if len(curve) < MIN_POINTS:
        yield Doubt(
            f"{TOO_FEW_POINTS} {name}",
            f"{len(curve)} points of {name}; {MIN_POINTS} are needed, or five that fall one after "
            "the other: log more often",
        )
    else:
        yield Doubt("the loss never fell", "the loss never fell")


def _nothing_moved(curves: dict[str, Curve]) -> Iterator[Doubt]:
    """The reason why losses that hardly change are no sign of health."""
    if all(
        len(curve) >= MIN_STILL_POINTS
        and np.ptp(curve.values) <= MAX_STILL_RANGE * np.abs(curve.values).max()
        for curve in curves.values()
    ):
        yield Doubt(
            "nothing moved",
            f"{' and '.join(curves)} moved by less than one in a thousand: the model had learned "
            "before this log began, or it learns nothing",
        )


def _no_update(evidence: Evidence) -> Iterator[Doubt]:
    """The reason why a run whose weights no longer change may be no healthy one: without a gradient
    norm, nothing shows that it has converged."""
    try:
        onset = evidence.cached(unmoved_since)
    except CannotJudgeError:
        return
    if onset is not None and isnan(gradient_left(evidence, onset)):
        yield Doubt(
            "no update changes the weights at the end",
            f"from step {onset} on no update changes any recorded matrix: either the run has "
            "converged, or its updates are lost; record grad_norm",
        )


def _no_gradient(evidence: Evidence) -> Iterator[Doubt]:
    """The reason why a loss that did not fall beside a gradient norm of 0 cannot be judged."""
    norms = evidence.series("grad_norm")[1] if evidence.sites("grad_norm") else np.empty(0)
    if len(norms) >= MIN_STILL_POINTS and not norms.any():
        yield Doubt(
            "grad_norm is always 0",
            f"grad_norm is 0 at all {len(norms)} points and the loss did not fall: either no "
            "gradient arrives, or the trainer does not measure its norm",
        )


def _not_carried_over(curves: dict[str, Curve]) -> Iterator[Doubt]:
    """The reason why a low training loss is no sign of health: validation loss has not fallen.

    The training loss is low if it fell since the first evaluation, or if it ends far below the
    validation loss. The rows may then have been learned by heart. Two more cases are no sign of
    health: validation loss does not move at all, or training loss hardly falls after its first
    point."""
    train, val = curves.get("train_loss") or curves.get("loss"), curves.get("val_loss")
    if not train or not val or len(val) < MIN_FEW_EVALUATIONS or train.values.min() <= 0:
        return
    since_first = train.values[train.steps >= val.steps[0]]
    count = max(1, len(since_first) // 5)
    if not len(since_first):
        return
    start, end = float(median(since_first[:count])), float(median(since_first[-count:]))
    first, last = float(val.values[0]), float(val.values[-1])
    is_gap = end < MAX_TRAIN_OVER_VAL * last
    # Training may have learned all that it learned before the first evaluation.
    rests = len(val) >= MIN_EVALUATIONS_AT_REST and not (
        len(train) > 1 and _fall_of(Curve(train.steps[1:], train.values[1:])) >= MIN_FALL
    )
    never_fell = val.values.min() >= MIN_VAL_LEFT * first > 0
    is_still = len(val) >= MIN_EVALUATIONS_AT_REST and np.ptp(val.values) <= MAX_STILL_RANGE * first
    if never_fell and (end < MAX_TRAIN_LEFT * start or is_gap or rests or is_still):
        yield Doubt(
            "val_loss has not fallen",
            f"since the first evaluation, the training loss went from {start:.4g} to {end:.4g} and "
            f"val_loss did not fall: {first:.4g} at first, {last:.4g} at the end",
        )


def _metric_at_zero(evidence: Evidence) -> Iterator[Doubt]:
    """The reason why a run whose held-out metric is always 0 has learned nothing that counts."""
    values_of = {name: evidence.series("metric", name)[1] for name in evidence.sites("metric")}
    for name, values in values_of.items():
        # An accuracy that is 0 on the training rows as well does not fit the task, which may be a
        # regression.
        if is_accuracy(name) and any(
            is_accuracy(other) and not is_held_out(other) and not values_of[other].any()
            for other in values_of
        ):
            continue
        stated = evidence.facts.get("metric_direction")
        if (
            len(values) >= MIN_FEW_EVALUATIONS
            and not values.any()
            and is_held_out(name)
            and direction_of(name, stated) == "up"
        ):
            name = printable(name)
            yield Doubt(
                f"{name} is always 0",
                f"{name} is 0 at all {len(values)} evaluations, although higher is better",
            )


def _above_n_gram(evidence: Evidence) -> Iterator[Doubt]:
    """The reason why a run whose model is worse than counting is no healthy one."""
    n_gram, val = evidence.rung("val", "ngram"), evidence.curve_or_empty("val_loss")
    if n_gram is None or not len(val):
        return
    end = float(median(val.values[-LAST_EVALUATIONS:]))
    if end > n_gram:
        yield Doubt(
            "val_loss ends above the best n-gram",
            f"val_loss ends at {end:.4g}, above the {n_gram:.4g} of the best n-gram model: the "
            "model has learned less than counting the training rows gives",
        )


def _near_ln_k(curves: dict[str, Curve]) -> Iterator[Doubt]:
    """The reason why losses that begin and end near ln K have learned hardly anything."""
    ends = {
        name: (float(curve.values[0]), exp(levels.end_level))
        for name, curve in curves.items()
        if (levels := levels_of(curve)) is not None
    }
    for k in CLASS_COUNTS:
        if ends and all(
            abs(value / log(k) - 1) <= MAX_DISTANCE_FROM_LN_K
            for pair in ends.values()
            for value in pair
        ):
            name, (start, end) = next(iter(ends.items()))
            yield Doubt(
                f"{name} is hardly below ln {k}",
                f"{name} goes from {start:.4g} to {end:.4g}, hardly below ln {k} = {log(k):.4g}: a "
                f"model that knows nothing of {k} balanced classes scores as much",
            )


def _fall_of(curve: Curve) -> float:
    """How far a curve fell, from its start to its end, as a logarithm. Infinite for a curve that
    has no ratio scale."""
    levels = levels_of(curve)
    if levels is None:
        return inf
    start = float(levels.level[0])
    if curve.values[0] > 0:
        # FALL_START_SIGMAS says why the fall may begin near the first point.
        logs = np.log(np.maximum(curve.values, exp(float(levels.level.min()))))
        start = max(start, float(logs[0]) - FALL_START_SIGMAS * noise_at_lag(logs))
    return start - levels.end_level


def _high_end(name: str, curve: Curve) -> Iterator[Doubt]:
    """The reason why a loss did not end near its best."""
    levels = levels_of(curve)
    if levels is None and curve.has_segments:
        yield from _high_end_without_ratios(name, curve)
    if levels is None or len(levels.level) <= levels.end:
        return
    most = MAX_END_OF_VALIDATION if name == "val_loss" else MAX_END_ABOVE_LOWEST
    rise = levels.end_above_lowest
    since = curve.values[int(curve.values.argmin()) :]
    climbs = (
        name == "val_loss"
        and len(since) > MIN_CLIMB_RISES
        and bool((np.diff(since) > 0).all())
        and since[-1] > MIN_CLIMB * since[0]
    )
    excused = MIN_RISE_OVER_NOISE * levels.noise
    if name == "val_loss":
        excused = min(excused, MAX_EXCUSED_BY_NOISE)
    last, best = float(curve.values[-1]), float(curve.values.min())
    learned = float(curve.values[0]) - best
    if (
        name == "val_loss"
        and last > exp(MAX_EXCUSED_BY_NOISE) * best
        and last - best > MIN_SHARE_GIVEN_BACK * learned
    ):
        yield Doubt(
            f"the last {name} is far above its lowest",
            f"the last {name} is {last:.4g}, and its lowest is {best:.4g}, at step "
            f"{curve.steps[curve.values.argmin()]}: the model at the end is not the best one",
        )
    elif climbs or rise > max(most, excused):
        times = ratio(levels.end_level - levels.level.min())
        yield Doubt(
            f"{name} ends above its lowest",
            f"{name} ends {100 * (times - 1):.0f} % above its lowest: at "
            f"{exp(levels.end_level):.4g}, after {exp(levels.level.min()):.4g} around "
            f"step {levels.first_step[levels.lowest]}",
        )


def _high_end_without_ratios(name: str, curve: Curve) -> Iterator[Doubt]:
    """The reason why a loss with values below 0 did not end near its best, or has no best."""
    level, error = curve.segments.level, curve.level_error
    lowest, end = int(level.argmin()), float(level[-1])
    learned, rise = curve.start_level - float(level[lowest]), end - float(level[lowest])
    least = MIN_RISE_ERRORS * float(np.hypot(error[-1], error[lowest]))
    if rise > max(MIN_SHARE_GIVEN_BACK * learned, least) > 0:
        yield Doubt(
            f"{name} ends above its lowest",
            f"{name} ends far above its lowest: at {end:.4g}, after {level[lowest]:.4g} around "
            f"step {curve.segments.first_step[lowest]}",
        )
    start, middle = float(level[0]), float(level[len(level) // 2])
    if end < -MIN_TIMES_BELOW_ZERO * abs(start) and end < 2 * middle < 0:
        yield Doubt(
            f"{name} falls below 0 without end",
            f"{name} falls below 0 without end: from {start:.4g} to {end:.4g}; a cross-entropy "
            "does this if its targets are not probabilities",
        )
