"""Records a training run: the numbers that a training loop logs, and signals computed from the
arrays that it hands over.

A record file has one JSON line per step. The line is written before the next step begins, so it is
not lost if the process crashes or is killed. Clock, process and host are written to a separate
sidecar file, so that two identical runs write identical records.
"""

from __future__ import annotations

import json
import os
import platform
import stat
import time
from collections.abc import Mapping
from math import isnan
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import numpy as np

from probes.record import Builder, Json, Record, RecordError, Stop
from probes.record.builder import RUN_SITES, positions
from probes.record.jsonl import SCHEMA, check_depth, encode, numbers_for_strings
from probes.record.signals import SIGNALS, Reading
from probes.recording.arrays import ArrayLike, detached, real_array, real_matrix, visible_keys
from probes.recording.reducers import Reducer, norm

NON_TENSOR_TYPES = frozenset({float, int, dict, list, np.ndarray, type(None)})
"""Types of readings that are certainly not tensors. For other types the attribute `detach` is
looked up; doing this for every reading would take as long as the rest of `log`."""


class Recorder:
    """A context manager that keeps a record in memory and, if a path is given, also writes it to
    this file.

    facts: what detectors may use besides the signals, such as vocab_size, total_steps, schedule,
    clip_norm, ladder (docs/record.md lists all facts that detectors use).

    `log` adds a row. The other methods take arrays and reduce them immediately, with the same
    formulas as `watch` (`probes.recording.reducers`). The next `log` adds the resulting signals to
    its row. Arrays that are handed over for the same place in the same row are combined: the
    micro-batches of a step, the chunks of an evaluation, the parameters of a layer. These methods
    raise RecordError, with the name of the place, for a value that is not an array of real numbers
    or has the wrong shape.

    At the end of the context, the file is closed and the record is marked complete; after an
    exception it stays marked incomplete. Raises FileExistsError when the path exists and
    `overwrite` is not set, RecordError when another recorder is writing to the path, or when facts
    or provenance are nested too deep (`probes.record.jsonl.MAX_DEPTH`)."""

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        provenance: Mapping[str, Json] | None = None,
        overwrite: bool = False,
        **facts: Json,
    ) -> None:
        signals = {
            s.name: {"unit": s.unit, "scope": s.scope, "cadence": s.cadence, "formula": s.formula}
            for s in SIGNALS
        }
        parts = {"facts": facts, "provenance": provenance or {}, "signals": signals}
        for part in ("facts", "provenance"):
            check_depth(part, parts[part])
        header = encode({"probes_record": SCHEMA, **parts})
        # Decode the header again: memory then holds exactly what the file holds, in a copy that
        # does not change if the caller changes the facts later.
        written = json.loads(header)
        self._builder = Builder(numbers_for_strings(written["facts"]), written["provenance"])
        self._reducer = Reducer()
        self._sizes: dict[tuple[str, str], int] = {}
        """(method, place) -> number of neurons or heads of the arrays handed over since the last
        row."""
        self._complete = self._closed = False
        self._stopped: Stop | None = None
        self._layouts: dict[str, tuple[str, ...]] = {}
        """Signal -> the sites in its last sites line in the file."""
        self._file: TextIO | None = None
        self._path = Path(path) if path is not None else None
        if self._path is not None:
            self._file = _open(self._path, overwrite)
            self._started, self._clock = time.time(), time.monotonic()
            self._write_sidecar()
            self._file.write(header + "\n")

    @property
    def facts(self) -> Mapping[str, Json]:
        return self._builder.facts

    @property
    def record(self) -> Record:
        """The rows so far, as a record."""
        return self._builder.record(self._complete, self._stopped)

    def log(self, step: int, **readings: Reading) -> None:
        """Add one row. A reading is a number for a signal of scope "run", and a mapping from site
        to number for any other signal. The signals of the arrays that were handed over since the
        last row are added to the row.

        Raises UnknownSignalError for a name that is not in the table of signals. Raises RecordError
        for a step that is not greater than the previous one, for a reading that does not consist of
        numbers, for a signal that is logged although arrays were handed over for it, and when the
        recorder is closed. After an error the record is unchanged."""
        if self._closed:
            raise RecordError(f"step {step} was logged after the recorder was closed")
        row = self._builder.append(step, self._with_reduced_arrays(readings))
        self._reducer.clear()
        self._sizes.clear()
        if self._file is None:
            return
        line: dict[str, Json] = {"step": step}
        new_sites: dict[str, tuple[str, ...]] = {}
        for name, cells in row.items():
            if cells.sites == RUN_SITES:
                line[name] = cells.values[0]
                continue
            line[name] = cells.values
            # A list without a sites line above it has the sites 0, 1, 2, ...
            layout = self._layouts.get(name)
            if cells.sites != layout and not (
                layout is None and cells.sites == positions(len(cells.sites))
            ):
                new_sites[name] = cells.sites
        lines = encode(line) + "\n"
        if new_sites:
            self._layouts.update(new_sites)
            lines = encode({"sites": new_sites}) + "\n" + lines
        self._file.write(lines)

    def close(self, complete: bool = True, stopped: Stop | None = None) -> None:
        """Write the last line and close the file. A second call does nothing. `stopped` says why
        and when the run was ended early."""
        if self._closed:
            return
        self._closed, self._complete, self._stopped = True, complete, stopped
        if self._file is not None:
            if complete or stopped:
                early = {"stopped": vars(stopped)} if stopped else {}
                self._file.write(encode({"end": {"complete": complete, **early}}) + "\n")
            self._file.close()
            self._file = None
            self._write_sidecar(seconds=time.monotonic() - self._clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(complete=kind is None)

    # Arrays

    def activation(self, layer: str, output: ArrayLike) -> None:
        """Hand over a layer's output on the training batch, of any shape. Measures `activation` and
        `nonfinite_count`."""
        self._reducer.output(layer, real_array("activation", layer, output))

    def gradient(self, layer: str, *gradients: ArrayLike) -> None:
        """Hand over gradients of a layer's parameters before clipping. Measures
        `grad_norm_by_layer` and `nonfinite_count`, and `grad_activation_ratio` if the layer's
        output is handed over for the same row."""
        if not gradients:
            raise RecordError(
                f"gradient {layer!r} has no array; pass the gradients of the layer's parameters"
            )
        arrays = [real_array("gradient", layer, gradient) for gradient in gradients]
        self._reducer.gradient(layer, arrays)

    def update(self, matrix: str, before: ArrayLike, after: ArrayLike) -> None:
        """Hand over a matrix before the step's update (this must be a copy) and after it. Measures
        `update_weight_ratio`."""
        old, new = real_matrix("update", matrix, before), real_matrix("update", matrix, after)
        if old.shape != new.shape:
            raise RecordError(
                f"update {matrix!r} goes from shape {old.shape} to {new.shape}; "
                "they must be the same"
            )
        self._once("update", matrix)
        self._reducer.update(matrix, new - old, norm(old))

    def weight(self, matrix: str, weight: ArrayLike) -> None:
        """Hand over a weight matrix. Measures `spectral_norm`, which is computed by iteration and
        thus slow: call this at evaluations rather than at every step."""
        array = real_matrix("weight", matrix, weight)
        self._once("weight", matrix)
        self._reducer.weight(matrix, array)

    def pre_activation(self, layer: str, values: ArrayLike) -> None:
        """Hand over the inputs of an FFN's GELU at an evaluation: [..., neurons], without padding.
        Measures `dead_fraction`."""
        array = real_array("pre_activation", layer, values)
        self._same_size("pre_activation", layer, array.shape[-1], "neurons (last axis)")
        self._reducer.pre_activation(layer, array)

    def attention(self, site: str, weights: ArrayLike, visible: ArrayLike) -> None:
        """Hand over attention weights at an evaluation: [B, H, Tq, Tk]. Measures
        `attention_entropy` of each head.

        visible: bool, broadcastable to [B, Tq, Tk], True where a query may see a key. A padding
        query must see no key."""
        array = real_array("attention", site, weights)
        if array.ndim != 4:
            raise RecordError(
                f"attention {site!r} has shape {array.shape}; "
                "it must have four axes: batch, head, query, key"
            )
        mask = visible_keys(site, visible, (len(array), *array.shape[-2:]))
        self._same_size("attention", site, array.shape[1], "heads (second axis)")
        self._reducer.attention(site, array, mask)

    def training_attention(self, site: str, weights: ArrayLike) -> None:
        """Hand over attention weights of a training step, or of a few rows of its batch: [B, H, Tq,
        Tk]. Measures `future_attention` of each head."""
        array = real_array("training_attention", site, weights)
        if array.ndim != 4:
            raise RecordError(
                f"training_attention {site!r} has shape {array.shape}; "
                "it must have four axes: batch, head, query, key"
            )
        self._same_size("training_attention", site, array.shape[1], "heads (second axis)")
        self._reducer.training_attention(site, array)

    def _once(self, method: str, place: str) -> None:
        if (method, place) in self._sizes:
            raise RecordError(f"{method} {place!r} was handed over before; log a row in between")
        self._sizes[method, place] = 1

    def _same_size(self, method: str, place: str, size: int, what: str) -> None:
        before = self._sizes.setdefault((method, place), size)
        if size != before:
            raise RecordError(
                f"{method} {place!r} has {size} {what}; an earlier part of this row has {before}"
            )

    def _with_reduced_arrays(self, readings: Mapping[str, Reading]) -> Mapping[str, Reading]:
        row = readings
        if not NON_TENSOR_TYPES.issuperset(map(type, readings.values())):
            row = {name: detached(reading) for name, reading in readings.items()}
        if self._reducer.empty:
            return row
        # The reducer needs a loss only to list the site "loss" in its place, so any finite value
        # will do. If the real loss is not finite, the builder counts it.
        reduced = self._reducer.readings(loss=0.0 if "loss" in row else None)
        if twice := [name for name in reduced if name in row]:
            raise RecordError(
                f"{', '.join(twice)} is logged by hand although arrays were handed over for it; "
                "do only one of the two"
            )
        return {**row, **reduced}

    # The file

    def _write_sidecar(self, **more: Json) -> None:
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


def _open(path: Path, overwrite: bool) -> TextIO:
    """Open the file of a record, and lock it until it is closed. An existing file is emptied only
    after it is locked, so that no recorder empties the file of another."""
    flags = os.O_WRONLY | os.O_CREAT | (0 if overwrite else os.O_EXCL) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileExistsError:
        raise FileExistsError(f"{path} exists; give another path, or overwrite=True") from None
    try:
        if not _lock(descriptor):
            raise RecordError(
                f"{path} is being written by another recorder; give each recorder its own path"
            )
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    # Line buffering passes each line to the system at once. A lone surrogate, which UTF-8 cannot
    # encode, is written as its JSON escape.
    return open(
        descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n", buffering=1
    )


def _lock(descriptor: int) -> bool:
    """Lock an open file for this recorder. Returns False if another recorder has locked it.

    A system or a file system without such locks counts as locked by this recorder.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def sidecar_path(path: Path) -> Path:
    """The path of the file with the clock, process id, host and worker of the record at `path`."""
    return path.with_name(path.name.removesuffix(".jsonl") + ".sidecar.json")


def save(record: Record, path: str | Path) -> None:
    """Write a record in memory to a file.

    Raises FileExistsError when the path exists, and RecordError when a fact has the name of an
    option of `Recorder`."""
    if taken := {"path", "provenance", "overwrite"} & set(record.facts):
        raise RecordError(
            f"cannot save a record whose facts are named {sorted(taken)}: "
            "these are options of the recorder"
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
