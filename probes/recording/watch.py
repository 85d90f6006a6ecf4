"""Train a specimen to the end with everything attached, and keep the record."""

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

from probes.record import Record, Stop
from probes.record.signals import SIGNALS, Signal
from probes.recording.hook_collector import SignalCollector
from probes.recording.inspector import Inspector
from probes.recording.protocols import Specimen, Step
from probes.recording.recorder import Recorder

StopRule = Callable[[Callable[[], Record]], str | None]
"""Called after every evaluation with a function that returns the record so far; the cause to stop
for, or None."""

LOG = logging.getLogger("probes")


def watch(
    specimen: Specimen,
    path: str | Path | None = None,
    *,
    overwrite: bool = False,
    on_step: Callable[[int, int], None] | None = None,
    stop_rule: StopRule | None = None,
) -> Record:
    """Train a specimen and return its record; with a path, the record is written there as the run
    goes.

    `on_step(step, total_steps)` is called after every step. A run ends early once `stop_rule`
    returns a cause: `record.stopped` says which, and how many steps that saved. An exception ends
    the run and leaves on disk a record of what came before it, marked incomplete. Raises
    FileExistsError when the path is taken and `overwrite` is not set."""
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
    """The specimen's own steps, each recorded before it is passed on; hooks are on for as long as
    this is running.

    Raises ValueError when the recorder's facts name no sites to put hooks on.
    """
    if "sites" not in recorder.facts:
        raise ValueError(
            "the specimen's facts() has no 'sites', the kind of each site; see probes.recording.protocols.Specimen"
        )
    with Inspector(specimen.model, specimen.params) as inspector:
        seen = SignalCollector(specimen, inspector, recorder.facts["sites"], signals)
        libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        for step in specimen.steps():
            with _one_thread(libraries):  # so that the record's bits, too, are the same every time
                readings = seen.readings(step)
            recorder.log(step.index, **readings)
            yield step


@contextmanager
def _one_thread(libraries: Sequence[LibController]) -> Iterator[None]:
    """What threadpoolctl's own limit does; that asks each library for its name and version as well,
    every time."""
    before = [library.num_threads for library in libraries]
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            library.set_num_threads(threads)


def _provenance(specimen: Specimen) -> dict[str, Any]:
    """What the specimen says of itself, and the versions and hardware that its bits depend on."""
    own: dict[str, Any] = getattr(specimen, "provenance", dict)()
    loaded = [info for info in threadpool_info() if info["user_api"] == "blas"]
    # Other packages bring a BLAS of their own; which of them happen to be loaded is no property of
    # the run.
    blas = [info for info in loaded if "numpy" in info["filepath"]] or loaded
    return {
        **own,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "probes": _version(),
        },
        "hardware": {
            "machine": platform.machine(),
            "blas": [
                f"{b['internal_api']} {b['version']} {b.get('architecture', '')}".strip()
                for b in blas
            ],
        },
    }


def _version() -> str:
    try:
        return version("probes")
    except PackageNotFoundError:
        return "source"
