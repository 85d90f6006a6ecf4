"""Whether a training run takes more memory the longer it is: its peak after 20 and after 500 steps.

python -m bench.memory traced     print both peaks of what Python and NumPy allocated, in KiB
python -m bench.memory resident   print both peaks of what the process held, in KiB
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

EARLY_STEP, LATE_STEP = 20, 500
"""Every 20th step is followed by an evaluation."""
ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = {"traced": 64.0, "resident": 1024.0}
"""KiB. The interpreter caches names; the process and its allocator take several pages at a time."""
FIGURES = {
    kind: Figure(f"{what}, step {LATE_STEP} over {EARLY_STEP}", "KiB", "", TOLERANCE[kind])
    for kind, what in (("traced", "peak allocated"), ("resident", "peak resident"))
}


def peaks(kind: str, early: int = EARLY_STEP, late: int = LATE_STEP) -> tuple[float, float]:
    """Return two peaks of an unrecorded run in KiB: of steps 2 to `early`, and of the steps from
    there to `late`."""
    if kind == "traced":
        tracemalloc.start()
    peak_at = {}
    for step in build(replace(HEALTHY, steps=late, eval_every=early)).steps():
        if step.index + 1 in (1, early, late):
            peak_at[step.index + 1] = traced_peak() if kind == "traced" else _resident_peak()
    return peak_at[early], peak_at[late]


def traced_peak() -> float:
    """The peak of allocated memory since the last call, in KiB."""
    peak = tracemalloc.get_traced_memory()[1] / 1024
    tracemalloc.reset_peak()
    return peak


def _resident_peak() -> float:
    """The peak of resident memory since the last call, in KiB. Linux only: `getrusage` would start
    with the peak of the parent process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (float(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak


def _measure() -> Iterator[Figure]:
    for kind, figure in FIGURES.items():
        if kind == "resident" and sys.platform != "linux":
            yield figure.not_measured("only Linux reports it")
            continue
        done = subprocess.run(
            [sys.executable, "-m", "bench.memory", kind],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        early, late = json.loads(done.stdout)
        yield figure.with_value(late - early, f"of {early / 1024:.1f} MiB")


SECTION = Section("Memory of a run", tuple(FIGURES.values()), _measure)


if __name__ == "__main__":
    print(json.dumps(peaks(sys.argv[1])))
