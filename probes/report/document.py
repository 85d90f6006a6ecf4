"""Fill in HTML templates. All pages extend one template with the style sheet and the script.

A page is one file that loads nothing. Its content security policy contains the hashes of its own
style sheet and script, and forbids all others.
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
"""Largest number of characters of a value in a template."""
MAX_LEGEND_ENTRIES = MAX_LINES + 4
"""Largest number of lines in a legend: one for each site, and a few more, such as averages."""


def fill(template: str, package: str = PACKAGE, **values: object) -> str:
    """Fill in a template from the folder `templates` of a package, and return the HTML.

    A template of another package may extend or include the templates of this package. Each value is
    escaped, put on one line, stripped of control characters and cut to MAX_TEXT characters. Raises
    jinja2.UndefinedError when a value that the template needs is missing.
    """
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, PACKAGE))]),
        autoescape=True,
        # Every inserted value passes through this function. HTML stays as it is.
        finalize=lambda value: value if isinstance(value, Markup) else one_line(value, MAX_TEXT),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(one_line=one_line, number=number)
    style = stylesheet()
    for name, content in (("style", style), ("script", _asset("page.js"))):
        # The content security policy allows a style sheet and a script by their hashes.
        digest = b64encode(sha256(content.encode()).digest()).decode()
        environment.globals.update({name: Markup(content), f"{name}_hash": f"sha256-{digest}"})
    # An embedded page nests this style sheet in the rule of one element. There, `:root` would
    # match nothing, and `&` matches that element.
    environment.globals["nested_style"] = Markup(style.replace(":root {", "& {"))
    return environment


@cache
def stylesheet() -> str:
    """The style sheet. For each legend entry, a rule hides the marks when the box is not
    checked."""
    keys = [*map(str, range(MAX_LEGEND_ENTRIES)), "r", "k"]
    rules = [
        f".view:has(.k{key}>label>input:not(:checked)) .s{key}{{display:none}}" for key in keys
    ]
    return "\n".join([_asset("page.css"), *rules, ""])


def _asset(name: str) -> str:
    return files(PACKAGE).joinpath("templates", name).read_text(encoding="utf-8")
