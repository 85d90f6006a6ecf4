"""Hugging Face's `trainer_state.json`, or only the list that is its `log_history`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from probes.readers.base import (
    ROWS_PER_BLOCK,
    Format,
    Piece,
    Row,
    blocks_from_points,
    blocks_from_rows,
    is_summary,
    row_of,
)
from probes.readers.json_document import load
from probes.readers.line_batches import BOM
from probes.record import RecordError

HISTORY = "log_history"
"""The key of the list that holds the rows."""


def recognises(head: bytes) -> bool:
    """Whether the file is an object with a `log_history`, or a list that begins with an object."""
    text = head.removeprefix(BOM).lstrip()
    if text[:1] == b"{":
        return f'"{HISTORY}"'.encode() in text
    return text[:1] == b"[" and text[1:].lstrip()[:1] == b"{"


def pieces(path: Path) -> Iterator[Piece]:
    """One row per entry of `log_history`, then a row of kind "totals" with the rest of the object.

    Raises RecordError for a damaged file and for an entry that is not an object.
    """
    state = load(path)
    if isinstance(state, list):
        state = {HISTORY: state}
    history = state.pop(HISTORY, None) if isinstance(state, dict) else None
    if not isinstance(history, list):
        raise RecordError(
            f"{path}: its {HISTORY} is {history!r:.60}; it must be a list of objects, one per row"
        )
    for begin in range(0, len(history), ROWS_PER_BLOCK):
        entries, first = history[begin : begin + ROWS_PER_BLOCK], begin + 1
        objects = list(takewhile(lambda entry: isinstance(entry, dict), entries))
        if len(objects) == len(entries) and not any(map(is_summary, objects)):
            yield from blocks_from_points(range(first, first + len(entries)), objects)
        else:
            rows = [row_of(first + place, cells) for place, cells in enumerate(objects)]
            yield from blocks_from_rows(rows)
            if len(objects) < len(entries):
                raise RecordError(
                    f"{path}, entry {first + len(objects)} is {entries[len(objects)]!r:.60}; "
                    "it must be an object"
                )
    yield Row(len(history), state, "totals")


FORMAT = Format("Hugging Face trainer state", recognises, pieces, "entry", search_by_keys=True)
