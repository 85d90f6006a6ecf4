"""CSV with a header line, such as Lightning's sparse `metrics.csv` and Keras' `CSVLogger`.

The delimiter is a comma, a semicolon, a tab or blanks.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from probes.readers.base import Block, Format, Piece, Row, blocks_from_rows, row_of
from probes.readers.cells import NOT_MEASURED, Cell, is_number
from probes.readers.column_names import role
from probes.readers.line_batches import Batch, batches, first_lines
from probes.record import RecordError

DELIMITERS = ",;\t"
BLANK = " "
"""The delimiter if the header has none of DELIMITERS. Any number of blanks separates two cells."""


def recognises(head: bytes) -> bool:
    """Whether the file begins with a header and a line with as many cells, one of them a number.

    A header without a line below it is enough if it has a known name and a delimiter.
    """
    lines = first_lines(head)
    if not lines or lines[0].lstrip()[:1] in "{[":
        return False
    delimiter = _delimiter(lines[0])
    names = _split(lines[0], delimiter)
    if any(is_number(_cell(name)) for name in names):
        return False
    known = any(role(name) for name in names)
    if len(lines) == 1:
        return known and delimiter != BLANK
    if delimiter == BLANK and len(names) > 1 and not known:
        return False  # prose, two lines of which happen to have as many words
    cells = [_cell(text) for text in _split(lines[1], delimiter)]
    cut = len(cells) < len(names) and head.count(b"\n") == 1
    repeated = lines[1] == lines[0]
    return cut or (len(cells) == len(names) and (repeated or any(map(is_number, cells))))


def pieces(path: Path) -> Iterator[Piece]:
    """One row per line.

    A last line without its newline is a row of kind "cut", because its last number may be cut.
    Raises RecordError for a name that appears twice in the header and for a line that has not as
    many cells as the header.
    """
    header = None
    for batch in batches(path):
        if header is None:
            header, batch = _header(batch, path)
            if header is None:
                continue
        block = _block(batch, header)
        if block is None:
            yield from blocks_from_rows(_rows(path, batch, header))
        else:
            yield block


class _Header(NamedTuple):
    """The header line.

    delimiter  the character between two cells
    titles     the names as they are in the file
    columns    the same names, with a made-up name in place of an empty one
    """

    delimiter: str
    titles: list[str]
    columns: list[str]


def _header(batch: Batch, path: Path) -> tuple[_Header | None, Batch]:
    """The header, which is the first line that is not blank, and the lines below it.

    None and the batch if all its lines are blank.
    """
    for place, line in enumerate(batch.lines):
        delimiter = _delimiter(line)
        titles = _stripped(_split(line, delimiter)) if line.strip() else []
        if not titles:
            continue
        for title in titles:
            if title and titles.count(title) > 1:
                raise RecordError(
                    f"{path}, line {batch.first + place}: column {title!r:.60} appears twice; "
                    "rename one of the two"
                )
        # pandas writes the index of a data frame as a column without a title.
        columns = [title or f"column {number}" for number, title in enumerate(titles, start=1)]
        below = Batch(batch.first + place + 1, batch.lines[place + 1 :], batch.whole)
        return _Header(delimiter, titles, columns), below
    return None, batch


def _block(batch: Batch, header: _Header) -> Block | None:
    """All lines as one block; None if any of them might not be an ordinary row."""
    if not batch.whole or not batch.lines or not all(map(str.strip, batch.lines)):
        return None
    try:
        lines = map(str.strip, batch.lines) if header.delimiter == BLANK else batch.lines
        table = list(csv.reader(lines, delimiter=header.delimiter, skipinitialspace=True))
    except csv.Error:
        return None
    is_regular = len(table) == len(batch.lines) and set(map(len, table)) == {len(header.columns)}
    if not is_regular or "train_runtime" in header.columns:
        return None
    columns = list(zip(*table, strict=True))
    if header.titles[0] in map(str.strip, columns[0]):
        return None
    # float() accepts the underscore in 1_000, which is not a number in a log.
    has_underscore = "_" in "".join(batch.lines)
    cells: dict[str, Sequence[Cell]] = {}
    for name, texts in zip(header.columns, columns, strict=True):
        try:
            if has_underscore:
                cells[name] = list(map(_cell, texts))
            else:  # the usual case, written so that it is fast
                cells[name] = [float(text) if text else None for text in texts]
        except ValueError:
            cells[name] = list(map(_cell, texts))
    return Block(range(batch.first, batch.first + len(table)), cells)


def _rows(path: Path, batch: Batch, header: _Header) -> Iterator[Row]:
    for number, line in enumerate(batch.lines, batch.first):
        if not line.strip():
            continue
        if not batch.whole:
            yield Row(number, {}, "cut")
            return
        texts = _split(line, header.delimiter)
        if len(texts) != len(header.columns):
            raise RecordError(
                f"{path}, line {number} has {len(texts)} cells; it must have "
                f"{len(header.columns)}, like the header"
            )
        if texts[0].strip() == header.titles[0] and _stripped(texts) == header.titles:
            continue  # the header is repeated, because two logs were joined
        yield row_of(number, dict(zip(header.columns, map(_cell, texts), strict=True)))


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


def _cell(text: str) -> Cell:
    """The number written in a text, None for a word that means "not measured", else the text."""
    try:
        return float(text) if "_" not in text else text
    except ValueError:
        return None if text.strip().lower() in NOT_MEASURED else text


FORMAT = Format("CSV", recognises, pieces, "line", holds_runs=True)
