"""How often a run is called a regression of one that differs from it by its seed alone: the source
of the tolerance.

python studies/compare.py [--write]    train HEALTHY on seeds 0-9 and print the table, or write
                                       docs/your-own-run.md
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from model import HEALTHY, build
from probes import watch
from probes.compare import TOLERANCE, Difference, regressed
from probes.record import Record

PAGE = Path(__file__).resolve().parents[1] / "docs" / "your-own-run.md"
PLACE = re.compile(r"(?<=<!-- regression -->\n).*?(?=<!-- end of regression -->)", re.DOTALL)
SEEDS = range(10)
TOLERANCES = (0.1, 0.2, 0.3, 0.4, TOLERANCE, 0.75)


def table(records: Sequence[Record]) -> Iterator[str]:
    """A row a tolerance: how many of the ordered pairs are called, and what of them differs by
    more."""
    pairs = list(permutations(records, 2))
    yield f"| tolerance | of {len(pairs)} pairs called a regression | by |"
    yield "| --- | --- | --- |"
    for tolerance in TOLERANCES:
        found = [regressed(a, b, tolerance).differences for a, b in pairs]
        reasons = Counter(
            reason for differences in found for reason in {kind(one) for one in differences}
        )
        by = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
        yield f"| {tolerance:g} | {sum(map(bool, found))} | {by} |"


def kind(difference: Difference) -> str:
    """What differs, without its site."""
    what = "speed" if difference.what.startswith("step") else "level"
    return f"`{difference.signal.partition(' at ')[0]}` {what}"


if __name__ == "__main__":
    text = "\n".join(table([watch(build(replace(HEALTHY, seed=seed))) for seed in SEEDS])) + "\n"
    print(text)
    if "--write" in sys.argv:
        PAGE.write_text(
            PLACE.sub(lambda _: text, PAGE.read_text(encoding="utf-8")), encoding="utf-8"
        )
