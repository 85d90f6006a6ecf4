"""pytest as a user runs it, in processes of its own and with a cache of its own, so that nobody's
records are lost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

from bench.figures import Figure, Section

ROOT = Path(__file__).resolve().parent.parent
USERS = ROOT / ".venv" / "bin" / "python"
"""The environment of the tests; that of parity, which has torch, starts more slowly. Where there is
none, this one."""
WARM_ROUNDS = 5
WHOLE = Figure("pytest, cold", "s", "1 process", 60.0)
WORKERS = Figure("pytest -n 2, cold", "s", "2 workers")
FASTER = Figure("pytest -n 2 / pytest", "x", "both cold", 1.0)
WARM = Figure("pytest -k break, warm", "s", f"median of {WARM_ROUNDS}", 3.0)


class Took(NamedTuple):
    wall: float
    cpu: float  # of the process and all its workers

    def __str__(self) -> str:
        return f"CPU {self.cpu:.3g} s"


class PytestFailedError(RuntimeError):
    """A session that did not pass; its time says nothing."""


def took(arguments: Sequence[str], folder: Path) -> Took:
    """Of one session, its cache and its page below `folder`. Raises PytestFailedError."""
    python = str(USERS) if USERS.exists() else sys.executable
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "-o",
        f"cache_dir={folder / 'cache'}",
        "--dashboard",
        f"{folder / 'page'}",
    ]
    before, start = _children(), perf_counter()
    # Bytecode is kept, as Python does unless it is told otherwise: without it every session
    # compiles all tests again.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    wall = perf_counter() - start
    if done.returncode:
        raise PytestFailedError(
            f"pytest {' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return Took(wall, _children() - before)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _measure() -> Iterator[Figure]:
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        whole = took([], Path(one))
        yield WHOLE.value(whole.wall, str(whole))
        workers = took(["-n", "2"], Path(two))
        yield WORKERS.value(workers.wall, str(workers))
        yield FASTER.value(workers.wall / whole.wall)
        warm = [took(["-k", "break"], Path(one)) for _ in range(WARM_ROUNDS)]
        yield WARM.value(
            median(each.wall for each in warm), f"CPU {median(each.cpu for each in warm):.3g} s"
        )


SECTION = Section("The suite", (WHOLE, WORKERS, FASTER, WARM), _measure, slow=True)
