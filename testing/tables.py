"""A table of text, written as Markdown for a page or as aligned columns for a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from probes.common.markdown import markdown_table
from probes.common.text import one_line

Row = tuple[str, ...]
NO_VALUE = "–"
"""Stands in a cell whose value does not exist."""
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
        return "\n".join(markdown_table(self.head, self.rows))

    def as_text(self) -> str:
        """Return aligned columns under the title; long cells are shortened."""
        lines = [
            [one_line(cell, LONGEST_CELL_OF_A_TERMINAL) for cell in row]
            for row in (self.head, *self.rows)
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        empty = [] if self.rows else ["none"]
        return "\n".join([self.title, "-" * len(self.title), *aligned, *empty])
