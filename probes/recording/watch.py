"""Trains a specimen to the end with hooks attached, and records every step."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import LibController, ThreadpoolController, threadpool_info

from probes.proofs import Prover
from probes.record import Record, Stop
from probes.record.signals import SIGNALS, Signal
from probes.recording.data_audit import SIGNAL, DataAudit
from probes.recording.hook_collector import SignalCollector
from probes.recording.inspector import Inspector
from probes.recording.protocols import Specimen, Step
from probes.recording.recorder import Recorder

StopRule = Callable[[Callable[[], Record]], str | None]
"""A function that decides after every evaluation whether to stop. Its argument is a function that
returns the record so far. The stop rule returns the cause for which to stop, or None to
continue."""

LOG = logging.getLogger("probes")


def watch(
    specimen: Specimen,
    path: str | Path | None = None,
    *,
    overwrite: bool = False,
    on_step: Callable[[int, int], None] | None = None,
    stop_rule: StopRule | None = None,
) -> Record:
    """Train a specimen and return its record. If a path is given, the record is also written to
    this file, step by step.

    `on_step(step, total_steps)` is called after every step. The run ends early once `stop_rule`
    returns a cause; `record.stopped` then holds the cause and the last step. An exception ends the
    run; the file then holds the steps before the exception and is marked incomplete.
    Raises FileExistsError when the path exists and `overwrite` is not set."""
    facts = specimen.facts()
    total_steps = int(facts.get("total_steps", 0))
    recorder = Recorder(path, provenance=_provenance(specimen), overwrite=overwrite, **facts)
    with recorder, closing(watched_steps(specimen, recorder)) as steps:
        for step in steps:
            if on_step is not None:
                on_step(step.index, total_steps)
            if (
                stop_rule
                and step.evaluation is not None
                and (cause := stop_rule(lambda: recorder.record))
            ):
                stop = Stop(step.index, total_steps or None, cause)
                recorder.close(complete=False, stopped=stop)
                LOG.info("%s", stop)
                break
    return recorder.record


def watched_steps(
    specimen: Specimen, recorder: Recorder, signals: Iterable[Signal] = SIGNALS
) -> Generator[Step, None, None]:
    """Train a specimen, and yield each step after recording it. Hooks stay attached until the
    generator ends or is closed. Proofs (`probes.proofs`) run at a few steps.

    Raises ValueError when the recorder's facts have no "sites".
    """
    if "sites" not in recorder.facts:
        raise ValueError(
            "the specimen's facts() has no 'sites', the kind of each site; "
            "see probes.recording.protocols.Specimen"
        )
    with Inspector(specimen.model, specimen.params) as inspector:
        signals = tuple(signals)
        collector = SignalCollector(specimen, inspector, recorder.facts["sites"], signals)
        audit = None
        if hasattr(specimen, "data_set") and any(signal.name == SIGNAL for signal in signals):
            audit = DataAudit(specimen.data_set(), inspector)
        prover = Prover(
            specimen,
            (
                *specimen.model.sites.values(),
                *specimen.params.values(),
                *(audit.hooked if audit else ()),
            ),
            int(specimen.facts().get("total_steps", 0)),
            (signal.name for signal in signals),
        )
        prover.prepare(0)
        libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        for step in specimen.steps():
            # With one thread, sums are always added in the same order, so that the same run gives
            # the same bits.
            with _one_thread(libraries):
                readings = collector.readings(step)
                readings |= audit.readings(step) if audit else {}
                readings |= prover.readings(step)
            recorder.log(step.index, **readings)
            yield step
            collector.clear()  # forward passes by the caller are not part of the run
            if audit:
                audit.clear()
            prover.prepare(step.index + 1)


@contextmanager
def _one_thread(libraries: Sequence[LibController]) -> Iterator[None]:
    """Limit BLAS to one thread. `threadpool_limits` of threadpoolctl does the same but is slower,
    because it reads the name and version of each library every time."""
    before = [library.num_threads for library in libraries]
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            library.set_num_threads(threads)


def _provenance(specimen: Specimen) -> dict[str, Any]:
    """The specimen's own provenance, and the versions and hardware that affect the bits of the
    record."""
    own: dict[str, Any] = getattr(specimen, "provenance", dict)()
    loaded = [info for info in threadpool_info() if info["user_api"] == "blas"]
    # Other packages may load a BLAS of their own, which is not a property of the run.
    blas = [info for info in loaded if "numpy" in info["filepath"]] or loaded
    try:
        probes_version = version("probes")
    except PackageNotFoundError:  # the package is not installed, only its source is there
        probes_version = "source"
    return {
        **own,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "probes": probes_version,
        },
        "hardware": {
            "machine": platform.machine(),
            "blas": [
                f"{b['internal_api']} {b['version']} {b.get('architecture', '')}".strip()
                for b in blas
            ],
        },
    }
