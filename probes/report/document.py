"""The HTML templates, and the shell that every page shares.

A page is one file. It loads nothing: its content security policy allows only the style sheet and
the script that it contains, by their hashes.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from probes.charts.scale import number
from probes.common.text import one_line
from probes.panels.lines import MAX_LINES

PACKAGE = "probes.report"
MAX_TEXT = 600
"""Characters of any value that a template shows."""
LEGEND_ENTRIES = MAX_LINES + 4
"""Lines that a legend can hide: those of sites, and a few that summarise them."""


def fill(template: str, package: str = PACKAGE, **values: object) -> str:
    """Fill in a template from the folder `templates` of a package, and return the HTML.

    A template of another package may extend or include those of this one. Every value is escaped,
    put on one line, stripped of control characters and cut to MAX_TEXT characters. Raises
    jinja2.UndefinedError when the template needs a value that is not given.
    """
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, PACKAGE))]),
        autoescape=True,
        finalize=_fit,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(one_line=one_line, number=number, digest=_digest)
    style = stylesheet()
    environment.globals.update(
        style=Markup(style),
        # Nested below the rule of one element, `:root` would match nothing.
        nested_style=Markup(style.replace(":root {", "& {")),
        script=Markup(_asset("page.js")),
    )
    return environment


def _fit(value: object) -> object:
    """What a template writes in place of a value: HTML as it is, anything else as a short line."""
    return value if isinstance(value, Markup) else one_line(value, MAX_TEXT)


@cache
def stylesheet() -> str:
    """The style sheet, with one rule for each legend entry that hides its line when unchecked."""
    keys = [*map(str, range(LEGEND_ENTRIES)), "r", "k"]
    rules = [
        f".view:has(.k{key}>label>input:not(:checked)) .s{key}{{display:none}}" for key in keys
    ]
    return "\n".join([_asset("page.css"), *rules, ""])


def _asset(name: str) -> str:
    return files(PACKAGE).joinpath("templates", name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    """The hash of a style sheet or a script in the form that a content security policy takes."""
    return "sha256-" + b64encode(sha256(content.encode()).digest()).decode()
