"""Writes a record as the run goes: one JSON line a step, each handed to the system before the next
step begins.

A line that was written survives the process, however it ends. Clock, process and host stand in a
sidecar beside the record, so that the same run leaves the same bytes."""

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

from probes.record import Record, RecordError, Stop
from probes.record.builder import RUN, Builder, Cells, positions
from probes.record.jsonl import SCHEMA, numbers_for_strings
from probes.record.signals import SIGNALS, Reading
from probes.recording.reducers import Reductions

Json = Any


class Recorder(Reductions):
    """Keeps a record in memory and, when given a path, on disk as well; a context manager.

    facts: whatever detectors may know of the run besides its signals (`docs/record.md` lists the
    names they use): vocab_size, total_steps, schedule, clip_norm, ladder, ...

    Leaving the context normally marks the record complete; leaving it by an exception closes the
    file and leaves it marked incomplete. Raises FileExistsError rather than overwrite an earlier
    record, unless `overwrite` is set."""

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        provenance: Mapping[str, Json] | None = None,
        overwrite: bool = False,
        **facts: Json,
    ) -> None:
        super().__init__()
        header = encode(_header(facts, provenance or {}))
        written = json.loads(
            header
        )  # what is kept in memory is what the file says, and no later change reaches it
        self._builder = Builder(numbers_for_strings(written["facts"]), written["provenance"])
        self._complete = self._closed = False
        self._stopped: Stop | None = None
        self._layouts: dict[str, tuple[str, ...]] = {}
        self._file: TextIO | None = None
        self._path = Path(path) if path is not None else None
        if self._path is not None:
            self._file = _open(self._path, overwrite)
            self._started = time.time()
            self._sidecar()
            self._file.write(header + "\n")

    @property
    def facts(self) -> Mapping[str, Json]:
        return self._builder.facts

    @property
    def record(self) -> Record:
        """What was logged so far."""
        return self._builder.record(self._complete, self._stopped)

    def log(self, step: int, **readings: Reading) -> None:
        """Add one row: a number for a run's signal, a mapping from site to number for the others.

        What arrays were handed over since the last row (`probes.recording.reducers`) is part of it.

        Raises UnknownSignalError for a name that is not in the table of signals, RecordError for a
        step that does not come after the last one, for a reading that is not made of numbers, or
        once the recorder is closed. A refused row leaves no trace."""
        if self._closed:
            raise RecordError(f"step {step} was logged after the recorder was closed")
        row = self._builder.append(step, self._merged(readings))
        if self._handed_over():
            self._forget()
        if self._file is None:
            return
        moved: dict[str, tuple[str, ...]] = {}
        line = {
            "step": step,
            **{name: self._written(name, cells, moved) for name, cells in row.items()},
        }
        lines = encode(line) + "\n"
        if moved:
            self._layouts.update(moved)
            lines = encode({"sites": moved}) + "\n" + lines
        self._file.write(lines)

    def close(self, complete: bool = True, stopped: Stop | None = None) -> None:
        """Write the last line, with why it came early if it did, and close the file; closing twice
        does nothing."""
        if self._closed:
            return
        self._closed, self._complete, self._stopped = True, complete, stopped
        if self._file is not None:
            if complete or stopped:
                early = {"stopped": vars(stopped)} if stopped else {}
                self._file.write(encode({"end": {"complete": complete, **early}}) + "\n")
            self._file.close()
            self._file = None
            self._sidecar(seconds=time.time() - self._started)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(complete=kind is None)

    def _written(self, name: str, cells: Cells, moved: dict[str, tuple[str, ...]]) -> Json:
        """A number, or a list whose sites are said once, in a line of their own, until they change
        (`moved`)."""
        if cells.sites == RUN:
            return cells.values[0]
        layout = self._layouts.get(name)
        if cells.sites != layout and not (
            layout is None and cells.sites == positions(len(cells.sites))
        ):
            moved[name] = cells.sites
        return cells.values

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


def _header(facts: Mapping[str, Json], provenance: Mapping[str, Json]) -> dict[str, Json]:
    signals = {
        s.name: {"unit": s.unit, "scope": s.scope, "cadence": s.cadence, "formula": s.formula}
        for s in SIGNALS
    }
    return {"probes_record": SCHEMA, "facts": facts, "provenance": provenance, "signals": signals}


def _open(path: Path, overwrite: bool) -> TextIO:
    try:
        # Line buffering: nothing lingers in this process. A lone surrogate becomes the JSON escape
        # that stands for it.
        return open(
            path,
            "w" if overwrite else "x",
            encoding="utf-8",
            errors="backslashreplace",
            newline="\n",
            buffering=1,
        )
    except FileExistsError:
        raise FileExistsError(f"{path} exists; give another path, or overwrite=True") from None


def sidecar_path(path: Path) -> Path:
    """Where the clock, process id, host and worker of the record at `path` are written."""
    return path.with_name(path.name.removesuffix(".jsonl") + ".sidecar.json")


def save(record: Record, path: str | Path) -> None:
    """Write a record that is held in memory. Raises FileExistsError when the path is taken."""
    if taken := {"path", "provenance", "overwrite"} & set(record.facts):
        raise RecordError(
            f"cannot save a record whose facts are named {sorted(taken)}: these are the recorder's own"
        )
    recorder = Recorder(path, provenance=record.provenance, **record.facts)
    for row, step in enumerate(record.steps):
        readings: dict[str, Reading] = {}
        for name, table in record.tables.items():
            cells = dict(zip(table.sites, table.values[row].tolist(), strict=True))
            measured = {site: value for site, value in cells.items() if not isnan(value)}
            if measured:
                readings[name] = measured
        recorder.log(int(step), **readings)
    recorder.close(record.complete, record.stopped)


def encode(value: Json) -> str:
    """Compact JSON in which NaN and the infinities are strings; NumPy scalars and arrays become
    plain numbers."""
    try:
        return ENCODER.encode(value)
    except ValueError:
        return ENCODER.encode(_strings_for_nonfinite(value))


def _plain(value: Json) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return _strings_for_nonfinite(value.tolist())
    raise TypeError(f"a record cannot hold {value!r}, a {type(value).__name__}")


ENCODER = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain
)


def _strings_for_nonfinite(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _strings_for_nonfinite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strings_for_nonfinite(inner) for inner in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value
