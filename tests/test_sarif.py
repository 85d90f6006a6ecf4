"""The SARIF document has what SARIF 2.1.0 requires, and a result for each run with a fault."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from probes.cli import main
from probes.report.judged_run import UnreadRun, judge
from probes.report.sarif import document
from testing.logs import csv_of, curve, written
from tests.outputs import HEALTHY, HOSTILE, SHORT, SICK, judged


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """The schema of an object that has these properties and no others."""
    names: dict[str, Any] = {"properties": properties, "additionalProperties": False}
    return {"type": "object", "required": required, **names}


MESSAGE = closed(["text"], text={"type": "string", "minLength": 1})
LEVEL = {"enum": ["none", "note", "warning", "error"]}
LOCATIONS = {
    "type": "array",
    "items": closed(
        [],
        physicalLocation=closed(
            ["artifactLocation"],
            artifactLocation=closed(["uri"], uri={"type": "string", "format": "uri-reference"}),
            region=closed(["startLine"], startLine={"type": "integer", "minimum": 1}),
        ),
    ),
}
RESULT = closed(
    ["message"],
    ruleId={"type": "string"},
    level=LEVEL,
    message=MESSAGE,
    locations=LOCATIONS,
    properties={"type": "object"},
    suppressions={
        "type": "array",
        "items": closed(
            ["kind"], kind={"enum": ["inSource", "external"]}, justification={"type": "string"}
        ),
    },
)
NOTIFICATION = closed(["message"], message=MESSAGE, level=LEVEL, locations=LOCATIONS)
RULE = closed(["id"], id={"type": "string"}, shortDescription=MESSAGE)
RUN = closed(
    ["tool"],
    tool=closed(
        ["driver"],
        driver=closed(
            ["name"],
            name={"type": "string"},
            rules={"type": "array", "uniqueItems": True, "items": RULE},
        ),
    ),
    invocations={
        "type": "array",
        "items": closed(
            ["executionSuccessful"],
            executionSuccessful={"type": "boolean"},
            toolExecutionNotifications={"type": "array", "items": NOTIFICATION},
        ),
    },
    results={"type": "array", "items": RESULT},
)
SCHEMA = {
    **closed(
        ["version", "runs"],
        version={"const": "2.1.0"},
        runs={"type": "array", "items": RUN},
    ),
    "$schema": "https://json-schema.org/draft/2020-12/schema",
}
SCHEMA["properties"]["$schema"] = {"type": "string", "format": "uri"}
"""The part of the schema of SARIF 2.1.0 that the document uses."""


def parsed(text: str) -> dict[str, Any]:
    """The only run of a document, checked by the schema."""
    content = json.loads(text)
    jsonschema.validate(content, SCHEMA)
    assert text.isascii()
    (run,) = content["runs"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert rules == {result["ruleId"] for result in run["results"]}
    return dict(run)


def test_each_run_that_is_not_healthy_has_a_result() -> None:
    """A healthy run has none."""
    runs = [judged(HEALTHY, "a"), judged(SICK, "b"), judged(SHORT, "c"), judged(SICK, "d")]
    run = parsed(document(runs))
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        ("bad-init", "error"),
        ("undetermined", "note"),
        ("bad-init", "error"),
    ]
    sick = run["results"][0]
    assert sick["message"]["text"].startswith("b: unhealthy: bad-init: ")
    assert runs[1].diagnosis.remedy in sick["message"]["text"]
    assert sick["properties"] == {"run": "b", "verdict": "unhealthy", "step": 0}
    assert sick["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "b.jsonl"}}}]
    assert run["invocations"] == [{"executionSuccessful": True}]


def test_without_a_fault_there_are_no_results() -> None:
    """The document is valid all the same."""
    assert parsed(document([judged(HEALTHY)]))["results"] == []


def test_a_log_that_cannot_be_read_is_a_notification() -> None:
    """The invocation was then not successful."""
    (invocation,) = parsed(document([UnreadRun("x", "x.csv", "x.csv is damaged")]))["invocations"]
    assert invocation["executionSuccessful"] is False
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["message"]["text"] == "x: x.csv is damaged"


def test_an_allowed_cause_is_suppressed() -> None:
    """The result stays in the document."""
    (result,) = parsed(document([judged(SICK, "b", "passed", allowed=True)]))["results"]
    assert [one["kind"] for one in result["suppressions"]] == ["external"]


def test_an_experiment_is_reported_only_if_its_test_failed() -> None:
    """Its fault may be expected."""
    runs = [judged(SICK, "b", outcome, kind="experiment") for outcome in ("passed", "failed")]
    assert [len(parsed(document([run]))["results"]) for run in runs] == [0, 1]


def test_a_finding_that_no_cause_explains_is_a_warning() -> None:
    """It has a rule of its own."""
    run = judged(SICK, "b")
    diagnosis = replace(run.diagnosis, causes=(), verdict="undetermined")
    (result,) = parsed(document([replace(run, diagnosis=diagnosis)]))["results"]
    assert (result["ruleId"], result["level"]) == ("unexplained-finding", "warning")


@pytest.mark.parametrize("path", ["a b/c[d]#1.csv", "/tmp/a b.csv", HOSTILE.replace("\x1b", "")])
def test_paths_are_valid_uris(path: str) -> None:
    """Blanks and other characters are escaped."""
    (result,) = parsed(document([judge(SICK, "run", path)]))["results"]
    uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert not set(uri) & set(" []#<>\n")


def test_the_command_writes_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside what it prints, with the line of the finding. A file that cannot be written is a wrong
    command."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, csv_of(step=range(40), loss=[*curve(39), "nan"]), "bad.csv")
    assert main(["diagnose", "bad.csv", "--json", "--sarif", "out/it.sarif"]) == 1
    assert json.loads(capsys.readouterr().out)["runs"][0]["cause"] == "non-finite"
    (result,) = parsed((tmp_path / "out" / "it.sarif").read_text())["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 41}
    assert main(["diagnose", "bad.csv", "--sarif", "out"]) == 4
    assert "give another file with --sarif" in capsys.readouterr().err
