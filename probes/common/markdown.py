"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table: head, rule and rows.

    A bar in a cell is escaped, and line breaks become spaces, so a cell cannot end its column or
    its row.
    """
    cells = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(map(_cell, row))} |" for row in cells]


def _cell(text: str) -> str:
    return " ".join(text.splitlines()).replace("|", r"\|")
