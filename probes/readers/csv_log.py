"""CSV with a header line, such as Lightning's sparse `metrics.csv` and Keras' `CSVLogger`.

The delimiter is a comma, a semicolon, a tab or blanks.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from probes.readers.base import Block, Format, Note, Piece, Resumed, Row, blocks_from_rows, row_of
from probes.readers.cells import NOT_MEASURED, Cell, is_complete_number, is_number
from probes.readers.column_names import role
from probes.readers.line_batches import Batch, batches, first_lines
from probes.record import RecordError

_DECIMAL_COMMA = re.compile(r"(?<![^;\s])(-?\d+),(\d+(?:e[-+]?\d+)?)(?![^;\s])", re.IGNORECASE)
COMMENT = "#"
"""The mark in front of a header that NumPy, DeePMD and others write."""
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
    delimiter, names = _names(lines[0])
    if any(is_number(_cell(name)) for name in names):
        return False
    known = any(role(name) for name in names)
    if len(lines) == 1:
        return known and delimiter != BLANK
    if delimiter == BLANK and len(names) > 1 and not known:
        return False  # prose: two lines may happen to have the same number of words
    texts = _split(lines[1], delimiter)
    if to_gap := _up_to_gap(texts, len(names)):
        return known and any(is_number(_cell(text)) for text in to_gap)
    cells = [_cell(text) for text in texts]
    cut = len(cells) < len(names) and head.count(b"\n") == 1
    repeated = lines[1] == lines[0]
    return cut or (len(cells) == len(names) and (repeated or any(map(is_number, cells))))


def pieces(path: Path) -> Iterator[Piece]:
    """One row per line.

    In a last line without its newline, the last cell may be cut. It is read only if its form shows
    that it is whole. A row with more cells than the header is read up to its first empty cell,
    because it is not known to which columns the cells after that belong. A line that has fewer
    cells, or has more cells and no empty one, is a row of kind "damaged". Raises RecordError for a
    name that appears twice in the header.
    """
    header, above, read_to_gap = None, "", 0
    for batch in batches(path):
        if header is None:
            header, batch = _header(batch, path)
            if header is None:
                continue
        block = _block(batch, header)
        if block is not None:
            yield block
        else:
            rows = list(_rows(path, batch, header, above))
            yield from blocks_from_rows(rows)
            read_to_gap += (
                sum(
                    row.kind == "point" and len(row.cells) < len(header.columns)
                    for row in rows
                    if isinstance(row, Row)
                )
                if batch.whole
                else 0
            )
        above = next((line for line in reversed(batch.lines) if line.strip()), above)
    if read_to_gap:
        yield Note(
            f"{read_to_gap} rows have more cells than the header; they were read up to their "
            "first empty cell"
        )


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

    If all lines of the batch are blank, returns None instead of the header, and the whole batch.
    """
    for place, line in enumerate(batch.lines):
        if not line.strip():
            continue
        delimiter, titles = _names(line)
        if not titles:
            continue
        below_it = next(filter(str.strip, batch.lines[place + 1 :]), "")
        if line.lstrip().startswith(COMMENT) and below_it.lstrip().startswith(COMMENT):
            continue  # a comment above the header
        for title, count in Counter(titles).items():
            if title and count > 1:
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
    if header.delimiter == ";" and any("," in line for line in batch.lines):
        return None
    try:
        lines = map(str.strip, batch.lines) if header.delimiter == BLANK else batch.lines
        table = list(csv.reader(lines, delimiter=header.delimiter, skipinitialspace=True))
    except csv.Error:
        return None
    is_regular = len(table) == len(batch.lines) and set(map(len, table)) == {len(header.columns)}
    if not is_regular or "train_runtime" in header.columns:
        return None
    if any(header.titles[0] == texts[0].strip() for texts in table):
        return None
    # float() accepts the underscore in 1_000, which is not a number in a log.
    has_underscore = "_" in "".join(batch.lines)
    # A list for each row is slow for short rows, and a list for each column for short columns.
    by_row = len(table) < len(header.columns)
    lists = table if by_row else zip(*table, strict=True)
    cells = [_cells(texts, has_underscore) for texts in lists]
    columns: Iterable[Sequence[Cell]] = zip(*cells, strict=True) if by_row else cells
    numbers = range(batch.first, batch.first + len(table))
    return Block(numbers, dict(zip(header.columns, columns, strict=True)))


def _cells(texts: Sequence[str], has_underscore: bool) -> list[Cell]:
    """The cells that are written in some texts, none of which has an underscore unless so said."""
    if not has_underscore:
        with suppress(ValueError):  # the usual case, written so that it is fast
            return [float(text) if text else None for text in texts]
    return list(map(_cell, texts))


def _rows(path: Path, batch: Batch, header: _Header, above: str) -> Iterator[Row | Resumed]:
    """One row per line, and a mark for each line that repeats the header.

    above  the line above the batch
    """
    for number, line in enumerate(batch.lines, batch.first):
        if not line.strip():
            continue
        texts = _split(line, header.delimiter)
        count = len(header.columns)
        if not batch.whole:
            is_whole = len(texts) == count and is_complete_number(
                texts[-1], (_split(above, header.delimiter) or [""])[-1], line.endswith('"')
            )
            known_texts = texts[:count] if is_whole else texts[:-1]
            known = dict(zip(header.columns, map(_cell, known_texts), strict=False))
            if any(is_number(cell) for cell in known.values()):
                yield row_of(number, known)
            if not is_whole:
                yield Row(number, {}, "cut")
            return
        if len(texts) != count and (to_gap := _up_to_gap(texts, count)):
            yield row_of(number, dict(zip(header.columns, map(_cell, to_gap), strict=False)))
            continue
        if len(texts) != count:
            error = f"has {len(texts)} cells; it must have {count}, like the header"
            yield Row(number, {}, "damaged", f"{path}, line {number} {error}")
            continue
        if (
            texts[0].strip() == header.titles[0]
            and [text.strip() for text in texts] == header.titles
        ):
            yield Resumed()  # the header is repeated, because two logs were joined
            continue
        yield row_of(number, dict(zip(header.columns, map(_cell, texts), strict=True)))


def _names(line: str) -> tuple[str, list[str]]:
    """The delimiter of a header, and the names in it without the mark of a comment."""
    line = line.lstrip().removeprefix(COMMENT)
    most = max(DELIMITERS, key=line.count)
    delimiter = most if most in line else BLANK
    return delimiter, [name.strip() for name in _split(line, delimiter)]


def _up_to_gap(texts: list[str], count: int) -> list[str]:
    """The cells in front of the first empty one, if there are more cells than names, else []."""
    is_ragged = len(texts) > count and "" in map(str.strip, texts)
    return list(takewhile(str.strip, texts)) if is_ragged else []


def _split(line: str, delimiter: str) -> list[str]:
    """The cells of a line. Beside semicolons, a comma is the decimal point of a number."""
    if delimiter == ";" and "." not in line:
        line = _DECIMAL_COMMA.sub(r"\1.\2", line)
    try:
        line = line.strip() if delimiter == BLANK else line
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


def _cell(text: str) -> Cell:
    """The number written in a text, None for a word that means "not measured", else the text."""
    try:
        return float(text) if "_" not in text else text
    except ValueError:
        return None if text.strip().lower() in NOT_MEASURED else text


FORMAT = Format("CSV", recognises, pieces, "line", holds_runs=True)
