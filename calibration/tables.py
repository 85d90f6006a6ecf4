"""A judged range as tables of text: what the page and the terminal show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibration.outcome import Outcome
from calibration.rates import Interval, at_most, exact, over_groups
from calibration.tally import (
    ALARMS_ACCEPTED,
    ALARMS_AIMED_AT,
    HEALTHY_RUN,
    LABELLED,
    UNLABELLED,
    Groups,
    Tally,
    alarms,
    by_config,
    finding_detectors,
    grouped,
    silent_detectors,
    tally,
)
from model.breaks import BREAKS
from probes.diagnosis.detectors import DETECTORS

Row = tuple[str, ...]
Configs = Mapping[str, Mapping[str, Any]]
"""Sampled config -> its leaves that are drawn."""
NONE = "–"
VERDICTS = ("healthy", "undetermined")
"""Columns of the confusion matrix in which no cause is named; they come last."""


@dataclass(frozen=True)
class Table:
    """A title, a sentence on how to read it, the names of the columns, the rows."""

    title: str
    note: str
    head: Row
    rows: tuple[Row, ...]


def tables(outcomes: Sequence[Outcome], configs: Configs) -> list[Table]:
    """Every table of a judged range; one without rows is left in, for that there are none is a
    result."""
    groups = grouped(outcomes)
    return [accuracy(groups), _confusion(groups), _certainty(groups), _alarms(groups), _misses(groups),
            _found(groups), _silent(groups), sampled_rate(groups), _configs(outcomes, configs)]  # fmt: skip


def percent(share: float) -> str:
    """ "98.77 %", "100 %"."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


def span(interval: Interval | None) -> str:
    """ "96.38 to 100 %"."""
    return (
        f"{percent(interval.low).removesuffix(' %')} to {percent(interval.high)}"
        if interval
        else NONE
    )


def accuracy(groups: Groups) -> Table:
    note = (
        "Right is: the expected cause is named first; of healthy runs: nobody is called. The interval is Clopper and "
        "Pearson's, of sampled configs with an alarm a bootstrap over configs."
    )
    rows = tuple(
        (
            name,
            str(t.runs),
            NONE if name == UNLABELLED else str(t.right),
            span(t.interval),
            *_target(name, t),
        )
        for name, t in ((name, tally(name, runs)) for name, runs in groups.items())
    )
    return Table(
        "How often it is right",
        note,
        ("condition", "runs", "right", "95 %", "target", "reached"),
        rows,
    )


def _target(name: str, counted: Tally) -> tuple[str, str]:
    if name in BREAKS:
        return "every run", "yes" if counted.right == counted.runs else "no"
    if name == HEALTHY_RUN:
        wrong = counted.runs - counted.right
        reached = (
            "yes" if wrong <= ALARMS_AIMED_AT else "accepted" if wrong <= ALARMS_ACCEPTED else "no"
        )
        bound = percent(at_most(wrong, counted.runs))
        aim = f"{ALARMS_AIMED_AT} alarms, at most {ALARMS_ACCEPTED} accepted"
        return aim, f"{reached}: {wrong}, with 95 % confidence below {bound}"
    return NONE, NONE


def _confusion(groups: Groups) -> Table:
    said = {name: Counter(one.said for one in runs) for name, runs in groups.items()}
    causes = dict.fromkeys(one.expected for runs in groups.values() for one in runs if one.expected)
    others = sorted(
        {word for counts in said.values() for word in counts} - causes.keys() - set(VERDICTS)
    )
    columns = (*causes, *others, *VERDICTS)
    rows = tuple(
        (name, *(str(counts[column]) for column in columns)) for name, counts in said.items()
    )
    return Table(
        "Confusion matrix",
        "Rows are what was trained, columns what was said.",
        ("condition", *columns),
        rows,
    )


def _certainty(groups: Groups) -> Table:
    head = (
        "condition",
        "certain since, median",
        "worst",
        "by",
        "least margin",
        "median",
        "sole cause",
    )
    note = (
        "The step from which every longer record names the right cause first. The margin is its lead over the next "
        "cause, a difference of log10; a sole cause has none."
    )
    ill = {name: tally(name, runs) for name, runs in groups.items() if runs[0].expected}
    return Table(
        "How soon, and how clearly",
        note,
        head,
        tuple((name, *_sureness(t)) for name, t in ill.items()),
    )


def _sureness(counted: Tally) -> Iterator[str]:
    yield from (
        (f"{step:g}" for step in counted.certain_since) if counted.certain_since else (NONE, NONE)
    )
    yield NONE if counted.certain_by is None else str(counted.certain_by)
    yield from (f"{margin:.2f}" for margin in counted.margins) if counted.margins else (NONE, NONE)
    yield str(counted.sole)


def _alarms(groups: Groups) -> Table:
    note = "Each with what caused it. The last column is what a rule that knows no detector has against the run."
    rows = tuple(
        (one.name, one.said, one.headline, one.unlabelled or "nothing")
        for name in (HEALTHY_RUN, LABELLED)
        for one in alarms(groups.get(name, ()))
    )
    return Table("Alarms in healthy runs", note, ("run", "named", "evidence", "against it"), rows)


def _misses(groups: Groups) -> Table:
    note = "Runs whose expected cause was not named first, with what was said instead."
    rows = tuple(
        (one.name, one.expected, one.said, one.headline)
        for runs in groups.values()
        for one in runs
        if one.expected and not one.right
    )
    return Table("Misses", note, ("run", "expected", "said", "evidence"), rows)


def _found(groups: Groups) -> Table:
    ours = {name: runs for name, runs in groups.items() if name in (HEALTHY_RUN, LABELLED)}
    counts = [finding_detectors(runs) for runs in ours.values()]
    head = ("detector", *(f"{name} ({len(runs)} runs)" for name, runs in ours.items()))
    names = dict.fromkeys(
        [*(detector.name for detector in DETECTORS), *(name for count in counts for name in count)]
    )
    rows = tuple((name, *(str(count[name]) for count in counts)) for name in names)
    return Table(
        "Healthy runs in which a detector found something", "Each should be 0.", head, rows
    )


def _silent(groups: Groups) -> Table:
    rows = tuple(
        (detector, name, str(count), why)
        for name, runs in groups.items()
        for (detector, why), count in silent_detectors(runs).items()
    )
    return Table(
        "Detectors that could not judge",
        "",
        ("detector", "condition", "runs", "why"),
        tuple(sorted(rows)),
    )


def sampled_rate(groups: Groups) -> Table:
    runs = groups.get(LABELLED, ())
    configs = by_config(runs)
    head = (
        "configs",
        "labelled runs",
        "alarms",
        "false-alarm rate",
        "95 %",
        "configs with an alarm",
        "95 %",
    )
    note = (
        "At healthy configs that no threshold was chosen on. The first interval is a bootstrap over configs, 0 to 0 "
        "when there is no alarm at all; the last is exact, of the share of configs in which there is one."
    )
    if not runs:
        return Table("False alarms at sampled configs", note, head, ())
    wrong, touched = len(alarms(runs)), sum(config.alarms > 0 for config in configs)
    row = (
        str(len(configs)),
        str(len(runs)),
        str(wrong),
        percent(wrong / len(runs)),
        span(over_groups([(config.alarms, config.labelled) for config in configs])),
        f"{touched} of {len(configs)}",
        span(exact(touched, len(configs))),
    )
    return Table("False alarms at sampled configs", note, head, (row,))


def _configs(outcomes: Sequence[Outcome], configs: Configs) -> Table:
    columns = list(next(iter(configs.values()), {}))
    head = (
        "config",
        *(name.rpartition(".")[2] for name in columns),
        "labelled",
        "alarms",
        "named",
        "not labelled because",
    )
    rows = tuple(
        (
            config.config,
            *(f"{configs[config.config][name]:.3g}" for name in columns),
            f"{config.labelled} of {config.runs}",
            str(config.alarms),
            ", ".join(f"{name} {count}" for name, count in config.said.items()) or NONE,
            "; ".join(dict.fromkeys(config.reasons)) or NONE,
        )
        for config in by_config(outcomes)
    )
    return Table("Sampled configs", "What is not named is HEALTHY's.", head, rows)
