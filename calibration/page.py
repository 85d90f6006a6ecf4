"""Tables as one HTML file in the dashboard's look, as text for a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from calibration.history import Entry
from calibration.tables import Table, tables
from calibration.tally import HEALTHY_RUN, LABELLED, UNLABELLED, alarms, grouped, tally
from probes.common.text import one_line
from probes.report.document import MAX_TEXT, fill

WIDEST = 90
"""Characters of a cell on the terminal."""


def html(entries: Sequence[Entry]) -> str:
    """The page of the last judged range, with a list of all of them. Raises IndexError when there
    is none."""
    last = entries[-1]
    shown = [*tables(last.outcomes, last.configs), _ranges(entries)]
    return fill("calibration.html.j2", "calibration", last=last, seeds=_range(last), tables=shown)


def plain(each: Table) -> str:
    """A table in aligned columns, under its title."""
    cells = [[one_line(cell, WIDEST) for cell in row] for row in (each.head, *each.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join(
        [each.title, "-" * len(each.title), *lines, *(["none"] if not each.rows else [])]
    )


def markdown(each: Table) -> str:
    """A table in Markdown, without its title."""
    return "\n".join(_bars(row) for row in (each.head, ("---",) * len(each.head), *each.rows))


def _bars(row: Iterable[str]) -> str:
    return "| " + " | ".join(one_line(cell, MAX_TEXT).replace("|", r"\|") for cell in row) + " |"


def _ranges(entries: Sequence[Entry]) -> Table:
    """Every range that was ever judged: what was seen before a change is not forgotten after it."""
    head = ("seeds", "date", "commit", "judged by", "right, of all", "alarms in healthy runs")
    rows = tuple(
        (_range(entry), entry.date, entry.commit, entry.digest, _right(entry), _healthy(entry))
        for entry in entries
    )
    return Table("Every range ever judged", "The last one is shown above.", head, rows)


def _right(entry: Entry) -> str:
    counted = {
        name: tally(name, runs)
        for name, runs in grouped(entry.outcomes).items()
        if name != UNLABELLED
    }
    return ", ".join(f"{name} {each.right} of {each.runs}" for name, each in counted.items())


def _healthy(entry: Entry) -> str:
    groups = grouped(entry.outcomes)
    return str(sum(len(alarms(groups.get(name, ()))) for name in (HEALTHY_RUN, LABELLED)))


def _range(entry: Entry) -> str:
    return f"{entry.seeds[0]}-{entry.seeds[1]}"
