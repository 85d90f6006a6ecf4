"""What `-k` picks in this repository: one word selects the experiments of one file and no test of
the apparatus.

The word itself must not stand in a file name or a test id here, or it would pick that too; so the
file under test is named through a constant."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

WORD = "break"
FILE = ROOT / f"test_{WORD}s.py"


def collected(*args: str) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        *args,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED), (
        done.stdout + done.stderr
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_the_word_picks_the_tests_of_its_file_and_nothing_else() -> None:
    assert collected("-k", WORD) == (collected(FILE.name) if FILE.exists() else [])
