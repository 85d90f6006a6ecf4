"""Run one detector on one record."""

import pytest

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Record


def found(detector: Detector, record: Record) -> list[Finding]:
    """The findings."""
    return list(detector.judge(Evidence(record)))


def symptoms(detector: Detector, record: Record) -> list[tuple[str, str, int]]:
    """Symptom, site and step of each finding."""
    return [(f.symptom, f.site, f.step) for f in found(detector, record)]


def why_not(detector: Detector, record: Record) -> str:
    """The reason why the detector cannot judge. Fails when it can."""
    with pytest.raises(CannotJudgeError) as reason:
        detector.judge(Evidence(record))
    return str(reason.value)
