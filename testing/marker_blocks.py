"""Blocks of a Markdown page that a command writes.

A block stands between two lines, `<!-- name -->` and `<!-- end of name -->`.
"""

from __future__ import annotations

import re
from pathlib import Path

from probes.common.files import write_output


class MissingBlockError(ValueError):
    """A page does not hold the markers of a block."""


def read_block(page: str, name: str) -> str:
    """Return the lines between the two markers. Raises MissingBlockError."""
    found = _pattern(name).search(page)
    if found is None:
        raise MissingBlockError(
            f"the page has no line <!-- {name} --> followed by a line <!-- end of {name} -->"
        )
    return found[0]


def replace_block(page: str, name: str, content: str) -> str:
    """Return the page with the lines between the two markers replaced. Raises MissingBlockError."""
    read_block(page, name)
    return _pattern(name).sub(lambda _: content, page)


def write_block(path: Path, name: str, content: str) -> None:
    """Replace a block in the file of a page. Raises MissingBlockError and OSError."""
    page = path.read_text(encoding="utf-8")
    write_output(path, replace_block(page, name, content))


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<=^<!-- {name} -->\n).*?(?=\n<!-- end of {name} -->$)", re.DOTALL | re.MULTILINE
    )
