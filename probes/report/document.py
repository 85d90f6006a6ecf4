"""The shell of a page: one file that asks the network for nothing, and says so to the browser."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files

from probes.charts.text import LONGEST, clean
from probes.panels.site_lines import MOST_SITES

TITLE = "Training diagnosis"
SENTENCE = 600
"""Characters of a sentence that came with a record or a diagnosis."""
MOST_LINES = MOST_SITES + 4
"""Legend entries that a chart can have: its sites, and some that summarise them."""


def text(value: object, longest: int = LONGEST) -> str:
    """A string from outside as HTML text or as the value of a quoted attribute."""
    return escape(clean(value, longest))


def document(body: str, title: str = TITLE) -> str:
    """The whole page; body and title are HTML.

    Its policy allows the one style sheet and the one script it contains, by their hashes.
    """
    style, script = stylesheet(), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"{body}\n<script>{script}</script>\n</body>\n</html>\n"
    )


@cache
def stylesheet() -> str:
    """The style sheet, and one rule per legend entry: what is unchecked is not drawn."""
    keys = [*map(str, range(MOST_LINES)), "r", "k"]
    rules = [
        f".view:has(.k{key}>label>input:not(:checked)) .s{key}{{display:none}}" for key in keys
    ]
    return "\n".join([_asset("page.css"), *rules, ""])


@cache
def _asset(name: str) -> str:
    return files("probes.report").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return "sha256-" + b64encode(sha256(content.encode()).digest()).decode()
