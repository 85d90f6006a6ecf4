"""The reference pages that `python -m probes explain` prints, and the messages that name them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from probes.cli import main
from probes.help_topics import FILES, FOLDER, page
from tests.conftest import ROOT


def texts() -> Iterator[str]:
    """Every string of the package that is not a docstring."""
    for path in (ROOT / "probes").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from [] if id(node) in documented else [node.value]


@pytest.mark.parametrize("topic", FILES)
def test_a_page_is_printed(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", topic]) == 0
    assert capsys.readouterr().out.splitlines() == page(topic).splitlines()


def test_every_file_of_the_folder_is_a_topic() -> None:
    assert sorted(file.name for file in FOLDER.iterdir()) == sorted(FILES.values())


@pytest.mark.parametrize("topic", FILES)
def test_a_page_has_no_link_to_a_file(topic: str) -> None:
    """A reader of an installed package does not have the folder `docs`."""
    assert re.findall(r"\]\((?!https?:)[^)]*\)", page(topic)) == []


def test_a_link_to_another_page_becomes_the_command_that_prints_it() -> None:
    assert "`python -m probes explain record`" in page("your-own-run")


def test_no_message_names_a_file_that_the_package_does_not_have() -> None:
    assert [text for text in texts() if "docs/" in text] == []


def test_messages_name_pages_that_exist() -> None:
    """The commands in messages, such as `python -m probes explain logs`."""
    named = {topic for text in texts() for topic in re.findall(r"probes explain ([\w-]+)", text)}
    assert "logs" in named
    assert named <= set(FILES)


def test_an_unknown_topic_is_an_error_with_the_nearest_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "log"]) == 4
    assert "did you mean 'logs'" in capsys.readouterr().err
