"""Variants of a training's log: fewer signals, fewer points, more noise, and every format."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from math import exp
from pathlib import Path

import numpy as np

from probes.record import Builder, Record
from testing.logs import STATE, csv_of, lines_of
from testing.small_net import Row

Rows = Sequence[Row]
ALWAYS_KEPT = ("step", "reward")
"""The count of the steps, and the column that shows that a policy was trained."""
NOISE = 0.05
"""Standard deviation of the logarithm of the noise on losses and gradient norms."""


def kept(rows: Rows, signals: Collection[str]) -> list[Row]:
    """The rows with only these signals. Rows without any of them are left out."""
    names = {*signals, *ALWAYS_KEPT}
    return [
        {name: value for name, value in row.items() if name in names}
        for row in rows
        if row.keys() & set(signals)
    ]


def thinned(rows: Rows, every: int) -> list[Row]:
    """Every n-th point of each signal, for n = `every`: a trainer that logs every n steps."""
    counts: dict[str, int] = {}
    left = []
    for row in rows:
        kept_cells = {"step": row["step"]}
        for name in row.keys() - {"step"}:
            counts[name] = counts.get(name, 0) + 1
            if counts[name] % every == 0:
                kept_cells[name] = row[name]
        left += [kept_cells] if len(kept_cells) > 1 else []
    return left


def noisy(rows: Rows) -> list[Row]:
    """The rows with noise on losses and gradient norms."""
    rng = np.random.default_rng(0)
    return [
        {
            name: v if name in ("lr", *ALWAYS_KEPT) else v * exp(rng.normal(0, NOISE))
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
    """Training and evaluation have entries of their own."""
    history: list[dict[str, float]] = []
    for row in rows:
        named = {"learning_rate" if name == "lr" else name: v for name, v in row.items()}
        evaluated = named.pop("val_loss", None)
        history += [named] if len(named) > 1 else []
        history += [] if evaluated is None else [{"step": row["step"], "eval_loss": evaluated}]
    return json.dumps(STATE | {"log_history": history, "max_steps": int(rows[-1]["step"]) + 1})


def _columns(rows: Rows) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _csv(rows: Rows, **renamed: str) -> str:
    cells = {
        renamed.get(name, name): [
            "" if value is None else int(value) if name == "step" else value for value in column
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
    """Write the rows in a format and return the path of the file."""
    path = folder / name
    path.write_text(FORMATS[form](rows), encoding="utf-8")
    return path


def record_of(rows: Rows) -> Record:
    """The record that a recorder would have made of the rows."""
    builder = Builder({}, {})
    for row in rows:
        builder.append(
            int(row["step"]),
            {name: value for name, value in row.items() if name not in ALWAYS_KEPT},
        )
    return builder.record(True)
