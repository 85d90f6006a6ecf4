"""Gives the command line logs that no trainer writes, and counts those that end in a traceback or
with a wrong exit code.

    python -m studies.fuzz                       20,000 inputs from seed 0 on
    python -m studies.fuzz --inputs 200000 --first 1000000 --keep crashes

Each seed is one input: a log that is drawn with extreme values, or a valid log that is mutated
(`testing.hostile_logs`). It goes through `diagnose`, with and without `--json`, and every eighth
also through `render`, in this process. The exit code is 1 if any input failed."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from testing.hostile_logs import SEEDS, draw_log, mutated
from testing.hostile_runs import check

RENDER_EVERY = 8
"""Drawing takes ten times as long as a diagnosis, so only every eighth input is drawn."""
MAX_SECONDS = 2.0
"""An input is a few kilobytes. One that takes more CPU time than this is a failure."""


def log_of(seed: int) -> bytes:
    """The input of a seed."""
    rng = Random(seed)
    if rng.random() < 0.4:
        return draw_log(rng)
    return mutated(rng, rng.choice(SEEDS) if rng.random() < 0.8 else draw_log(rng))


def failure_of(seed: int, folder: Path) -> tuple[str, str]:
    """Give the input of a seed to the command line: the verdict, and why the input failed, ""
    if it did not."""
    path = folder / "log"
    path.write_bytes(log_of(seed))
    began = time.process_time()
    try:
        verdict = check(path, render=seed % RENDER_EVERY == 0)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        return "failed", f"{type(error).__name__}: {error} ({frames[-1].name}:{frames[-1].lineno})"
    seconds = time.process_time() - began
    return verdict, f"it took {seconds:.1f} s" if seconds > MAX_SECONDS else ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Give hostile logs to the command line.")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that failed")
    options = parser.parse_args(arguments)
    verdicts: Counter[str] = Counter()
    failed = 0
    with TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.inputs):
            verdict, failure = failure_of(seed, Path(folder))
            verdicts[verdict.partition(",")[0]] += 1
            if failure:
                failed += 1
                print(f"seed {seed}: {' '.join(failure.split())[:600]}", flush=True)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{seed}.log").write_bytes(log_of(seed))
            if (seed + 1 - options.first) % 1000 == 0:
                print(f"{seed + 1 - options.first} inputs, {failed} failed", flush=True)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    print(f"{options.inputs} inputs from seed {options.first} on: {failed} failed ({counts})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
