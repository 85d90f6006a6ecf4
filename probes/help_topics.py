"""The reference pages of the package, which `python -m probes explain TOPIC` prints.

The files in `probes/help` are links to `docs`; a wheel holds the pages themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "help"
FILES: Mapping[str, str] = {
    "logs": "logs.md",
    "record": "record.md",
    "your-own-run": "your-own-run.md",
    "github-workflow": "github-workflow.yml",
}
"""Topic -> file of its page."""
LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([^)#]*)[^)]*\)")
"""A link of Markdown to anything but a web address: its text and its file."""


def page(topic: str) -> str:
    """The text of a topic's page.

    A link to another page of the package is replaced by the command that prints it, any other link
    to a file by its text. Raises KeyError for an unknown topic.
    """
    text = (FOLDER / FILES[topic]).read_text(encoding="utf-8")
    topics = {file: topic for topic, file in FILES.items()}

    def as_command(link: re.Match[str]) -> str:
        text, file = link.groups()
        return f"`python -m probes explain {topics[file]}`" if file in topics else text

    return LINK.sub(as_command, text)
