"""Finds NaN and infinite values. The finding is at the first step that proves the fault, and names
the first site of that step in the order of computation.

A gradient that is not finite proves nothing by itself. Mixed precision searches for its loss scale:
gradients overflow until the scale has been halved often enough, and overflow once more whenever it
is raised too far. It skips those updates. So a gradient that is not finite counts only

- together with a value elsewhere that is not finite,
- together with a loss that is 0 from there on, which is how some trainers write NaN, or
- when no gradient is finite any more and the loss stands still.

The finding then names the first site in the uninterrupted sequence of such gradients. If a log has
none of these proofs but says that training ended because of such a value, that is a finding as
well. All these rules also apply to the gradients of single parameters, because a log may hold such
gradients as they were before they were divided by the loss scale."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from probes.common.arrays import distinct
from probes.diagnosis.base import Detector, Finding, Symptom
from probes.diagnosis.curves import MIN_POINTS, Curve, fall_z, fell
from probes.diagnosis.detectors.instrument import wrong_measurements
from probes.diagnosis.detectors.loss_zero import MIN_ZEROS, first_zeros
from probes.diagnosis.evidence import CannotJudgeError, Evidence, finite_number
from probes.record import Column, Steps
from probes.record.signals import BY_NAME

COUNT = "nonfinite_count"
GRADIENTS = ("grad_norm", "grad_norm_by_layer", "grad_activation_ratio")
MIN_PROVEN_ZEROS = 3
"""This many successive points at which the loss is 0 and the gradient not finite are a proof."""
MAX_SCALE_SEARCH_STEPS = 35
"""A search for the loss scale may take this many steps in a row. The largest scale that trainers
begin with, 2^32, is 1 after 32 halvings, and some trainers wait for an overflow or two before the
first halving."""
MIN_SHARE_OF_GRADIENTS = 0.1
"""A sequence of steps without a finite gradient counts only if it is at least this share of all
gradients so far."""
MAX_FALL_Z = 1.0
"""A loss that falls by at most this many standard errors (`fall_z`) stands still. A loss that falls
more shows that updates are made."""
NON_FINITE = Symptom(
    name="non-finite",
    quantity="NaN and infinite values at one site in one step",
    unit="values",
    view=None,
    worse="above",
    limit=0.0,
    criterion=(
        "one NaN or infinite value at any site; if only gradients have such values, they must "
        "occur at every step for longer than mixed precision searches for a loss scale, while the "
        "loss stands still"
    ),
    source="one such value is one too many: what is computed from NaN is NaN (IEEE 754)",
    sentence={"en": "From step {onset} on, values at {site} are NaN or infinite."},
)
SOURCE_OF_WORDS = "the log says that training ended because of NaN, infinity or overflow"
Counts = Mapping[str, tuple[Steps, Column]]
"""Site -> the steps at which its values were counted, and how many were not finite: [n], [n]."""


class Gradients(NamedTuple):
    """The steps of a run by the state of its gradients, in increasing order.

    bad    steps at which some gradient was not finite, [n]
    good   steps at which all gradients were finite, [m]
    """

    bad: Steps
    good: Steps

    def unbroken_run(self, step: int) -> Steps:
        """The bad steps up to `step` since the last good one."""
        good_before = int(np.searchsorted(self.good, step, side="right"))
        begin = (
            np.searchsorted(self.bad, self.good[good_before - 1], side="right")
            if good_before
            else 0
        )
        return self.bad[begin : np.searchsorted(self.bad, step, side="right")]


def judge(evidence: Evidence) -> list[Finding]:
    if not any(evidence.sites(name) for name in BY_NAME if name != "batch_ids"):
        raise CannotJudgeError("no signal was recorded")
    wrong = evidence.cached(wrong_measurements)  # faults of the record, not of the model
    counts = {
        site: evidence.series(COUNT, site) for site in evidence.sites(COUNT) if site not in wrong
    }
    none = np.empty(0, dtype=np.int64)
    bad, good, proofs = [none], [none], []
    for site, (steps, count) in counts.items():
        if site.partition(".")[0] in GRADIENTS or site.endswith(".grad"):
            bad.append(steps[count > 0])
            good.append(steps[count == 0])
        else:
            proofs += steps[count > 0][:1].tolist()
    if evidence.sites("grad_norm"):
        steps, norms = evidence.unchecked_series("grad_norm")
        good.append(steps[np.isfinite(norms)])
    all_bad, all_good = distinct(np.concatenate(bad)), distinct(np.concatenate(good))
    gradients = Gradients(all_bad, all_good[~np.isin(all_good, all_bad, assume_unique=True)])
    proofs += _lost_with_loss_of_zero(evidence, gradients)
    proofs += _lost_for_good(evidence, gradients)
    if not proofs:
        # The log itself may say that training ended because of a value that was not finite.
        ended = evidence.facts.get("ended")
        if not isinstance(ended, Mapping) or ended.get("reason") != "non-finite":
            return []
        said = finite_number(ended.get("step"))
        at = evidence.last_step if said is None else int(said)
        site = "a place that the log does not name"
        return [NON_FINITE.found(at, 1.0, site=site, source=SOURCE_OF_WORDS)]
    step = min(proofs)
    onset = min([step, *gradients.unbroken_run(step)[:1].tolist()])
    # At least one site has a count above 0 at the onset, because the onset is a step at which some
    # value was not finite.
    site, count_at_onset = next(
        (site, float(count[steps == onset][0]))
        for site, (steps, count) in counts.items()
        if (count[steps == onset] > 0).any()
    )
    return [
        NON_FINITE.found(step, count_at_onset, site=site, onset=None if onset == step else onset)
    ]


def _lost_with_loss_of_zero(evidence: Evidence, gradients: Gradients) -> list[int]:
    """The steps at which the loss had been 0 for long and the gradient was not finite."""
    proofs: list[int] = []
    with suppress(CannotJudgeError):
        steps, losses = evidence.series(evidence.loss_signal)
        lost = (losses == 0) & np.isin(steps, gradients.bad)
        proofs += [
            int(steps[last])
            for last in _successive(lost, MIN_PROVEN_ZEROS)
            if losses[: last + 1 - MIN_PROVEN_ZEROS].any()
        ]
        # A policy's loss is 0 at first as well, while mixed precision searches for its scale. So
        # zeros from the first point on count only once they last longer than the search.
        few = first_zeros(evidence, MIN_ZEROS)
        lasts = (
            few is not None
            and not few.before.size
            and few.known - few.onset > MAX_SCALE_SEARCH_STEPS
        )
        if few and lasts and (gradients.unbroken_run(few.known) >= few.onset).sum() >= MIN_ZEROS:
            proofs.append(few.known)
        if zeros := first_zeros(evidence):
            if (gradients.unbroken_run(zeros.known) >= zeros.onset).any():
                proofs.append(zeros.known)
            later = gradients.bad[(gradients.bad > zeros.known) & (gradients.bad <= zeros.end)]
            proofs += later[:1].tolist()
    return proofs


def _successive(is_met: npt.NDArray[np.bool_], count: int) -> list[int]:
    """The indices at which a condition [n] has been met for the `count`-th time in a row."""
    places = np.arange(len(is_met))
    since = places - np.maximum.accumulate(np.where(is_met, -1, places))
    return np.flatnonzero(since == count).tolist()


def _lost_for_good(evidence: Evidence, gradients: Gradients) -> list[int]:
    """The first step, if any, at which gradients had not been finite for longer than a search for
    the loss scale takes, while the loss did not fall.

    A series of bad steps is judged at fixed lengths, each twice the one before. A finding at one
    length does not depend on later steps, so it is never withdrawn. A trend of the loss needs at
    least MIN_POINTS points. A long series of bad steps is no proof by itself: norms may be logged
    as means over many steps, and one overflow spoils many of these."""
    if not evidence.sites(evidence.loss_signal):
        return []
    loss = Curve(*evidence.unchecked_series(evidence.loss_signal))
    good_before = np.searchsorted(gradients.good, gradients.bad)
    run_edges = np.r_[0, 1 + np.flatnonzero(np.diff(good_before)), len(gradients.bad)]
    for begin, end in pairwise(run_edges.tolist()):
        points = MIN_POINTS
        while begin + points <= end:
            first, last = gradients.bad[[begin, begin + points - 1]]
            during = loss.values[
                np.searchsorted(loss.steps, first) : np.searchsorted(loss.steps, last, side="right")
            ]
            so_far = good_before[begin] + begin + points
            long = (
                last - first > MAX_SCALE_SEARCH_STEPS and points >= MIN_SHARE_OF_GRADIENTS * so_far
            )
            if long and len(during) >= MIN_POINTS and fall_z(during) <= MAX_FALL_Z:
                return [int(last)]
            points *= 2
    return []


def judge_whole_log(evidence: Evidence) -> list[Finding]:
    """A finding when no gradient was finite in a whole log. While a run goes on, this may be the
    search for a loss scale. A run that has ended without a finite gradient has made no update."""
    if "grad_norm" not in evidence.sites(COUNT) or evidence.sites("grad_norm"):
        return []
    steps, bad = evidence.series(COUNT, "grad_norm")
    if not bad.all():
        return []
    loss = evidence.curve_or_empty(evidence.loss_signal)
    is_zero = len(loss) >= MIN_PROVEN_ZEROS and not loss.values.any()
    if is_zero or (len(loss) >= MIN_POINTS and len(steps) >= MIN_POINTS and not fell(loss.values)):
        return [
            NON_FINITE.found(
                evidence.last_step, float(bad[0]), site="grad_norm", onset=int(steps[0])
            )
        ]
    return []


DETECTOR = Detector("non-finite", judge, (NON_FINITE,))
DETECTOR_OF_WHOLE_LOG = Detector("no-finite-gradient", judge_whole_log, (NON_FINITE,), at_end=True)
