"""What a run must show to be called healthy: its loss fell by more than a triviality, it ended near
its best, and nothing that was logged contradicts it.

Each function here gives the reason why a run does not show it. A reason is no finding: a careful
reader would say "I cannot tell", and why."""

from __future__ import annotations

from collections.abc import Iterator
from math import erfc, exp, inf, log, sqrt
from typing import NamedTuple

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.curves import MAD_TO_SIGMA, MIN_POINTS, Curve, noise_at_lag
from probes.diagnosis.evidence import Evidence
from probes.diagnosis.levels import chance_of_fall, levels_of

MAX_CHANCE_OF_FALL = 0.01
"""A curve with fewer than MIN_POINTS points fell if values in random order would fall as often with
at most this probability. Five points are enough if each is lower than the one before. For a
longer curve it is enough if the curve ends at least 10 % lower as well."""
MAX_CHANCE_OF_CLEAR_FALL, MIN_CLEAR_FALL = 0.05, log(1.1)
"""This probability is enough for a curve that ends at least 10 % lower. Four points that fall one
after the other are then enough."""
MAX_CHANCE_OF_HALVING, MIN_HALVING = 0.17, log(2)
"""This probability is enough for a curve that ends at half its start: noise does not halve a loss.
Three points that fall one after the other are then enough."""
MAX_CHANCE_OF_BOTH = 0.03
"""Training and validation loss fell together if the product of their probabilities is at most this.
Three points of each are enough if both fall from point to point."""
MIN_DROP_SIGMAS, MIN_POINTS_OF_DROP = 6.0, 6
"""A curve with at least six points also fell if its first value lies this many standard deviations
above the median of the others: all was learned between two points."""
MIN_FALL = log(1.05)
"""A loss must fall by at least this much, as a logarithm, to have learned something worth the
name."""
FIRST_POINT_SIGMAS = 3.0
"""The start is at least the first point minus this many standard deviations of a point."""
MAX_END_ABOVE_LOWEST = log(1.25)
"""The training loss ends near its best if its end is at most this much above its lowest level."""
MAX_END_OF_VALIDATION = log(1.1)
"""The same for the validation loss, which is measured on the same rows each time. Ordinary
fluctuations stay below it."""
MIN_NOISES = 4.0
"""A rise counts only if it exceeds the noise of a level by this factor."""
MAX_DISTANCE_FROM_LN_K = 0.05
"""A loss that begins and ends within this share of ln K has learned hardly anything about K
classes."""
CLASS_COUNTS = range(2, 11)
MIN_STILL_POINTS, MAX_STILL_RANGE = 5, 1e-3
"""Nothing moved if at least five points of each loss lie within this share of their level."""
MIN_FEW_EVALUATIONS = 3
MAX_TRAIN_LEFT, MIN_VAL_LEFT, MAX_TRAIN_OVER_VAL = 0.5, 0.99, 0.1
"""What is learned by heart does not show in validation: a training loss that has fallen below the
first share of its level at the first evaluation, beside a validation loss that never fell below the
second share of its first value. A training loss below the third share of the validation loss was
learned by heart before the first evaluation."""
MIN_TIMES_BELOW_ZERO = 100
"""A loss counts as having no lower bound if it ends below 0 by more than this many times its start
level. The negative log-likelihood of a continuous density may also be below 0, but keeps its order
of magnitude."""
MIN_SHARE_GIVEN_BACK, MIN_RISE_ERRORS = 0.25, 6.0
"""A loss of both signs has no ratio scale. It ends above its lowest level if it has given back this
share of what was learned, and more than this many standard errors."""
MIN_RISE_FROM_FIRST, MIN_RISE_FROM_FIRST_Z = 1.03, 3.0
"""Validation loss has risen from its first evaluation on if its last level is above this many times
its first value, by more than this many standard errors (`fall_z`). As for overfitting, a loss
within 3 % of its minimum counts as equal to it."""


TOO_FEW_POINTS = "too few points of"


class Doubt(NamedTuple):
    """A reason why a run cannot be called healthy.

    kind      the reason in words, without what was observed: the same on every machine
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
    yield from _no_fall(curves)
    yield from _not_carried_over(curves)
    if evidence.cached(val_loss_never_fell):
        yield _rose_from_first(curves["val_loss"])
    yield from _near_ln_k(curves)
    for name, curve in curves.items():
        yield from _high_end(name, curve)


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


def _rose_from_first(val: Curve) -> Doubt:
    return Doubt(
        "val_loss rose from its first evaluation on",
        f"val_loss rose from its first evaluation on: from {val.values[0]:.4g} at step "
        f"{val.steps[0]} to {val.values[-1]:.4g}; either the labels are unrelated to the inputs, "
        "or the first evaluation came too late",
    )


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


def _fell_together(curves: dict[str, Curve]) -> bool:
    """Whether training and validation loss, of which neither alone proves a fall, both fell."""
    train, val = curves.get("loss") or curves.get("train_loss"), curves.get("val_loss")
    if not train or not val:
        return False
    chance = _chance(train) * _chance(val)
    return chance <= MAX_CHANCE_OF_BOTH and min(_fall_of(train), _fall_of(val)) >= MIN_FALL


def _chance(curve: Curve) -> float:
    """The probability that a curve which does not fall would fall as much as this one. For a long
    curve, the tail of the normal distribution at its rank test."""
    if not curve.has_segments:
        return chance_of_fall(curve.values)
    return erfc(curve.fall_z / sqrt(2 * curve.correlation_length)) / 2


def _no_fall(curves: dict[str, Curve]) -> Iterator[Doubt]:
    """The reason why no loss fell by more than a triviality."""
    falls = {name: _fall_of(curve) for name, curve in curves.items() if fell(curve)}
    if any(fall >= MIN_FALL for fall in falls.values()) or _fell_together(curves):
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
    """The reason why losses that are all but constant are no sign of health."""
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


def _not_carried_over(curves: dict[str, Curve]) -> Iterator[Doubt]:
    """The reason why a training loss that fell since the first evaluation, or is far below the
    validation loss, is no sign of health if the validation loss has not fallen since then."""
    train, val = curves.get("train_loss") or curves.get("loss"), curves.get("val_loss")
    if not train or not val or len(val) < MIN_FEW_EVALUATIONS or train.values.min() <= 0:
        return
    at_first = train.values[train.steps >= val.steps[0]]
    count = max(1, len(at_first) // 5)
    if not len(at_first):
        return
    start, end = float(median(at_first[:count])), float(median(at_first[-count:]))
    first, last = float(val.values[0]), float(val.values[-1])
    is_gap = end < MAX_TRAIN_OVER_VAL * last
    if (end < MAX_TRAIN_LEFT * start or is_gap) and val.values.min() >= MIN_VAL_LEFT * first > 0:
        yield Doubt(
            "val_loss has not fallen",
            f"since the first evaluation, the training loss went from {start:.4g} to {end:.4g} and "
            f"val_loss did not fall: {first:.4g} at first, {last:.4g} at the end",
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
        # All may be learned between the first point and the second. A first point that is high by
        # its noise alone is no start.
        logs = np.log(np.maximum(curve.values, exp(float(levels.level.min()))))
        start = max(start, float(logs[0]) - FIRST_POINT_SIGMAS * noise_at_lag(logs))
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
    if rise > max(most, MIN_NOISES * levels.noise):
        yield Doubt(
            f"{name} ends above its lowest",
            f"{name} ends {100 * (exp(levels.end_level - levels.level.min()) - 1):.0f} % above its "
            f"lowest: at {exp(levels.end_level):.4g}, after {exp(levels.level.min()):.4g} around "
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
