"""A JSON object of lists, one list per column, such as Keras' `History.history`.

Four variants are read as well:

- a table written by pandas, whose columns are objects with the keys "0", "1", ...
- an object that holds the object of lists beside other values
- an object that holds one object of lists per split
- an object that holds a list of rows beside other values
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from probes.readers import sacred
from probes.readers.base import ROWS_PER_BLOCK, Block, Format, flat
from probes.readers.column_names import LOSSES, role
from probes.readers.json_document import keys_in, load
from probes.readers.line_batches import BOM
from probes.record import RecordError

MAX_NESTING = 3
"""The lists may be at most this many objects deep within the outer object."""
_NUMBERS = re.compile(rb'":(?:\[|\{"0":)[-0-9nNI"]')
"""The beginning of a list or pandas column whose first value is a number, null, NaN or text."""
_ROWS = re.compile(rb'":\[\{(.*)')
"""The beginning of a list of rows."""


def recognises(head: bytes) -> bool:
    """Whether the file is an object with a list of numbers, a pandas column, or a list of rows with
    a loss."""
    text = b"".join(head.removeprefix(BOM).split())
    if not text.startswith(b'{"') or sacred.recognises(text):
        return False
    if _NUMBERS.search(text):
        return True
    rows = _ROWS.search(text) if b'"log_history":' not in text else None
    return rows is not None and any(role(key) in LOSSES for key in keys_in(rows[1]))


def pieces(path: Path) -> Iterator[Block]:
    """The rows: row i holds the i-th value of every list.

    Raises RecordError for a damaged file, for an object without a list, and for lists of different
    lengths.
    """
    value = load(path)
    columns = _columns(value) if isinstance(value, dict) else {}
    if not columns:
        raise RecordError(f"{path} is an object without a list of values; give each column a list")
    lengths = {name: len(values) for name, values in columns.items()}
    longest = max(lengths, key=lambda name: lengths[name])
    for name, length in lengths.items():
        if length != lengths[longest]:
            raise RecordError(
                f"{path}: {name!r:.60} has {length} values and {longest!r:.60} {lengths[longest]}; "
                "all lists must have the same length, with null where nothing was measured"
            )
    for begin in range(0, lengths[longest], ROWS_PER_BLOCK):
        end = min(begin + ROWS_PER_BLOCK, lengths[longest])
        block = {name: values[begin:end] for name, values in columns.items()}
        yield Block(range(begin + 1, end + 1), block)


def _columns(value: dict[str, Any], depth: int = MAX_NESTING) -> dict[str, list[Any]]:
    """The columns in an object and in the objects within it: name -> values.

    A column of an inner object keeps its own name, with two exceptions: its name is its path if the
    path is a known name, such as `val/loss`, or if another column has the same name.
    """
    columns: dict[str, list[Any]] = {}
    for name, cells in value.items():
        if isinstance(cells, dict) and cells and all(map(str.isdecimal, cells)):
            # pandas writes the rows of all columns in the same order.
            columns[name] = list(cells.values())
        elif (
            isinstance(cells, list)
            and cells
            and all(isinstance(row, dict) for row in cells)
            and any(role(name) in LOSSES for name in flat(cells[-1]))
        ):
            rows = list(map(flat, cells))
            for column in dict.fromkeys(chain.from_iterable(rows)):
                columns[column] = [row.get(column) for row in rows]
        elif isinstance(cells, list):
            columns[name] = cells
        elif isinstance(cells, dict) and depth:
            for column, inner in _columns(cells, depth - 1).items():
                path = f"{name}/{column}"
                columns[path if role(path) or column in columns else column] = inner
    # A list with an unknown name and another length than the losses is not a column. It may be, for
    # example, the sizes of the layers.
    loss_lengths = {len(cells) for name, cells in columns.items() if role(name) in LOSSES}
    return {
        name: cells
        for name, cells in columns.items()
        if role(name) or len(cells) in loss_lengths or not loss_lengths
    }


FORMAT = Format("JSON object of lists", recognises, pieces, "entry")
