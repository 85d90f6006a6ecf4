"""An HTML page, parsed for the tests that look at it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "input", "br"}
"""Elements of our pages that have no end tag."""


class Page(HTMLParser):
    """The elements of a page, its text, and the tags that are still open at its end.

    Fails when an end tag does not belong to the innermost open element.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data

    @property
    def entries(self) -> dict[str, str]:
        """Term -> description, of the description lists, where a description holds no markup."""
        return dict(re.findall("<dt>([^<]*)</dt><dd>([^<]*)</dd>", self.source))

    def all(self, tag: str, css_class: str = "") -> list[dict[str, str | None]]:
        """The attributes of every element with a tag and, if given, a class."""
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and (not css_class or css_class in str(attributes.get("class")).split())
        ]
