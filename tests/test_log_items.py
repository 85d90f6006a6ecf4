"""Logs as tests: which logs are collected, under what name, the outcome of each, and what is
printed."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from math import cos, pi
from pathlib import Path

import pytest

from probes import readers
from probes.readers.runs import separated
from probes.record import Record, Stop
from probes.recording.recorder import save
from testing.logs import csv_of
from tests.conftest import Project
from tests.outputs import SHORT, SICK
from tests.records import changed, sound, thorough

TOO_FEW = "20 are needed, or five that fall one after the other: log more often"
LOSSES = sound()["loss"]
NAMELESS = changed(grad_norm=[30.0] + [1.0] * 39)
TWICE_SICK = changed(loss=[200.0, *LOSSES[1:]], lr=[0.0] * 40)
LOOSE = changed(lr=[0.0] * 40, grad_norm=[30.0] + [1.0] * 39)
CONSEQUENCE = thorough(
    lr=[0.011 + 0.009 * cos(pi * step / 39) for step in range(40)],
    update_weight_ratio={"up": [0.9] + [0.01] * 39, "down": [0.01] * 40},
    dead_fraction={"ffn": [0.9] * 40},
)
"""Of no-warmup, which explains its dead neurons."""
COLLECT = ("--collect-only", "-q")


@pytest.fixture
def logs(project: Project) -> Project:
    """A project without experiments, with a test and a folder of two logs, one of them sick."""
    project.conftest("")
    project.tests("def test_it(): pass")
    kept(project, changed(), "healthy")
    kept(project, SICK, "sick")
    return project


def kept(project: Project, record: Record, name: str, folder: str = "out") -> None:
    """Save a record in a folder of the project."""
    (project.pytester.path / folder).mkdir(exist_ok=True)
    save(record, project.pytester.path / folder / f"{name}.jsonl")


def written(project: Project, name: str, text: str) -> None:
    (project.pytester.path / name).write_text(text, encoding="utf-8")


def collected(result: pytest.RunResult) -> list[str]:
    """The node ids that pytest prints with `--collect-only`."""
    return [line for line in result.outlines if "::" in line]


def junit_properties(project: Project) -> dict[str, dict[str, str]]:
    """Name of each log -> its properties."""
    return {
        case.attrib["classname"]: {
            p.attrib["name"]: p.attrib["value"] for p in case.iter("property")
        }
        for case in ET.parse(project.pytester.path / "junit.xml").iter("testcase")
    }


# Which


def test_a_log_is_a_test_that_passes_when_healthy_and_fails_when_not(logs: Project) -> None:
    """The project's own tests do not run, because the command does not name them."""
    result = logs.run("--diagnose", "out/healthy.jsonl", "out/sick.jsonl", "-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["out/healthy.jsonl::diagnosis PASSED*", "out/sick.jsonl::diagnosis FAILED*"]
    )


def test_a_folder_means_its_logs_sorted_and_each_once(logs: Project) -> None:
    """A log that is named several times is judged once. A text file that is not a log is left
    out."""
    written(logs, "out/notes.txt", "the loss was 4\n")
    result = logs.run("--diagnose=out/sick.jsonl", "--diagnose", "out", "out/sick.jsonl", *COLLECT)
    assert collected(result) == ["out/healthy.jsonl::diagnosis", "out/sick.jsonl::diagnosis"]


@pytest.mark.parametrize(
    "args", [("test_it.py", "--diagnose", "out"), ("--diagnose=out", "test_it.py")]
)
def test_tests_that_the_command_names_run_as_well(logs: Project, args: tuple[str, ...]) -> None:
    """The command names them before the option, or writes the option with `=`."""
    logs.run(*args).assert_outcomes(passed=2, failed=1)


def test_the_testpaths_of_a_project_do_not_run(logs: Project) -> None:
    """The command names logs but no tests, so the tests in `testpaths` are not collected."""
    logs.pytester.makeini("[pytest]\ntestpaths = test_it.py")
    result = logs.run("--diagnose", "out/healthy.jsonl")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("testpaths:*")


def test_a_log_in_a_folder_that_pytest_never_enters_is_judged(logs: Project) -> None:
    """This also holds if the command names the current folder as well."""
    kept(logs, SICK, "sick", "build")
    logs.run(".", "--diagnose", "build").assert_outcomes(passed=1, failed=1)


def test_a_log_outside_the_project_is_named_by_its_whole_path(
    logs: Project, tmp_path: Path
) -> None:
    """A shorter name would depend on the current folder."""
    path = tmp_path / "far.jsonl"
    save(changed(), path)
    assert collected(logs.run(f"--diagnose={path}", *COLLECT)) == [f"{path}::diagnosis"]


def test_paths_of_the_command_start_in_the_current_folder(
    logs: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths in the command are relative to the current folder, node ids to the root."""
    monkeypatch.chdir(logs.pytester.path / "out")
    logs.pytester.makeini("[pytest]")
    assert collected(logs.run("--diagnose", "sick.jsonl", *COLLECT)) == [
        "out/sick.jsonl::diagnosis"
    ]


def test_k_selects_by_path(logs: Project) -> None:
    """The option -k matches the folder and the file as they are printed."""
    logs.run("test_it.py", "--diagnose", "out", "-k", "out/sick").assert_outcomes(
        failed=1, deselected=2
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.csv"], "'nowhere.csv' does not exist; give logs or folders of logs"),
        ([""], "'' does not exist"),
        (["out/healthy.jsonl", "empty"], "'empty' holds no log of a known format"),
        (["out", "test_it.py::test_it"], "*name the tests to run before --diagnose"),
    ],
)
def test_a_path_without_a_log_is_an_error_before_anything_runs(
    logs: Project, args: list[str], said: str
) -> None:
    """The error is a usage error, and nothing is collected."""
    (logs.pytester.path / "empty").mkdir()
    result = logs.run("--diagnose", *args)
    result.stderr.fnmatch_lines([f"ERROR: --diagnose: {said}*"])
    assert (result.ret, "collected" in result.stdout.str()) == (pytest.ExitCode.USAGE_ERROR, False)


def test_logs_that_match_a_pattern_are_collected(logs: Project) -> None:
    """They are collected beside the tests, and once even if --diagnose names them too."""
    logs.pytester.makeini("[pytest]\ndiagnose_files = out/*.jsonl *.csv")
    assert collected(logs.run(*COLLECT)) == [
        "out/healthy.jsonl::diagnosis",
        "out/sick.jsonl::diagnosis",
        "test_it.py::test_it",
    ]
    logs.run(".", "--diagnose", "out").assert_outcomes(passed=2, failed=1)
    logs.run("-k", "out/sick").assert_outcomes(failed=1, deselected=2)


def test_without_option_and_pattern_nothing_is_judged(logs: Project) -> None:
    """The plugin prints nothing."""
    result = logs.run()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*probes =*")


# What becomes of each


def test_a_log_that_cannot_be_read_is_an_error_with_its_reason(logs: Project) -> None:
    """There is no traceback, and the other logs are judged."""
    written(logs, "out/cut.json", '{"log_history": [{"step": 1, "loss": 4')
    written(logs, "notes.txt", "the loss was 4\n")
    result = logs.run("--diagnose", "out", "notes.txt")
    result.assert_outcomes(passed=1, failed=1, errors=2)
    result.stdout.fnmatch_lines(
        ["*ERROR at setup of notes.txt*", "unreadable: *notes.txt is not in a known format*"]
    )
    result.stdout.fnmatch_lines(["out/cut.json * unreadable *"])
    result.stdout.no_fnmatch_line("*/probes/*.py:*")


def test_a_log_that_cannot_be_opened_is_an_error_with_its_reason(
    logs: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An example is a log that was removed after it was collected."""

    def gone(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(readers, "read", gone)
    result = logs.run("--diagnose", "out/sick.jsonl")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["unreadable: *sick.jsonl cannot be opened (No such file or directory); give a log*"]
    )


def test_a_log_that_is_too_short_is_skipped_with_the_reason(logs: Project) -> None:
    """The reason names the log, because pytest's list of skipped tests does not."""
    kept(logs, SHORT, "short")
    result = logs.run("--diagnose", "out/short.jsonl", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED*out/short.jsonl: undetermined: cannot judge: 2 points of loss; 20 are need*"]
    )


def test_with_strict_a_log_that_is_too_short_fails(logs: Project) -> None:
    """The message names the option. A healthy log still passes."""
    kept(logs, SHORT, "short")
    result = logs.run("--diagnose", "out/short.jsonl", "out/healthy.jsonl", "--diagnose-strict")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["undetermined: cannot judge: *(--diagnose-strict)"])


def test_a_log_with_a_finding_that_no_cause_explains_fails(logs: Project) -> None:
    """All signals were there to judge it, so a verdict other than healthy is an alarm."""
    kept(logs, NAMELESS, "nameless")
    result = logs.run("--diagnose", "out/nameless.jsonl")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["undetermined: no cause explains first-gradient-large, step 0: *"])


# What is allowed


def test_a_log_whose_cause_is_allowed_passes_and_the_end_says_so(logs: Project) -> None:
    result = logs.run("--diagnose", "out/sick.jsonl", "--allow", "bad-init")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["out/sick.jsonl  unhealthy  bad-init  allowed: initial-loss-high, step 0: *"]
    )


def test_allowing_another_cause_changes_nothing(logs: Project) -> None:
    """The log fails as before, and the message does not mention the allowed cause."""
    result = logs.run("--diagnose", "out/sick.jsonl", "--allow", "overfit")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["unhealthy: bad-init: initial-loss-high, step 0: *"])


def test_a_project_can_allow_causes_in_its_settings(logs: Project) -> None:
    """The causes in pyproject.toml and those of the option --allow are both allowed."""
    kept(logs, TWICE_SICK, "twice")
    logs.pytester.makepyprojecttoml('[tool.pytest]\ndiagnose_allow = ["bad-init"]')
    logs.run("--diagnose", "out").assert_outcomes(passed=2, failed=1)
    logs.run("--diagnose", "out", "--allow", "lr-zero").assert_outcomes(passed=3)


def test_a_further_cause_that_is_not_allowed_fails(logs: Project) -> None:
    """Allowing one cause does not hide another."""
    kept(logs, TWICE_SICK, "twice")
    result = logs.run("--diagnose", "out/twice.jsonl", "--allow", "lr-zero")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["unhealthy: lr-zero: allowed, but bad-init is not allowed: initial-loss-high, step 0: *"]
    )


def test_a_further_cause_that_follows_from_one_that_is_allowed_passes(logs: Project) -> None:
    """To allow a cause is to allow what it explains, but not the cause that explains it."""
    kept(logs, CONSEQUENCE, "consequence")
    logs.run("--diagnose", "out/consequence.jsonl", "--allow", "no-warmup").assert_outcomes(
        passed=1
    )
    logs.run("--diagnose", "out/consequence.jsonl", "--allow", "dead-neurons").assert_outcomes(
        failed=1
    )


def test_a_finding_that_no_cause_explains_fails_even_beside_an_allowed_cause(
    logs: Project,
) -> None:
    """Alone it would be an alarm as well."""
    kept(logs, LOOSE, "loose")
    result = logs.run("--diagnose", "out/loose.jsonl", "--allow", "lr-zero")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["unhealthy: lr-zero: allowed, but no cause explains first-gradient-large, step 0: *"]
    )


@pytest.mark.parametrize("setting", ["option", "ini"])
def test_allowing_an_unknown_cause_is_an_error_that_names_the_nearest(
    logs: Project, setting: str
) -> None:
    """The error is raised even if the session judges no log."""
    if setting == "ini":
        logs.pytester.makeini("[pytest]\ndiagnose_allow = overfitt")
    result = logs.run(*(["--allow", "overfitt"] if setting == "option" else []))
    result.stderr.fnmatch_lines(
        ["ERROR: --allow or diagnose_allow: there is no cause 'overfitt'; did you mean 'over*"]
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_an_empty_pattern_is_an_error(logs: Project) -> None:
    """An empty pattern would match no file."""
    logs.pytester.makepyprojecttoml('[tool.pytest]\ndiagnose_files = [""]')
    logs.run().stderr.fnmatch_lines(["ERROR: diagnose_files: a pattern is empty; *"])


def test_each_run_of_a_file_is_a_test(logs: Project) -> None:
    """The name of the run is in the name of the test, and in the command that draws it."""
    table = {"Step": range(40), "a b - loss": LOSSES, "c - loss": [*LOSSES[:-1], "nan"]}
    written(logs, "export.csv", csv_of(**table))
    result = logs.run("--diagnose", "export.csv", "-v")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "export.csv::diagnosis[[]a b[]] PASSED*",
            "export.csv::diagnosis[[]c[]] FAILED*",
            "draw it: python -m probes render '*export.csv[[]c[]]' -o page.html",
            "export.csv[[]c[]] *unhealthy *non-finite*",
        ],
        consecutive=False,
    )


def test_a_file_with_several_runs_is_parsed_once_for_all_of_them(
    logs: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time does not grow with the number of runs times the size of the file."""
    table = {"Step": range(40)} | {f"r{run} - loss": LOSSES for run in range(12)}
    written(logs, "export.csv", csv_of(**table))
    parsed = []

    def counted(*arguments: object) -> object:
        parsed.append(arguments)
        return separated(*arguments)

    monkeypatch.setattr(readers, "separated", counted)
    monkeypatch.setattr(readers, "only_run", None)
    logs.run("--diagnose", "export.csv").assert_outcomes(passed=12)
    assert len(parsed) == 1


# Columns


def test_a_column_is_read_as_the_signal_that_the_option_names(logs: Project) -> None:
    """The command that draws the log has the same option."""
    written(logs, "log.csv", csv_of(step=range(40), loss=[4.0] * 40, mine=LOSSES))
    logs.run("--diagnose", "log.csv").assert_outcomes(skipped=1)
    logs.run("--diagnose", "log.csv", "--diagnose-map", "loss=mine").assert_outcomes(passed=1)
    mapped = ("--diagnose-map", "step=step", "--diagnose-map", "lr=mine")
    result = logs.run("--diagnose", "log.csv", *mapped, "--diagnose-strict")
    result.stdout.fnmatch_lines(
        ["draw it: * render *log.csv --map step=step --map lr=mine -o page.html"]
    )


def test_a_column_is_read_as_the_metric_that_the_option_names(logs: Project) -> None:
    """The command that draws the log has the same option. A wrong direction is a usage error."""
    written(logs, "log.csv", csv_of(step=range(40), loss=[4.0] * 40, mine=LOSSES))
    options = ("--diagnose", "log.csv", "--diagnose-strict", "--diagnose-metric")
    logs.run(*options, "mine:up").stdout.fnmatch_lines(
        ["draw it: * render *log.csv --metric mine:up -o page.html"]
    )
    result = logs.run(*options, "mine:high")
    result.stderr.fnmatch_lines(["ERROR: --diagnose-metric: 'high' is not a direction of 'mine'*"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("pair", "said"), [("loss", "'loss' is not of the form SIGNAL=COLUMN*"), ("los=x", "*'loss'*")]
)
def test_a_wrong_mapping_is_an_error(logs: Project, pair: str, said: str) -> None:
    """The message names the nearest signal."""
    result = logs.run("--diagnose", "out", "--diagnose-map", pair)
    result.stderr.fnmatch_lines([f"ERROR: --diagnose-map: {said}"])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


# What is said


def test_a_log_that_fails_prints_its_diagnosis_its_path_and_the_command_that_draws_it(
    logs: Project,
) -> None:
    """The first line is the reason, which the summary repeats."""
    result = logs.run("--diagnose", "out")
    path = logs.pytester.path / "out/sick.jsonl"
    result.stdout.fnmatch_lines(
        [
            "*_ out/sick.jsonl _*",
            "unhealthy: bad-init: initial-loss-high, step 0: *",
            "verdict: unhealthy",
            "  remedy: *",
            f"record: {path}",
            f"draw it: python -m probes render {path} -o page.html",
            "FAILED out/sick.jsonl::diagnosis - *unhealthy: bad-init*",
        ]
    )


def test_the_end_has_a_line_for_every_log(logs: Project) -> None:
    """The lines are sorted, and their columns are aligned."""
    logs.run("--diagnose", "out").stdout.fnmatch_lines(
        [
            "*= probes =*",
            "out/healthy.jsonl  healthy    -         * detectors judged, none found anything",
            "out/sick.jsonl     unhealthy  bad-init  initial-loss-high, step 0: *",
        ],
        consecutive=True,
    )


def test_a_log_that_fails_says_how_its_steps_were_corrected_and_why_the_run_ended(
    logs: Project,
) -> None:
    """A reader who doubts a verdict checks this first."""
    written(logs, "log.csv", csv_of(step=[*range(5), *range(3, 38)], loss=[4.0, 4.1] * 20))
    kept(logs, replace(SICK, stopped=Stop(39, 100, "bad-init"), complete=False), "ended")
    result = logs.run("--diagnose", "log.csv", "out/ended.jsonl", "--diagnose-strict")
    result.stdout.fnmatch_lines(
        ["undetermined: cannot judge: the loss never fell *", "note: *resumed*"]
    )
    result.stdout.fnmatch_lines(["unhealthy: bad-init: *", f"{Stop(39, 100, 'bad-init')}"])


@pytest.mark.parametrize(
    ("name", "code"),
    [("healthy", "\x1b[32mhealthy"), ("sick", "\x1b[31munhealthy"), ("cut", "\x1b[31munreadable")],
)
def test_verdicts_are_coloured_if_the_terminal_has_colours(
    logs: Project, name: str, code: str
) -> None:
    """A log that cannot be read has no verdict and is shown in red."""
    written(logs, "out/cut.jsonl", '{"log_history": [{"step": 1, "loss": 4')
    assert (
        f"out/{name}.jsonl  {code}"
        in logs.run("--diagnose", f"out/{name}.jsonl", "--color=yes").stdout.str()
    )


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")])
def test_junit_has_the_verdict_with_its_evidence(logs: Project, workers: tuple[str, ...]) -> None:
    """JUnit XML lists them as properties of each log, also if a worker judged the log."""
    kept(logs, SHORT, "short")
    written(logs, "out/cut.json", '{"log_history": [{"step": 1, "loss": 4')
    result = logs.run("--diagnose", "out", "--junitxml=junit.xml", *workers)
    result.assert_outcomes(passed=1, failed=1, skipped=1, errors=1)
    result.stdout.fnmatch_lines(["out/sick.jsonl     unhealthy *"])
    properties = junit_properties(logs)
    assert properties["out.cut.json"].pop("evidence")
    assert properties == {
        "out.cut.json": {"verdict": "unreadable"},
        "out.healthy.jsonl": {"verdict": "healthy"},
        "out.short.jsonl": {
            "verdict": "undetermined",
            "evidence": f"cannot judge: 2 points of loss; {TOO_FEW}",
        },
        "out.sick.jsonl": {
            "verdict": "unhealthy",
            "cause": "bad-init",
            "first_step": "0",
            "evidence": "initial-loss-high, step 0: 200, limit 5.359",
        },
    }


def test_evidence_has_each_finding_once_the_decisive_one_first(logs: Project) -> None:
    """If a finding was repeated because the value became worse, only the first one is listed."""
    falling = [*LOSSES[:20], 0.1, 0.01, *[0.001] * 18]
    kept(logs, thorough(train_loss=falling, val_loss=falling), "leak")
    logs.run("--diagnose", "out/leak.jsonl", "--junitxml=junit.xml")
    assert junit_properties(logs)["out.leak.jsonl"] == {
        "verdict": "unhealthy",
        "cause": "mask-leak",
        "first_step": "20",
        "evidence": "loss-below-floor at train_loss, step 20: 0.1, limit 0.2; "
        "loss-below-floor at val_loss, step 20: 0.1, limit 0.15",
    }


def test_names_in_a_log_cannot_control_the_terminal(logs: Project) -> None:
    """The name of its file cannot either."""
    written(logs, "out/\x1b[2Jlog.csv", csv_of(step=range(3), loss=["x\x1b[2J", 1, 2]))
    result = logs.run("--diagnose", "out")
    assert "\x1b[2J" not in result.stdout.str()
    result.stdout.fnmatch_lines([r"out/\x1b[[]2Jlog.csv *"])


# Workers


def test_workers_judge_the_logs_that_existed_at_the_start(logs: Project) -> None:
    """A log that appears while workers start is collected by none of them."""
    logs.conftest(
        """
        import pathlib, pytest

        @pytest.hookimpl(optionalhook=True)
        def pytest_configure_node(node):
            pathlib.Path("out/late.jsonl").write_bytes(pathlib.Path("out/sick.jsonl").read_bytes())
        """
    )
    logs.run_on_workers("--diagnose", "out").assert_outcomes(passed=1, failed=1)


def test_a_lost_report_fails_a_session_that_judges_logs(logs: Project) -> None:
    """The session fails even if the project offers no experiments, because a lost result must not
    pass."""
    logs.tests(
        """
        import numpy

        def test_lost(record_property):
            record_property("scalar", numpy.float64(1.0))
            assert 0
        """
    )
    result = logs.run("-p", "xdist", "-n1", "-o", "diagnose_files=healthy.jsonl")
    result.stdout.fnmatch_lines(
        ["1 of the collected tests sent no report; *", "  test_it.py::test_lost"]
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
