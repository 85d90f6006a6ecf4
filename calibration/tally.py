"""Counts of outcomes: per condition, per sampled config, per detector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from calibration.conditions import SAMPLED
from calibration.outcome import Outcome
from model.breaks import BREAKS
from testing.rates import Interval, bootstrap_interval, exact_interval, upper_bound

HEALTHY_RUN, LABELLED, UNLABELLED = (
    "healthy",
    f"{SAMPLED}, labelled healthy",
    f"{SAMPLED}, not labelled",
)
TARGET_ALARMS, MAX_ALARMS = 0, 2
"""In 300 healthy runs. With two alarms the false-alarm rate is below 2.1 %, with one-sided
confidence of 95 %."""

Groups = Mapping[str, Sequence[Outcome]]


def grouped(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Outcomes by condition, healthy first. Those of sampled configs are split by the label of the
    rule that uses no detector."""
    groups: dict[str, list[Outcome]] = {HEALTHY_RUN: [], **{name: [] for name in BREAKS}}
    for one in sorted(
        outcomes, key=lambda one: (one.condition == SAMPLED, bool(one.unlabelled), one.name)
    ):
        name = one.condition
        if name == SAMPLED:
            name = UNLABELLED if one.unlabelled else LABELLED
        groups.setdefault(name, []).append(one)
    return {name: runs for name, runs in groups.items() if runs}


@dataclass(frozen=True)
class Tally:
    """The counts of one condition.

    right          number of right outcomes
    interval       the 95 % interval of their rate: exact, or a bootstrap where runs share configs.
                   None where there is no right answer, and where runs share configs and all are
                   right, since a bootstrap says nothing there
    certain_since  median and latest step from which the right cause ranks first for good; None
                   where it was never named
    certain_by     the step by which it should rank first
    margins        least and median lead over the next cause, of the runs that have a next cause
    sole           number of runs that have no next cause
    """

    runs: int
    right: int
    interval: Interval | None
    certain_since: tuple[float, int] | None
    certain_by: int | None
    margins: tuple[float, float] | None
    sole: int


def tally(name: str, runs: Sequence[Outcome]) -> Tally:
    """Count the outcomes of a condition."""
    named = [one for one in runs if one.expected and one.right]
    since = [one.certain_since for one in named if one.certain_since is not None]
    margins = [one.margin for one in named if one.margin is not None]
    right = sum(one.right for one in runs)
    return Tally(
        runs=len(runs),
        right=right,
        interval=_interval(name, runs, right),
        certain_since=(median(since), max(since)) if since else None,
        certain_by=BREAKS[name].certain_by if name in BREAKS else None,
        margins=(min(margins), median(margins)) if margins else None,
        sole=len(named) - len(margins),
    )


def _interval(name: str, runs: Sequence[Outcome], right: int) -> Interval | None:
    if name == UNLABELLED or (name == LABELLED and right == len(runs)):
        return None
    if name == LABELLED:
        alarmed = bootstrap_interval(
            [(config.alarms, config.labelled) for config in by_config(runs)]
        )
        return Interval(1 - alarmed.high, 1 - alarmed.low)
    return exact_interval(right, len(runs))


@dataclass(frozen=True)
class ConfigTally:
    """The counts of one sampled config.

    labelled  number of runs that are labelled healthy
    alarms    number of labelled runs with an alarm
    said      what was said in these -> how often
    reasons   why other runs are not labelled healthy
    """

    config: str
    runs: int
    labelled: int
    alarms: int
    said: Mapping[str, int]
    reasons: tuple[str, ...]


def by_config(outcomes: Sequence[Outcome]) -> list[ConfigTally]:
    """The counts of every sampled config, in the order of the stream."""
    configs: dict[str, list[Outcome]] = {}
    for one in outcomes:
        if one.config:
            configs.setdefault(one.config, []).append(one)
    return [_of_config(config, configs[config]) for config in sorted(configs)]


def _of_config(config: str, runs: Sequence[Outcome]) -> ConfigTally:
    labelled = [one for one in runs if not one.unlabelled]
    alarms = [one for one in labelled if one.alarm]
    reasons = tuple(one.unlabelled for one in runs if one.unlabelled)
    return ConfigTally(
        config, len(runs), len(labelled), len(alarms), Counter(one.said for one in alarms), reasons
    )


def finding_detectors(runs: Sequence[Outcome]) -> Counter[str]:
    """Detector -> number of runs in which it found something."""
    return Counter(name for one in runs for name in one.found)


def silent_detectors(runs: Sequence[Outcome]) -> dict[tuple[str, str], int]:
    """(detector, why it could not judge) -> number of runs."""
    return dict(Counter((name, why) for one in runs for name, why in one.silent.items()))


def alarms(runs: Sequence[Outcome]) -> list[Outcome]:
    """The runs with an alarm."""
    return [one for one in runs if one.alarm]


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The counts of each condition in builtin values, for reports/calibration.json. An interval is
    that of the rate of right outcomes."""
    return {name: _summary(name, runs) for name, runs in grouped(outcomes).items()}


def _summary(name: str, runs: Sequence[Outcome]) -> dict[str, Any]:
    counted = tally(name, runs)
    figures: dict[str, Any] = {
        "runs": counted.runs,
        "right": None if name == UNLABELLED else counted.right,
        "interval_95": list(counted.interval) if counted.interval else None,
        "said": dict(Counter(one.said for one in runs).most_common()),
    }
    if runs[0].expected:
        since, margins = counted.certain_since or (None, None), counted.margins or (None, None)
        figures |= {"certain_since_median": since[0], "certain_since_worst": since[1]}
        figures |= {
            "certain_by": counted.certain_by,
            "margin_least": margins[0],
            "margin_median": margins[1],
        }
        return figures | {"sole": counted.sole}
    figures |= {
        "alarms": len(alarms(runs)),
        "found_by": dict(finding_detectors(runs).most_common()),
    }
    return figures | (
        {"alarm_rate_at_most_95": upper_bound(len(alarms(runs)), len(runs))}
        if name == HEALTHY_RUN
        else {}
    )
