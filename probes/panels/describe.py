"""Sentences about a run: numbers from its lines, its findings, and the signals that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from probes.charts.plot import Line
from probes.charts.scale import number
from probes.common.text import one_line
from probes.diagnosis.base import Finding
from probes.panels.lines import measured, site_lines
from probes.record import Record

MAX_FINDINGS = 3
"""Largest number of findings in the text of a panel."""
MAX_FACT = 1e300
"""Facts of this size or larger are ignored, because no chart can show them."""


def short(value: float) -> str:
    """Format a number with three significant digits."""
    return number(value, 3)


def first_to_last(line: Line) -> str:
    """The first and the last finite value of a line, as `4.66 → 0.35`."""
    values = line.values[np.isfinite(line.values)]
    return f"{short(values[0])} → {short(values[-1])}" if len(values) else "never finite"


def highest(lines: Sequence[Line]) -> tuple[float, int, str] | None:
    """The highest finite value, its step and the label of its line; None if no value is finite.

    If several values are equally high, the first value of the first such line is returned.
    """
    best = None
    for line in lines:
        values = np.where(np.isfinite(line.values), line.values, -np.inf)
        if len(values) and values.max() > (best[0] if best else -np.inf):
            at = int(values.argmax())
            best = (float(values[at]), int(line.steps[at]), line.label)
    return best


def lowest(lines: Sequence[Line]) -> tuple[float, int, str] | None:
    """The lowest finite value, its step and the label of its line; None if no value is finite."""
    best = highest([Line(line.label, line.steps, -line.values) for line in lines])
    return (-best[0], *best[1:]) if best else None


def last_range(lines: Sequence[Line]) -> tuple[tuple[float, str], tuple[float, str]] | None:
    """The lowest and the highest of the lines' last finite values, each with the label of its line;
    None if no value is finite."""
    last = [
        (float(line.values[finite[-1]]), line.label)
        for line in lines
        if len(finite := np.flatnonzero(np.isfinite(line.values)))
    ]
    return (min(last), max(last)) if last else None


def range_sentence(signal: str, quantity: str, record: Record) -> str:
    """The range of a signal over its sites at the end of a run, and its highest value; "" if no
    value is finite.

    quantity  the subject of the sentence
    """
    lines = site_lines(record, signal)
    last, top = last_range(lines), highest(lines)
    if last is None or top is None:
        return ""
    (low, low_name), (high, high_name) = last
    if len(lines) == 1:
        return f"{quantity} ends at {short(high)}; highest {short(top[0])} at step {top[1]}."
    return (
        f"{quantity} ends at {short(low)} ({low_name}) to {short(high)} ({high_name}); "
        f"highest {short(top[0])} at step {top[1]} ({top[2]})."
    )


def not_recorded_sentence(record: Record, signals: Sequence[str]) -> str:
    """`Not recorded: a, b.`; "" when all signals were recorded."""
    missing = [signal for signal in signals if not record.sites(signal)]
    return f"Not recorded: {', '.join(missing)}." if missing else ""


def not_finite_sentence(record: Record, signals: Sequence[str]) -> str:
    """The signals with non-finite values, the first step and the number of these values; "" when
    all values were finite."""
    parts = []
    for signal in signals:
        series = [measured(record, signal, site) for site in record.sites(signal) or ("",)]
        bad = np.concatenate([steps[~np.isfinite(values)] for steps, values in series])
        if len(bad):
            total = sum(len(steps) for steps, _ in series)
            parts.append(f"{signal} from step {bad.min()} ({len(bad)} of {total} values)")
    return f"Not finite: {'; '.join(parts)}." if parts else ""


def findings_sentence(findings: Sequence[Finding]) -> str:
    """The first MAX_FINDINGS findings in words; "" without findings."""
    parts = [
        f"{f.symptom}{f' at {one_line(f.site, 60)}' if f.site else ''}, step {f.step} "
        f"({short(f.observed)}, limit {short(f.limit)})"
        for f in findings[:MAX_FINDINGS]
    ]
    more = " and more" if len(findings) > MAX_FINDINGS else ""
    return f"Found: {'; '.join(parts)}{more}." if parts else ""


def fact_number(record: Record, *path: str) -> float | None:
    """Look a number up in the nested facts of a record; `path` holds the key of each level. Returns
    None if there is no finite number."""
    value: Any = record.facts
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < MAX_FACT else None


def unit_of_loss(record: Record) -> str:
    """The unit of the loss, as far as it follows from the facts of the record.

    If the facts contain a ladder of reference losses, the loss is a mean over tokens. If they
    contain a vocabulary size, the loss is a cross-entropy. Otherwise the unit is not known.
    """
    if isinstance(record.facts.get("ladder"), dict):
        return "nats per token"
    return "nats" if fact_number(record, "vocab_size") is not None else "loss"


def fact_text(record: Record, name: str) -> str:
    """A fact as text; "" if the record does not contain it."""
    value = record.facts.get(name)
    return one_line(value, 60) if value is not None else ""
