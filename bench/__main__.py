"""Measure what the project costs, beside what it is compared with, and print one table.

    python -m bench            measure everything (some minutes), print the table and write
                               reports/bench.json
    python -m bench --quick    leave out the sections that take minutes; write nothing
    python -m bench --readme   measure nothing; copy the figures of reports/bench.json into
                               README.md

Actions that are compared are timed in turn, in CPU seconds, on one thread. A ratio is a ratio of
medians, with an interval from order statistics (`testing.overhead`). Run it on a machine that does
nothing else, in the environment of `make parity`, which has PyTorch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import date
from time import perf_counter

from bench import length, memory, recording_cost, report, step, suite, training
from bench.figures import Figure, Section
from bench.machine import machine
from bench.report import Report

SECTIONS = (
    step.SECTION,
    memory.SECTION,
    recording_cost.SECTION,
    length.SECTION,
    training.EXPERIMENTS_SECTION,
    suite.SECTION,
    training.CALIBRATION_SECTION,
)
FAILED = "failed; the reason is on stderr"


def measure(section: Section) -> Iterator[Figure]:
    """Yield the figures of a section as they are measured, then those that were not measured.

    Progress and errors go to stderr. An error ends this section only."""
    start, measured, note = perf_counter(), set(), ""
    log(f"{section.title} ...")
    try:
        for figure in section.measure():
            measured.add(figure.name)
            name, value, _, _, verdict, _ = figure.cells()
            log(f"  {perf_counter() - start:5.0f} s  {name}: {value}, {verdict}")
            yield figure
    except Exception as error:
        log(f"{section.title}: {type(error).__name__}: {error}")
        note = FAILED
    yield from (
        figure.not_measured(note) for figure in section.figures if figure.name not in measured
    )


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Return 1, and write nothing, when a section failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--quick", action="store_true", help="leave out what takes minutes; write nothing"
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
    result = Report(date.today().isoformat(), commit, machine(), tuple(figures))
    print(result.table())
    failed = any(figure.note == FAILED for figure in figures)
    if not (arguments.quick or failed):
        report.save(result)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
