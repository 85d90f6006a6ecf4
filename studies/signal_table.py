"""Write the tables of signals in docs/record.md and docs/your-own-run.md.

python -m studies.signal_table
"""

from __future__ import annotations

from inspect import signature
from pathlib import Path

from probes.common.markdown import markdown_table
from probes.record.signals import SIGNALS
from probes.recording.recorder import Recorder
from probes.recording.reducers import FORMULAS
from testing.marker_blocks import write_block

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = "signals"
HEAD = ("signal", "one value per", "when", "unit", "formula", "source")
ARRAYS_BLOCK = "arrays"
ARRAYS_HEAD = ("method", "arrays", "signals")
ARRAYS = {
    "activation": ("output", "a layer's output on the training batch"),
    "gradient": ("gradient", "gradients of a layer's parameters, before clipping"),
    "update": ("update", "a matrix before the update, which must be a copy, and after it"),
    "weight": ("weight", "a matrix, at evaluations"),
    "pre_activation": ("pre_activation", "inputs of a GELU [..., neurons], at evaluations"),
    "attention": ("attention", "attention weights and visible keys, at evaluations"),
    "training_attention": ("training_attention", "attention weights of a training step"),
}
"""Method of the recorder -> the kind of its arrays in `probes.recording.reducers`, and what they
are."""


def table() -> str:
    """One row per signal, as Markdown."""
    rows = (
        (f"`{s.name}`", s.scope, f"every {s.cadence}", s.unit, s.formula, s.source) for s in SIGNALS
    )
    return "\n".join(markdown_table(HEAD, rows))


def arrays_table() -> str:
    """One row per method of the recorder that takes arrays, as Markdown."""
    rows = []
    for method, (kind, meaning) in ARRAYS.items():
        _, *parameters = signature(getattr(Recorder, method)).parameters.values()
        arguments = ", ".join(str(each.replace(annotation=each.empty)) for each in parameters)
        signals = [
            f"`{name}`"
            for name, formula in FORMULAS.items()
            if kind in {reduction.kind for reduction in formula.reductions}
        ]
        rows.append((f"`{method}({arguments})`", meaning, ", ".join(signals)))
    return "\n".join(markdown_table(ARRAYS_HEAD, rows))


if __name__ == "__main__":
    write_block(DOCS / "record.md", BLOCK, table())
    write_block(DOCS / "your-own-run.md", ARRAYS_BLOCK, arrays_table())
