"""Write the table of signals in docs/record.md afresh from `probes.record.signals`: `python
studies/signal_table.py`."""

from __future__ import annotations

import re
from pathlib import Path

from probes.record.signals import SIGNALS

PAGE = Path(__file__).parents[1] / "docs" / "record.md"
PLACE = re.compile(r"(?<=<!-- signals -->\n).*?(?=\n<!-- end of signals -->)", re.DOTALL)


def table() -> str:
    """The table as Markdown, one row a signal."""
    rows = [("signal", "one value per", "when", "unit", "formula", "source"), ("---",) * 6]
    rows += [
        (f"`{s.name}`", s.scope, f"every {s.cadence}", s.unit, s.formula, s.source) for s in SIGNALS
    ]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows
    )


if __name__ == "__main__":
    PAGE.write_text(
        PLACE.sub(lambda _: table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8"
    )
