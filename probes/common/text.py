"""Text from logs and file names made safe to print, and suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    """The text with every character replaced that is not printable, such as ESC or a line break.

    A name from a log can then neither control a terminal nor fake a line of output.
    """
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", most: int = 2) -> str:
    """A question that offers the known names nearest to `name`, or `otherwise` when none is near.

    >>> did_you_mean("los", ["loss", "lr"])
    "did you mean 'loss'?"
    """
    import difflib  # only an error needs it: a command that succeeds starts without it

    near = difflib.get_close_matches(name, list(known), n=most, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else otherwise
