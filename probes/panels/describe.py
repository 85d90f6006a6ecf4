"""What a run shows, in words: numbers out of its lines, and a plain statement of what is not
there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from probes.charts.plot import Line
from probes.charts.scale import number
from probes.common.text import one_line
from probes.diagnosis.base import Finding
from probes.diagnosis.detectors import nonfinite
from probes.diagnosis.diagnose import Diagnosis
from probes.panels.site_lines import measured
from probes.record import Record
from probes.record.signals import BY_NAME


def short(value: float) -> str:
    return number(value, 3)


def course(line: Line) -> str:
    """`4.66 → 0.35`: where a line begins and where it ends, among its finite values."""
    values = line.values[np.isfinite(line.values)]
    return f"{short(values[0])} → {short(values[-1])}" if len(values) else "never finite"


def highest(lines: Sequence[Line]) -> tuple[float, int, str] | None:
    """(value, step, label) of the highest finite value, the first of equals."""
    best = None
    for line in lines:
        values = np.where(np.isfinite(line.values), line.values, -np.inf)
        if len(values) and values.max() > (best[0] if best else -np.inf):
            at = int(values.argmax())
            best = (float(values[at]), int(line.steps[at]), line.label)
    return best


def lowest(lines: Sequence[Line]) -> tuple[float, int, str] | None:
    """(value, step, label) of the lowest finite value, the first of equals."""
    turned = [Line(line.label, line.steps, -line.values) for line in lines]
    best = highest(turned)
    return (-best[0], *best[1:]) if best else None


def ends(lines: Sequence[Line]) -> tuple[tuple[float, str], tuple[float, str]] | None:
    """The lowest and the highest of the lines' last finite values, with their labels."""
    last = [
        (float(line.values[finite[-1]]), line.label)
        for line in lines
        if len(finite := np.flatnonzero(np.isfinite(line.values)))
    ]
    return (min(last), max(last)) if last else None


def spread(lines: Sequence[Line], what: str) -> str:
    """`what` at the end over all lines, and the highest it ever was."""
    last, top = ends(lines), highest(lines)
    if last is None or top is None:
        return ""
    (low, low_name), (high, high_name) = last
    between = (
        f"{short(low)} ({low_name}) to {short(high)} ({high_name})"
        if len(lines) > 1
        else short(high)
    )
    where = f" ({top[2]})" if len(lines) > 1 else ""
    return f"{what} ends at {between}; highest {short(top[0])} at step {top[1]}{where}."


def absent(record: Record, signals: Sequence[str]) -> str:
    """`Not recorded: a, b.`, or nothing when all of the signals were."""
    missing = [signal for signal in signals if not record.sites(signal)]
    return f"Not recorded: {', '.join(missing)}." if missing else ""


def failures(record: Record, signals: Sequence[str]) -> str:
    """Which signals were not finite, how often and since when; nothing when all always were."""
    parts = []
    for signal in signals:
        seen = [measured(record, signal, site) for site in record.sites(signal) or ("",)]
        bad = np.concatenate([steps[~np.isfinite(values)] for steps, values in seen])
        if len(bad):
            total = sum(len(steps) for steps, _ in seen)
            parts.append(f"{signal} from step {bad.min()} ({len(bad)} of {total} values)")
    return f"Not finite: {'; '.join(parts)}." if parts else ""


def found(findings: Sequence[Finding]) -> str:
    """The findings that a panel should make visible."""
    parts = [
        f"{f.symptom}{f' at {one_line(f.site, 60)}' if f.site else ''}, step {f.step} "
        f"({short(f.observed)}, limit {short(f.limit)})"
        for f in findings
    ]
    return f"Found: {'; '.join(parts[:3])}{' and more' * (len(parts) > 3)}." if parts else ""


def concerning(
    diagnosis: Diagnosis | None, words: frozenset[str], signals: Sequence[str]
) -> list[Finding]:
    """The findings whose symptom has one of the words in its name: `gradient` in
    `first-gradient-large`.

    A value that is not finite concerns whoever draws the signal in which it arose.
    """
    findings = diagnosis.findings if diagnosis else ()
    return [
        finding
        for finding in findings
        if words.intersection(finding.symptom.split("-"))
        or (finding.symptom == nonfinite.SYMPTOM and _signal_at(finding.site) in signals)
    ]


def _signal_at(site: str) -> str:
    """The signal that shows a site: `lr`, `spectral_norm.embed.weight`, `embed.grad`, or else a
    layer's activation."""
    name = site.partition(".")[0]
    if site.endswith(".grad") or name.startswith("grad_norm"):
        return "grad_norm"
    return name if name in BY_NAME else "activation"


def fact(record: Record, *path: str) -> float | None:
    """A finite number among the facts, down a path of keys; None when there is none."""
    value: Any = record.facts
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if usable else None


def unit_of_loss(record: Record) -> str:
    """What a loss is counted in, as far as the facts say: a ladder is one of tokens, a vocabulary
    makes an entropy."""
    if isinstance(record.facts.get("ladder"), dict):
        return "nats per token"
    return "nats" if fact(record, "vocab_size") is not None else "loss"


def stated(record: Record, name: str) -> str:
    """A fact as text; "" when the record does not state it."""
    value = record.facts.get(name)
    return one_line(value, 60) if value is not None else ""
