"""The lines of a log, many at a time, so that a file of any length is read in pieces of bounded
size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from probes.record import RecordError

HEAD = 65_536
"""Bytes from the beginning of a file by which its format is recognised."""
LONGEST_LINE = 1_048_576
"""Bytes in a line of a log; what is longer is no log, and is not taken into memory to find that
out."""
PIECE = 262_144
"""Bytes read at a time: some thousand lines, over which the cost of looking at them together is
spread."""
BOM = b"\xef\xbb\xbf"


class Batch(NamedTuple):
    """Lines that follow each other.

    first   number of the first, from 1
    lines   without their ends
    whole   whether each was ended by a newline; a last line that was not is a batch of its own
    """

    first: int
    lines: list[str]
    whole: bool = True


def batches(path: Path) -> Iterator[Batch]:
    """All lines of a file. Raises RecordError at the first that is too long or no text, after those
    before it."""
    with open(path, "rb") as file:
        count, rest = 1, b""
        while data := file.read(PIECE):
            ended, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield from _batches(path, count, ended)
                count += ended.count(b"\n") + 1
            if len(rest) > LONGEST_LINE:
                raise _too_long(path, count)
        if rest:
            text = (rest.removeprefix(BOM) if count == 1 else rest).decode(errors="replace")
            yield Batch(count, _lines(text), whole=False)


def first_lines(head: bytes, count: int = 2) -> list[str]:
    """The first lines in the head of a text file that are not blank and whole, or end the file; []
    of no text."""
    if b"\0" in head:
        return []
    found = [
        line.decode(errors="replace")
        for line in head.removeprefix(BOM).splitlines()
        if line.strip()
    ]
    return found[:count]


def _batches(path: Path, first: int, ended: bytes) -> Iterator[Batch]:
    """Whole lines: together, or one by one when something about one of them may be wrong."""
    if first == 1:
        ended = ended.removeprefix(BOM)
    try:
        text = ended.decode() if len(ended) < LONGEST_LINE else None
    except UnicodeDecodeError:
        text = None
    if text is not None:
        yield Batch(first, _lines(text))
        return
    for number, line in enumerate(ended.split(b"\n"), first):
        if len(line) >= LONGEST_LINE:
            raise _too_long(path, number)
        try:
            yield Batch(number, _lines(line.decode()))
        except UnicodeDecodeError as error:
            raise RecordError(
                f"{path}, line {number} is damaged: it is no UTF-8 text ({error.reason})"
            ) from error


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [line.strip("\r") for line in lines] if "\r" in text else lines


def _too_long(path: Path, number: int) -> RecordError:
    return RecordError(
        f"{path}, line {number} is longer than {LONGEST_LINE} bytes, which no line of a log is"
    )
