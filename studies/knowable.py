"""What can be known from a log, and what is said of it today: the work that is left for the
detectors.

    python studies/knowable.py             train every case of `testing.faults`, diagnose it, print
                                           the matrix
    python studies/knowable.py bandit easy these cases only
    python studies/knowable.py --write     write the tables of docs/what-can-be-known.md afresh from
                                           `testing.knowable`

A case is judged from every set of signals as it is, and from all four thinned, with noise and cut
in half; each in one of the formats of other trainers, in turn. Beside what differs from what can be
known stands where it does, and so does "as can be known"; of the variants of a sick log there is
only what the diagnosis says, in brackets, since the fault may have been cut away."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from probes.diagnosis import detectors
from probes.diagnosis.diagnose import Diagnosis, diagnose
from probes.readers import read
from testing.faults import CASES, GPT, own, rows_of
from testing.knowable import BY_NAME as TABLE
from testing.knowable import ROWS, SETS, WELL, Known, Row, met
from testing.log_files import FORMATS, VARIANTS, kept, write

PAGE = Path(__file__).parents[1] / "docs" / "what-can-be-known.md"
PLACE = r"(?<=<!-- {0} -->\n).*?(?=\n<!-- end of {0} -->)"
FULL, OWN_RECORD = "all four", "own record"
TOO_SHORT = TABLE["too short"]
DETECTORS = {detector.name for detector in detectors.DETECTORS}
AS_KNOWN = "as can be known"


def judged(name: str, signals: str, variant: str, folder: Path) -> Diagnosis | None:
    """Today's diagnosis of a case; None when nothing is left of its log, or there is no record of
    our own."""
    if signals == OWN_RECORD:
        return diagnose(own(name)) if name in GPT else None
    rows = VARIANTS[variant](kept(rows_of(name), SETS[signals]))
    form = list(FORMATS)[list(CASES).index(name) % len(FORMATS)]
    return diagnose(read(write(rows, folder, form))) if rows else None


def said(diagnosis: Diagnosis) -> str:
    """A word or two."""
    if diagnosis.cause or diagnosis.verdict == "healthy":
        return diagnosis.cause or "healthy"
    return f"alarm, {diagnosis.reason}" if diagnosis.alarm else "cannot judge"


def told(known: Known, cause: str, or_else: Iterable[str]) -> bool:
    """Whether the causes that are named together are just those that cannot be told apart."""
    names = (cause, *or_else)
    others = (known._replace(what=(one,)) for one in known.what)
    return all(met(known, name) for name in names) and all(
        any(met(one, name) for name in names) for one in others
    )


def gap(row: Row, known: Known, diagnosis: Diagnosis) -> str:
    """How a diagnosis differs from what can be known, "" when it does not."""
    if known.verdict == "unhealthy":
        if met(known, diagnosis.cause):
            first = diagnosis.causes[0]
            return "" if told(known, first.name, first.or_else) else f"ALTERNATIVES: {first.title}"
        if diagnosis.cause:
            return f"OTHER CAUSE: {said(diagnosis)}"
        return f"UNNAMED: {said(diagnosis)}" if diagnosis.alarm else f"MISSED: {said(diagnosis)}"
    if diagnosis.alarm:
        return f"{'FALSE ALARM' if row.name in WELL else 'UNFOUNDED'}: {said(diagnosis)}"
    if diagnosis.verdict != known.verdict:
        return "BY DEFAULT: healthy" if known.verdict == "undetermined" else "TIMID: cannot judge"
    missing = known.what[0].partition(":")[0] if known.kind == "not judged" else ""
    if missing in DETECTORS and missing not in diagnosis.not_judged:
        return f"UNSAID: that {missing} could not judge"
    noted = (
        any(remark.startswith(known.what[0]) for remark in diagnosis.remarks)
        if known.kind == "note"
        else True
    )
    return "" if noted else "NO NOTE"


def matrix(names: list[str], folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """(case, signals, variant, what differs or is said) for everything that is judged."""
    for name in names:
        row = TABLE[CASES[name].row]
        for signals, present in SETS.items():
            if diagnosis := judged(name, signals, "as it is", folder):
                yield name, signals, "as it is", gap(row, row.cell(present), diagnosis) or AS_KNOWN
        known = row.cell(SETS[FULL])
        for variant in list(VARIANTS)[1:]:
            if diagnosis := judged(name, FULL, variant, folder):
                if known.verdict == "unhealthy":
                    text = f"({said(diagnosis)})"
                elif diagnosis.core:
                    text = gap(row, known, diagnosis)
                else:
                    text = gap(TOO_SHORT, TOO_SHORT.cell(SETS[FULL]), diagnosis)
                yield name, FULL, variant, text or AS_KNOWN


def report(names: list[str], folder: Path) -> Iterator[str]:
    """A paragraph a case, and the counts of everything at the end."""
    counts: Counter[str] = Counter()
    for name, group in groupby(matrix(names, folder), key=itemgetter(0)):
        row = TABLE[CASES[name].row]
        yield f"\n{name} ({row.name}). Can be known from {FULL}: {row.cell(SETS[FULL])}"
        where: dict[str, list[str]] = {}
        for _, signals, variant, text in group:
            where.setdefault(text, []).append(
                f"{{{signals}}}" if variant == "as it is" else variant
            )
            counts["variant of a sick log" if text[0] == "(" else text.partition(":")[0]] += 1
        yield from (f"  {text:<44} {'; '.join(places)}" for text, places in where.items())
    yield "\n" + ", ".join(f"{kind}: {count}" for kind, count in counts.most_common())


def tables() -> dict[str, str]:
    """The tables of the page, by the name of their place."""
    cells: list[tuple[str, ...]] = [("run", *SETS), ("---",) * (1 + len(SETS))]
    for row in ROWS:
        first, *others = (str(row.cell(signals)) for signals in SETS.values())
        cells.append((row.name, first, *("=" if other == first else other for other in others)))
    whys: list[tuple[str, ...]] = [
        ("run", "is", "with", "can be known", "because", "looks like"),
        ("---",) * 6,
    ]
    for row in ROWS:
        for i, rule in enumerate(row.rules):
            beside = {"own": "own record"}.get(" ".join(rule.needs), " ".join(sorted(rule.needs)))
            whys.append(
                (
                    "" if i else row.name,
                    "" if i else row.means,
                    beside or "loss",
                    str(rule),
                    rule.why,
                    rule.like,
                )
            )
    return {name: _markdown(lines) for name, lines in (("verdicts", cells), ("arguments", whys))}


def _markdown(lines: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(text: str) -> str:
    """The text of the page with its tables as they should be."""
    for name, table in tables().items():
        text = re.sub(PLACE.format(name), lambda _, table=table: table, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


LEGEND = """
FALSE ALARM  at a run that is in order            UNFOUNDED  an alarm at a sick run, which its log does not bear out
OTHER CAUSE  named, but not as can be known       UNNAMED    an alarm, but no cause
MISSED       no alarm, though it can be known     NO NOTE    healthy, without the remark
BY DEFAULT   healthy, where nothing can be known  TIMID      no verdict, where one can be known
UNSAID       healthy, and what was not judged is not listed
ALTERNATIVES a cause of those that can be known, but not beside just those that cannot be told from it"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help="all when left out")
    parser.add_argument(
        "--write", action="store_true", help="write the tables of the page and judge nothing"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    if arguments.write:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        with TemporaryDirectory() as folder:
            for line in report(arguments.cases or list(CASES), Path(folder)):
                print(line)
            print(LEGEND)


if __name__ == "__main__":
    main()
