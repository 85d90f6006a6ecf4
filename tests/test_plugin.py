"""The plugin in one process. pytest runs on small projects; its output, exit code and files are
checked."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from _pytest.pytester import LineMatcher

from tests.conftest import OFFER, ROOT, Project

BOTH = """
    def test_healthy(run):
        assert run("healthy").diagnosis.verdict == "healthy"

    def test_stuck(run):
        assert run("stuck").diagnosis.cause == "lr-zero"
"""


# The run


def test_an_experiment_trains_once_for_any_number_of_tests(project: Project) -> None:
    project.tests(
        """
        seen = []

        def test_one(run):
            seen.append(run("healthy"))

        def test_two(run):
            seen.append(run("healthy"))
            assert seen[0] is seen[1]
        """
    )
    project.run().assert_outcomes(passed=2)
    assert project.builds("healthy") == 1


def test_a_run_holds_record_diagnosis_config_and_file(project: Project) -> None:
    project.tests(
        """
        import dataclasses
        import pytest

        def test_run(run):
            healthy = run("healthy")
            assert healthy.name == "healthy"
            assert healthy.config == {"lr": 0.1}
            assert len(healthy.record.steps) == 24
            assert healthy.diagnosis.verdict == "healthy"
            assert healthy.path.exists()
            assert healthy.seconds >= 0
            assert healthy.cached is False
            with pytest.raises(dataclasses.FrozenInstanceError):
                healthy.name = "other"
        """
    )
    project.run().assert_outcomes(passed=1)


def test_an_experiment_that_no_test_uses_is_not_trained(project: Project) -> None:
    project.tests("def test_healthy(run): run('healthy')")
    project.run()
    assert project.builds("stuck") == 0


def test_an_unknown_experiment_is_an_error_that_lists_the_known_ones(
    project: Project,
) -> None:
    project.tests("def test_it(run): run('helthy')")
    result = project.run()
    result.stdout.fnmatch_lines(
        [
            ">*run('helthy')*",
            "E*no experiment 'helthy'; pytest_probes_experiments offers healthy, stuck; "
            "did you mean 'healthy'?",
        ]
    )
    result.stdout.no_fnmatch_line("*session.py*")
    result.assert_outcomes(failed=1)


def test_without_any_experiment_the_error_says_how_to_offer_one(project: Project) -> None:
    project.conftest("")
    project.tests("def test_it(run): run('healthy')")
    project.run().stdout.fnmatch_lines(
        ["E*the project offers none. Implement pytest_probes_experiments(config) in a co*"]
    )


def test_the_experiments_of_several_conftests_are_merged(project: Project) -> None:
    offer = OFFER.format(offers='offer("inner")')
    (project.pytester.mkdir("sub") / "conftest.py").write_text(offer, encoding="utf-8")
    (project.pytester.path / "sub/test_sub.py").write_text(
        "def test_both(run): assert run('inner').name + run('healthy').name", encoding="utf-8"
    )
    project.run().assert_outcomes(passed=1)


# The cache


def test_the_next_session_reads_runs_from_the_cache(project: Project) -> None:
    project.tests(BOTH)
    project.run().stdout.fnmatch_lines(
        ["probes: healthy to be trained, stuck to be trained", "healthy *trained*"]
    )
    project.run().stdout.fnmatch_lines(
        ["probes: healthy cached, stuck cached", "healthy *cached*", "stuck *cached*"]
    )
    assert (project.builds("healthy"), project.builds("stuck")) == (1, 1)


def test_a_changed_fingerprint_trains_again(project: Project) -> None:
    project.tests("def test_healthy(run): run('healthy')")
    project.run()
    project.offers('offer("healthy", "reference", fingerprint="2")')
    project.run().stdout.fnmatch_lines(["probes: healthy to be trained", "healthy *trained*"])
    assert project.builds("healthy") == 2


def test_retrain_trains_again(project: Project) -> None:
    project.tests(BOTH)
    project.run()
    project.run("--retrain").stdout.fnmatch_lines(
        ["probes: healthy to be trained*", "healthy *trained*"]
    )
    assert (project.builds("healthy"), project.builds("stuck")) == (2, 2)


def test_a_damaged_record_is_trained_again_with_a_warning(project: Project) -> None:
    project.tests("def test_healthy(run): run('healthy')")
    project.run()
    (record,) = project.kept("healthy-*.jsonl")
    record.write_bytes(record.read_bytes()[:-9])
    result = project.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*UserWarning: the record kept at *is damaged and will be trained again*"]
    )


def test_without_a_cache_records_are_removed_after_a_session_that_passes(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    project.tests(BOTH)
    project.run("-p", "no:cacheprovider").assert_outcomes(passed=2)
    assert project.page.exists()
    assert not list(tmp_path.glob("probes-*"))
    assert not (project.pytester.path / ".pytest_cache").exists()


def test_without_a_cache_records_are_kept_after_a_session_that_fails(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    project.tests("def test_it(run): assert not run('healthy')")
    project.run("-p", "no:cacheprovider").assert_outcomes(failed=1)
    assert len(list(tmp_path.glob("probes-*/healthy-*.jsonl"))) == 1


def test_without_a_cache_a_session_that_uses_no_run_writes_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    project.tests("def test_it(): assert 0")
    project.run("-p", "no:cacheprovider").assert_outcomes(failed=1)
    assert not list(tmp_path.glob("probes-*"))


# Failures


def test_a_failed_test_prints_the_diagnosis_and_the_command_that_draws_the_record(
    project: Project,
) -> None:
    project.tests("def test_stuck(run): assert run('stuck').diagnosis.verdict == 'healthy'")
    result = project.run()
    (record,) = project.kept("stuck-*.jsonl")
    result.stdout.fnmatch_lines(
        [
            "*probes: stuck*",
            "verdict: unhealthy",
            "cause 1: lr-zero*",
            "finding: lr-zero",
            "  first step *, observed 0, limit *",
            "  limit from: *",
            f"record: {record}",
            f"draw it: python -m probes render {record} -o page.html",
        ]
    )


def test_a_failed_test_shows_the_runs_it_used_and_no_other(project: Project) -> None:
    project.tests(
        """
        def test_passes(run):
            assert run("stuck")

        def test_fails(run):
            assert not run("healthy")

        def test_fails_without_a_run():
            assert 0
        """
    )
    out = project.run("-rP").stdout
    out.fnmatch_lines(["*probes: healthy*"])
    out.no_fnmatch_line("*- probes: stuck -*")
    assert out.str().count("- probes: ") == 1


def test_a_training_that_fails_says_where_its_partial_record_is(project: Project) -> None:
    project.offers('offer("mortal", dies_at=5)')
    project.tests("def test_one(run): run('mortal')\ndef test_two(run): run('mortal')")
    result = project.run()
    (partial_record,) = project.kept("mortal-*.partial.jsonl")
    message = "E*experiment 'mortal' failed in training: ArithmeticError: told to die at step 5*"
    result.stdout.fnmatch_lines(
        [message + f"kept at {partial_record}", message, "E*(not tried again in this session)"]
    )
    result.assert_outcomes(failed=2)
    assert project.builds("mortal") == 1


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (
            "raise KeyError('lost')",
            "*pytest_probes_experiments in *conftest.py raised KeyError: 'lost' (*conftest.py:2)",
        ),
        (
            "return [1]",
            "*conftest.py returned [[]1], a list; it must return a dict from names to probes.Exp*",
        ),
        ("pass", "*conftest.py returned None, a NoneType; it must return a dict*"),
        ("return {'a': 3}", "*conftest.py: 'a' is 3, a int; it must return a dict*"),
        ("return {'a/b': 3}", "*names an experiment 'a/b'; a name is made of letters*"),
        ("return {1: 3}", "*names an experiment 1; a name is made of letters*"),
    ],
)
def test_a_wrong_result_of_the_hook_is_a_usage_error(
    project: Project, body: str, complaint: str
) -> None:
    project.conftest(f"def pytest_probes_experiments(config):\n    {body}\n")
    project.tests("def test_it(): pass")
    result = project.run("-q")
    result.stderr.fnmatch_lines([f"ERROR: {complaint}"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_name_that_is_offered_twice_is_a_usage_error_naming_both(project: Project) -> None:
    project.pytester.syspathinsert()
    project.pytester.makepyfile(other=OFFER.format(offers='offer("healthy")'))
    project.tests("def test_it(): pass")
    result = project.run("-p", "other")
    result.stderr.fnmatch_lines(
        ["ERROR: *'healthy' is offered twice, by other and by *conftest.py; rename one"]
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR


# Idleness


def test_a_session_that_uses_no_run_draws_and_prints_nothing(project: Project) -> None:
    project.tests("def test_it(): pass")
    result = project.run()
    result.stdout.no_fnmatch_line("*= probes =*")
    assert not project.page.parent.exists()
    assert not project.kept("*")


def test_collecting_trains_and_draws_nothing(project: Project) -> None:
    project.tests(BOTH)
    project.run("--collect-only").stdout.no_fnmatch_line("*= probes =*")
    assert not project.page.parent.exists()
    assert project.builds("healthy") == 0


def test_a_project_without_experiments_does_not_notice_the_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plugin loads no heavy module, prints nothing and writes nothing."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    test = (
        "import sys\ndef test_it(): assert not {'numpy', 'pygal', 'filelock'} & set(sys.modules)\n"
    )
    (tmp_path / "test_it.py").write_text(test, encoding="utf-8")

    def output(*args: str) -> str:
        command = [
            sys.executable,
            "-B",
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--durations=0",
            *args,
            "test_it.py",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        # pytest itself names what is loaded from an installed package; everything else is the
        # plugin's to keep quiet.
        lines = [
            line
            for line in done.stdout.split(" in ")[0].splitlines()
            if not line.startswith("plugins: ")
        ]
        return "\n".join(lines) + done.stderr

    assert output("-p", "probes.plugin") == output()
    assert [file.name for file in tmp_path.iterdir()] == ["test_it.py"]


# Progress


def screen(text: str) -> list[str]:
    """The lines that a terminal shows: text after a carriage return overwrites the line."""
    lines = []
    for line in text.split("\n"):
        shown = ""
        for piece in line.split("\r"):
            shown = piece + shown[len(piece) :]
        lines.append(shown.rstrip())
    return lines


def test_a_terminal_shows_the_progress_of_a_training_and_removes_it(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.conftest(
        OFFER.format(offers='offer("healthy")')
        + """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    reporter = config.pluginmanager.getplugin("terminalreporter")
    reporter.isatty = type(reporter.isatty)(True)
"""
    )
    project.tests("def test_it(run): run('healthy')")
    project.run()
    text = capsys.readouterr().out
    assert "\rtraining healthy: step 1/24 " in text
    assert "test_it.py" in screen(text)
    assert "." + " " * 74 + "[100%]" in screen(text)


def test_output_that_is_no_terminal_has_no_progress(project: Project) -> None:
    project.tests("def test_it(run): run('healthy')")
    project.run().stdout.no_fnmatch_line("*training healthy*")


# The project's own remedy


def output_of_a_failure(project: Project, *offers: str) -> LineMatcher:
    project.offers('offer("healthy", "reference")', *offers)
    project.tests("def test_it(run): assert run('stuck').diagnosis.verdict == 'healthy'")
    return project.run().stdout


def test_a_failed_test_names_the_value_in_the_config_that_would_heal_its_run(
    project: Project,
) -> None:
    """The report shows the name of the value, the new value and the present one."""
    out = output_of_a_failure(project, 'offer("stuck", lr=0.0, remedies={"lr-zero": {"lr": 0.1}})')
    out.fnmatch_lines(["remedy in this project: lr = 0.1 (now 0.0)", "record: *stuck*"])


@pytest.mark.parametrize("remedies", ["None", "{}"])
def test_without_a_remedy_of_the_project_only_the_general_one_is_shown(
    project: Project, remedies: str
) -> None:
    """The project knows no remedy at all, or none for this cause."""
    out = output_of_a_failure(project, f'offer("stuck", lr=0.0, remedies={remedies})')
    out.fnmatch_lines(["*remedy: set the base learning rate*"])
    out.no_fnmatch_line("*remedy in this project*")


def test_an_error_in_the_projects_remedy_hides_no_result(project: Project) -> None:
    """The failed assertion is shown, and the error beside it."""
    out = output_of_a_failure(project, 'offer("stuck", lr=0.0, remedies={"lr-zero": {"speed": 1}})')
    out.fnmatch_lines(
        [
            "*assert 'unhealthy' == 'healthy'*",
            "remedy in this project: apply_remedy('lr-zero') raised TypeError: *",
        ]
    )
