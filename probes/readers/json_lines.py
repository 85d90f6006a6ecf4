"""JSON lines of metrics, an object a line: `trainer_log.jsonl` and what many a loop writes for
itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.readers import json_columns
from probes.readers.base import Format, Piece, Row, blocks_of, flat, gathered, summarises
from probes.readers.column_names import LOSSES, role
from probes.readers.line_batches import Batch, batches, first_lines
from probes.record import RecordError

LOOKED_AT = 10
"""Lines at the beginning, one of which has to hold something."""
_decode = json.JSONDecoder().raw_decode


def recognises(head: bytes) -> bool:
    """Its first line is a whole object that holds at least one value which is not itself a list or
    an object.

    Some, as MMSegmentation's, begin with empty ones. A line by itself with no loss but in a list is
    an object of lists."""
    found = first_lines(head, LOOKED_AT)
    row = next((_object(line) for line in found if line.strip() != "{}"), {})
    told = any(
        role(name) in LOSSES and not isinstance(value, list) for name, value in flat(row).items()
    )
    listed = len(found) == 1 and not told and json_columns.recognises(head)
    return (
        not all(isinstance(value, list) for value in flat(row).values())
        and "log_history" not in row
        and not listed
    )


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def pieces(path: Path) -> Iterator[Piece]:
    """One row a line; a last line that is no JSON and lacks its newline is a cut. Raises
    RecordError for others."""
    for batch in batches(path):
        points = _points(batch.lines)
        if points is None:
            yield from gathered(_rows(path, batch))
        else:
            yield from blocks_of(range(batch.first, batch.first + len(points)), points)


def _points(lines: list[str]) -> list[dict[str, Any]] | None:
    """The lines as objects; None unless each is one object, nothing else, and a point."""
    try:
        decoded = [_decode(line) for line in lines]
    except (ValueError, RecursionError):
        return None
    points = [value for value, _ in decoded]
    if any(end != len(line) for (_, end), line in zip(decoded, lines, strict=True)) or set(
        map(type, points)
    ) != {dict}:
        return None
    return None if any(map(summarises, points)) else points


def _rows(path: Path, batch: Batch) -> Iterator[Row]:
    """The lines one by one."""
    for count, line in enumerate(batch.lines, batch.first):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not batch.whole:
                yield Row(count, {}, "cut")
                return
            raise RecordError(
                f"{path}, line {count} is damaged: {error}; it must be one JSON object"
            ) from error
        if not isinstance(value, dict):
            raise RecordError(
                f"{path}, line {count} is {value!r:.60}; it must be one JSON object: a row of the log"
            )
        yield Row(count, value, "summary" if summarises(value) else "point")


FORMAT = Format("JSON lines", recognises, pieces, "line")
