"""Hugging Face's `trainer_state.json`, and the bare list that is its `log_history`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from probes.readers.base import Format, Piece, Row, blocks_of, gathered, last_number, summarises
from probes.readers.json_scanner import BadJsonError, Scanner
from probes.readers.line_batches import BOM
from probes.record import RecordError

HISTORY = "log_history"


def recognises(head: bytes) -> bool:
    """An object with a log_history, or a list whose first entry is an object."""
    text = head.removeprefix(BOM).lstrip()
    if text[:1] == b"{":
        return f'"{HISTORY}"'.encode() in text
    return text[:1] == b"[" and text[1:].lstrip()[:1] == b"{"


def pieces(path: Path) -> Iterator[Piece]:
    """One row an entry, and a summary of what the object says beside them. Raises RecordError when
    it is cut."""
    count = 0
    try:
        with open(path, encoding="utf-8-sig") as file:
            scanner = Scanner(file)
            for piece in _object(scanner) if scanner.peek() == "{" else _history(scanner):
                count = last_number(piece)
                yield piece
            if extra := scanner.peek():
                raise BadJsonError(f"{extra!r} follows its end")
    except BadJsonError as error:
        where = f"after entry {count} of its {HISTORY}" if count else "before its first entry"
        raise RecordError(
            f"{path} is cut off or damaged {where}: {error}; give the whole file"
        ) from error


def _object(scanner: Scanner) -> Iterator[Piece]:
    stated: dict[str, Any] = {}
    count = 0
    scanner.take("{")
    while scanner.peek() != "}":
        key = scanner.value()
        scanner.take(":")
        if key == HISTORY:
            for piece in _history(scanner):
                count = last_number(piece)
                yield piece
        else:
            stated[str(key)] = scanner.value()
        if scanner.peek() != "}":
            scanner.take(",}")
    scanner.take("}")
    yield Row(count, stated, "summary")


def _history(scanner: Scanner) -> Iterator[Piece]:
    count = 1
    for entries in scanner.values():
        if all(isinstance(entry, dict) and not summarises(entry) for entry in entries):
            yield from blocks_of(range(count, count + len(entries)), entries)
        else:
            yield from gathered(_rows(count, entries))
        count += len(entries)


def _rows(first: int, entries: list[Any]) -> Iterator[Row]:
    """The entries one by one."""
    for count, entry in enumerate(entries, first):
        if not isinstance(entry, dict):
            raise BadJsonError(f"entry {count} is {entry!r:.60}, which is no object")
        yield Row(count, entry, "summary" if summarises(entry) else "point")


FORMAT = Format("Hugging Face trainer state", recognises, pieces, "entry")
