"""How often the verdict on a log is right: one table for this project, and for other tools on the
same files.

    python -m studies.public_logs FOLDER LABELS [--tool NAME ...] [--misses] [--json FILE]
                                                [--markdown]

FOLDER holds the logs and LABELS is a file that says what is right for each of them; the format of
the labels is described in docs/labelled-logs.md. The tools are this project, `probes`, and those of
studies/peers.py that are installed; all of them are compared unless some are named.

A log counts for a rate only if one verdict is right for it; a log for which two verdicts are right
appears only in the list of wrong verdicts. All intervals are 95 % intervals (Clopper and Pearson
1934). In "right, each group once" each group of logs of the same origin contributes the share of
its logs with a right verdict.

The exit code is 0, however many verdicts are wrong. It is 2 if the labels, a log or an option
cannot be used."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from probes.common.files import write_output
from probes.common.text import did_you_mean, printable
from probes.diagnosis.causes import BY_NAME, CAUSES
from probes.readers.discover import format_of, head_of, is_record
from probes.report.judged_run import AnyRun, JudgedRun, judge_file
from studies import peers
from studies.log_labels import Label, LabelError, read_labels
from studies.peers import Opinion
from testing.rates import Interval, exact_interval
from testing.tables import NO_VALUE, Table

OURS = "probes"
LOSSES = ("loss", "train_loss", "val_loss")
LENGTHS = ((1000, ">= 1000"), (100, "100-999"), (20, "20-99"), (0, "< 20"))
"""Smallest number of points of loss -> description; the first that applies is taken."""
NOT_READ = "not read"
LABELLED = ("unhealthy", "healthy", "undetermined")
SAID = {
    "unhealthy": "found unhealthy",
    "healthy": "called healthy",
    "undetermined": "cannot judge",
    "unreadable": "unreadable",
}
"""Verdict -> how the table states that a tool gave it."""
SLICE_MEASURES = (
    ("unhealthy: found unhealthy", ("unhealthy",), ("unhealthy",)),
    ("healthy: found unhealthy", ("healthy",), ("unhealthy",)),
    ("both: cannot judge or unreadable", ("unhealthy", "healthy"), ("undetermined", "unreadable")),
)
"""Rates by format and by length: description, labels that count, verdicts that are counted."""


@dataclass(frozen=True)
class Log:
    """What the tables by format and by length need to know of a log.

    format  name of the format as this project recognises it
    length  how many points its longest loss has, as one of the LENGTHS
    points  the number itself; None if this project could not read the log
    """

    format: str
    length: str
    points: int | None


@dataclass(frozen=True)
class Outcome:
    """What a tool said of a labelled run."""

    label: Label
    log: Log
    opinion: Opinion

    @property
    def right(self) -> bool:
        return self.opinion.verdict in self.label.verdicts


@dataclass(frozen=True)
class Rate:
    """How many of the runs that count have a property.

    logs      which runs count
    measure   the property
    count     runs that have it; a sum of shares if each group counts once
    total     runs or groups that count
    """

    logs: str
    measure: str
    count: float
    total: int

    @property
    def interval(self) -> Interval | None:
        return exact_interval(self.count, self.total) if self.total else None

    def __str__(self) -> str:
        if self.interval is None:
            return NO_VALUE
        low, high = (round(100 * end) for end in self.interval)
        share = round(100 * self.count / self.total)
        whole = f"{self.count:.0f}" if self.count == int(self.count) else f"{self.count:.2f}"
        return f"{whole} of {self.total}, {share} % ({low}-{high})"


# Judging


def judge_folder(
    folder: Path, labels: Sequence[Label], tools: Sequence[str]
) -> dict[str, list[Outcome]]:
    """Judge every labelled run by every tool. Return tool -> outcomes, those of one file together.

    A tool that gives one opinion of a log with several runs gives it of each of them."""
    outcomes: dict[str, list[Outcome]] = {tool: [] for tool in tools}
    by_log: dict[tuple[str, tuple[tuple[str, str], ...]], list[Label]] = {}
    for label in labels:
        by_log.setdefault((label.file, tuple(label.mapping.items())), []).append(label)
    for (file, mapping), labelled in by_log.items():
        path = folder / file
        opinions, log = _judge_by_probes(path, dict(mapping))
        for tool in tools:
            given = opinions if tool == OURS else [peers.judge_by(tool, path)]
            outcomes[tool] += [Outcome(label, log, _opinion_of(label, given)) for label in labelled]
    return outcomes


def _judge_by_probes(path: Path, mapping: Mapping[str, str]) -> tuple[list[Opinion], Log]:
    try:
        run = judge_file(path, path.name, mapping)
    except Exception as error:  # a fault of the diagnosis must not hide the verdicts on other logs
        opinion = Opinion("unreadable", headline=f"{type(error).__name__}: {error}")
        return [opinion], Log(_format(path), NOT_READ, None)
    return [_opinion(path, run)], _log(path, run)


def _opinion(path: Path, run: AnyRun) -> Opinion:
    if not isinstance(run, JudgedRun):
        return Opinion("unreadable", headline=run.error.replace(str(path), path.name))
    diagnosis = run.diagnosis
    return Opinion(diagnosis.verdict, diagnosis.cause or "", diagnosis.headline, run.first_step)


def _opinion_of(label: Label, opinions: Sequence[Opinion]) -> Opinion:
    named = [opinion for opinion in opinions if opinion.run == label.run]
    whole = [opinion for opinion in opinions if not opinion.run]
    if named or whole:
        return (named or whole)[0]
    runs = ", ".join(opinion.run for opinion in opinions)
    return Opinion("unreadable", headline=f"no run {label.run!r} was read; the runs are {runs}")


def _log(path: Path, run: AnyRun) -> Log:
    if not isinstance(run, JudgedRun):
        return Log(_format(path), NOT_READ, None)
    points = max(len(run.record.series(loss)[0]) for loss in LOSSES)
    return Log(_format(path), next(name for least, name in LENGTHS if points >= least), points)


def _format(path: Path) -> str:
    head = head_of(path)
    if is_record(head):
        return "record of probes"
    form = format_of(head)
    return form.name if form else "unknown"


# Scoring


def rates_of(outcomes: Sequence[Outcome], causes_comparable: bool) -> list[Rate]:
    """All rates of one tool. The same labels give the same rates in the same order for each tool.

    causes_comparable  whether the tool names causes and steps as the labels do; otherwise their
                       rates have a total of 0
    """
    certain = [each for each in outcomes if each.label.expected]
    high = [each for each in certain if each.label.confidence == "high"]
    rates = []
    for name, counted in (("high confidence", high), ("all labels", certain)):
        for label in LABELLED:
            for said, description in SAID.items():
                measure = f"{label}: {description}"
                rates.append(_rate(counted, name, measure, (label,), (said,)))
        rates += _rates_of_evidence(counted, name, causes_comparable)
        rates.append(_rate_of_groups(counted, name))
    for name, part in _slices(certain):
        rates += [_rate(part, name, *measure) for measure in SLICE_MEASURES]
    return rates


def _rate(
    outcomes: Iterable[Outcome],
    logs: str,
    measure: str,
    labels: Sequence[str],
    said: Sequence[str],
) -> Rate:
    verdicts = [each.opinion.verdict for each in outcomes if each.label.expected in labels]
    return Rate(logs, measure, sum(verdict in said for verdict in verdicts), len(verdicts))


def _rates_of_evidence(outcomes: Sequence[Outcome], logs: str, comparable: bool) -> Iterator[Rate]:
    """Whether the cause and the step of an unhealthy run that was found are those labelled."""
    found = [
        each
        for each in outcomes
        if comparable and each.label.expected == each.opinion.verdict == "unhealthy"
    ]
    causes = [each.opinion.cause in each.label.causes for each in found if each.label.causes]
    steps = [each.opinion.step == each.label.step for each in found if each.label.step is not None]
    yield Rate(logs, "found unhealthy: cause as labelled", sum(causes), len(causes))
    yield Rate(logs, "found unhealthy: step as labelled", sum(steps), len(steps))


def _rate_of_groups(outcomes: Sequence[Outcome], logs: str) -> Rate:
    sizes = Counter(each.label.group for each in outcomes)
    right = Counter(each.label.group for each in outcomes if each.right)
    share = sum(right[group] / size for group, size in sizes.items())
    return Rate(logs, "right, each group once", share, len(sizes))


def _slices(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    """The runs by format, then by length, each with a name."""
    for form in sorted({each.log.format for each in outcomes}):
        yield f"format: {form}", [each for each in outcomes if each.log.format == form]
    for length in [*(name for _, name in reversed(LENGTHS)), NOT_READ]:
        part = [each for each in outcomes if each.log.length == length]
        if part:
            yield f"points of loss: {length}", part


# Writing


def rates_table(outcomes: Mapping[str, Sequence[Outcome]]) -> Table:
    """Every rate of every tool, one column per tool, without those for which no run counts."""
    columns = [rates_of(judged, tool == OURS) for tool, judged in outcomes.items()]
    rows = tuple(
        (rates[0].logs, rates[0].measure, *map(str, rates))
        for rates in zip(*columns, strict=True)
        if any(rate.total for rate in rates)
    )
    return Table(
        "Verdicts on labelled logs",
        "Each cell states runs, their share and its 95 % interval.",
        ("logs", "label: verdict", *map(_title, outcomes)),
        rows,
    )


def wrong_table(outcomes: Mapping[str, Sequence[Outcome]]) -> Table:
    """Every verdict that no label allows, one line each."""
    rows = tuple(
        (
            tool,
            each.label.name,
            each.label.confidence,
            " or ".join(each.label.verdicts),
            ", ".join(each.label.causes) or NO_VALUE,
            printable(f"{each.opinion.verdict} {each.opinion.cause}".rstrip()),
            printable(each.opinion.headline) or NO_VALUE,
        )
        for tool, judged in outcomes.items()
        for each in judged
        if not each.right
    )
    head = ("tool", "log", "confidence", "label", "causes", "said", "headline")
    return Table("Wrong verdicts", "", head, rows)


def misses_table(outcomes: Mapping[str, Sequence[Outcome]]) -> Table:
    """The unhealthy runs that were not found, by the first cause that is labelled."""
    rows = []
    for tool, judged in outcomes.items():
        unhealthy = [each for each in judged if each.label.expected == "unhealthy"]
        kinds = sorted({_kind(each.label) for each in unhealthy})
        for kind in kinds:
            of_kind = [each for each in unhealthy if _kind(each.label) == kind]
            missed = [each for each in of_kind if not each.right]
            if missed:
                said = Counter(SAID[each.opinion.verdict] for each in missed)
                rows.append(
                    (
                        tool,
                        kind,
                        f"{len(missed)} of {len(of_kind)}",
                        ", ".join(f"{count} {words}" for words, count in sorted(said.items())),
                        ", ".join(each.label.name for each in missed),
                    )
                )
    head = ("tool", "first labelled cause", "missed", "said", "logs")
    return Table("What is missed, by kind", "", head, tuple(rows))


def document(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Everything as JSON: each rate with its interval, and each verdict."""
    tools = {
        tool: {
            "version": peers.version(tool),
            "rates": [
                {**asdict(rate), "interval": rate.interval}
                for rate in rates_of(judged, tool == OURS)
            ],
            "verdicts": [
                {
                    **asdict(each.label),
                    **asdict(each.log),
                    "said": {k: v for k, v in asdict(each.opinion).items() if k != "run"},
                    "right": each.right,
                }
                for each in judged
            ],
        }
        for tool, judged in outcomes.items()
    }
    return json.dumps({"tools": tools}, indent=1, allow_nan=False) + "\n"


def _title(tool: str) -> str:
    return tool if tool == OURS else f"{tool} {peers.version(tool)}".rstrip()


def _kind(label: Label) -> str:
    return label.causes[0] if label.causes else "no cause labelled"


# The command


class ToolError(ValueError):
    """A tool was named that does not exist or is not installed."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studies.public_logs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the logs")
    parser.add_argument("labels", type=Path, metavar="LABELS", help="what is right for each log")
    parser.add_argument(
        "--tool",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"compare only these: {', '.join([OURS, *peers.PEERS])}",
    )
    parser.add_argument("--misses", action="store_true", help="group what is missed by cause")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rates and verdicts here")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    arguments = parser.parse_args(argv)
    try:
        tools = _tools(arguments.tool)
        labels = read_labels(arguments.labels, arguments.folder)
        for note in _notes_on_causes(labels):
            print(printable(note), file=sys.stderr)
        outcomes = judge_folder(arguments.folder, labels, tools)
        if arguments.json:
            write_output(arguments.json, document(outcomes))
    except OSError as error:
        reason = f"{error.filename} cannot be used: {error.strerror}"
        print(f"studies.public_logs: {printable(reason)}", file=sys.stderr)
        return 2
    except (LabelError, ToolError) as error:
        print(f"studies.public_logs: {printable(str(error))}", file=sys.stderr)
        return 2
    tables: list[Callable[[Mapping[str, Sequence[Outcome]]], Table]] = [rates_table, wrong_table]
    if arguments.misses:
        tables.append(misses_table)
    for make in tables:
        table = make(outcomes)
        if arguments.markdown:
            print(f"## {table.title}\n\n{table.as_markdown()}\n")
        else:
            print(f"{table.as_text()}\n")
    return 0


def _tools(named: Sequence[str] | None) -> list[str]:
    """The tools to compare. Raises ToolError."""
    installed = [OURS, *peers.installed()]
    for name in named or ():
        if name not in (OURS, *peers.PEERS):
            known = ", ".join([OURS, *peers.PEERS])
            hint = did_you_mean(name, [OURS, *peers.PEERS])
            raise ToolError(
                f"there is no tool {name!r:.60}; {hint}{' ' if hint else ''}use {known}"
            )
        if name not in installed:
            raise ToolError(
                f"{name} is not installed here; install it with `pip install {name}` into an "
                f"environment for comparisons, or leave out --tool {name}"
            )
    return list(dict.fromkeys(named)) if named else installed


def _notes_on_causes(labels: Iterable[Label]) -> list[str]:
    """A line for each labelled cause that this project cannot name, such as a misspelt one."""
    known = {*BY_NAME, *(name for cause in CAUSES for name in cause.may_also_be)}
    causes = {cause: label.name for label in labels for cause in label.causes}
    return [
        f"note: {file} is labelled {cause!r:.60}, which is no cause of this project; "
        + did_you_mean(cause, known, "write other:WORDS for another cause", most=1)
        for cause, file in causes.items()
        if cause not in known and not cause.startswith("other:")
    ]


if __name__ == "__main__":
    sys.exit(main())
