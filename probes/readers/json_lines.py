"""JSON lines: one object per line, as in `trainer_log.jsonl` and many other logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.readers import json_columns
from probes.readers.base import (
    Format,
    Piece,
    Row,
    blocks_from_points,
    blocks_from_rows,
    flat,
    is_summary,
    row_of,
)
from probes.readers.column_names import LOSSES, role
from probes.readers.line_batches import Batch, batches, first_lines

MAX_CHECKED_LINES = 10
"""One of this many lines at the beginning must be an object that is not empty. MMSegmentation, for
example, begins its logs with empty objects."""
_decode = json.JSONDecoder().raw_decode


def recognises(head: bytes) -> bool:
    """Whether the first line, empty objects aside, is an object with a value that is not a list.

    A file of one line may also be in the format of `json_columns`. If that format recognises the
    file, it counts as JSON lines only if a loss in it is a single value rather than a list.
    """
    lines = first_lines(head, MAX_CHECKED_LINES)
    try:
        row = json.loads(next((line for line in lines if line.strip() != "{}"), "{}"))
    except (ValueError, RecursionError):
        return False
    if not isinstance(row, dict):
        return False
    cells = flat(row)
    if "log_history" in row or all(isinstance(value, list) for value in cells.values()):
        return False
    has_loss = any(
        role(name) in LOSSES and not isinstance(value, list) for name, value in cells.items()
    )
    return len(lines) > 1 or has_loss or not json_columns.recognises(head)


def pieces(path: Path) -> Iterator[Piece]:
    """One row per line.

    A last line that is not JSON and lacks its newline is a row of kind "cut". Any other line that
    is not a JSON object is a row of kind "damaged".
    """
    for batch in batches(path):
        points = _points(batch.lines)
        if points is None:
            yield from blocks_from_rows(_rows(path, batch))
        else:
            yield from blocks_from_points(range(batch.first, batch.first + len(points)), points)


def _points(lines: list[str]) -> list[dict[str, Any]] | None:
    """The object in each line: [n] -> [n].

    None if any line is not exactly one object or is the summary of a run.
    """
    try:
        decoded = [_decode(line) for line in lines]
    except (ValueError, RecursionError):
        return None
    points = [value for value, _ in decoded]
    is_whole = all(end == len(line) for (_, end), line in zip(decoded, lines, strict=True))
    if not is_whole or set(map(type, points)) != {dict} or any(map(is_summary, points)):
        return None
    return points


def _rows(path: Path, batch: Batch) -> Iterator[Row]:
    for number, line in enumerate(batch.lines, batch.first):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not batch.whole:
                yield Row(number, {}, "cut")
                return
            reason = f"is damaged: {error}; it must be one JSON object"
            yield Row(number, {}, "damaged", f"{path}, line {number} {reason}")
            continue
        if isinstance(value, dict):
            yield row_of(number, value)
        else:
            reason = f"is {value!r:.60}; it must be one JSON object: a row of the log"
            yield Row(number, {}, "damaged", f"{path}, line {number} {reason}")


FORMAT = Format("JSON lines", recognises, pieces, "line", holds_runs=True)
