"""Logs in formats that are no text, drawn with extreme values: TensorBoard event files, databases
and folders of MLflow.

All take a `random.Random`, so that a seed repeats them, and the rows of `hostile_logs`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from math import inf
from random import Random
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import masked_crc32c
from tensorboard.util.tensor_util import make_tensor_proto

from testing.hostile_logs import NUMBERS, OTHERS, Rows, draw_rows, mutated

STORE = """
CREATE TABLE runs (run_uuid, name, start_time, lifecycle_stage);
CREATE TABLE metrics (key, value, timestamp, run_uuid, step, is_nan);
"""
"""The tables of MLflow that are read, with columns that hold values of any type."""
STORED = (*NUMBERS, *OTHERS, b"", b"\xff", "\0")


def draw_store(rng: Random) -> dict[str, bytes]:
    """Path -> content of each file of a log in one of the formats."""
    rows = draw_rows(rng)
    draw = rng.choice((draw_events, draw_database, None))
    if draw is None:
        return draw_run(rng, rows)
    content = draw(rng, rows)
    return {"log": content if rng.random() < 0.7 else mutated(rng, content, [content])}


def framed(event: bytes) -> bytes:
    """An event as it is stored: its length and its content, each followed by its checksum."""
    length = len(event).to_bytes(8, "little")
    checks = [int(masked_crc32c(part)).to_bytes(4, "little") for part in (length, event)]
    return length + checks[0] + event + checks[1]


def draw_events(rng: Random, rows: Rows) -> bytes:
    """A file of events. Some of them are damaged under a checksum that is right, and some hold a
    tensor of a drawn shape."""
    events = [Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString()]
    for row in rows:
        step = row["step"] if -(2**63) <= row["step"] < 2**63 else 0
        values = [
            _summary_value(rng, name, value)
            for name, value in row.items()
            if name != "step" and isinstance(value, int | float)
        ]
        events.append(Event(step=step, summary=Summary(value=values)).SerializeToString())
    for _ in range(rng.choice((0, 0, 1, 3))):
        place = rng.randrange(len(events))
        events[place] = mutated(rng, events[place], events)
    return b"".join(map(framed, events))


def _summary_value(rng: Random, name: str, value: float) -> Summary.Value:
    """A value as PyTorch or as TensorFlow writes it."""
    number = float(np.clip(float(value), -1e38, 1e38)) if abs(value) < 10**300 else inf
    if rng.random() < 0.9:
        return Summary.Value(tag=name, simple_value=number)
    shape = rng.choice(((), (1,), (2,), (0,), (1, 1), (3, 0)))
    kind = rng.choice((np.float32, np.float64, np.int64, np.float16, np.bool_, np.complex64))
    with np.errstate(all="ignore"):
        content = np.full(shape, number).astype(kind)
    return Summary.Value(tag=name, tensor=make_tensor_proto(content))


def draw_database(rng: Random, rows: Rows) -> bytes:
    """A database of MLflow, in which any cell may hold a value of another type."""

    def cell(value: Any) -> Any:
        value = rng.choice(STORED) if rng.random() < odd else value
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            value = float(value) if abs(value) < 10**300 else "x"
        if isinstance(value, str):
            value = value.encode(errors="replace").decode()
        return (
            value if value is None or isinstance(value, int | float | str | bytes) else str(value)
        )

    odd = rng.choice((0.0, 0.0, 0.001, 0.05))
    with closing(sqlite3.connect(":memory:")) as store:
        store.executescript(STORE)
        runs = [f"{run:032x}" for run in range(rng.choice((1, 1, 2, 3)))]
        for place, run in enumerate(runs):
            entry = (run, rng.choice(("a", "a", "b", "", None)), place, "active")
            store.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", tuple(map(cell, entry)))
        for place, row in enumerate(rows):
            for name, value in row.items():
                if name != "step":
                    line = (name, value, place, rng.choice(runs), row["step"], value != value)
                    store.execute(
                        "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", tuple(map(cell, line))
                    )
        store.commit()
        return store.serialize()


def draw_run(rng: Random, rows: Rows) -> dict[str, bytes]:
    """The folder of an MLflow run: a file for each metric, some of them mutated."""
    files = {"log/meta.yaml": b"run_id: 1\n"}
    for name in dict.fromkeys(name for row in rows for name in row if name != "step"):
        points = [(row["step"], row[name]) for row in rows if name in row]
        lines = (f"{10**12 + place} {value} {step}\n" for place, (step, value) in enumerate(points))
        metric = "".join(lines).encode(errors="replace")
        path = rng.choice((name, name.replace("_", "/"), "a - loss", "\u202e\x1b[31m", "loss\nx"))
        files[f"log/metrics/{path}"] = metric if rng.random() < 0.7 else mutated(rng, metric)
    return files
