"""The JSON document that lists the judged runs of a command or of a test session.

Its schema is `probes/schema/diagnosis.schema.json`. JSON has no NaN and no infinities; the document
writes them as the strings "NaN", "Infinity" and "-Infinity", as a record does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from probes.report.judged_run import AnyRun, UnreadRun

if TYPE_CHECKING:
    from probes.diagnosis.base import Finding

VERSION = 1
"""Version of the document. It is increased when a program written for the earlier version would
misread the new one."""
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""A character that Python puts into a path for a byte that is not UTF-8. Strict readers of JSON
refuse the escape of such a character, for example `\\udc80`. The document therefore holds the six
characters of the escape as ordinary text."""


def entry(run: AnyRun) -> dict[str, Any]:
    """The entry of one run. A run without a diagnosis has the same keys, with empty values."""
    written: dict[str, Any] = {
        "name": run.name, "kind": run.kind, "path": run.path,
        "verdict": None, "cause": None, "headline": "", "reason": "", "alarm": False,
        "margin": None, "first_step": None, "remedy": "", "remarks": [],
        "causes": [], "findings": [], "judged": [], "not_judged": {}, "errors": {},
        "complete": None, "stopped": None, "reader": None,
        "error": run.error, "allowed": run.allowed, "outcome": run.outcome,
        "tests": dict(run.tests),
    }  # fmt: skip
    if isinstance(run, UnreadRun):
        return written
    diagnosis, record = run.diagnosis, run.record
    return written | {
        "verdict": diagnosis.verdict,
        "cause": diagnosis.cause,
        "headline": diagnosis.headline,
        "reason": diagnosis.reason,
        "alarm": diagnosis.alarm,
        "margin": diagnosis.margin,
        "first_step": run.first_step,
        "remedy": diagnosis.remedy,
        "remarks": list(diagnosis.remarks),
        "causes": [
            asdict(cause) | {"evidence": [_finding(one) for one in cause.evidence]}
            for cause in diagnosis.causes
        ],
        "findings": [_finding(one) for one in diagnosis.findings],
        "judged": list(diagnosis.judged),
        "not_judged": dict(diagnosis.not_judged),
        "errors": dict(diagnosis.errors),
        "complete": record.complete,
        "stopped": asdict(record.stopped) if record.stopped else None,
        "reader": run.reader,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    from probes.diagnosis.detectors import sentence_of

    return asdict(finding) | {"sentence": sentence_of(finding)}


def document(
    runs: Iterable[AnyRun],
    partial: Sequence[str] = (),
    notes: Sequence[str] = (),
    page: str | None = None,
) -> str:
    """The whole document as JSON text.

    partial  reasons why runs are missing; empty if the document lists all runs
    notes    sentences that tests recorded with the `note` fixture
    page     path of the dashboard that shows the runs; None if there is none

    A run that cannot be written becomes an entry without a diagnosis, whose `error` says why.
    """
    entries = []
    for run in runs:
        try:
            entries.append(plain_entry(run))
        except Exception as error:
            if isinstance(run, UnreadRun):
                raise
            entries.append(plain_entry(run.not_shown("written", error)))
    return document_of(entries, partial, notes, page)


def plain_entry(run: AnyRun) -> dict[str, Any]:
    """The entry of a run, of the types that JSON has: NaN and infinities are strings."""
    from probes.record.jsonl import encode

    plain: dict[str, Any] = json.loads(encode(entry(run)))
    return plain


def document_of(
    entries: Sequence[Mapping[str, Any]],
    partial: Sequence[str] = (),
    notes: Sequence[str] = (),
    page: str | None = None,
) -> str:
    """The whole document as JSON text, from the entries of its runs (`plain_entry`).

    The text is ASCII, so that a name from a log cannot send control characters to a terminal. It
    holds no "##[", which GitHub Actions would take for the beginning of a command.
    """
    content = {
        "probes_diagnosis": VERSION,
        "partial": list(partial),
        "notes": list(notes),
        "page": page,
        "runs": list(entries),
    }
    text = json.dumps(content, ensure_ascii=False)
    text = LONE_SURROGATE.sub(lambda found: rf"\\u{ord(found[0]):x}", text)
    return json.dumps(json.loads(text), indent=1).replace("##[", r"##\u005b") + "\n"


def schema() -> dict[str, Any]:
    """The JSON schema of the document, draft 2020-12."""
    from importlib.resources import files

    content: dict[str, Any] = json.loads(
        files("probes").joinpath("schema/diagnosis.schema.json").read_bytes()
    )
    return content
