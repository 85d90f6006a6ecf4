"""A JSON object of lists, a column each: what becomes of Keras' `History.history` and of many a
notebook's dict.

A table that pandas wrote is one too: its columns are objects whose names are the places in the
list. So is an object that holds it beside other things, or one for each split, and one that holds a
list of rows beside other things."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from probes.readers.base import ROWS, Block, Format, flat
from probes.readers.column_names import LOSSES, role
from probes.readers.line_batches import BOM
from probes.record import RecordError

LARGEST = 256 * 1_048_576
"""Bytes: such an object has no rows until its last column is read, so all of it is held in
memory."""
DEPTH = 3
"""Objects around the one that holds the lists, or the list of rows, at most."""
OPENING = (b'":[', b'":{"0":')
"""How a list begins, or a column of a table of pandas, once blanks are taken out."""
NUMBERS = tuple(opening + bytes([first]) for opening in OPENING for first in b'-0123456789nNI"')
"""As much of one that holds numbers, nulls or spelled-out NaNs."""


_ROWS = re.compile(rb'":\[\{(.*)')
_KEY = re.compile(rb'"([^"\\]{1,100})":')


def recognises(head: bytes) -> bool:
    """An object one of whose values is a list, or a column of pandas, that begins with a number; or
    one of rows."""
    text = b"".join(head.removeprefix(BOM).split())
    return text.startswith(b'{"') and (any(start in text for start in NUMBERS) or _lists_rows(text))


def _lists_rows(text: bytes) -> bool:
    """Whether a value is a list of objects that hold a loss, and is not the one that Hugging Face's
    trainer writes."""
    rows = _ROWS.search(text) if b'"log_history":' not in text else None
    return rows is not None and any(
        role(key[1].decode(errors="replace")) in LOSSES for key in _KEY.finditer(rows[1])
    )


def pieces(path: Path) -> Iterator[Block]:
    """Row i holds the i-th value of every list. Raises RecordError when it is cut, too large, or
    its lists differ."""
    columns = _lists(_object(path))
    if not columns:
        raise RecordError(f"{path} is an object without a list of values; give each column a list")
    lengths = {name: len(values) for name, values in columns.items()}
    longest = max(lengths, key=lambda name: lengths[name])
    for name, length in lengths.items():
        if length != lengths[longest]:
            raise RecordError(
                f"{path}: {name!r:.60} has {length} values and {longest!r:.60} {lengths[longest]}; "
                "all lists must be of one length, with null where nothing was measured"
            )
    for begin in range(0, lengths[longest], ROWS):
        block = {name: values[begin : begin + ROWS] for name, values in columns.items()}
        yield Block(range(begin + 1, begin + 1 + len(block[longest])), block)


def _object(path: Path) -> dict[str, Any]:
    if (size := path.stat().st_size) > LARGEST:
        raise RecordError(
            f"{path} is an object of {size} bytes; above {LARGEST} write the log as JSON lines or CSV"
        )
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is cut off or damaged: {error}; give the whole file") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path} is {value!r:.60}; it must be an object of lists")
    return value


def _lists(value: dict[str, Any], depth: int = DEPTH) -> dict[str, list[Any]]:
    """The columns of an object. Every one of pandas' has the same places, so their order is all
    that counts."""
    columns: dict[str, list[Any]] = {}
    for name, cells in value.items():
        if _is_tabled(cells):
            columns[name] = list(cells.values())
        elif _is_of_rows(cells):
            columns |= _columns_of(cells)
        elif isinstance(cells, list):
            columns[name] = cells
        elif isinstance(cells, dict) and depth:
            for column, inner in _lists(cells, depth - 1).items():
                path = f"{name}/{column}"
                columns[path if role(path) or column in columns else column] = inner
    lengths = {len(cells) for name, cells in columns.items() if role(name) in LOSSES}
    # Others say something else, as the sizes of the layers do.
    return {
        name: cells
        for name, cells in columns.items()
        if role(name) or len(cells) in lengths or not lengths
    }


def _is_of_rows(cells: object) -> bool:
    if not isinstance(cells, list) or not cells or not all(isinstance(row, dict) for row in cells):
        return False
    return any(role(name) in LOSSES for name in flat(cells[-1]))


def _columns_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    cells = [flat(row) for row in rows]
    return {
        name: [row.get(name) for row in cells] for name in dict.fromkeys(chain.from_iterable(cells))
    }


def _is_tabled(cells: object) -> bool:
    return isinstance(cells, dict) and bool(cells) and all(place.isdecimal() for place in cells)


FORMAT = Format("JSON object of lists", recognises, pieces, "entry")
