"""Logs and records of a given size in bytes, in shapes that make slow or greedy code show."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

HEADER = '{"probes_record":1,"facts":{"vocab_size":64},"provenance":{}}'


def _joined(lines: Iterator[str], size: int) -> str:
    """As many lines as fit into `size` bytes."""
    kept, length = [], 0
    for line in lines:
        length += len(line) + 1
        if length > size:
            break
        kept.append(line)
    return "\n".join(kept) + "\n"


def _loss(row: int) -> float:
    return round(4 / (1 + row / 100) + 0.01 * (row * 7919 % 13), 4)


def _lines(line: Callable[[int], str], *head: str) -> Callable[[int], str]:
    def text(size: int) -> str:
        def lines() -> Iterator[str]:
            yield from head
            yield from map(line, count())

        return _joined(lines(), size)

    return text


def _row(row: int, **signals: Any) -> str:
    return json.dumps({"step": row, **signals}, separators=(",", ":"))


def _wide_csv(name: Callable[[int], str]) -> Callable[[int], str]:
    def text(size: int) -> str:
        """A header of half the size, at most the longest line, and rows."""
        names, length = ["step", "loss"], 10
        for place in count():
            length += len(name(place)) + 1
            if length > min(size // 2, 1_000_000):
                break
            names.append(name(place))
        rows = (f"{row},{_loss(row)}" + ",1" * (len(names) - 2) for row in count())
        return _joined((line for part in ([",".join(names)], rows) for line in part), size)

    return text


def _wide_rows(size: int) -> str:
    """Objects of as many keys as fit into a line."""
    keys = min(size // 20, 60_000)
    rows = (
        _row(row, loss=_loss(row), **{f"k{key}": key for key in range(keys)}) for row in count()
    )
    return _joined(rows, size)


def _wide_record(size: int) -> str:
    """Rows of a record with as many sites as a fifth of the size holds."""
    sites = {f"s{site}": 0.5 for site in range(size // 60)}
    rows = (_row(row, loss=_loss(row), activation=sites) for row in count())
    return _joined((line for part in ([HEADER], rows) for line in part), size)


def _sites_once(size: int) -> str:
    """A record that names its sites once, and then measures them in every row."""
    sites = size // 30
    names = json.dumps({"sites": {"activation": [f"s{site}" for site in range(sites)]}})
    rows = (_row(row, loss=_loss(row), activation=[0.5] * sites) for row in count())
    return _joined((line for part in ([HEADER, names], rows) for line in part), size)


def _not_finite(size: int) -> str:
    """A record whose sites become NaN one after the other."""
    sites = max(2, size // 2000)
    rows = (
        _row(row, loss="NaN", activation={f"s{site}": "NaN" for site in range(min(row + 1, sites))})
        for row in count()
    )
    return _joined((line for part in ([HEADER], rows) for line in part), size)


def _columns(size: int) -> str:
    """An object of lists."""
    rows = size // 20
    losses = list(map(_loss, range(rows)))
    return json.dumps({"step": list(range(rows)), "loss": losses})


def _trainer_state(size: int) -> str:
    rows = [{"step": row, "loss": _loss(row), "learning_rate": 0.1} for row in range(size // 60)]
    return json.dumps({"log_history": rows, "max_steps": len(rows)})


def _deep_record(size: int) -> str:
    """Facts as deep as a record may have them, many times."""
    deep = '{"a":' * 60 + "1" + "}" * 60
    facts = ",".join(f'"f{fact}":{deep}' for fact in range(size // 450))
    losses = "\n".join(_row(row, loss=_loss(row)) for row in range(30))
    return f'{{"probes_record":1,"facts":{{{facts}}},"provenance":{{}}}}\n{losses}\n'


LARGE_LOGS: dict[str, Callable[[int], str]] = {
    "long.csv": _lines(lambda row: f"{row},{_loss(row)},{_loss(row)}", "step,loss,val_loss"),
    "wide.csv": _wide_csv(lambda place: f"c{place}"),
    "metrics.csv": _wide_csv(lambda place: f"accuracy_{place}"),
    "losses.csv": _wide_csv(lambda place: f"loss_{place}"),
    "runs_as_columns.csv": _wide_csv(lambda place: f"r{place % 100} - loss_{place // 100}"),
    "runs_as_rows.csv": _lines(
        lambda row: f"{row // 900},{row % 900},{_loss(row % 900)}", "run,step,loss"
    ),
    "ragged.csv": _lines(lambda row: f"{row},{_loss(row)}" + ",1" * (row % 7), "step,loss"),
    "words.csv": _lines(lambda row: f"{row},{_loss(row)},word", "step,loss,word"),
    "jumps.csv": _lines(lambda row: f"{row * 7919 % 1000},{_loss(row)}", "step,loss"),
    "far.csv": _lines(lambda row: f"{row * 10**12},{_loss(row)}", "step,loss"),
    "nan.csv": _lines(lambda row: f"{row},nan,nan", "step,loss,val_loss"),
    "spikes.csv": _lines(lambda row: f"{row},{_loss(row) + 90 * (row % 97 == 0)}", "step,loss"),
    "long.jsonl": _lines(lambda row: _row(row, loss=_loss(row), lr=0.1)),
    "wide.jsonl": _wide_rows,
    "new_names.jsonl": _lines(lambda row: _row(row, loss=_loss(row), **{f"x{row}": 1})),
    "nested.jsonl": _lines(lambda row: _row(row, loss=_loss(row), a={"b": {"c": {"d": [1] * 9}}})),
    "damaged.jsonl": _lines(lambda row: _row(row, loss=_loss(row))[: 99 if row % 30 else 9]),
    "columns.json": _columns,
    "trainer_state.json": _trainer_state,
    "printed.log": _lines(lambda row: f"iter {row}: loss {_loss(row)}, time 1.5ms"),
    "bars.log": _lines(lambda row: f"  {row}/900 [==>..] - loss: {_loss(row)}\r" * 8),
    "prose.log": _lines(lambda row: f"line {row} of a log that names no value: a=b, c = d"),
    "table.md": _lines(lambda row: f"| {row} | {_loss(row)} |", "| step | loss |", "| --- | --- |"),
    "long_record.jsonl": _lines(
        lambda row: _row(row, loss=_loss(row), grad_norm=1.0, lr=0.1), HEADER
    ),
    "wide_record.jsonl": _wide_record,
    "sites_once.jsonl": _sites_once,
    "new_sites.jsonl": _lines(lambda row: _row(row, activation={f"s{row}": 1.0}), HEADER),
    "few_new_sites.jsonl": _lines(
        lambda row: _row(row, loss=_loss(row), activation={f"s{row % 1000}": 1.0}), HEADER
    ),
    "not_finite.jsonl": _not_finite,
    "deep_record.jsonl": _deep_record,
    "empty_rows.jsonl": _lines(_row, HEADER),
}
"""Name of a file -> its text, for a size in bytes. The text is at most that long, apart from one
line."""
