"""What became of one run: its diagnosis, reduced to what is counted and published."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from calibration.conditions import SAMPLED, Planned
from calibration.health import reasons_against
from probes.diagnosis.detectors import DETECTORS
from probes.diagnosis.diagnose import Diagnosis, diagnose
from probes.record import Record

BY_SYMPTOM = {symptom: detector.name for detector in DETECTORS for symptom in detector.limits}


@dataclass(frozen=True)
class Outcome:
    """One judged run.

    said        the cause that was named first; the verdict where none was
    expected    the cause that should be; None for a run that should be called healthy
    unlabelled  why the rule of `calibration.health` does not call it healthy; only of runs that no
                break spoils
    found       the detectors that found something
    silent      detector -> why it could not judge
    """

    name: str
    condition: str
    seed: int
    said: str
    expected: str | None = None
    alarm: bool = False
    certain_since: int | None = None
    margin: float | None = None
    headline: str = ""
    unlabelled: str = ""
    found: tuple[str, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether the expected cause is named first; of a run without one, whether nobody is
        called."""
        return self.said == self.expected if self.expected else not self.alarm

    @property
    def config(self) -> str:
        """Which sampled config it is of: "07"; "" for any other run."""
        return self.name.split("-")[1] if self.condition == SAMPLED else ""

    def row(self) -> dict[str, Any]:
        """In builtins, without what is as it is by default; a headline only where something is to
        be explained."""
        values = dataclasses.asdict(self)
        if self.right and not self.alarm:
            del values["headline"]
        defaults = {f.name: f.default for f in dataclasses.fields(self)} | {"silent": {}}
        return {name: _plain(value) for name, value in values.items() if value != defaults[name]}

    @staticmethod
    def of_row(row: Mapping[str, Any]) -> Outcome:
        """The inverse of `row`, but for the headline of what needs no explaining."""
        return Outcome(**{**row, "found": tuple(row.get("found", ()))})


def outcome(planned: Planned, record: Record) -> Outcome:
    """Judge a run's record."""
    return reduced(planned, diagnose(record), "" if planned.expected else reasons_against(record))


def reduced(planned: Planned, diagnosis: Diagnosis, unlabelled: str) -> Outcome:
    """What is kept of a diagnosis."""
    return Outcome(
        name=planned.name,
        condition=planned.condition,
        seed=planned.config.seed,
        said=diagnosis.cause or diagnosis.verdict,
        expected=planned.expected,
        alarm=diagnosis.alarm,
        certain_since=diagnosis.causes[0].certain_since if diagnosis.causes else None,
        margin=diagnosis.margin,
        headline=diagnosis.headline,
        unlabelled=unlabelled,
        found=tuple(
            dict.fromkeys(BY_SYMPTOM.get(f.symptom, f.symptom) for f in diagnosis.findings)
        ),
        silent=dict(diagnosis.not_judged),
    )


def _plain(value: object) -> object:
    """Builtins for JSON, which has no infinity and no NaN."""
    if isinstance(value, float) and not isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
