"""Write the table of signals in docs/record.md from `probes.record.signals`.

python -m studies.signal_table
"""

from __future__ import annotations

from pathlib import Path

from probes.common.markdown import markdown_table
from probes.record.signals import SIGNALS
from testing.marker_blocks import write_block

PAGE = Path(__file__).resolve().parent.parent / "docs" / "record.md"
BLOCK = "signals"
HEAD = ("signal", "one value per", "when", "unit", "formula", "source")


def table() -> str:
    """One row per signal, as Markdown."""
    rows = (
        (f"`{s.name}`", s.scope, f"every {s.cadence}", s.unit, s.formula, s.source) for s in SIGNALS
    )
    return "\n".join(markdown_table(HEAD, rows))


if __name__ == "__main__":
    write_block(PAGE, BLOCK, table())
