"""A table of text, written as Markdown for a page or as aligned columns for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from probes.charts.text import clean

Row = tuple[str, ...]
NO_VALUE = "–"
"""Stands in a cell whose value does not exist."""
LONGEST_CELL_OF_A_PAGE = 600
LONGEST_CELL_OF_A_TERMINAL = 90


@dataclass(frozen=True)
class Table:
    """One table.

    title  heading; not part of the Markdown
    note   how to read the table; "" when it needs no explanation
    head   name of each column
    rows   one cell per column
    """

    title: str
    note: str
    head: Row
    rows: tuple[Row, ...]

    def as_markdown(self) -> str:
        """Return the head and the rows, without title and note."""
        return markdown_table(self.head, self.rows)

    def as_text(self) -> str:
        """Return aligned columns under the title; long cells are shortened."""
        lines = [
            [clean(cell, LONGEST_CELL_OF_A_TERMINAL) for cell in row]
            for row in (self.head, *self.rows)
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        empty = [] if self.rows else ["none"]
        return "\n".join([self.title, "-" * len(self.title), *aligned, *empty])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table. A bar inside a cell is escaped, and line breaks become spaces."""
    lines = [
        [clean(cell, LONGEST_CELL_OF_A_PAGE).replace("|", r"\|") for cell in row]
        for row in (head, *rows)
    ]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
