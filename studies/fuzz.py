"""Gives the command line logs that no trainer writes, and counts those that end in a traceback or
with a wrong exit code.

    python -m studies.fuzz                       20,000 inputs from seed 0 on
    python -m studies.fuzz --inputs 200000 --first 1000000 --keep crashes
    python -m studies.fuzz --inputs 500 --processes

Each seed is one input: a log that is drawn with extreme values, or a valid log that is mutated
(`testing.hostile_logs`, `testing.hostile_stores`). It goes through `diagnose --json` in this
process, every second one also through `diagnose`, and every eighth through `render`. With
`--processes`, each input goes through `diagnose --json` in a process of its own that may use 1 GiB
of memory. The exit code is 1 if any input failed."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from shutil import rmtree
from tempfile import TemporaryDirectory

from testing.hostile_logs import SEEDS, draw_log, mutated
from testing.hostile_runs import check
from testing.hostile_stores import draw_store

PLAIN_EVERY, RENDER_EVERY = 2, 8
"""Drawing takes ten times as long as a diagnosis, so only every eighth input is drawn."""
MAX_SECONDS = 2.0
"""An input is a few kilobytes. One that takes more CPU time than this is a failure."""
MAX_BYTES = 2**30
"""Memory of a process, with `--processes`."""
STORES = 0.1
"""Share of the inputs that are no text: event files, databases and folders of MLflow."""
VERDICTS = {0: "healthy", 1: "unhealthy", 2: "unreadable", 3: "undetermined"}


def files_of(seed: int) -> dict[str, bytes]:
    """The input of a seed: path -> content of each file. The log is the file or folder `log`."""
    rng = Random(seed)
    if rng.random() < STORES:
        return draw_store(rng)
    if rng.random() < 0.4:
        return {"log": draw_log(rng)}
    return {"log": mutated(rng, rng.choice(SEEDS) if rng.random() < 0.8 else draw_log(rng))}


def write(files: dict[str, bytes], folder: Path) -> Path:
    """Write the files of an input into an empty folder, and return the path of the log."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder / "log"


def failure_of(seed: int, path: Path) -> tuple[str, str]:
    """Give the input of a seed, written at a path, to the command line: the verdict, and why the
    input failed, "" if it did not."""
    began = time.process_time()
    try:
        verdict = check(path, seed % RENDER_EVERY == 0, seed % PLAIN_EVERY == 0)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        return "failed", f"{type(error).__name__}: {error} ({frames[-1].name}:{frames[-1].lineno})"
    seconds = time.process_time() - began
    return verdict, f"it took {seconds:.1f} s" if seconds > MAX_SECONDS else ""


def failure_in_a_process(path: Path) -> tuple[str, str]:
    """The same for `diagnose --json` in a process of its own with limited memory."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))

    done = subprocess.run(
        [sys.executable, "-m", "probes", "diagnose", "--json", str(path)],
        capture_output=True,
        check=False,
        text=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=limit,
    )
    if done.returncode not in VERDICTS or "Traceback" in done.stderr:
        return "failed", f"exit code {done.returncode}: {done.stderr[-400:]}"
    return VERDICTS[done.returncode], ""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Give hostile logs to the command line.")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", type=Path, help="a folder for the inputs that failed")
    parser.add_argument(
        "--processes", action="store_true", help="diagnose each input in a process of its own"
    )
    options = parser.parse_args(arguments)
    verdicts: Counter[str] = Counter()
    failed = 0
    with TemporaryDirectory() as name:
        for seed in range(options.first, options.first + options.inputs):
            folder = Path(name) / str(seed)
            path = write(files_of(seed), folder)
            found = failure_in_a_process(path) if options.processes else failure_of(seed, path)
            rmtree(folder)
            verdict, failure = found
            verdicts[verdict.partition(",")[0]] += 1
            if failure:
                failed += 1
                print(f"seed {seed}: {' '.join(failure.split())[-600:]}", flush=True)
                if options.keep:
                    write(files_of(seed), options.keep / str(seed))
            if (seed + 1 - options.first) % 1000 == 0:
                print(f"{seed + 1 - options.first} inputs, {failed} failed", flush=True)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    print(f"{options.inputs} inputs from seed {options.first} on: {failed} failed ({counts})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
