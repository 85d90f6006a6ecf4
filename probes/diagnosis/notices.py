"""What is worth knowing of a run that has ended and is no fault: one sentence each, with its
numbers.

A remark never is a finding: no cause needs it and no verdict turns on it. What a remark says may be
meant, or have several reasons that the log cannot tell apart (`docs/what-can-be-known.md`)."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.diagnosis.curves import (
    ENOUGH,
    ERRORS,
    ERRORS_OF_FEW,
    POINTS,
    TO_SIGMA,
    Course,
    course,
    falling,
    fell,
    finite,
    wander,
)
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column, Steps

FEWEST = 20
"""Points of a signal of which anything is said."""
STRAIGHT = (0.3, 1.2)
"""Fall in the second half of a log over that in the first: a straight line has 1, noise makes it a
little more, and a curve that comes to rest has less than a third. Chosen on the cases of
`testing.faults`."""
SURE = 2.0
"""Standard errors of the fall in the second half; deviations by which a first point is above the
others of its kind."""
GIVEN_BACK = 0.25
"""Share of what was learned that a rise gives back to be worth a word, as in a spike of the loss;
at the end of a log a share of what was left is enough."""
LONG = 3
"""Stretches of twenty, or of five points, that it lasts: less is a spike."""
VAL_RISE = 1.03
"""As for overfitting: within 3 % of its minimum a loss counts as being there."""
LITTLE = 0.01
"""Of its level, by which a loss must have fallen not to be remarked."""
UNBOUNDED = 100
"""Times as far below 0 as a loss began from it: a density's, which may be below 0 too, is of one
size throughout."""
FEWEST_EVALUATIONS = 10
"""Of which a quarter is enough for a median."""
LAST, FAR = 2, 1.2
"""Of fewer evaluations so many at the end, all so many times the lowest: as for overfitting of
few."""
ENDS_ABOVE = 1.1
"""Times its lowest, as a median of three, that the median of the last quarter is above: a wave is
as high."""
SHARE_LEFT = 0.1
"""Of the declared steps that are missing, and of the peak rate that is still there."""


def remarks(evidence: Evidence) -> tuple[str, ...]:
    """What there is to remark of a run that has ended; nothing in reinforcement learning."""
    try:
        steps, losses = _series(evidence, evidence.of_loss)
    except CannotJudgeError:
        return ()
    path = course(steps, losses)
    of_loss = (
        (*_of_loss(path, losses), *_of_little(path, losses), *_of_no_floor(path)) if path else ()
    )
    of_validation = tuple(_of_no_fall(evidence)) or tuple(_of_its_end(evidence))
    return (*_of_rate(evidence), *of_loss, *of_validation)


def _of_rate(evidence: Evidence) -> Iterator[str]:
    steps, lrs = _series(evidence, "lr")
    if len(lrs) < FEWEST or not lrs.any():
        return
    first, peak, last = float(lrs[0]), float(lrs.max()), float(lrs[-1])
    if (lrs == first).all():
        if evidence.facts.get("schedule") != "constant":
            yield f"lr is constant: {first:.4g} at all {len(lrs)} points"
        return
    if first == peak and steps[0] <= 1:
        yield f"lr starts at its peak: {first:.4g} at step {steps[0]}"
    total = evidence.facts.get("total_steps")
    if (
        isinstance(total, int | float)
        and steps[-1] + 1 < (1 - SHARE_LEFT) * total
        and last > SHARE_LEFT * peak
    ):
        yield f"the log ends before its schedule does: at step {steps[-1]} of {total:g}, with lr at {last:.4g}"


def _of_loss(path: Course, losses: Column) -> Iterator[str]:
    """How a loss went and how it ended."""
    level, error = path.level, path.error
    wide = wander(path, losses) if len(losses) >= ENOUGH else error
    # Before anything was learned: a stretch may be long enough to have learned much, and so may a
    # few points.
    start = max(
        float(np.median(losses[:POINTS])), float(losses[:POINTS].max() - SURE * path.sigma[0])
    )
    lowest = np.minimum.accumulate(level)
    top = int((level - lowest).argmax())
    bottom = int(level[: top + 1].argmin())
    rise, back = level[top] - level[bottom], level[bottom:] > (level[top] + level[bottom]) / 2
    # Noise that drifts, as smoothed noise does, is told by the levels themselves.
    drift = TO_SIGMA / sqrt(6) * float(np.median(np.abs(np.diff(level, 2))))
    sure = max(ERRORS_OF_FEW * float(np.hypot(error[top], error[bottom])), ERRORS * sqrt(2) * drift)
    learned = start - level[bottom]
    if rise > sure:
        least = GIVEN_BACK * (
            min(learned, level[bottom]) if back[-1] and level[bottom] > 0 else learned
        )
        stays = back[-1] and rise > ERRORS_OF_FEW * float(np.hypot(wide[top], wide[bottom]))
        came_back = not back[-1] and back.sum() >= LONG
        if learned > sure and rise > least and (stays or came_back):
            what = "ends far above its lowest" if stays else "rose for long and came back"
            yield (
                f"the loss {what}: from {level[bottom]:.4g} around step {path.begin[bottom]} to "
                f"{level[top]:.4g} around step {path.begin[top]}, and {level[-1]:.4g} at its end"
            )
    elif _straight(path):
        first, second = (_fall(path, half)[0] for half in _halves(path))
        yield f"still falling at its end: by {second:.4g} in the second half of the log, by {first:.4g} in the first"


def _straight(path: Course) -> bool:
    """Whether a loss falls along a line, to its end."""
    whole, whole_error = _fall(path, slice(None))
    (first, _), (second, error) = (_fall(path, half) for half in _halves(path))
    low, high = STRAIGHT
    return (
        whole > ERRORS * whole_error
        and second > SURE * error
        and low * first <= second <= high * first
    )


def _halves(path: Course) -> tuple[slice, slice]:
    half = len(path.level) // 2
    return slice(0, half), slice(-half, None)


def _fall(path: Course, part: slice) -> tuple[float, float]:
    """How far a line through the levels of a part falls, and the standard error of it."""
    level, error = path.level[part], path.error[part]
    place = np.arange(len(level)) - (len(level) - 1) / 2
    weight = place / (place @ place) * len(level)
    return -float(weight @ level), float(np.linalg.norm(weight * error))


def never_fell(evidence: Evidence) -> bool:
    """Whether no evaluation found a lower validation loss than the first, and it rose, while the
    training loss fell."""
    steps, values = _series(evidence, "val_loss")
    path = course(steps, values)
    if path is None or not fell(_series(evidence, evidence.of_loss)[1]):
        return False
    rose = path.level[-1] > VAL_RISE * values[0] and falling(-values) > ERRORS
    return bool(rose and 0 < values[0] <= values.min())


def _of_no_fall(evidence: Evidence) -> Iterator[str]:
    if never_fell(evidence):
        steps, values = _series(evidence, "val_loss")
        yield (
            f"val_loss rose from its first evaluation on: from {values[0]:.4g} at step {steps[0]} to "
            f"{values[-1]:.4g}; unrelated labels look like that, and good ones first evaluated too late"
        )


def _of_little(path: Course, losses: Column) -> Iterator[str]:
    """A loss that fell, but by next to nothing of what it is: a task that was learned already, or a
    large constant."""
    start, end = float(losses[:POINTS].max()), float(path.level[-1])
    error = wander(path, losses)
    sure = path.level[0] - end > ERRORS_OF_FEW * float(np.hypot(error[0], error[-1]))
    if end > 0 and start - end < LITTLE * start and sure:
        yield f"the loss fell by no more than {100 * (1 - end / start):.2g} %: from {start:.6g} to {end:.6g}"


def _of_no_floor(path: Course) -> Iterator[str]:
    """A loss that is far below 0 and falls ever faster, as nothing bounds it."""
    start, half, end = (float(path.level[at]) for at in (0, len(path.level) // 2, -1))
    if end < -UNBOUNDED * abs(start) and end < 2 * half < 0:
        yield (
            f"the loss falls below 0 without end: from {start:.4g} to {end:.4g}; a cross-entropy does so whose targets "
            "are no probabilities"
        )


def _of_its_end(evidence: Evidence) -> Iterator[str]:
    """A validation loss whose last quarter lies above the lowest it had been, by more than its
    waves."""
    steps, values = _series(evidence, "val_loss")
    if len(values) <= LAST or values.min() <= 0:
        return
    if len(values) < FEWEST_EVALUATIONS:
        lowest, end = int(values.argmin()), float(values[-1])
        if values[-LAST:].min() > FAR * values[lowest]:
            yield _above(end, float(values[lowest]), int(steps[lowest]))
        return
    smooth = np.median(sliding_window_view(values, 3), axis=1)
    last = max(3, len(values) // 4)
    lowest, end = int(smooth[: len(smooth) - last + 1].argmin()), float(np.median(values[-last:]))
    waves = TO_SIGMA / sqrt(6) * float(np.median(np.abs(np.diff(values, 2))))
    if smooth[-last:].min() > smooth[lowest] + waves and end > ENDS_ABOVE * smooth[lowest]:
        yield _above(end, float(smooth[lowest]), int(steps[lowest + 1]))


def _above(end: float, lowest: float, step: int) -> str:
    return (
        f"val_loss ends {100 * (end / lowest - 1):.0f} % above its lowest: at {end:.4g}, "
        f"after {lowest:.4g} around step {step}"
    )


def _series(evidence: Evidence, signal: str) -> tuple[Steps, Column]:
    """The finite points of a signal, none where it was not recorded."""
    if not evidence.sites(signal):
        return np.empty(0, dtype=int), np.empty(0)
    return finite(*evidence.series(signal))
