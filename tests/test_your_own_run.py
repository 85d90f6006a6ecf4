"""The commands and examples of docs/your-own-run.md and of the workflow work outside of the
repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from probes import Record, Recorder, diagnose
from probes.recording.reducers import FORMULAS
from studies.signal_table import ARRAYS, ARRAYS_BLOCK, arrays_table
from testing.marker_blocks import read_block
from tests.conftest import ROOT, Project

DOCS = ROOT / "docs"
PAGE = (DOCS / "your-own-run.md").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load((DOCS / "github-workflow.yml").read_text(encoding="utf-8"))


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(kind: str, title: str) -> list[str]:
    """The fenced blocks of one kind in a section; blocks that show output have the kind ""."""
    return [
        text
        for label, text in re.findall(r"```(\w*)\n(.*?)```", section(title), re.DOTALL)
        if label == kind
    ]


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, with this environment's programs first and without the variables
    of GitHub Actions."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GITHUB", "PYTEST"))
    }
    programs = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**kept, "PATH": programs, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def written(code: str, folder: Path) -> None:
    """Run an example of the page."""
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )


@pytest.fixture(scope="module")
def made_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the logs that the page makes. Tests do not write to it."""
    folder = tmp_path_factory.mktemp("logs")
    written(blocks("python", "In five minutes")[0], folder)
    return folder


@pytest.fixture
def new_project(made_logs: Path, tmp_path: Path) -> Path:
    """A copy of that folder, which has no other files."""
    return Path(shutil.copytree(made_logs, tmp_path, dirs_exist_ok=True))


def without_counts(output: str) -> str:
    """The page shows how many detectors there were when it was written."""
    return re.sub(r"\d+ of \d+ detectors", "some detectors", output)


def test_a_new_project_gets_to_a_failed_build(new_project: Path) -> None:
    """The page shows this command and the last lines of its output."""
    command = blocks("sh", "In five minutes")[1]
    done = shell(command, new_project)
    (shown,) = blocks("", "In five minutes")
    assert without_counts(shown) in without_counts(done.stdout)
    assert (done.returncode, command) == (1, "pytest --diagnose runs/\n")


def test_settings_in_the_project_judge_logs_in_every_session(new_project: Path) -> None:
    """The page shows the settings. A log with a cause that they do not allow fails."""
    (settings,) = blocks("toml", "In five minutes")
    (new_project / "pyproject.toml").write_text(settings, encoding="utf-8")
    done = shell("pytest", new_project)
    assert (done.returncode, "1 failed, 1 passed" in done.stdout) == (1, True)
    (new_project / "pyproject.toml").write_text(
        settings.replace("overfit", "non-finite"), encoding="utf-8"
    )
    assert shell("pytest", new_project).returncode == 0


def test_a_test_of_your_own_is_two_lines(new_project: Path) -> None:
    """The test passes on the good log. On the bad log, its assertion shows the diagnosis."""
    code = blocks("python", "In five minutes")[1]
    (new_project / "test_good.py").write_text(code, encoding="utf-8")
    (new_project / "test_bad.py").write_text(code.replace("good", "bad"), encoding="utf-8")
    done = shell("pytest -v test_good.py test_bad.py", new_project)
    outcomes = re.findall(r"^test_(\w+)\.py::\w+ (\w+)", done.stdout, re.MULTILINE)
    assert outcomes == [("good", "PASSED"), ("bad", "FAILED")]
    assert (done.returncode, "cause 1: non-finite" in done.stdout) == (1, True)


def test_a_training_loop_of_your_own_is_recorded(tmp_path: Path) -> None:
    """The record is complete and healthy, and has more signals than a log."""
    (tmp_path / "runs").mkdir()
    written(blocks("python", "Your own loop")[0], tmp_path)
    record = Record.load(tmp_path / "runs" / "mine.jsonl")
    diagnosis = diagnose(record)
    assert (record.complete, len(record.steps), diagnosis.verdict) == (True, 200, "healthy")
    assert {"initial-activation", "first-update", "initial-loss"} <= set(diagnosis.judged)


def test_every_array_that_can_be_handed_over_is_on_the_page() -> None:
    """`python -m studies.signal_table` writes the table, which has a row for each method of the
    recorder that takes arrays, and names every signal that is computed from arrays."""
    assert read_block(PAGE, ARRAYS_BLOCK) == arrays_table()
    others = {"facts", "record", "log", "close"}
    assert set(ARRAYS) == {name for name in vars(Recorder) if not name.startswith("_")} - others
    missing = {signal for signal in FORMULAS if f"`{signal}`" not in arrays_table()}
    assert missing == {"unexplained_change"}  # it needs what the optimizer says it has added


def test_machines_with_separate_checkouts_share_a_cache_and_a_page(
    project: Project, tmp_path: Path
) -> None:
    """The command is that of the page. Workers in separate folders stand in for machines."""
    project.tests(
        """
        import pytest

        @pytest.mark.parametrize("name", ["healthy", "stuck"] * 2)
        def test_it(run, name): assert run(name).record.complete
        """
    )
    command = blocks("sh", "On several machines")[0].split()
    homes = iter(tmp_path / name for name in ("one", "two"))
    arguments = [
        f"popen//chdir={next(homes)}"
        if word.startswith("ssh=")
        else word.replace("/shared", str(tmp_path))
        for word in command[1:]
    ]
    copied = [
        "-p",
        "xdist",
        "--rsyncdir",
        str(project.pytester.path),
        str(project.pytester.path / "test_it.py"),
    ]
    result = project.run(*arguments, *copied)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["healthy *trained*", "stuck *trained*", "dashboard: reports/dashboard.html"]
    )
    assert len([*tmp_path.glob("cache/d/probes/*.jsonl")]) == 2
    assert sorted(path.parents[1].name for path in tmp_path.glob("*/*/test_it.py")) == [
        "one",
        "two",
    ]


def test_the_workflow_runs(new_project: Path) -> None:
    """The test runs all steps except those that install. The step that judges fails, and the files
    to keep exist."""
    steps = WORKFLOW["jobs"]["diagnose"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert [shell(command, new_project).returncode for command in commands[1:]] == [1, 0]
    (kept,) = (step["with"]["path"] for step in steps if "upload-artifact" in step.get("uses", ""))
    assert {"junit.xml", "diagnosis.json", "runs.html"} <= {
        path.name for path in (new_project / kept).iterdir()
    }


def test_the_workflow_keeps_its_files_when_a_step_fails() -> None:
    """Every step after the one that judges always runs. Pushes and pull requests start the
    workflow."""
    steps = WORKFLOW["jobs"]["diagnose"]["steps"]
    judging = next(i for i, step in enumerate(steps) if "--diagnose" in step.get("run", ""))
    assert [step.get("if") for step in steps[judging + 1 :]] == ["always()", "always()"]
    assert WORKFLOW[True] == [
        "push",
        "pull_request",
    ]  # YAML 1.1 takes the key `on` for a truth value


def test_the_wheel_is_installed_by_its_file_name() -> None:
    """The page and the workflow use the version of pyproject.toml."""
    version = re.search(
        r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert version is not None
    wheel = f"probes-{version[1]}-py3-none-any.whl"
    installs = next(step["run"] for step in WORKFLOW["jobs"]["diagnose"]["steps"] if "run" in step)
    assert (f"pip install {wheel}" in PAGE, installs) == (True, f"pip install ./{wheel}")
