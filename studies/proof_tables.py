"""Write the tables of docs/proofs.md from `probes.proofs`.

python -m studies.proof_tables
"""

from __future__ import annotations

import re
from pathlib import Path

from probes.common.markdown import markdown_table
from probes.proofs import PROOFS, REQUIRED
from probes.proofs.base import Proof, Subject
from testing.marker_blocks import write_block

PAGE = Path(__file__).resolve().parent.parent / "docs" / "proofs.md"
PROOFS_HEAD = ("proof", "experiment and expected result", "signals", "methods that it needs")
METHODS_HEAD = ("method", "returns or does", "needed by")
EXPERIMENTS = {
    "repeatability": "The same batch goes through the model twice. Both losses must be equal.",
    "influence": "Tokens of a few rows are changed. Later logits of the same row must change. "
    "Earlier logits and other rows must not.",
    "attention": "One row goes through the model. Every head must give some weight to every token "
    "up to the query's own, and the weights of a query must sum to 1.",
    "loss": "The mean cross-entropy of the predicted tokens is computed from the logits and the "
    "data set. The reported losses must be equal to it.",
    "stretch": "Each matrix is multiplied by a vector. The spectral norm in the record must not be "
    "smaller than the factor by which the matrix stretches the vector.",
    "gradient": "The weights are moved a little forwards and backwards. The loss must change as "
    "the gradient predicts.",
    "update": "The step's update is compared with the learning rate. Every tensor that has a "
    "gradient must move, and the first update must have the size that the optimizer's rule gives.",
}
"""Name of a proof -> its experiment and the result of a training loop that is right."""


def proofs_table() -> str:
    """One row per proof, in the order in which they run, as Markdown."""
    return "\n".join(markdown_table(PROOFS_HEAD, map(_proof_row, PROOFS)))


def methods_table() -> str:
    """One row per method of a subject, in the order of the protocol, as Markdown."""
    rows = [
        (f"`{method}`", meaning, _needed_by(method))
        for method, meaning in method_meanings().items()
    ]
    return "\n".join(markdown_table(METHODS_HEAD, rows))


def method_meanings() -> dict[str, str]:
    """Method -> its meaning, from the docstring of `Subject`. Each entry there begins in the first
    column with the name of the method and two or more spaces; its other lines are indented."""
    docstring = re.sub(r"^    ", "", Subject.__doc__ or "", flags=re.MULTILINE)
    entry = re.compile(r"^(\w+) +(.*(?:\n {4,}.*)*)", re.MULTILINE)
    return {
        name: re.sub(r"\s+", " ", meaning).strip()
        for name, meaning in entry.findall(docstring)
        if hasattr(Subject, name)
    }


def _proof_row(proof: Proof) -> tuple[str, ...]:
    return (
        f"`{proof.name}`",
        EXPERIMENTS[proof.name],
        ", ".join(f"`{signal}`" for signal in proof.signals),
        ", ".join(f"`{method}`" for method in proof.needs) or "–",
    )


def _needed_by(method: str) -> str:
    if method in REQUIRED:
        return "all proofs"
    return ", ".join(f"`{proof.name}`" for proof in PROOFS if method in proof.needs) or "–"


TABLES = {"proofs": proofs_table, "methods": methods_table}
"""Name of a block on the page -> its content."""

if __name__ == "__main__":
    for block, table in TABLES.items():
        write_block(PAGE, block, table())
