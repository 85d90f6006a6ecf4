"""What can be known from a log, beside what the diagnosis says of it: the work that is left for the
detectors.

    python -m studies.knowable             train every case of `testing.faults`, diagnose it and
                                           print how the diagnosis differs
    python -m studies.knowable bandit easy these cases only
    python -m studies.knowable --write     write the tables of docs/what-can-be-known.md from
                                           `testing.knowable`

Each case is diagnosed from every set of signals, and from all four signals thinned, with noise and
cut in half. Each is written in one of the formats of other trainers. Behind each difference stand
the logs that show it; logs that are diagnosed as can be known are listed as well. For a variant of
a faulty log only the diagnosis is printed, in brackets, since the fault may have been cut away."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from probes.common.markdown import markdown_table
from probes.common.text import did_you_mean
from probes.diagnosis import detectors
from probes.diagnosis.diagnose import Diagnosis, diagnose
from probes.readers import read
from testing.faults import CASES, GPT, minigpt_record, rows_of
from testing.knowable import BY_NAME as TABLE
from testing.knowable import ROWS, SETS, SOUND, Known, Row, matches
from testing.log_files import FORMATS, VARIANTS, kept, write
from testing.marker_blocks import replace_block

PAGE = Path(__file__).resolve().parent.parent / "docs" / "what-can-be-known.md"
ALL_FOUR, OWN_RECORD = "all four", "own record"
UNCHANGED = "as it is"
TOO_SHORT = TABLE["too short"]
DETECTORS = {detector.name for detector in detectors.DETECTORS}
AS_KNOWN = "as can be known"


def diagnose_case(name: str, signals: str, variant: str, folder: Path) -> Diagnosis | None:
    """Write a case's log into the folder and diagnose it. Returns None when the variant leaves no
    rows, or when the case has no record of our own."""
    if signals == OWN_RECORD:
        return diagnose(minigpt_record(name)) if name in GPT else None
    rows = VARIANTS[variant](kept(rows_of(name), SETS[signals]))
    form = list(FORMATS)[list(CASES).index(name) % len(FORMATS)]
    return diagnose(read(write(rows, folder, form))) if rows else None


def short(diagnosis: Diagnosis) -> str:
    """A diagnosis in a word or two."""
    if diagnosis.cause or diagnosis.verdict == "healthy":
        return diagnosis.cause or "healthy"
    return f"alarm, {diagnosis.reason}" if diagnosis.alarm else "cannot judge"


def names_all(known: Known, cause: str, or_else: Iterable[str]) -> bool:
    """Whether a cause and its alternatives are exactly the causes that cannot be told apart."""
    named = (cause, *or_else)
    each_alone = [known._replace(what=(one,)) for one in known.what]
    return all(matches(known, name) for name in named) and all(
        any(matches(one, name) for name in named) for one in each_alone
    )


def difference(row: Row, known: Known, diagnosis: Diagnosis) -> str:
    """How a diagnosis differs from what can be known, in words of LEGEND; "" when it does not."""
    if known.verdict == "unhealthy":
        if matches(known, diagnosis.cause):
            first = diagnosis.causes[0]
            complete = names_all(known, first.name, first.or_else)
            return "" if complete else f"ALTERNATIVES: {first.title}"
        if diagnosis.cause:
            return f"OTHER CAUSE: {short(diagnosis)}"
        return f"{'UNNAMED' if diagnosis.alarm else 'MISSED'}: {short(diagnosis)}"
    if diagnosis.alarm:
        return f"{'FALSE ALARM' if row.name in SOUND else 'UNFOUNDED'}: {short(diagnosis)}"
    if diagnosis.verdict != known.verdict:
        undetermined = known.verdict == "undetermined"
        return "BY DEFAULT: healthy" if undetermined else "TIMID: cannot judge"
    if known.kind == "not judged":
        missing = known.what[0].partition(":")[0]
        if missing in DETECTORS and missing not in diagnosis.not_judged:
            return f"UNSAID: that {missing} could not judge"
    if known.kind == "note" and not any(
        remark.startswith(known.what[0]) for remark in diagnosis.remarks
    ):
        return "NO NOTE"
    return ""


LEGEND = """
FALSE ALARM   at a run without a fault
UNFOUNDED     an alarm at a faulty run, whose log does not justify it
OTHER CAUSE   a cause is named, but not one that can be known
UNNAMED       an alarm without a cause
MISSED        no alarm, though the fault can be known
NO NOTE       healthy, without the remark
BY DEFAULT    healthy, where nothing can be known
TIMID         no verdict, where one can be known
UNSAID        healthy, but what was not judged is not listed
ALTERNATIVES  a cause that can be known, but not together with exactly those that look the same"""


class Comparison(NamedTuple):
    """One log of a case. `result` is a difference, AS_KNOWN, or the diagnosis in brackets."""

    case: str
    log: str
    result: str


def comparisons(cases: Iterable[str], folder: Path) -> Iterator[Comparison]:
    for case in cases:
        row = TABLE[CASES[case].row]
        for signals, present in SETS.items():
            if diagnosis := diagnose_case(case, signals, UNCHANGED, folder):
                result = difference(row, row.cell(present), diagnosis)
                yield Comparison(case, f"{{{signals}}}", result or AS_KNOWN)
        known = row.cell(SETS[ALL_FOUR])
        for variant in list(VARIANTS)[1:]:
            if diagnosis := diagnose_case(case, ALL_FOUR, variant, folder):
                if known.verdict == "unhealthy":
                    result = f"({short(diagnosis)})"
                elif diagnosis.core:
                    result = difference(row, known, diagnosis)
                else:
                    result = difference(TOO_SHORT, TOO_SHORT.cell(SETS[ALL_FOUR]), diagnosis)
                yield Comparison(case, variant, result or AS_KNOWN)


def report(cases: Iterable[str], folder: Path) -> Iterator[str]:
    """A paragraph per case, then the number of logs with each kind of difference."""
    counts: Counter[str] = Counter()
    for case, group in groupby(comparisons(cases, folder), key=lambda each: each.case):
        row = TABLE[CASES[case].row]
        yield f"\n{case} ({row.name}). Can be known from {ALL_FOUR}: {row.cell(SETS[ALL_FOUR])}"
        logs: dict[str, list[str]] = {}
        for each in group:
            logs.setdefault(each.result, []).append(each.log)
            is_variant = each.result.startswith("(")
            counts["variant of a faulty log" if is_variant else each.result.partition(":")[0]] += 1
        yield from (f"  {result:<44} {'; '.join(names)}" for result, names in logs.items())
    yield "\n" + ", ".join(f"{kind}: {count}" for kind, count in counts.most_common())


# The page


def verdicts_table() -> str:
    """What can be known of each row from each set of signals; "=" repeats the first column."""
    rows = []
    for row in ROWS:
        first, *others = (str(row.cell(signals)) for signals in SETS.values())
        rows.append((row.name, first, *("=" if other == first else other for other in others)))
    return "\n".join(markdown_table(("run", *SETS), rows))


def arguments_table() -> str:
    """Every rule of every row, with its argument."""
    rows = []
    for row in ROWS:
        for i, rule in enumerate(row.rules):
            signals = "own record" if rule.needs == {"own"} else " ".join(sorted(rule.needs))
            run = ("", "") if i else (row.name, row.means)
            rows.append((*run, signals or "loss", str(rule), rule.why, rule.like))
    head = ("run", "is", "with", "can be known", "because", "looks like")
    return "\n".join(markdown_table(head, rows))


def with_tables(page: str) -> str:
    """The page with its tables written again."""
    page = replace_block(page, "verdicts", verdicts_table())
    return replace_block(page, "arguments", arguments_table())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help="all unless given")
    parser.add_argument(
        "--write", action="store_true", help="write the tables of the page and diagnose nothing"
    )
    arguments = parser.parse_args()
    for case in arguments.cases:
        if case not in CASES:
            hint = did_you_mean(case, CASES, f"choose from {', '.join(CASES)}")
            parser.error(f"there is no case {case!r}; {hint}")
    if arguments.write:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return
    with TemporaryDirectory() as folder:
        for line in report(arguments.cases or list(CASES), Path(folder)):
            print(line)
        print(LEGEND)


if __name__ == "__main__":
    main()
