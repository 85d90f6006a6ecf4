"""CSV with a header: Lightning's sparse `metrics.csv`, Keras' `CSVLogger`, plain ones; commas, semicolons or tabs."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from probes.readers.columns import role
from probes.readers.rows import NOT_MEASURED, Cell, Format, Row, first_lines, is_number, lines, summarises
from probes.record import RecordError

DELIMITERS = ",;\t"


def recognises(head: bytes) -> bool:
    """A line of names, then a line of as many cells with a number among them, unless the log ends at its header."""
    found = first_lines(head)
    if not found or found[0].lstrip()[:1] in "{[":
        return False
    delimiter = _delimiter(found[0])
    header = _split(found[0], delimiter)
    if any(is_number(_cell(name)) for name in header):
        return False
    if len(found) == 1:
        return any(role(name) for name in header)
    cells = [_cell(text) for text in _split(found[1], delimiter)]
    cut = len(cells) < len(header) and head.count(b"\n") == 1
    return cut or (len(cells) == len(header) and (found[1] == found[0] or any(map(is_number, cells))))


def rows(path: Path) -> Iterator[Row]:
    """One row a line; a last line without its newline is a cut, since its last number may be. Raises RecordError."""
    titles: list[str] = []
    header: list[str] = []
    delimiter = ","
    for count, line, whole in lines(path):
        if not line.strip():
            continue
        if not header:
            delimiter = _delimiter(line)
            titles = _stripped(_split(line, delimiter))
            header = _header(titles, path)
            continue
        if not whole:
            yield Row(count, {}, "cut")
            return
        texts = _split(line, delimiter)
        if len(texts) != len(header):
            raise RecordError(f"{path}, line {count} has {len(texts)} cells; it must have {len(header)}, as the header")
        if texts[0].strip() == titles[0] and _stripped(texts) == titles:
            continue  # two logs, one behind the other
        cells = dict(zip(header, map(_cell, texts), strict=True))
        yield Row(count, cells, "summary" if summarises(cells) else "point")


def _delimiter(line: str) -> str:
    return max(DELIMITERS, key=line.count)


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:
        return []


def _stripped(texts: list[str]) -> list[str]:
    return [text.strip() for text in texts]


def _header(titles: list[str], path: Path) -> list[str]:
    """The names of the columns; one without a title, as the index of a data frame, is called by its place."""
    twice = [name for name in dict.fromkeys(titles) if name and titles.count(name) > 1]
    if twice:
        raise RecordError(f"{path}, line 1: column {twice[0]!r:.60} stands there twice; rename one of the two")
    return [name or f"column {place}" for place, name in enumerate(titles, start=1)]


def _cell(text: str) -> Cell:
    """The number that the text spells, None for an empty one, the text itself for a word."""
    try:
        return float(text) if "_" not in text else text
    except ValueError:
        return None if text.strip().lower() in NOT_MEASURED else text


FORMAT = Format("CSV", recognises, rows, "line")
