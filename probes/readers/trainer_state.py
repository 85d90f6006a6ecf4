"""Hugging Face's `trainer_state.json`, and the bare list that is its `log_history`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.readers.json_scanner import BadJsonError, Scanner
from probes.readers.rows import BOM, Format, Row, summarises
from probes.record import RecordError

HISTORY = "log_history"


def recognises(head: bytes) -> bool:
    """An object with a log_history, or a list whose first entry is an object."""
    text = head.removeprefix(BOM).lstrip()
    if text[:1] == b"{":
        return f'"{HISTORY}"'.encode() in text
    return text[:1] == b"[" and text[1:].lstrip()[:1] == b"{"


def rows(path: Path) -> Iterator[Row]:
    """One row an entry, and a summary of what the object says beside them. Raises RecordError when it is cut."""
    count = 0
    try:
        with open(path, encoding="utf-8-sig") as file:
            scanner = Scanner(file)
            for row in _object(scanner) if scanner.peek() == "{" else _entries(scanner):
                count = row.number
                yield row
            if extra := scanner.peek():
                raise BadJsonError(f"{extra!r} follows its end")
    except BadJsonError as error:
        where = f"after entry {count} of its {HISTORY}" if count else "before its first entry"
        raise RecordError(f"{path} is cut off or damaged {where}: {error}; give the whole file") from error


def _object(scanner: Scanner) -> Iterator[Row]:
    stated: dict[str, Any] = {}
    count = 0
    scanner.take("{")
    while scanner.peek() != "}":
        key = scanner.value()
        scanner.take(":")
        if key == HISTORY:
            for row in _entries(scanner):
                count = row.number
                yield row
        else:
            stated[str(key)] = scanner.value()
        if scanner.peek() != "}":
            scanner.take(",}")
    scanner.take("}")
    yield Row(count, stated, "summary")


def _entries(scanner: Scanner) -> Iterator[Row]:
    count = 0
    scanner.take("[")
    while scanner.peek() != "]":
        count += 1
        entry = scanner.value()
        if not isinstance(entry, dict):
            raise BadJsonError(f"entry {count} is {entry!r:.60}, which is no object")
        yield Row(count, entry, "summary" if summarises(entry) else "point")
        if scanner.peek() != "]":
            scanner.take(",]")
    scanner.take("]")


FORMAT = Format("Hugging Face trainer state", recognises, rows, "entry")
