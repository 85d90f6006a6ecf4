"""Writes Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table: the head, a horizontal rule and the rows.

    A vertical bar in a cell is escaped and a line break becomes a space, so that the text of a cell
    cannot start another column or row.
    """
    cells = [head, ["---"] * len(head), *rows]
    escaped = [[" ".join(cell.splitlines()).replace("|", r"\|") for cell in row] for row in cells]
    return [f"| {' | '.join(row)} |" for row in escaped]
