"""Looking apparatus for training runs: watch one, keep a forensic record, diagnose it, draw it.

Public names are resolved on first use (PEP 562), so that loading the pytest plugin imports neither numpy nor pygal.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probes.dashboard import render
    from probes.diagnosis import Diagnosis, diagnose
    from probes.experiment import Experiment
    from probes.inspector import HookHandle, Inspector
    from probes.readers import read
    from probes.record import Record, RecordError
    from probes.recorder import Recorder
    from probes.regression import regressed
    from probes.watching import watch

_HOMES = {
    "Diagnosis": "probes.diagnosis",
    "Experiment": "probes.experiment",
    "HookHandle": "probes.inspector",
    "Inspector": "probes.inspector",
    "Record": "probes.record",
    "RecordError": "probes.record",
    "Recorder": "probes.recorder",
    "diagnose": "probes.diagnosis",
    "read": "probes.readers",
    "regressed": "probes.regression",
    "render": "probes.dashboard",
    "watch": "probes.watching",
}

__all__ = [
    "Diagnosis",
    "Experiment",
    "HookHandle",
    "Inspector",
    "Record",
    "RecordError",
    "Recorder",
    "diagnose",
    "read",
    "regressed",
    "render",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'probes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
