"""A table in Markdown, as in the card of a model: `| Training Loss | Epoch | Step | Validation Loss
|`.

Such a table is written for people: a cell that is no number, as `No log`, is a gap, and bold ones
are numbers still. Tables that are drawn with `+---+` or with lines of boxes are read as well. Of
several in a file it is the first that has a column of losses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from probes.readers.base import Cell, Format, Piece, Row, gathered, is_number
from probes.readers.column_names import LOSSES, role
from probes.readers.line_batches import BOM, batches

FEWEST = 3
"""Rows that make a log of a table: results are tabled as well."""
NEVER: frozenset[str] = frozenset()
"""Such a file is read when it is named. In a folder it stands beside the log from which it was
made."""

_BARS = re.compile(r"[|\u2502\u2503\u2551]")
_ENDS = re.compile(r"^\s*[|\u2502\u2503\u2551]|[|\u2502\u2503\u2551]\s*$")
_RULE = re.compile(r"[\s|+:=\-\u2500-\u257f]*[-=\u2500\u2501\u2550][\s|+:=\-\u2500-\u257f]*")
_MARKS = "*`_ \t%"
"""Around a number: bold, code, a share in percent."""


def recognises(head: bytes) -> bool:
    """A line that names a loss, a rule below it, and rows of numbers below that."""
    if b"\0" in head:
        return False
    lines = enumerate(head.removeprefix(BOM).decode(errors="replace").splitlines(), start=1)
    return len(list(islice(_table(lines), FEWEST))) == FEWEST


def pieces(path: Path) -> Iterator[Piece]:
    """One row a line. Raises RecordError for what is no text."""
    lines = (
        (number, line)
        for batch in batches(path)
        for number, line in enumerate(batch.lines, batch.first)
    )
    yield from gathered(_table(lines))


def _table(lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
    """The rows of the first table with a loss."""
    above: list[str] = []
    names: list[str] = []
    for number, line in lines:
        if _RULE.fullmatch(line):
            names = names or (above if any(role(name) in LOSSES for name in above) else [])
            continue
        texts = (
            [text.strip(_MARKS) for text in _BARS.split(_ENDS.sub("", line))]
            if _BARS.search(line)
            else []
        )
        if names and len(texts) != len(names):
            return
        cells = dict(zip(names, map(_cell, texts), strict=True)) if names else {}
        if any(cell is not None for cell in cells.values()):
            yield Row(number, {name: cell for name, cell in cells.items() if name})
        above = texts


def _cell(text: str) -> Cell:
    return float(text) if is_number(text) else None


FORMAT = Format("Markdown table", recognises, pieces, "line", NEVER)
