"""The files and lines that a session leaves for other programs: a JSON document, a summary,
annotations."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Project
from tests.outputs import SHORT, SICK, markdown_rows, parsed_command, parsed_json
from tests.records import changed
from tests.test_log_items import kept, written
from tests.test_plugin import BOTH

RED = "    def test_red(run): assert run('stuck').diagnosis.verdict == 'healthy'\n"


@pytest.fixture
def logs(project: Project) -> Project:
    """A project without experiments, with a folder of four logs."""
    project.conftest("")
    kept(project, changed(), "healthy")
    kept(project, SICK, "sick")
    kept(project, SHORT, "short")
    written(project, "out/torn.json", '{"log_history": [{"step": 1, "loss": 4')
    return project


def document(project: Project) -> dict[str, Any]:
    """The document that the session wrote, checked by its schema."""
    return parsed_json(project.document.read_text(encoding="utf-8"))


def runs(project: Project) -> dict[str, dict[str, Any]]:
    return {run["name"]: run for run in document(project)["runs"]}


# The document


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")])
def test_every_run_is_in_the_document_with_the_tests_that_used_it(
    project: Project, workers: tuple[str, ...]
) -> None:
    """The document also lists the runs of workers. The outcome of a run is the worst outcome of its
    tests."""
    project.tests(BOTH + "\n" + RED)
    result = project.run(*workers)
    result.stdout.fnmatch_lines(
        ["dashboard: reports/dashboard.html", "diagnosis: reports/diagnosis.json"]
    )
    found = runs(project)
    assert {name: (run["kind"], run["verdict"], run["cause"]) for name, run in found.items()} == {
        "healthy": ("experiment", "healthy", None),
        "stuck": ("experiment", "unhealthy", "lr-zero"),
    }
    assert found["stuck"]["tests"] == {
        "test_it.py::test_stuck": "passed",
        "test_it.py::test_red": "failed",
    }
    assert (found["healthy"]["outcome"], found["stuck"]["outcome"]) == ("passed", "failed")
    (record,) = project.kept("stuck-*.jsonl")
    assert found["stuck"]["path"] == record.relative_to(project.pytester.path).as_posix()
    content = document(project)
    assert (content["page"], content["partial"]) == ("reports/dashboard.html", [])


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")])
def test_every_log_is_in_the_document_with_the_outcome_of_its_test(
    logs: Project, workers: tuple[str, ...]
) -> None:
    """The document lists logs although the dashboard does not draw them."""
    logs.run("--diagnose", "out", *workers).stdout.fnmatch_lines(
        ["diagnosis: reports/diagnosis.json"]
    )
    found = runs(logs)
    assert {
        name: (run["verdict"], run["outcome"], run["allowed"]) for name, run in found.items()
    } == {
        "out/healthy.jsonl": ("healthy", "passed", False),
        "out/short.jsonl": ("undetermined", "skipped", False),
        "out/sick.jsonl": ("unhealthy", "failed", False),
        "out/torn.json": (None, "error", False),
    }
    assert found["out/sick.jsonl"]["tests"] == {"out/sick.jsonl::diagnosis": "failed"}
    assert found["out/sick.jsonl"]["first_step"] == 0
    assert "torn.json" in found["out/torn.json"]["error"]
    assert document(logs)["page"] is None


@pytest.mark.parametrize("setting", ["option", "ini"])
def test_the_verdicts_are_written_as_sarif_if_wanted(logs: Project, setting: str) -> None:
    """Without the option or the ini entry, no SARIF file is written."""
    if setting == "ini":
        logs.pytester.makeini("[pytest]\nprobes_diagnosis_sarif = out.sarif")
    options = ["--diagnosis-sarif", "out.sarif"] if setting == "option" else []
    logs.run("--diagnose", "out", *options).stdout.fnmatch_lines(["sarif: out.sarif"])
    (run,) = json.loads((logs.pytester.path / "out.sarif").read_text())["runs"]
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        ("undetermined", "note"),
        ("bad-init", "error"),
    ]
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "torn.json" in notification["message"]["text"]


def test_the_document_lists_logs_in_the_order_of_their_names(logs: Project) -> None:
    """The order in which they were judged does not matter, because it differs on workers."""
    logs.run("-o", "diagnose_files=*.jsonl", "out/sick.jsonl", "out/healthy.jsonl")
    assert list(runs(logs)) == ["out/healthy.jsonl", "out/sick.jsonl"]


def test_a_session_that_only_judges_logs_misses_no_experiment(project: Project) -> None:
    """The reference is not trained either, because nothing is drawn."""
    kept(project, SICK, "sick")
    project.run("--diagnose", "out")
    assert document(project)["partial"] == []
    assert project.builds("healthy") == 0


def test_a_log_whose_cause_is_allowed_is_marked(logs: Project) -> None:
    logs.run("--diagnose", "out", "--allow", "bad-init")
    sick = runs(logs)["out/sick.jsonl"]
    assert (sick["verdict"], sick["outcome"], sick["allowed"]) == ("unhealthy", "passed", True)


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")])
def test_a_document_of_some_of_the_logs_is_partial(logs: Project, workers: tuple[str, ...]) -> None:
    """The document and the end of the session say that logs are missing."""
    result = logs.run("--diagnose", "out", "-k", "sick", *workers)
    result.stdout.fnmatch_lines(["diagnosis: reports/diagnosis.json (partial: 3 tests deselected)"])
    assert document(logs)["partial"] == ["3 tests deselected"]


def test_a_document_of_some_of_the_experiments_is_partial(project: Project) -> None:
    """The document also holds the reference, which no test has used."""
    project.tests(BOTH)
    project.run("-k", "stuck")
    assert document(project)["partial"] == ["1 test deselected", "no test used healthy"]
    assert (runs(project)["healthy"]["tests"], runs(project)["healthy"]["outcome"]) == ({}, None)


def test_a_training_that_failed_is_in_the_document_with_a_diagnosis_of_its_steps(
    project: Project,
) -> None:
    project.offers('offer("healthy", "reference")', 'offer("mortal", dies_at=22)')
    project.tests("def test_mortal(run): run('mortal')")
    project.run()
    mortal = runs(project)["mortal"]
    assert mortal["error"] == "failed in training: ArithmeticError: told to die at step 22"
    assert (mortal["verdict"], mortal["complete"], mortal["outcome"]) == (
        "healthy",
        False,
        "failed",
    )


def test_a_training_that_recorded_no_step_is_in_the_document_without_a_verdict(
    project: Project,
) -> None:
    project.offers('offer("stillborn", dies_at=0)')
    project.tests("def test_it(run): run('stillborn')")
    project.run()
    assert (runs(project)["stillborn"]["verdict"], runs(project)["stillborn"]["outcome"]) == (
        None,
        "failed",
    )


def test_a_run_that_made_a_fixture_fail_is_an_error(project: Project) -> None:
    """The outcome is an error and not a failure, as in pytest's own count."""
    project.tests(
        """
        import pytest

        @pytest.fixture
        def healed(run):
            assert run("stuck").diagnosis.verdict == "healthy"

        def test_it(healed): pass
        """
    )
    project.run()
    assert runs(project)["stuck"]["outcome"] == "error"


@pytest.mark.parametrize("args", [("--collect-only",), ("-k", "nothing")])
def test_a_session_in_which_no_test_ran_writes_nothing(
    project: Project, args: tuple[str, ...]
) -> None:
    project.tests(BOTH)
    project.run(*args)
    assert not project.document.exists()


@pytest.mark.parametrize("setting", ["option", "ini"])
def test_the_document_can_be_moved(logs: Project, setting: str) -> None:
    if setting == "ini":
        logs.pytester.makeini("[pytest]\nprobes_diagnosis_json = elsewhere/it.json")
    result = logs.run(
        "--diagnose",
        "out",
        *(["--diagnosis-json", "elsewhere/it.json"] if setting == "option" else []),
    )
    result.stdout.fnmatch_lines(["diagnosis: elsewhere/it.json"])
    assert len(json.loads((logs.pytester.path / "elsewhere/it.json").read_bytes())["runs"]) == 4
    assert not logs.document.exists()


def test_paths_of_options_start_in_the_current_folder_and_those_of_settings_at_the_root(
    logs: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.pytester.makeini("[pytest]\nprobes_diagnosis_json = ini.json")
    monkeypatch.chdir(logs.pytester.path / "out")
    logs.run("--diagnose", "sick.jsonl")
    logs.run("--diagnose", "sick.jsonl", "--diagnosis-json", "option.json")
    assert (logs.pytester.path / "ini.json").exists()
    assert (logs.pytester.path / "out/option.json").exists()


def test_the_document_can_be_left_out(logs: Project) -> None:
    logs.run("--diagnose", "out", "--diagnosis-json", "off").stdout.no_fnmatch_line("diagnosis: *")
    assert not logs.document.exists()


def test_the_document_cannot_be_a_folder(logs: Project) -> None:
    result = logs.run("--diagnosis-json", ".")
    result.stderr.fnmatch_lines(
        ["ERROR: --diagnosis-json or probes_diagnosis_json: * is a folder; give the path*"]
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_document_that_cannot_be_written_fails_the_session(logs: Project) -> None:
    """Otherwise another program would read the document of an earlier session."""
    written(logs, "taken", "")
    result = logs.run("--diagnose", "out/healthy.jsonl", "--diagnosis-json", "taken/it.json")
    result.stdout.fnmatch_lines(
        ["error: cannot write the diagnoses *taken/it.json: *", "*1 passed*"]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


# Notes


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")])
def test_a_note_is_at_the_end_on_the_page_and_in_the_document(
    project: Project, workers: tuple[str, ...]
) -> None:
    """A note that several tests leave is shown once."""
    project.tests(
        """
        def test_one(run, note):
            run("healthy"), run("stuck")
            note("it cost <3 %")

        def test_two(note):
            note("it cost <3 %")
        """
    )
    result = project.run(*workers)
    assert [line for line in result.outlines if line.startswith("note: ")] == ["note: it cost <3 %"]
    assert '<p class="note" role="note">it cost &lt;3 %</p>' in project.page.read_text(
        encoding="utf-8"
    )
    assert document(project)["notes"] == ["it cost <3 %"]


def test_a_note_is_shown_in_a_session_that_uses_no_run(logs: Project) -> None:
    """Control characters in the note do not reach the terminal."""
    logs.tests("def test_it(note): note('it was \\x1b[2Jquick')")
    logs.run().stdout.fnmatch_lines(["*= probes =*", r"note: it was \x1b[[]2Jquick"])
    assert not logs.document.exists()


# GitHub


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")])
def test_a_summary_is_written_for_github(
    project: Project, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    """The controller writes it once; workers do not write it."""
    path = project.pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    project.tests(BOTH)
    project.run(*workers)
    text = path.read_text(encoding="utf-8")
    assert [row[:3] for row in markdown_rows(text)] == [
        ["stuck", "unhealthy", "lr-zero"],
        ["healthy", "healthy", ""],
    ]
    assert text.count("###") == 1
    assert "Dashboard: reports/dashboard.html" in text


def test_a_summary_that_cannot_be_written_becomes_a_note(
    logs: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session does not fail, because such an error says nothing about the tests."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(logs.pytester.path / "nowhere/summary.md"))
    result = logs.run("--diagnose", "out/healthy.jsonl")
    result.stdout.fnmatch_lines(
        ["note: cannot write the summary *nowhere/summary.md: No such file or directory"]
    )
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")])
def test_runs_that_failed_tests_are_annotated_under_github(
    logs: Project, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    """Errors come first, then a warning for a log that could not be judged. Each annotation is one
    line."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(logs.pytester.path.parent))
    lines = [
        line for line in logs.run("--diagnose", "out", *workers).outlines if line.startswith("::")
    ]
    root = logs.pytester.path.name
    assert [(kind, at["file"], at["title"]) for kind, at, _ in map(parsed_command, lines)] == [
        ("error", f"{root}/out/sick.jsonl", "out/sick.jsonl: bad-init"),
        ("error", f"{root}/out/torn.json", "out/torn.json: not judged"),
        ("warning", f"{root}/out/short.jsonl", "out/short.jsonl: undetermined"),
    ]


def test_with_strict_a_log_that_could_not_be_judged_is_an_error(
    logs: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = logs.run("--diagnose", "out/short.jsonl", "--diagnose-strict")
    result.stdout.fnmatch_lines(
        ["::error file=out/short.jsonl,title=out/short.jsonl%3A undetermined::*"]
    )


def test_an_experiment_is_annotated_at_the_test_that_failed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sick experiment whose tests pass has no annotation."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    project.offers('offer("stuck", lr=0.0)', 'offer("other", lr=0.0)')
    project.tests(RED + "    def test_other(run): assert run('other').diagnosis.cause == 'lr-zero'")
    lines = [line for line in project.run().outlines if line.startswith("::")]
    assert [line.partition("::lr-zero")[0] for line in lines] == [
        "::error file=test_it.py,title=stuck%3A lr-zero"
    ]


@pytest.mark.parametrize("value", [None, "false"])
def test_outside_of_github_nothing_is_annotated(
    logs: Project, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value:
        monkeypatch.setenv("GITHUB_ACTIONS", value)
    logs.run("--diagnose", "out").stdout.no_fnmatch_line("::*")
