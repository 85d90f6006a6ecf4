"""The end of a session: which runs are drawn and listed, where the files go, and what is shown
when something is missing."""

from __future__ import annotations

import tempfile

import pytest

from probes import Record
from tests.conftest import Project
from tests.test_plugin import BOTH


def test_the_end_lists_every_run_and_the_files(project: Project) -> None:
    project.tests(BOTH)
    result = project.run()
    result.stdout.fnmatch_lines(
        [
            "*= probes =*",
            "healthy  healthy    -        *[0-9].[0-9] s  trained  *detectors judged, none found*",
            "stuck    unhealthy  lr-zero  *[0-9].[0-9] s  trained  lr-zero, step *",
            "dashboard: reports/dashboard.html",
        ]
    )
    assert project.page.exists()


@pytest.mark.parametrize(("colour", "code"), [("yes", "\x1b[31munhealthy"), ("no", "unhealthy")])
def test_verdicts_are_coloured_if_the_terminal_has_colours(
    project: Project, colour: str, code: str
) -> None:
    project.tests(BOTH)
    assert f"stuck    {code}" in project.run("--color", colour).stdout.str()


def test_a_complete_session_is_not_called_partial(project: Project) -> None:
    project.tests(BOTH)
    project.run().stdout.no_fnmatch_line("dashboard: *(*")
    assert "Partial page" not in project.page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["-k", "stuck"], "1 test deselected; no test used healthy"),
        (["test_it.py::test_stuck"], "only named tests ran; no test used healthy"),
        (
            ["--deselect", "test_it.py::test_healthy"],
            "1 test deselected; no test used healthy",
        ),
    ],
)
def test_a_partial_session_draws_the_reference_as_well_and_says_why_it_is_partial(
    project: Project, args: list[str], reason: str
) -> None:
    project.tests(BOTH)
    result = project.run(*args)
    result.stdout.fnmatch_lines(
        ["healthy *trained*", "stuck *", f"dashboard: reports/dashboard.html (partial: {reason})"]
    )
    page = project.page.read_text(encoding="utf-8")
    assert f"Partial page: {reason}." in page
    assert project.builds("healthy") == 1


def test_the_reference_of_a_partial_session_comes_from_the_cache(
    project: Project,
) -> None:
    project.tests(BOTH)
    project.run()
    project.run("-k", "stuck").stdout.fnmatch_lines(["healthy *cached*"])
    assert project.builds("healthy") == 1


def test_an_experiment_that_no_test_uses_makes_the_session_partial(project: Project) -> None:
    project.tests("def test_healthy(run): run('healthy')")
    project.run().stdout.fnmatch_lines(["dashboard: * (partial: no test used stuck)"])


def test_a_session_stopped_by_a_failure_is_partial(project: Project) -> None:
    project.tests(
        "def test_stuck(run): assert not run('stuck')\ndef test_healthy(run): run('healthy')"
    )
    project.run("-x").stdout.fnmatch_lines(
        ["dashboard: * (partial: the session stopped early; no test used heal*"]
    )


def test_a_session_of_the_last_failures_is_partial_even_if_it_uses_every_experiment(
    project: Project,
) -> None:
    project.tests("def test_passes(run): run('healthy'), run('stuck')", "test_one")
    project.tests("def test_fails(run): assert not (run('healthy') and run('stuck'))", "test_two")
    project.run("--lf").stdout.no_fnmatch_line("dashboard: *(*")
    project.run("--lf").stdout.fnmatch_lines(["dashboard: * (partial: only the last failures ran)"])


def test_after_an_interrupt_the_reference_is_not_trained(project: Project) -> None:
    project.tests(
        "import pytest\ndef test_stuck(run): run('stuck')\ndef test_stop(): pytest.exit('enough')\n"
    )
    result = project.run()
    result.stdout.fnmatch_lines(["stuck *", "dashboard: *the session stopped early*"])
    result.stdout.no_fnmatch_line("healthy *")
    assert project.builds("healthy") == 0


INTERRUPTING = """
import os
import signal
from probes import Experiment
from tiny_specimen import TinySpecimen

class Interrupting(TinySpecimen):
    def steps(self):
        for step in super().steps():
            yield step
            if step.index == 5:
                # A terminal sends Ctrl-C to the controller and to its workers.
                assert os.environ["PYTEST_XDIST_WORKER"], "the parent must be the controller"
                os.kill(os.getppid(), signal.SIGINT)
                raise KeyboardInterrupt

def pytest_probes_experiments(config):
    return {"stopped": Experiment(Interrupting, "1", "rest")}
"""


def test_after_an_interrupt_the_record_of_a_worker_is_named(project: Project) -> None:
    """A worker that is interrupted sends no report."""
    project.conftest(INTERRUPTING)
    project.tests("def test_it(run): run('stopped')")
    options = ("-p", "probes.plugin", "-p", "xdist", "-n2")
    result = project.pytester.runpytest_subprocess(*options)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    (kept,) = project.kept("stopped-*.partial.jsonl")
    result.stdout.fnmatch_lines(
        ["stopped  interrupted", f"  the record of its steps is kept at {kept}"]
    )
    assert len(Record.load(kept).steps) == 6


# Where


@pytest.mark.parametrize("setting", ["option", "ini"])
def test_the_page_can_be_moved(project: Project, setting: str) -> None:
    project.tests(BOTH)
    if setting == "ini":
        project.pytester.makeini("[pytest]\nprobes_dashboard = elsewhere/page.html")
    result = project.run(*(["--dashboard", "elsewhere/page.html"] if setting == "option" else []))
    result.stdout.fnmatch_lines(["dashboard: elsewhere/page.html"])
    assert (project.pytester.path / "elsewhere/page.html").exists()
    assert not project.page.exists()


@pytest.mark.parametrize("setting", ["option", "ini"])
def test_without_a_page_the_runs_are_still_listed(project: Project, setting: str) -> None:
    project.tests(BOTH)
    if setting == "ini":
        project.pytester.makeini("[pytest]\nprobes_dashboard = off")
    result = project.run(*(["--dashboard", "off"] if setting == "option" else []))
    result.stdout.fnmatch_lines(["stuck    unhealthy *"])
    result.stdout.no_fnmatch_line("dashboard: *")
    assert not project.page.exists()


def test_without_a_page_the_reference_is_not_trained_for_it(project: Project) -> None:
    project.tests("def test_stuck(run): run('stuck')")
    result = project.run("--dashboard", "off")
    result.stdout.fnmatch_lines(
        ["diagnosis: reports/diagnosis.json (partial: no test used healthy)"]
    )
    assert project.builds("healthy") == 0


def test_the_option_wins_over_the_ini(project: Project) -> None:
    project.tests(BOTH)
    project.pytester.makeini("[pytest]\nprobes_dashboard = off")
    project.run("--dashboard", "page.html").stdout.fnmatch_lines(["dashboard: page.html"])


def test_a_page_cannot_be_a_folder(project: Project) -> None:
    project.tests(BOTH)
    result = project.run("--dashboard", ".")
    result.stderr.fnmatch_lines(
        ["ERROR: --dashboard or probes_dashboard: * is a folder; give the path of a file, or off"]
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR


# What goes wrong


def test_a_page_that_cannot_be_drawn_fails_the_session_and_hides_no_result(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no ink")

    monkeypatch.setattr("probes.report.html.render", fail)
    project.tests(BOTH)
    result = project.run()
    result.stdout.fnmatch_lines(
        [
            "healthy  healthy *",
            "error: cannot write the dashboard *.html: ZeroDivisionError: no ink (test_session_*)",
            "*2 passed*",
        ]
    )
    result.stdout.no_fnmatch_line("dashboard: *")
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_reference_that_cannot_be_trained_fails_the_session_but_the_page_is_drawn(
    project: Project,
) -> None:
    project.offers('offer("healthy", "reference", dies_at=3)', 'offer("stuck", lr=0.0)')
    project.tests("def test_stuck(run): run('stuck')")
    result = project.run()
    result.stdout.fnmatch_lines(
        [
            "dashboard: *",
            "error: the reference healthy cannot be used: TrainingError: *told to die at step 3*",
        ]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_failing_test_keeps_its_own_exit_status(project: Project) -> None:
    project.tests("def test_stuck(run): assert not run('stuck')")
    assert project.run().ret == pytest.ExitCode.TESTS_FAILED


# What failed, where it is kept


def test_a_training_that_failed_has_a_line_and_its_partial_record_is_drawn(
    project: Project,
) -> None:
    project.offers('offer("healthy", "reference")', 'offer("mortal", dies_at=5)')
    project.tests("def test_healthy(run): run('healthy')\ndef test_mortal(run): run('mortal')")
    result = project.run()
    result.stdout.fnmatch_lines(
        ["mortal  failed*told to die at step 5", "*kept at *mortal-*.partial.jsonl"]
    )
    result.stdout.no_fnmatch_line("*no test used*")
    assert "the record is incomplete" in project.page.read_text(encoding="utf-8")


def test_a_training_that_failed_on_a_worker_has_a_line_as_well(project: Project) -> None:
    project.offers('offer("healthy", "reference")', 'offer("mortal", dies_at=5)')
    project.tests("def test_healthy(run): run('healthy')\ndef test_mortal(run): run('mortal')")
    project.run_on_workers(workers=1).stdout.fnmatch_lines(["mortal  failed*told to die at step 5"])


def test_a_cache_that_cannot_be_written_is_read_but_not_changed(
    project: Project, tmp_path, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    """The session goes on with a warning and uses the records of earlier sessions."""
    project.tests("def test_healthy(run): run('healthy')")
    project.run()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shelf = project.pytester.path / ".pytest_cache/d/probes"

    def refuse(*args: object, dir: object = None, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    before = sorted(file.name for file in shelf.iterdir())
    result = project.run("-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*records cannot be kept in pytest's cache*", "healthy *cached*"])
    assert (project.builds("healthy"), sorted(file.name for file in shelf.iterdir())) == (1, before)


@pytest.mark.parametrize("word", ["off", "OFF"])
def test_off_may_be_written_in_capitals(project: Project, word: str) -> None:
    project.tests("def test_healthy(run): run('healthy')")
    project.run("--dashboard", word).assert_outcomes(passed=1)
    assert not project.page.exists()
    assert not (project.pytester.path / word).exists()
