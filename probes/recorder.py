"""Writes a record as the run goes: one JSON line a step, each handed to the system before the next step begins.

A line that was written survives the process, however it ends. Clock, process and host stand in a sidecar beside the
record, so that the same run leaves the same bytes.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from probes.record import SCHEMA, Builder, Record
from probes.signals import SIGNALS, Reading

Json = Any


class Recorder:
    """Keeps a record in memory and, when given a path, on disk as well; a context manager.

    facts: whatever detectors may know of the run besides its signals (`docs/record.md` lists the names they use):
    vocab_size, total_steps, schedule, clip_norm, ladder, ...

    Leaving the context normally marks the record complete; leaving it by an exception closes the file and leaves it
    marked incomplete. Raises FileExistsError rather than overwrite an earlier record, unless `overwrite` is set.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        provenance: Mapping[str, Json] | None = None,
        overwrite: bool = False,
        **facts: Json,
    ) -> None:
        self._builder = Builder(facts, provenance or {})
        self._complete = False
        self._layouts: dict[str, list[str]] = {}
        self._file: TextIO | None = None
        self._path = Path(path) if path is not None else None
        if self._path is not None:
            if self._path.exists() and not overwrite:
                raise FileExistsError(f"{self._path} exists; give another path, or overwrite=True")
            # Line buffering: a whole line is one write, and nothing lingers in this process.
            self._file = open(self._path, "w", encoding="utf-8", newline="\n", buffering=1)  # noqa: SIM115
            self._started = time.time()
            self._sidecar()
            self._write(
                {
                    "probes_record": SCHEMA,
                    "facts": self._builder.facts,
                    "provenance": self._builder.provenance,
                    "signals": {
                        s.name: {"unit": s.unit, "scope": s.scope, "cadence": s.cadence, "formula": s.formula}
                        for s in SIGNALS
                    },
                }
            )

    @property
    def record(self) -> Record:
        """What was logged so far."""
        return self._builder.record(self._complete)

    def log(self, step: int, **readings: Reading) -> None:
        """Add one row: a number for a run's signal, a mapping from site to number for the others.

        Raises UnknownSignalError for a name that is not in the table of signals, RecordError for a step that does
        not come after the last one or for a reading that is not made of numbers. A refused row leaves no trace.
        """
        self._builder.append(step, readings)
        if self._file is None:
            return
        row: dict[str, Json] = {"step": step}
        moved: dict[str, list[str]] = {}
        for name, reading in readings.items():
            if isinstance(reading, Mapping):
                sites = [str(site) for site in reading]
                if self._layouts.get(name) != sites:
                    moved[name] = self._layouts[name] = sites
                row[name] = list(reading.values())
            elif reading is not None:
                row[name] = reading
        if moved:
            self._write({"sites": moved})
        self._write(row)

    def close(self, complete: bool = True) -> None:
        """Write the last line and close the file; closing twice does nothing."""
        self._complete = complete
        if self._file is not None:
            if complete:
                self._write({"end": {"complete": True}})
            self._file.close()
            self._file = None
            self._sidecar(seconds=time.time() - self._started)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=kind is None)

    def _write(self, line: Mapping[str, Json]) -> None:
        assert self._file is not None
        self._file.write(encode(line) + "\n")

    def _sidecar(self, **more: Json) -> None:
        assert self._path is not None
        content = {
            "record": self._path.name,
            "started": self._started,
            "process": os.getpid(),
            "host": platform.node(),
            "worker": os.environ.get("PYTEST_XDIST_WORKER", ""),
            **more,
        }
        sidecar_path(self._path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def sidecar_path(path: Path) -> Path:
    """Where the clock, process id, host and worker of the record at `path` are written."""
    return path.with_suffix(".sidecar.json")


def save(record: Record, path: str | Path) -> None:
    """Write a record that is held in memory. Raises FileExistsError when the path is taken."""
    recorder = Recorder(path, provenance=record.provenance, **record.facts)
    for row, step in enumerate(record.steps):
        readings: dict[str, Reading] = {}
        for name, table in record.tables.items():
            cells = dict(zip(table.sites, table.values[row].tolist(), strict=True))
            measured = {site: value for site, value in cells.items() if not isnan(value)}
            if measured:
                readings[name] = measured.get("", measured)
        recorder.log(int(step), **readings)
    recorder.close(record.complete)


def encode(value: Json) -> str:
    """Compact JSON in which NaN and the infinities are strings; NumPy scalars and arrays become plain numbers."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain)
    except ValueError:
        return json.dumps(_strings_for_nonfinite(value), ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Json) -> Json:
    if hasattr(value, "tolist"):
        return _strings_for_nonfinite(value.tolist())
    raise TypeError(f"a record cannot hold {value!r}, a {type(value).__name__}")


def _strings_for_nonfinite(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _strings_for_nonfinite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strings_for_nonfinite(inner) for inner in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value
