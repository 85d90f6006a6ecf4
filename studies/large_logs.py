"""What it takes to diagnose large logs, in shapes that make slow or greedy code show.

    python -m studies.large_logs                 each shape with 1 MB and with 10 MB
    python -m studies.large_logs --only jumps    the shapes with this word in their name

Each log (`testing.large_logs`) is diagnosed by a process of its own, as on the command line. The
study prints the CPU time and the highest memory of each, the slowest first. The exit code is 1 if
one exceeds the limits, which hold for an idle machine."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from testing.large_logs import LARGE_LOGS

MEGABYTE = 1_000_000
MAX_SECONDS = {1: 2.0, 10: 5.0}
"""Megabytes of a log -> the CPU time that its diagnosis may take."""
MAX_BYTES = 2**30
"""The memory that a diagnosis may use."""


class Cost(NamedTuple):
    """CPU time in seconds, the highest memory in bytes, and the exit code of a diagnosis."""

    seconds: float
    memory: int
    code: int


def cost_of(path: Path) -> Cost:
    """Diagnose a log in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "probes", "diagnose", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    return Cost(seconds, usage.ru_maxrss * 1024, process.returncode)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure the diagnosis of large logs.")
    parser.add_argument("--only", default="", help="a word in the names of the shapes")
    parser.add_argument("--megabytes", type=int, nargs="+", default=[*MAX_SECONDS])
    parser.add_argument(
        "--slower", type=float, default=1.0, help="how many times slower this machine is"
    )
    options = parser.parse_args(arguments)
    exceeded = 0
    for megabytes in options.megabytes:
        costs: dict[str, Cost] = {}
        with TemporaryDirectory() as folder:
            for name in (name for name in LARGE_LOGS if options.only in name):
                path = Path(folder) / name
                path.write_text(LARGE_LOGS[name](megabytes * MEGABYTE), encoding="utf-8")
                costs[name] = cost_of(path)
                path.unlink()
        limit = MAX_SECONDS.get(megabytes, megabytes / 2) * options.slower
        print(f"{megabytes} MB, at most {limit:.1f} s:")
        for name, cost in sorted(costs.items(), key=lambda item: -item[1].seconds):
            is_over = cost.seconds > limit or cost.memory > MAX_BYTES or cost.code not in range(4)
            exceeded += is_over
            print(
                f"  {cost.seconds:5.1f} s {cost.memory / 2**20:5.0f} MiB  exit code {cost.code}  "
                f"{name}{'  EXCEEDED' if is_over else ''}"
            )
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main())
