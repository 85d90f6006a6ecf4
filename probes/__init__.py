"""Watch the training of a neural network, record it, diagnose the record and draw it.

Public names are imported on first use (PEP 562), so that loading the pytest plugin imports
neither numpy nor pygal.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probes.compare import regressed
    from probes.diagnosis.diagnose import Diagnosis, diagnose
    from probes.plugin.experiments import Experiment
    from probes.readers import read, read_all
    from probes.record import Record, RecordError
    from probes.recording.inspector import HookHandle, Inspector
    from probes.recording.protocols import Specimen
    from probes.recording.recorder import Recorder
    from probes.report.html import render

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
    "read_all",
    "regressed",
    "render",
    "watch",
]

_MODULES = {
    "Diagnosis": "probes.diagnosis.diagnose",
    "Experiment": "probes.plugin.experiments",
    "HookHandle": "probes.recording.inspector",
    "Inspector": "probes.recording.inspector",
    "Record": "probes.record",
    "RecordError": "probes.record",
    "Recorder": "probes.recording.recorder",
    "diagnose": "probes.diagnosis.diagnose",
    "read": "probes.readers",
    "read_all": "probes.readers",
    "regressed": "probes.compare",
    "render": "probes.report.html",
}
"""Public name -> the module that defines it."""


def watch(
    specimen: Specimen,
    path: str | Path | None = None,
    *,
    overwrite: bool = False,
    on_step: Callable[[int, int], None] | None = None,
    stop_when_certain: bool = False,
) -> Record:
    """Train a specimen to the end and return its record. If a path is given, the record is also
    written to this file, step by step.

    on_step            called after every step as on_step(step, total_steps)
    stop_when_certain  diagnose the record at evaluations and end the run once a cause is certain;
                       `record.stopped` then holds the cause and the step

    An exception ends the run. The file then holds the steps before the exception and is marked
    incomplete. Raises FileExistsError when the path exists and `overwrite` is not set.
    `probes.recording.protocols.Specimen` lists what a specimen must offer."""
    from probes.recording.watch import watch as train

    stop_rule = None
    if stop_when_certain:
        from probes.diagnosis.early_stop import EarlyStop

        stop_rule = EarlyStop().certain_cause
    return train(specimen, path, overwrite=overwrite, on_step=on_step, stop_rule=stop_rule)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'probes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
