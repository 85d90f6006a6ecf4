"""Diagnosed runs as data, as Markdown and as annotations, each read back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from math import inf, nan
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from probes.cli import main
from probes.diagnosis.diagnose import diagnose
from probes.record import Record, Stop
from probes.recording.recorder import save
from probes.report import github, markdown
from probes.report.json_report import Entry, document, dumped, entry, schema, unjudged, write
from testing.logs import csv_of
from tests.records import changed, hand_made, sound, thorough

LOSSES = sound()["loss"]
SICK = changed(loss=[200.0, *LOSSES[1:]])
HOSTILE = (
    "a|b`c<i>*d*_e_[f](g)\\|\x1b[2J\n::error::h,100%\rw3 www.i.org http://j.org k@l.org ~~m~~ #1"
)
GITHUB = Path("/home/runner/work/it/it")


def valid(text: str) -> dict[str, Any]:
    """The document, which is JSON in the strict sense and as its schema says."""
    content: dict[str, Any] = json.loads(
        text, parse_constant=lambda token: pytest.fail(f"{token} is not JSON")
    )
    jsonschema.Draft202012Validator(schema()).validate(content)
    return content


def told(record: Record, name: str = "run", **more: Any) -> Entry:
    return {**entry(name, f"{name}.jsonl", record, diagnose(record)), **more}


# Data


def test_the_schema_is_one() -> None:
    """A mistake in it would let everything pass."""
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    "record",
    [
        changed(),
        SICK,
        changed(loss=[inf, *LOSSES[1:]], grad_norm=[nan, -inf, *[1.0] * 38]),
        thorough(
            dead_fraction={"ffn": [0.9] * 40},
            update_weight_ratio={"up": [0.9] * 40, "down": [0.01] * 40},
        ),
        hand_made({"loss": [4.2, 4.1]}),
        hand_made({}),
        replace(SICK, stopped=Stop(39, None, "bad-init"), complete=False),
        hand_made({"nonfinite_count": {HOSTILE: [1.0]}, "loss": [4.2]}, total_steps=HOSTILE),
    ],
)
def test_whatever_was_diagnosed_is_as_the_schema_says(record: Record) -> None:
    """Values that are not finite, findings that have sites, a run that was ended, hardly anything
    at all."""
    (run,) = valid(dumped(document([told(record)])))["runs"]
    assert (run["verdict"], run["complete"]) == (diagnose(record).verdict, record.complete)


def test_a_run_says_all_that_its_diagnosis_does() -> None:
    """The first step is that of the decisive finding."""
    falling = [*LOSSES[:20], *[0.1] * 20]
    record = thorough(train_loss=falling, val_loss=falling)
    diagnosis = diagnose(record)
    (run,) = valid(dumped(document([told(record)])))["runs"]
    assert (run["cause"], run["first_step"], run["remedy"]) == ("mask-leak", 20, diagnosis.remedy)
    assert [cause["name"] for cause in run["causes"]] == [cause.name for cause in diagnosis.causes]
    assert run["causes"][0]["evidence"][0] == run["findings"][0]
    assert run["findings"][0]["site"] in ("train_loss", "val_loss")
    assert (run["judged"], run["not_judged"]) == (list(diagnosis.judged), diagnosis.not_judged)


def test_the_first_step_is_the_decisive_one_though_something_else_was_found_before() -> None:
    """A first gradient that no cause here explains."""
    falling = [*LOSSES[:20], *[0.1] * 20]
    run = told(thorough(train_loss=falling, val_loss=falling, grad_norm=[30.0] + [1.0] * 39))
    assert (run["findings"][0]["step"], run["cause"], run["first_step"]) == (0, "mask-leak", 20)


def test_without_a_cause_the_first_step_is_that_of_the_first_finding() -> None:
    """And there is none where nothing was found."""
    loose = told(changed(grad_norm=[30.0] + [1.0] * 39))
    assert (loose["verdict"], loose["cause"], loose["first_step"]) == ("undetermined", None, 0)
    assert told(changed())["first_step"] is None


def test_a_value_that_is_not_finite_is_spelled_as_in_a_record() -> None:
    (run,) = valid(dumped(document([told(changed(grad_norm=[inf, *[1.0] * 39]))])))["runs"]
    assert {"Infinity", 1} & {finding["observed"] for finding in run["findings"]}


def test_a_run_that_could_not_be_read_has_an_error_and_no_verdict() -> None:
    (run,) = valid(dumped(document([unjudged("a", None, "gone")])))["runs"]
    assert (run["verdict"], run["error"], run["path"]) == (None, "gone", None)


def test_the_command_line_prints_the_same_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log, with how it was read, and one that cannot be."""
    monkeypatch.chdir(tmp_path)
    save(SICK, "sick.jsonl")
    Path("log.csv").write_text(csv_of(step=range(40), loss=LOSSES), encoding="utf-8")
    main(["diagnose", "--json", "sick.jsonl", "log.csv", "nowhere"])
    content = valid(capsys.readouterr().out)
    assert [(run["name"], run["verdict"]) for run in content["runs"]] == [
        ("sick.jsonl", "unhealthy"),
        ("log.csv", "healthy"),
        ("nowhere", None),
    ]
    assert content["runs"][1]["reader"]["mapped"] == {"loss": "loss"}
    assert content["runs"][0] == {
        **valid(dumped(document([told(SICK, "sick")])))["runs"][0],
        "name": "sick.jsonl",
    }


def test_writing_leaves_nothing_but_the_document(tmp_path: Path) -> None:
    """In a folder that it makes, over an earlier one."""
    for name in "ab":
        path = write(document([told(SICK, name)]), tmp_path / "new" / "it.json")
    assert [file.name for file in path.parent.iterdir()] == ["it.json"]
    assert valid(path.read_text(encoding="utf-8"))["runs"][0]["name"] == "b"


# Markdown


def rows(text: str) -> list[list[str]]:
    """The cells of the table, as they are read, without its two lines of head."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[unescape(re.sub("</?span>", "", cell)).strip() for cell in line] for line in lines[2:]]


def test_the_summary_has_a_row_for_each_run_the_sick_ones_first() -> None:
    """With what to look at and what to do."""
    content = document(
        [told(changed(), "a"), told(SICK, "b", allowed=True), unjudged("c", "c.csv", "it is cut")]
    )
    text = markdown.summary(content)
    sick, unread, healthy = rows(text)
    assert sick[:4] == ["b", "unhealthy, allowed", "bad-init", "0"]
    assert sick[4].startswith("initial-loss-high, step 0: 200")
    assert sick[5:] == [diagnose(SICK).remedy, "b.jsonl"]
    assert unread == ["c", "not judged", "", "", "it is cut", "", "c.csv"]
    assert healthy[:4] == ["a", "healthy", "", ""]
    assert (
        "none found anything; remark: lr starts at its peak: 0.02 at step 0; remark: still falling"
        in healthy[4]
    )
    assert text.startswith("### Training diagnosis: 1 unhealthy, 1 not judged, 1 healthy\n")


def test_the_summary_has_the_remarks_for_which_a_cell_has_room() -> None:
    """After the evidence, each as a whole; and a cause has what else it may be with it."""
    sick = told(SICK, remarks=["lr is constant: 0.01", "x" * markdown.LONGEST, "and short"])
    sick["causes"][0]["or_else"] = ["lr-too-high"]
    sick["headline"] = "bad-init or lr-too-high: initial-loss-high, step 0"
    ((_, _, cause, _, evidence, *_),) = rows(markdown.summary(document([sick])))
    assert cause == "bad-init or lr-too-high"
    assert evidence == "initial-loss-high, step 0; remark: lr is constant: 0.01; remark: and short"


def test_the_summary_says_where_the_page_is_what_is_missing_and_what_tests_had_to_say() -> None:
    content = document([told(changed())], ["only this ran"], ["it cost 3 %"], "reports/page.html")
    text = markdown.summary(content)
    assert "\nPartial: only this ran.\n" in text
    assert "\nNote: it cost 3 %\n" in text
    assert "\nDashboard: reports/page.html\n" in text


def test_no_name_becomes_markup() -> None:
    """It is read as it is; only what could steer a terminal is gone."""
    text = markdown.summary(document([told(SICK, HOSTILE)], [HOSTILE], [HOSTILE]))
    ((name, *_),) = rows(text)
    assert name == " ".join(HOSTILE.split()).replace("\x1b", "\N{REPLACEMENT CHARACTER}")
    assert text.count("&#64;") == text.count("<span>&#64;</span>") == 4
    for line in text.splitlines():
        if not line.startswith(("###", "| ---")):
            inner = line.replace("<span>&#64;</span>", "").replace("| ", "").removesuffix("|")
            assert not re.search(
                r"[|`<>*_\[\]\\~:@]|#(?!\d+;)|www\.", re.sub("^(Note|Partial):", "", inner)
            ), line


def test_a_summary_does_not_grow_without_bounds() -> None:
    """GitHub refuses one of more than a mebibyte."""
    text = markdown.summary(document([told(SICK, "@" * 10_000, path="@" * 10_000)] * 400))
    assert markdown.MOST_BYTES * 0.9 < len(text.encode()) < markdown.MOST_BYTES * 1.1
    assert f"\nand {400 - len(rows(text))} more\n" in text
    assert len({len(row) for row in rows(text)}) == 1


def test_a_summary_is_added_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("before\n", encoding="utf-8")
    markdown.append(document([told(SICK)]), path)
    assert path.read_text(encoding="utf-8").startswith("before\n### Training diagnosis")


# Annotations


def commands(*runs: Entry) -> list[str]:
    return list(github.commands(document(runs), GITHUB / "sub", str(GITHUB)))


def parsed(command: str) -> tuple[str, dict[str, str], str]:
    """Kind, properties and message, as the runner takes a command apart."""
    found = re.fullmatch(r"::(\w+) (.*?)::(.*)", command)
    assert found, command
    properties = dict(one.split("=", 1) for one in found[2].split(","))
    return (
        found[1],
        {name: _unescaped(value, ",:") for name, value in properties.items()},
        _unescaped(found[3]),
    )


def _unescaped(text: str, more: str = "") -> str:
    for letter in "\r\n" + more + "%":
        text = text.replace(f"%{ord(letter):02X}", letter)
    return text


def test_a_run_that_turned_a_test_red_is_an_error_at_its_log() -> None:
    """Told from the repository, though pytest's root lies below it."""
    kind, properties, message = parsed(*commands(told(SICK, "out", outcome="failed")))
    assert (kind, properties) == ("error", {"file": "sub/out.jsonl", "title": "out: bad-init"})
    assert message.splitlines()[1:] == [diagnose(SICK).remedy, "record: out.jsonl"]


def test_an_experiment_is_an_error_at_the_first_test_that_it_turned_red() -> None:
    """Its record lies in a cache."""
    tests = {"test_a.py::test_it": "passed", "test_b.py::test_it[x]": "failed"}
    _, properties, _ = parsed(
        *commands(told(SICK, kind="experiment", outcome="failed", tests=tests))
    )
    assert properties["file"] == "sub/test_b.py"


def test_a_log_that_was_not_judged_is_a_warning_after_all_errors() -> None:
    short = told(hand_made({"loss": [4.2, 4.1]}), outcome="skipped")
    found = [
        parsed(command)
        for command in commands(short, unjudged("c", "c.csv", "it is cut") | {"outcome": "error"})
    ]
    assert [(kind, properties["title"]) for kind, properties, _ in found] == [
        ("error", "c: not judged"),
        ("warning", "run: undetermined"),
    ]
    assert found[0][2] == "it is cut\nrecord: c.csv"


@pytest.mark.parametrize(
    "run",
    [
        told(SICK, outcome="passed"),
        told(SICK, outcome=None),
        told(changed(), outcome="failed"),
        told(hand_made({"loss": [4.2]}), kind="experiment", outcome="skipped"),
        told(hand_made({"loss": [4.2]}), outcome=None),
    ],
)
def test_nothing_is_said_of(run: Entry) -> None:
    """What was expected, what no test asked about, what is well, a test that was skipped."""
    assert commands(run) == []


def test_no_name_ends_a_command_or_begins_another() -> None:
    """The title is what the name was, but for what steers a terminal."""
    (command,) = commands(told(SICK, HOSTILE, outcome="failed"))
    assert not re.search("[\r\n\x1b]", command)
    _, properties, _ = parsed(command)
    shown = re.sub("[\x1b\r\n]", "\N{REPLACEMENT CHARACTER}", HOSTILE)
    assert properties["title"] == f"{shown}: bad-init"
    assert len(properties) == 2


def test_several_lines_of_a_message_are_one_command() -> None:
    """And a per cent sign is none of theirs."""
    (command,) = commands(unjudged("c", "50%.csv", "at 50%0A") | {"outcome": "error"})
    assert (
        command
        == "::error file=sub/50%25.csv,title=c%3A not judged::at 50%250A%0Arecord: 50%25.csv"
    )
