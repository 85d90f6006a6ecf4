"""A judged run: made once from a record, then shown by every output."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest

from probes import Record, render
from probes.record import Stop
from probes.report.judged_run import (
    JudgedRun,
    UnreadRun,
    from_json,
    judge,
    judge_file,
    to_json,
    worst,
)
from tests.outputs import SHORT, SICK
from tests.records import changed, sound, thorough

LOSSES = sound()["loss"]


def test_judging_diagnoses_the_record() -> None:
    run = judge(SICK, "a", "a.jsonl")
    assert (run.name, run.path, run.diagnosis.cause) == ("a", "a.jsonl", "bad-init")
    assert run.record is SICK


def test_a_run_without_a_name_has_the_name_of_its_record() -> None:
    assert judge(SICK).name == SICK.name


def test_a_judged_run_is_drawn_without_another_diagnosis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows the diagnosis that the run holds."""
    runs = [judge(SICK, "a"), judge(changed(), "b")]
    monkeypatch.setattr("probes.diagnosis.diagnose.diagnose", lambda _: pytest.fail("diagnosed"))
    page = render(runs, tmp_path / "page.html", reference=runs[1]).read_text(encoding="utf-8")
    assert "bad-init" in page
    assert "the reference run, b." in page


def test_the_first_step_is_that_of_the_decisive_finding() -> None:
    """Here another finding, which no cause explains, was made at an earlier step."""
    run = judge(falling_to(0.1))
    assert (run.diagnosis.findings[0].step, run.diagnosis.cause) == (0, "mask-leak")
    assert run.first_step == 20


def test_without_a_cause_the_first_step_is_that_of_the_first_finding() -> None:
    """There is none when nothing was found."""
    run = judge(changed(grad_norm=[30.0] + [1.0] * 39))
    assert (run.diagnosis.verdict, run.diagnosis.cause, run.first_step) == ("undetermined", None, 0)
    assert judge(changed()).first_step is None


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], None),
        (["passed"], "passed"),
        (["passed", "skipped"], "skipped"),
        (["skipped", "failed", "passed"], "failed"),
        (["failed", "error"], "error"),
    ],
)
def test_the_outcome_of_a_run_is_the_worst_of_its_tests(
    outcomes: list[str], expected: str | None
) -> None:
    tests = {f"test_{number}": outcome for number, outcome in enumerate(outcomes)}
    assert worst(outcomes) == expected
    assert UnreadRun("a", None, "gone", tests=tests).outcome == expected
    assert JudgedRun("a", SICK, judge(SICK).diagnosis, tests=tests).outcome == expected


def falling_to(level: float) -> Record:
    """A loss that falls below the floor at step 20, among other findings."""
    losses = [*LOSSES[:20], *[level] * 20]
    return thorough(train_loss=losses, val_loss=losses, grad_norm=[30.0] + [1.0] * 39)


@pytest.mark.parametrize(
    "record",
    [
        changed(),
        SICK,
        SHORT,
        falling_to(0.1),
        changed(loss=[inf, *LOSSES[1:]], grad_norm=[nan, -inf, *[1.0] * 38]),
        replace(SICK, stopped=Stop(39, None, "bad-init"), complete=False),
        replace(SICK, provenance={"reader": {"format": "CSV", "mapped": {"loss": "loss"}}}),
    ],
    ids=["healthy", "sick", "short", "several findings", "not finite", "stopped", "read"],
)
def test_a_run_keeps_its_diagnosis_as_json(record: Record) -> None:
    """This is how a worker sends it. The record keeps how it was read and ended, but no rows."""
    run = replace(judge(record, "a", "a.jsonl", "experiment"), tests={"test_a": "passed"})
    back = from_json(to_json(run))
    assert isinstance(back, JudgedRun)
    assert back.diagnosis == run.diagnosis
    assert (back.record.complete, back.record.stopped) == (record.complete, record.stopped)
    assert (back.reader, len(back.record.steps)) == (run.reader, 0)
    assert replace(back, record=record) == run


def test_an_unread_run_is_the_same_after_json() -> None:
    run = UnreadRun("a", "a.csv", "it is cut", tests={"a.csv::diagnosis": "error"})
    assert from_json(to_json(run)) == run


def test_a_file_that_cannot_be_read_becomes_a_run_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for text, reason in (
        (None, "cannot be opened"),
        ("the loss was 4\n", "is not in a known format"),
    ):
        if text:
            path.write_text(text, encoding="utf-8")
        run = judge_file(path, "notes", {})
        assert isinstance(run, UnreadRun)
        assert (run.name, run.path) == ("notes", "notes")
        assert run.error.startswith(f"{path} {reason}")
