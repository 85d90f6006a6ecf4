"""Makes text from logs and file names safe to print, and suggests names for misspelt ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

MAX_NAME_LENGTH = 120
"""Characters after which `one_line` cuts a text, unless the caller sets another limit."""
MAX_NODE_ID_LENGTH = 300
"""Characters after which a part of a node id is cut and completed by a hash."""
WORKFLOW_COMMAND = re.compile(r"^(\s*):(?=:)|##\[")
"""What makes the runner of GitHub Actions take a line for a command: "::" at its beginning, or
"##[" anywhere. Source: github.com/actions/runner, src/Runner.Common/ActionCommand.cs"""


def printable(text: str) -> str:
    r"""The text in a form that may stand in one line of any output.

    A character that is not printable is replaced by its escape in Python, such as `\x1b`, `\n` or
    `\u202e`. Without control characters and marks that change the writing direction, a name from
    a log can neither control a terminal nor fake a line of output. A lone surrogate, which stands
    for a byte that is not UTF-8, is escaped as well, so the text can be encoded and put into XML.
    A text that GitHub Actions would take for a command is changed in the same way.

    Markup is not escaped here, because each output has a markup of its own.
    """
    if not text.isprintable():
        text = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode()
            for letter in text
        )
    if ":" in text or "##[" in text:
        text = WORKFLOW_COMMAND.sub(
            lambda found: f"{found[0][:-1]}\\x{ord(found[0][-1]):02x}", text
        )
    return text


def printable_lines(text: str) -> str:
    """The text with the same line breaks, in which each line is printable."""
    return "\n".join(map(printable, text.expandtabs().split("\n")))


def one_line(value: object, max_length: int = MAX_NAME_LENGTH) -> str:
    """The value as one line of printable text, cut with an ellipsis after `max_length` characters.

    Each run of white space becomes a single space. Markup is not escaped; the HTML template or the
    SVG writer does that.
    """
    line = " ".join(str(value).split())
    return _cut(printable(_cut(line, max_length)), max_length)


def _cut(line: str, max_length: int) -> str:
    return line if len(line) <= max_length else line[: max_length - 1] + "…"


def node_id_part(text: str) -> str:
    r"""The text as a part of one of pytest's node ids, such as a path or the name of a run.

    pytest separates the parts of a node id by "::", so a colon is escaped as `\x3a` before another
    colon and at the end. A long text is cut and completed by a hash, so that two long texts with
    the same beginning keep two node ids.
    """
    part = re.sub(r":(?=:|$)", lambda _: r"\x3a", printable(text))
    if len(part) <= MAX_NODE_ID_LENGTH:
        return part
    from hashlib import sha256  # slow to load, and few names are this long

    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_cut(part, MAX_NODE_ID_LENGTH - len(digest) - 1)}-{digest}"


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
