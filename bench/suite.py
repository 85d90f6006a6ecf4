"""How long a user waits for the test suite: the documented commands, in a copy of the project.

The copy has no cache and no records, so that the first commands start cold and the records of the
project itself stay as they are."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

from bench.figures import Figure, Section

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
"""The environment of `make`. The benchmark itself runs in that of `make parity`."""
WARM_ROUNDS = 5
MAKE = Figure("make, cold", "s", "after set-up", 80.0)
BREAKS = Figure("pytest -k break, cold", "s", "", 26.0)
BREAKS_WARM = Figure("pytest -k break, warm", "s", f"median of {WARM_ROUNDS}", 2.5)
MAKE_TEST = Figure("make test, cold", "s", "after set-up", 210.0)


class Time(NamedTuple):
    """Seconds of a command: of the clock, and of CPU in the command and all its children."""

    wall: float
    cpu: float


class CommandFailedError(RuntimeError):
    """A command did not succeed, so that its time means nothing."""


def copy_project(folder: Path) -> None:
    """Copy every file that git tracks, as it is now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def time_command(command: list[str], folder: Path) -> Time:
    """Run a command in the folder. Raises CommandFailedError."""
    before, start = _cpu_of_children(), perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    wall = perf_counter() - start
    if done.returncode:
        raise CommandFailedError(
            f"{' '.join(command)} ended with exit code {done.returncode}:\n"
            f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return Time(wall, _cpu_of_children() - before)


def _environment() -> Mapping[str, str]:
    """The environment of the benchmark, but with bytecode kept as Python does by default: without
    it every session would compile all files again."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make(*targets: str) -> list[str]:
    """A call of make that uses the project's environment and does not set it up again."""
    return ["make", f"VENV={ENVIRONMENT}", "-o", str(ENVIRONMENT / "ready"), *targets]


def _measure() -> Iterator[Figure]:
    pytest = [str(ENVIRONMENT / "bin" / "python"), "-m", "pytest", "-q", "-k", "break"]
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        copy_project(Path(first))
        yield _figure(BREAKS, time_command(pytest, Path(first)))
        warm = [time_command(pytest, Path(first)) for _ in range(WARM_ROUNDS)]
        middle = Time(median(each.wall for each in warm), median(each.cpu for each in warm))
        yield _figure(BREAKS_WARM, middle)
        copy_project(Path(second))
        yield _figure(MAKE, time_command(make(), Path(second)))
    with TemporaryDirectory() as third:
        copy_project(Path(third))
        yield _figure(MAKE_TEST, time_command(make("test"), Path(third)))


def _figure(figure: Figure, time: Time) -> Figure:
    return figure.with_value(time.wall, f"CPU {time.cpu:.3g} s")


SECTION = Section("The suite", (BREAKS, BREAKS_WARM, MAKE, MAKE_TEST), _measure, slow=True)
