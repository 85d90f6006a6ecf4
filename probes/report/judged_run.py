"""A run with its diagnosis, made once and handed to every output.

The terminal, the dashboard, the JSON document, the Markdown summary and the GitHub annotations all
show a `JudgedRun`. None of them reads a file or diagnoses a record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from probes.diagnosis.diagnose import Diagnosis
    from probes.record import Record

Kind = Literal["experiment", "file"]
OUTCOMES = ("error", "failed", "skipped", "passed")
"""Outcomes of a test, the worst first."""


@dataclass(frozen=True)
class UnreadRun:
    """A run without a diagnosis: its log cannot be read, or its training left no record.

    path   where its file is, as outputs show it; None when there is no file
    error  why there is no diagnosis
    tests  node id of each test that used the run -> outcome of that test
    """

    name: str
    path: str | None
    error: str
    kind: Kind = "file"
    tests: Mapping[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str | None:
        """The worst outcome of its tests; None when no test used the run."""
        return worst(self.tests.values())


@dataclass(frozen=True)
class JudgedRun:
    """A run with its record and its diagnosis.

    name     as outputs show it
    record   of a run that another process judged, only how it was read and how it ended: no rows
    path     where its file is, as outputs show it; None when there is no file
    error    how training failed, when this is the record of a training that failed
    allowed  whether its test passes because the cause is allowed; None when no test judges the run
    tests    node id of each test that used the run -> outcome of that test
    """

    name: str
    record: Record
    diagnosis: Diagnosis
    path: str | None = None
    kind: Kind = "file"
    error: str | None = None
    allowed: bool | None = None
    tests: Mapping[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> str | None:
        """The worst outcome of its tests; None when no test used the run."""
        return worst(self.tests.values())

    @property
    def reader(self) -> Any:
        """How the log was read: format, columns, corrected steps. None for a record of `watch`."""
        return self.record.provenance.get("reader")

    @property
    def first_step(self) -> int | None:
        """The step of the decisive finding; without a cause, that of the first finding, if any."""
        causes, findings = self.diagnosis.causes, self.diagnosis.findings
        decisive = causes[0].evidence if causes else findings
        return decisive[0].step if decisive else None


def judge(
    record: Record, name: str | None = None, path: str | None = None, kind: Kind = "file"
) -> JudgedRun:
    """Diagnose a record. Without a name the run has that of its record."""
    from probes.diagnosis.diagnose import diagnose

    return JudgedRun(record.name if name is None else name, record, diagnose(record), path, kind)


def worst(outcomes: Iterable[str]) -> str | None:
    """The worst of some outcomes; None when there are none."""
    return min(outcomes, key=OUTCOMES.index, default=None)
