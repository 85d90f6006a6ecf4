"""Judged runs for tests of the outputs, and functions that read the outputs back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from typing import Any

import jsonschema
import pytest

from probes.record import Record
from probes.report.json_report import schema
from probes.report.judged_run import JudgedRun, Outcome, judge
from tests.records import changed, hand_made, sound

HEALTHY = changed()
SICK = changed(loss=[200.0, *sound()["loss"][1:]])
"""Its cause is bad-init."""
SHORT = hand_made({"loss": [4.2, 4.1]})
"""Too short to be judged."""
HOSTILE = (
    "a|b`c<i>*d*_e_[f](g)\\|\x1b[2J\n::error::h,100%\rw3 www.i.org http://j.org k@l.org ~~m~~ #1"
)
"""A name with markup of Markdown, HTML, a terminal and GitHub."""


def judged(
    record: Record, name: str = "run", outcome: Outcome | None = None, **more: Any
) -> JudgedRun:
    """A run that was read from `NAME.jsonl`, and the outcome of its one test, if it has one."""
    tests = {f"{name}.jsonl::diagnosis": outcome} if outcome else {}
    return replace(judge(record, name, f"{name}.jsonl"), **{"tests": tests, **more})


def parsed_json(text: str) -> dict[str, Any]:
    """The document, checked to be strict JSON and valid by its schema."""
    content: dict[str, Any] = json.loads(
        text, parse_constant=lambda token: pytest.fail(f"{token} is not JSON")
    )
    jsonschema.Draft202012Validator(schema()).validate(content)
    return content


def markdown_rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table as a reader sees them, without head and rule."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[unescape(re.sub("</?span>", "", cell)).strip() for cell in line] for line in lines[2:]]


def parsed_command(line: str) -> tuple[str, dict[str, str], str]:
    """Level, properties and message of a workflow command, as GitHub's runner splits it."""
    found = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert found, line
    properties = dict(one.split("=", 1) for one in found[2].split(","))
    return (
        found[1],
        {name: _unescaped(value, ",:") for name, value in properties.items()},
        _unescaped(found[3]),
    )


def _unescaped(text: str, more: str = "") -> str:
    for letter in "\r\n" + more + "%":
        text = text.replace(f"%{ord(letter):02X}", letter)
    return text
