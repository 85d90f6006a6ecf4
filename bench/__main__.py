"""What it costs, beside what it is compared with, in one table.

    python bench/__main__.py            measure everything, some minutes; print the table, write
                                        reports/bench.json
    python bench/__main__.py --quick    leave out what takes minutes; writes nothing
    python bench/__main__.py --readme   measure nothing; copy the figures of reports/bench.json into
                                        README.md

What is compared takes turns on one thread, by CPU time; ratios are of medians, with an interval
from order statistics. Run it on a machine that does nothing else, in the environment of `make
parity`, which has PyTorch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import looking, memory, report, scale, step, suite, training
from bench.figures import Figure, Section
from bench.machine import machine
from bench.report import Report

SECTIONS = (
    step.SECTION,
    memory.SECTION,
    looking.SECTION,
    scale.SECTION,
    training.EXPERIMENTS_SECTION,
    suite.SECTION,
    training.CALIBRATION_SECTION,
)


FAILED = "failed, as told above"


def measure(section: Section) -> Iterator[Figure]:
    """Its figures as they come, told on stderr; at the end those that did not. A failure costs no
    other section."""
    start, there, why = perf_counter(), set(), ""
    tell(f"{section.title} ...")
    try:
        for figure in section.measure():
            there.add(figure.name)
            name, measured, _, _, verdict, _ = figure.cells()
            tell(f"  {perf_counter() - start:5.0f} s  {name}: {measured}, {verdict}")
            yield figure
    except Exception as error:
        tell(f"{section.title}: {type(error).__name__}: {error}")
        why = FAILED
    yield from (figure.failed(why) for figure in section.figures if figure.name not in there)


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """1 when something could not be measured; nothing is written then."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--quick", action="store_true", help="leave out what takes minutes; writes nothing"
    )
    only.add_argument(
        "--readme",
        action="store_true",
        help="copy the figures of reports/bench.json into README.md",
    )
    arguments = parser.parse_args()
    if arguments.readme:
        report.write_readme()
        return 0
    commit, figures = report.commit(), list[Figure]()
    for section in SECTIONS:
        figures += section.figures if arguments.quick and section.slow else measure(section)
    found = Report(date.today().isoformat(), commit, machine(), tuple(figures))
    print(found.table())
    failed = any(figure.note == FAILED for figure in figures)
    if not (arguments.quick or failed):
        report.save(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
