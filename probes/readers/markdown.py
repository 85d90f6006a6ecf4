"""A table in Markdown, as in a model card: `| Training Loss | Epoch | Step | Validation Loss |`.

Such a table is written for people, so a cell that is no number, such as `No log`, is a gap, and a
number may be bold. Tables drawn with `+---+` or with box-drawing lines are read as well. The first
table of the file with a column of losses is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from probes.readers.base import Format, Piece, Row, blocks_from_rows
from probes.readers.cells import Cell, is_number
from probes.readers.column_names import LOSSES, role
from probes.readers.line_batches import BOM, batches

MIN_ROWS = 3
"""A shorter table is taken for a table of results, not for a log."""
SUFFIXES: frozenset[str] = frozenset()
"""A search of a folder never finds such a table: it stands beside the log from which it was made.
It is read when its file is named."""

_BARS = re.compile(r"[|\u2502\u2503\u2551]")
_OUTER_BARS = re.compile(r"^\s*[|\u2502\u2503\u2551]|[|\u2502\u2503\u2551]\s*$")
_RULE = re.compile(r"[\s|+:=\-\u2500-\u257f]*[-=\u2500\u2501\u2550][\s|+:=\-\u2500-\u257f]*")
_MARKS = "*`_ \t%"
"""What may surround a number: bold, code, or the sign of a percentage."""


def recognises(head: bytes) -> bool:
    """A line that names a loss, a horizontal rule below it, and MIN_ROWS rows of numbers."""
    if b"\0" in head:
        return False
    lines = enumerate(head.removeprefix(BOM).decode(errors="replace").splitlines(), start=1)
    return len(list(islice(_rows(lines), MIN_ROWS))) == MIN_ROWS


def pieces(path: Path) -> Iterator[Piece]:
    """One row per line of the table. Raises RecordError for a line that is no text."""
    lines = (
        (number, line)
        for batch in batches(path)
        for number, line in enumerate(batch.lines, batch.first)
    )
    yield from blocks_from_rows(_rows(lines))


def _rows(lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
    """The rows of the first table with a loss."""
    previous: list[str] = []
    names: list[str] = []
    for number, line in lines:
        if _RULE.fullmatch(line):
            if not names and any(role(name) in LOSSES for name in previous):
                names = previous
            continue
        texts = []
        if _BARS.search(line):
            texts = [text.strip(_MARKS) for text in _BARS.split(_OUTER_BARS.sub("", line))]
        if names and len(texts) != len(names):
            return
        cells = dict(zip(names, map(_cell, texts), strict=True)) if names else {}
        if any(cell is not None for cell in cells.values()):
            yield Row(number, {name: cell for name, cell in cells.items() if name})
        previous = texts


def _cell(text: str) -> Cell:
    return float(text) if is_number(text) else None


FORMAT = Format("Markdown table", recognises, pieces, "line", SUFFIXES)
