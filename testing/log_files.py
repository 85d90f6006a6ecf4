"""The log of a training as other trainers leave it: fewer signals, fewer points, more noise, and in
every format."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from math import exp
from pathlib import Path

import numpy as np

from probes.record import Record
from probes.record.builder import Builder
from testing.logs import STATE, csv_of, lines_of
from testing.small_net import Row

Rows = Sequence[Row]
TIME, BESIDE = "step", "reward"
"""What counts the steps, and the column by which a policy's log is known: they stay whatever is
left out."""
NOISE = 0.05
"""Relative, on losses and gradient norms."""


def kept(rows: Rows, signals: Collection[str]) -> list[Row]:
    """Of every row the given signals; rows without any are left out."""
    few = [
        {name: v for name, v in row.items() if name in signals or name in (TIME, BESIDE)}
        for row in rows
    ]
    return [row for row in few if set(row) & set(signals)]


def thinned(rows: Rows, every: int) -> list[Row]:
    """Of every signal each so-and-so-many-th point, as a trainer logs: the last of that many."""
    seen: dict[str, int] = {}
    left = []
    for row in rows:
        few = {TIME: row[TIME]}
        for name in row.keys() - {TIME}:
            seen[name] = seen.get(name, 0) + 1
            if seen[name] % every == 0:
                few[name] = row[name]
        left += [few] if len(few) > 1 else []
    return left


def noisy(rows: Rows) -> list[Row]:
    rng = np.random.default_rng(0)
    return [
        {
            name: v if name in (TIME, "lr", BESIDE) else v * exp(rng.normal(0, NOISE))
            for name, v in row.items()
        }
        for row in rows
    ]


VARIANTS: Mapping[str, Callable[[Rows], Rows]] = {
    "as it is": lambda rows: rows,
    "every 10th point": lambda rows: thinned(rows, 10),
    "every 50th point": lambda rows: thinned(rows, 50),
    "with noise": noisy,
    "first half": lambda rows: rows[: len(rows) // 2],
}


def _trainer_state(rows: Rows) -> str:
    """Training and evaluation stand in rows of their own."""
    history: list[dict[str, float]] = []
    for row in rows:
        named = {"learning_rate" if name == "lr" else name: v for name, v in row.items()}
        evaluated = named.pop("val_loss", None)
        history += [named] if len(named) > 1 else []
        history += [] if evaluated is None else [{TIME: row[TIME], "eval_loss": evaluated}]
    return json.dumps(STATE | {"log_history": history, "max_steps": int(rows[-1][TIME]) + 1})


def _columns(rows: Rows) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _csv(rows: Rows, **renamed: str) -> str:
    cells = {
        renamed.get(name, name): [
            "" if value is None else int(value) if name == TIME else value for value in column
        ]
        for name, column in _columns(rows).items()
    }
    return csv_of(**cells)


FORMATS: Mapping[str, Callable[[Rows], str]] = {
    "trainer state": _trainer_state,
    "JSON lines": lambda rows: lines_of(*rows),
    "JSON columns": lambda rows: json.dumps(_columns(rows)),
    "Lightning": lambda rows: _csv(rows, loss="train_loss_step", lr="lr-Adam"),
    "Keras": lambda rows: _csv(rows, step="epoch", lr="learning_rate"),
    "printed": lambda rows: "".join(f"{row}\n" for row in rows),
}


def write(rows: Rows, folder: Path, form: str, name: str = "log") -> Path:
    """The path of the log in that format."""
    path = folder / name
    path.write_text(FORMATS[form](rows), encoding="utf-8")
    return path


def record_of(rows: Rows) -> Record:
    """The log as a record, as a recorder would have made it."""
    builder = Builder({}, {})
    for row in rows:
        builder.append(
            int(row[TIME]),
            {name: value for name, value in row.items() if name not in (TIME, BESIDE)},
        )
    return builder.record(True)
