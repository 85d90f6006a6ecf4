"""CSV with a header: Lightning's sparse `metrics.csv`, Keras' `CSVLogger`, plain ones; also with
tabs, blanks."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from probes.readers.base import (
    NOT_MEASURED,
    Block,
    Cell,
    Format,
    Piece,
    Row,
    gathered,
    is_number,
    summarises,
)
from probes.readers.column_names import role
from probes.readers.line_batches import Batch, batches, first_lines
from probes.record import RecordError

DELIMITERS = ",;\t"
BLANK = " "
"""Any number of them, where the line of names has none of these."""


def recognises(head: bytes) -> bool:
    """A line of names, then a line of as many cells with a number among them, unless the log ends
    at its header."""
    found = first_lines(head)
    if not found or found[0].lstrip()[:1] in "{[":
        return False
    delimiter = _delimiter(found[0])
    header = _split(found[0], delimiter)
    if any(is_number(_cell(name)) for name in header):
        return False
    known = any(role(name) for name in header)
    if len(found) == 1:
        return known and delimiter != BLANK
    if delimiter == BLANK and len(header) > 1 and not known:
        return False
    cells = [_cell(text) for text in _split(found[1], delimiter)]
    cut = len(cells) < len(header) and head.count(b"\n") == 1
    return cut or (
        len(cells) == len(header) and (found[1] == found[0] or any(map(is_number, cells)))
    )


def pieces(path: Path) -> Iterator[Piece]:
    """One row a line; a last line without its newline is a cut, since its last number may be.
    Raises RecordError."""
    head = None
    for batch in batches(path):
        if head is None:
            head, batch = _below_head(batch, path)
            if head is None:
                continue
        block = _block(batch, head)
        if block is None:
            yield from gathered(_rows(path, batch, head))
        else:
            yield block


class _Head(NamedTuple):
    """The line of names: as it stands there, and as the columns are called."""

    delimiter: str
    titles: list[str]
    names: list[str]


def _below_head(batch: Batch, path: Path) -> tuple[_Head | None, Batch]:
    """The first line that holds names, and the lines below it."""
    for place, line in enumerate(batch.lines, start=1):
        delimiter = _delimiter(line)
        titles = _stripped(_split(line, delimiter)) if line.strip() else []
        if titles:
            below = Batch(batch.first + place, batch.lines[place:], batch.whole)
            return _Head(delimiter, titles, _names(titles, path)), below
    return None, batch


def _block(batch: Batch, head: _Head) -> Block | None:
    """All lines at once; None when one of them may be no plain point, and has to be looked at by
    itself."""
    text = "\n".join(batch.lines)
    if not batch.whole or not batch.lines or not all(map(str.strip, batch.lines)):
        return None
    try:
        lines = map(str.strip, batch.lines) if head.delimiter == BLANK else batch.lines
        table = list(csv.reader(lines, delimiter=head.delimiter, skipinitialspace=True))
    except csv.Error:
        return None
    if (
        set(map(len, table)) != {len(head.names)}
        or len(table) != len(batch.lines)
        or "train_runtime" in head.names
    ):
        return None
    columns = list(zip(*table, strict=True))
    if head.titles[0] in map(str.strip, columns[0]):
        return None
    cells = map(_exact_cells if "_" in text else _cells, columns)
    numbers = range(batch.first, batch.first + len(table))
    return Block(numbers, dict(zip(head.names, cells, strict=True)))


def _rows(path: Path, batch: Batch, head: _Head) -> Iterator[Row]:
    """The lines one by one."""
    for count, line in enumerate(batch.lines, batch.first):
        if not line.strip():
            continue
        if not batch.whole:
            yield Row(count, {}, "cut")
            return
        texts = _split(line, head.delimiter)
        if len(texts) != len(head.names):
            raise RecordError(
                f"{path}, line {count} has {len(texts)} cells; it must have {len(head.names)}, as the header"
            )
        if texts[0].strip() == head.titles[0] and _stripped(texts) == head.titles:
            continue  # two logs, one behind the other
        cells = dict(zip(head.names, map(_cell, texts), strict=True))
        yield Row(count, cells, "summary" if summarises(cells) else "point")


def _delimiter(line: str) -> str:
    most = max(DELIMITERS, key=line.count)
    return most if most in line else BLANK


def _split(line: str, delimiter: str) -> list[str]:
    try:
        line = line.strip() if delimiter == BLANK else line
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


def _stripped(texts: list[str]) -> list[str]:
    return [text.strip() for text in texts]


def _names(titles: list[str], path: Path) -> list[str]:
    """The names of the columns; one without a title, as the index of a data frame, is called by its
    place."""
    twice = [name for name in dict.fromkeys(titles) if name and titles.count(name) > 1]
    if twice:
        raise RecordError(
            f"{path}, line 1: column {twice[0]!r:.60} stands there twice; rename one of the two"
        )
    return [name or f"column {place}" for place, name in enumerate(titles, start=1)]


def _cell(text: str) -> Cell:
    """The number that the text spells, None for an empty one, the text itself for a word."""
    try:
        return float(text) if "_" not in text else text
    except ValueError:
        return None if text.strip().lower() in NOT_MEASURED else text


def _cells(texts: Sequence[str]) -> list[Cell]:
    """As `_cell` reads each; no text holds an underscore, which `float` would pass over."""
    try:
        return [float(text) if text else None for text in texts]
    except ValueError:
        return _exact_cells(texts)


def _exact_cells(texts: Sequence[str]) -> list[Cell]:
    return list(map(_cell, texts))


FORMAT = Format("CSV", recognises, pieces, "line")
