"""The result of a judged range as tables, for the page and for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from calibration.outcome import Outcome
from calibration.tally import (
    HEALTHY_RUN,
    LABELLED,
    MAX_ALARMS,
    TARGET_ALARMS,
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
from testing.rates import Interval, bootstrap_interval, exact_interval, upper_bound
from testing.tables import NO_VALUE, Table

Configs = Mapping[str, Mapping[str, Any]]
"""Name of a sampled config -> the leaves that were drawn."""
VERDICTS = ("healthy", "undetermined")
"""The last columns of the confusion matrix: runs of which no cause is named."""


def tables(outcomes: Sequence[Outcome], configs: Configs) -> list[Table]:
    """All tables of a judged range. Tables without rows are included, since that is a result
    too."""
    groups = grouped(outcomes)
    of_groups = (
        accuracy, _confusion, _certainty, _alarms, _misses, _found, _silent, sampled_rate,
    )  # fmt: skip
    return [*(table(groups) for table in of_groups), _configs(outcomes, configs)]


def percent(share: float) -> str:
    """Write a share: "98.77 %", "100 %"."""
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


def written(interval: Interval | None) -> str:
    """Write an interval: "96.38 to 100 %"."""
    if interval is None:
        return NO_VALUE
    return f"{percent(interval.low).removesuffix(' %')} to {percent(interval.high)}"


def accuracy(groups: Groups) -> Table:
    note = (
        "A broken run counts as right if the expected cause ranks first, a healthy run if there is "
        "no alarm. The intervals are exact (Clopper and Pearson). If a sampled config has an "
        "alarm, the interval of the sampled configs is a bootstrap over configs instead."
    )
    rows = tuple(
        (
            name,
            str(t.runs),
            NO_VALUE if name == UNLABELLED else str(t.right),
            written(t.interval),
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
        reached = "yes" if wrong <= TARGET_ALARMS else "accepted" if wrong <= MAX_ALARMS else "no"
        bound = percent(upper_bound(wrong, counted.runs))
        aim = f"{TARGET_ALARMS} alarms, at most {MAX_ALARMS} accepted"
        return aim, f"{reached}: {wrong}, with 95 % confidence below {bound}"
    return NO_VALUE, NO_VALUE


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
        "Rows are the trained conditions, columns the causes and verdicts that were given.",
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
        "Certain since is the step from which every longer record names the right cause first. The "
        "margin is its lead over the next cause, a difference of log10; a sole cause has none."
    )
    broken = {name: tally(name, runs) for name, runs in groups.items() if runs[0].expected}
    return Table(
        "How soon, and how clearly",
        note,
        head,
        tuple((name, *_certainty_cells(t)) for name, t in broken.items()),
    )


def _certainty_cells(counted: Tally) -> Iterator[str]:
    yield from (
        (f"{step:g}" for step in counted.certain_since)
        if counted.certain_since
        else (NO_VALUE, NO_VALUE)
    )
    yield NO_VALUE if counted.certain_by is None else str(counted.certain_by)
    yield from (
        (f"{margin:.2f}" for margin in counted.margins) if counted.margins else (NO_VALUE, NO_VALUE)
    )
    yield str(counted.sole)


def _alarms(groups: Groups) -> Table:
    note = (
        "Each with its evidence. The last column gives the objections of a rule that uses no "
        "detector."
    )
    rows = tuple(
        (one.name, one.said, one.headline, one.unlabelled or "nothing")
        for name in (HEALTHY_RUN, LABELLED)
        for one in alarms(groups.get(name, ()))
    )
    return Table("Alarms in healthy runs", note, ("run", "named", "evidence", "against it"), rows)


def _misses(groups: Groups) -> Table:
    note = "Runs whose expected cause did not rank first, with what was said instead."
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
        "The runs are healthy runs of configs that were not used to choose a threshold. The "
        "interval of the false-alarm rate is a bootstrap over configs; without any alarm it is "
        "0 to 0. The interval of the share of configs with an alarm is exact."
    )
    if not runs:
        return Table("False alarms at sampled configs", note, head, ())
    wrong, touched = len(alarms(runs)), sum(config.alarms > 0 for config in configs)
    row = (
        str(len(configs)),
        str(len(runs)),
        str(wrong),
        percent(wrong / len(runs)),
        written(bootstrap_interval([(config.alarms, config.labelled) for config in configs])),
        f"{touched} of {len(configs)}",
        written(exact_interval(touched, len(configs))),
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
            ", ".join(f"{name} {count}" for name, count in config.said.items()) or NO_VALUE,
            "; ".join(dict.fromkeys(config.reasons)) or NO_VALUE,
        )
        for config in by_config(outcomes)
    )
    return Table("Sampled configs", "All other leaves are HEALTHY's.", head, rows)
