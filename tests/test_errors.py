"""An exception is no verdict: what fails for one run concerns that run alone, and is said."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import jsonschema
import pytest

from probes.cli import main
from probes.common.text import described
from probes.diagnosis import diagnose as module
from probes.diagnosis import notices
from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.causes import CAUSES
from probes.diagnosis.detectors import DETECTORS
from probes.diagnosis.diagnose import diagnose
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.panels.panel import Panel
from probes.record import Record
from probes.recording.recorder import save
from probes.report import json_report
from probes.report.html import render
from probes.report.judged_run import UnreadRun, from_json, judge, judge_file, to_json
from probes.report.sarif import document as sarif_document
from probes.watch_log import LogWatcher
from tests.conftest import Project
from tests.outputs import SICK
from tests.records import changed, thorough

Printed = pytest.CaptureFixture[str]
FAULT = "ZeroDivisionError: nothing to divide by (test_errors.py:"


@pytest.fixture(autouse=True)
def no_diagnosis_fails() -> None:
    """The tests of this module make parts of a diagnosis fail."""


def failing(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("nothing to divide by")


def with_failing(
    monkeypatch: pytest.MonkeyPatch, name: str, judge_it: Any = failing
) -> tuple[Detector, ...]:
    """Replace the function of one detector."""
    detectors = tuple(
        each._replace(judge=judge_it) if each.name == name else each for each in DETECTORS
    )
    monkeypatch.setattr(module, "DETECTORS", detectors)
    return detectors


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a healthy run and a sick one."""
    monkeypatch.chdir(tmp_path)
    save(changed(), "healthy.jsonl")
    save(SICK, "sick.jsonl")
    return tmp_path


def fails_on(monkeypatch: pytest.MonkeyPatch, target: Any, method: str, step: int = 39) -> None:
    """Make a function fail whose first or second argument is a Record that ends at `step`."""
    original = getattr(target, method)

    def sometimes(*arguments: Any, **options: Any) -> Any:
        records = [each for each in arguments if isinstance(each, Record)]
        if records and len(records[0].steps) and records[0].steps[-1] == step:
            failing()
        return original(*arguments, **options)

    monkeypatch.setattr(target, method, sometimes)


# A detector


@pytest.mark.parametrize("name", [detector.name for detector in DETECTORS])
def test_a_detector_that_raises_is_an_error_and_the_others_judge(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The same record is healthy while no detector fails."""
    record = thorough()
    before = diagnose(record)
    assert (before.verdict, before.errors) == ("healthy", {})
    with_failing(monkeypatch, name)
    diagnosis = diagnose(record)
    assert (diagnosis.verdict, diagnosis.cause) == ("undetermined", None)
    assert list(diagnosis.errors) == [name]
    assert diagnosis.errors[name].startswith(FAULT)
    assert set(diagnosis.judged) == set(before.judged) - {name}
    assert diagnosis.not_judged == {
        other: why for other, why in before.not_judged.items() if other != name
    }
    assert (diagnosis.reason, diagnosis.alarm) == (f"{name} failed", False)
    assert diagnosis.headline == f"{name} failed: {diagnosis.errors[name]}"
    assert diagnosis.summary()["errors"] == diagnosis.errors
    assert f"error: {name} failed: {FAULT}" in str(diagnosis)


def test_a_cause_is_named_although_another_detector_raises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the detector that finds the decisive symptom takes the cause with it."""
    record = changed(lr=[0.0] * 40, loss=[4.2] * 40)
    before = diagnose(record)
    verdicts = {}
    for detector in DETECTORS:
        with_failing(monkeypatch, detector.name)
        diagnosis = diagnose(record)
        assert list(diagnosis.errors) == [detector.name]
        assert set(diagnosis.findings) <= set(before.findings)
        verdicts[detector.name] = (diagnosis.verdict, diagnosis.cause)
    lost = [name for name, verdict in verdicts.items() if verdict != ("unhealthy", "lr-zero")]
    assert lost == ["schedule"]


def test_a_detector_that_cannot_judge_halfway_is_not_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its findings so far are dropped, because the detector did not finish."""

    def halfway(_: Evidence) -> Iterator[Finding]:
        yield DETECTORS[0].symptoms[0].found(3, 5.0, limit=1.0)
        raise CannotJudgeError("a signal is missing")

    name = DETECTORS[0].name
    with_failing(monkeypatch, name, halfway)
    diagnosis = diagnose(changed())
    assert (diagnosis.verdict, diagnosis.errors, diagnosis.findings) == ("healthy", {}, ())
    assert diagnosis.not_judged[name] == "a signal is missing"


# The other parts of a diagnosis


def test_a_failing_check_of_health_takes_healthy_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may claim that a run is healthy that was not checked."""
    monkeypatch.setattr(module, "doubts_on", failing)
    diagnosis = diagnose(changed())
    assert (diagnosis.verdict, list(diagnosis.errors)) == ("undetermined", ["health"])


def test_evidence_that_health_lacks_is_the_reason_for_undetermined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is no error."""

    def lacking(_: Evidence) -> NoReturn:
        raise CannotJudgeError("the loss has no unit")

    monkeypatch.setattr(module, "doubts_on", lacking)
    diagnosis = diagnose(changed())
    assert (diagnosis.verdict, diagnosis.errors) == ("undetermined", {})
    assert diagnosis.reason == "cannot judge: the loss has no unit"


def test_a_failing_notice_is_said_and_changes_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other notices answer."""
    before = diagnose(thorough())
    first, *others = notices.NOTICES
    monkeypatch.setattr(notices, "NOTICES", (first._replace(answer=failing), *others))
    diagnosis = diagnose(thorough())
    assert (diagnosis.verdict, diagnosis.errors) == ("healthy", {})
    assert diagnosis.remarks[0].startswith(f"{notices.FAILED}{first.question} {FAULT}")
    assert set(diagnosis.remarks[1:]) == {
        remark for remark in before.remarks if remark in diagnosis.remarks
    }
    assert diagnosis.remarks[1:] == before.remarks[-len(diagnosis.remarks[1:]) :]


def test_a_notice_that_lacks_evidence_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no error."""

    def lacking(_: Evidence) -> NoReturn:
        raise CannotJudgeError("no evaluations")

    first, *others = notices.NOTICES
    monkeypatch.setattr(notices, "NOTICES", (first._replace(answer=lacking), *others))
    diagnosis = diagnose(thorough())
    assert not any(notices.FAILED in remark for remark in diagnosis.remarks)


def test_a_cause_whose_wording_fails_is_named_in_its_usual_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error is said."""
    causes = tuple(cause._replace(reworded=failing) for cause in CAUSES)
    monkeypatch.setattr(module, "CAUSES", causes)
    diagnosis = diagnose(SICK)
    assert (diagnosis.verdict, diagnosis.causes[0].meaning) == (
        "unhealthy",
        next(cause.meaning for cause in CAUSES if cause.name == diagnosis.cause),
    )
    assert list(diagnosis.errors) == [f"wording of {cause.name}" for cause in diagnosis.causes]


# Where it is shown


def test_the_command_exits_2_and_shows_the_other_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """A path of which a part of the diagnosis failed counts as a path that cannot be read."""
    with_failing(monkeypatch, "overfitting")
    assert main(["diagnose", "healthy.jsonl", "sick.jsonl", "nowhere"]) == 2
    out, err = capsys.readouterr()
    assert out.startswith(f"healthy.jsonl: undetermined: overfitting failed: {FAULT}")
    assert "sick.jsonl: unhealthy: " in out
    assert err.count("was not fully diagnosed, because of an error in probes") == 2
    assert "Traceback" not in out + err


def test_the_document_holds_the_errors_and_fits_its_schema(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """The entry of a run of which nothing failed has an empty object."""
    with_failing(monkeypatch, "overfitting")
    assert main(["diagnose", "--json", "healthy.jsonl", "nowhere"]) == 2
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json_report.schema())
    healthy, nowhere = document["runs"]
    assert healthy["errors"]["overfitting"].startswith(FAULT)
    assert nowhere["errors"] == {}


def test_errors_survive_the_way_to_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller of pytest-xdist shows them."""
    with_failing(monkeypatch, "overfitting")
    run = judge(changed())
    back = from_json(to_json(run))
    assert not isinstance(back, UnreadRun)
    assert back.diagnosis == run.diagnosis


def test_sarif_notifies_of_a_failed_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The invocation was not successful."""
    with_failing(monkeypatch, "overfitting")
    document = json.loads(sarif_document([judge(changed(), "a"), judge(SICK, "b")]))
    invocation = document["runs"][0]["invocations"][0]
    assert not invocation["executionSuccessful"]
    texts = [each["message"]["text"] for each in invocation["toolExecutionNotifications"]]
    assert [text[0] for text in texts] == ["a", "b"]


@pytest.mark.parametrize("strict", [(), ("--diagnose-strict",)])
def test_a_log_whose_diagnosis_fails_is_an_error_and_no_skip(
    project: Project, monkeypatch: pytest.MonkeyPatch, strict: tuple[str, ...]
) -> None:
    """The other log passes or fails as usual; here its diagnosis fails too."""
    project.conftest("")
    save(changed(), project.pytester.path / "healthy.jsonl")
    save(SICK, project.pytester.path / "sick.jsonl")
    with_failing(monkeypatch, "overfitting")
    result = project.run("--diagnose", ".", *strict)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*overfitting failed: ZeroDivisionError*"])


# Whatever else fails


def test_a_log_at_which_reading_fails_is_one_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """The other paths are judged."""
    original = Record.load
    monkeypatch.setattr(
        Record, "load", lambda path: failing() if "sick" in str(path) else original(path)
    )
    assert main(["diagnose", "sick.jsonl", "healthy.jsonl"]) == 2
    out, err = capsys.readouterr()
    assert out == "".join(line for line in out.splitlines(True) if "sick" not in line)
    assert out.startswith("healthy.jsonl: healthy: ")
    assert "probes: sick.jsonl could not be read, because of an error in probes, which" in err
    assert FAULT in err


def test_a_run_at_which_the_diagnosis_fails_is_one_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even what no part of the diagnosis catches."""
    monkeypatch.setattr(module, "rank", failing)
    run = judge_file("healthy.jsonl", "healthy.jsonl", {})
    assert isinstance(run, UnreadRun)
    assert run.error.startswith("healthy.jsonl could not be diagnosed, because of an error")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_run_that_cannot_be_reported_is_one_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed, options: tuple[str, ...]
) -> None:
    """The document lists it with the error."""
    original = json_report.entry

    def entry(run: Any) -> dict[str, Any]:
        return original(run) if isinstance(run, UnreadRun) or "sick" not in run.name else failing()

    monkeypatch.setattr(json_report, "entry", entry)
    monkeypatch.setattr(
        "probes.cli._report", lambda run, _: [failing() if "sick" in run.name else "a"]
    )
    assert main(["diagnose", *options, "sick.jsonl", "healthy.jsonl"]) == 2
    out, err = capsys.readouterr()
    assert "probes: sick.jsonl could not be reported, because of an error in probes" in err
    if options:
        sick, healthy = json.loads(out)["runs"]
        assert (sick["verdict"], healthy["verdict"]) == (None, "healthy")
        assert FAULT in sick["error"]
    else:
        assert out == "a\n"


def test_a_session_writes_a_run_that_cannot_be_written_as_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The document of a session is complete."""
    original = json_report.entry

    def entry(run: Any) -> dict[str, Any]:
        return original(run) if isinstance(run, UnreadRun) or run.name != "b" else failing()

    monkeypatch.setattr(json_report, "entry", entry)
    runs = json.loads(json_report.document([judge(changed(), "a"), judge(SICK, "b")]))["runs"]
    assert [(run["name"], run["verdict"]) for run in runs] == [("a", "healthy"), ("b", None)]
    assert FAULT in runs[1]["error"]


def test_a_run_that_cannot_be_drawn_is_named_on_the_page_with_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """The command exits 2."""
    fails_on(monkeypatch, Panel, "draw")
    save(thorough(30), "short.jsonl")
    assert main(["render", "sick.jsonl", "short.jsonl", "nowhere", "-o", "page.html"]) == 2
    out, err = capsys.readouterr()
    page = Path("page.html").read_text(encoding="utf-8")
    assert out == "page.html\n"
    assert "sick.jsonl could not be drawn, because of an error in probes" in err
    assert page.count('role="note"') == 2
    assert "ZeroDivisionError: nothing to divide by" in page
    assert "nowhere cannot be opened" in page
    assert 'id="run-short-jsonl"' in page


def test_no_page_is_written_if_no_run_can_be_drawn(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """An earlier page stays."""
    monkeypatch.setattr(Panel, "draw", failing)
    assert main(["render", "sick.jsonl", "-o", "page.html"]) == 2
    assert "page.html was not drawn" in capsys.readouterr().err
    assert not Path("page.html").exists()


def test_render_raises_what_drawing_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller of the function knows best what to do."""
    monkeypatch.setattr(Panel, "draw", failing)
    with pytest.raises(ZeroDivisionError):
        render([SICK], tmp_path / "page.html")


def test_a_watched_log_at_which_reading_fails_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch goes on."""
    monkeypatch.setattr(Record, "load", failing)
    lines = list(LogWatcher(Path("sick.jsonl")).look())
    assert len(lines) == 1
    assert lines[0].startswith("sick.jsonl could not be read, because of an error in probes")


def test_a_watched_run_of_which_a_part_failed_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a line after its verdict."""
    with_failing(monkeypatch, "dead-neurons")
    watcher = LogWatcher(Path("sick.jsonl"))
    verdict, failure = watcher.look()
    assert "unhealthy" in verdict
    assert "dead-neurons failed: ZeroDivisionError" in failure
    assert list(watcher.look()) == []


def test_an_exception_is_described_by_type_message_and_place() -> None:
    """In one line of printable text."""
    with pytest.raises(KeyError) as caught:
        raise KeyError("a\nb\x1b[31m")
    assert described(caught.value).startswith("KeyError: 'a\\nb\\x1b[31m' (test_errors.py:")
    assert described(ValueError("a\nb\x1b")) == "ValueError: a b\\x1b"
