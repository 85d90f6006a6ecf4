"""Makes text from logs and file names safe to print, and suggests names for misspelt ones."""

from __future__ import annotations

import os
from collections.abc import Iterable

MAX_NAME_LENGTH = 120
"""Characters after which `one_line` cuts a text, unless the caller sets another limit."""


def printable(text: str) -> str:
    """The text with each character that is not printable replaced by U+FFFD.

    Without control characters such as ESC and line breaks, a name from a log can neither control a
    terminal nor fake a line of output. Lone surrogates, which XML does not allow, and marks that
    change the writing direction are replaced as well.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def one_line(value: object, max_length: int = MAX_NAME_LENGTH) -> str:
    """The value as one line of printable text, cut with an ellipsis after `max_length` characters.

    Each run of white space becomes a single space. Markup is not escaped; the HTML template or the
    SVG writer does that.
    """
    line = " ".join(str(value).split())
    return printable(line if len(line) <= max_length else line[: max_length - 1] + "…")


def described(error: BaseException) -> str:
    """An unexpected exception as one line: its type, its message, and the place that raised it.

    It is for an exception that is a fault of this package. The file and the line let a developer
    find that fault without a traceback.
    """
    import traceback  # imported here because only errors need it

    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {one_line(error)}{where}"


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", most: int = 2) -> str:
    """A question that suggests at most `most` known names similar to `name`.

    Returns `otherwise` if no known name is similar.

    >>> did_you_mean("los", ["loss", "lr"])
    "did you mean 'loss'?"
    """
    import difflib  # imported here because only error messages need it

    similar = difflib.get_close_matches(name, list(known), n=most, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, similar))}?" if similar else otherwise
