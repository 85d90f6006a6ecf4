"""Annotations for GitHub Actions, split again as GitHub's runner does it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from probes.report import github
from probes.report.judged_run import AnyRun, UnreadRun
from tests.outputs import HOSTILE, SHORT, SICK, judged, parsed_command
from tests.records import changed

WORKSPACE = Path("/home/runner/work/it/it")


def commands(*runs: AnyRun) -> list[str]:
    """The annotations of a project whose root lies below the repository's."""
    return list(github.workflow_commands(runs, WORKSPACE / "sub", str(WORKSPACE)))


def cut(path: str, error: str) -> UnreadRun:
    """A log that cannot be read; its test is an error."""
    return UnreadRun("c", path, error, tests={f"{path}::diagnosis": "error"})


def test_a_run_that_failed_a_test_is_an_error_at_its_log() -> None:
    """The path starts at the repository, even when pytest's root lies below it."""
    level, properties, message = parsed_command(*commands(judged(SICK, "out", "failed")))
    assert level == "error"
    assert properties == {"file": "sub/out.jsonl", "title": "out: bad-init"}
    assert message.splitlines()[1:] == [judged(SICK).diagnosis.remedy, "record: out.jsonl"]


def test_an_experiment_is_an_error_at_the_first_test_that_failed() -> None:
    """The record of an experiment lies in a cache, not in the repository."""
    tests = {"test_a.py::test_it": "passed", "test_b.py::test_it[x]": "failed"}
    _, properties, _ = parsed_command(*commands(judged(SICK, kind="experiment", tests=tests)))
    assert properties["file"] == "sub/test_b.py"


def test_a_log_that_cannot_be_judged_is_a_warning_after_all_errors() -> None:
    found = list(
        map(parsed_command, commands(judged(SHORT, outcome="skipped"), cut("c.csv", "it is cut")))
    )
    assert [(level, properties["title"]) for level, properties, _ in found] == [
        ("error", "c: not judged"),
        ("warning", "run: undetermined"),
    ]
    assert found[0][2] == "it is cut\nrecord: c.csv"


@pytest.mark.parametrize(
    "run",
    [
        judged(SICK, outcome="passed"),
        judged(SICK),
        judged(changed(), outcome="failed"),
        judged(SHORT, outcome="skipped", kind="experiment"),
        judged(SHORT),
    ],
    ids=["expected", "no test", "healthy", "skipped experiment", "short and no test"],
)
def test_other_runs_have_no_annotation(run: AnyRun) -> None:
    assert commands(run) == []


def test_no_name_ends_a_command_or_begins_another() -> None:
    """The title shows escapes for the characters that could control a terminal."""
    (command,) = commands(judged(SICK, HOSTILE, "failed"))
    assert not re.search("[\r\n\x1b]", command)
    _, properties, _ = parsed_command(command)
    shown = re.sub("[\x1b\r\n]", lambda found: repr(found[0])[1:-1], HOSTILE)
    assert properties["title"] == f"{shown}: bad-init"
    assert len(properties) == 2


def test_a_message_of_several_lines_is_one_command() -> None:
    """A per cent sign in it is not taken for an escape."""
    (command,) = commands(cut("50%.csv", "at 50%0A"))
    assert (
        command
        == "::error file=sub/50%25.csv,title=c%3A not judged::at 50%250A%0Arecord: 50%25.csv"
    )
