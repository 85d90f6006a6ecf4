"""The card beside a run's panels: what was diagnosed, on what evidence, and where the record comes
from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from probes.charts.scale import number
from probes.diagnosis.base import Finding
from probes.diagnosis.diagnose import Diagnosis
from probes.panels.describe import fact
from probes.panels.site_lines import measured
from probes.record import Record
from probes.report.document import SENTENCE, text

MOST_FINDINGS = 12
MOST_ROWS = 120
"""Facts and leaves of the config that are listed."""
RUNGS = {"uniform": "nothing", "unigram": "how often each symbol occurs", "bigram": "the symbol before",
         "ngram": "the symbols before (best n-gram)", "floor": "everything before (entropy floor)"}  # fmt: skip
"""The ladder: what a model knows that scores just this, in the order of knowing more."""


def card(record: Record, diagnosis: Diagnosis, anchor: str) -> str:
    """What was diagnosed and on what evidence, what could not be judged, and where the record comes
    from."""
    return (
        f'<article class="card" aria-labelledby="{anchor}-diagnosis">\n'
        f'<h3 id="{anchor}-diagnosis">Diagnosis</h3>\n'
        f'<p class="headline">{text(diagnosis.headline, SENTENCE)}</p>\n'
        + "".join(_causes(diagnosis))
        + _findings(diagnosis.findings)
        + _remarks(diagnosis.remarks)
        + _judged(diagnosis)
        + _ladder(record)
        + _origin(record)
        + "</article>"
    )


def _causes(diagnosis: Diagnosis) -> Iterator[str]:
    """The first cause in full, the others by name."""
    if not diagnosis.causes:
        return
    first = diagnosis.causes[0]
    since = (
        "" if first.certain_since is None else f", certain since step {number(first.certain_since)}"
    )
    margin = "the sole cause" if diagnosis.margin is None else f"margin {diagnosis.margin:.2f}"
    yield (
        f"<dl><dt>What it means</dt><dd>{text(first.meaning, SENTENCE)}</dd>"
        f"{_or_else(first.or_else)}"
        f"<dt>Remedy</dt><dd>{text(first.remedy, SENTENCE)}</dd>"
        f"<dt>Standing</dt><dd>strength {first.strength:.2f}, {margin}{since}</dd>"
    )
    if others := [f"{cause.name} ({cause.strength:.2f})" for cause in diagnosis.causes[1:]]:
        yield f"<dt>Also possible</dt><dd>{text(', '.join(others), SENTENCE)}</dd>"
    yield "</dl>\n"


def _or_else(names: Sequence[str]) -> str:
    """What the run's signals cannot tell from the cause."""
    return f"<dt>May also be</dt><dd>{text(' or '.join(names), SENTENCE)}</dd>" if names else ""


def _remarks(remarks: Sequence[str]) -> str:
    """What is no fault."""
    items = "".join(f"<li>{text(remark, SENTENCE)}</li>" for remark in remarks)
    return (
        f'<dl><dt>Worth knowing</dt><dd><ul class="remarks">{items}</ul></dd></dl>\n'
        if items
        else ""
    )


def _findings(findings: Sequence[Finding]) -> str:
    """What was found, each symptom with its limit once: at how many sites, since when and how bad
    it became."""
    groups: dict[tuple[str, float, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.symptom, finding.limit, finding.source), []).append(finding)
    if not groups:
        return ""
    items = "".join(map(_item, list(groups.values())[:MOST_FINDINGS]))
    more = f"<li>and {len(groups) - MOST_FINDINGS} more</li>" if len(groups) > MOST_FINDINGS else ""
    return f'<ul class="findings">{items}{more}</ul>\n'


def _item(group: Sequence[Finding]) -> str:
    first, worst = group[0], max(group, key=lambda f: f.strength)
    sites = list(dict.fromkeys(f.site for f in group if f.site))
    others = f" and {len(sites) - 1} more" if len(sites) > 1 else ""
    at = f" at <code>{text(sites[0])}</code>{others}" if sites else ""
    began = "" if first.onset is None else f" (began at {number(first.onset)})"
    reach = "" if len(group) == 1 else "up to " if worst.worse == "above" else "down to "
    when = f"{'step' if len(group) == 1 else 'since step'} {number(first.step)}{began}"
    return (
        f"<li><b>{text(first.symptom)}</b>{at}, {when}: "
        f"observed {reach}{number(worst.observed)}, limit {number(first.limit)} ({first.worse} is worse)"
        f"<small>limit from: {text(first.source, SENTENCE)}</small></li>"
    )


def _judged(diagnosis: Diagnosis) -> str:
    judged = text(", ".join(diagnosis.judged) or "nothing", SENTENCE)
    items = "".join(
        f"<li>{text(', '.join(names), SENTENCE)}<small>{text(why, SENTENCE)}</small></li>"
        for why, names in diagnosis.why_not_judged.items()
    )
    unjudged = f'<dt>Not judged</dt><dd><ul class="unjudged">{items}</ul></dd>' if items else ""
    return f"<dl><dt>Judged</dt><dd>{judged}</dd>{unjudged}</dl>\n"


def _origin(record: Record) -> str:
    """Facts and provenance, folded: one row per leaf."""
    rows = [
        *_leaves("", record.provenance),
        *_leaves("", {k: v for k, v in record.facts.items() if k != "sites"}),
    ]
    if not rows:
        return ""
    body = "".join(
        f"<tr><th scope=row>{text(name)}</th><td>{text(value, 200)}</td></tr>"
        for name, value in rows[:MOST_ROWS]
    )
    more = f"<tr><td>and {len(rows) - MOST_ROWS} more</td></tr>" if len(rows) > MOST_ROWS else ""
    return (
        f"<details><summary>Facts and provenance</summary><table>{body}{more}</table></details>\n"
    )


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, number(value) if isinstance(value, float) else str(value)


def _ladder(record: Record) -> str:
    """What the losses mean: this run's last ones among those of models that know a given thing and
    use it perfectly."""
    rows = {
        name: [fact(record, "ladder", split, rung) for split in ("train", "val")]
        for rung, name in RUNGS.items()
    }
    if not any(value is not None for values in rows.values() for value in values):
        return ""
    ends = (measured(record, signal)[1] for signal in ("train_loss", "val_loss"))
    rows["this run, at the end"] = [float(values[-1]) if len(values) else None for values in ends]
    body = "".join(
        f"<tr><th scope=row>{name}</th>{''.join(f'<td>{_cell(value)}</td>' for value in values)}</tr>"
        for name, values in rows.items()
    )
    head = "<tr><th scope=col>Loss of a model that knows</th><th scope=col>train</th><th scope=col>validation</th></tr>"
    return f'<table class="ladder">{head}{body}</table>\n'


def _cell(value: float | None) -> str:
    return "–" if value is None else number(value, 3)
