"""Logs and records that no trainer writes: drawn with extreme values, and mutated.

`draw_log` draws a log whose syntax is right and whose content is extreme: steps of any sign and
size, values from the smallest to the largest float, facts of any type, many sites. `mutated`
damages a log: bytes, numbers, columns and lines. Both take a `random.Random`, so that a seed
repeats them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from math import exp, inf, isfinite, nan
from random import Random
from typing import Any

from testing.logs import KERAS, KERAS_HISTORY, LIGHTNING, TRAINER_LOG, TRAINER_STATE

Rows = list[dict[str, Any]]
SMALLEST, LARGEST = 5e-324, 1.7976931348623157e308
NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 64, 0.0, -0.0, 0.5, 1e-5, 1e5, 1e16, 1e160, -1e160, LARGEST, -LARGEST, SMALLEST,
    1e-310, nan, inf, -inf, 2**31, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -(2**63),
    -(2**63) - 1, 2**64, 10**40, 10**400, -(10**400),
)  # fmt: skip
"""Numbers at the ends of what types can hold."""
OTHERS: tuple[Any, ...] = (
    None, True, False, "", "x", "NaN", "Infinity", "1.5", "1e999", "-", [], {}, [1, 2], [[]],
    {"a": 1}, {"": 1}, [None], "\u202e\u001b[31m", "a\nb", "\ud800",
)  # fmt: skip
"""Values that are not numbers."""
FACTS = (
    "vocab_size", "total_steps", "schedule", "clip_norm", "ladder", "fan_in", "objective",
    "metric_direction", "ended", "sites", "batch_size", "warmup_steps",
)  # fmt: skip
SITE_SIGNALS = (
    "activation", "update_weight_ratio", "dead_fraction", "attention_entropy", "metric",
    "nonfinite_count", "grad_norm_by_layer", "spectral_norm",
)  # fmt: skip
RUN_SIGNALS = ("loss", "train_loss", "val_loss", "lr", "grad_norm")
COLUMNS = (*RUN_SIGNALS, "accuracy", "val_accuracy", "reward", "epoch", "eval_loss", "perplexity")


# Logs that are drawn


def draw_log(rng: Random) -> bytes:
    """A log in a drawn format, with drawn steps, values and facts."""
    rows = draw_rows(rng)
    write = rng.choice(WRITERS)
    if rng.random() < 0.4:
        return draw_record(rng, rows).encode(errors="surrogatepass")
    return write(rows).encode(errors="surrogatepass")


def draw_rows(rng: Random) -> Rows:
    """Rows of a log: a step and some columns. Steps and values may be of any sign and size."""
    count = rng.choice((0, 1, 2, 3, 5, 9, 20, 24, 40, 60, 120))
    start = rng.choice((0, 1, -1, -5, -count, 10, 2**53, 2**60, -(2**63), 2**63 - 1 - 2 * count))
    stride = rng.choice((1, 1, 1, 2, 10, 10**6, 2**50, 2**63 // max(1, count // 2), -1, 0))
    columns = rng.sample(COLUMNS, rng.randint(1, 5))
    curves = {name: draw_curve(rng, count) for name in columns}
    every = {name: rng.choice((1, 1, 1, 5, 10)) for name in columns}
    return [
        {"step": start + row * stride}
        | {name: curves[name][row] for name in columns if row % every[name] == 0}
        for row in range(count)
    ]


def draw_curve(rng: Random, count: int) -> list[Any]:
    """A curve of drawn shape, noise, scale and sign, in which some values may be replaced."""
    shape: Callable[[float], float] = rng.choice(
        (
            lambda x: 3 - 2 * x,
            lambda x: 1 + 3 * exp(-9 * x),
            lambda x: 1 + 2 * x,
            lambda x: abs(x - 0.4) + 0.1,
            lambda _: 2.0,
            lambda _: 0.0,
            lambda x: 1e300**x,
            lambda x: 2 - 4 * x,
        )
    )
    noise = rng.choice((0.0, 0.0, 0.01, 0.5, 5.0))
    scale = rng.choice((1.0, 1.0, 1.0, -1.0, 10.0 ** rng.randint(-323, 308), SMALLEST, -1e160))
    values: list[Any] = [
        (shape(row / count) + noise * rng.gauss(0, 1)) * scale for row in range(count)
    ]
    if rng.random() < 0.2:
        values = [round(value) if isfinite(value) else value for value in values]
    if values and rng.random() < 0.3:
        at = rng.randrange(count)
        until = rng.choice((at + 1, count))
        values[at:until] = [rng.choice(NUMBERS)] * (until - at)
    return values


def draw_value(rng: Random, depth: int = 3) -> Any:
    """A value of any JSON type."""
    if depth and rng.random() < 0.3:
        if rng.random() < 0.5:
            return [draw_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
        names = rng.choices(("train", "val", "floor", "unigram", "bigram", "a", "up"), k=2)
        return {name: draw_value(rng, depth - 1) for name in names}
    return rng.choice(NUMBERS + OTHERS)


def draw_record(rng: Random, rows: Rows) -> str:
    """The text of a record of this package with these rows, with facts, sites and an end line."""
    facts: dict[str, Any] = {"vocab_size": 64, "total_steps": max(1, len(rows))}
    for name in rng.sample(FACTS, rng.randint(0, 4)):
        facts[name] = draw_value(rng)
    if rng.random() < 0.1:
        deep: Any = 1
        for _ in range(rng.choice((10, 62, 64, 150))):
            deep = [deep] if rng.random() < 0.5 else {"a": deep}
        facts["deep"] = deep
    lines = [{"probes_record": 1, "facts": facts, "provenance": {"name": rng.choice(("a", 1, ""))}}]
    sites = [f"s{site}" for site in range(rng.choice((1, 2, 3, 40)))]
    signals = rng.sample(SITE_SIGNALS, rng.randint(0, 3))
    curves = {name: draw_curve(rng, len(rows)) for name in signals}
    as_list = rng.random() < 0.5
    if as_list:
        lines.append({"sites": dict.fromkeys(signals, sites)})
    for place, row in enumerate(rows):
        line = {name: value for name, value in row.items() if name in ("step", *RUN_SIGNALS)}
        for name in signals:
            value = curves[name][place]
            line[name] = [value] * len(sites) if as_list else dict.fromkeys(sites, value)
        lines.append(line)
    if rng.random() < 0.3:
        stopped = {"step": rng.choice(NUMBERS), "total_steps": rng.choice(NUMBERS), "cause": "x"}
        end = {"complete": rng.random() < 0.5}
        lines.append({"end": end | ({"stopped": stopped} if rng.random() < 0.5 else {})})
    return "".join(as_json(line) + "\n" for line in lines)


# Formats


def as_json(value: Any) -> str:
    """JSON in which values that are not finite are strings half the time, as records have them."""
    if isinstance(value, float) and not isfinite(value):
        return {"nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}[str(value)]
    if isinstance(value, Mapping):
        inner = (f"{json.dumps(str(key))}:{as_json(each)}" for key, each in value.items())
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(as_json, value)) + "]"
    return json.dumps(value)


def _names(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def as_csv(rows: Rows) -> str:
    names = _names(rows)
    table = (",".join(str(row.get(name, "")) for name in names) for row in rows)
    return "\n".join([",".join(names), *table]) + "\n"


def as_lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_trainer_state(rows: Rows) -> str:
    return json.dumps({"log_history": rows, "max_steps": len(rows), "global_step": len(rows)})


def as_columns(rows: Rows) -> str:
    return json.dumps({name: [row.get(name) for row in rows] for name in _names(rows)})


def as_printed(rows: Rows) -> str:
    return "".join(", ".join(f"{name}: {row[name]}" for name in row) + "\n" for row in rows)


def as_table(rows: Rows) -> str:
    names = _names(rows)
    lines = [names, ["---"] * len(names)]
    lines += [[str(row.get(name, "")) for name in names] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_sacred(rows: Rows) -> str:
    """The metrics of Sacred, each with its own steps."""
    points = {name: [row for row in rows if name in row] for name in _names(rows)}
    return json.dumps(
        {
            name: {
                "steps": [row["step"] for row in own],
                "timestamps": ["2026-01-01T00:00:00"] * len(own),
                "values": [row[name] for row in own],
            }
            for name, own in points.items()
            if name != "step"
        },
        indent=2,
    )


def as_metric(rows: Rows) -> str:
    """MLflow's file of the last column."""
    name = _names(rows)[-1] if rows else ""
    own = (row for row in rows if name in row)
    lines = (f"{10**12 + place} {row[name]} {row['step']}\n" for place, row in enumerate(own))
    return "".join(lines)


WRITERS = (
    as_csv, as_lines, as_trainer_state, as_columns, as_printed, as_table, as_sacred, as_metric,
)  # fmt: skip


# Logs that are mutated


def _curve(row: int, count: int = 60) -> float:
    return round(1 + 3 * exp(-5 * row / count) + 0.01 * (row * 7919 % 13), 4)


ROWS: Rows = [
    {"step": row, "loss": _curve(row), "lr": 0.001, "grad_norm": 1.0 + row % 3}
    | ({"val_loss": _curve(row) + 0.1, "accuracy": row / 60} if row % 5 == 0 else {})
    for row in range(60)
]
RECORD = draw_record(Random(0), []).split("\n")[0] + "\n" + "".join(
    as_json(
        {name: row[name] for name in row if name != "accuracy"}
        | {"activation": {"embed": 0.1, "blocks.0": 1.0}, "dead_fraction": {"ffn": 0.0}}
        | {"update_weight_ratio": {"up": 0.01}, "attention_entropy": {"attn.0": 0.8}}
    )
    + "\n"
    for row in ROWS
)  # fmt: skip
SEEDS: tuple[bytes, ...] = tuple(
    text.encode()
    for text in (
        RECORD,
        RECORD + '{"end":{"complete":true}}\n',
        as_csv(ROWS),
        as_csv(ROWS).replace(",", ";"),
        as_csv(ROWS).replace(",", "\t"),
        as_lines(ROWS),
        as_trainer_state(ROWS),
        as_columns(ROWS),
        as_printed(ROWS),
        as_table(ROWS),
        as_sacred(ROWS),
        as_metric([{"step": row["step"], "loss": row["loss"]} for row in ROWS]),
        TRAINER_STATE,
        TRAINER_LOG,
        LIGHTNING,
        KERAS,
        KERAS_HISTORY,
        "run,step,loss\n" + "".join(f"r{row % 2},{row},{_curve(row)}\n" for row in range(60)),
        "Step,a - loss,b - loss\n" + "".join(f"{row},{_curve(row)},{row}\n" for row in range(40)),
        "".join(f"Epoch [{row // 10}][{row % 10}/10] loss {_curve(row)}\n" for row in range(60)),
        "".join(f"{row}/60 [==>...] - loss: {_curve(row)}\r" for row in range(60)) + "\n",
        json.dumps({"loss": {"steps": list(range(60)), "values": [_curve(r) for r in range(60)]}}),
    )
)
"""A valid log in each of the text formats."""
_LIST = re.compile(rb"\[[^\[\]]*\]|\{[^{}]*\}")
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORDS = tuple(
    word.encode()
    for word in (
        *COLUMNS, *FACTS, *SITE_SIGNALS, "step", "loss", "total_steps", "train_runtime", "end",
        "sites", "probes_record", "log_history", "run", "nan", "loss is nan, stopping training",
        "CUDA out of memory", "Traceback (most recent call last):", ",", "{", "}", "[", "]", '"',
        ":", "\n", "\r", "\t", ";", "|", "\0", "\ufeff", "%", "1/9", "#",
    )
)  # fmt: skip


def mutated(rng: Random, log: bytes, others: Sequence[bytes] = SEEDS) -> bytes:
    """A log after one to four mutations. `others` are logs from which pieces are inserted."""
    mutations = (
        _bytes, _numbers, _numbers, _column, _column, _lines, _lines, _word, _cut, _splice, _list,
    )  # fmt: skip
    for _ in range(rng.randint(1, 4)):
        mutate = rng.choice(mutations)
        log = mutate(rng, log, others)
    return log


def _number(rng: Random) -> bytes:
    value = rng.choice(NUMBERS + OTHERS) if rng.random() < 0.5 else rng.gauss(0, 1)
    if isinstance(value, float) and rng.random() < 0.3:
        value = value * 10.0 ** rng.randint(-300, 300)
    return (str(value) if rng.random() < 0.5 else as_json(value)).encode(errors="surrogatepass")


def _place(rng: Random, log: bytes) -> int:
    return rng.randint(0, len(log))


def _bytes(rng: Random, log: bytes, _: Sequence[bytes]) -> bytes:
    at = _place(rng, log)
    return log[:at] + rng.randbytes(rng.randint(0, 4)) + log[at + rng.randint(0, 4) :]


def _numbers(rng: Random, log: bytes, _: Sequence[bytes]) -> bytes:
    """Replace a number."""
    found = list(_NUMBER.finditer(log))
    if not found:
        return log
    one = rng.choice(found)
    return log[: one.start()] + _number(rng) + log[one.end() :]


def _list(rng: Random, log: bytes, _: Sequence[bytes]) -> bytes:
    """Replace a list or an object by a value of any type."""
    found = list(_LIST.finditer(log))
    if not found:
        return log
    one = rng.choice(found)
    value = as_json(draw_value(rng)).encode(errors="surrogatepass")
    return log[: one.start()] + value + log[one.end() :]


def _column(rng: Random, log: bytes, _: Sequence[bytes]) -> bytes:
    """Replace the number at the same place of every line from some line on."""
    place, first = rng.randrange(8), rng.choice((0, rng.randrange(60)))
    factor, offset = 10.0 ** rng.randint(-320, 308), rng.choice((0, 0, -3.0, 1e300, 2.0**60))
    fixed = _number(rng) if rng.random() < 0.5 else None
    lines = log.split(b"\n")
    for at in range(min(first, len(lines)), len(lines)):
        found = list(_NUMBER.finditer(lines[at]))
        if place < len(found):
            one = found[place]
            new = fixed or repr(float(one[0][:300]) * factor + offset).encode()
            lines[at] = lines[at][: one.start()] + new + lines[at][one.end() :]
    return b"\n".join(lines)


def _lines(rng: Random, log: bytes, _: Sequence[bytes]) -> bytes:
    """Repeat, remove, move or reverse lines."""
    lines = log.split(b"\n")
    at, end = sorted((rng.randrange(len(lines)), rng.randrange(len(lines))))
    part = lines[at : end + 1]
    change = rng.randrange(5)
    if change == 0:
        part = part * 2
    elif change == 1:
        part = []
    elif change == 2:
        part = part[::-1]
    elif change == 3:
        rng.shuffle(part)
    else:
        part = part[:1] * rng.choice((2, 30))
    return b"\n".join([*lines[:at], *part, *lines[end + 1 :]])


def _word(rng: Random, log: bytes, _: Sequence[bytes]) -> bytes:
    """Insert a word, or replace all occurrences of one by another."""
    if rng.random() < 0.5:
        return log.replace(rng.choice(_WORDS[:30]), rng.choice(_WORDS))
    at = _place(rng, log)
    return log[:at] + rng.choice(_WORDS) + log[at:]


def _cut(rng: Random, log: bytes, _: Sequence[bytes]) -> bytes:
    """Cut the end or the beginning off."""
    at = _place(rng, log)
    return log[:at] if rng.random() < 0.7 else log[at:]


def _splice(rng: Random, log: bytes, others: Sequence[bytes]) -> bytes:
    """Insert a piece of another log."""
    other = rng.choice(others)
    begin, end = sorted((_place(rng, other), _place(rng, other)))
    at = _place(rng, log)
    return log[:at] + other[begin:end] + log[at:]
