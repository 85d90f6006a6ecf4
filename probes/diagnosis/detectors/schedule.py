"""Finds a learning rate that is 0 from the start, becomes 0 long before the end, or never changes
although a schedule is declared."""

from __future__ import annotations

import numpy as np

from probes.common.arrays import distinct
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey, worsening
from probes.diagnosis.curves import fell
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column, Steps

MIN_RATES = 20
"""The rate is judged from this many points on, as many as a loss needs to be judged."""
MIN_SHARE_OF_RUN_SEEN = 0.1
"""The points must cover this share of the declared run. A schedule may hold its first value for a
while."""
MIN_SHARE_SEEN_WITHOUT_SCHEDULE = 0.5
"""If no schedule is declared, the points must cover this share of the declared run before the rates
count as 0. By then a warmup whose first rates are rounded to 0 is over."""
MIN_SHARE_AT_ZERO = 0.1
"""A rate that was above 0 must be 0 for more than this share of the log so far, both in points and
in steps. A schedule may end with a last row at 0, and a warm restart is at 0 for a moment."""
MIN_RATES_AT_ZERO = 5
"""At least this many points must be 0. In a short log a tenth of the points is only two."""
DECIMALS = range(4, 16)
"""Numbers of decimals to which a log may round its rates. Logs do not round to fewer, and a double
has no more."""
MAX_UNITS_BEFORE_ROUNDED_ZERO = 20
"""Rounding may explain a 0 if the last rate before it is at most this many units of the last
decimal. If the rate is divided by ten at each change, the last rate before a rounded 0 is at most
five units. If the rate falls linearly to 0, the last rate before a rounded 0 is at most about as
large as the fall from one point of the log to the next, which may be more than five units."""
SMALLEST_RATE = float(np.finfo(np.float64).tiny)
CONSTANT = Symptom(
    name="lr-constant",
    quantity="points with the same learning rate, from the first point on",
    unit="points",
    view=ViewKey.RATE,
    worse="above",
    criterion=(
        "a schedule other than constant is declared, and the learning rate is the same for 20 "
        "points and a tenth of the run"
    ),
    source="a declared schedule changes the rate within 20 points and a tenth of the run",
    sentence={"en": "A schedule is declared, but the learning rate has not moved by step {step}."},
)
ZERO = Symptom(
    name="lr-zero",
    quantity="learning rate",
    unit="learning rate",
    view=ViewKey.RATE,
    worse="below",
    limit=SMALLEST_RATE,
    criterion=(
        "every learning rate is 0: with a declared schedule, for 20 points and a tenth of the run; "
        "without one, to the end of the log, while the loss does not fall"
    ),
    source="a schedule rises above 0 within 20 points and a tenth of the run",
    sentence={"en": "The learning rate has been 0 from the start to step {step}."},
)
SOURCE_WITHOUT_SCHEDULE = (
    "a log may round its rates to 0, but a rate above 0 makes the loss fall by the end"
)
ZERO_EARLY = Symptom(
    name="lr-zero-early",
    quantity="share of the log at a learning rate of 0",
    unit="ratio",
    view=ViewKey.RATE,
    worse="above",
    limit=MIN_SHARE_AT_ZERO,
    criterion=(
        "learning rate exactly 0 for five points and a tenth of the log, in points and in steps, "
        "after a rate that is too large to be rounded to 0, while the loss does not fall"
    ),
    source=(
        "a schedule that ends with the run has one last row at 0; a warm restart is at 0 briefly"
    ),
    sentence={"en": "From step {onset} on the learning rate is 0, and the run goes on."},
)


def judge(evidence: Evidence) -> list[Finding]:
    """Judge any run once its points cover enough of it to show a schedule."""
    steps, rates = evidence.series("lr")
    total = _total_steps(evidence)
    points = _points_needed(steps, MIN_SHARE_OF_RUN_SEEN * total)
    if not points:
        raise CannotJudgeError(_too_few(steps, "a tenth", total))
    findings = _zero_early(evidence, steps, rates, points)
    # A record that declares a schedule holds the rates that were applied. Other logs may have
    # rounded them to 0 (`judge_without_schedule`).
    if evidence.facts.get("schedule") is not None and not rates[:points].any():
        findings.insert(0, ZERO.found(steps[points - 1], 0.0))
    if rates[0] != 0 and (rates[:points] == rates[0]).all():
        # If nothing was found so far and no schedule is declared, this detector cannot judge:
        # `evidence.fact` then raises CannotJudgeError.
        declared = evidence.facts.get("schedule") if findings else evidence.fact("schedule")
        if declared not in (None, "constant"):
            found = CONSTANT.found(steps[points - 1], float(points), limit=float(points - 1))
            findings.insert(0, found)
    return findings


def judge_without_schedule(evidence: Evidence) -> list[Finding]:
    """Judge a log of a run that has ended. The log declares no schedule and may have rounded its
    rates."""
    steps, rates = evidence.series("lr")
    total = _total_steps(evidence)
    if rates.any() or evidence.facts.get("schedule") is not None:
        return []
    if not _points_needed(steps, MIN_SHARE_SEEN_WITHOUT_SCHEDULE * total):
        raise CannotJudgeError(
            "every lr so far is 0, or was rounded to 0: " + _too_few(steps, "half", total)
        )
    losses = _losses(evidence, int(steps[0]), int(steps[-1]))
    if len(losses) < MIN_RATES:
        raise CannotJudgeError(
            f"{len(losses)} points of loss; {MIN_RATES} are needed to see whether it fell"
        )
    return (
        []
        if fell(losses)
        else [ZERO.found(evidence.last_step, 0.0, source=SOURCE_WITHOUT_SCHEDULE)]
    )


def _total_steps(evidence: Evidence) -> float:
    """The declared length of the run, 0 where none is declared."""
    return 0.0 if evidence.facts.get("total_steps") is None else evidence.number("total_steps")


def _points_needed(steps: Steps, span: float) -> int:
    """The smallest number of first points that is at least MIN_RATES and that covers `span` steps;
    0 if all points so far are not enough."""
    enough = steps - steps[:1] + 1 >= span
    enough[: MIN_RATES - 1] = False
    return int(np.argmax(enough)) + 1 if enough.any() else 0


def _too_few(steps: Steps, share: str, total: float) -> str:
    declared = f" and {share} of the {total:g} declared" if total else ""
    return (
        f"{len(steps)} points of lr over {steps[-1] - steps[0] + 1} steps; "
        f"{MIN_RATES}{declared} are needed"
    )


def _losses(evidence: Evidence, first: int, last: int) -> Column:
    """The finite losses from step `first` to step `last`. Raises CannotJudgeError when no loss was
    recorded."""
    loss = evidence.curve(evidence.loss_signal)
    return loss.values[(loss.steps >= first) & (loss.steps <= last)]


def _zero_early(evidence: Evidence, steps: Steps, rates: Column, points: int) -> list[Finding]:
    """A finding when a rate that was above 0 has been 0 for long, and another one each time it has
    been 0 for a clearly larger share of the log."""
    places = np.arange(len(rates))
    last_above = np.maximum.accumulate(np.where(rates != 0, places, -1))
    length, seen = places - last_above, places + 1
    first_zero = np.minimum(last_above + 1, places)
    share_of_steps = (steps - steps[first_zero]) / np.maximum(steps - steps[0], 1)
    share = np.where(
        (last_above >= 0) & (length >= MIN_RATES_AT_ZERO),
        np.minimum(length / seen, share_of_steps),
        0.0,
    )
    share[: points - 1] = 0
    findings = []
    for i in worsening(share, MIN_SHARE_AT_ZERO, "above"):
        begin, step = int(last_above[i]) + 1, int(steps[i])
        # Rounding may explain the 0 if all rates before it have few decimals, and the last one of
        # them is only a few units of the last decimal.
        several = distinct(rates[:begin])
        dtype = np.float32 if (several.astype(np.float32) == several).all() else np.float64
        decimals = next(
            (d for d in DECIMALS if (several.round(d).astype(dtype) == several).all()), None
        )
        if (
            decimals is not None
            and rates[begin - 1] <= MAX_UNITS_BEFORE_ROUNDED_ZERO * 10.0**-decimals
        ):
            continue
        # If the loss falls meanwhile, another group of parameters is trained at a rate that is not
        # logged.
        if evidence.sites(evidence.loss_signal) and fell(
            _losses(evidence, int(steps[begin]), step)
        ):
            continue
        findings.append(ZERO_EARLY.found(step, float(share[i]), onset=int(steps[begin])))
    return findings


DETECTOR = Detector("schedule", judge, (CONSTANT, ZERO, ZERO_EARLY))
DETECTOR_WITHOUT_SCHEDULE = Detector("rate-of-log", judge_without_schedule, (ZERO,), at_end=True)
