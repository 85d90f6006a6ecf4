"""The templates: what they escape, and the shell that every page shares."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from probes.report import document
from probes.report.document import MAX_TEXT, fill
from tests.page import Page

ROOT = Path(document.__file__).parents[2]
TEMPLATES = sorted(
    path
    for package in ("probes/report", "calibration", "exercise")
    for path in (ROOT / package / "templates").glob("*.j2")
)
SHELL = "{% extends 'document.html.j2' %}{% block body %}<p>{{ value }}</p>{% endblock %}"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name of a package with one template, `page.html.j2`, that shows `value` in the shell."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.html.j2").write_text(SHELL, encoding="utf-8")
    (tmp_path / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path.parent)
    return tmp_path.name


def shown(package: str, value: object) -> str:
    return fill("page.html.j2", package, value=value).partition("<p>")[2].partition("</p>")[0]


def test_every_value_is_escaped(shell: str) -> None:
    """A value is text even when the template applies no filter to it."""
    assert shown(shell, "<b>\"&'") == "&lt;b&gt;&#34;&amp;&#39;"


def test_every_value_is_one_line_of_printable_text(shell: str) -> None:
    """Control characters and lone surrogates are escaped: UTF-8 cannot encode the latter."""
    assert shown(shell, "a\nb  c\x00\u202e\ud800") == r"a b c\x00\u202e\ud800"


def test_every_value_is_cut(shell: str) -> None:
    """No value of a record can make the page arbitrarily long."""
    assert shown(shell, "x" * 10**6) == "x" * (MAX_TEXT - 1) + "…"


def test_a_value_that_is_not_given_is_an_error(shell: str) -> None:
    """A misspelt name in a template does not leave a gap in the page."""
    with pytest.raises(UndefinedError, match="'value' is undefined"):
        fill("page.html.j2", shell)


def test_only_charts_are_written_without_escaping() -> None:
    """The filter `safe` occurs once, where a panel inserts its chart."""
    unescaped = {path.name: path.read_text(encoding="utf-8").count("|safe") for path in TEMPLATES}
    assert {name: count for name, count in unescaped.items() if count} == {"panel.html.j2": 1}
    assert not [path for path in TEMPLATES if "autoescape" in path.read_text(encoding="utf-8")]


def test_the_policy_allows_only_the_style_sheet_and_the_script_of_the_page(
    shell: str, tmp_path: Path
) -> None:
    """The policy names both by their hashes, so it allows no style or event handler in an
    attribute."""
    path = tmp_path / "page.html"
    path.write_text(fill("page.html.j2", shell, value=""), encoding="utf-8")
    page = Page(path)
    (policy,) = (
        a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in str(policy).split(";"))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.source, re.S)
        digest = b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out_from_the_background(scheme: str) -> None:
    """The contrast is at least 3:1 for lines and 4.5:1 for text (WCAG 2.2, 1.4.11 and 1.4.3)."""
    blocks = re.findall(r":root \{(.*?)\}", document.stylesheet(), re.S)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    background = luminance(colours["bg"])
    for name, colour in colours.items():
        bright, dim = sorted((luminance(colour), background), reverse=True)
        least = 4.5 if name in ("ink", "muted", "bad", "good", "unsure") else 3.0
        if name not in ("bg", "rule", "grid", "soft"):
            assert (bright + 0.05) / (dim + 0.05) >= least, name


def test_the_style_sheet_serves_dark_mode_narrow_screens_and_print() -> None:
    for query in ("(prefers-color-scheme: dark)", "(max-width: 520px)", "@media print"):
        assert query in document.stylesheet()
