"""Reads the lines of a text log in batches, so that a file of any length needs bounded memory."""

from __future__ import annotations

import codecs
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
UNMARKED_BYTES = 64
"""UTF-16 without a byte order mark is recognised by the first UNMARKED_BYTES bytes of a file: every
second one is 0, and the others are not."""
UNDECODABLE = "\N{REPLACEMENT CHARACTER}"
"""Stands in the text of a line for bytes that are not UTF-8."""
ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order mark -> encoding. PowerShell writes UTF-16 with `> log.txt`. The mark of UTF-32 begins
with that of UTF-16, so it comes first."""


class Batch(NamedTuple):
    """Consecutive lines of a file.

    first  number of the first line, counted from 1
    lines  the lines without their line ends
    whole  whether each line ends with a newline. A last line without a newline is a separate batch.
    """

    first: int
    lines: list[str]
    whole: bool = True


def batches(path: Path, redrawn: bool = False) -> Iterator[Batch]:
    """All lines of a file, in order.

    redrawn  whether a long line is cut where a carriage return goes back to its beginning, as a
             progress bar does. The parts have the same line number.

    Bytes that are not UTF-8 become UNDECODABLE. Raises RecordError for a line that is too long,
    after the lines before it were yielded.
    """
    number, rest = 1, b""
    for data in utf8_chunks(path):
        ended, newline, rest = (rest + data).rpartition(b"\n")
        if newline:
            lines = _decoded(ended)
            if len(ended) >= MAX_LINE_BYTES:
                for place, line in enumerate(ended.split(b"\n")):
                    if len(line) >= MAX_LINE_BYTES:
                        yield Batch(number, lines[:place])
                        raise _too_long(path, number + place)
            yield Batch(number, lines)
            number += len(lines)
        if redrawn and len(rest) > MAX_LINE_BYTES // 2 and b"\r" in rest:
            redraws, _, rest = rest.rpartition(b"\r")
            yield Batch(number, _decoded(redraws))
        if len(rest) > MAX_LINE_BYTES:
            raise _too_long(path, number)
    if rest:
        yield Batch(number, _decoded(rest), whole=False)


def first_lines(head: bytes, count: int = 2) -> list[str]:
    """The first lines that are not blank in the head of a text file; [] if the file is not text.

    The last of them may be incomplete, because the head or the file may end within it.
    """
    if b"\0" in head:
        return []
    lines = (line for line in head.removeprefix(BOM).splitlines() if line.strip())
    return [line.decode(errors="replace") for line in islice(lines, count)]


def utf8_chunks(path: Path, size: int = 0) -> Iterator[bytes]:
    """The content of a file in pieces, in UTF-8 and without a byte order mark.

    A file without the mark of another encoding is given as it is.

    size  number of bytes read at a time; 0 means READ_BYTES
    """
    with open(path, "rb") as file:
        data = file.read(size or READ_BYTES)
        encoding = next((name for mark, name in ENCODINGS if data.startswith(mark)), None)
        for name, text, zeros in (("utf-16-le", 0, 1), ("utf-16-be", 1, 0)):
            begin = data[:UNMARKED_BYTES]
            if len(begin) == UNMARKED_BYTES and not any(begin[zeros::2]) and all(begin[text::2]):
                encoding = name  # the mark is missing
        if encoding is None:
            data = data.removeprefix(BOM)
            while data:
                yield data
                data = file.read(size or READ_BYTES)
            return
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        while data:
            yield decoder.decode(data).encode(errors="replace")
            data = file.read(size or READ_BYTES)
        yield decoder.decode(b"", final=True).encode()


def _decoded(lines: bytes) -> list[str]:
    text = lines.decode(errors="replace")
    return [line.strip("\r") for line in text.split("\n")] if "\r" in text else text.split("\n")


def _too_long(path: Path, number: int) -> RecordError:
    return RecordError(
        f"{path}, line {number} is longer than {MAX_LINE_BYTES} bytes; a line of a log is shorter"
    )
