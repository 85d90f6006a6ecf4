"""A learning rate that is 0, from the start or long before the end, or that never moves although it
was declared to."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding, worsening
from probes.diagnosis.curves import fell, finite
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column, Steps

CONSTANT = "lr-constant"
ZERO = "lr-zero"
ENDED = "lr-zero-early"
PATIENCE_POINTS = 20
"""Points of lr to see before judging: as many as make a loss a core signal."""
SHARE_OF_RUN = 0.1
"""Share of the declared run to see before judging; a schedule may hold its first value for a
while."""
SHARE_LOGGED = 0.5
"""Of the declared run, to see of a log before its rates are called 0: a warmup that rounding hides
is over by then."""
SHARE_ENDED = 0.1
"""Share of the log so far, in points and in steps, for which a rate that was above 0 has to be 0: a
schedule ends with a last row at 0, and a warm restart touches it."""
FEWEST_ENDED = 5
"""As many points of it at least."""
DECIMALS = range(4, 16)
"""To which a log may round its rates: to fewer nobody does, and a double has no more."""
NEAR = 20
"""Units of the last decimal within which the last rate above 0 lies if rounding made the 0: a
schedule that divides by ten comes from five, one that falls evenly from as many as it falls between
two points."""
SMALLEST = float(np.finfo(np.float64).tiny)
SOURCE = "a declared schedule moves within 20 points and a tenth of the run"
SOURCE_ZERO = "no rate above 0 within 20 points and a tenth of the run"
SOURCE_LOGGED = (
    "no rate above 0 and no fall of the loss in a log that has ended, which may round its rates"
)
SOURCE_ENDED = (
    "exactly 0 for five points and a tenth of the log, after a rate that no rounding takes to 0"
)


def judge(evidence: Evidence) -> list[Finding]:
    steps, lrs = evidence.series("lr")
    total = 0.0 if evidence.facts.get("total_steps") is None else evidence.number("total_steps")
    points = _points_seen(steps, SHARE_OF_RUN * total)
    if not points:
        raise CannotJudgeError(_too_few(steps, "a tenth", total))
    findings = _ended(evidence, steps, lrs, points)
    # Who declares a schedule writes down the rate that is applied; another log may round it to 0.
    if evidence.facts.get("schedule") is not None and not lrs[:points].any():
        findings.insert(
            0, Finding(ZERO, "", int(steps[points - 1]), 0.0, SMALLEST, "below", SOURCE_ZERO)
        )
    if lrs[0] != 0 and (lrs[:points] == lrs[0]).all():
        declared = evidence.facts.get("schedule") if findings else evidence.fact("schedule")
        if declared not in (None, "constant"):
            step = int(steps[points - 1])
            findings.insert(
                0, Finding(CONSTANT, "", step, float(points), float(points - 1), "above", SOURCE)
            )
    return findings


def _points_seen(steps: Steps, span: float) -> int:
    """Points until both are seen: enough of them, and so many steps, however often lr was logged; 0
    if not yet."""
    seen = steps - steps[:1] + 1 >= span
    seen[: PATIENCE_POINTS - 1] = False
    return int(np.argmax(seen)) + 1 if seen.any() else 0


def _too_few(steps: Steps, share: str, total: float) -> str:
    declared = f" and {share} of the {total:g} declared" if total else ""
    return f"{len(steps)} points of lr over {steps[-1] - steps[0] + 1} steps; {PATIENCE_POINTS}{declared} are needed"


def judge_log(evidence: Evidence) -> list[Finding]:
    """A log whose rates are all 0: rounded ones move the loss in the end. Our own records round
    nothing."""
    steps, lrs = evidence.series("lr")
    total = 0.0 if evidence.facts.get("total_steps") is None else evidence.number("total_steps")
    if lrs.any() or evidence.facts.get("schedule") is not None:
        return []
    if not _points_seen(steps, SHARE_LOGGED * total):
        raise CannotJudgeError(
            "every lr is 0 so far, or rounded to it: " + _too_few(steps, "half", total)
        )
    losses = _losses(evidence, int(steps[0]), int(steps[-1]))
    if len(losses) < PATIENCE_POINTS:
        raise CannotJudgeError(
            f"{len(losses)} points of loss; {PATIENCE_POINTS} are needed to see whether it fell"
        )
    return (
        []
        if fell(losses)
        else [Finding(ZERO, "", int(evidence.steps[-1]), 0.0, SMALLEST, "below", SOURCE_LOGGED)]
    )


def _losses(evidence: Evidence, first: int, last: int) -> Column:
    """The finite losses from step `first` to `last`. Raises CannotJudgeError when none was ever
    recorded."""
    steps, losses = finite(*evidence.series(evidence.of_loss))
    return losses[(steps >= first) & (steps <= last)]


def _ended(evidence: Evidence, steps: Steps, lrs: Column, points: int) -> list[Finding]:
    """A rate of 0 that was above it, each time it has lasted for a still larger share of the
    log."""
    places = np.arange(len(lrs))
    last_above = np.maximum.accumulate(np.where(lrs != 0, places, -1))
    length, seen = places - last_above, places + 1
    lasted = (steps - steps[np.minimum(last_above + 1, places)]) / np.maximum(steps - steps[0], 1)
    share = np.where(
        (last_above >= 0) & (length >= FEWEST_ENDED), np.minimum(length / seen, lasted), 0.0
    )
    share[: points - 1] = 0
    findings = []
    for i in worsening(share, SHARE_ENDED, "above"):
        begin, step = int(last_above[i]) + 1, int(steps[i])
        if not _rounded(lrs[:begin]) and not _learns(evidence, int(steps[begin]), step):
            findings.append(
                Finding(
                    ENDED,
                    "",
                    step,
                    float(share[i]),
                    SHARE_ENDED,
                    "above",
                    SOURCE_ENDED,
                    int(steps[begin]),
                )
            )
    return findings


def _rounded(lrs: Column) -> bool:
    """Whether rates before a 0 may have been rounded to it: all have few decimals and the last is
    near the last one."""
    if not lrs.any():
        return False
    rates = np.unique(lrs)
    single = bool((rates.astype(np.float32) == rates).all())
    for decimals in DECIMALS:
        cut = rates.round(decimals)
        if ((cut.astype(np.float32) if single else cut) == rates).all():
            return bool(lrs[-1] <= NEAR * 10.0**-decimals)
    return False


def _learns(evidence: Evidence, first: int, last: int) -> bool:
    """Whether the loss falls meanwhile: then another group of parameters has a rate that is not
    logged."""
    return bool(evidence.sites(evidence.of_loss)) and fell(_losses(evidence, first, last))


LIMITS = {
    CONSTANT: f"as many equal learning rates as are looked at; {SOURCE}",
    ZERO: f"every learning rate looked at is 0; {SOURCE_ZERO}, or {SOURCE_LOGGED}",
    ENDED: f"more than a tenth of the log, in points and in steps, at a learning rate of 0; {SOURCE_ENDED}",
}
DETECTOR = Detector("schedule", judge, LIMITS)
OF_LOG = Detector("rate-of-log", judge_log, {ZERO: LIMITS[ZERO]}, at_end=True)
