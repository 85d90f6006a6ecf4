"""The JSON document of judged runs: valid by its schema, and as complete as the diagnoses."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from math import inf, nan
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from probes.cli import main
from probes.diagnosis.detectors import sentence_of
from probes.record import Record, Stop
from probes.recording.recorder import save
from probes.report.json_report import document, schema
from probes.report.judged_run import AnyRun, UnreadRun
from testing.logs import csv_of
from tests.outputs import HOSTILE, SICK, judged, parsed_json
from tests.records import changed, hand_made, sound, thorough

LOSSES = sound()["loss"]


def entry(run: AnyRun) -> dict[str, Any]:
    """The run's entry in a document."""
    (found,) = parsed_json(document([run]))["runs"]
    return dict(found)


def test_the_schema_is_a_schema() -> None:
    """A schema with a mistake in it might accept everything."""
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
def test_every_diagnosis_is_valid_by_the_schema(record: Record) -> None:
    """Values that are not finite, findings at sites, a stopped run, records with hardly a row."""
    run = judged(record)
    written = entry(run)
    assert (written["verdict"], written["complete"]) == (run.diagnosis.verdict, record.complete)


def test_an_entry_holds_the_whole_diagnosis() -> None:
    falling = [*LOSSES[:20], *[0.1] * 20]
    run = judged(thorough(train_loss=falling, val_loss=falling))
    diagnosis, written = run.diagnosis, entry(run)
    assert (written["cause"], written["first_step"]) == ("mask-leak", 20)
    assert written["remedy"] == diagnosis.remedy
    assert [cause["name"] for cause in written["causes"]] == [c.name for c in diagnosis.causes]
    assert written["causes"][0]["evidence"][0] == written["findings"][0]
    assert written["findings"] == [
        asdict(finding) | {"sentence": sentence_of(finding)} for finding in diagnosis.findings
    ]
    assert written["judged"] == list(diagnosis.judged)
    assert written["not_judged"] == diagnosis.not_judged


def test_a_value_that_is_not_finite_is_the_same_string_as_in_a_record() -> None:
    written = entry(judged(changed(grad_norm=[inf, *[1.0] * 39])))
    assert {"Infinity", 1} & {finding["observed"] for finding in written["findings"]}


def test_an_unread_run_has_an_error_and_no_verdict() -> None:
    written = entry(UnreadRun("a", None, "gone"))
    assert (written["verdict"], written["error"], written["path"]) == (None, "gone", None)


def test_a_run_has_its_tests_and_their_worst_outcome() -> None:
    written = entry(judged(SICK, tests={"test_a": "passed", "test_b": "failed"}))
    assert written["tests"] == {"test_a": "passed", "test_b": "failed"}
    assert written["outcome"] == "failed"


def test_the_command_line_prints_the_same_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The paths are a record, a log, and a path that does not exist. The document says how the log
    was read."""
    monkeypatch.chdir(tmp_path)
    save(SICK, "sick.jsonl")
    Path("log.csv").write_text(csv_of(step=range(40), loss=LOSSES), encoding="utf-8")
    main(["diagnose", "--json", "sick.jsonl", "log.csv", "nowhere"])
    content = parsed_json(capsys.readouterr().out)
    assert [(run["name"], run["verdict"]) for run in content["runs"]] == [
        ("sick.jsonl", "unhealthy"),
        ("log.csv", "healthy"),
        ("nowhere", None),
    ]
    assert content["runs"][1]["reader"]["mapped"] == {"loss": "loss"}
    assert content["runs"][0] == {**entry(judged(SICK, "sick")), "name": "sick.jsonl"}


def test_a_document_is_ascii() -> None:
    """A name from a log cannot send control characters to a terminal."""
    assert document([judged(SICK, HOSTILE + "ñ")]).isascii()
    assert json.loads(document([judged(SICK, HOSTILE)]))["runs"][0]["name"] == HOSTILE
