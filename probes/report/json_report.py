"""Diagnosed runs as plain data: one document, whose JSON schema is
`probes/schema/diagnosis.schema.json`.

Numbers that JSON lacks are the strings that a record has for them (docs/record.md).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from probes.diagnosis.diagnose import Diagnosis
    from probes.record import Record

VERSION = 1
"""Of the document: goes up when a reader of the version before would misunderstand it."""
Entry = dict[str, Any]
Kind = Literal["experiment", "file"]


def entry(
    name: str, path: str | None, record: Record, diagnosis: Diagnosis, kind: Kind = "file"
) -> Entry:
    """A run that was judged."""
    return {
        **unjudged(name, path, None, kind),
        "verdict": diagnosis.verdict,
        "cause": diagnosis.cause,
        "headline": diagnosis.headline,
        "reason": diagnosis.reason,
        "alarm": diagnosis.alarm,
        "margin": diagnosis.margin,
        "first_step": first_step(diagnosis),
        "remedy": diagnosis.remedy,
        "remarks": list(diagnosis.remarks),
        "causes": [asdict(cause) for cause in diagnosis.causes],
        "findings": [asdict(finding) for finding in diagnosis.findings],
        "judged": list(diagnosis.judged),
        "not_judged": dict(diagnosis.not_judged),
        "complete": record.complete,
        "stopped": asdict(record.stopped) if record.stopped else None,
        "reader": record.provenance.get("reader"),
    }


def unjudged(name: str, path: str | None, error: str | None, kind: Kind = "file") -> Entry:
    """A run that could not be read, or of whose training nothing is left; `error` says why."""
    return {
        "name": name, "kind": kind, "path": path, "verdict": None, "cause": None, "headline": "", "reason": "",
        "alarm": False, "margin": None, "first_step": None, "remedy": "", "remarks": [], "causes": [], "findings": [],
        "judged": [], "not_judged": {}, "complete": None, "stopped": None, "reader": None, "error": error,
        "allowed": None, "outcome": None, "tests": {},
    }  # fmt: skip


def first_step(diagnosis: Diagnosis) -> int | None:
    """The step of the decisive finding; of the first one where no cause is named."""
    decisive = diagnosis.causes[0].evidence if diagnosis.causes else diagnosis.findings
    return decisive[0].step if decisive else None


def document(
    runs: Sequence[Entry],
    partial: Sequence[str] = (),
    notes: Sequence[str] = (),
    page: str | None = None,
) -> dict[str, Any]:
    """All there is to tell of a session, or of a command.

    partial  why the runs are not all there are
    page     where they are drawn
    """
    content = {
        "probes_diagnosis": VERSION,
        "partial": list(partial),
        "notes": list(notes),
        "page": page,
        "runs": list(runs),
    }
    written: dict[str, Any] = plain(content)
    return written


def plain(value: Any) -> Any:
    """The value as JSON has it: strings for what is not finite, lists for tuples and arrays."""
    from probes.recording.recorder import encode

    return json.loads(encode(value))


def dumped(content: dict[str, Any]) -> str:
    """The document as text, in ASCII, so that no name from a log can steer a terminal."""
    return json.dumps(content, indent=1) + "\n"


def write(content: dict[str, Any], path: Path) -> Path:
    """Put the document in its place in one go: whoever opens it sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(dumped(content), encoding="utf-8")
    os.replace(draft, path)
    return path


def schema() -> dict[str, Any]:
    """The document's JSON schema, draft 2020-12."""
    content: dict[str, Any] = json.loads(
        files("probes").joinpath("schema/diagnosis.schema.json").read_bytes()
    )
    return content
