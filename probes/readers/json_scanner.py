"""Reads a JSON document value by value, holding no more of it than the value at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

CHUNK = 262_144
LONGEST_VALUE = 16 * 1_048_576
"""Characters in one value; what is longer is no row of a log."""
BEHIND = tuple(",:]} \t\r\n")
"""What may stand behind a value; behind "0" or "0." there may be more of the number, which is not
read yet."""

_COMMA = re.compile(r"[ \t\r\n]*,[ \t\r\n]*")


class BadJsonError(ValueError):
    """The document ends in the middle, or is no JSON; the message says what was met."""


class Scanner:
    """A position in a document that is read as it moves on."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._text, self._at, self._ended = file, "", 0, False
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\r\n":
                    return self._text[self._at]
                self._at += 1
            if not self._more(CHUNK):
                return ""

    def take(self, wanted: str) -> str:
        """Move past one of the wanted characters. Raises BadJsonError when another one stands
        there."""
        found = self.peek()
        if not found or found not in wanted:
            raise BadJsonError(
                f"{' or '.join(wanted)} is missing"
                + (f" before {found!r}" if found else " at its end")
            )
        self._at += 1
        return found

    def value(self) -> Any:
        """The value that begins here. Raises BadJsonError when there is none or it is not whole."""
        self.peek()
        wanted = CHUNK
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if self._ended or self._text[end : end + 1] in BEHIND:
                    self._at = end
                    return value
            except (ValueError, RecursionError) as error:
                if self._ended or isinstance(error, RecursionError):
                    raise BadJsonError(f"{getattr(error, 'msg', error)}") from error
            if len(self._text) - self._at > LONGEST_VALUE:
                raise BadJsonError(f"there is no end to a value within {LONGEST_VALUE} characters")
            self._more(wanted)
            wanted *= 2

    def values(self) -> Iterator[list[Any]]:
        """The values of the list that begins here, some at a time. Raises BadJsonError when it is
        not whole."""
        self.take("[")
        while self.peek() != "]":
            yield [self.value(), *self._following()]
            if self.peek() != "]":
                self.take(",]")
        self.take("]")

    def _following(self) -> Iterator[Any]:
        """The values behind a comma, as far as the text at hand is enough to tell."""
        while comma := _COMMA.match(self._text, self._at):
            try:
                value, end = self._decoder.raw_decode(self._text, comma.end())
            except (ValueError, RecursionError):
                return
            if self._text[end : end + 1] not in BEHIND:
                return
            self._at = end
            yield value

    def _more(self, wanted: int) -> bool:
        try:
            chunk = self._file.read(wanted)
        except UnicodeDecodeError as error:
            raise BadJsonError(f"it is no UTF-8 text ({error.reason})") from error
        self._text, self._at, self._ended = self._text[self._at :] + chunk, 0, not chunk
        return bool(chunk)
