"""A judged run: made once from a record, then shown by every output."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes import render
from probes.report.judged_run import JudgedRun, UnreadRun, judge, worst
from tests.records import changed, sound, thorough

LOSSES = sound()["loss"]
SICK = changed(loss=[200.0, *LOSSES[1:]])


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
    falling = [*LOSSES[:20], *[0.1] * 20]
    run = judge(thorough(train_loss=falling, val_loss=falling, grad_norm=[30.0] + [1.0] * 39))
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
