"""Write the tables of docs/zoo.md from `model.zoo` and the labels in model/zoo_harm.json.

python -m studies.zoo_page
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from model.zoo import CATEGORIES, ZOO, Category, Fault
from probes.common.markdown import markdown_table
from studies.zoo_harm import LABELS, doses_of
from testing.marker_blocks import write_block

PAGE = Path(__file__).resolve().parent.parent / "docs" / "zoo.md"
HEAD = ("fault", "change", "dose", "harm", "expected cause", "by step", "remedy", "source")
COUNTS_HEAD = ("category", "faults", "with a cause of their own", "harm at full dose")
NOT_MEASURED = "not measured yet"
FAMILY_ONLY = "shows only beside a family of healthy runs"

Harms = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Name of a fault -> dose -> the fields of `studies.zoo_harm.Harm`."""


def measured_harms() -> Harms:
    """The content of model/zoo_harm.json."""
    harms: Harms = json.loads(LABELS.read_text(encoding="utf-8"))
    return harms


def counts_table(harms: Harms) -> str:
    """One row per category and a last one for the whole zoo, as Markdown."""
    rows = [_counts_row(category, _faults_of(category), harms) for category in CATEGORIES]
    return "\n".join(
        markdown_table(COUNTS_HEAD, [*rows, _counts_row("all", list(ZOO.values()), harms)])
    )


def category_table(category: Category, harms: Harms) -> str:
    """One row per fault of the category, in the order of the zoo, as Markdown."""
    rows = [fault_row(fault, harms.get(fault.name, {})) for fault in _faults_of(category)]
    return "\n".join(markdown_table(HEAD, rows))


def fault_row(fault: Fault, harms: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The cells of a fault. `harms` holds its labels by dose, as far as they were measured."""
    return (
        f"`{fault.name}`",
        f"`{fault.diff}`",
        _doses(fault),
        _harm(fault, harms),
        _expected(fault),
        str(fault.certain_by),
        fault.remedy,
        fault.source,
    )


def _faults_of(category: Category) -> list[Fault]:
    return [fault for fault in ZOO.values() if fault.category == category]


def _counts_row(name: str, faults: Sequence[Fault], harms: Harms) -> tuple[str, ...]:
    labels = Counter(
        harms.get(fault.name, {}).get(f"{fault.full_dose:g}", {}).get("label", NOT_MEASURED)
        for fault in faults
    )
    order = ("harmful", "deceptive", "borderline", "harmless", NOT_MEASURED)
    return (
        name,
        str(len(faults)),
        str(sum(not fault.family for fault in faults)),
        ", ".join(f"{labels[label]} {label}" for label in order if labels[label]),
    )


def _doses(fault: Fault) -> str:
    """All doses, the full one in bold; a dash if the fault has no dose."""
    if not fault.doses and "dose" not in fault.diff:
        return "–"
    return ", ".join(
        f"**{dose:g}**" if dose == fault.full_dose else f"{dose:g}" for dose in doses_of(fault)
    )


def _harm(fault: Fault, harms: Mapping[str, Mapping[str, Any]]) -> str:
    if not harms:
        return NOT_MEASURED
    cells = []
    for dose, harm in harms.items():
        val, train = (
            "not finite" if harm[key] is None else f"x {harm[key]:.2f}" for key in ("val", "train")
        )
        prefix = f"{dose}: " if fault.doses else ""
        cells.append(f"{prefix}{harm['label']}, val {val}, train {train} ({harm['seeds']} seeds)")
    return "; ".join(cells)


def _expected(fault: Fault) -> str:
    if fault.cause is None:
        return FAMILY_ONLY
    also = ", ".join(f"`{name}`" for name in sorted(fault.also))
    return f"`{fault.cause}`" + (f"; also right: {also}" if also else "")


TABLES: Mapping[str, Callable[[Harms], str]] = {
    "counts": counts_table,
    **{category: partial(category_table, category) for category in CATEGORIES},
}
"""Name of a block on the page -> its content, given the measured harms."""

if __name__ == "__main__":
    for block, table in TABLES.items():
        write_block(PAGE, block, table(measured_harms()))
