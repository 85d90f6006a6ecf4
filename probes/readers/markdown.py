"""A table in Markdown, as in a model card: `| Training Loss | Epoch | Step | Validation Loss |`.

Only the first table of a file that has a column of losses is read. Such tables are written for
people, so a number may be in bold, and a cell that is not a number, such as `No log`, means "not
measured". Tables drawn with `+---+` or with box-drawing lines are read as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from probes.readers.base import Format, Piece, Row, blocks_from_rows
from probes.readers.cells import number_or_gap
from probes.readers.column_names import EPOCH, LOSSES, STEP, role
from probes.readers.line_batches import BOM, batches

MIN_TABLE_ROWS = 3
"""A table with fewer rows is a table of results, not a log, unless it has the columns of a model
card: a training loss, a validation loss, and steps or epochs."""
NO_SUFFIXES: frozenset[str] = frozenset()
"""A search of a folder accepts no file in this format, because the log from which such a table was
made is usually in the same folder. The table is read only if the user names its file."""

_BARS = re.compile(r"[|\u2502\u2503\u2551]")
_OUTER_BARS = re.compile(r"^\s*[|\u2502\u2503\u2551]|[|\u2502\u2503\u2551]\s*$")
_RULE = re.compile(r"[\s|+:=\-\u2500-\u257f]*[-=\u2500\u2501\u2550][\s|+:=\-\u2500-\u257f]*")
_MARKS = "*`_ \t%"
"""Characters that may surround a number: marks for bold or code, blanks, and the percent sign."""


def recognises(head: bytes) -> bool:
    """Whether the file has a line that names a loss, a horizontal rule below it, and then at least
    MIN_TABLE_ROWS rows with a number, or one row of a model card."""
    if b"\0" in head:
        return False
    lines = enumerate(head.removeprefix(BOM).decode(errors="replace").splitlines(), start=1)
    rows = list(islice(_rows(lines), MIN_TABLE_ROWS))
    roles = {role(name) for row in rows for name, cell in row.cells.items() if cell is not None}
    is_card = {"loss", "val_loss"} <= roles and bool(roles & {STEP, EPOCH})
    return len(rows) == MIN_TABLE_ROWS or is_card


def pieces(path: Path) -> Iterator[Piece]:
    """One row per line of the table. Raises RecordError for a line that is not text."""
    lines = (
        (number, line)
        for batch in batches(path)
        for number, line in enumerate(batch.lines, batch.first)
    )
    yield from blocks_from_rows(_rows(lines))


def _rows(lines: Iterable[tuple[int, str]]) -> Iterator[Row]:
    """The rows of the first table with a column of losses.

    lines  number and text of each line
    """
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
        cells = dict(zip(names, map(number_or_gap, texts), strict=True)) if names else {}
        if any(cell is not None for cell in cells.values()):
            yield Row(number, {name: cell for name, cell in cells.items() if name})
        previous = texts


FORMAT = Format("Markdown table", recognises, pieces, "line", NO_SUFFIXES)
