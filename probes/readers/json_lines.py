"""JSON lines of metrics, an object a line: `trainer_log.jsonl` and what many a loop writes for itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.readers.rows import Format, Row, first_lines, lines, summarises
from probes.record import RecordError


def recognises(head: bytes) -> bool:
    """Its first line is a whole object that holds at least one value which is not itself a list or an object."""
    found = first_lines(head)
    row = _object(found[0]) if found else {}
    return bool(row) and "log_history" not in row and not all(isinstance(v, list | dict) for v in row.values())


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def rows(path: Path) -> Iterator[Row]:
    """One row a line; a last line that is no JSON and lacks its newline is a cut. Raises RecordError for others."""
    for count, line, whole in lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not whole:
                yield Row(count, {}, "cut")
                return
            raise RecordError(f"{path}, line {count} is damaged: {error}; it must be one JSON object") from error
        if not isinstance(value, dict):
            raise RecordError(f"{path}, line {count} is {value!r:.60}; it must be one JSON object: a row of the log")
        yield Row(count, value, "summary" if summarises(value) else "point")


FORMAT = Format("JSON lines", recognises, rows, "line")
