"""Whether a run takes more memory the longer it is: its peak after 20 steps, and after 500.

python -m bench.memory traced     peaks of what Python and NumPy allocated, as JSON, in KiB
python -m bench.memory resident   peaks of what the process held
"""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bench.figures import Figure, Section
from model import HEALTHY, build

EARLY, LATE = 20, 500
"""Steps; every 20th is followed by an evaluation."""
ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = {"traced": 64.0, "resident": 1024.0}
"""KiB: names that the interpreter caches; pages that it and its allocator take at a time."""
FIGURES = {
    kind: Figure(f"{what}, step {LATE} over {EARLY}", "KiB", "", TOLERANCE[kind])
    for kind, what in (("traced", "peak allocated"), ("resident", "peak resident"))
}


def peaks(kind: str, early: int = EARLY, late: int = LATE) -> tuple[float, float]:
    """KiB after `early` and after `late` steps of a bare run.

    The highest in the steps from the second to the early one, and in those from there to the late
    one."""
    if kind == "traced":
        tracemalloc.start()
    seen = {}
    for step in build(replace(HEALTHY, steps=late, eval_every=early)).steps():
        if step.index + 1 in (1, early, late):
            seen[step.index + 1] = _traced() if kind == "traced" else _resident()
    return seen[early], seen[late]


def _traced() -> float:
    """The peak since this was last asked."""
    peak = tracemalloc.get_traced_memory()[1] / 1024
    tracemalloc.reset_peak()
    return peak


def _resident() -> float:
    """The peak since this was last asked, as Linux tells it: what getrusage tells begins with the
    parent's."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (float(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak


def _measure() -> Iterator[Figure]:
    for kind, figure in FIGURES.items():
        if kind == "resident" and sys.platform != "linux":
            yield figure.failed("only Linux tells it")
            continue
        done = subprocess.run(
            [sys.executable, "-m", "bench.memory", kind],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        early, late = json.loads(done.stdout)
        yield figure.value(late - early, f"of {early / 1024:.1f} MiB")


SECTION = Section("Memory of a run", tuple(FIGURES.values()), _measure)


if __name__ == "__main__":
    print(json.dumps(peaks(sys.argv[1])))
