"""The judged runs as SARIF 2.1.0, the format in which code scanners report results.

Specification: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html

A run that is unhealthy is an error, and a run that cannot be judged is a note. Healthy runs have no
result, because readers of the format show every result as something to look at. An experiment whose
tests passed has no result either, because its fault is expected. A log that cannot be read, and a
diagnosis of which a part failed, are notifications of the invocation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from probes.common.text import printable
from probes.report.github import FAILED_OUTCOMES
from probes.report.judged_run import AnyRun, UnreadRun

VERSION = "2.1.0"
SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
UNDETERMINED = "undetermined"
"""The rule of a run that cannot be judged."""
UNEXPLAINED = "unexplained-finding"
"""The rule of a run with a finding that no cause explains."""
DESCRIPTIONS: Mapping[str, str] = {
    UNDETERMINED: "The log of the run does not say enough to judge it.",
    UNEXPLAINED: "Something is wrong with the run that no known cause explains.",
}
"""Rule -> what it means, for rules that are no causes."""


@dataclass
class SarifDocument:
    """The document, built run by run, so that the records need not be kept.

    results        one entry for each run that is not healthy
    notifications  one entry for each run without a diagnosis, or with an incomplete one
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    notifications: list[dict[str, Any]] = field(default_factory=list)

    def add(self, run: AnyRun) -> None:
        """Add a run."""
        if run.kind == "experiment" and run.outcome not in FAILED_OUTCOMES:
            return
        if isinstance(run, UnreadRun):
            self._notify(run, f"{run.name}: {run.error}")
            return
        if run.failure:
            self._notify(run, run.failure)
        diagnosis = run.diagnosis
        if diagnosis.verdict == "healthy":
            return
        rule, level = diagnosis.cause or UNDETERMINED, "error" if diagnosis.cause else "note"
        if not diagnosis.cause and diagnosis.findings:
            rule, level = UNEXPLAINED, "warning"
        lines = [f"{run.name}: {diagnosis.verdict}: {diagnosis.headline}", diagnosis.remedy]
        allowed = {"kind": "external", "justification": "the test of the run allows this cause"}
        properties = {
            "run": printable(run.name), "verdict": diagnosis.verdict, "step": run.first_step,
        }  # fmt: skip
        self.results.append(
            {
                "ruleId": rule,
                "level": level,
                "message": {"text": "\n".join(printable(line) for line in lines if line)},
                **_location(run.path, run.first_line),
                **({"suppressions": [allowed]} if run.allowed else {}),
                "properties": {k: value for k, value in properties.items() if value is not None},
            }
        )

    def _notify(self, run: AnyRun, error: str) -> None:
        message, location = {"text": printable(error)}, _location(run.path, None)
        self.notifications.append({"level": "error", "message": message, **location})

    def text(self) -> str:
        """The document as JSON text in ASCII."""
        from probes.diagnosis.causes import BY_NAME

        used = dict.fromkeys(result["ruleId"] for result in self.results)
        rules = [
            {
                "id": name,
                "shortDescription": {
                    "text": BY_NAME[name].meaning if name in BY_NAME else DESCRIPTIONS[name]
                },
            }
            for name in used
        ]
        invocation: dict[str, Any] = {"executionSuccessful": not self.notifications}
        if self.notifications:
            invocation |= {"toolExecutionNotifications": self.notifications}
        run = {
            "tool": {"driver": {"name": "probes", "rules": rules}},
            "invocations": [invocation],
            "results": self.results,
        }
        return json.dumps({"$schema": SCHEMA, "version": VERSION, "runs": [run]}, indent=1) + "\n"


def document(runs: Iterable[AnyRun]) -> str:
    """The document of these runs as JSON text."""
    sarif = SarifDocument()
    for run in runs:
        sarif.add(run)
    return sarif.text()


def _location(path: str | None, line: int | None) -> dict[str, Any]:
    """The entry "locations" of a result, which names a file; {} if `path` is None.

    line  the line in the file; None if it is not known
    """
    if path is None:
        return {}
    file = Path(path)
    uri = file.as_uri() if file.is_absolute() else quote(os.fsencode(file.as_posix()))
    place: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if line is not None:
        place["region"] = {"startLine": line}
    return {"locations": [{"physicalLocation": place}]}
