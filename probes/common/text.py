"""Text from logs and file names made safe to print, and suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable

MAX_NAME = 120
"""Characters of a name that are shown unless the caller has room for more."""


def printable(text: str) -> str:
    """The text with every character replaced that is not printable, such as ESC or a line break.

    A name from a log can then neither control a terminal nor fake a line of output. Lone
    surrogates and marks that change the direction of writing are replaced as well, so that the
    result can stand in XML.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def one_line(value: object, longest: int = MAX_NAME) -> str:
    """The value as one line of printable text, cut with an ellipsis after `longest` characters.

    Any white space becomes a single space. Markup is not escaped: that is left to the template or
    to the SVG writer.
    """
    line = " ".join(str(value).split())
    return printable(line if len(line) <= longest else line[: longest - 1] + "…")


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", most: int = 2) -> str:
    """A question that offers the known names nearest to `name`, or `otherwise` when none is near.

    >>> did_you_mean("los", ["loss", "lr"])
    "did you mean 'loss'?"
    """
    import difflib  # only an error needs it: a command that succeeds starts without it

    near = difflib.get_close_matches(name, list(known), n=most, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else otherwise
