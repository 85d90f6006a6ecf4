"""How drawing, loading and judging scale with the length of a run and of a log.

python -m bench.length          measure these figures only and print them
python -m bench.length --long   judge logs of ten million lines as well (many minutes, 2 GB of disk)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import NamedTuple

import numpy as np

from bench.figures import Figure, Section
from probes.__main__ import BLAS_THREAD_VARIABLES
from probes.record import Record
from probes.recording.recorder import save
from probes.report.html import render
from testing.long_runs import made_up

ROOT = Path(__file__).resolve().parent.parent
RUNS, STEPS_PER_RUN = 5, 8000
LINES = 100_000
LINES_PER_EVALUATION = 10
"""One line in ten of a log holds a validation loss."""
CHUNK = 10_000
"""Lines that are generated at a time."""
ROUNDS = 5
"""How often something that takes less than a second is timed; the median counts."""

DASHBOARD = (
    Figure(f"render of {RUNS} runs of {STEPS_PER_RUN} steps", "s", "judging included", 2.0),
    Figure("its page", "KB", "", 1500.0),
)
LOADING = Figure(f"Record.load of {STEPS_PER_RUN} steps", "s", "CPU", 0.3)
SHORT = 60
"""Steps of the log for which the start of the command is most of the time."""
START = Figure("diagnose a short log / import numpy", "x", "CPU, one BLAS thread", 1.44)
START_ROUNDS = 9
MAX_SECONDS = 1.0
MAX_CPU_RATIO = 10.0
MAX_MEMORY_RATIO = 1.1
"""Of a log that is read as a stream."""
MAX_MEMORY_OVER_FILE = 4.0
"""Memory per size of the file, beyond what a shorter log takes, of a log that is one JSON document
and is read as a whole."""

LAUNCHER = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""Starts the measured process from a small one: the peak memory of a child includes that of the
process that forked it."""


class Usage(NamedTuple):
    """What a process used."""

    cpu: float  # seconds
    peak: float  # MiB


class Row(NamedTuple):
    """A line of a log. Most lines have no validation loss."""

    step: int
    loss: float
    lr: float
    grad_norm: float
    val_loss: float | None


def long_record(seed: int = 0) -> Record:
    """A synthetic run with every signal, evaluated every third step as the specimen is."""
    return made_up(STEPS_PER_RUN, every=3, seed=seed, name=f"run {seed}")


def log_rows(length: int) -> Iterator[Row]:
    """A synthetic log of the four common signals: losses that fall, with noise."""
    rng = np.random.default_rng(0)
    for begin in range(0, length, CHUNK):
        step = np.arange(begin, min(begin + CHUNK, length))
        level = 0.5 + 3.5 * np.exp(-5 * step / length)
        loss = level * np.exp(rng.normal(0, 0.05, len(step)))
        norm = np.exp(rng.normal(0, 0.3, len(step)))
        val = (level + 0.1) * np.exp(rng.normal(0, 0.01, len(step)))
        lr = 1e-3 * (1 - step / length)
        for row in map(Row, *(column.tolist() for column in (step, loss, lr, norm, val))):
            evaluated = row.step % LINES_PER_EVALUATION == LINES_PER_EVALUATION - 1
            yield row if evaluated else row._replace(val_loss=None)


def write_json_lines(path: Path, length: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for row in log_rows(length):
            cells = row._asdict()
            if row.val_loss is None:
                del cells["val_loss"]
            file.write(json.dumps(cells) + "\n")


def write_csv(path: Path, length: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(",".join(Row._fields) + "\n")
        for row in log_rows(length):
            file.write(",".join("" if cell is None else repr(cell) for cell in row) + "\n")


def write_trainer_state(path: Path, length: int) -> None:
    """Write a state of Hugging Face's trainer, which has entries of their own for evaluations."""
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"log_history": [\n')
        for row in log_rows(length):
            entry = {
                "grad_norm": row.grad_norm, "learning_rate": row.lr, "loss": row.loss,
                "step": row.step,
            }  # fmt: skip
            file.write((",\n" if row.step else "") + json.dumps(entry, indent=2))
            if row.val_loss is not None:
                evaluation = {"eval_loss": row.val_loss, "eval_runtime": 2.01, "step": row.step}
                file.write(",\n" + json.dumps(evaluation))
        file.write(f'], "global_step": {length - 1}}}\n')


STREAM_WRITERS: dict[str, Callable[[Path, int], None]] = {
    "JSON lines": write_json_lines,
    "CSV": write_csv,
}
LOG_WRITERS = {**STREAM_WRITERS, "trainer state": write_trainer_state}


def measure_page(folder: Path) -> Iterator[Figure]:
    """Time a dashboard of several long runs, and give the size of its page."""
    runs = [long_record(seed) for seed in range(RUNS)]
    time, size = DASHBOARD
    yield time.with_value(_median_cpu(lambda: render(runs, folder / "page.html")))
    yield size.with_value((folder / "page.html").stat().st_size / 1000)


def measure_loading(folder: Path) -> Iterator[Figure]:
    save(long_record(), folder / "run.jsonl")
    yield LOADING.with_value(_median_cpu(lambda: Record.load(folder / "run.jsonl")))


def measure_start(folder: Path) -> Iterator[Figure]:
    """Compare the CPU time of judging a short log with that of loading NumPy, in processes of their
    own. The first run of each is left out, because it may write the bytecode of the modules."""
    write_csv(folder / "short.csv", SHORT)
    diagnosing, loading = [], []
    for _ in range(1 + START_ROUNDS):
        loading.append(_usage_of([sys.executable, "-c", "import numpy"])[1].cpu)
        diagnosing.append(diagnose_in_process(folder / "short.csv").cpu)
    yield START.with_value(median(diagnosing[1:]) / median(loading[1:]))


def measure_logs(folder: Path, form: str, longest: int = 10 * LINES) -> Iterator[Figure]:
    """Judge logs of LINES lines, ten times as many and so on up to `longest`, and compare each with
    the one before it."""
    shorter, shorter_size, length = None, 0.0, LINES
    while length <= longest:
        path = folder / "log"
        LOG_WRITERS[form](path, length)
        used = diagnose_in_process(path, ROUNDS if shorter is None else 1)
        size = path.stat().st_size / 2**20
        time, cpu_ratio, memory = log_figures(form, length)
        yield (time if shorter is None else replace(time, target=None)).with_value(used.cpu)
        yield Figure(f"{time.name}, peak memory", "MiB", "").with_value(used.peak)
        if shorter is not None:
            yield cpu_ratio.with_value(used.cpu / shorter.cpu)
            ratio = used.peak / shorter.peak
            if form not in STREAM_WRITERS:
                ratio = (used.peak - shorter.peak) / (size - shorter_size)
            yield memory.with_value(ratio)
        shorter, shorter_size, length = used, size, 10 * length


def log_figures(form: str, length: int) -> tuple[Figure, Figure, Figure]:
    """The figures of a log of this length: seconds of CPU, their ratio to those of a tenth of the
    length, and what its memory is compared with."""
    tenth = f"{length // 10:,} steps"
    memory = Figure(f"{form} x 10, peak memory", "x", tenth, MAX_MEMORY_RATIO)
    if form not in STREAM_WRITERS:
        memory = Figure(f"{form} x 10, memory / file", "x", "", MAX_MEMORY_OVER_FILE)
    return (
        Figure(f"diagnose {form}, {length:,} steps", "s", "CPU", MAX_SECONDS),
        Figure(f"{form} x 10, CPU", "x", tenth, MAX_CPU_RATIO),
        memory,
    )


def diagnose_in_process(path: Path, rounds: int = 1) -> Usage:
    """Run `python -m probes diagnose` on a log in processes of its own; return the median CPU
    seconds and the highest peak memory. Raises ValueError when the verdict is not healthy."""
    used = []
    for _ in range(rounds):
        code, usage = _usage_of([sys.executable, "-m", "probes", "diagnose", str(path)])
        if code:
            raise ValueError(f"diagnose {path} ended with exit code {code}; expected 0, healthy")
        used.append(usage)
    return Usage(median(each.cpu for each in used), max(each.peak for each in used))


def _usage_of(command: Sequence[str]) -> tuple[int, Usage]:
    """Run a command in a process of its own, with one BLAS thread and with the bytecode of modules
    written; return its exit code and what it used."""
    environment = os.environ | dict.fromkeys(BLAS_THREAD_VARIABLES, "1")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", LAUNCHER, *command],
        cwd=ROOT, env=environment, capture_output=True, check=True,
    )  # fmt: skip
    code, cpu, peak = json.loads(done.stdout)
    return code, Usage(cpu, peak / (2**20 if sys.platform == "darwin" else 2**10))


def _median_cpu(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = process_time()
        call()
        seconds.append(process_time() - start)
    return median(seconds)


def measure(longest: int = 10 * LINES) -> Iterator[Figure]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        yield from measure_page(folder)
        yield from measure_loading(folder)
        yield from measure_start(folder)
        for form in LOG_WRITERS:
            yield from measure_logs(folder, form, longest)


def _planned(form: str) -> tuple[Figure, ...]:
    """The figures with a target that are measured for a format."""
    time, *_ = log_figures(form, LINES)
    _, cpu_ratio, memory = log_figures(form, 10 * LINES)
    return time, cpu_ratio, memory


SECTION = Section(
    "Length",
    (*DASHBOARD, LOADING, START, *(figure for form in LOG_WRITERS for figure in _planned(form))),
    measure,
    slow=True,
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="logs of ten million lines as well")
    longest = 100 * LINES if parser.parse_args().long else 10 * LINES
    for figure in measure(longest):
        name, value, _, target, verdict, _ = figure.cells()
        print(f"{name:50} {value:>10} {target:>10}  {verdict}", flush=True)


if __name__ == "__main__":
    main()
