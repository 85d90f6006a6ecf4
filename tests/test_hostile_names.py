"""Names from outside are data: no output takes one for markup, for a command or for a separator."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from probes import Record
from probes.cli import main
from probes.plugin import terminal
from probes.plugin.session import Failure
from probes.report import github, json_report, markdown, pytest_html, sarif
from probes.report.html import render
from probes.report.judged_run import AnyRun, UnreadRun, from_json, judge, to_json
from tests.conftest import Project
from tests.hostile import HOSTILE_NAMES, faults, file_name
from tests.outputs import parsed_command, parsed_json
from tests.records import FACTS, hand_made, sound

PLAIN = "plain"
"""A harmless name. The outputs must have the same structure with every other name."""
NAMES = pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)


def record(name: str) -> Record:
    """A run with a loss that is too high, a dead layer and a metric, in which everything that may
    come from outside has this name."""
    points = len(sound()["loss"])
    return hand_made(
        {
            **sound(),
            "loss": [200.0, *sound()["loss"][1:]],
            "val_loss": sound()["loss"],
            "dead_fraction": {name: [0.0, *[1.0] * (points - 1)]},
            "nonfinite_count": {name: [0.0] * (points - 1) + [1.0]},
            "metric": {name: [0.1 + 0.01 * i for i in range(points)]},
        },
        provenance={"name": name, "seed": name, name: name},
        **{**FACTS, name: name, "schedule": name},
    )


def runs(name: str) -> list[AnyRun]:
    """A run that failed its test, one whose training failed, and a log that cannot be read."""
    path = file_name(name)
    judged = replace(judge(record(name), name, path), tests={"node::id": "failed"})
    died = replace(judged, error=name, kind="experiment")
    return [judged, died, UnreadRun(name, path, f"{name}: {name}", tests={"node::id": "error"})]


class Structure(HTMLParser):
    """The tags of a page with the names of their attributes, in order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))


def drawn_page(name: str, folder: Path) -> str:
    judged, died, _ = runs(name)
    page = render([judged, died], folder / "page.html", notes=[name])  # type: ignore[list-item]
    return page.read_text(encoding="utf-8")


@cache
def plain_tags(folder: Path) -> list[tuple[str, ...]]:
    """The tags of the page with a harmless name, which is drawn once."""
    return Structure(drawn_page(PLAIN, folder)).tags


@NAMES
def test_a_page_has_the_same_elements_with_every_name(tmp_path: Path, name: str) -> None:
    """No name ends an element, begins one or adds an attribute. Names are cut."""
    page = drawn_page(name, tmp_path)
    assert Structure(page).tags == plain_tags(tmp_path.parent)
    assert faults(re.sub("[\n\t]", " ", page)) == []
    assert len(page) < 2_000_000


@NAMES
def test_panels_in_another_page_have_the_same_elements_with_every_name(name: str) -> None:
    """pytest-html inserts them into its report."""
    made, plain = (pytest_html.panels(runs(one)[0], one) for one in (name, PLAIN))  # type: ignore[arg-type]
    assert Structure(made).tags == Structure(plain).tags
    assert faults(made.replace("\n", " ")) == []


@NAMES
def test_a_summary_has_the_same_lines_and_cells_with_every_name(name: str) -> None:
    """Every character of a name with which markup can begin is escaped."""
    made, plain = (
        markdown.summary(runs(one), partial=[one], notes=[one], page=one).split("\n")
        for one in (name, PLAIN)
    )
    assert len(made) == len(plain)
    assert [line.count("|") for line in made] == [line.count("|") for line in plain]
    assert faults("\n".join(made)) == []
    for line in [line for line in made if not line.startswith("### ")]:
        markup = re.sub(r"^\| -.*|^\w+:|<span>&#64;</span>|&#\d+;|\|", "", line)
        assert not re.search(r"[`<>*_\[\]\\~:@#]|www\.", markup), line


@NAMES
def test_documents_are_valid_with_every_name(name: str) -> None:
    """They are in ASCII, and hold no lone surrogates, which strict readers of JSON refuse."""
    for text in (
        json_report.document(runs(name), [name], [name], name),
        sarif.document(runs(name)),
    ):
        assert text.isascii()
        assert faults(text) == []
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    entries = parsed_json(json_report.document(runs(name)))["runs"]
    shown = name.encode("utf-8", "backslashreplace").decode()
    assert [entry["name"] for entry in entries] == [shown] * 3


@NAMES
def test_annotations_are_one_command_each_with_every_name(tmp_path: Path, name: str) -> None:
    """A name adds no property and no further command."""
    commands = list(github.workflow_commands(runs(name), tmp_path, None))
    assert len(commands) == 3
    for command in commands:
        assert command.isprintable()
        level, properties, _ = parsed_command(command)
        assert (level, list(properties)) == ("error", ["file", "title"])


@NAMES
def test_lines_on_the_terminal_are_printable_with_every_name(name: str) -> None:
    """They neither control the terminal nor look like a command to GitHub Actions."""
    lines = [
        *terminal.unfinished_training(Failure("name", "failed", name, name)),
        *terminal.outputs({"dashboard": name}, [name]),
        *terminal.crashes_and_missing_tests([name], [name]),
        terminal.note(name),
        terminal.red_line(name),
    ]
    assert faults("\n".join("".join(text for text, _ in line) for line in lines)) == []


@NAMES
def test_a_worker_sends_every_name_unchanged(name: str) -> None:
    """The controller gets what it would get without workers."""
    for run in runs(name):
        received = from_json(to_json(run))
        assert (received.name, received.path, received.error) == (run.name, run.path, run.error)


# Whole commands on logs with hostile names

CELL_LENGTH = 5000
"""A log repeats the names of its columns and runs in every row, so they are cut."""


def log(name: str, has_runs: bool) -> str:
    """A CSV with a column and, if wanted, a run of this name, and a loss that rises."""
    kept = re.sub("[\\x00-\\x1a\\x1c-\\x1f]", "", name[:CELL_LENGTH])  # ESC may be in a table
    cell = '"' + kept.replace('"', '""') + '"'
    losses = [value / 9 for value in range(30, 60)]
    if not has_runs:
        return "\n".join(["step,loss", *(f"{step},{loss}" for step, loss in enumerate(losses)), ""])
    rows = [f"{run},{step},{loss},1" for run in (cell, "other") for step, loss in enumerate(losses)]
    return "\n".join([f"run,step,loss,{cell}", *rows, ""])


@pytest.fixture
def hostile_logs(project: Project) -> list[str]:
    """The paths of logs with hostile names, every second one with hostile columns and runs."""
    folder = project.pytester.path / "logs"
    folder.mkdir()
    for number, name in enumerate(HOSTILE_NAMES.values()):
        path = folder / file_name(name)
        path.write_bytes(log(name, number % 2 == 1).encode("utf-8", "backslashreplace"))
    return [f"logs/{name}" for name in sorted(os.listdir(folder))]


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n2")], ids=["alone", "workers"])
def test_a_session_survives_every_name(
    hostile_logs: list[str],
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    workers: tuple[str, ...],
) -> None:
    """Every log has a test with a node id of its own, in every output."""
    summary = project.pytester.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    outputs = ("--junitxml=junit.xml", "--diagnosis-sarif=verdicts.sarif")
    result = project.run(*workers, "-vv", "--diagnose", *hostile_logs, *outputs)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert faults("\n".join([*result.outlines, *result.errlines])) == []
    entries = parsed_json(project.document.read_text(encoding="utf-8"))["runs"]
    shown = [path.encode("utf-8", "backslashreplace").decode() for path in hostile_logs]
    assert sorted({entry["path"] for entry in entries}) == sorted(shown)
    node_ids = [node_id for entry in entries for node_id in entry["tests"]]
    assert len(set(node_ids)) == len(entries) > len(hostile_logs)
    assert all(node_id.count("::") == 1 for node_id in node_ids)
    cases = ElementTree.parse(project.pytester.path / "junit.xml").findall(".//testcase")
    assert len(cases) == len(entries)
    results = json.loads((project.pytester.path / "verdicts.sarif").read_bytes())["runs"][0]
    assert len(results["results"]) == len(entries)
    rows = [line for line in summary.read_text(encoding="utf-8").split("\n") if line[:1] == "|"]
    assert len(rows) == len(entries) + 2


def test_annotations_of_a_session_are_its_only_commands(
    hostile_logs: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = project.run("--diagnose", "logs")
    document = parsed_json(project.document.read_text(encoding="utf-8"))
    commands = [line for line in result.outlines if faults(line)]
    assert [parsed_command(line)[0] for line in commands] == ["error"] * len(document["runs"])


@pytest.mark.parametrize(
    "command", [("diagnose", "--columns"), ("diagnose", "--json"), ("render", "-o", "page.html")]
)
def test_a_command_survives_every_name(
    hostile_logs: list[str], capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    code = main([*command, "--", *hostile_logs])
    out, err = capsys.readouterr()
    assert (code, err) == (0 if command[0] == "render" else 1, "")
    assert faults(out) == []


# Errors of trainings

DIES = """
class Specimen:
    def facts(self):
        raise ArithmeticError({message!r})

def pytest_probes_experiments(config):
    from probes import Experiment
    return {{"dies": Experiment(Specimen, "1", "rest")}}
"""


@NAMES
def test_the_error_of_a_training_may_hold_any_text(project: Project, name: str) -> None:
    """The terminal, JUnit XML and the document show it in a form that is fit for them."""
    project.conftest(DIES.format(message=name))
    project.tests("def test_it(run): run('dies')")
    result = project.run("--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert faults("\n".join([*result.outlines, *result.errlines])) == []
    ElementTree.parse(project.pytester.path / "junit.xml")
    (entry,) = parsed_json(project.document.read_text(encoding="utf-8"))["runs"]
    assert entry["error"].startswith("failed in training: ArithmeticError: ")
