"""Names as a stranger may choose them for files, runs, columns and sites, or put into errors."""

from __future__ import annotations

import re

HOSTILE_NAMES = {
    "newline": "a\n::stop-commands::x\n::error::y",
    "carriage return": "a\r::error::y",
    "command": "::error file=x::y",
    "indented command": " \t::error::y",
    "old command": "a ##[error]y",
    "colons": "a::b",
    "colons and bracket": "a::b[c",
    "only colons": "::",
    "colon at the end": "a:",
    "brackets": "[a][b]",
    "closing bracket": "]",
    "escape": "\x1b[2J\x1b]0;title\x07",
    "eight-bit escape": "\x9b31m",
    "controls": "".join(map(chr, [*range(1, 32), 127, *range(128, 160)])),
    "direction": "\u202egpj.\u2066x\u200f",
    "line separators": "a\u2028b\u2029c\x85d",
    "invisible": "\ufeffa\u200b\u00ad\U000e0041",
    "no characters": "\ufffe\uffff\U0010ffff\ue000",
    "bytes": "a\udcff\udcfe",
    "surrogates": "\udfff\ud800",
    "table": "a|b\\|c",
    "code": "`a` ``` ~~~",
    "markdown": "*a* _b_ [c](d) ![e](f) # ~~g~~ <h> w3 www.i.org http://j.org k@l.org #1",
    "script": "<script>alert(1)</script><!--",
    "attribute": "\" onload='x' &quot; &#0; ]]>",
    "template": "{{ 7 * 7 }} {% x %} ${x} %(x)s {0}",
    "percent": "%0A%25%s",
    "property": "a,file=b,title=c",
    "blank": " ",
    "shell": "; rm -rf ~ $(x) --help -o x",
    "marks on marks": "a" + "\u0301" * 50,
    "long": "long" * 250_000,
}
"""Kind of name -> the name. Each is one of the ways in which text can become markup, a command or
an ill-formed document."""
NOT_IN_PATHS = "[\ud800-\udc7f\udd00-\udfff]"
"""Lone surrogates other than those that stand for the bytes of a path."""
COMMAND = re.compile(r"\s*::|.*##\[")
"""How the runner of GitHub Actions recognises a command in a line."""


def file_name(name: str) -> str:
    """The name as the name of a file: without slashes, in characters that the system can encode,
    and as long as it allows."""
    kept = [one for one in name if one not in "/\0" and not re.match(NOT_IN_PATHS, one)]
    return "".join(kept)[:60] + ".csv"


def faults(text: str) -> list[str]:
    """The lines of an output that would control a terminal, forge a command or cannot be
    encoded."""
    return [
        line[:200]
        for line in text.split("\n")
        if not line.isprintable() or COMMAND.match(line) or "\ufffd" in line
    ]
