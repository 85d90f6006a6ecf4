"""How often `regressed` calls a regression between two runs that differ only in their seeds: the
source of its tolerance.

python -m studies.compare            train HEALTHY on seeds 0-9 and print the table
python -m studies.compare --write    and write it into docs/your-own-run.md
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

from model import HEALTHY, build
from model.seeds import SWEEP_SEEDS
from probes import watch
from probes.common.markdown import markdown_table
from probes.compare import DEFAULT_TOLERANCE, Difference, regressed
from probes.record import Record
from testing.marker_blocks import write_block

PAGE = Path(__file__).resolve().parent.parent / "docs" / "your-own-run.md"
BLOCK = "regression"
TOLERANCES = (0.1, 0.2, 0.3, 0.4, DEFAULT_TOLERANCE, 0.75)


def table(records: Sequence[Record]) -> str:
    """One row per tolerance: the number of ordered pairs that are called a regression, and why."""
    pairs = list(permutations(records, 2))
    head = ("tolerance", f"of {len(pairs)} pairs called a regression", "by")
    return "\n".join(markdown_table(head, _rows(pairs)))


def _rows(pairs: Sequence[tuple[Record, Record]]) -> Iterator[tuple[str, str, str]]:
    for tolerance in TOLERANCES:
        found = [regressed(a, b, tolerance).differences for a, b in pairs]
        reasons = Counter(
            reason for differences in found for reason in {kind(one) for one in differences}
        )
        by = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        yield f"{tolerance:g}", str(sum(map(bool, found))), by


def kind(difference: Difference) -> str:
    """The signal that differs, without its site, and in which way: "`loss` speed"."""
    way = "speed" if difference.what.startswith("step") else "level"
    return f"`{difference.signal.partition(' at ')[0]}` {way}"


if __name__ == "__main__":
    text = table([watch(build(replace(HEALTHY, seed=seed))) for seed in SWEEP_SEEDS])
    print(text)
    if "--write" in sys.argv:
        write_block(PAGE, BLOCK, text)
