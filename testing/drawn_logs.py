"""Log files of real trainings. A seed draws the training and the way in which its log is written:
the columns, how often they are logged, how the loss is averaged, the digits and the format."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from testing.drawn_faults import FAULTS
from testing.drawn_tasks import Rng
from testing.drawn_trainings import Plan, Training, draw_plan, train, why_not_healthy
from testing.log_files import FORMATS
from testing.small_net import Array, Row

MAX_ATTEMPTS = 40
"""A seed draws at most this many trainings until one passes the rule."""
SICK_SEEDS = 10**6
"""Seeds of trainings with a fault begin here, so that none is a training without a fault again."""
KINDS = {"epoch rows": 0.34, "Hugging Face": 0.26, "steps": 0.26, "windows": 0.14}
"""Kind of log -> share of the logs. "steps" holds the loss of single batches or a moving average,
"windows" the mean of the steps since the last row."""
ALL_LOSSES, ONLY_TRAINING = "all losses", "only training loss"
ONLY_VALIDATION = "only validation loss"
COLUMN_SETS = {ALL_LOSSES: 0.66, ONLY_TRAINING: 0.27, ONLY_VALIDATION: 0.07}
LOGGING_STEPS = (1, 5, 10, 10, 10, 20, 25, 50, 50, 100, 500)
MIN_ROWS = 3
MAX_EVALUATIONS = 150
MIN_DIGITS = 2
"""Decimals are increased until the lowest loss keeps this many digits."""


@dataclass(frozen=True)
class Writing:
    """How a log is written.

    kind      a key of KINDS
    columns   a key of COLUMN_SETS
    form      a key of FORMS
    every     updates per row of training loss
    eval_every  updates per evaluation; a multiple of `every` where rows hold both
    average   share that a moving average keeps of its last value; 0 for none
    digits    significant digits, or 0
    decimals  digits after the point, where `digits` is 0
    lr, grad_norm, accuracy   whether the log has these columns
    val_rows  held-out rows of an evaluation
    """

    kind: str
    columns: str
    form: str
    every: int
    eval_every: int
    average: float
    digits: int
    decimals: int
    lr: bool
    grad_norm: bool
    accuracy: bool
    val_rows: int


@dataclass(frozen=True)
class DrawnLog:
    """A log and where it comes from.

    path       the log file
    label      "healthy" or "sick"
    fault      a key of FAULTS; "" for a healthy training
    family, course, schedule, optimizer, updates   of the training
    writing    how it is written
    points     values of the training loss in the log, or of the validation loss if it is alone
    full_train, full_held   the full evaluations by which the training was labelled
    dropped    what was wrong with each training that the seed drew before this one
    """

    path: str
    seed: int
    label: str
    fault: str
    family: str
    course: str
    schedule: str
    optimizer: str
    updates: int
    writing: Writing
    points: int
    full_train: list[float]
    full_held: list[float]
    dropped: list[str]


# Drawing


def draw_writing(rng: Rng, plan: Plan) -> Writing:
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    columns = str(rng.choice(list(COLUMN_SETS), p=list(COLUMN_SETS.values())))
    steps = plan.steps - plan.first_step
    longest = max(1, steps // MIN_ROWS)
    if kind == "epoch rows":
        every = max(1, steps // int(rng.integers(3, 31) if rng.random() < 0.8 else 100))
    elif kind == "Hugging Face":
        every = int(rng.choice([k for k in LOGGING_STEPS if k <= longest]))
    elif kind == "steps":
        every = int(rng.choice([k for k in (1, 1, 1, 2, 5, 10, 50) if k <= longest]))
    else:
        every = int(rng.choice([k for k in (5, 10, 20, 50, 100, 1) if k <= longest]))
    if kind == "epoch rows":
        eval_every = every
    elif rng.random() < 0.3:
        eval_every = max(1, steps // int(rng.integers(3, 13)))
    else:
        rows = int(10 ** rng.uniform(0, 2))
        eval_every = min(max(every * rows, steps // MAX_EVALUATIONS), longest)
    forms = [form for form, kinds in FORM_KINDS.items() if kind in kinds]
    decimals = rng.random() < 0.5
    return Writing(
        kind,
        columns,
        str(rng.choice(forms)),
        every,
        eval_every,
        average=float(rng.choice((0.9, 0.95, 0.99)))
        if kind == "steps" and rng.random() < 0.25
        else 0.0,
        digits=0 if decimals else int(rng.integers(3, 8)),
        decimals=int(rng.integers(2, 7)) if decimals else 0,
        lr=rng.random() < (0.9 if kind == "Hugging Face" else 0.4),
        grad_norm=rng.random() < (0.8 if kind == "Hugging Face" else 0.25),
        accuracy=rng.random() < 0.5,
        val_rows=int(10 ** rng.uniform(1.7, 3)),
    )


def evaluated_steps(plan: Plan, writing: Writing) -> range:
    if writing.columns == ONLY_TRAINING:
        return range(0)
    first = plan.first_step + writing.eval_every - 1
    return range(first, plan.steps, writing.eval_every)


# Rows


def rows_of(training: Training, writing: Writing) -> list[Row]:
    """The rows of the log, before rounding. `step` counts updates, or epochs from 1 on."""
    rows: dict[int, Row] = {}
    by_epoch = writing.kind == "epoch rows"
    first, last = training.plan.first_step, len(training.loss)
    if writing.columns != ONLY_VALIDATION:
        single = writing.kind == "steps"
        losses = averaged(training.loss, writing.average) if writing.average else training.loss
        for end in range(first + writing.every, last + 1, writing.every):
            window = slice(end - 1 if single else end - writing.every, end)
            row = {"loss": mean(losses[window])}
            if writing.grad_norm:
                row["grad_norm"] = float(training.grad_norm[end - 1])
            if writing.lr:
                row["lr"] = float(training.lr[end - 1])
            if writing.accuracy and training.plan.task.labelled:
                row["accuracy"] = mean(training.accuracy[window])
            rows[end] = row
    for step, (val_loss, val_accuracy) in training.evaluated.items():
        row = rows.setdefault(step + 1, {})
        row["val_loss"] = val_loss
        if writing.accuracy and training.plan.task.labelled:
            row["val_accuracy"] = val_accuracy
    return [
        {"step": round((end - first) / writing.every) if by_epoch else end} | rows[end]
        for end in sorted(rows)
    ]


def mean(values: Array) -> float:
    return float(values.mean())


def averaged(losses: Array, kept: float) -> Array:
    """The exponential moving average that begins with the first loss."""
    value, averages = losses[0], np.empty_like(losses)
    for i, loss in enumerate(losses):
        value = averages[i] = kept * value + (1 - kept) * loss
    return averages


def rounded(rows: list[Row], writing: Writing) -> list[Row]:
    """The rows with the digits of the writing. The learning rate keeps six digits."""
    losses = [abs(row[name]) for row in rows for name in ("loss", "val_loss") if name in row]
    lowest = min((loss for loss in losses if loss > 0 and np.isfinite(loss)), default=1.0)
    decimals = max(writing.decimals, MIN_DIGITS - 1 - int(np.floor(np.log10(lowest))))

    def cell(name: str, value: float) -> float:
        if name == "step":
            return value
        if name == "lr":
            return float(f"{value:.6g}")
        if not np.isfinite(value):
            return value
        return float(f"{value:.{writing.digits}g}") if writing.digits else round(value, decimals)

    return [{name: cell(name, value) for name, value in row.items()} for row in rows]


# Formats


def _epoch_lines(rows: list[Row]) -> str:
    """As Keras prints."""
    return "".join(
        f"Epoch {row['step']}/{rows[-1]['step']} - "
        + " - ".join(f"{name}: {value}" for name, value in row.items() if name != "step")
        + "\n"
        for row in rows
    )


def _console(rows: list[Row]) -> str:
    """As the Trainer of Hugging Face prints: dictionaries with an epoch and no step."""
    lines, last = [], rows[-1]["step"]
    for row in rows:
        epoch = {"epoch": round(3 * row["step"] / last, 4)}
        training = {
            "learning_rate" if name == "lr" else name: value
            for name, value in row.items()
            if name in ("loss", "grad_norm", "lr")
        }
        evaluation = {
            name.replace("val_", "eval_"): value
            for name, value in row.items()
            if name.startswith("val_")
        }
        lines += [f"{part | epoch}\n" for part in (training, evaluation) if part]
    return "".join(lines)


def _printed_steps(rows: list[Row]) -> str:
    """As many training loops print: one line per row, the evaluation on a line of its own."""
    lines = []
    for row in rows:
        cells = [
            f"{name} {value}"
            for name, value in row.items()
            if name != "step" and not name.startswith("val_")
        ]
        lines += [f"step {row['step']} | {' | '.join(cells)}\n"] if cells else []
        lines += [f"step {row['step']} | val_loss {row['val_loss']}\n"] if "val_loss" in row else []
    return "".join(lines)


FORMS: Mapping[str, Callable[[list[Row]], str]] = {
    **FORMATS,
    "epoch lines": _epoch_lines,
    "console": _console,
    "step lines": _printed_steps,
}
FORM_KINDS = {
    "trainer state": ("Hugging Face",),
    "console": ("Hugging Face",),
    "JSON lines": ("epoch rows", "Hugging Face", "steps", "windows"),
    "JSON columns": ("epoch rows",),
    "Lightning": ("steps", "windows"),
    "Keras": ("epoch rows",),
    "printed": ("epoch rows", "steps", "windows"),
    "epoch lines": ("epoch rows",),
    "step lines": ("steps", "windows"),
}
"""Format -> kinds of log that are written in it."""


# Files


def _writing_rng(seed: int, fault: str) -> Rng:
    return np.random.default_rng([seed, 24, list(FAULTS).index(fault) + 1 if fault else 0])


def _faulty(seed: int, attempt: int, fault: str) -> Plan | None:
    """Draw a training with the fault. The family differs between attempts, since some faults have
    no effect in some families."""
    plan = replace(
        draw_plan(SICK_SEEDS + seed * MAX_ATTEMPTS + attempt), course="plain", fault=fault
    )
    return FAULTS[fault].inject(plan, np.random.default_rng([seed, attempt, 25]))


def draw_training(seed: int, fault: str = "") -> tuple[Training, Writing, list[str]]:
    """Draw trainings until one passes the rule: it went well, or the fault had its effect.

    Returns the training, the way to write its log, and what was wrong with those before it.
    Raises RuntimeError if MAX_ATTEMPTS trainings fail."""
    dropped: list[str] = []
    writing_rng = _writing_rng(seed, fault)
    for attempt in range(MAX_ATTEMPTS):
        plan = _faulty(seed, attempt, fault) if fault else draw_plan(seed, attempt)
        if plan is None:
            dropped.append(f"{fault}: does not apply")
            continue
        writing = draw_writing(writing_rng, plan)
        if fault and FAULTS[fault].needs_validation and writing.columns == ONLY_TRAINING:
            writing = replace(writing, columns=ALL_LOSSES)
        training = train(plan, evaluated_steps(plan, writing), writing.val_rows, writing.accuracy)
        if fault:
            reason = "" if FAULTS[fault].happened(training) else "had no effect"
        else:
            reason = why_not_healthy(training)
        if not reason and not rows_of(training, writing):
            reason = "no row of a log"
        if not reason:
            return training, writing, dropped
        dropped.append(f"{fault or plan.task.family}: {reason}")
    raise RuntimeError(
        f"seed {seed} {fault or 'healthy'}: {MAX_ATTEMPTS} trainings fail: {dropped}"
    )


def write_log(seed: int, folder: Path, fault: str = "") -> DrawnLog:
    """Train, write the log into the folder, and return its description."""
    training, writing, dropped = draw_training(seed, fault)
    plan, rows = training.plan, rounded(rows_of(training, writing), writing)
    name = f"{fault.replace(' ', '-') or 'healthy'}-{seed}.log"
    (folder / name).write_text(FORMS[writing.form](rows), encoding="utf-8")
    losses = sum("loss" in row for row in rows) or len(rows)
    return DrawnLog(
        str(folder / name),
        seed,
        "sick" if fault else "healthy",
        fault,
        plan.task.family,
        plan.course,
        plan.schedule,
        plan.optimizer,
        len(training.loss),
        writing,
        losses,
        training.full_train.tolist(),
        training.full_held.tolist(),
        dropped,
    )


def to_line(log: DrawnLog) -> str:
    """The description as one line of JSON."""
    return json.dumps(asdict(log))


def from_line(line: str) -> DrawnLog:
    fields = json.loads(line)
    return DrawnLog(**(fields | {"writing": Writing(**fields["writing"])}))
