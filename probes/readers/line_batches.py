"""The lines of a text log, many at a time: a file of any length is read in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from probes.record import RecordError

HEAD_BYTES = 65_536
"""Bytes at the beginning of a file by which its format is recognised."""
MAX_LINE_BYTES = 1_048_576
"""No log has a longer line. Such a line is refused before it is held in memory."""
READ_BYTES = 262_144
"""Bytes read at a time: some thousand lines, which share the cost of one call."""
BOM = b"\xef\xbb\xbf"


class Batch(NamedTuple):
    """Consecutive lines of a file.

    first  number of the first line, counted from 1
    lines  the lines without their line ends
    whole  whether each line ended with a newline; a last line that did not is a batch of its own
    """

    first: int
    lines: list[str]
    whole: bool = True


def batches(path: Path) -> Iterator[Batch]:
    """All lines of a file, in order.

    Raises RecordError at a line that is too long or is not UTF-8, after the lines before it."""
    with open(path, "rb") as file:
        count, rest = 1, b""
        while data := file.read(READ_BYTES):
            ended, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield from _batches(path, count, ended)
                count += ended.count(b"\n") + 1
            if len(rest) > MAX_LINE_BYTES:
                raise _too_long(path, count)
        if rest:
            text = (rest.removeprefix(BOM) if count == 1 else rest).decode(errors="replace")
            yield Batch(count, _split(text), whole=False)


def first_lines(head: bytes, count: int = 2) -> list[str]:
    """The first lines with content in the head of a text file; [] when it is no text.

    The last of them may be cut, where the head or the file ends."""
    if b"\0" in head:
        return []
    lines = (line for line in head.removeprefix(BOM).splitlines() if line.strip())
    return [line.decode(errors="replace") for line in islice(lines, count)]


def _batches(path: Path, first: int, ended: bytes) -> Iterator[Batch]:
    """Whole lines as one batch, or as one batch per line when something is wrong with any of
    them."""
    if first == 1:
        ended = ended.removeprefix(BOM)
    try:
        text = ended.decode() if len(ended) < MAX_LINE_BYTES else None
    except UnicodeDecodeError:
        text = None
    if text is not None:
        yield Batch(first, _split(text))
        return
    for number, line in enumerate(ended.split(b"\n"), first):
        if len(line) >= MAX_LINE_BYTES:
            raise _too_long(path, number)
        try:
            yield Batch(number, _split(line.decode()))
        except UnicodeDecodeError as error:
            raise RecordError(
                f"{path}, line {number} is damaged: it is no UTF-8 text ({error.reason})"
            ) from error


def _split(text: str) -> list[str]:
    lines = text.split("\n")
    return [line.strip("\r") for line in lines] if "\r" in text else lines


def _too_long(path: Path, number: int) -> RecordError:
    return RecordError(
        f"{path}, line {number} is longer than {MAX_LINE_BYTES} bytes, which no line of a log is"
    )
