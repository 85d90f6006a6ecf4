"""`-k break` selects the experiments of one file, and no test in this folder.

The word must not stand in the name of a file or a test here, or it would select that too. So the
file is named through a constant.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

WORD = "break"
FILE = ROOT / f"test_{WORD}s.py"


@pytest.mark.skipif(not FILE.exists(), reason="the experiments are not here")
def test_the_word_selects_the_tests_of_its_file() -> None:
    """The two other files of experiments are collected as well; this folder is not."""
    options = ["--collect-only", "-q", "-p", "no:cacheprovider", "-k", WORD]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    selected = [line for line in done.stdout.splitlines() if "::" in line]
    assert {line.partition("::")[0] for line in selected} == {FILE.name}


def test_the_word_selects_no_test_in_this_folder(request: pytest.FixtureRequest) -> None:
    """The root's conftest.py relies on it, and does not collect this folder for the word. Names are
    compared as `-k` does it, for all tests that this session has collected."""
    folder = ROOT / "tests"
    items = [item for item in request.session.items if item.path.is_relative_to(folder)]
    names = {node.name for item in items for node in item.listchain() if node.name != ROOT.name}
    names |= {mark.name for item in items for mark in item.iter_markers()}
    assert [name for name in names if WORD in name.lower()] == []
