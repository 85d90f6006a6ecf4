"""Reads the lines of a text log in batches, so that a file of any length needs bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from probes.record import RecordError

HEAD_BYTES = 65_536
"""The format of a file is recognised by this many bytes at its beginning."""
MAX_LINE_BYTES = 1_048_576
"""Maximum length of a line. A longer line is an error, raised before the whole line is in memory,
because no known log has one."""
READ_BYTES = 262_144
"""Number of bytes read at a time: some thousand lines, so that the cost of a call per line is
small."""
BOM = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8, which some programs write at the beginning of a file."""


class Batch(NamedTuple):
    """Consecutive lines of a file.

    first  number of the first line, counted from 1
    lines  the lines without their line ends
    whole  whether each line ends with a newline. A last line without a newline is a separate batch.
    """

    first: int
    lines: list[str]
    whole: bool = True


def batches(path: Path) -> Iterator[Batch]:
    """All lines of a file, in order.

    Raises RecordError for a line that is too long or is not UTF-8 text. The lines before that line
    are yielded first.
    """
    with open(path, "rb") as file:
        number, rest = 1, b""
        while data := file.read(READ_BYTES):
            ended, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield from _batches(path, number, ended)
                number += ended.count(b"\n") + 1
            if len(rest) > MAX_LINE_BYTES:
                raise _too_long(path, number)
        if rest:
            text = (rest.removeprefix(BOM) if number == 1 else rest).decode(errors="replace")
            yield Batch(number, _split(text), whole=False)


def first_lines(head: bytes, count: int = 2) -> list[str]:
    """The first lines that are not blank in the head of a text file; [] if the file is not text.

    The last of them may be incomplete, because the head or the file may end within it.
    """
    if b"\0" in head:
        return []
    lines = (line for line in head.removeprefix(BOM).splitlines() if line.strip())
    return [line.decode(errors="replace") for line in islice(lines, count)]


def _batches(path: Path, first: int, ended: bytes) -> Iterator[Batch]:
    """Complete lines as one batch. If any of them may be damaged or too long, one batch per line.

    first  number of the first line
    ended  the lines, joined with newlines
    """
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
                f"{path}, line {number} is damaged: it is not UTF-8 text ({error.reason})"
            ) from error


def _split(text: str) -> list[str]:
    lines = text.split("\n")
    return [line.strip("\r") for line in lines] if "\r" in text else lines


def _too_long(path: Path, number: int) -> RecordError:
    return RecordError(
        f"{path}, line {number} is longer than {MAX_LINE_BYTES} bytes; a line of a log is shorter"
    )
