"""The outcome of one run: its diagnosis, reduced to what is counted and published."""

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

DETECTOR_OF_SYMPTOM = {
    symptom.name: detector.name for detector in DETECTORS for symptom in detector.symptoms
}


@dataclass(frozen=True)
class Outcome:
    """One judged run.

    said           the cause that was named first, or the verdict when no cause was named
    expected       the cause that should be named first; None when no cause should be named
    certain_since  the step from which every longer record names the same cause first
    margin         its lead over the next cause, a difference of log10; None for a sole cause
    headline       the evidence in a sentence
    unlabelled     why the rule of `calibration.health` does not call the run healthy; "" for runs
                   with an expected cause
    found          the detectors that found something
    silent         detector -> why it could not judge
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
        """Whether the expected cause is named first or, where none is expected, there is no
        alarm."""
        return self.said == self.expected if self.expected else not self.alarm

    @property
    def config(self) -> str:
        """The number of the sampled config, such as "07"; "" for any other run."""
        return self.name.split("-")[1] if self.condition == SAMPLED else ""

    def row(self) -> dict[str, Any]:
        """Builtin values, without those that have their default. The headline is kept only for
        wrong outcomes and alarms."""
        values = dataclasses.asdict(self)
        if self.right and not self.alarm:
            del values["headline"]
        defaults = {f.name: f.default for f in dataclasses.fields(self)} | {"silent": {}}
        return {name: _for_json(value) for name, value in values.items() if value != defaults[name]}

    @staticmethod
    def of_row(row: Mapping[str, Any]) -> Outcome:
        """The inverse of `row`, except for a headline that was left out."""
        return Outcome(**{**row, "found": tuple(row.get("found", ()))})


def judge(planned: Planned, record: Record) -> Outcome:
    """Diagnose the record of a run."""
    label = "" if planned.expected else reasons_against(record)
    return summarise(planned, diagnose(record), label)


def summarise(planned: Planned, diagnosis: Diagnosis, unlabelled: str) -> Outcome:
    """Keep of a diagnosis what is counted and published."""
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
            dict.fromkeys(DETECTOR_OF_SYMPTOM.get(f.symptom, f.symptom) for f in diagnosis.findings)
        ),
        silent=dict(diagnosis.not_judged),
    )


def _for_json(value: object) -> object:
    """JSON has no infinity and no NaN."""
    if isinstance(value, float) and not isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
